"""The compiled part of framefeed. Import its names from `framefeed`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, final, overload

import numpy as np
import pyarrow
import torch
from typing_extensions import CapsuleType, Self

from framefeed._options import Checksum, DirectIo, DType, Engine, Filter, Fit, Format, Layout, OnError, Ragged

__all__ = ["Batches", "Chunks", "Dataset", "Loader", "Record", "Tensor", "Window", "Writer", "__version__", "convert"]

__version__: str

_Path: TypeAlias = str | PathLike[str]
# Anything in host memory that speaks DLPack (NumPy, torch with bfloat16, JAX, ...) or the buffer protocol.
_Array: TypeAlias = Any
# One number for each of R, G and B.
_Channels: TypeAlias = Sequence[float] | np.ndarray[Any, Any] | torch.Tensor

@final
class Tensor:
    """A dense array in host memory, for `numpy.from_dlpack`, `torch.from_dlpack` and every other library that speaks
    DLPack.

    No copy is made: all views are of one memory, which lives as long as the last of them, also without this object, its
    batch, its loader and its dataset.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The sides, outermost first."""
    @property
    def dtype(self) -> str:
        """Name of the element type, as NumPy and torch write it."""
    @property
    def nbytes(self) -> int:
        """Number of bytes."""
    def numpy(self) -> np.ndarray[Any, Any]:
        """The same memory as a NumPy array.

        Raises:
            ImportError: NumPy is not installed. Indexing and arithmetic need it as well.
            UnsupportedError: the dtype is bfloat16, which NumPy lacks.
        """
    def torch(self) -> torch.Tensor:
        """The same memory as a torch tensor.

        Raises:
            ImportError: torch is not installed.
        """
    @property
    def ndim(self) -> int:
        """Number of axes."""
    def __len__(self) -> int: ...
    # Indexing and arithmetic are those of the NumPy array over the same memory, and give NumPy's results. Without NumPy
    # `==` is identity, as of other objects.
    def __bool__(self) -> bool: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...
    def __hash__(self) -> int: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __floordiv__(self, other: Any, /) -> Any: ...
    def __rfloordiv__(self, other: Any, /) -> Any: ...
    def __mod__(self, other: Any, /) -> Any: ...
    def __rmod__(self, other: Any, /) -> Any: ...
    def __pow__(self, value: Any, mod: Any = None, /) -> Any: ...
    def __rpow__(self, value: Any, mod: Any = None, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __rmatmul__(self, other: Any, /) -> Any: ...
    def __and__(self, other: Any, /) -> Any: ...
    def __rand__(self, other: Any, /) -> Any: ...
    def __or__(self, other: Any, /) -> Any: ...
    def __ror__(self, other: Any, /) -> Any: ...
    def __xor__(self, other: Any, /) -> Any: ...
    def __rxor__(self, other: Any, /) -> Any: ...
    def __lshift__(self, other: Any, /) -> Any: ...
    def __rlshift__(self, other: Any, /) -> Any: ...
    def __rshift__(self, other: Any, /) -> Any: ...
    def __rrshift__(self, other: Any, /) -> Any: ...
    def __divmod__(self, other: Any, /) -> Any: ...
    def __rdivmod__(self, other: Any, /) -> Any: ...
    def __invert__(self) -> Any: ...
    def __pos__(self) -> Any: ...
    def __neg__(self) -> Any: ...
    def __abs__(self) -> Any: ...
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> CapsuleType:
        """A capsule: `dltensor_versioned` where `max_version` is 1.0 or later, else `dltensor`."""
    def __dlpack_device__(self) -> tuple[int, int]:
        """`(1, 0)`: host memory."""

@final
class Window:
    """The frames of a sample: how many, how far apart, where in the record.

    Args:
        frames: how many, 1 to 65536.
        stride: frames from one to the next, by frame number; 1 where neither this nor `fps` is given.
        fps: frames per second, by timestamps: the frame on screen at each instant, also where the frame rate varies.
            29.97 and its like mean the NTSC rates. A rate that is a whole part of the record's own takes every k-th
            frame. No window stands in a jump of the timestamps (a frame held for more than 10 seconds and far longer
            than the usual one): it lies before or behind it.
        placement: `"random"`: anywhere in the record, a pure function of seed, epoch and position; `"keyframe"`:
            likewise, where a GOP begins, so that nothing is decoded to get there; `"start"`; `"center"`.
        short: what becomes of records that are too short: `"skip"` (they are no samples; `Loader.num_short` counts
            them), `"repeat_last"` (the last frame fills the window) or `"loop"` (the record begins again).
    """

    def __new__(
        cls,
        *,
        frames: int,
        stride: int | None = None,
        fps: float | None = None,
        placement: Literal["random", "keyframe", "start", "center"] = "random",
        short: Literal["skip", "repeat_last", "loop"] = "skip",
    ) -> Self: ...
    @property
    def frames(self) -> int:
        """Number of frames."""
    @property
    def stride(self) -> int | None:
        """Frames from one to the next, where the window goes by frame numbers."""
    @property
    def fps(self) -> float | None:
        """Frames per second, where the window goes by timestamps."""
    @property
    def placement(self) -> str:
        """Where in the record."""
    @property
    def short(self) -> str:
        """What becomes of records that are too short."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]: ...

