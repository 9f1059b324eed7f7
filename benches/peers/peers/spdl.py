"""SPDL. One thread, as is its default; cropping, scaling and conversion in FFmpeg's filters.

Tried: demuxing by a time window, with filters that drop what is before it and between the wanted frames ahead of the scaling, bicubic and
bilinear; demuxing all packets and `sample_decode_video`; for whole clips one call and a stream of 32 packets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import spdl.io

from peers import CHUNK, Window

PACKAGES = ("spdl",)
NUM_REORDERED = 4

_starts: dict[str, float] = {}


def prepare(path: str) -> None:
    """Notes when the file's first frame is shown: SPDL's windows are of the stream's own time."""
    _starts[path] = spdl.io.demux_video(path).get_timestamps()[0]


def _scale(window: Window, algorithm: str) -> str:
    height, width = window.size
    return f"{window.crop_filter},scale=w={width}:h={height}:flags={algorithm},format=pix_fmts=rgb24"


def _arrays(frames: object) -> np.ndarray:
    return np.asarray(spdl.io.to_numpy(spdl.io.convert_frames(frames)))


def _by_time(window: Window, algorithm: str) -> np.ndarray:
    times = [_starts[window.path] + second for second in window.seconds]
    stride = window.frames[1] - window.frames[0]
    interval = min(b - a for a, b in zip(times, times[1:])) / stride
    # The filter rounds both to the stream's time base, which may be as coarse as a frame, and leaves out what is at the end.
    first, last = max(times[0] - interval / 4, 0.0), times[-1] + 3 * interval / 4
    # Packets are taken in decoding order up to the window's end: with B-frames that is some frames too early.
    packets = spdl.io.demux_video(window.path, timestamp=(first, last + NUM_REORDERED * interval))
    chosen = f"trim=start={first:.6f}:end={last:.6f},select=not(mod(n\\,{stride}))"
    return _arrays(spdl.io.decode_packets(packets, filter_desc=f"{chosen},{_scale(window, algorithm)}"))


def _by_index(window: Window) -> np.ndarray:
    packets = spdl.io.demux_video(window.path)
    frames = spdl.io.sample_decode_video(packets, window.frames, filter_desc=_scale(window, "bilinear"))
    return _arrays(frames)


def _at_once(path: str, num_frames: int) -> Iterator[np.ndarray]:
    yield spdl.io.to_numpy(spdl.io.load_video(path, filter_desc="format=pix_fmts=rgb24"))


def _stream(path: str, num_frames: int) -> Iterator[np.ndarray]:
    demuxer = spdl.io.Demuxer(path)
    decoder = spdl.io.Decoder(demuxer.video_codec, filter_desc="format=pix_fmts=rgb24")
    for packets in demuxer.streaming_demux(demuxer.video_stream_index, num_packets=CHUNK):
        for frames in decoder.streaming_decode_packets(packets):
            yield _arrays(frames)
    for frames in decoder.flush():
        yield _arrays(frames)


CLIP = {
    "time window, bicubic": lambda window: _by_time(window, "bicubic"),
    "time window, bilinear": lambda window: _by_time(window, "bilinear"),
    "sample_decode_video, bilinear": _by_index,
}
WHOLE = {"one call": _at_once, "a stream of 32 packets": _stream}
