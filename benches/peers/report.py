"""What a case's rounds say, as text and as JSON: medians, the slowest and fastest round, and ratios of rounds."""

from __future__ import annotations

from statistics import median
from typing import Any

from participants import Participant, Peer

UNITS = ("cpu", "wall")


def spread(values: list[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(ours: Participant, other: Participant, unit: str) -> list[float]:
    """Our rate by the other's, round by round."""
    return [a[unit] / b[unit] for a, b in zip(ours.rounds, other.rounds) if b[unit]]


def agreement(jobs: list[dict[str, Any]], peers: dict[str, Peer | str]) -> list[str]:
    lines = []
    for name, peer in peers.items():
        if isinstance(peer, str):
            lines.append(f"  {name}: not timed. {peer}")
            continue
        checked = peer.checked
        lines.append(
            f"  {name} ({peer.versions}), {peer.settings}: {sum(checked.agreed)} of {len(jobs)} agree, "
            f"median {checked.psnr:.1f} dB"
        )
        lines += [
            f"      {job['key']}: {verdict['fault']}"
            for job, verdict in zip(jobs, checked.verdicts)
            if verdict["fault"]
        ]
    return lines


def best_of(peers: list[Participant], unit: str) -> Participant | None:
    timed = [peer for peer in peers if peer.rounds]
    return max(timed, key=lambda peer: median(run[unit] for run in peer.rounds)) if timed else None


def table(ours: Participant, peers: list[Participant]) -> list[str]:
    """A line for each participant, and at last our ratio to the best of the others."""
    lines = []
    for one in [ours, *peers]:
        if one.crash or not one.rounds:
            lines.append(f"  {one.name}: {one.crash or 'no round'}")
            continue
        rates = ", ".join(f"{spread([run[unit] for run in one.rounds], 0)} per {unit} second" for unit in UNITS)
        by = "" if one is ours else "; framefeed by it " + ", ".join(
            f"{unit} {spread(ratios(ours, one, unit), 2)}" for unit in UNITS
        )  # fmt: skip
        lines.append(f"  {one.name}: frames {rates}{by}")
    for unit in UNITS:
        best = best_of(peers, unit)
        if best and ours.rounds:
            found = spread(ratios(ours, best, unit), 2)
            lines.append(f"  framefeed by the best of the others, frames per {unit} second: {found}, {best.name}")
    return lines


def as_json(ours: Participant, peers: list[Participant]) -> dict[str, Any]:
    def one(participant: Participant) -> dict[str, Any]:
        result: dict[str, Any] = {
            "settings": participant.settings,
            "jobs_agreed": sum(participant.agreed),
            "crash": participant.crash,
            "rounds": participant.rounds,
        }
        if participant is not ours:
            result["ratio"] = {unit: ratios(ours, participant, unit) for unit in UNITS}
        return result

    best = {unit: getattr(best_of(peers, unit), "name", None) for unit in UNITS}
    return {"participants": {each.name: one(each) for each in [ours, *peers]}, "best": best}


def checks_as_json(peers: dict[str, Peer | str]) -> dict[str, Any]:
    def one(peer: Peer | str) -> dict[str, Any]:
        if isinstance(peer, str):
            return {"refused": peer}
        tried = {
            words: {
                "jobs": len(checked.agreed),
                "jobs_agreed": sum(checked.agreed),
                "psnr": checked.psnr,
                "frames_per_cpu_second": checked.frames_per_cpu_second,
            }
            for words, checked in peer.tried.items()
        }
        return {"versions": peer.versions, "chosen": peer.settings, "tried": tried, "verdicts": peer.checked.verdicts}

    return {name: one(peer) for name, peer in peers.items()}
