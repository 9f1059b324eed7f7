"""video-reader-rs. One thread; `get_batch` with the size given to the reader, and the crop cut from that.

Tried: bicubic, bilinear and area; its own choice between seeking and reading from the start, and always seeking; for whole clips
`decode`, `decode_fast`, batches of 32 frames, and iteration.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from importlib import metadata

import numpy as np

from peers import Window, chunks

# The wheel has libsharpyuv but does not tell its libwebpmux where: it is loaded first, so that the linker has it.
for _file in metadata.files("video-reader-rs") or []:
    if _file.name.startswith("libsharpyuv"):
        ctypes.CDLL(str(_file.locate()))

from video_reader import PyVideoReader  # noqa: E402

PACKAGES = ("video-reader-rs",)


def _clip(window: Window, algorithm: str, from_start: bool | None) -> np.ndarray:
    height, width = window.covering
    rows, columns = window.middle
    reader = PyVideoReader(window.path, threads=1, target_width=width, target_height=height, resize_algo=algorithm)
    return np.asarray(reader.get_batch(window.frames, with_fallback=from_start))[:, rows, columns]


def _decode(path: str, num_frames: int) -> Iterator[np.ndarray]:
    yield PyVideoReader(path, threads=1).decode()


def _decode_fast(path: str, num_frames: int) -> Iterator[np.ndarray]:
    for picture in PyVideoReader(path, threads=1).decode_fast():
        yield picture[None]


def _batches(path: str, num_frames: int) -> Iterator[np.ndarray]:
    reader = PyVideoReader(path, threads=1)
    for chunk in chunks(num_frames):
        yield reader.get_batch(list(chunk))


def _iterate(path: str, num_frames: int) -> Iterator[np.ndarray]:
    for picture in PyVideoReader(path, threads=1):
        yield picture[None]


CLIP = {
    "bicubic": lambda window: _clip(window, "bicubic", None),
    "bilinear": lambda window: _clip(window, "bilinear", None),
    "area": lambda window: _clip(window, "area", None),
    "bilinear, always seeking": lambda window: _clip(window, "bilinear", False),
}
WHOLE = {"decode": _decode, "decode_fast": _decode_fast, "32 frames a call": _batches, "iteration": _iterate}
