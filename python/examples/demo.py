"""Streams a dataset through the Python loader into a small real training step, and shows a batch as a picture.

    python demo.py DATASET [--epochs 2] [--contact-sheet sheet.png]

The step trains an autoencoder of the clips: a small 3-D convolutional one if torch is installed, a linear one in NumPy otherwise. At the
end come the three rates (bytes read, frames decoded, bytes of tensor delivered), the two amplifications, and what limits them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import framefeed

try:
    import torch
    from framefeed.torch import DataLoader
except ImportError:  # the demo runs without torch
    torch = None  # type: ignore[assignment]

Batch = dict[str, Any]


def make_torch_step() -> Callable[[Batch], float]:
    """One step of Adam on a small 3-D convolutional autoencoder."""
    from torch import nn

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(
        nn.Conv3d(3, 16, kernel_size=3, stride=(1, 4, 4), padding=1),
        nn.GELU(),
        nn.Conv3d(16, 32, kernel_size=3, stride=(2, 2, 2), padding=1),
        nn.GELU(),
        nn.ConvTranspose3d(32, 16, kernel_size=(4, 4, 4), stride=(2, 2, 2), padding=1),
        nn.GELU(),
        nn.ConvTranspose3d(16, 3, kernel_size=(3, 4, 4), stride=(1, 4, 4), padding=(1, 0, 0)),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)

    def step(batch: Batch) -> float:
        # [B, T, C, H, W] of uint8 to [B, C, T, H, W] in -1 to 1
        clips = batch["video"].to(device).transpose(1, 2).float() / 127.5 - 1
        loss = nn.functional.mse_loss(model(clips), clips)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def make_numpy_step(size: int) -> Callable[[Batch], float]:
    """One step of Adam on a linear autoencoder of 8x8 patches, 192 numbers to 24 and back."""
    generator = np.random.default_rng(0)
    weights = [generator.normal(0, 0.05, shape).astype(np.float32) for shape in ((192, 24), (24, 192))]
    first = [np.zeros_like(weight) for weight in weights]
    second = [np.zeros_like(weight) for weight in weights]
    steps = 0

    def step(batch: Batch) -> float:
        nonlocal steps
        video = np.from_dlpack(batch["video"])
        clips = video.astype(np.float32) / 127.5 - 1
        rows = clips.reshape(-1, 3, size // 8, 8, size // 8, 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 192)
        encoder, decoder = weights
        code = rows @ encoder
        error = code @ decoder - rows
        steps += 1
        for index, gradient in enumerate((rows.T @ (error @ decoder.T), code.T @ error)):
            gradient /= rows.size
            first[index] += 0.1 * (gradient - first[index])
            second[index] += 0.01 * (gradient**2 - second[index])
            momentum = first[index] / (1 - 0.9**steps)
            spread = np.sqrt(second[index] / (1 - 0.99**steps))
            weights[index] -= 5e-3 * momentum / (spread + 1e-8)
        return float(np.mean(error**2))

    return step


def contact_sheet(batch: Batch, path: str) -> None:
    """Writes one row of frames for each sample, with its key and the frame numbers."""
    from PIL import Image, ImageDraw

    video, frames = np.from_dlpack(batch["video"]), np.from_dlpack(batch["frame"])
    rows, columns, _, height, width = video.shape
    picked = range(0, columns, max(1, columns // 8))
    label, margin = 14, 4
    cell_w, cell_h = width + margin, height + label + margin
    sheet = Image.new("RGB", (margin + cell_w * len(picked), margin + (cell_h + label) * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for row in range(rows):
        top = margin + row * (cell_h + label)
        caption = batch.get("caption", [None] * rows)[row]
        draw.text((margin, top), batch["key"][row] + (f"   {caption}" if caption else ""), fill="black")
        for column, frame in enumerate(picked):
            left = margin + column * cell_w
            picture = np.ascontiguousarray(video[row, frame].transpose(1, 2, 0))
            sheet.paste(Image.fromarray(picture), (left, top + label))
            draw.text((left, top + label + height), f"frame {frames[row, frame]}", fill="gray")
    sheet.save(path)


def human_bytes(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.3g} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def make_loader(arguments: argparse.Namespace) -> Any:
    """The loader: with torch tensors if there is torch."""
    options: dict[str, Any] = {
        "batch_size": arguments.batch_size,
        # Clips that are too short for the window begin again; a real job may prefer to skip them.
        "window": framefeed.Window(frames=arguments.frames, stride=arguments.stride, short="loop"),
        "size": (arguments.size, arguments.size),
        "shuffle": True,
        "seed": 0,
        "decode_workers": arguments.decode_workers,
        "on_error": "skip",
    }
    dataset = framefeed.Dataset(arguments.dataset)
    print(f"{len(dataset)} clips in {arguments.dataset}")
    return DataLoader(dataset, **options) if torch is not None else framefeed.Loader(dataset, **options)


def train(loader: Any, step: Callable[[Batch], float], epochs: int) -> tuple[float, float, Batch | None]:
    """Trains, prints the loss of each epoch; gives the seconds of all, of the steps alone, and the first batch."""
    shown: Batch | None = None
    step_seconds = 0.0
    started = time.perf_counter()
    for epoch in range(epochs):
        losses, skipped = [], 0
        for batch in loader:
            shown = shown or batch
            before = time.perf_counter()
            losses.append(step(batch))
            step_seconds += time.perf_counter() - before
            skipped += len(batch["skipped"])
        first, last = (losses[0], losses[-1]) if losses else (math.nan, math.nan)
        print(f"epoch {epoch}: {len(losses)} batches, {skipped} clips skipped, loss {first:.4f} -> {last:.4f}")
    return time.perf_counter() - started, step_seconds, shown


def print_rates(stats: dict[str, Any], seconds: float, step_seconds: float) -> None:
    """The three rates, the two amplifications and what limits them."""
    print(f"\nin {seconds:.2f} s, of which the training step took {step_seconds:.2f} s:")
    print(f"  bytes read        {human_bytes(stats['read_bytes'] / seconds)}/s  ({human_bytes(stats['read_bytes'])})")
    print(f"  frames decoded    {stats['frames_decoded'] / seconds:.0f} /s  ({stats['frames_decoded']})")
    print(f"  tensors delivered {human_bytes(stats['tensor_bytes'] / seconds)}/s  ({human_bytes(stats['tensor_bytes'])})")
    print(f"  read amplification   {stats['read_amplification']:.2f} bytes read per byte needed")
    print(f"  decode amplification {stats['decode_amplification']:.2f} frames decoded per frame delivered")
    limit = "the training step" if stats["limited_by"] == "consumer" else stats["limited_by"]
    waited = stats["consumer_wait_nanos"] / max(stats["elapsed_nanos"], 1)
    print(f"  limited by {limit}; the training step waited for batches {waited:.0%} of the time")


def main() -> None:
    """Parses the command line and runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="folder that `framefeed convert` wrote")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--frames", type=int, default=16, help="frames of a sample (default 16)")
    parser.add_argument("--stride", type=int, default=2, help="frames from one to the next (default 2)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels, a multiple of 8 (default 128)")
    parser.add_argument("--decode-workers", type=int, default=None, help="threads that decode (default: all cores)")
    parser.add_argument("--contact-sheet", metavar="PNG", help="write one batch as a picture")
    arguments = parser.parse_args()
    if arguments.size % 8 or arguments.frames % 2:
        parser.error("--size must be a multiple of 8 and --frames of 2")

    loader = make_loader(arguments)
    print(loader.describe())
    kind = "torch, a 3-D convolutional autoencoder" if torch is not None else "NumPy, a linear autoencoder"
    print(f"training step: {kind}\n")
    step = make_torch_step() if torch is not None else make_numpy_step(arguments.size)
    seconds, step_seconds, shown = train(loader, step, arguments.epochs)
    print_rates(loader.stats(), seconds, step_seconds)
    if arguments.contact_sheet and shown is not None:
        contact_sheet(shown, arguments.contact_sheet)
        print(f"\nwrote {arguments.contact_sheet}")


if __name__ == "__main__":
    main()
