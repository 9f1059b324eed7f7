"""Tensors: Writer with resume, ragged fields, add_column with a generator, column_position."""
from __future__ import annotations

import itertools
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import torch

import framefeed
from framefeed.torch import DataLoader


def write(path: Path) -> framefeed.Dataset:
    with framefeed.Writer(path, description={"vae": "x-1", "fps": 8}, resume=True, shard_bytes=1 << 16) as writer:
        print(writer.num_found, len(writer), writer.path)
        for number in range(10):
            key = f"clip/{number:03d}"
            if key not in writer:
                latents = np.full((4, 1 + number % 3, 8), number, dtype=np.float16)
                text = torch.ones(2 + number % 4, 16, dtype=torch.bfloat16)
                fields = {"latents": latents, "text": text}
                writer.add(key, fields, caption=f"n {number}", columns={"score": number / 2})
    return framefeed.Dataset(path)


def encode(record: framefeed.Record) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.zeros(3, dtype=np.float32)


def encode_or_none(record: framefeed.Record) -> torch.Tensor | None:
    return torch.zeros(2) if record.number % 2 else None


def encode_batches(records: Iterator[framefeed.Record]) -> Generator[tuple[str, torch.Tensor], None, None]:
    while batch := list(itertools.islice(records, 4)):
        stacked = torch.stack([torch.full((5,), float(record.number)) for record in batch])
        yield from zip([record.key for record in batch], stacked)


def encode_one_by_one(records: Iterator[framefeed.Record]) -> Iterator[tuple[str, torch.Tensor | None]]:
    for record in records:
        yield record.key, torch.zeros(2) if "clip" in record.key else None


def columns(dataset: framefeed.Dataset) -> framefeed.Dataset:
    position: int = dataset.column_position("emb", description={"m": 1})
    print("position", position)
    dataset = dataset.add_column("emb", encode_batches, description={"m": 1})
    print(dataset.column_position("emb", description={"m": 1}), len(dataset))
    dataset = dataset.add_column("again", encode_one_by_one)
    dataset = dataset.add_column("one", encode)
    dataset = dataset.add_column("some", encode_or_none)
    dataset = dataset.add_column("pairs", ((record.key, {"a": np.zeros(1), "b": np.ones(1)}) for record in dataset))
    dataset = dataset.add_column("lam", lambda record: np.array([record.number]))
    field = dataset[0].field("emb")
    assert field is not None
    print(field.numpy(), field.torch() + 1, dataset.fields)
    return dataset


def load(dataset: framefeed.Dataset) -> None:
    loader = DataLoader(
        dataset,
        batch_size=4,
        fields=["latents", "text"],
        ragged={"latents": "bucket", "text": "pad"},
        field_descriptions={"latents": {"vae": "x-1"}},
        shuffle=True,
        on_error="skip",
        columns=["score"],
    )
    for batch in loader:
        print(batch["latents"].shape, batch["text"].shape, batch["text_lengths"], batch["columns"]["score"])


if __name__ == "__main__":
    shutil.rmtree("latents", ignore_errors=True)
    written = write(Path("latents"))
    write(Path("latents"))
    load(columns(written))
