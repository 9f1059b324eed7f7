"""TorchCodec. One FFmpeg thread, one torch thread; the frames of a window in one call.

Tried: approximate seek, which takes frame n to be at n over the average rate (another frame where the rate varies), exact seek, which
scans the file first, and frame mappings made beforehand; the cropped part resized by torch, bicubic and bilinear, and the decoder's own
transforms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import av
import torch
from torchcodec.decoders import VideoDecoder
from torchcodec.transforms import CenterCrop, Resize

from peers import Window, chunks

PACKAGES = ("torchcodec", "torch")
torch.set_num_threads(1)

_mappings: dict[str, bytes] = {}


def prepare(path: str) -> None:
    """Makes the file's frame mapping, as `ffprobe -show_frames` would, from its packets."""
    frames = []
    with av.open(path) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None:
                frames.append({"pts": packet.pts, "duration": packet.duration or 1, "key_frame": int(packet.is_keyframe)})
    _mappings[path] = json.dumps({"frames": frames}).encode()


def _open(path: str, seek: str, **options: object) -> VideoDecoder:
    if seek == "mapped":
        return VideoDecoder(path, custom_frame_mappings=_mappings[path], num_ffmpeg_threads=1, **options)
    return VideoDecoder(path, seek_mode=seek, num_ffmpeg_threads=1, **options)


def _by_torch(window: Window, seek: str, mode: str) -> torch.Tensor:
    rows, columns = window.box
    pictures = _open(window.path, seek).get_frames_at(window.frames).data[:, :, rows, columns]
    return torch.nn.functional.interpolate(pictures, size=window.size, mode=mode, antialias=True)


def _by_decoder(window: Window, seek: str) -> torch.Tensor:
    transforms = [Resize(window.covering), CenterCrop(window.size)] if window.fit == "crop" else [Resize(window.size)]
    return _open(window.path, seek, transforms=transforms).get_frames_at(window.frames).data


def _whole(path: str, num_frames: int, seek: str) -> Iterator[torch.Tensor]:
    decoder = _open(path, seek)
    for chunk in chunks(num_frames):
        yield decoder.get_frames_in_range(chunk.start, chunk.stop).data


CLIP = {
    "approximate seek, torch's antialiased bicubic": lambda window: _by_torch(window, "approximate", "bicubic"),
    "approximate seek, torch's antialiased bilinear": lambda window: _by_torch(window, "approximate", "bilinear"),
    "approximate seek, the decoder's resize": lambda window: _by_decoder(window, "approximate"),
    "exact seek, torch's antialiased bicubic": lambda window: _by_torch(window, "exact", "bicubic"),
    "exact seek, torch's antialiased bilinear": lambda window: _by_torch(window, "exact", "bilinear"),
    "frame mappings, torch's antialiased bilinear": lambda window: _by_torch(window, "mapped", "bilinear"),
}
WHOLE = {
    "approximate seek, 32 frames a call": lambda path, num_frames: _whole(path, num_frames, "approximate"),
    "exact seek, 32 frames a call": lambda path, num_frames: _whole(path, num_frames, "exact"),
    "frame mappings, 32 frames a call": lambda path, num_frames: _whole(path, num_frames, "mapped"),
}
