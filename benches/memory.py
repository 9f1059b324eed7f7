"""Resident memory of a loader over many epochs: prints it some twenty times, and the medians of the first and the last tenth of the
epochs, of ten at least, the first one left out. What the last large clips of an epoch left with the C library's allocator moves it up and down; growth
shows in the medians.

    python benches/memory.py DATASET [--epochs 50 | --samples 1000000] [--frames 8] [--placement random] [--size 128] [--batch-size 4]
"""

from __future__ import annotations

import argparse
import array
import gc
import statistics

import framefeed


def resident_mib() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("dataset")
    options.add_argument("--epochs", type=int, default=50)
    options.add_argument("--samples", type=int, help="as many epochs as give so many samples")
    options.add_argument("--frames", type=int, default=8, help="of a window, of stride 2")
    options.add_argument("--placement", default="random", choices=("random", "keyframe", "start", "center"))
    options.add_argument("--size", type=int, default=128, help="height and width")
    options.add_argument("--batch-size", type=int, default=4)
    arguments = options.parse_args()
    dataset = framefeed.Dataset(arguments.dataset)
    epochs = -(-arguments.samples // len(dataset)) if arguments.samples else arguments.epochs
    if epochs < 20:
        options.error(f"{epochs} epochs are too few, expected 20 or more")
    window = framefeed.Window(frames=arguments.frames, stride=2, placement=arguments.placement, short="loop")
    size = (arguments.size, arguments.size)
    loader = framefeed.Loader(dataset, batch_size=arguments.batch_size, window=window, size=size, shuffle=True, seed=1)
    # Of one size from the begin on: a list of 40,000 numbers is a megabyte of its own.
    residents = array.array("d", bytes(8 * epochs))
    for epoch in range(1, epochs + 1):
        samples = sum(len(batch["key"]) for batch in loader)
        assert samples == len(dataset), (samples, len(dataset))
        gc.collect()
        residents[epoch - 1] = resident_mib()
        if epoch == 1 or epoch % (epochs // 20) == 0:
            print(f"epoch {epoch}, {epoch * samples:,} samples: {residents[epoch - 1]:.1f} MiB resident", flush=True)
    later = residents[1:]
    tenth = max(10, len(later) // 10)
    first, last = statistics.median(later[:tenth]), statistics.median(later[-tenth:])
    print(f"from the 2nd to the {epochs}th epoch: {min(later):.1f} to {max(later):.1f} MiB, {later[-1] - later[0]:+.1f} MiB")
    print(f"medians of the first and the last {tenth} of these: {first:.1f} and {last:.1f} MiB, {last - first:+.1f} MiB")


if __name__ == "__main__":
    main()
