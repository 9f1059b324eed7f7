#!/usr/bin/env python3
"""Kills conversions at random moments, finishes each with the same command, and compares every published byte with an
undisturbed run.

    python3 benches/kill_resume.py --runs 100 target/release/framefeed VIDEOS [-- further arguments of convert]

Each run is killed with SIGKILL once or more at moments drawn from the time that the fastest undisturbed run took, then
finished, then run once more: that must convert nothing. A run that ends before its first kill does not count, and is
made again. Exit status 1 where any run differs.
"""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time


def published(out: pathlib.Path) -> dict[str, str]:
    """Hash of every file but those of the conversion itself."""
    files = [path for path in out.rglob("*") if path.is_file() and ".framefeed" not in path.relative_to(out).parts]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=3, help="most kills in one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tmp", help="folder for the datasets")
    parser.add_argument("framefeed")
    parser.add_argument("source")
    parser.add_argument("convert_args", nargs="*")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="framefeed-kill-", dir=args.tmp))

    def command(out: pathlib.Path) -> list[str]:
        return [args.framefeed, "convert", args.source, "--out", str(out), "--json", *args.convert_args]

    def finish(out: pathlib.Path) -> dict:
        result = subprocess.run(command(out), capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"exit status {result.returncode}: {result.stderr}")
        return json.loads(result.stdout)

    started = time.monotonic()
    report = finish(tmp / "undisturbed")
    whole = time.monotonic() - started
    expected = published(tmp / "undisturbed")
    print(f"undisturbed: {report['clips']} clips, {report['shards']} shards, {whole:.1f} s", flush=True)

    different = killed = number = 0
    while number < args.runs:
        out = tmp / f"run-{number}"
        kills = 0
        for _ in range(rng.randint(1, args.kills)):
            started = time.monotonic()
            process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                process.wait(timeout=rng.uniform(0, whole))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            else:
                if kills == 0:
                    whole = min(whole, time.monotonic() - started)
                break
        if kills == 0:
            shutil.rmtree(out)
            continue
        number += 1
        report = finish(out)
        again = finish(out)
        actual = published(out)
        same = actual == expected and again["up_to_date"] and again["clips_converted"] == 0
        killed += kills
        different += not same
        print(
            f"run {number}: killed {kills} times, then {report['clips_converted']} clips in finished shards or new, "
            f"{report['clips_reused']} in earlier ones: {'same' if same else 'DIFFERENT'}",
            flush=True,
        )
        if same:
            shutil.rmtree(out)
        else:
            names = {name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name)}
            print(f"  differing: {sorted(names)}; kept in {out}", flush=True)
    print(f"{args.runs} runs, {killed} kills, {different} different")
    if not different:
        shutil.rmtree(tmp)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
