"""PyAV. One thread; seek to the keyframe before the window, decode up to its last frame, convert and resize the wanted frames by swscale.

Tried: swscale's bicubic, bilinear and area by `reformat`, with the crop cut from the whole picture; a graph of filters that crops before it
scales; and telling the decoder to skip the frames that neither are wanted nor referenced, packet
by packet, which is right because such a frame changes no other. Frames are found by their timestamps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import av.filter
import numpy as np

from peers import Window

PACKAGES = ("av",)
Resize = Callable[[av.VideoFrame], np.ndarray]


def _ticks(stream: av.VideoStream, seconds: list[float]) -> list[int]:
    return [(stream.start_time or 0) + round(second / stream.time_base) for second in seconds]


def _decoded(container: av.container.InputContainer, wanted: set[int], skip: bool) -> Iterator[av.VideoFrame]:
    """The frames from the keyframe on, without those that may be skipped."""
    for packet in container.demux(video=0):
        if skip:
            packet.stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        yield from packet.decode()


def _by_reformat(window: Window, interpolation: str) -> Resize:
    height, width = window.covering
    rows, columns = window.middle

    def resize(frame: av.VideoFrame) -> np.ndarray:
        small = frame.reformat(width, height, "rgb24", interpolation=interpolation.upper(), threads=1)
        return small.to_ndarray()[rows, columns]

    return resize


def _by_filters(window: Window, interpolation: str) -> Resize:
    height, width = window.size
    graphs: list[av.filter.Graph] = []

    def resize(frame: av.VideoFrame) -> np.ndarray:
        if not graphs:
            graph = av.filter.Graph()
            name, _, crop = window.crop_filter.partition("=")
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format.name, time_base=Fraction(1, 90_000)
            )
            graph.link_nodes(
                source,
                graph.add(name, crop),
                graph.add("scale", f"w={width}:h={height}:flags={interpolation}"),
                graph.add("format", "pix_fmts=rgb24"),
                graph.add("buffersink"),
            ).configure()
            graphs.append(graph)
        graphs[0].vpush(frame)
        return graphs[0].vpull().to_ndarray()

    return resize


def _clip(window: Window, resize: Resize, skip: bool) -> np.ndarray:
    with av.open(window.path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        ticks = _ticks(stream, window.seconds)
        wanted = set(ticks)
        container.seek(ticks[0], stream=stream, backward=True)
        pictures: dict[int, np.ndarray] = {}
        for frame in _decoded(container, wanted, skip):
            if frame.pts in wanted:
                pictures[frame.pts] = resize(frame)
                if len(pictures) == len(wanted):
                    break
        return np.stack([pictures[tick] for tick in ticks])


def _stream(path: str, num_frames: int) -> Iterator[np.ndarray]:
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")[None]


CLIP = {
    "bicubic": lambda window: _clip(window, _by_reformat(window, "bicubic"), False),
    "bilinear": lambda window: _clip(window, _by_reformat(window, "bilinear"), False),
    "area": lambda window: _clip(window, _by_reformat(window, "area"), False),
    "bilinear by filters": lambda window: _clip(window, _by_filters(window, "bilinear"), False),
    "bilinear, unreferenced frames skipped": lambda window: _clip(window, _by_reformat(window, "bilinear"), True),
    "bicubic, unreferenced frames skipped": lambda window: _clip(window, _by_reformat(window, "bicubic"), True),
    "bilinear by filters, unreferenced frames skipped": lambda window: _clip(window, _by_filters(window, "bilinear"), True),
}
WHOLE = {"the plain loop": _stream}
