"""Tensors from storage into batches: the loader, its checksums on and off, and fio's psync and mmap jobs on the same file, in turn.

    python benches/tensors.py --folder /dev/shm/bench [--mib 1 4 16] [--gib 2] [--runs 5] [--threads 2] [--cold] [--json out.json]

Writes a dataset of random tensors of each size, compares every byte of one epoch with what was written, then measures: in each
run every contender once, in an order that moves on from run to run. Medians, with the spread. With `--cold` the shard is dropped from the page
cache before each measurement, which is right for a disk and does nothing on tmpfs. fio (a Debian package) is left out where it is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import framefeed


def tensor(number: int, num_bytes: int) -> np.ndarray:
    """What record `number` holds: bfloat16-sized elements that differ from record to record."""
    return np.frombuffer(np.random.default_rng(number).bytes(num_bytes), np.uint16).reshape(16, -1)


def write(folder: Path, num_bytes: int, count: int) -> framefeed.Dataset:
    with framefeed.Writer(folder, shard_bytes=1 << 40) as writer:
        for number in range(count):
            writer.add(f"{number:06}", fields={"latents": tensor(number, num_bytes)})
    return framefeed.Dataset(folder)


def loader(dataset: framefeed.Dataset, args: argparse.Namespace, num_bytes: int, checksum: str) -> framefeed.Loader:
    batch_size = max(1, (args.batch_mib << 20) // num_bytes)
    return framefeed.Loader(
        dataset, batch_size=batch_size, fields=["latents"], captions=False, tensor_readers=args.threads,
        checksum=checksum, drop_last=True, shuffle=args.shuffle,
    )  # fmt: skip


def check(dataset: framefeed.Dataset, args: argparse.Namespace, num_bytes: int) -> None:
    """Every byte of an epoch."""
    seen = 0
    for batch in loader(dataset, args, num_bytes, "on"):
        for record, row in zip(batch["record"].numpy(), batch["latents"].numpy()):
            assert np.array_equal(row, tensor(record, num_bytes)), f"record {record} is not what was written"
            seen += 1
    assert seen > 0, "nothing was checked"


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(source: framefeed.Loader, epochs: int) -> dict[str, float]:
    """Rate and CPU time over whole epochs, from the start of the first to the end of the last."""
    begun, cpu, num_bytes = time.perf_counter(), cpu_seconds(), 0
    for _ in range(epochs):
        for batch in source:
            num_bytes += batch["latents"].nbytes
    seconds = time.perf_counter() - begun
    return {"gb_per_s": num_bytes / seconds / 1e9, "cpu_s_per_gb": (cpu_seconds() - cpu) / (num_bytes / 1e9)}


def fio(file: Path, engine: str, block: str, args: argparse.Namespace) -> dict[str, float]:
    """The same file, each job a part of it of its own, again and again for three seconds; once through where the cache is cold."""
    size = file.stat().st_size // args.threads >> 20 << 20
    command = [
        "fio", "--name=a", f"--filename={file}", f"--ioengine={engine}", "--rw=read", f"--bs={block}", f"--numjobs={args.threads}",
        "--thread", f"--size={size}", f"--offset_increment={size}", "--group_reporting", "--output-format=json", "--readonly",
        f"--invalidate={int(args.cold)}", *([] if args.cold else ["--time_based", "--runtime=3"]),
    ]  # fmt: skip
    job = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["jobs"][0]
    rate = job["read"]["bw_bytes"] / 1e9
    return {"gb_per_s": rate, "cpu_s_per_gb": (job["usr_cpu"] + job["sys_cpu"]) / 100 * args.threads / rate}


def evict(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def bench(folder: Path, mib: int, args: argparse.Namespace) -> dict[str, object]:
    num_bytes = mib << 20
    dataset = write(folder, num_bytes, (args.gib << 30) // num_bytes)
    check(dataset, args, num_bytes)
    file = folder / dataset.manifest["shards"][0]["file"]
    epochs = 1 if args.cold else max(1, 8 // args.gib)
    contenders: dict[str, Callable[[], dict[str, float]]] = {}
    for checksum in ("on", "off"):
        source = loader(dataset, args, num_bytes, checksum)
        measure(source, 1)  # memory that is recycled from then on
        contenders[f"loader, checksum {checksum}"] = lambda source=source: measure(source, epochs)
    if shutil.which("fio"):
        for engine in ("psync", "mmap"):
            contenders[f"fio {engine}"] = lambda engine=engine: fio(file, engine, args.fio_block, args)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    names = list(contenders)
    for run in range(args.runs):
        for name in names[run % len(names) :] + names[: run % len(names)]:
            if args.cold:
                evict(file)
            results[name].append(contenders[name]())
    summary: dict[str, object] = {"mib": mib, "describe": loader(dataset, args, num_bytes, "on").describe()}
    for name, runs in results.items():
        rates = [run["gb_per_s"] for run in runs]
        summary[name] = {
            "gb_per_s": statistics.median(rates),
            "spread": [min(rates), max(rates)],
            "cpu_s_per_gb": statistics.median(run["cpu_s_per_gb"] for run in runs),
        }
    del dataset, contenders
    shutil.rmtree(folder)
    return summary


def show(summary: dict[str, object]) -> None:
    print(f"\n{summary['mib']} MiB tensors")
    rows = {name: row for name, row in summary.items() if isinstance(row, dict)}
    best = max((row["gb_per_s"] for name, row in rows.items() if name.startswith("fio")), default=None)
    for name, row in rows.items():
        ratio = f"{row['gb_per_s'] / best:6.2f} of fio's best" if best else ""
        low, high = row["spread"]
        print(f"  {name:22} {row['gb_per_s']:6.2f} GB/s ({low:.2f} to {high:.2f})  {row['cpu_s_per_gb']:.3f} CPU s/GB {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the dataset goes: on tmpfs or on a disk")
    parser.add_argument("--mib", type=int, nargs="+", default=[1, 4, 16], help="sizes of tensors")
    parser.add_argument("--gib", type=int, default=2, help="size of each dataset")
    parser.add_argument("--batch-mib", type=int, default=64, help="size of a batch")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="tensor readers, and jobs of fio")
    parser.add_argument("--fio-block", default="512k")
    parser.add_argument("--shuffle", action="store_true", help="records in a random order")
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache before each measurement")
    parser.add_argument("--json", type=Path, help="writes the results there as well")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, {time.strftime('%Y-%m-%d')}, {args.runs} runs in turn")
    summaries = []
    for mib in args.mib:
        summaries.append(bench(args.folder / f"tensors-{mib}", mib, args))
        show(summaries[-1])
    print("\n" + str(summaries[-1]["describe"]))
    if args.json:
        args.json.write_text(json.dumps(summaries, indent=1))


if __name__ == "__main__":
    main()
