"""Resident memory of a loader over many epochs: prints it after every fifth epoch, and the medians of the first and the last ten
from the second on. What the last large clips of an epoch left with the C library's allocator moves it up and down; growth
shows in the medians.

    python benches/memory.py DATASET [--epochs 50]
"""

from __future__ import annotations

import argparse
import gc
import statistics

import framefeed


def resident_mib() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("dataset")
    options.add_argument("--epochs", type=int, default=50, help="at least 2")
    arguments = options.parse_args()
    window = framefeed.Window(frames=8, stride=2, placement="random", short="loop")
    dataset = framefeed.Dataset(arguments.dataset)
    loader = framefeed.Loader(dataset, batch_size=4, window=window, size=(128, 128), shuffle=True, seed=1)
    residents = []
    for epoch in range(1, arguments.epochs + 1):
        samples = sum(len(batch["key"]) for batch in loader)
        assert samples == len(dataset), (samples, len(dataset))
        gc.collect()
        residents.append(resident_mib())
        if epoch in (1, 2) or epoch % 5 == 0:
            print(f"epoch {epoch}: {residents[-1]:.1f} MiB resident", flush=True)
    later = residents[1:]
    first, last = statistics.median(later[:10]), statistics.median(later[-10:])
    print(f"from the 2nd to the {arguments.epochs}th epoch: {min(later):.1f} to {max(later):.1f} MiB, {later[-1] - later[0]:+.1f} MiB")
    print(f"medians of the first and the last ten of these: {first:.1f} and {last:.1f} MiB, {last - first:+.1f} MiB")


if __name__ == "__main__":
    main()
