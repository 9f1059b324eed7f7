"""Processes, threads and signals: forks are noticed, spawned processes open their own, Ctrl-C is heard, the GIL is free."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import framefeed

Make = Callable[..., framefeed.Loader]


def digest(record: framefeed.Record) -> bytes:
    return record.decode([0, 3, 1], size=(32, 32)).numpy().tobytes()


def describe(dataset: framefeed.Dataset) -> tuple[list[str], bytes, list[list[str]]]:
    """What a worker process sees of a dataset that it was given."""
    loader = framefeed.Loader(dataset, window=framefeed.Window(frames=4), batch_size=3, size=(16, 16))
    return [record.key for record in dataset], digest(dataset[0]), [batch["key"] for batch in loader]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_dataset_works_in_every_kind_of_process(dataset: framefeed.Dataset, method: str) -> None:
    expected = describe(dataset)  # used before the fork, on purpose
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(describe, [dataset] * 3) == [expected] * 3


def in_fork(body: Callable[[], None]) -> int:
    """Runs `body` in a forked child with a deadline; its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the forked child hangs")


def test_a_loader_says_that_it_was_forked_and_goes_on_in_its_own_process(make_loader: Make) -> None:
    loader = make_loader(batch_size=1)
    batches = iter(loader)
    next(batches)
    record = loader.dataset[0]
    chunks = record.chunks(1)
    next(chunks)
    expected = digest(record)

    def child() -> None:
        nonlocal loader, batches, chunks
        for use in (lambda: next(batches), lambda: next(chunks), lambda: iter(loader), lambda: len(loader), loader.state_dict, loader.stats):
            with pytest.raises(framefeed.ClosedError, match="fork"):
                use()
        batches.close()
        chunks.close()
        assert "batch_size=1, of another process" in repr(loader)
        del batches, loader, chunks  # must neither hang nor crash
        assert digest(record) == expected  # its dataset is opened anew

    assert in_fork(child) == 0
    assert "8 batches" in repr(loader)
    assert sum(1 for _ in batches) == len(loader) - 1
    assert sum(1 for _ in chunks) == len(record) - 1


def test_a_child_that_ends_normally_does_not_hang(path: Path) -> None:
    program = f"""
        import os, framefeed
        dataset = framefeed.Dataset({str(path)!r})
        loader = framefeed.Loader(dataset, window=framefeed.Window(frames=4), batch_size=1, size=(16, 16))
        batches = iter(loader)
        next(batches)
        child = os.fork()
        if child == 0:
            raise SystemExit(7)  # runs all destructors
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sum(1 for _ in batches))
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["7", "7"], run.stderr


def test_a_program_that_ends_in_the_middle_of_an_epoch_ends(path: Path) -> None:
    program = f"""
        import framefeed
        loader = framefeed.Loader(framefeed.Dataset({str(path)!r}), window=framefeed.Window(frames=4), size=(16, 16))
        batches = iter(loader)
        video = next(batches)["video"].numpy()
        print(video.shape)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "(1, 4, 3, 16, 16)" in run.stdout, run.stderr


def interrupted(call: Callable[[], object], after: float = 0.4) -> float:
    """Sends SIGINT to this process after a while; the seconds from then to the KeyboardInterrupt."""
    sent = []

    def send() -> None:
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
            time.sleep(5)  # too late: the call must have been interrupted
            raise AssertionError("the signal never came")
        return time.monotonic() - sent[0]
    finally:
        timer.cancel()
        timer.join()


def test_ctrl_c_ends_an_endless_loop_over_batches(make_loader: Make) -> None:
    loader = make_loader()

    def forever() -> None:
        while True:
            for _ in loader:
                pass

    assert interrupted(forever) < 2
    assert sum(1 for _ in loader) == len(loader)


def test_ctrl_c_ends_a_long_decode(dataset: framefeed.Dataset) -> None:
    record = dataset.find("h264-b")
    frames = np.tile(np.arange(len(record)), 20_000)

    # One call of many seconds: 800,000 frames, of which forty are different.
    def call() -> None:
        record.decode(frames, size=(8, 8), filter="lanczos")

    assert interrupted(call) < 5
    assert len(record.decode([0])) == 1


def test_ctrl_c_ends_a_conversion_which_then_goes_on(videos: Path, tmp_path: Path) -> None:
    sources = tmp_path / "many"
    sources.mkdir()
    for number in range(120):
        (sources / f"{number}.mp4").write_bytes((videos / "h264-b.mp4").read_bytes())
    out = tmp_path / "out"
    assert interrupted(lambda: framefeed.convert(sources, out, jobs=1, shard_bytes=100_000), after=0.3) < 10
    assert not (out / "manifest.json").exists()
    assert framefeed.convert(sources, out, jobs=2, shard_bytes=100_000)["clips"] == 120


def test_other_threads_run_while_a_loader_waits(make_loader: Make) -> None:
    loader = make_loader(size=(512, 512), decode_workers=1, prefetch_batches=1)
    ticks, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    started = time.monotonic()
    while time.monotonic() - started < 0.5:
        for _ in loader:
            pass
    elapsed = time.monotonic() - started
    stop.set()
    thread.join()
    # With the GIL held by the waits, it would come to a handful.
    assert ticks[0] > elapsed * 50


def test_threads_share_a_dataset_and_an_iterator(dataset: framefeed.Dataset, make_loader: Make) -> None:
    expected = [digest(record) for record in dataset]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda number: digest(dataset[number % len(dataset)]), range(48))) == expected * 6

    batches = iter(make_loader(batch_size=1))

    def drain(_: int) -> list[str]:
        return [key for batch in batches for key in batch["key"]]

    with ThreadPoolExecutor(4) as pool:
        found = sorted(key for keys in pool.map(drain, range(4)) for key in keys)
    assert found == sorted(record.key for record in dataset)


def test_importing_the_package_needs_neither_torch_nor_numpy() -> None:
    program = "import sys, framefeed; print([name for name in ('torch', 'numpy', 'pyarrow') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
