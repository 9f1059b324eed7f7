"""framefeed for PyTorch: :class:`DataLoader`, in the place of ``torch.utils.data.DataLoader``. Torch is imported here alone.

Pixels and stored tensors come by DLPack, without a copy: a batch's tensor is the loader's own memory, and goes back to it when the last
tensor that looks at it is gone. Keep a batch as long as you like; only then is new memory allocated for the next ones.
With ``device=`` batches are copied there, and the loader's memory is held until that is done. Whoever copies without waiting has to hold
the source as long.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError("framefeed.torch needs torch: pip install 'framefeed[torch]'", name=error.name) from error
from torch.utils.dlpack import from_dlpack

import framefeed
from framefeed import Dataset, DeviceError, Loader, Window
from framefeed._options import Checksum, DirectIo, DType, Engine, Filter, Fit, Format, Layout, OnError, Ragged

if TYPE_CHECKING:
    from framefeed._framefeed import _Channels

__all__ = ["Batches", "DataLoader"]

_DTYPES: dict[torch.dtype, DType] = {
    torch.uint8: "uint8",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
}


_Options = ParamSpec("_Options")

_NO_WORKERS = "framefeed decodes on threads of this process and has no worker processes"

# What torch.utils.data.DataLoader takes and this one does not, and what to do about it.
_OF_TORCH = {
    "num_workers": f"{_NO_WORKERS}: give decode_workers=..., or nothing for one thread per core",
    "worker_init_fn": f"{_NO_WORKERS}: leave it out",
    "persistent_workers": f"{_NO_WORKERS}: leave it out",
    "multiprocessing_context": f"{_NO_WORKERS}: leave it out",
    "prefetch_factor": "give prefetch_batches=..., batches in all and not for each worker, or nothing",
    "pin_memory": "batches are not pinned, device=... moves them: leave it out",
    "pin_memory_device": "batches are not pinned, device=... moves them: leave it out",
    "collate_fn": "batches come whole: leave it out and change them in the loop",
    "sampler": "the order is a function of shuffle=... and seed=...: give those",
    "batch_sampler": "the order is a function of shuffle=..., seed=... and batch_size=...: give those",
    "generator": "the order is a function of shuffle=... and seed=...: give those",
    "timeout": "every clip has a budget of time by itself: leave it out",
    "in_order": "batches always come in the order of shuffle=... and seed=...: leave it out",
}


def _explained(init: Callable[_Options, None]) -> Callable[_Options, None]:
    """Says what becomes of the options of torch's loader, which type checkers refuse anyway."""

    @wraps(init)
    def checked(*args: _Options.args, **kwargs: _Options.kwargs) -> None:
        for name in kwargs:
            if name in _OF_TORCH:
                raise TypeError(f"DataLoader has no {name}: {_OF_TORCH[name]}")
        # Behind the loader itself and the dataset; torch's loader takes these two by position as well.
        positional = list(zip(("batch_size", "shuffle"), args[2:], strict=False))
        if positional:
            given = ", ".join(f"{name}={value!r}" for name, value in positional)
            raise TypeError(f"DataLoader takes its options by name: say {given}")
        init(*args, **kwargs)

    return checked


