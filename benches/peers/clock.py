"""What a piece of work takes: wall seconds, and CPU seconds of all threads and of child processes that have ended."""

from __future__ import annotations

import os
import resource
import time


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Clock:
    """A stopwatch that can be held and let go: `with clock:` runs it."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        self._started = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._started[0]
        self.cpu += _cpu() - self._started[1]

    def took(self) -> dict[str, float]:
        return {"wall": self.wall, "cpu": self.cpu}


def keep_to(cores: int) -> None:
    """Keeps this process, and those that it starts, to that many cores: the last ones, because the first have the interrupts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
