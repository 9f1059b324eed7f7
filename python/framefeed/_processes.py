"""How many processes a job has, so that they do not all read the same samples by mistake."""

from __future__ import annotations

import os
import sys

from framefeed._errors import InvalidArgumentError


def num_processes() -> tuple[int, str]:
    """The number of processes of the job that this one is part of, and how that is known.

    ``torch.distributed`` is asked where it was initialised, but not imported for it; else the variable ``WORLD_SIZE``, which ``torchrun``
    and other launchers set.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and getattr(distributed, "is_available", bool)() and distributed.is_initialized():
        return int(distributed.get_world_size()), "torch.distributed has {} processes"
    try:
        return int(os.environ.get("WORLD_SIZE", "1")), "WORLD_SIZE is {}"
    except ValueError:
        return 1, ""


def check_world_size(world_size: int | None) -> None:
    """Raises where several processes would read the same samples and nobody said that they should."""
    if world_size is None:
        number, told = num_processes()
        if number > 1:
            raise InvalidArgumentError(
                f"{told.format(number)}, and each of them would read the same samples: framefeed does not split a dataset"
                " over processes yet; give world_size=1 if every process is to read all samples",
                kind="invalid argument",
            )
    elif world_size != 1:
        raise InvalidArgumentError(
            f"world_size is {world_size}, expected 1: every process reads all samples, framefeed does not split a dataset"
            " over processes yet",
            kind="invalid argument",
        )