class DataLoader:
    """Batches of clips and stored tensors as torch tensors. Each ``iter(loader)`` is one epoch; there are no worker processes.

    A batch is a dict::

        video      Tensor [B, T, C, H, W] (or the axes of ``layout``), of ``dtype``, on ``device``
        <field>    Tensor [B, ...] for each of ``fields``, of the stored type, on ``device``
        <field>_lengths   int64 Tensor [B, axes]: how much of each axis is the row's own, for ragged fields with ``ragged="pad"``
        key        list[str]: the records' keys
        caption    list[str | None], unless ``captions=False``
        pts        int64 Tensor [B, T]: timestamps in ticks of the record's time base
        frame      int64 Tensor [B, T]: frame numbers in the record
        time_base  list[tuple[int, int]]: seconds per tick, numerator and denominator
        color      list[dict], with ``format="yuv420"``: each clip's ``matrix``, ``range`` and ``guessed``; see :class:`framefeed.Loader`
        fps        float64 Tensor [B]: the records' average frames per second, whatever the window takes
        duration   float64 Tensor [B]: the records' durations in seconds
        source_size   int64 Tensor [B, 2]: the records' display height and width, before they were resized
        record     int64 Tensor [B]: the records' numbers in the dataset
        position   int64 Tensor [B]: the samples' positions in the epoch
        epoch      int
        columns    dict: the columns asked for. A tensor [B] where they are numbers or booleans (a missing float is
                   NaN), a list where they are text, or where a row has no whole number or boolean
        skipped, substituted   list[dict]: samples that ``on_error`` left out since the last batch, or replaced in this one

    Without a window there is no ``video``, ``pts``, ``frame`` and ``time_base``, and no byte of video is touched.

    Args:
        dataset: what to load from.
        batch_size: samples per batch.
        window: which frames of a record make a sample. May be left out where there are ``fields``.
        fields: names of stored tensors to hand out, such as latents and text embeddings. Records that lack one are no samples.
        format: ``"rgb"``, or ``"yuv420"``: planes at half the bytes, [B, T, 1, H * 3 / 2, W]; see :class:`framefeed.Loader`.
        size: height and width of the frames. Without it, frames have the records' display size, and all must have one size, or
            ``batch_size`` must be 1.
        fit: ``"crop"``, ``"pad"`` or ``"stretch"``, where the aspect ratio differs.
        filter: ``"area"``, ``"bilinear"``, ``"bicubic"`` or ``"lanczos"``; all antialiased.
        layout: ``"TCHW"``, ``"THWC"`` or ``"CTHW"``.
        dtype: ``"uint8"``, ``"float16"``, ``"bfloat16"`` or ``"float32"``, or torch's names for them.
        scale, mean, std: for float types: ``(level * scale - mean) / std``, per channel.
        pad: colour of the borders of ``fit="pad"``, as 8-bit R, G, B.
        shuffle: a new order each epoch, a pure function of ``seed`` and the epoch's number.
        seed: of the order and of the windows' random placement.
        redraw: whether random windows lie elsewhere in each epoch; by default where ``shuffle`` is set, so that validation sees the
            same frames at each pass; see :class:`framefeed.Loader`.
        device: where pixels and stored tensors go: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        ragged: where the shapes of a field differ: ``"error"``, ``"pad"`` with zeros to the largest of the batch, or ``"bucket"``,
            every batch of one shape; or one of these for each field: ``{"latents": "bucket", "text": "pad"}``.
        checksum: whether stored tensors are checked, ``"on"`` or ``"off"``.
        field_descriptions: what the fields' descriptions must say, ``{"latents": {"vae": "..."}}``.
        engine: how storage is read; see :class:`framefeed.Loader`.
        direct_io: whether reads go past the page cache: ``"auto"``, ``"on"`` or ``"off"``; see :class:`framefeed.Loader`.
        decode_workers: threads that decode; one for each core by default.
        tensor_readers: threads that read and check stored tensors; one for each core by default.
        cpu_limit: processor time that the loader's threads may use, in cores; see :class:`framefeed.Loader`.
        decode_limits: what one clip may take before it counts as damaged, ``{"seconds": 20.0}``; see :class:`framefeed.Loader`.
        prefetch_batches: batches that are finished or in the making while the training step runs.
        prefetch_bytes: memory of those batches.
        on_error: for clips that can't be read or decoded: ``"raise"``, ``"skip"`` or ``"substitute"``; see :class:`framefeed.Loader`.
        drop_last: leave out the last batch if it is not full.
        columns: names of columns to hand out: the user's, or those of the dataset's index (``frames``, ``codec``, ...; see
            :meth:`framefeed.Dataset.table`).
        captions: whether to hand out captions.
        world_size: must be given as 1 where the job has several processes, each of which is to read all samples; see
            :class:`framefeed.Loader`.

    Raises:
        framefeed.InvalidArgumentError: an argument is outside its range; the message names it.
        TypeError: an argument is of another type, or one of torch's loader; the message says what to give.
        framefeed.DeviceError: ``device`` is not there.
    """

    @_explained
    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 1,
        window: Window | None = None,
        fields: Sequence[str] = (),
        format: Format = "rgb",
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        filter: Filter = "bicubic",
        layout: Layout = "TCHW",
        dtype: DType | torch.dtype = "uint8",
        scale: float = 1 / 255,
        mean: _Channels = (0.0, 0.0, 0.0),
        std: _Channels = (1.0, 1.0, 1.0),
        pad: Sequence[int] = (0, 0, 0),
        shuffle: bool = False,
        seed: int = 0,
        redraw: bool | None = None,
        device: str | torch.device = "cpu",
        ragged: Ragged | Mapping[str, Ragged] = "error",
        checksum: Checksum = "on",
        field_descriptions: Mapping[str, Mapping[str, Any]] | None = None,
        engine: Engine = "auto",
        direct_io: DirectIo = "auto",
        decode_workers: int | None = None,
        tensor_readers: int | None = None,
        cpu_limit: float | None = None,
        decode_limits: Mapping[str, float | None] | None = None,
        prefetch_batches: int | None = None,
        prefetch_bytes: int | None = None,
        on_error: OnError = "raise",
        drop_last: bool = False,
        columns: Sequence[str] = (),
        captions: bool = True,
        world_size: int | None = None,
    ) -> None:
        self._device = _checked_device(device)
        if isinstance(dtype, torch.dtype):
            if dtype not in _DTYPES:
                known = ", ".join(_DTYPES.values())
                raise framefeed.InvalidArgumentError(
                    f"dtype is {dtype}, expected one of {known}", kind="invalid argument"
                )
            dtype = _DTYPES[dtype]
        if isinstance(fields, Iterator):
            # It can be asked once, and is needed twice.
            fields = list(fields)
        self._loader = Loader(
            dataset,
            batch_size=batch_size,
            window=window,
            fields=fields,
            format=format,
            size=size,
            fit=fit,
            filter=filter,
            layout=layout,
            dtype=dtype,
            scale=scale,
            mean=mean,
            std=std,
            pad=pad,
            shuffle=shuffle,
            seed=seed,
            redraw=redraw,
            ragged=ragged,
            checksum=checksum,
            field_descriptions=field_descriptions,
            engine=engine,
            direct_io=direct_io,
            decode_workers=decode_workers,
            tensor_readers=tensor_readers,
            cpu_limit=cpu_limit,
            decode_limits=decode_limits,
            prefetch_batches=prefetch_batches,
            prefetch_bytes=prefetch_bytes,
            on_error=on_error,
            drop_last=drop_last,
            columns=columns,
            captions=captions,
            world_size=world_size,
        )
        self._moved = ("video", *fields)

    @property
    def dataset(self) -> Dataset:
        """What the loader loads from."""
        return self._loader.dataset

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return self._loader.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a last batch that is not full is left out."""
        return self._loader.drop_last

    @property
    def num_samples(self) -> int:
        """Samples in an epoch."""
        return self._loader.num_samples

    @property
    def num_short(self) -> int:
        """Records that the window does not fit; with ``short="skip"`` they are no samples."""
        return self._loader.num_short

    @property
    def num_incomplete(self) -> int:
        """Records that are no samples because they lack one of the fields."""
        return self._loader.num_incomplete

    @property
    def device(self) -> torch.device:
        """Where pixels and stored tensors go."""
        return self._device

    @property
    def epoch(self) -> int:
        """The epoch being delivered, or the next one once its last batch is handed out; ``state_dict`` has the same."""
        return self._loader.epoch

    def __len__(self) -> int:
        """Batches in an epoch, when no clip is skipped."""
        return len(self._loader)

    def __iter__(self) -> Batches:
        """Starts an epoch: the next one, or where ``load_state_dict`` or ``set_epoch`` said. It counts with its first batch."""
        return Batches(iter(self._loader), self._device, self._moved)

    def __enter__(self) -> DataLoader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"framefeed.torch.DataLoader({self._loader!r}, device={str(self._device)!r})"

    def set_epoch(self, epoch: int) -> None:
        """Makes the next ``iter`` start that epoch: at its beginning, or where ``load_state_dict`` resumed it."""
        self._loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: what was handed out, not what was prefetched. Small, JSON, the same on every rank.
        An error moves nothing; see :meth:`framefeed.Loader.state_dict`."""
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next ``iter`` go on where the state was taken; see :meth:`framefeed.Loader.load_state_dict`."""
        self._loader.load_state_dict(state)

    def stats(self) -> dict[str, Any]:
        """What the loader has done so far; see :meth:`framefeed.Loader.stats`."""
        return self._loader.stats()

    def excluded(self) -> list[dict[str, Any]]:
        """Records that are no samples, and why; see :meth:`framefeed.Loader.excluded`."""
        return self._loader.excluded()

    def close(self) -> None:
        """Ends all epochs that run, and their threads. No other can be started."""
        self._loader.close()

    def describe(self) -> str:
        """How the loader is set up, and what the machine lacks."""
        return f"{self._loader.describe()}\ndevice: {self._device}"


class _InFlight:
    """The loader's memory that a device may still be reading.

    Memory that nobody holds is used for the next batch at once, and CUDA does not promise that a copy has been made when ``to`` returns. So
    the sources are held until an event behind the copy has come.
    """

    # Copies that may be under way. They are in the order of the stream, so the training step is that many batches ahead at most.
    _MOST = 2

    def __init__(self) -> None:
        self._copies: deque[tuple[Any, list[torch.Tensor]]] = deque()

    def move(self, batch: dict[str, Any], names: Sequence[str], device: torch.device) -> None:
        """Replaces these entries of a batch by their copies on the device."""
        while self._copies and (len(self._copies) >= self._MOST or self._copies[0][0].query()):
            self._wait_for_first()
        sources: list[torch.Tensor] = []
        try:
            for name in names:
                if name in batch:
                    sources.append(batch[name])
                    batch[name] = batch[name].to(device, non_blocking=True)
        finally:
            # Also where one of the copies failed: those before it are under way.
            make_event: Callable[[], Any] = torch.cuda.Event
            event = make_event()
            event.record(torch.cuda.current_stream(device))
            self._copies.append((event, sources))

    def wait(self) -> None:
        """Returns when no copy is under way."""
        while self._copies:
            self._wait_for_first()

    def _wait_for_first(self) -> None:
        self._copies[0][0].synchronize()
        # Not before: this gives the sources back.
        self._copies.popleft()


class Batches:
    """The batches of one epoch, made by ``iter(loader)``. Threads read ahead until it ends, is closed or is dropped."""

    def __init__(self, batches: framefeed.Batches, device: torch.device, moved: Sequence[str]) -> None:
        self._batches = batches
        self._device = device
        self._moved = moved
        self._in_flight = _InFlight()
        # Those that could not be handed out.
        self._returned: deque[dict[str, Any]] = deque()
        # Whoever drops the iterator may drop it while a copy is under way. A process that ends uses no memory again.
        weakref.finalize(self, self._in_flight.wait).atexit = False

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> dict[str, Any]:
        """The next batch. Ctrl-C works while it waits."""
        try:
            fetched = self._returned.popleft() if self._returned else self._batches._fetch()
        except StopIteration:
            self._in_flight.wait()
            raise
        try:
            batch = _to_torch(fetched)
            if self._device.type != "cpu":
                self._in_flight.move(batch, self._moved, self._device)
        except BaseException:
            # A device without memory, say. The next call tries once more, and so does a loader that is resumed.
            self._returned.append(fetched)
            raise
        self._batches._confirm()
        return batch

    @property
    def left_out(self) -> list[dict[str, Any]]:
        """Samples that ``on_error="skip"`` left out since the last batch: after the end, those that no batch tells of."""
        return self._batches.left_out

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the epoch and its threads."""
        self._in_flight.wait()
        self._returned.clear()
        self._batches.close()