@final
class Dataset:
    """A dataset on disk, as `framefeed convert` and :class:`Writer` make it. Opening it reads the manifest and the
    index.

    It may be used by several threads. Pickled, it is its path; in a forked process it is opened anew when first used.
    Indexes above 16 MiB are mapped into memory, and those beyond 512 MiB in one process: while the dataset is open,
    also by a loader or a table, their files must be neither truncated nor edited in place.

    Args:
        path: the folder that holds `manifest.json`.

    Raises:
        NotFoundError: there is no dataset; the message says what the folder is, and what may be done.
        CorruptError: manifest or index are not what they should be.
    """

    def __new__(cls, path: _Path) -> Self: ...
    @property
    def path(self) -> Path:
        """The dataset's folder."""
    @property
    def columns(self) -> list[str]:
        """Names of the user columns."""
    @property
    def kind(self) -> str:
        """What its records are: `"video"`, which may have tensors beside them, or `"tensor"`."""
    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The stored tensors, by name: `description`, what they are in the words of whoever wrote them, and `column`,
        the name of the column that they were added with, None where the records themselves have them."""
    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest: version, shards with sizes and hashes, totals."""
    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Record:
        """The record of that number; -1 is the last one."""
    def __contains__(self, item: str | Record, /) -> bool:
        """Whether there is a record with that key. A record is in its own dataset."""
    def __iter__(self) -> Iterator[Record]: ...
    def find(self, key: str, /) -> Record:
        """The record with that key.

        Raises:
            NotFoundError: there is none.
        """
    def add_column(
        self,
        name: str,
        producer: Callable[[Record], _Array | Mapping[str, _Array] | None]
        | Callable[[Iterator[Record]], Iterator[tuple[str, _Array | Mapping[str, _Array] | None]]]
        | Iterable[tuple[str, _Array | Mapping[str, _Array] | None]],
        *,
        description: Mapping[str, Any] | None = None,
        restart: bool = False,
    ) -> Dataset:
        """Writes new tensors beside the dataset and opens it anew. Nothing that is there is touched: it can be read at
        any moment, and whoever has it open goes on with what it was.

        Repeat the call to resume one that was killed, interrupted or ended by an exception. It goes on behind the last
        record that was stored; each record is stored as soon as it is given. What makes it the same call is the name
        and the description: say another one when the producer changes. Where the dataset has the column already, the
        call asks for nothing and opens the dataset anew, so a script with several columns can simply be run again.

        Args:
            name: of the column, and of its field: 1 to 64 letters, digits, `_` and `-`, for a field no name that a
                loader's batch has for itself (`key`, `video`, `pts`, ...).
            producer: one of three. A function of a record that gives an array, several by name, or None where the
                record has none (an exception of it gets a note that names the record). A generator function (one with
                `yield` in it), which is called once with an iterator over the records that are still to do and yields
                pairs of a key and such a value: the way to encode several records at once. Or an iterable of such
                pairs. Pairs come in the order of the dataset, and keys may be missing; pairs of records that are stored
                already are passed over (:meth:`column_position` says where to begin).
            description: what the tensors are: which model, crop, frames per second. JSON values, compared when asked
                for.
            restart: begin anew: what an earlier call stored and did not publish is removed.

        Raises:
            InvalidArgumentError: no record was given anything, or something that is no array, or a key that is not the
                next one.
            ConflictError: the dataset has a field of that name, or a column of that name and another description; with
                `restart` also a column of the same; or another writer is at work in it.
        """
    def column_position(self, name: str, *, description: Mapping[str, Any] | None = None) -> int:
        """The number of the record at which :meth:`add_column` begins: 0 for a new column, `len(dataset)` for one that
        the dataset has.

        Raises:
            ConflictError: as by :meth:`add_column`.
        """
    def table(self) -> pyarrow.Table:
        """The dataset's index, without a copy, one row for each record: key, shard, size, frames, fps, ..., and
        the user columns that are numbers or booleans. Text stands in the shards: `Record.columns`, `Record.caption`.

        Raises:
            CorruptError: a part of the index fails its checksum, or pyarrow cannot read it.
        """
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Record:
    """One record of a dataset: a clip, or a group of tensors. Frames are numbered from 0 in presentation order. What
    only a clip has raises InvalidArgumentError where the record is of tensors. Records are equal that are the same one
    of the same dataset, also where it was opened twice."""

    @property
    def dataset(self) -> Dataset:
        """The dataset that the record is of."""
    @property
    def number(self) -> int:
        """The record's number in the dataset."""
    @property
    def key(self) -> str:
        """Unique in the dataset."""
    @property
    def caption(self) -> str | None:
        """What the clip shows."""
    @property
    def columns(self) -> dict[str, Any]:
        """The user columns that have a value here: bools, ints, floats and strings. Each column is of one type in a
        shard. A list or a dict is the text of its JSON (`json.loads` reads it), and so are the values of a column that
        mixes types. They cannot be told from a string of that text."""
    @property
    def num_frames(self) -> int:
        """Exact number of frames; also `len(record)`."""
    @property
    def pts(self) -> list[int]:
        """Timestamp of each frame, in ticks of `time_base`."""
    @property
    def time_base(self) -> tuple[int, int]:
        """Seconds per tick, numerator and denominator."""
    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
    @property
    def fps(self) -> float:
        """Average frames per second."""
    @property
    def size(self) -> tuple[int, int]:
        """Height and width as displayed: turned, with square pixels."""
    @property
    def coded_size(self) -> tuple[int, int]:
        """Height and width of the decoded planes."""
    @property
    def rotation(self) -> int:
        """Clockwise rotation for display, in degrees."""
    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec."""
    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of the format of the decoded planes."""
    @property
    def color(self) -> dict[str, Any]:
        """Colour as decided at conversion: `matrix`, `primaries` and `transfer` by FFmpeg's names, such as `"bt709"`
        (`"unknown"` where nothing was stated, and a number of H.273 as text where FFmpeg has no name), `range`
        (`"limited"` or `"full"`), `chroma_location`, and `guessed`, true where the source did not say."""
    @property
    def gops(self) -> list[int]:
        """Number of the first frame of each group of pictures."""
    @property
    def video_bytes(self) -> int:
        """Bytes of the stored video."""
    @property
    def source(self) -> str:
        """Where the clip came from, as the source list named it."""
    @property
    def source_start(self) -> float | None:
        """Start of the cut, in seconds from the source's first frame."""
    @property
    def source_end(self) -> float | None:
        """End of the cut, in seconds from the source's first frame."""
    @property
    def reencoded(self) -> str | None:
        """Why the video was re-encoded; None where its packets are the source's."""
    @property
    def fields(self) -> list[str]:
        """Names of the fields that the record has."""
    def field(self, name: str, /) -> Tensor | None:
        """A stored tensor, read and checked; None where the record has none of that name.

        Raises:
            InvalidArgumentError: the dataset has no such field.
            CorruptError: its bytes fail their checksum.
        """
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def frames_at(self, seconds: Iterable[float], /) -> list[int]:
        """The frames on screen at these seconds from the record's first frame."""
    @overload
    def decode(
        self,
        frames: Iterable[int] | slice,
        *,
        format: Format = "rgb",
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        filter: Filter = "bicubic",
        layout: Layout = "TCHW",
        dtype: DType = "uint8",
    ) -> Tensor:
        """Decodes frames by number, in any order, with repeats.

        The result is one tensor [N, C, H, W] of RGB, uint8, at display size, unless `format`, `layout`, `dtype` or
        `size` say otherwise.

        Args:
            frames: frame numbers, of which negative ones count from the end (-1 is the last frame), or a slice of them.
            format: `"rgb"`: [N, 3, H, W], or the axes of `layout`. `"yuv420"`: planes, [N, 1, H * 3 / 2, W]. Both are
                turned for display, as for `Loader`. `"yuv"`: the decoder's own planes, untouched and not turned: a list
                of one tensor for each plane (Y, U, V; or luma alone; or G, B, R), [N, rows, columns] of uint8, or of
                uint16 with the value in the low bits where the clip has more than 8 bits. The options below can't be
                chosen for it.
            size: height and width; the record's display size where it is not given.
            fit, filter, layout, dtype: as for `Loader`.

        Raises:
            InvalidArgumentError: there is no such frame.
            CorruptError: bytes fail their checksum.
            DecodeError: the decoder refuses them.
        """
    @overload
    def decode(self, frames: Iterable[int] | slice, *, format: Literal["yuv"]) -> list[Tensor]:
        """Decodes frames by number, in any order, with repeats.

        The result is one tensor [N, C, H, W] of RGB, uint8, at display size, unless `format`, `layout`, `dtype` or
        `size` say otherwise.

        Args:
            frames: frame numbers, of which negative ones count from the end (-1 is the last frame), or a slice of them.
            format: `"rgb"`: [N, 3, H, W], or the axes of `layout`. `"yuv420"`: planes, [N, 1, H * 3 / 2, W]. Both are
                turned for display, as for `Loader`. `"yuv"`: the decoder's own planes, untouched and not turned: a list
                of one tensor for each plane (Y, U, V; or luma alone; or G, B, R), [N, rows, columns] of uint8, or of
                uint16 with the value in the low bits where the clip has more than 8 bits. The options below can't be
                chosen for it.
            size: height and width; the record's display size where it is not given.
            fit, filter, layout, dtype: as for `Loader`.

        Raises:
            InvalidArgumentError: there is no such frame.
            CorruptError: bytes fail their checksum.
            DecodeError: the decoder refuses them.
        """
    def chunks(
        self,
        chunk: int,
        start: int = 0,
        stop: int | None = None,
        *,
        format: Format = "rgb",
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        filter: Filter = "bicubic",
        layout: Layout = "TCHW",
        dtype: DType = "uint8",
    ) -> Chunks:
        """Iterates over the frames from `start` up to `stop`, the last one by default, in tensors of `chunk` frames,
        the last of which may be shorter. Each frame is decoded once, ahead of the consumer on a thread, and the memory
        is that of three chunks, used again and again where they are dropped. What is given is what :meth:`decode`
        gives.

        Args:
            chunk: frames of a tensor, 1 or more. Of a few, what is written stays in the processor's cache.
            start, stop: frame numbers, of which negative ones count from the end; the end itself is `len(record)`, and
                the default of `stop`.
            format, size, fit, filter, layout, dtype: as for `Loader`.

        Raises:
            InvalidArgumentError: there are no such frames.
            CorruptError, DecodeError: from the iterator, as by :meth:`decode`; the chunks before come first.
        """
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Chunks:
    """The chunks of :meth:`Record.chunks`. Belongs to the process that made it. A thread decodes until the iterator is
    closed or dropped."""

    def __iter__(self) -> Chunks: ...
    def __next__(self) -> Tensor: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Closes the iterator."""
    def close(self) -> None:
        """Ends the thread. There are no chunks afterwards."""

@final
class Loader:
    """Streams the samples of a dataset in batches. Each `iter(loader)` is one epoch, the next one each time.

    Reading, decoding and transforming run on threads of this process, which start with an epoch and end with it. A
    batch is a dictionary::

        video      Tensor [B, T, C, H, W] (or the axes of `layout`), of `dtype`
        <field>    Tensor [B, ...] for each of `fields`, of the stored type
        <field>_lengths   int64 Tensor [B, axes]: how much of each axis is the row's own, for ragged fields with
                   `ragged="pad"`
        key        list[str]: the records' keys
        caption    list[str | None], unless `captions=False`
        pts        int64 Tensor [B, T]: timestamps in ticks of the record's time base
        frame      int64 Tensor [B, T]: frame numbers in the record
        time_base  list[tuple[int, int]]: seconds per tick, numerator and denominator
        color      list[dict], with `format="yuv420"`: each clip's `matrix` (FFmpeg's name, such as `"bt709"`), `range`
                   (`"limited"` or `"full"`) and `guessed`, whether the source did not state them
        fps        float64 Tensor [B]: the records' average frames per second, whatever the window takes
        duration   float64 Tensor [B]: the records' durations in seconds
        source_size   int64 Tensor [B, 2]: the records' display height and width, before they were resized
        record     int64 Tensor [B]: the records' numbers in the dataset
        position   int64 Tensor [B]: the samples' positions in the epoch
        epoch      int
        columns    dict[str, list]: the columns asked for, each of one type; a missing float is NaN, anything else None
        skipped    list[dict]: samples that `on_error` left out since the last batch: epoch, position, record, reason
        substituted   list[dict]: samples of this batch that `on_error` replaced

    Without a window there is no `video`, `pts`, `frame` and `time_base`, and no byte of video is touched. Order,
    windows and substitutes are pure functions of seed, epoch and position, whatever the number of threads. A loader
    belongs to the process that made it; in its fork it raises ClosedError.

    Args:
        dataset: what to load from.
        batch_size: samples per batch.
        window: which frames of a record make a sample. May be left out where there are `fields`.
        fields: names of stored tensors to hand out, such as latents and text embeddings. Records that lack one are no
            samples; `num_incomplete` counts them.
        format: `"rgb"`, or `"yuv420"`: uint8 Y, U and V by the clip's own matrix and range, half the bytes, for
            conversion on a GPU; `video` is [B, T, 1, H * 3 / 2, W], of which the first H rows are Y, and the rest U and
            then V, of H / 2 rows of W / 2 each. Sides are even, `fit` is `"crop"` or `"stretch"`.
        size: height and width of the frames; without it they have the records' display size, and all must have the
            same, or `batch_size` must be 1: then each batch has its record's size.
        fit: where the aspect ratio differs: `"crop"` what stands out, `"pad"` with `pad`, or `"stretch"`.
        filter: of the antialiased resize.
        layout: the axes of a sample.
        dtype: of the pixels. `"uint8"` are levels; for float types see `scale`.
        scale, mean, std: for float types, `(level * scale - mean) / std` per channel; levels are 0 to 255.
        pad: colour of the borders of `fit="pad"`, as 8-bit R, G, B; of no other fit.
        shuffle: a new order in each epoch.
        seed: of the order and of random windows.
        redraw: whether random windows lie elsewhere in each epoch. Where they do, they are a function of seed, epoch
            and position; where not, of seed and record, so that a record has the same frames in every epoch, and a
            record's substitutes are the same. By default (None) they do with `shuffle`, for training, and do not
            without, for validation.
        ragged: where the shapes of a field differ: `"error"`, which names two records; `"pad"`, zeros behind each axis
            to the largest of the batch; or `"bucket"`, every batch is of one shape of every field, and each shape has
            one batch an epoch that may not be full. Or one of these for each field, by name: `{"latents": "bucket",
            "text": "pad"}`; `"error"` for the others.
        checksum: whether stored tensors are checked; packets of video always are.
        field_descriptions: what the fields' descriptions must say, `{"latents": {"vae": "..."}}`: every key given must
            be there and equal.
        engine: how storage is read: `"auto"` decides by kernel and file system (`"mmap"` on tmpfs); `"uring"`,
            `"pread"`, `"memory"`. With `"mmap"` a shard that is truncated in place while it is read ends the process
            with SIGBUS; with the others it is damage, as long as its index was not large enough to be mapped (see
            :class:`Dataset`).
        direct_io: whether reads of `"uring"` and `"pread"` go past the page cache of a local disk. `"auto"`: where
            there is more to read than there is memory. `"on"` spares processor time, and memory for others, and is
            faster than a cold cache; `"off"` keeps to the cache.
        decode_workers: threads that decode; one for each core by default.
        tensor_readers: threads that read and check stored tensors; one for each core by default.
        cpu_limit: processor time that the loader's threads may use, in cores: 1.5 is one and a half seconds a second,
            on average over some clips; 0.01 to 1024. No limit by default. What is delivered does not depend on it.
        decode_limits: what one clip may take before it counts as damaged: `{"seconds": 20.0, "pixels": 3840 * 2160}`.
            `packets` fed, 100,000 by default; their `bytes`, 2**30; `frames` decoded, 100,000; `pixels` of a picture as
            the codec stores it, 2**26; `seconds` of a thread's processor time, 120, or None. A clip that runs out of
            time is tried once more, and then raised under every policy, because that depends on the machine.
        prefetch_batches: batches that are finished or in the making while the consumer works; by default 3, or more
            where that would leave threads idle.
        prefetch_bytes: memory of those batches; a batch is begun while they take less. 8 GiB by default.
        on_error: for clips and tensors that are damaged, or whose shard is cut off: `"raise"`; `"skip"`, the batch
            comes without them; or `"substitute"`, another record takes the place. The first one is warned of
            (:class:`SkippedWarning`), all are counted. An epoch of which nothing is left is raised. So is always what
            this machine cannot do, because others may: a missing shard, a failing disk, a codec that its FFmpeg cannot
            decode, memory that is refused. A substitute is found as long as one record is sound.
        drop_last: leave out the last batch if it is not full.
        columns: names of columns to hand out: the user's, or those of the dataset's index (`frames`, `codec`, `width`,
            ...; see :meth:`Dataset.table`). A user's column comes before one of the index that has the same name.
        captions: whether to hand out captions.
        world_size: processes that share the samples. A dataset is not split over processes yet. Where a job has several
            (`WORLD_SIZE` is above 1, or torch.distributed was initialised with more than one) a loader without this
            argument is refused, because all would read the same samples; 1 says that every process is to read all of
            them.

    Raises:
        InvalidArgumentError: an argument is outside its range, the window is longer than every clip, or `batch_size` is
            above the number of samples with `drop_last`; the message names it.
        TypeError: an argument is of another type; the message names it and says what it must be.
    """

    def __new__(
        cls,
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
        dtype: DType = "uint8",
        scale: float = 1 / 255,
        mean: _Channels = (0.0, 0.0, 0.0),
        std: _Channels = (1.0, 1.0, 1.0),
        pad: Sequence[int] = (0, 0, 0),
        shuffle: bool = False,
        seed: int = 0,
        redraw: bool | None = None,
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
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Closes the loader."""
    @property
    def dataset(self) -> Dataset:
        """What the loader loads from."""
    @property
    def batch_size(self) -> int:
        """Samples per batch."""
    @property
    def drop_last(self) -> bool:
        """Whether a last batch that is not full is left out."""
    @property
    def num_samples(self) -> int:
        """Samples in an epoch."""
    @property
    def num_short(self) -> int:
        """Records that the window does not fit; with `short="skip"` they are no samples."""
    @property
    def num_incomplete(self) -> int:
        """Records that are no samples because they lack one of the fields."""
    @property
    def epoch(self) -> int:
        """The epoch being delivered, or the next one once its last batch is handed out; `state_dict` has the same."""
    def __len__(self) -> int:
        """Batches in an epoch, when none is skipped."""
    def __iter__(self) -> Batches:
        """Starts an epoch: the next one, or where `load_state_dict` or `set_epoch` said. It takes its place with its
        first batch; an iterator that was not asked for one leaves no trace."""
    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with that epoch: at its beginning, or where `load_state_dict` resumed it, as
        long as that epoch is not over and no other was begun or set since."""
    def excluded(self) -> list[dict[str, Any]]:
        """Records that are no samples: `record`, its number, `key` and `reason`. The first thousand of those that are
        too short for the window, and of those that lack a field. A loader warns once of records that are too short
        (:class:`ShortWarning`)."""
    def close(self) -> None:
        """Ends all iterations and their threads: those that run raise ClosedError, and no other can be started."""
    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: behind the last batch that was handed out, whatever was read ahead.

        An error moves nothing: save the state when one was raised, and a loader that is resumed tries the batch that
        failed once more. Where you go on instead, with another `next()` of the same iterator, the state moves past it
        with the batch that comes then, or with the end.
        """
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next iteration go on where the state was taken, in a loader whose samples are in the same order.
        Another number of threads, another `size` or, without buckets, another `batch_size` are no other order.

        Raises:
            InvalidArgumentError: it is no state, or one of another dataset, seed, shuffling or number of samples (which
                depends on window and fields), or with `ragged="bucket"` of another batch size; the message has both
                values.
        """
    def stats(self) -> dict[str, Any]:
        """What the loader has done so far, in all its epochs.

        Counters by name; three rates over the time of iteration (`read_bytes_per_second`, `frames_decoded_per_second`,
        `tensor_bytes_per_second`); `read_amplification`, bytes read per byte needed; `decode_amplification`, frames
        decoded per frame delivered; and `limited_by`: `"storage"`, `"check"` (the checksums of tensors), `"decode"`,
        `"transform"`, `"plan"`, `"cpu_limit"`, `"consumer"` or `"unknown"`.
        """
    def describe(self) -> str:
        """What was chosen, and what the machine lacks, in a few lines for people."""

@final
class Batches:
    """The batches of one epoch. Threads read ahead until it ends, is closed or is dropped."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> dict[str, Any]:
        """The next batch. Ctrl-C works while it waits. An error stands in the place of a batch; the next call has the
        one after it."""
    # For framefeed.torch, in two steps: the loader's state moves with the second one.
    def _fetch(self) -> dict[str, Any]: ...
    def _confirm(self) -> None: ...
    @property
    def left_out(self) -> list[dict[str, Any]]:
        """Samples that `on_error="skip"` left out since the last batch: after the end, those that no batch tells of."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Closes the iterator."""
    def close(self) -> None:
        """Ends the epoch and its threads."""

