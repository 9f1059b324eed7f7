"""framefeed's loader and TorchCodec on the same windows of the same clips, in turn; prints medians and ratios.

    python benches/peers/run.py CLIPS --list clips.txt --peer-python PATH [--rounds 5]

CLIPS is a folder of videos, the list names some of them, one path a line (all when left out). framefeed converts them once
(packets copied). Then, for strides 1 and 4, both decode the same windows of 16 frames and give 256x256 RGB uint8; the
pictures are compared before anything is timed. One decode thread each; files are in the page cache. The peer runs in its
own Python environment (--peer-python), which needs torch and torchcodec.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import framefeed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIZE = (256, 256)


def loader(dataset: framefeed.Dataset, stride: int, epochs_seed: int) -> framefeed.Loader:
    window = framefeed.Window(frames=16, stride=stride, placement="random", short="skip")
    return framefeed.Loader(
        dataset, batch_size=1, window=window, size=SIZE, fit="stretch", shuffle=True, seed=epochs_seed, decode_workers=1
    )


def framefeed_round(dataset: framefeed.Dataset, stride: int, epochs: int, expected: list[list[int]]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    feed = loader(dataset, stride, 0)
    seen = []
    for epoch in range(epochs):
        feed.set_epoch(epoch)
        for batch in feed:
            seen.append(np.asarray(batch["frame"])[0].tolist())
    result = {"frames": 16 * len(seen), "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    assert seen == expected, "a timed round gave other windows than the jobs"
    return result


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("clips", type=lambda text: Path(text).resolve(), help="folder")
    options.add_argument("--list", type=Path)
    options.add_argument("--peer-python", required=True)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=3)
    arguments = options.parse_args()

    names = arguments.list.read_text().split("\n") if arguments.list else None
    sources = [str(arguments.clips / name) for name in names if name] if names else [str(arguments.clips)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dataset"
        sources_list = Path(folder) / "list.csv"
        sources_list.write_text("path\n" + "".join(f"{source}\n" for source in sources))
        command = [str(ROOT / "target/release/framefeed"), "convert", str(sources_list), "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        dataset = framefeed.Dataset(out)
        paths = {record.key: record.source for record in dataset}
        for stride in (1, 4):
            compare(dataset, paths, stride, arguments, Path(folder))
    return 0


def compare(dataset: framefeed.Dataset, paths: dict, stride: int, arguments: argparse.Namespace, folder: Path) -> None:
    jobs, expected, sample = [], [], []
    feed = loader(dataset, stride, 0)
    for epoch in range(arguments.epochs):
        feed.set_epoch(epoch)
        for batch in feed:
            frames = np.asarray(batch["frame"])[0].tolist()
            expected.append(frames)
            jobs.append({"path": str(paths[batch["key"][0]]), "frames": frames})
            if len(sample) < 40:
                sample.append(np.from_dlpack(batch["video"])[0].copy())
    sample_file = folder / "sample.npy"
    job_file = folder / f"jobs-{stride}.json"

    def write_jobs(num_compared: int) -> None:
        """Jobs for the peer: the first ones to be saved, or all of them to be timed."""
        text = {"clips": jobs, "size": SIZE, "sample": num_compared, "sample_file": str(sample_file)}
        job_file.write_text(json.dumps(text))

    peer = [arguments.peer_python, str(HERE / "peer_torchcodec.py"), str(job_file)]

    def peer_round() -> dict[str, float]:
        return json.loads(subprocess.run(peer, check=True, capture_output=True, text=True).stdout)

    write_jobs(len(sample))
    subprocess.run(peer, check=True, capture_output=True)
    agreement = [psnr(ours, theirs) for ours, theirs in zip(sample, np.load(sample_file))]
    print(f"stride {stride}: {len(jobs)} windows; PSNR between the pictures {statistics.median(agreement):.1f} dB (median)")
    others = [Path(job["path"]).name for job, value in zip(jobs, agreement) if value < 30]
    if others:
        sys.exit(f"the pictures do not agree, so nothing is timed: {', '.join(sorted(set(others)))}")
    write_jobs(0)
    peer_round()
    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(framefeed_round(dataset, stride, arguments.epochs, expected))
        theirs.append(peer_round())
    failed = statistics.median(run["failed"] for run in theirs)
    print(f"  the peer refused {failed:.0f} of {len(jobs)} windows when it was timed; they count their time and no frames")
    for unit in ("cpu", "wall"):
        a = statistics.median(run["frames"] / run[unit] for run in ours)
        b = statistics.median(run["frames"] / run[unit] for run in theirs)
        ratios = [x["frames"] / x[unit] / (y["frames"] / y[unit]) for x, y in zip(ours, theirs)]
        print(f"  frames per {unit} second: framefeed {a:.0f}, TorchCodec {b:.0f}; ratio {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
