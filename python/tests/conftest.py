"""Videos made by the ffmpeg command, a dataset converted from them, and what the tests ask of both."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import framefeed

# name, ffmpeg's source, frames, encoder options, extension
VIDEOS = [
    ("h264-b", "testsrc2=size=96x64:rate=24", 40, ["-c:v", "libx264", "-g", "12", "-bf", "2"], "mp4"),
    ("h264-444", "testsrc2=size=96x64:rate=24", 20, ["-c:v", "libx264", "-pix_fmt", "yuv444p"], "mkv"),
    ("hevc", "testsrc=size=128x72:rate=25", 30, ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=10"], "mp4"),
    ("hevc-10bit", "testsrc2=size=128x72:rate=25", 12, ["-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p10le"], "mkv"),
    ("vp9", "testsrc=size=160x120:rate=30", 32, ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"], "webm"),
    ("mpeg2", "testsrc2=size=96x80:rate=25", 25, ["-c:v", "mpeg2video", "-bf", "2", "-q:v", "4"], "ts"),
    ("mpeg4", "testsrc2=size=90x50:rate=15", 18, ["-c:v", "mpeg4", "-q:v", "3"], "avi"),
    ("gray", "testsrc2=size=64x64:rate=10", 9, ["-c:v", "libx264", "-pix_fmt", "gray"], "mkv"),
]  # fmt: skip

# A job in the background may have been started with SIGINT ignored, which Python leaves as it is.
signal.signal(signal.SIGINT, signal.default_int_handler)


def make_videos(folder: Path) -> None:
    """Writes all of `VIDEOS`, each with a caption and columns beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, source, frames, encoder, extension) in enumerate(VIDEOS):
        pixels = [] if "-pix_fmt" in encoder else ["-pix_fmt", "yuv420p"]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", str(frames)]
        subprocess.run([*command, *encoder, *pixels, str(folder / f"{name}.{extension}")], check=True)
        metadata = {"caption": f"a test picture, {name}", "score": number / 2, "rank": number, "good": number % 2 == 0}
        if number % 2 == 0:
            metadata["camera"] = f"camera {number}"
        (folder / f"{name}.json").write_text(json.dumps(metadata))


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_videos(folder)
    return folder


@pytest.fixture(scope="session")
def report_and_path(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("data") / "dataset"
    return framefeed.convert(videos, out, shard_bytes=40_000, jobs=2), out


@pytest.fixture(scope="session")
def path(report_and_path: tuple[dict, Path]) -> Path:
    return report_and_path[1]


@pytest.fixture(scope="session")
def dataset(path: Path) -> framefeed.Dataset:
    return framefeed.Dataset(path)


@pytest.fixture
def make_loader(dataset: framefeed.Dataset) -> Callable[..., framefeed.Loader]:
    """A loader of small clips; any option may be given."""

    def make(**options: object) -> framefeed.Loader:
        defaults = {"batch_size": 3, "window": framefeed.Window(frames=4, stride=2, short="loop"), "size": (32, 48)}
        return framefeed.Loader(options.pop("dataset", dataset), **{**defaults, **options})

    return make


@pytest.fixture
def copied(path: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may damage."""
    return Path(shutil.copytree(path, tmp_path / "copy"))


def damage(dataset: framefeed.Dataset, folder: Path, key: str) -> None:
    """Flips bytes in the middle of a record's video, in the copy of the dataset in `folder`."""
    row = dataset.table().filter([name == key for name in dataset.table()["key"].to_pylist()]).to_pylist()[0]
    shard = folder / dataset.manifest["shards"][row["shard"]]["file"]
    content = bytearray(shard.read_bytes())
    import tarfile

    with tarfile.open(shard) as tar:
        member = tar.getmember(f"{key}.mp4")
    at = member.offset_data + member.size // 2
    for byte in range(at, at + 16):
        content[byte] ^= 0xFF
    shard.write_bytes(content)
