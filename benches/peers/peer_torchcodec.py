"""TorchCodec as a clip loader, for run.py: reads jobs from a JSON file, decodes them on one thread, prints what it took.

Settings: approximate seek, one FFmpeg thread, frames fetched in one call, resized by torch's antialiased bicubic
interpolation on one thread (the fastest of its ways that we measured). The pictures that are compared come by exact seek:
the approximate one takes frame n to be at n over the average rate, which is another frame where the rate varies, and fails
beyond the last frame that it knows of. Needs torch and torchcodec, not framefeed.
"""

import json
import sys
import time

import numpy as np
import torch
from torchcodec.decoders import VideoDecoder


def clip(path: str, frames: list[int], size: list[int], seek_mode: str) -> torch.Tensor:
    decoder = VideoDecoder(path, seek_mode=seek_mode, num_ffmpeg_threads=1)
    pictures = decoder.get_frames_at(frames).data
    return torch.nn.functional.interpolate(pictures, size=size, mode="bicubic", antialias=True)


def attempt(job: dict, size: list[int]) -> torch.Tensor | None:
    """The clip, or None where TorchCodec refuses it (its approximate index may promise frames that are not there)."""
    try:
        return clip(job["path"], job["frames"], size, "approximate")
    except (RuntimeError, IndexError) as error:
        print(f"{job['path']}: {error}", file=sys.stderr)
        return None


def main() -> None:
    jobs = json.load(open(sys.argv[1]))
    torch.set_num_threads(1)
    if jobs["sample"]:
        sample = [clip(job["path"], job["frames"], jobs["size"], "exact") for job in jobs["clips"][: jobs["sample"]]]
        np.save(jobs["sample_file"], np.stack([one.numpy() for one in sample]))
        return
    wall, cpu = time.perf_counter(), time.process_time()
    delivered = failed = 0
    for job in jobs["clips"]:
        pictures = attempt(job, jobs["size"])
        delivered += 0 if pictures is None else pictures.shape[0]
        failed += pictures is None
    took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"frames": delivered, "failed": failed, **took}))


main()
