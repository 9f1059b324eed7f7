"""Frames of a record: numbers, negative ones, slices, arrays; planes; chunks."""
from __future__ import annotations

import numpy as np
import torch

import framefeed


def main() -> None:
    dataset = framefeed.Dataset("data")
    if "bird" not in dataset:
        return
    record = dataset.find("bird")
    matrix: str = record.color["matrix"]
    print(matrix, record in dataset, record == dataset[record.number], len({record, dataset[0]}))
    print(record, len(record), record.fps, record.size, record.color, record.caption, record.columns)
    frames = record.decode([0, 8, -1])
    print(frames.numpy().shape, frames.torch().shape, (frames[0] / 255.0).max())
    print(record.decode(slice(0, 16), size=(64, 64)).shape, record.decode(slice(None, None, -10)).shape)
    print(record.decode(range(0, 8, 2)).shape, record.decode(np.arange(3), size=(32, 32), dtype="float32").shape)
    print(record.decode(torch.arange(3)).shape)
    planes = record.decode([0, 8, 16], format="yuv")
    y, u, v = planes
    print(y.shape, u.shape, v.shape)
    print(record.decode([0], format="yuv420").shape)
    for chunk in record.chunks(8):
        print(chunk.numpy().shape)
    print(record.frames_at([0.0, 0.5]), record.decode(record.frames_at([0.0, 0.5])).shape)
    total = np.zeros(3)
    for frame in frames:
        total += frame.mean(axis=(1, 2))
    difference = frames[1].astype(np.int16) - frames[0]
    mask = frames > 128
    print(total, difference.shape, mask.sum(), (frames == 0).any(), np.asarray(frames).shape, frames.torch().shape)
    bright, dark = frames > 200, frames < 20
    either = frames & 1 | frames << 1
    print(bright | dark, ~bright, either, ~frames, +frames, divmod(frames, 16), frames == None)  # noqa: E711
    with record.chunks(8, 0, 16) as chunks:
        print(len(next(chunks)))
    number = record.field("number")
    if number is not None:
        print(int(number), float(number), bool(number))
    table = dataset.table()
    print(table.num_rows, table.column_names)


if __name__ == "__main__":
    main()
