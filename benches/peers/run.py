"""framefeed beside other decoders on the same clips: agreement first, then rates in turn, then ratios.

    python benches/peers/run.py VIDEOS --peer-python .venv-peers/bin/python [--list clips.txt] [--rounds 5]

VIDEOS is a folder, the list names some of its files, one path a line. framefeed converts them, once with packets copied and once with
`--profile train --short-side 256 --gop 16`. Then, for each case, framefeed chooses the windows (or whole clips), every peer decodes
them with every one of its settings, and the fastest one whose pictures agree with framefeed's is timed. Modes:

    windows  16 frames, strides 1 and 4, to 256x256 RGB, the middle of the picture by default; one core; peers read the sources, and for the
             profile train also its files
    whole    whole clips at full resolution to RGB; one core
    loader   the same windows in batches of 8 torch tensors; --cores cores, and as many worker processes around the peer that was best
             alone, and around TorchCodec

Programs take turns, --rounds times, each in a process of its own; imports and the first clips are not timed. Files are in the page
cache. A window counts for a peer where the peer's pictures agree; one that it refuses or takes from other frames costs its time and
gives nothing. The best of each mode is named last, with our ratio to it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers as peer_modules
import report
from datasets import Datasets
from participants import Participant, Peer, choose, feed_command, peer_command, run

ROOT = Path(__file__).resolve().parents[2]
MODES = ("windows", "whole", "loader")
# Of windows: packets copied; the profile train against the sources, and against its own files.
CASES = ("copy", "train", "files")
NUM_FRAMES, SIZE, BATCH_SIZE = 16, (256, 256), 8
# Jobs that every setting is tried on; the chosen one is checked on all.
NUM_TUNED = {"windows": 40, "whole": 6}


@dataclass
class Case:
    """What is decoded: `dataset` by framefeed, the file of each key by the peers."""

    name: str
    kind: str
    dataset: Path
    files: dict[str, str]
    stride: int = 1


def window_case(datasets: Datasets, chosen: str, stride: int) -> Case:
    words = f"windows of {NUM_FRAMES} frames, stride {stride}"
    if chosen == "copy":
        copy = datasets.copy
        return Case(f"{words}, packets copied; peers read the sources", "windows", copy.path, copy.sources, stride)
    train = datasets.train
    read, files = ("the sources", train.sources) if chosen == "train" else ("its files", train.files)
    return Case(f"{words}, profile train; peers read {read}", "windows", train.path, files, stride)


def cases(datasets: Datasets, modes: list[str], chosen: list[str]) -> list[Case]:
    found = []
    if "windows" in modes or "loader" in modes:
        found += [window_case(datasets, each, stride) for stride in (1, 4) for each in chosen]
    if "whole" in modes:
        copy = datasets.copy
        found.append(Case("whole clips; peers read the sources", "whole", copy.path, copy.sources))
    return found


class Suite:
    """The cases, one after another. Text goes to stdout, or to stderr where stdout is for JSON."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder
        self.results: list[dict[str, Any]] = []

    def say(self, *lines: str) -> None:
        print(*lines, sep="\n", file=sys.stderr if self.arguments.json else sys.stdout, flush=True)

    def run(self, case: Case) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as references:
            file, plan = self.planned(case, references)
            jobs = plan["jobs"]
            self.say("", f"{case.name}: {len(jobs)} {'clips' if case.kind == 'whole' else 'windows'}")
            chosen = {
                name: choose(self.arguments.peer_python, name, file, self.arguments.timeout)
                for name in self.arguments.peers
            }
        self.say(*report.agreement(jobs, chosen))
        result = {"case": case.name, "jobs": len(jobs), "checks": report.checks_as_json(chosen)}
        ready = [peer for peer in chosen.values() if isinstance(peer, Peer)]
        if case.kind in self.arguments.modes:
            self.say("  one core:")
            result["one core"] = self.compare(file, len(jobs), "time", ready)
        if case.kind == "windows" and "loader" in self.arguments.modes and ready:
            best = max(ready, key=lambda peer: peer.checked.frames_per_cpu_second)
            inside = [peer for peer in ready if peer is best or peer.name == "torchcodec"]
            self.say(f"  batches of {BATCH_SIZE} torch tensors, {self.arguments.cores} cores:")
            result["loader"] = self.compare(file, len(jobs), "load", inside)
        self.results.append(result)

    def planned(self, case: Case, references: str) -> tuple[Path, dict[str, Any]]:
        """The plan of a case, with the jobs that framefeed chose and the files that peers read."""
        file = self.folder / "plan.json"
        plan: dict[str, Any] = {
            "kind": case.kind,
            "dataset": str(case.dataset),
            "stride": case.stride,
            "placement": self.arguments.placement,
            "fit": self.arguments.fit,
            "num_frames": NUM_FRAMES,
            "size": SIZE,
            "epochs": self.arguments.epochs,
            "cores": self.arguments.cores,
            "batch_size": BATCH_SIZE,
            "num_tuned": NUM_TUNED[case.kind],
            "references": references,
        }
        file.write_text(json.dumps(plan))
        jobs = run(feed_command("jobs", file), self.arguments.timeout)
        plan["jobs"] = [{**job, "path": case.files[job["key"]]} for job in jobs]
        file.write_text(json.dumps(plan))
        return file, plan

    def compare(self, file: Path, num_jobs: int, task: str, ready: list[Peer]) -> dict[str, Any]:
        """The rounds: all take one turn in each, and who begins changes."""
        ours = Participant("framefeed", "", [True] * num_jobs, feed_command(task, file))
        others = [self.participant(peer, task, file) for peer in ready]
        everyone = [ours, *others]
        for number in range(self.arguments.rounds):
            first = number % len(everyone)
            for one in everyone[first:] + everyone[:first]:
                one.take_turn(self.arguments.timeout)
        self.say(*report.table(ours, others))
        return report.as_json(ours, others)

    def participant(self, peer: Peer, task: str, file: Path) -> Participant:
        name = peer.name if task == "time" else f"torch's DataLoader with {peer.name}"
        command = peer_command(self.arguments.peer_python, task, peer.name, file, peer.settings)
        return Participant(name, peer.settings, peer.checked.agreed, command)


