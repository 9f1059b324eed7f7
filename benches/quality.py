"""RGB windows of every record against ffmpeg's own conversion: PSNR per clip, lowest first.

    python benches/quality.py DATASET [--filter bicubic|area]

Both make 256x256 RGB of the same 16 consecutive frames from the middle of each clip, whole picture, aspect ratio not kept. ffmpeg
runs with accurate rounding and full chroma interpolation, the record's colour matrix, range and chroma siting. Its bicubic kernel has
a = -0.6, ours -0.5 (Pillow's and torchvision's); its area filter weights pixels by exact coverage, ours takes whole pixels as Pillow's
box does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

import framefeed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python" / "tests"))
import corpus  # noqa: E402

SIZE = 256
# swscale's names of matrices, by those of the records.
MATRIX = {
    "gbr": "gbr",
    "fcc": "fcc",
    "bt470bg": "bt601",
    "smpte170m": "bt601",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
# swscale's chroma positions are in 1/256 of a luma sample.
SITING = {"left": (0, 128), "center": (128, 128), "topleft": (0, 0)}


def reference(record: framefeed.Record, frames: list[int], kernel: str) -> np.ndarray:
    """What ffmpeg makes of these frames."""
    flags = {"bicubic": "bicubic", "area": "area"}[kernel] + "+accurate_rnd+full_chroma_int+full_chroma_inp"
    color = record.color
    x, y = SITING[color["chroma_location"]]
    siting = f":in_h_chr_pos={x}:in_v_chr_pos={y}" if "420" in record.pixel_format else ""
    matrix = MATRIX.get(color["matrix"], "bt709")
    matrix = "" if matrix == "gbr" else f":in_color_matrix={matrix}"
    scale = f"scale={SIZE}:{SIZE}:flags={flags}{siting}{matrix}:in_range={color['range']}"
    select = f"select=between(n\\,{frames[0]}\\,{frames[-1]})"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", record.source, "-map", corpus.stream_of(record)]
    command += ["-vf", f"{select},{scale}", "-vsync", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, SIZE, SIZE, 3)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("dataset")
    options.add_argument("--filter", default="bicubic", choices=["bicubic", "area"])
    arguments = options.parse_args()

    dataset = framefeed.Dataset(arguments.dataset)
    records = {record.key: record for record in dataset}
    window = framefeed.Window(frames=16, stride=1, placement="center", short="repeat_last")
    loader = framefeed.Loader(
        dataset, batch_size=1, window=window, size=(SIZE, SIZE), fit="stretch", filter=arguments.filter, layout="THWC"
    )
    rows = []
    for batch in loader:
        record = records[batch["key"][0]]
        frames = sorted(set(np.asarray(batch["frame"])[0].tolist()))
        ours = np.from_dlpack(batch["video"])[0][: len(frames)].astype(np.float64)
        theirs = reference(record, frames, arguments.filter)
        if len(theirs) != len(frames):
            rows.append((0.0, record, f"ffmpeg gave {len(theirs)} of {len(frames)} frames"))
            continue
        error = np.mean((ours - theirs) ** 2)
        worst = int(np.abs(ours - theirs).max())
        rows.append((99.0 if error == 0 else 10 * np.log10(255**2 / error), record, f"largest difference {worst}"))
    for value, record, note in sorted(rows, key=lambda row: row[0]):
        print(f"{value:6.2f} dB  {record.source}  {record.pixel_format} {record.coded_size[1]}x{record.coded_size[0]}  {note}")
    print(f"{len(rows)} clips, {sum(value < 40 for value, _, _ in rows)} under 40 dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
