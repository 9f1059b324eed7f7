"""The whole path over a folder of real videos, named by FRAMEFEED_CLIPS: convert, verify, and every frame against ffmpeg's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import corpus
import framefeed

CLIPS = os.environ.get("FRAMEFEED_CLIPS")
ROOT = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("FRAMEFEED_COMMAND", str(ROOT / "target" / "release" / "framefeed"))

pytestmark = pytest.mark.skipif(CLIPS is None, reason="FRAMEFEED_CLIPS names no folder of videos")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("corpus") / "dataset"
    run = subprocess.run([COMMAND, "convert", str(CLIPS), "--out", str(out), "--json"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return out, json.loads(run.stdout)


def test_every_source_is_stored_or_its_failure_has_a_reason(converted: tuple[Path, dict]) -> None:
    out, report = converted
    dataset = framefeed.Dataset(out)
    stored = {record.source: record.num_frames for record in dataset}
    failed = {failure["source"]: failure["reason"] for failure in report["failed"]}
    for row in corpus.index_rows(Path(str(CLIPS))):
        path = str(Path(str(CLIPS)) / row["path"])
        num_frames = int(row["decoded_frames"] or 0)
        if num_frames == 0 and path in stored:
            # The index was made with an ffmpeg that may know fewer codecs than the one at hand.
            assert stored[path] == corpus.num_decodable(path), path
        elif num_frames > 0:
            assert path in stored, f"{path}: {failed.get(path)}"
            # The index counts the first video stream, which is not always the one that is stored.
            assert row["n_video"] != "1" or stored[path] == num_frames, path
        else:
            assert len(failed[path]) > 10, path


def test_verify_with_decoding_finds_nothing_and_a_second_run_converts_nothing(converted: tuple[Path, dict]) -> None:
    out, _ = converted
    verify = subprocess.run([COMMAND, "verify", str(out), "--decode"], capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout + verify.stderr
    again = subprocess.run([COMMAND, "convert", str(CLIPS), "--out", str(out), "--json"], capture_output=True, text=True)
    assert again.returncode == 0 and json.loads(again.stdout)["up_to_date"] is True


def test_every_frame_equals_ffmpegs_in_order_and_at_random(converted: tuple[Path, dict]) -> None:
    dataset = framefeed.Dataset(converted[0])
    different = {}
    for record in dataset:
        if record.reencoded is None and (found := corpus.differences(record)):
            different[record.source] = found[:5]
    assert not different


def test_the_independent_reader_agrees_with_ours(converted: tuple[Path, dict]) -> None:
    reader = ROOT / "tests" / "pyreader" / "framefeed_reader"
    run = subprocess.run([sys.executable, str(reader), str(converted[0])], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    dataset = framefeed.Dataset(converted[0])
    ours = {record.key: record.num_frames for record in dataset}
    assert {row["key"]: row["frames"] for row in rows} == ours


@pytest.mark.parametrize("stride", [1, 4])
def test_two_loaders_with_one_seed_give_the_same_bytes_whatever_the_workers(converted: tuple[Path, dict], stride: int) -> None:
    def run(workers: int) -> list[tuple[list[str], bytes]]:
        loader = framefeed.Loader(
            framefeed.Dataset(converted[0]), batch_size=4, window=framefeed.Window(frames=8, stride=stride, short="loop"),
            size=(64, 64), shuffle=True, seed=3, decode_workers=workers,
        )  # fmt: skip
        return [(list(batch["key"]), np.from_dlpack(batch["video"]).tobytes()) for batch in loader]

    first, second = run(1), run(4)
    assert [keys for keys, _ in first] == [keys for keys, _ in second]
    assert first == second
    keys = [key for batch, _ in first for key in batch]
    assert len(keys) == len(set(keys)) == len(framefeed.Dataset(converted[0]))
