"""PyAV. One thread; seek to the keyframe before the window, decode up to its last frame, convert and resize the wanted frames by swscale.

Tried: swscale's bicubic, bilinear and area; and telling the decoder to skip the frames that neither are wanted nor referenced, packet
by packet, which is right because such a frame changes no other. Frames are found by their timestamps.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np

from peers import Window

PACKAGES = ("av",)


def _ticks(stream: av.VideoStream, seconds: list[float]) -> list[int]:
    return [(stream.start_time or 0) + round(second / stream.time_base) for second in seconds]


def _decoded(container: av.container.InputContainer, wanted: set[int], skip: bool) -> Iterator[av.VideoFrame]:
    """The frames from the keyframe on, without those that may be skipped."""
    for packet in container.demux(video=0):
        if skip:
            packet.stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from packet.decode()


def _clip(window: Window, interpolation: str, skip: bool) -> np.ndarray:
    height, width = window.size
    with av.open(window.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = _ticks(stream, window.seconds)
        wanted = set(ticks)
        container.seek(ticks[0], stream=stream, backward=True)
        pictures: dict[int, np.ndarray] = {}
        for frame in _decoded(container, wanted, skip):
            if frame.pts in wanted:
                small = frame.reformat(width, height, "rgb24", interpolation=interpolation, threads=1)
                pictures[frame.pts] = small.to_ndarray()
                if len(pictures) == len(wanted):
                    break
        return np.stack([pictures[tick] for tick in ticks])


def _stream(path: str, num_frames: int) -> Iterator[np.ndarray]:
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")[None]


CLIP = {
    "bicubic": lambda window: _clip(window, "BICUBIC", False),
    "bilinear": lambda window: _clip(window, "BILINEAR", False),
    "area": lambda window: _clip(window, "AREA", False),
    "bilinear, unreferenced frames skipped": lambda window: _clip(window, "BILINEAR", True),
    "bicubic, unreferenced frames skipped": lambda window: _clip(window, "BICUBIC", True),
}
WHOLE = {"the plain loop": _stream}
