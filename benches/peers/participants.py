"""framefeed and the peers as programs that are started once for each measurement, so that none warms another up."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from agreement import LEAST_PSNR

HERE = Path(__file__).resolve().parent


class Crashed(Exception):
    """A program ended without a result."""


def run(command: list[str], timeout: float) -> Any:
    """What the program prints, as JSON. Crashed where it fails, dies or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Crashed(f"no result after {timeout:.0f} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise Crashed(f"exit status {done.returncode}: {last[:200]}")
    # What a peer's libraries print on stdout comes before the result.
    return json.loads(done.stdout.strip().splitlines()[-1])


@dataclass
class Checked:
    """One setting of a peer on some jobs: a verdict for each, and what it took."""

    verdicts: list[dict[str, Any]]
    cpu: float
    wall: float

    @property
    def agreed(self) -> list[bool]:
        return [verdict["fault"] is None for verdict in self.verdicts]

    @property
    def psnr(self) -> float | None:
        """The median over the jobs that were not refused."""
        values = [verdict["psnr"] for verdict in self.verdicts if verdict["psnr"] is not None]
        return median(values) if values else None

    @property
    def frames_per_cpu_second(self) -> float:
        frames: int = sum(verdict["frames"] for verdict in self.verdicts if verdict["fault"] is None)
        return frames / max(self.cpu, 1e-9)

    @property
    def usable(self) -> bool:
        return self.psnr is not None and self.psnr >= LEAST_PSNR and 2 * sum(self.agreed) > len(self.agreed)


@dataclass
class Participant:
    """Who takes part in a case, and the rates of its rounds. A frame counts where the job's pictures agree."""

    name: str
    settings: str
    agreed: list[bool]
    command: list[str]
    rounds: list[dict[str, float]] = field(default_factory=list)
    crash: str | None = None

    def take_turn(self, timeout: float) -> None:
        if self.crash:
            return
        try:
            took = run(self.command, timeout)
        except Crashed as error:
            self.crash = str(error)
            return
        frames = sum(num_frames for num_frames, agreed in zip(took["delivered"], self.agreed) if agreed)
        self.rounds.append({"frames": frames, "cpu": frames / took["cpu"], "wall": frames / took["wall"]})


@dataclass
class Peer:
    """A peer's settings for a case, tried and chosen."""

    name: str
    versions: str
    tried: dict[str, Checked]
    settings: str
    checked: Checked


def feed_command(task: str, plan: Path) -> list[str]:
    return [sys.executable, str(HERE / "feed_main.py"), task, str(plan)]


def peer_command(python: str, task: str, name: str, plan: Path, settings: str | None = None) -> list[str]:
    command = [python, str(HERE / "peer_main.py"), task, name, str(plan)]
    return [*command, "--settings", settings] if settings else command


def choose(python: str, name: str, plan: Path, timeout: float) -> Peer | str:
    """Tries all settings of a peer on some of the jobs, and the fastest that agrees on all. A text where none will do."""
    try:
        result = run(peer_command(python, "check", name, plan), timeout)
        tried = {words: Checked(**checked) for words, checked in result["settings"].items()}
        usable = [words for words, checked in tried.items() if checked.usable]
        if not usable:
            return "; ".join(f"{words}: {faults(checked)}" for words, checked in tried.items())
        best = max(usable, key=lambda words: tried[words].frames_per_cpu_second)
        checked = Checked(**run(peer_command(python, "check", name, plan, best), timeout)["settings"][best])
    except Crashed as error:
        return str(error)
    return Peer(name, result["versions"], tried, best, checked) if checked.usable else f"{best}: {faults(checked)}"


def faults(checked: Checked) -> str:
    """The different faults of the verdicts, with how often."""
    found: dict[str, int] = {}
    for verdict in checked.verdicts:
        if verdict["fault"]:
            found[verdict["fault"]] = found.get(verdict["fault"], 0) + 1
    return ", ".join(f"{fault} ({times} x)" for fault, times in list(found.items())[:3])
