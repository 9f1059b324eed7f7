"""TorchCodec as a clip loader, for run.py: reads jobs from a JSON file, decodes them on one thread, prints what it took.

Settings: approximate seek, one FFmpeg thread, frames fetched in one call, resized by torch's antialiased bicubic
interpolation on one thread (the fastest of its ways that we measured). Needs torch and torchcodec, not framefeed.
"""

import json
import sys
import time

import numpy as np
import torch
from torchcodec.decoders import VideoDecoder


def clip(path: str, frames: list[int], size: list[int]) -> torch.Tensor:
    decoder = VideoDecoder(path, seek_mode="approximate", num_ffmpeg_threads=1)
    pictures = decoder.get_frames_at(frames).data
    return torch.nn.functional.interpolate(pictures, size=size, mode="bicubic", antialias=True)


def main() -> None:
    jobs = json.load(open(sys.argv[1]))
    torch.set_num_threads(1)
    sample = [clip(job["path"], job["frames"], jobs["size"]).numpy() for job in jobs["clips"][: jobs["sample"]]]
    np.save(jobs["sample_file"], np.stack(sample))
    wall, cpu = time.perf_counter(), time.process_time()
    delivered = 0
    for job in jobs["clips"]:
        delivered += clip(job["path"], job["frames"], jobs["size"]).shape[0]
    print(json.dumps({"frames": delivered, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


main()
