"""Loader and DataLoader, as a user would write."""
from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import framefeed
from framefeed.torch import DataLoader


def core(path: pathlib.Path) -> None:
    dataset = framefeed.Dataset(path)
    with framefeed.Loader(
        dataset,
        batch_size=2,
        window=framefeed.Window(frames=4, stride=2, short="repeat_last"),
        size=(64, 64),
        columns=["frames", "codec", "score"],
        shuffle=True,
        seed=3,
    ) as loader:
        print(len(loader), loader.num_samples, loader.batch_size, loader.epoch)
        for batch in loader:
            video: framefeed.Tensor = batch["video"]
            array: npt.NDArray[np.uint8] = video.numpy()
            tensor: torch.Tensor = video.torch()
            half = video[0, :2]
            scaled = video / 255.0
            more = 1.0 - scaled
            print(array.shape, tensor.shape, half.shape, scaled.mean(), more.max(), video.dtype, video.ndim)
            fps: float = float(batch["fps"][0])
            height, width = batch["source_size"][0]
            print(fps, batch["duration"].numpy().sum(), int(height), int(width))
            print(batch["columns"]["codec"], batch["columns"]["frames"], batch["columns"]["score"])
        state: dict[str, Any] = loader.state_dict()
        loader.load_state_dict(json.loads(json.dumps(state)))
        print(loader.stats()["limited_by"], loader.describe(), loader.excluded())


def pytorch(path: str) -> None:
    dataset = framefeed.Dataset(path)
    loader = DataLoader(
        dataset,
        batch_size=4,
        window=framefeed.Window(frames=4, fps=8.0, short="loop"),
        size=(64, 64),
        fit="crop",
        layout="CTHW",
        dtype=torch.float32,
        mean=(0.5, 0.5, 0.5),
        std=[0.5, 0.5, 0.5],
        shuffle=True,
        on_error="skip",
        device=torch.device("cpu"),
        columns=("codec", "width"),
    )
    mean, std = np.array([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.2, 0.2])
    names = (name for name in ("latents", "text"))
    other = DataLoader(dataset, fields=list(names), dtype="float32", mean=mean, std=std)
    other.load_state_dict(state=loader.state_dict())
    with iter(other) as batches:
        print(next(batches)["key"])
    for batch in loader:
        video: torch.Tensor = batch["video"]
        fps: torch.Tensor = batch["fps"]
        duration: torch.Tensor = batch["duration"]
        size: torch.Tensor = batch["source_size"]
        print(video.shape, video.mean().item(), fps * 2, duration.sum(), size.prod(dim=1))
        codecs: list[str] = batch["columns"]["codec"]
        widths: torch.Tensor = batch["columns"]["width"]
        print(codecs, widths)
    first = next(iter(loader))
    print(first["key"], loader.dataset[0].key, loader.device)
    loader.set_epoch(3)
    loader.close()


if __name__ == "__main__":
    core(pathlib.Path("data"))
    pytorch("data")
