"""The peers, one module each. A module has:

- `PACKAGES`: the distributions whose versions the report names.
- `CLIP`: settings in words -> a function that decodes a `Window` on one thread and gives its frames in order, cropped or stretched to
  its size, uint8 RGB, as a tensor or array [T, 3, H, W] or [T, H, W, 3].
- `WHOLE`: settings in words -> a function that takes a path and the true number of frames, and yields all frames at full
  resolution, in order, in pieces of the same form.
- `prepare(path)`, optional: what a user would do once for a file and keep. It is not timed.

A function raises where the peer refuses a file or frames. All settings of a module are tried by the suite before anything is
timed; the fastest that agrees is the one that is timed.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import NamedTuple

NAMES = ("torchcodec", "decord", "pyav", "spdl", "video_reader", "opencv")

# Frames that are decoded in one piece where a whole clip is read: enough to make what a call costs small, little memory.
CHUNK = 32


class Window(NamedTuple):
    """Frames of a file: numbers from 0 in presentation order, and seconds from the first frame, for peers that go by time.

    Sizes are height and width. `source` is that of the file's pictures. With `fit` "crop" the output is the largest middle part of
    the picture that has its aspect ratio; a peer takes that part by `box` before it resizes, or by `middle` after it has resized the
    whole picture to `covering`.
    """

    path: str
    frames: list[int]
    seconds: list[float]
    size: tuple[int, int]
    source: tuple[int, int]
    fit: str

    @property
    def covering(self) -> tuple[int, int]:
        """The size of the whole picture of which `size` is cut."""
        if self.fit == "stretch":
            return self.size
        scale = max(out / length for out, length in zip(self.size, self.source))
        height, width = (max(out, round(length * scale)) for out, length in zip(self.size, self.source))
        return height, width

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the source that become the output."""
        if self.fit == "stretch":
            return slice(0, self.source[0]), slice(0, self.source[1])
        scale = min(length / out for out, length in zip(self.size, self.source))
        rows, columns = (_middle(length, round(out * scale)) for out, length in zip(self.size, self.source))
        return rows, columns

    @property
    def middle(self) -> tuple[slice, slice]:
        """Rows and columns of a picture of the size `covering` that are the output."""
        rows, columns = (_middle(length, out) for out, length in zip(self.size, self.covering))
        return rows, columns

    @property
    def crop_filter(self) -> str:
        """`box` as a filter of FFmpeg."""
        rows, columns = self.box
        width, height = columns.stop - columns.start, rows.stop - rows.start
        return f"crop=w={width}:h={height}:x={columns.start}:y={rows.start}:exact=1"


def _middle(length: int, part: int) -> slice:
    start = (length - part) // 2
    return slice(start, start + part)


@cache
def picture_size(path: str) -> tuple[int, int]:
    """Height and width of a file's pictures."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        return stream.height, stream.width


def load(name: str) -> ModuleType:
    """The module of that peer. ImportError where the peer is not installed."""
    return importlib.import_module(f"peers.{name}")


def chunks(num_frames: int) -> list[range]:
    """The frames of a whole clip in pieces of `CHUNK`."""
    return [range(first, min(first + CHUNK, num_frames)) for first in range(0, num_frames, CHUNK)]
