"""Runs one peer over the jobs of a file, in the peers' environment, and prints what came of it as JSON.

    peer_main.py check PEER JOBS                every setting on some jobs: do the pictures agree, and what does it take
    peer_main.py check PEER JOBS --settings S   one setting on all jobs
    peer_main.py time PEER JOBS --settings S    one setting, timed
    peer_main.py load PEER JOBS --settings S    the same in the worker processes of torch's DataLoader, timed

Imports, preparation and the first clips are outside of what is timed. The file is written by run.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import peers
from agreement import as_thwc, judge
from clock import Clock, keep_to

NUM_WARM_UP = 2


def attempt(work: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What the work gives, or why it was refused. Peers raise what they like; a panic of Rust is not even an Exception."""
    try:
        return work(*arguments), None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return None, f"{type(error).__name__}: {error}".split("\n")[0][:200]


def window_of(job: dict[str, Any]) -> peers.Window:
    source, pixel_aspect = peers.picture_size(job["path"])
    return peers.Window(job["path"], job["frames"], job["seconds"], tuple(job["size"]), source, pixel_aspect, job["fit"])


class Windows:
    """Jobs that are windows of frames, resized."""

    def __init__(self, module: Any) -> None:
        self.settings: dict[str, Callable[..., Any]] = module.CLIP

    @staticmethod
    def decode(function: Callable[..., Any], job: dict[str, Any]) -> int:
        return len(function(window_of(job)))

    @staticmethod
    def compared(function: Callable[..., Any], job: dict[str, Any], clock: Clock) -> tuple[int, Any]:
        """The number of frames, and the frames that the reference has."""
        with clock:
            pictures = function(window_of(job))
        return len(pictures), pictures


class Whole:
    """Jobs that are whole clips at full resolution; their `frames` are those that are compared."""

    def __init__(self, module: Any) -> None:
        self.settings: dict[str, Callable[..., Any]] = module.WHOLE

    @staticmethod
    def decode(function: Callable[..., Any], job: dict[str, Any]) -> int:
        return sum(len(piece) for piece in function(job["path"], job["num_frames"]))

    @staticmethod
    def compared(function: Callable[..., Any], job: dict[str, Any], clock: Clock) -> tuple[int, Any]:
        kept: list[np.ndarray] = []
        number = 0
        pieces = function(job["path"], job["num_frames"])
        while True:
            with clock:
                piece = next(pieces, None)
            if piece is None:
                break
            wanted = [frame - number for frame in job["frames"] if number <= frame < number + len(piece)]
            kept.extend(as_thwc(piece)[wanted])
            number += len(piece)
        if number != job["num_frames"]:
            raise ValueError(f"{number} frames, expected {job['num_frames']}")
        return number, np.stack(kept)


def prepare(module: Any, jobs: list[dict[str, Any]]) -> None:
    for path in dict.fromkeys(job["path"] for job in jobs):
        peers.picture_size(path)
        if hasattr(module, "prepare"):
            attempt(module.prepare, path)


def check(kind: Windows | Whole, settings: dict[str, Callable[..., Any]], jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """All settings on each job in turn, so that the machine's slower minutes are everyone's; who begins changes."""
    names = list(settings)
    for words in names:
        for job in jobs[:NUM_WARM_UP]:
            attempt(kind.decode, settings[words], job)
    clocks = {words: Clock() for words in names}
    verdicts: dict[str, list[dict[str, Any]]] = {words: [] for words in names}
    for number, job in enumerate(jobs):
        reference, first = np.load(job["reference"]), number % len(names)
        for words in names[first:] + names[:first]:
            result, refusal = attempt(kind.compared, settings[words], job, clocks[words])
            if result is None:
                verdict = {"psnr": None, "fault": refusal, "refused": True, "frames": 0}
            else:
                verdict = {**judge(result[1], reference), "refused": False, "frames": result[0]}
            verdicts[words].append(verdict)
    return {words: {"verdicts": verdicts[words], **clocks[words].took()} for words in names}


def time_all(kind: Windows | Whole, function: Callable[..., Any], jobs: list[dict[str, Any]]) -> dict[str, Any]:
    for job in jobs[:NUM_WARM_UP]:
        attempt(kind.decode, function, job)
    delivered = []
    with Clock() as clock:
        for job in jobs:
            delivered.append(attempt(kind.decode, function, job)[0] or 0)
    return {"delivered": delivered, **clock.took()}


class Clips:
    """A map-style dataset for torch: the clip of a job as a tensor with the job's number, or None where the peer refuses."""

    def __init__(self, function: Callable[..., Any], jobs: list[dict[str, Any]]) -> None:
        self.function, self.jobs = function, jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, number: int) -> Any:
        import torch

        pictures = attempt(self.function, window_of(self.jobs[number]))[0]
        return None if pictures is None else (number, torch.as_tensor(pictures))


def collate(items: list[Any]) -> Any:
    from torch.utils.data import default_collate

    there = [item for item in items if item is not None]
    return default_collate(there) if there else None


def load_all(function: Callable[..., Any], jobs: list[dict[str, Any]], batch_size: int, workers: int) -> dict[str, Any]:
    """All windows as one shuffled epoch, so that the worker processes start once. Their start is timed, as is that of threads."""
    import torch
    from torch.utils.data import DataLoader

    for job in jobs[:NUM_WARM_UP]:
        attempt(function, window_of(job))
    delivered = [0] * len(jobs)
    with Clock() as clock:
        order = torch.Generator().manual_seed(0)
        clips: Any = Clips(function, jobs)
        loader: DataLoader[Any] = DataLoader(
            clips, batch_size, shuffle=True, generator=order, num_workers=workers, collate_fn=collate
        )
        for batch in itertools.filterfalse(lambda batch: batch is None, loader):
            for number in batch[0].tolist():
                delivered[number] = batch[1].shape[1]
    return {"delivered": delivered, **clock.took()}


def versions(module: Any) -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in module.PACKAGES)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("task", choices=["check", "time", "load"])
    options.add_argument("peer", choices=peers.NAMES)
    options.add_argument("jobs", type=Path)
    options.add_argument("--settings")
    arguments = options.parse_args()
    plan = json.loads(arguments.jobs.read_text())
    jobs = plan["jobs"]
    keep_to(plan["cores"] if arguments.task == "load" else 1)
    module = peers.load(arguments.peer)
    kind = Whole(module) if plan["kind"] == "whole" else Windows(module)
    prepare(module, jobs)
    if arguments.task == "check":
        some = jobs if arguments.settings else jobs[: plan["num_tuned"]]
        chosen = [arguments.settings] if arguments.settings else list(kind.settings)
        checks = check(kind, {words: kind.settings[words] for words in chosen}, some)
        result = {"versions": versions(module), "settings": checks}
    elif arguments.task == "time":
        result = time_all(kind, kind.settings[arguments.settings], jobs)
    else:
        result = load_all(kind.settings[arguments.settings], jobs, plan["batch_size"], plan["cores"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
