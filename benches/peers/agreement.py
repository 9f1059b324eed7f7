"""Whether pictures are the same frames as a reference, apart from what another resize or colour conversion does."""

from __future__ import annotations

from typing import Any

import numpy as np

# Below this a picture is another one, or wrongly coloured: two good resizes of one frame are 35 to 50 dB apart.
LEAST_PSNR = 30.0


def as_thwc(pictures: Any) -> np.ndarray:
    """Frames of a peer as an array [T, H, W, 3]."""
    array = pictures.numpy() if hasattr(pictures, "numpy") else np.asarray(pictures)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise ValueError(f"the peer gives {array.dtype} {array.shape}, expected uint8 with four axes")
    return array if array.shape[3] == 3 else array.transpose(0, 2, 3, 1)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of two arrays [T, H, W, 3] of levels, over all frames together; 100 where they are equal."""
    error = np.mean([np.mean((x.astype(np.float32) - y.astype(np.float32)) ** 2, dtype=np.float64) for x, y in zip(a, b)])
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def other_frames(a: np.ndarray, reference: np.ndarray) -> int:
    """How many frames of `a` are much nearer to another frame of the reference than to their own: frames that are off by some.

    Only what changes over the window is compared: the difference that two resizes make to a still picture would drown it.
    """
    x, y = (array[:, ::4, ::4].reshape(len(array), -1).astype(np.float64) for array in (a, reference))
    x, y = x - x.mean(0), y - y.mean(0)
    distance = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return int((distance.min(1) < distance.diagonal() / 2).sum())


def judge(pictures: Any, reference: np.ndarray) -> dict[str, Any]:
    """The verdict on the frames of a job: `psnr`, and `fault` in words, None where they agree."""
    array = as_thwc(pictures)
    if array.shape != reference.shape:
        return {"psnr": 0.0, "fault": f"shape {array.shape}, expected {reference.shape}"}
    value, other = psnr(array, reference), other_frames(array, reference)
    fault = f"{other} other frames" if other else f"{value:.1f} dB" if value < LEAST_PSNR else None
    return {"psnr": value, "fault": fault}
