#!/usr/bin/env python3
"""Kills a script with a `Writer` and three `add_column` calls at random moments, runs it again until it ends, and
counts what was asked for.

    python3 benches/kill_columns.py --runs 100

The script makes latents of 70 records with a writer that resumes, then adds a column by a function of a record, one
by a generator function, and one by pairs. It notes each record that it computes in a file before it stores it. A run
is right where the published bytes are those of an undisturbed run, and where no more was computed twice than the
records that were on their way when the process was killed: one for each kill, for the generator a batch. A run that
ends before its first kill does not count, and is made again. Exit status 1 where a run is not right.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from kill_resume import published

RECORDS, BATCH = 70, 4

SCRIPT = """
import itertools, os, sys, time
import numpy as np
import framefeed

root, log, pause = sys.argv[1], open(sys.argv[2], "a", buffering=1), float(sys.argv[3])

def compute(stage, number):
    log.write(f"{stage} {number}\\n")
    time.sleep(pause)
    return np.random.default_rng(number).standard_normal(2000).astype("float32") * len(stage)

with framefeed.Writer(root, resume=True, shard_bytes=200_000) as writer:
    for number in range(%(records)d):
        if f"r/{number:02}" not in writer:
            writer.add(f"r/{number:02}", {"latents": compute("writer", number)}, columns={"third": number / 3})

dataset = framefeed.Dataset(root)
dataset = dataset.add_column("a", lambda record: compute("call", record.number))

def batches(records):
    while batch := list(itertools.islice(records, %(batch)d)):
        arrays = [compute("generator", record.number) for record in batch]
        yield from zip([record.key for record in batch], arrays)

dataset = dataset.add_column("b", batches)

first = dataset.column_position("c")
dataset = dataset.add_column("c", ((dataset[n].key, compute("pairs", n)) for n in range(first, len(dataset))))
assert len(dataset) == %(records)d and list(dataset.fields) == ["latents", "a", "b", "c"]
""" % {"records": RECORDS, "batch": BATCH}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=3, help="most kills in one run")
    parser.add_argument("--pause", type=float, default=0.003, help="seconds that a record takes to compute")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="framefeed-columns-"))

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, str(tmp / name), str(tmp / f"{name}.log"), str(args.pause)]
        return subprocess.Popen(command, stderr=subprocess.PIPE)

    def finish(process: subprocess.Popen[bytes]) -> None:
        if (message := process.communicate()[1]) and process.returncode != 0:
            sys.exit(f"exit status {process.returncode}: {message.decode()}")

    started = time.monotonic()
    finish(start("undisturbed"))
    whole = time.monotonic() - started
    expected = published(tmp / "undisturbed")
    computed = len((tmp / "undisturbed.log").read_text().splitlines())
    print(f"undisturbed: {computed} records computed, {len(expected)} files, {whole:.1f} s", flush=True)

    wrong = kills = extra = run = tries = 0
    while run < args.runs:
        tries += 1
        name, killed = f"run-{tries}", 0
        for _ in range(rng.randint(1, args.kills)):
            process, started = start(name), time.monotonic()
            try:
                process.wait(rng.uniform(0.3, 1.0) * whole)
                # The fastest one tells how long a run takes.
                whole = min(whole, time.monotonic() - started) if killed == 0 else whole
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            process.communicate()
        finish(start(name))
        lines = (tmp / f"{name}.log").read_text().splitlines()
        twice = len(lines) - computed
        run += killed > 0
        kills, extra = kills + killed, extra + twice
        if published(tmp / name) != expected or len(set(lines)) != computed or twice > killed * BATCH:
            wrong += 1
            print(f"{name}: {killed} kills, {twice} records computed twice, published as expected: "
                  f"{published(tmp / name) == expected}", flush=True)
        shutil.rmtree(tmp / name)
    print(f"{run} runs, {kills} kills, {extra} records computed twice ({extra / max(kills, 1):.2f} a kill), {wrong} runs wrong")
    shutil.rmtree(tmp)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
