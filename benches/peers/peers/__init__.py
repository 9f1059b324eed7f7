"""The peers, one module each. A module has:

- `PACKAGES`: the distributions whose versions the report names.
- `CLIP`: settings in words -> a function that decodes a `Window` on one thread and gives its frames in order, resized by stretching,
  uint8 RGB, as a tensor or array [T, 3, H, W] or [T, H, W, 3].
- `WHOLE`: settings in words -> a function that takes a path and the true number of frames, and yields all frames at full
  resolution, in order, in pieces of the same form.
- `prepare(path)`, optional: what a user would do once for a file and keep. It is not timed.

A function raises where the peer refuses a file or frames. All settings of a module are tried by the suite before anything is
timed; the fastest that agrees is the one that is timed.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

NAMES = ("torchcodec", "decord", "pyav", "spdl", "video_reader", "opencv")

# Frames that are decoded in one piece where a whole clip is read: enough to make what a call costs small, little memory.
CHUNK = 32


class Window(NamedTuple):
    """Frames of a file: numbers from 0 in presentation order, and seconds from the first frame, for peers that go by time."""

    path: str
    frames: list[int]
    seconds: list[float]
    size: tuple[int, int]


def load(name: str) -> ModuleType:
    """The module of that peer. ImportError where the peer is not installed."""
    return importlib.import_module(f"peers.{name}")


def chunks(num_frames: int) -> list[range]:
    """The frames of a whole clip in pieces of `CHUNK`."""
    return [range(first, min(first + CHUNK, num_frames)) for first in range(0, num_frames, CHUNK)]
