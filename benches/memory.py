"""Resident memory of a loader over many epochs: prints it after every fifth epoch and the growth from the second to the last.

    python benches/memory.py DATASET [--epochs 50]
"""

from __future__ import annotations

import argparse
import gc

import framefeed


def resident_mib() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("dataset")
    options.add_argument("--epochs", type=int, default=50)
    arguments = options.parse_args()
    window = framefeed.Window(frames=8, stride=2, placement="random", short="loop")
    dataset = framefeed.Dataset(arguments.dataset)
    loader = framefeed.Loader(dataset, batch_size=4, window=window, size=(128, 128), shuffle=True, seed=1)
    second = last = 0.0
    for epoch in range(1, arguments.epochs + 1):
        samples = sum(len(batch["key"]) for batch in loader)
        assert samples == len(dataset), (samples, len(dataset))
        gc.collect()
        last = resident_mib()
        if epoch == 2:
            second = last
        if epoch in (1, 2) or epoch % 5 == 0:
            print(f"epoch {epoch}: {last:.1f} MiB resident", flush=True)
    print(f"from the 2nd to the {arguments.epochs}th epoch: {last - second:+.1f} MiB")


if __name__ == "__main__":
    main()
