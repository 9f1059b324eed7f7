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

    Sizes are height and width. `source` is that of the file's pictures, `pixel_aspect` the width of their pixels by the height. With `fit` "crop" the output is the largest middle part of
    the picture that has its aspect ratio; a peer takes that part by `box` before it resizes, or by `middle` after it has resized the
    whole picture to `covering`.
    """

    path: str
    frames: list[int]
    seconds: list[float]
    size: tuple[int, int]
    source: tuple[int, int]
    pixel_aspect: float
    fit: str

    @property
    def _scale(self) -> tuple[float, float]:
        """Rows and columns of the source for one of the output's."""
        (height, width), (out_height, out_width) = self.source, self.size
        scale = min(height / out_height, width * self.pixel_aspect / out_width)
        return scale, scale / self.pixel_aspect

    @property
    def covering(self) -> tuple[int, int]:
        """The size of the whole picture of which `size` is cut."""
        if self.fit == "stretch":
            return self.size
        height, width = (max(o, round(s / scale)) for o, s, scale in zip(self.size, self.source, self._scale))
        return height, width

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the source that become the output."""
        if self.fit == "stretch":
            return slice(0, self.source[0]), slice(0, self.source[1])
        parts = (min(s, round(o * scale)) for o, s, scale in zip(self.size, self.source, self._scale))
        rows, columns = (_middle(length, part) for length, part in zip(self.source, parts))
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
def picture_size(path: str) -> tuple[tuple[int, int], float]:
    """Height and width of a file's pictures, and their pixels' aspect ratio."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        return (stream.height, stream.width), float(stream.sample_aspect_ratio or 1)


def load(name: str) -> ModuleType:
    """The module of that peer. ImportError where the peer is not installed."""
    return importlib.import_module(f"peers.{name}")


def chunks(num_frames: int) -> list[range]:
    """The frames of a whole clip in pieces of `CHUNK`."""
    return [range(first, min(first + CHUNK, num_frames)) for first in range(0, num_frames, CHUNK)]