@final
class Writer:
    """Writes a dataset of tensors, record by record, into a folder of its own::

        with framefeed.Writer("latents/", description={"vae": "x-1"}) as writer:
            writer.add("clip/000", {"latents": latents, "text": embedding}, caption="a cat", columns={"score": 0.5})

    Nothing is published before it is closed: after an exception in the `with` block, or when the process dies, there is
    no dataset. Each record is stored as soon as it is added, and what a process that died had stored stays for a writer
    with `resume=True`::

        with framefeed.Writer("latents/", resume=True) as writer:
            for key, video in videos:
                if key not in writer:
                    writer.add(key, {"latents": encode(video)})

    Arrays are stored as they are, never pickled. Any thread may add records.

    Args:
        path: a folder that is missing or empty, or, with `resume`, one of an earlier writer.
        shard_bytes: a shard that has reached this size takes no further record, 1 GiB by default.
        description: what the fields are, in your words: which model, crop, frames per second. JSON values, compared
            when asked for.
        resume: what becomes of the records that an earlier writer stored in the folder and did not publish. True: they
            are checked and kept, also those of this writer where it ends by an exception; a folder that was published
            is taken as one in which all is done. False: they are removed. By default they are a conflict.

    Raises:
        ConflictError: the folder holds something, another writer is at work in it, or the earlier writer's description
            was another.
        CorruptError: a finished shard of an earlier writer is damaged.
    """

    def __new__(
        cls,
        path: _Path,
        *,
        shard_bytes: int = 1 << 30,
        description: Mapping[str, Any] | None = None,
        resume: bool | None = None,
    ) -> Self: ...
    def __contains__(self, key: str, /) -> bool:
        """Whether a record with that key is stored, by this writer or by one that it resumed."""
    @property
    def num_found(self) -> int:
        """Records that earlier writers had stored."""
    @property
    def path(self) -> Path:
        """The dataset's folder."""
    def __len__(self) -> int:
        """Records so far."""
    def add(
        self,
        key: str,
        fields: Mapping[str, _Array],
        *,
        caption: str | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a record. After an error that is about the record the writer is as before, and takes further ones.

        Args:
            key: unique; parts with `/` between them, letters, digits, `_ - + = @`, no dot in the last part.
            fields: arrays in host memory that speak DLPack or the buffer protocol: bool, 8 to 64 bit integers, float16,
                bfloat16, float32, float64. They are stored in C order, whatever theirs is.
            caption: what the record shows.
            columns: JSON values by name: bools, numbers and strings. A list or a dict is stored as the text of its
                JSON, and so are the values of a column that has values of several types.

        Raises:
            InvalidArgumentError: a key that is not valid or was there before, a name that is not valid, something that
                is no array.
            ClosedError: the writer was closed.
        """
    def close(self) -> None:
        """Publishes the dataset. A second call does nothing.

        Raises:
            InvalidArgumentError: there is no record.
        """
    def discard(self) -> None:
        """Ends without a dataset: what was written is removed, also what earlier writers had stored."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> bool:
        """Closes the writer. After an exception there is no dataset: what was written is removed, or, with
        `resume=True`, kept."""

def convert(
    sources: _Path | Iterable[_Path],
    out: _Path,
    *,
    profile: Literal["copy", "train", "raw"] = "copy",
    format: Literal["rgb", "yuv420"] | None = None,
    size: tuple[int, int] | None = None,
    short_side: int | None = None,
    fps: float | None = None,
    gop: int | None = None,
    crf: float | None = None,
    split_seconds: float | None = None,
    shard_bytes: int = 1 << 30,
    jobs: int = 0,
    seed: int = 0,
    check: Literal["full", "fast"] = "full",
    stream: str | int = "best",
    on_change: Literal["reencode", "split", "refuse"] = "reencode",
    on_error: Literal["skip", "fail"] = "skip",
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Converts videos to a dataset, as the command `framefeed convert` does. Killed or interrupted, the same call goes
    on later.

    Args:
        sources: files, folders, globs, or lists (.csv, .jsonl, .parquet): one path, or any iterable of them.
        out: folder of the dataset.
        profile: `"copy"`: the packets as they are. `"train"`: encoded once more for fast random access: small upright
            H.264 with square pixels, in short closed GOPs. `"raw"`: a dataset of tensors, whose field `frames` has all
            frames of a clip, uint8, turned for display, without compression: often 20 to 200 times as many bytes.
        format: what raw frames are. `"rgb"`, which None stands for: RGB [T, H, W, 3]. `"yuv420"`: the decoder's own
            samples as I420, [T, H * 3 // 2, W], neither converted nor resized; clips of more than 8 bits, other chroma
            than 4:2:0, or an odd width or height are refused. The columns `frames_matrix` ("bt709"), `frames_range`
            ("limited"), `frames_color_guessed`, `frames_chroma_location` ("left") and `frames_sample_aspect` ("1:1")
            say how to make RGB of them.
        size: height and width of raw RGB frames, or of the profile train (both even), cropped to fit. Where it is not
            given, raw frames have each clip's display size, and train takes `short_side`.
        short_side: train: the shorter side in pixels, even; 256 by default. Smaller clips keep their size.
        fps: train: frames a second, the frame on screen at each instant, a jump of the timestamps left out; all frames
            at their own times where it is not given.
        gop: train: frames of a GOP; 16 by default. Short ones are cheap to enter, long ones small.
        crf: train: constant rate factor of libx264, 1 (best) to 51; 18 by default.
        split_seconds: cuts long videos into pieces of this length.
        shard_bytes: bytes after which a shard is full, 1 GiB by default.
        jobs: clips converted at a time; 0 is one for each core.
        seed: of the order of the clips.
        check: how thoroughly each clip is proved.
        stream: which video stream is taken. `"best"` is the one that ffmpeg takes; a number is a stream's, as ffprobe
            counts them; `"v:1"` is the second video stream, `"i:0x101"` the one of that id or PID, `"p:3"` the best of
            that program.
        on_change: what to do where the picture changes on the way (size, pixel format, colour, pixel shape, rotation).
            `"reencode"`: the later frames are made like the first ones, as ffmpeg does, and a warning names the frame
            and both values; a change of pixel shape, primaries, transfer or chroma location alone leaves the packets as
            they are. `"split"`: each piece is a clip of its own, copied where it can be; to find the pieces, every
            video is decoded once more. `"refuse"`: the video fails.
        on_error: `"skip"`: what can't be converted is listed in the report; `"fail"`: it is raised.
        retry_failed: converts the shards once more from which an earlier call left clips out because they could not be
            converted. Shards that lack no clip stay as they are.

    Returns:
        The report: counts, what was re-encoded and why, what failed and why; with the profile train under "train" also
        PSNR, and what windows cost before and after.
    """
