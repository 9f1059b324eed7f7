"""Runs framefeed over the jobs of a file, in its own environment, and prints what came of it as JSON.

    feed_main.py jobs FILE     chooses the windows or clips, writes the pictures that peers are compared with, prints the jobs
    feed_main.py time FILE     framefeed.Loader with one decode thread, or Record.chunks for whole clips, timed
    feed_main.py load FILE     framefeed.torch.DataLoader with a decode thread for each core, timed

Imports and the first batch are outside of what is timed; the threads' start in each epoch is not. The file is written by run.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import framefeed
from clock import Clock, keep_to

# Frames of the tensors that a whole clip comes in.
CHUNK = 2
# Frames of each whole clip that are compared.
NUM_COMPARED = 8


def loader_options(plan: dict[str, Any]) -> dict[str, Any]:
    window = framefeed.Window(frames=plan["num_frames"], stride=plan["stride"], placement=plan["placement"], short="skip")
    return {"window": window, "size": tuple(plan["size"]), "fit": plan["fit"], "shuffle": True, "seed": 0}


def batches(loader: Any, epochs: int) -> Iterator[dict[str, Any]]:
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        yield from loader


def window_jobs(dataset: framefeed.Dataset, plan: dict[str, Any]) -> list[dict[str, Any]]:
    loader = framefeed.Loader(dataset, batch_size=1, **loader_options(plan))
    jobs: list[dict[str, Any]] = []
    for batch in batches(loader, plan["epochs"]):
        record = dataset.find(batch["key"][0])
        frames = np.asarray(batch["frame"])[0].tolist()
        numerator, denominator = record.time_base
        seconds = [(record.pts[frame] - record.pts[0]) * numerator / denominator for frame in frames]
        reference = Path(plan["references"]) / f"{len(jobs):06}.npy"
        np.save(reference, np.from_dlpack(batch["video"])[0].transpose(0, 2, 3, 1))
        job = {"key": record.key, "frames": frames, "seconds": seconds, "size": plan["size"], "fit": plan["fit"]}
        jobs.append({**job, "num_frames": len(frames), "reference": str(reference)})
    return jobs


def full_size(record: framefeed.Record) -> dict[str, Any]:
    """Turned for display, but in the pixels of the file, as peers give them: not made square."""
    height, width = record.coded_size if record.rotation % 180 == 0 else record.coded_size[::-1]
    return {"size": (height, width), "fit": "stretch", "layout": "THWC"}


def whole_jobs(dataset: framefeed.Dataset, plan: dict[str, Any]) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    for record in dataset:
        last = record.num_frames - 1
        frames = sorted({round(last * step / (NUM_COMPARED - 1)) for step in range(NUM_COMPARED)})
        reference = Path(plan["references"]) / f"{len(jobs):06}.npy"
        np.save(reference, record.decode(frames, **full_size(record)).numpy())
        jobs.append({"key": record.key, "frames": frames, "num_frames": record.num_frames, "reference": str(reference)})
    return jobs


def decode_whole(record: framefeed.Record) -> int:
    options = {**full_size(record), "layout": "TCHW"}
    return sum(len(chunk) for chunk in record.chunks(CHUNK, **options))


def time_whole(dataset: framefeed.Dataset, plan: dict[str, Any]) -> dict[str, Any]:
    decode_whole(dataset[0])
    with Clock() as clock:
        delivered = [decode_whole(record) for record in dataset]
    return {"delivered": delivered, **clock.took()}


def time_windows(loader: Any, plan: dict[str, Any]) -> dict[str, Any]:
    """Times all epochs, and makes sure that their windows are those of the jobs, in order."""
    first = iter(loader)
    next(first)
    first.close()
    seen = []
    with Clock() as clock:
        for batch in batches(loader, plan["epochs"]):
            seen.append((batch["key"], batch["frame"], batch["video"].shape[1]))
    windows = [(key, list(row)) for keys, rows, _ in seen for key, row in zip(keys, np.asarray(rows).tolist())]
    if windows != [(job["key"], job["frames"]) for job in plan["jobs"]]:
        sys.exit("a timed round gave other windows than the jobs")
    delivered = [num_frames for keys, _, num_frames in seen for _ in keys]
    return {"delivered": delivered, **clock.took()}


def main() -> None:
    task, plan = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    dataset = framefeed.Dataset(plan["dataset"])
    whole = plan["kind"] == "whole"
    if task == "jobs":
        print(json.dumps((whole_jobs if whole else window_jobs)(dataset, plan)))
        return
    keep_to(plan["cores"] if task == "load" else 1)
    if task == "time" and whole:
        print(json.dumps(time_whole(dataset, plan)))
        return
    if task == "time":
        loader: Any = framefeed.Loader(dataset, batch_size=1, decode_workers=1, **loader_options(plan))
    else:
        from framefeed.torch import DataLoader

        loader = DataLoader(
            dataset, batch_size=plan["batch_size"], decode_workers=plan["cores"], **loader_options(plan)
        )
    print(json.dumps(time_windows(loader, plan)))


if __name__ == "__main__":
    main()