def parsed() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("videos", type=lambda text: Path(text).resolve(), help="folder")
    options.add_argument("--list", type=Path, help="paths in the folder, one a line; all videos when left out")
    options.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    options.add_argument("--framefeed", type=Path, default=ROOT / "target/release/framefeed", help="the command")
    options.add_argument("--mode", dest="modes", action="append", choices=MODES, help="may be repeated; default all")
    options.add_argument("--peers", type=lambda text: text.split(","), default=list(peer_modules.NAMES))
    options.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES), help="copy, train, files")
    options.add_argument("--fit", choices=("crop", "stretch"), default="crop", help="how pictures become square")
    options.add_argument("--placement", choices=("random", "keyframe"), default="random", help="where windows begin")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--epochs", type=int, default=2, help="windows of each clip")
    options.add_argument("--cores", type=int, default=2, help="of the mode loader")
    options.add_argument("--timeout", type=float, default=1800.0, help="seconds for one program")
    options.add_argument("--work", type=Path, help="folder for datasets and pictures, some GB; default a temporary one")
    options.add_argument("--json", action="store_true", help="print everything as JSON; text goes to stderr")
    arguments = options.parse_args()
    arguments.modes = arguments.modes or list(MODES)
    if unknown := set(arguments.peers) - set(peer_modules.NAMES):
        options.error(f"--peers: {', '.join(sorted(unknown))}, expected {', '.join(peer_modules.NAMES)}")
    if unknown := set(arguments.cases) - set(CASES):
        options.error(f"--cases: {', '.join(sorted(unknown))}, expected {', '.join(CASES)}")
    return arguments


def main() -> int:
    arguments = parsed()
    names = [line for line in arguments.list.read_text().splitlines() if line] if arguments.list else None
    if arguments.work is not None:
        arguments.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        datasets = Datasets(arguments.framefeed.resolve(), arguments.videos, names, Path(folder))
        suite = Suite(arguments, Path(folder))
        for case in cases(datasets, arguments.modes, arguments.cases):
            suite.run(case)
    if arguments.json:
        print(json.dumps({**{name: getattr(arguments, name) for name in ("rounds", "epochs", "fit", "placement")}, "cases": suite.results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