def _to_torch(batch: dict[str, Any]) -> dict[str, Any]:
    converted = {
        name: from_dlpack(value) if isinstance(value, framefeed.Tensor) else value
        for name, value in batch.items()
    }
    converted["columns"] = {name: _column(values) for name, values in batch["columns"].items()}
    return converted


def _column(values: list[Any]) -> torch.Tensor | list[Any]:
    """A tensor where every row has a number or a boolean; the loader gives each column one type."""
    if values and all(isinstance(value, (bool, int, float)) for value in values):
        dtype = torch.float64 if isinstance(values[0], float) else None
        return torch.tensor(values, dtype=dtype)
    return values


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        checked = torch.device(device)
    except TypeError as error:
        found = f"{type(device).__name__} {device!r}"
        raise TypeError(f"device must be a str or a torch.device, got {found}") from error
    except RuntimeError as error:
        raise framefeed.InvalidArgumentError(f"device is {device!r}: {error}", kind="invalid argument") from error
    if checked.type not in ("cpu", "cuda"):
        raise DeviceError(f"device is '{checked}', expected a cpu or cuda device", kind="device")
    if checked.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"device is '{checked}', but torch finds no CUDA device", kind="device")
        if checked.index is not None and checked.index >= torch.cuda.device_count():
            raise DeviceError(f"device is '{checked}', but torch finds {torch.cuda.device_count()} CUDA devices", kind="device")
    return checked
