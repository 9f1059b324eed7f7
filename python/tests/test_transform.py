"""What comes out of the transform: bit for bit what docs/TRANSFORM.md says, and torch's antialiased resize."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

import framefeed
import transform_oracle

# name, ffmpeg's options for the encoder and the container, extension
SOURCES = [
    ("420", ["-c:v", "libx264", "-pix_fmt", "yuv420p"], "mp4"),
    ("420-full", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-color_range", "pc", "-colorspace", "bt709"], "mkv"),
    ("420-centre", ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-chroma_sample_location", "center"], "mkv"),
    ("422-10bit", ["-c:v", "libx264", "-pix_fmt", "yuv422p10le", "-colorspace", "bt2020nc"], "mkv"),
    ("444", ["-c:v", "libx264", "-pix_fmt", "yuv444p", "-colorspace", "smpte240m"], "mkv"),
    ("gray-full", ["-c:v", "libx264", "-pix_fmt", "gray", "-color_range", "pc"], "mkv"),
    ("gbr", ["-c:v", "libx264rgb", "-pix_fmt", "rgb24"], "mkv"),
    ("turned", ["-c:v", "libx264", "-pix_fmt", "yuv420p"], "mp4"),
]  # fmt: skip
SIZES = [(None, "crop"), ((48, 48), "crop"), ((40, 72), "pad"), ((33, 150), "stretch"), ((128, 96), "crop")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> framefeed.Dataset:
    folder = tmp_path_factory.mktemp("transform")
    videos = folder / "videos"
    videos.mkdir()
    noise = "testsrc2=size=106x62:rate=25,noise=alls=40:allf=t"
    for name, options, extension in SOURCES:
        path = videos / f"{name}.{extension}"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", noise, "-frames:v", "3", *options]
        subprocess.run([*command, "-bf", "0", str(path)], check=True)
        if name == "turned":
            upright = path.rename(folder / "upright.mp4")
            turn = ["-display_rotation", "90"] if has_display_rotation() else ["-metadata:s:v", "rotate=270"]
            order = [*turn, "-i", str(upright)] if "-display_rotation" in turn else ["-i", str(upright), *turn]
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *order, "-c", "copy", str(path)], check=True)
    report = framefeed.convert(videos, folder / "data")
    assert report["failed"] == []
    return framefeed.Dataset(folder / "data")


def has_display_rotation() -> bool:
    run = subprocess.run(["ffmpeg", "-hide_banner", "-h", "full"], capture_output=True, text=True, check=True)
    return "-display_rotation" in run.stdout


# Code points of H.273.
MATRICES = {"gbr": 0, "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020nc": 9}


def described(record: framefeed.Record) -> transform_oracle.Clip:
    name, color = record.pixel_format, record.color
    model = "gray" if name.startswith("gray") else "gbr" if name.startswith("gbr") else "yuv"
    depth = re.search(r"p(\d+)le$", name)
    log2 = {"420": (1, 1), "422": (1, 0)}.get(name[3:6], (0, 0)) if model == "yuv" else (0, 0)
    return transform_oracle.Clip(
        record.coded_size, 1.0, record.rotation // 90, model, int(depth[1]) if depth else 8, log2,
        MATRICES[color["matrix"]], color["range"] == "full", color["chroma_location"],
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name, *_ in SOURCES])
def test_every_bit_is_as_the_page_on_transforms_says(dataset: framefeed.Dataset, name: str) -> None:
    record = dataset.find(name)
    clip = described(record)
    assert (clip.quarter_turns != 0) == (name == "turned")
    planes = [plane.numpy() for plane in record.decode([0, 2], format="yuv")]
    for size, fit in SIZES:
        for filter in ("area", "bilinear", "bicubic", "lanczos"):
            got = record.decode([0, 2], size=size, fit=fit, filter=filter, layout="THWC").numpy()
            for number in range(2):
                expected = transform_oracle.frame(clip, [plane[number] for plane in planes], size, fit, filter)
                np.testing.assert_array_equal(got[number], expected, err_msg=f"{name} {size} {fit} {filter}")


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_no_level_is_more_than_one_from_torchs_antialiased_resize(dataset: framefeed.Dataset, filter: str) -> None:
    torch = pytest.importorskip("torch")
    record = dataset.find("gray-full")
    luma = torch.from_numpy(record.decode(range(3), format="yuv")[0].numpy().astype(np.float64))[:, None]
    for size in [(31, 53), (62, 106), (17, 90), (140, 40), (200, 300), (5, 7)]:
        model = torch.nn.functional.interpolate(luma, size=size, mode=filter, antialias=True).clamp(0, 255)
        got = record.decode(range(3), size=size, fit="stretch", filter=filter).numpy()
        assert np.abs(got[:, :1].astype(np.float64) - model.numpy().round()).max() <= 1, size


def test_the_matrix_is_that_of_a_float64_model(dataset: framefeed.Dataset) -> None:
    record = dataset.find("444")
    y, cb, cr = (plane.numpy()[0].astype(np.float64) for plane in record.decode([0], format="yuv"))
    red, blue = 0.212, 0.087
    luma, cb, cr = (y - 16) / 219 * 255, (cb - 128) / 224 * 255, (cr - 128) / 224 * 255
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    g = (luma - red * r - blue * b) / (1 - red - blue)
    got = record.decode([0]).numpy()[0]
    assert record.color["matrix"] == "smpte240m"
    assert np.abs(np.stack([r, g, b]).clip(0, 255).round() - got).max() <= 1
