"""The transform in NumPy, written from docs/TRANSFORM.md alone. Slow, and equal in every bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

EDGE = 1e-9


@dataclass(frozen=True)
class Axis:
    start: float
    step: float
    length: int

    def subsampled(self, log2: int, cosited: bool) -> Axis:
        factor = 1 << log2
        shift = 0.5 - 0.5 / factor if cosited else 0.0
        return Axis(self.start / factor + shift, self.step / factor, self.length)


@dataclass(frozen=True)
class Clip:
    """What a record says of its pictures."""

    size: tuple[int, int]
    aspect: float
    quarter_turns: int
    model: str
    depth: int
    log2_chroma: tuple[int, int]
    matrix: int
    full_range: bool
    location: str


def keys_cubic(x: float) -> float:
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * -0.5 if x < 2 else 0.0


def sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


FILTERS: dict[str, tuple[float, Callable[[float], float]]] = {
    "area": (0.5, lambda x: float(-0.5 + EDGE < x <= 0.5 + EDGE)),
    "bilinear": (1.0, lambda x: max(0.0, 1 - abs(x))),
    "bicubic": (2.0, lambda x: keys_cubic(abs(x))),
    "lanczos": (3.0, lambda x: sinc(x) * sinc(x / 3) if abs(x) < 3 else 0.0),
}


def half_away(x: float) -> int:
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)


def exact_weights(axis: Axis, source: int, name: str, i: int) -> tuple[int, list[float]]:
    support, function = FILTERS[name]
    scale = max(axis.step, 1.0)
    centre = axis.start + (i + 0.5) * axis.step
    reach = support * scale
    first = min(max(math.floor(centre - reach + 0.5), 0), source)
    end = min(max(math.floor(centre + reach + 0.5 + EDGE * scale), 0), source)
    weights = [function((n + 0.5 - centre) / scale) for n in range(first, end)]
    while weights and abs(weights[-1]) < EDGE:
        weights.pop()
    while weights and abs(weights[0]) < EDGE:
        weights.pop(0)
        first += 1
    total = sum(weights)
    if not weights or total < 1e-6:
        return min(max(math.floor(centre), 0), source - 1), [1.0]
    return first, [weight / total for weight in weights]


def table(axis: Axis, source: int, name: str, max_bits: int) -> tuple[list[tuple[int, list[int]]], int]:
    """First sample and fixed-point weights of each output, and their fraction bits."""
    exact = [exact_weights(axis, source, name, i) for i in range(axis.length)]
    largest = max(abs(weight) for _, weights in exact for weight in weights)
    bits = next(bits for bits in range(max_bits, -1, -1) if largest * 2**bits < 32766)
    rows = []
    for first, weights in exact:
        error, stored = 0.0, []
        for weight in weights:
            error += weight * 2**bits
            stored.append(half_away(error))
            error -= stored[-1]
        rows.append((first, stored))
    return rows, bits


def resample(plane: np.ndarray, axes: tuple[Axis, Axis], filters: tuple[str, str], depth: int) -> np.ndarray:
    """A plane on the grid, in 1/64 of an 8-bit level, from level 128 on."""
    vertical, bits = table(axes[1], plane.shape[0], filters[1], 30 - depth)
    shift = bits + depth - 14
    passed = np.empty((len(vertical), plane.shape[1]), np.int64)
    for y, (first, weights) in enumerate(vertical):
        rows = plane[first : first + len(weights)].astype(np.int64)
        passed[y] = ((np.array(weights) @ rows + (1 << shift >> 1)) >> shift) - 2**13
    horizontal, bits = table(axes[0], plane.shape[1], filters[0], 16)
    out = np.empty((len(vertical), len(horizontal)), np.int64)
    for x, (first, weights) in enumerate(horizontal):
        out[:, x] = (passed[:, first : first + len(weights)] @ np.array(weights) + (1 << bits >> 1)) >> bits
    return out


def geometry(clip: Clip, size: tuple[int, int] | None, fit: str) -> tuple[Axis, Axis, tuple[int, int], tuple[int, int]]:
    """Columns and rows of the grid, the output's height and width, and where in it the inner rectangle begins."""
    height, width = clip.size
    turned = clip.quarter_turns % 2 == 1
    shown = (width * clip.aspect, float(height))
    display = (int(half_away(shown[0])), height)
    if turned:
        shown, display = shown[::-1], display[::-1]
    if size is None:
        fit, size = "stretch", display[::-1]
    out = (size[1], size[0])
    ratio = (shown[0] / out[0], shown[1] / out[1])
    part, inner = (1.0, 1.0), out
    if fit == "crop":
        part = tuple(min(ratio) / r for r in ratio)
    elif fit == "pad":
        inner = tuple(min(max(half_away(o * (r / max(ratio))), 1), o) for o, r in zip(out, ratio))
    grid = inner
    if turned:
        part, grid = part[::-1], inner[::-1]
    axes = (
        Axis(source * (1 - p) / 2, source * p / length, length)
        for source, p, length in zip((width, height), part, grid)
    )
    origin = ((out[1] - inner[1]) // 2, (out[0] - inner[0]) // 2)
    return (*axes, size, origin)


def matrix(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    peak = (2**clip.depth - 1) / 2 ** (clip.depth - 8)
    luma, chroma, black = (255 / peak, 255 / peak, 0) if clip.full_range else (255 / 219, 255 / 224, 16)
    if clip.model == "gray":
        entries, offsets = [[luma], [luma], [luma]], [black]
    elif clip.model == "gbr":
        entries, offsets = [[0, 0, luma], [luma, 0, 0], [0, luma, 0]], [black] * 3
    else:
        offsets = [black, 128, 128]
        entries = [[luma, u * chroma, v * chroma] for u, v in differences(clip.matrix)]
    values = np.array([[half_away(entry * 2**14) for entry in row] for row in entries], np.int64)
    middles = [sum(entry * (128 - offset) for entry, offset in zip(row, offsets)) for row in entries]
    return values, np.array([half_away(32 * middle) + 16 for middle in middles], np.int64)


def differences(code: int) -> list[tuple[float, float]]:
    if code == 8:
        return [(-1, 1), (1, 0), (-1, -1)]
    primaries = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
    red, blue = {**primaries, 9: (0.2627, 0.0593)}[code]
    u, v = 2 * (1 - blue), 2 * (1 - red)
    return [(0, v), (-u * blue / (1 - red - blue), -v * red / (1 - red - blue)), (u, 0)]


def frame(clip: Clip, planes: list[np.ndarray], size: tuple[int, int] | None, fit: str, name: str) -> np.ndarray:
    """One frame as uint8 [H, W, 3]; the pad colour is black."""
    x, y, (height, width), (top, left) = geometry(clip, size, fit)
    samples = []
    for number, plane in enumerate(planes):
        axes, filters = (x, y), (name, name)
        if number > 0 and clip.model == "yuv":
            cosited = (clip.location != "center", clip.location == "topleft")
            axes = tuple(axis.subsampled(log2, here) for axis, log2, here in zip((x, y), clip.log2_chroma, cosited))
            filters = tuple(
                "bilinear" if name == "area" and log2 > 0 and axis.step < 1 else name
                for axis, log2 in zip(axes, clip.log2_chroma)
            )
        samples.append(resample(plane, axes, filters, clip.depth))
    values, bias = matrix(clip)
    products = (np.stack(samples, axis=-1)[:, :, None] * values + 2**14) >> 15
    levels = (products.sum(axis=-1) + bias) >> 5
    picture = np.rot90(np.clip(levels, 0, 255).astype(np.uint8), -clip.quarter_turns)
    out = np.zeros((height, width, 3), np.uint8)
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out
