"""framefeed feeds video to training jobs: clips from shards, decoded, resized and batched, without a copy and without workers.

    >>> import framefeed
    >>> dataset = framefeed.Dataset("data/")
    >>> frames = dataset[0].decode([0, 8, 16]).numpy()
    >>> loader = framefeed.Loader(dataset, batch_size=8, window=framefeed.Window(frames=16, stride=4), size=(256, 256))
    >>> for batch in loader:
    ...     video = batch["video"].numpy()

PyTorch users take :class:`framefeed.torch.DataLoader`, whose batches hold tensors. This package itself needs neither torch
nor NumPy: a :class:`Tensor` is memory that speaks DLPack.
"""

from framefeed._errors import (
    ClosedError,
    ConflictError,
    CorruptError,
    DecodeError,
    DeviceError,
    Error,
    InvalidArgumentError,
    LimitExceededError,
    NotFoundError,
    OutOfMemoryError,
    ShortWarning,
    SkippedWarning,
    StorageError,
    UnsupportedError,
)
from framefeed._framefeed import Batches, Chunks, Dataset, Loader, Record, Tensor, Window, Writer, __version__, convert

__all__ = [
    "Batches",
    "Chunks",
    "ClosedError",
    "ConflictError",
    "CorruptError",
    "Dataset",
    "DecodeError",
    "DeviceError",
    "Error",
    "InvalidArgumentError",
    "LimitExceededError",
    "Loader",
    "NotFoundError",
    "OutOfMemoryError",
    "Record",
    "ShortWarning",
    "SkippedWarning",
    "StorageError",
    "Tensor",
    "UnsupportedError",
    "Window",
    "Writer",
    "__version__",
    "convert",
]
