"""OpenCV's VideoCapture with FFmpeg. One thread; seek by frame number, grab every frame up to the last, retrieve the wanted ones.

Tried: resizing by area and bilinear (which here is not antialiased).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "threads;1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from peers import Window  # noqa: E402

PACKAGES = ("opencv-python-headless",)
cv2.setNumThreads(1)


def _open(path: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise OSError("OpenCV does not open it")
    return capture


def _retrieved(capture: cv2.VideoCapture) -> np.ndarray:
    there, picture = capture.retrieve()
    if not there:
        raise OSError("OpenCV has no such frame")
    return np.asarray(picture)


def _clip(window: Window, interpolation: int) -> np.ndarray:
    height, width = window.size
    box = window.box
    capture = _open(window.path)
    capture.set(cv2.CAP_PROP_POS_FRAMES, window.frames[0])
    wanted = set(window.frames)
    pictures = np.empty((len(window.frames), height, width, 3), np.uint8)
    filled = 0
    for number in range(window.frames[0], window.frames[-1] + 1):
        if not capture.grab():
            raise OSError("OpenCV has no such frame")
        if number in wanted:
            small = cv2.resize(_retrieved(capture)[box], (width, height), interpolation=interpolation)
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=pictures[filled])
            filled += 1
    return pictures


def _stream(path: str, num_frames: int) -> Iterator[np.ndarray]:
    capture = _open(path)
    while capture.grab():
        yield cv2.cvtColor(_retrieved(capture), cv2.COLOR_BGR2RGB)[None]


CLIP = {
    "area": lambda window: _clip(window, cv2.INTER_AREA),
    "bilinear": lambda window: _clip(window, cv2.INTER_LINEAR),
}
WHOLE = {"the plain loop": _stream}
