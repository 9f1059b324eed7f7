"""The oracle over a folder of real videos: what the ffmpeg command decodes from a source is what its record must give.

Used by test_corpus.py, and by hand: ``python corpus.py DATASET`` prints one line per record and exits 1 on a difference. The
dataset's sources must still lie where they were when it was converted.
"""

from __future__ import annotations

import csv
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

import framefeed


def digest(planes: Sequence[np.ndarray]) -> bytes:
    """A hash over the bytes of all planes of one frame."""
    state = hashlib.blake2b(digest_size=16)
    for plane in planes:
        state.update(np.ascontiguousarray(plane).data)
    return state.digest()


def stream_of(record: framefeed.Record) -> str:
    """ffmpeg's name of the source stream that the record holds: the first video stream of its size."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=index,width,height", "-of", "csv=p=0"]
    streams = subprocess.run([*command, record.source], capture_output=True, text=True).stdout.split()
    height, width = record.coded_size
    for stream in streams:
        fields = stream.split(",")
        if fields[1:3] == [str(width), str(height)]:
            return f"0:{fields[0]}"
    return "0:v:0"


def num_decodable(source: str) -> int:
    """Number of frames that the ffmpeg command gives for a file."""
    command = [os.environ.get("FRAMEFEED_FFMPEG", "ffmpeg"), "-nostdin", "-v", "error", "-threads", "1", "-i", source]
    command += ["-map", "0:v:0", "-vsync", "passthrough", "-f", "framecrc", "-"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return sum(not line.startswith("#") for line in lines)


def source_digests(record: framefeed.Record, frame_bytes: int) -> Iterator[bytes]:
    """A hash per frame of what the ffmpeg command gives for a source: the decoder's own planes, unrotated, none dropped. On one
    thread, because what ffmpeg makes of damaged packets depends on the number of its threads; and on its version: `FRAMEFEED_FFMPEG` may name
    one like the libraries."""
    ffmpeg = os.environ.get("FRAMEFEED_FFMPEG", "ffmpeg")
    command = [ffmpeg, "-nostdin", "-v", "error", "-threads", "1", "-noautorotate", "-i", record.source, "-map", stream_of(record)]
    command += ["-vsync", "passthrough", "-f", "rawvideo", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while frame := process.stdout.read(frame_bytes):
            if len(frame) != frame_bytes:
                raise AssertionError(f"{record.source}: a frame of {len(frame)} bytes, expected {frame_bytes}")
            yield hashlib.blake2b(frame, digest_size=16).digest()


def record_digests(record: framefeed.Record, frames: Sequence[int]) -> list[bytes]:
    """A hash per requested frame of a record."""
    planes = [np.asarray(plane) for plane in record.decode(list(frames), format="yuv")]
    return [digest([plane[index] for plane in planes]) for index in range(len(frames))]


def frame_bytes(record: framefeed.Record) -> int:
    """Bytes of one frame's planes."""
    return sum(np.asarray(plane)[0].nbytes for plane in record.decode([0], format="yuv"))


def differences(record: framefeed.Record, seed: int = 0) -> list[str]:
    """Reads every frame in order and 50 in random order with repeats; says where they differ from ffmpeg's."""
    expected = list(source_digests(record, frame_bytes(record)))
    found = []
    if len(expected) != record.num_frames:
        found.append(f"{record.num_frames} frames, ffmpeg gives {len(expected)}")
    count = min(len(expected), record.num_frames)
    batch = max(1, min(32, (256 << 20) // frame_bytes(record)))
    for start in range(0, count, batch):
        frames = range(start, min(start + batch, count))
        for frame, value in zip(frames, record_digests(record, frames)):
            if value != expected[frame]:
                found.append(f"frame {frame} differs, read in order")
    picks = random.Random(seed)
    frames = [picks.randrange(count) for _ in range(50)] if count else []
    for start in range(0, len(frames), batch):
        some = frames[start : start + batch]
        for frame, value in zip(some, record_digests(record, some)):
            if value != expected[frame]:
                found.append(f"frame {frame} differs, read in random order")
    return found


def index_rows(clips: Path) -> list[dict[str, str]]:
    """The rows of the corpus' INDEX.tsv."""
    with open(clips / "INDEX.tsv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def main() -> int:
    dataset = framefeed.Dataset(sys.argv[1])
    different = 0
    for number in range(len(dataset)):
        record = dataset[number]
        if record.reencoded:
            print(f"re-encoded  {record.source}: {record.reencoded}")
            continue
        found = differences(record)
        different += bool(found)
        verdict = "DIFFERENT" if found else "equal    "
        print(f"{verdict}  {record.source} ({record.num_frames} frames)", *found[:5], sep="\n    ")
    print(f"{len(dataset)} records, {different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
