"""The datasets that framefeed reads, converted when they are first needed, and the files that peers read in their place."""

from __future__ import annotations

import csv
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import framefeed


@dataclass
class Converted:
    """A dataset; for each key the source's path, and, where they were unpacked, the path of the stored MP4 file."""

    path: Path
    sources: dict[str, str]
    files: dict[str, str]


class Datasets:
    """Conversions of one list of videos into a folder.

    Args:
        command: the command framefeed.
        videos: a folder.
        names: paths of the videos in it; None: all that are found there.
        folder: where the datasets are made.
    """

    def __init__(self, command: Path, videos: Path, names: list[str] | None, folder: Path) -> None:
        self._command, self._folder = command, folder
        self._source = videos if names is None else folder / "list.csv"
        if names is not None:
            with open(self._source, "w", newline="") as file:
                csv.writer(file).writerows([["path"], *([str(videos / name)] for name in names)])

    @cached_property
    def copy(self) -> Converted:
        return self._convert("copy", [])

    @cached_property
    def train(self) -> Converted:
        converted = self._convert("train", ["--profile", "train", "--short-side", "256", "--gop", "16"])
        unpacked = self._folder / "train-files"
        for shard in (converted.path / "shards").glob("*.tar"):
            with tarfile.open(shard) as archive:
                archive.extractall(unpacked, filter="data")
        converted.files = {key: str(unpacked / f"{key}.mp4") for key in converted.sources}
        return converted

    def _convert(self, name: str, options: list[str]) -> Converted:
        out = self._folder / name
        command = [str(self._command), "convert", str(self._source), "--out", str(out), *options]
        subprocess.run(command, check=True, stdout=sys.stderr)
        return Converted(out, {record.key: record.source for record in framefeed.Dataset(out)}, {})
