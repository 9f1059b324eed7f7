"""decord. One thread; frames as torch tensors through DLPack, without a copy.

Tried: the size given to the reader, which resizes every decoded frame by swscale's bicubic, with the crop cut from that, and torch's
antialiased bilinear of the part of the wanted ones that is cropped; for whole clips `next` and batches of 32 frames.
"""

from __future__ import annotations

from collections.abc import Iterator

import decord
import torch

from peers import Window, chunks

PACKAGES = ("decord",)
torch.set_num_threads(1)
decord.bridge.set_bridge("torch")
decord.logging.set_level(decord.logging.QUIET)


def _by_reader(window: Window) -> torch.Tensor:
    height, width = window.covering
    rows, columns = window.middle
    reader = decord.VideoReader(window.path, width=width, height=height, num_threads=1)
    return reader.get_batch(window.frames)[:, rows, columns]


def _by_torch(window: Window) -> torch.Tensor:
    rows, columns = window.box
    pictures = decord.VideoReader(window.path, num_threads=1).get_batch(window.frames)[:, rows, columns].permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(pictures, size=window.size, mode="bilinear", antialias=True)


def _next(path: str, num_frames: int) -> Iterator[torch.Tensor]:
    reader = decord.VideoReader(path, num_threads=1)
    for _ in range(num_frames):
        yield reader.next()[None]


def _batches(path: str, num_frames: int) -> Iterator[torch.Tensor]:
    reader = decord.VideoReader(path, num_threads=1)
    for chunk in chunks(num_frames):
        yield reader.get_batch(list(chunk))


CLIP = {"the reader's own size": _by_reader, "torch's antialiased bilinear": _by_torch}
WHOLE = {"frame by frame": _next, "32 frames a call": _batches}
