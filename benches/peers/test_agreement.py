"""`pytest benches/peers`: what the suite takes for the same frames, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from agreement import as_thwc, judge


@pytest.fixture
def clip() -> np.ndarray:
    """Sixteen frames [16, 64, 64, 3] of a soft blob that moves by two pixels a frame."""
    y, x = np.mgrid[:64, :64]
    frames = [200 * np.exp(-((x - 10 - 2 * t) ** 2 + (y - 32) ** 2) / 120) + 20 for t in range(16)]
    return np.repeat(np.stack(frames)[..., None], 3, axis=3).astype(np.uint8)


def test_equal_frames_agree_in_either_layout(clip: np.ndarray) -> None:
    assert judge(clip, clip) == {"psnr": 100.0, "fault": None}
    assert judge(clip.transpose(0, 3, 1, 2), clip)["fault"] is None


def test_a_slightly_different_picture_agrees(clip: np.ndarray) -> None:
    verdict = judge(clip + np.uint8(2), clip)
    assert verdict["fault"] is None
    assert verdict["psnr"] == pytest.approx(10 * np.log10(255**2 / 4))


def test_frames_that_are_off_by_one_are_noticed_where_their_psnr_is_good(clip: np.ndarray) -> None:
    faint = (clip // 8 + 100).astype(np.uint8)
    late = np.concatenate([faint[:1], faint[:-1]])
    verdict = judge(late, faint)
    assert verdict["psnr"] > 30
    assert "other frames" in verdict["fault"]


def test_wrong_colours_are_noticed(clip: np.ndarray) -> None:
    red = clip.copy()
    red[..., 0] //= 2
    assert "dB" in judge(red, clip)["fault"]


def test_a_missing_frame_is_noticed(clip: np.ndarray) -> None:
    assert "shape" in judge(clip[:-1], clip)["fault"]


def test_floats_are_refused(clip: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        as_thwc(clip.astype(np.float32))
