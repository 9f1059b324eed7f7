"""`framefeed.convert(profile="train")`: clips that are encoded once more for fast random access."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import framefeed
import numpy as np
import pytest

READER = Path(__file__).parents[2] / "tests/pyreader/framefeed_reader"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("train") / "a.mp4"
    picture = ["-f", "lavfi", "-i", "mandelbrot=size=192x128:rate=25", "-frames:v", "50"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", path], check=True)
    return path


def test_clips_have_the_asked_size_rate_and_gops_and_a_second_reader_agrees(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = framefeed.convert(source, out, profile="train", short_side=64, fps=10, gop=8, crf=12)
    assert (report["clips"], report["failed"], report["reencoded"]) == (1, [], [])
    assert report["train"]["psnr_y_mean"] > 38
    assert [window["stride"] for window in report["train"]["windows"]] == [1, 4]
    dataset = framefeed.Dataset(out)
    assert (dataset.manifest["profile"], dataset[0].num_frames, dataset[0].size, dataset[0].fps) == ("train", 20, (64, 96), 10.0)
    said = json.loads(subprocess.run([sys.executable, READER, out], check=True, capture_output=True, text=True).stdout)
    assert (said["frames"], said["width"], said["height"]) == (20, 96, 64)
    assert dataset[0].reencoded == "profile train"
    loader = framefeed.Loader(dataset, batch_size=1, window=framefeed.Window(frames=4, stride=4), size=(64, 64))
    [batch] = loader
    assert batch["video"].numpy().shape == (1, 4, 3, 64, 64)
    assert np.ptp(batch["video"].numpy()) > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "train", "size": (64, 64), "short_side": 64}, "exclude each other"),
        ({"profile": "train", "short_side": 63}, "short_side is 63"),
        ({"profile": "train", "crf": 0}, "crf is 0"),
        ({"gop": 8}, "profile train"),
    ],
)
def test_options_out_of_range_are_named(source: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match=message):
        framefeed.convert(source, tmp_path / "out", **options)
