"""Datasets and records: what is stored, and every frame against the ffmpeg command's."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import framefeed
from conftest import VIDEOS

NAMES = [name for name, *_ in VIDEOS]
FRAMES = {name: frames for name, _, frames, _, _ in VIDEOS}


def ffmpeg_planes(video: Path, record: framefeed.Record) -> list[list[np.ndarray]]:
    """All frames of a video by the ffmpeg command: for each frame its planes."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(video), "-map", "0:v:0", "-vsync", "passthrough"]
    run = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    shapes = [plane.numpy().shape[1:] for plane in record.decode([0], format="yuv")]
    dtype = record.decode([0], format="yuv")[0].numpy().dtype
    sizes = [rows * columns * dtype.itemsize for rows, columns in shapes]
    assert len(run.stdout) % sum(sizes) == 0
    frames = []
    for start in range(0, len(run.stdout), sum(sizes)):
        planes = []
        for shape, size in zip(shapes, sizes):
            planes.append(np.frombuffer(run.stdout, dtype, size // dtype.itemsize, start).reshape(shape))
            start += size
        frames.append(planes)
    return frames


def video_of(videos: Path, name: str) -> Path:
    return next(path for path in videos.iterdir() if path.stem == name and path.suffix != ".json")


def test_every_video_is_a_record_and_the_report_says_so(report_and_path: tuple[dict, Path]) -> None:
    report, path = report_and_path
    dataset = framefeed.Dataset(path)
    assert sorted(record.key for record in dataset) == sorted(NAMES)
    assert report["clips"] == len(dataset) == len(NAMES)
    assert report["failed"] == []
    assert report["shards"] == len(dataset.manifest["shards"]) > 1
    assert report["frames"] == sum(FRAMES.values()) == sum(len(record) for record in dataset)


def test_a_second_conversion_converts_nothing(videos: Path, path: Path) -> None:
    def times() -> dict[Path, int]:
        files = (file for file in path.rglob("*") if file.is_file() and file.name != "lock")
        return {file: file.stat().st_mtime_ns for file in files}

    before = times()
    assert framefeed.convert(str(videos), str(path), shard_bytes=40_000)["up_to_date"] is True
    assert times() == before


@pytest.mark.parametrize("name", NAMES)
def test_every_plane_equals_ffmpegs(dataset: framefeed.Dataset, videos: Path, name: str) -> None:
    record = dataset.find(name)
    expected = ffmpeg_planes(video_of(videos, name), record)
    assert record.num_frames == len(record) == len(record.pts) == len(expected) == FRAMES[name]
    planes = [plane.numpy() for plane in record.decode(range(len(record)), format="yuv")]
    for frame, expected_planes in enumerate(expected):
        for index, plane in enumerate(expected_planes):
            assert planes[index].dtype == plane.dtype
            assert np.array_equal(planes[index][frame], plane), (name, frame, index)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_frames_in_any_order_with_repeats_equal_those_in_order(dataset: framefeed.Dataset, data: st.DataObject) -> None:
    record = dataset.find(data.draw(st.sampled_from(NAMES)))
    frames = data.draw(st.lists(st.integers(0, len(record) - 1), min_size=1, max_size=12))
    whole = [plane.numpy() for plane in record.decode(range(len(record)), format="yuv")]
    for all_frames, some in zip(whole, record.decode(frames, format="yuv")):
        assert np.array_equal(all_frames[frames], some.numpy())


@pytest.mark.parametrize("name", ["h264-b", "hevc-10bit", "h264-444", "gray"])
def test_colours_are_ffmpegs_within_a_rounding(dataset: framefeed.Dataset, videos: Path, name: str) -> None:
    record = dataset.find(name)
    height, width = record.size
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(video_of(videos, name)), "-vf"]
    # ffmpeg 5.1 takes chroma as centred unless it is told where the codec's specification puts it: on the left luma sample.
    place = ":in_h_chr_pos=0:in_v_chr_pos=128" if "420" in record.pixel_format else ""
    command += [f"scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp{place},format=rgb24"]
    run = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    expected = np.frombuffer(run.stdout, np.uint8).reshape(-1, height, width, 3)
    frames = record.decode(range(len(record)), layout="THWC").numpy()
    error = np.mean((frames.astype(float) - expected) ** 2)
    assert error < 255**2 / 10**4.5  # 45 dB


@pytest.mark.parametrize("layout,order", [("TCHW", "tchw"), ("THWC", "thwc"), ("CTHW", "cthw")])
@pytest.mark.parametrize("size", [None, (24, 40)])
def test_layouts_are_transposes_of_one_picture(
    dataset: framefeed.Dataset, layout: str, order: str, size: tuple[int, int] | None
) -> None:
    record = dataset.find("vp9")
    height, width = size or record.size
    clip = record.decode([0, 8, 16], layout=layout, size=size)
    sides = {"t": 3, "c": 3, "h": height, "w": width}
    assert clip.shape == tuple(sides[axis] for axis in order)
    assert len(clip) == clip.shape[0] and clip.nbytes == 9 * height * width and clip.dtype == "uint8"
    reference = record.decode([0, 8, 16], layout="TCHW", size=size).numpy()
    assert np.array_equal(clip.numpy().transpose([order.index(axis) for axis in "tchw"]), reference)


@pytest.mark.parametrize("dtype,tolerance", [("float32", 1e-6), ("float16", 1e-3)])
def test_float_types_are_levels_over_255(dataset: framefeed.Dataset, dtype: str, tolerance: float) -> None:
    record = dataset.find("h264-b")
    levels = record.decode([0, 5], size=(32, 32)).numpy().astype(np.float64) / 255
    values = record.decode([0, 5], size=(32, 32), dtype=dtype).numpy()
    assert values.dtype == np.dtype(dtype)
    # Levels are rounded and floats are not.
    assert np.abs(values.astype(np.float64) - levels).max() <= 0.5 / 255 + tolerance


def test_frames_by_timestamp_are_those_on_screen(dataset: framefeed.Dataset) -> None:
    record = dataset.find("h264-b")
    assert record.frames_at([0.0, 1 / 24, 1.49 / 24, 10.5 / 24, 1.0]) == [0, 1, 1, 10, 24]
    with pytest.raises(framefeed.InvalidArgumentError, match="not in the record"):
        record.frames_at([1e6])
    with pytest.raises(framefeed.InvalidArgumentError):
        record.frames_at([-0.1])


@settings(max_examples=20, deadline=None)
@given(start=st.none() | st.integers(-40, 40), stop=st.none() | st.integers(-40, 40), step=st.sampled_from([None, 1, 3, -1, -7]))
def test_slices_and_negative_numbers_count_as_pythons(
    dataset: framefeed.Dataset, start: int | None, stop: int | None, step: int | None
) -> None:
    record = dataset[0]
    numbers = list(range(len(record)))[start:stop:step]
    assert len(numbers) == len(range(*slice(start, stop, step).indices(len(record))))
    expected = record.decode(numbers, size=(8, 8)).numpy()
    assert np.array_equal(record.decode(slice(start, stop, step), size=(8, 8)).numpy(), expected)
    negative = [number - len(record) for number in numbers]
    assert np.array_equal(record.decode(negative, size=(8, 8)).numpy(), expected)


def test_seconds_name_the_frames_that_a_window_takes(dataset: framefeed.Dataset) -> None:
    # Ticks of a millisecond, of a frame, of 1/90000, of 1/12800.
    for name, fps in (("vp9", 30), ("mpeg4", 15), ("mpeg2", 25), ("hevc", 25)):
        record = dataset.find(name)
        frames = range(record.num_frames)
        assert record.frames_at([frame / fps for frame in frames]) == list(frames)
        # The last frame is on screen until the record ends.
        assert record.frames_at([record.duration - 0.001]) == [frames[-1]]
        with pytest.raises(framefeed.InvalidArgumentError, match="not in the record"):
            record.frames_at([record.duration])


def test_numbers_may_come_in_any_iterable_and_none_is_no_frames(dataset: framefeed.Dataset) -> None:
    record = dataset.find("mpeg4")
    expected = record.decode([3, 1]).numpy()
    for frames in ((3, 1), np.array([3, 1]), iter([3, 1])):
        assert np.array_equal(record.decode(frames).numpy(), expected)
    assert record.decode([]).shape == (0, 3, *record.size)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"frames": [18]}, "there is no frame 18, the record has 18"),
        ({"frames": [-19]}, "there is no frame -19, the record has 18"),
        ({"frames": [0], "format": "bgr"}, "format is 'bgr', expected one of rgb, yuv"),
        ({"frames": [0], "size": (0, 4)}, "size: height is 0"),
        ({"frames": [0], "size": (4, -4)}, "size: width is -4"),
        ({"frames": [0], "layout": "HWC"}, "layout is 'HWC', expected one of TCHW, THWC, CTHW"),
        ({"frames": [0], "dtype": "int8"}, "dtype is 'int8'"),
        ({"frames": [0], "fit": "cover"}, "fit is 'cover'"),
        ({"frames": [0], "filter": "nearest"}, "filter is 'nearest'"),
        ({"frames": [0], "format": "yuv", "size": (8, 8)}, "can't be chosen"),
    ],
)
def test_bad_arguments_are_value_errors_that_name_the_argument(
    dataset: framefeed.Dataset, arguments: dict, message: str
) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match=message.replace("(", r"\(")) as raised:
        dataset.find("mpeg4").decode(**arguments)
    assert isinstance(raised.value, ValueError) and raised.value.kind == "invalid argument"


def test_records_know_captions_columns_and_sizes(dataset: framefeed.Dataset) -> None:
    record = dataset.find("hevc")
    assert record.caption == "a test picture, hevc"
    assert record.columns == {"score": 1.0, "rank": 2, "good": True, "camera": "camera 2"}
    assert (record.size, record.coded_size, record.rotation) == ((72, 128), (72, 128), 0)
    assert (record.codec, record.pixel_format) == ("hevc", "yuv420p")
    assert record.fps == pytest.approx(25) and record.duration == pytest.approx(1.2)
    assert record.pts == sorted(set(record.pts)) and record.gops[0] == 0 and len(record.gops) > 1
    assert record.source.endswith("hevc.mp4") and record.reencoded is None and record.source_start is None
    assert record.color["guessed"] in (True, False) and record.video_bytes > 0
    assert record.dataset is dataset or record.dataset.path == dataset.path
    assert dataset[record.number].key == "hevc"
    assert "30 frames of 128x72" in repr(record)


def test_the_table_has_a_row_for_each_record(dataset: framefeed.Dataset) -> None:
    table = dataset.table()
    assert isinstance(table, pyarrow.Table) and table.num_rows == len(dataset)
    rows = table.to_pylist()
    for record, row in zip(dataset, rows):
        assert (row["key"], row["frames"]) == (record.key, record.num_frames)
        assert (row["height"], row["width"]) == record.size
        assert row["columns"]["score"] == record.columns["score"]
        assert row["columns"]["good"] is record.columns["good"]


def test_the_table_outlives_the_dataset(path: Path) -> None:
    expected = framefeed.Dataset(path).table().to_pylist()
    table = framefeed.Dataset(path).table()
    gc.collect()
    assert table.to_pylist() == expected


def test_no_table_is_made_of_a_damaged_index(copied: Path) -> None:
    index = copied / framefeed.Dataset(copied).manifest["index"]["file"]
    content = bytearray(index.read_bytes())
    at = content.index(b"hevc-10bit")
    content[at] ^= 0x01
    index.write_bytes(content)
    dataset = framefeed.Dataset(copied)
    with pytest.raises(framefeed.CorruptError, match="checksum") as raised:
        dataset.table()
    assert raised.value.path == str(index)


def test_the_table_is_of_the_index_that_was_opened(copied: Path) -> None:
    dataset = framefeed.Dataset(copied)
    index = copied / dataset.manifest["index"]["file"]
    other = index.with_name("other")
    other.write_bytes(b"no index")
    other.replace(index)
    assert dataset.table().num_rows == len(dataset)


def test_records_are_found_by_number_from_both_ends_and_by_key(dataset: framefeed.Dataset) -> None:
    assert dataset[-1].key == dataset[len(dataset) - 1].key
    assert [record.number for record in dataset] == list(range(len(dataset)))
    for number in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError):
            dataset[number]
    with pytest.raises(TypeError, match=r"Dataset\.find"):
        dataset["some/key"]  # type: ignore[index]
    with pytest.raises(framefeed.NotFoundError) as raised:
        dataset.find("nobody")
    assert raised.value.record == "nobody" and raised.value.path == str(dataset.path)


@pytest.mark.parametrize("options", [{}, {"layout": "THWC", "size": (32, 48)}, {"format": "yuv420", "size": (64, 64)}])
def test_chunks_are_the_frames_one_after_another(dataset: framefeed.Dataset, options: dict[str, object]) -> None:
    for name in ("h264-b", "hevc-10bit"):
        record = dataset.find(name)
        expected = record.decode(range(len(record)), **options).numpy()  # type: ignore[call-overload]
        chunks = [chunk.numpy() for chunk in record.chunks(7, **options)]  # type: ignore[arg-type]
        assert [len(chunk) for chunk in chunks[:-1]] == [7] * (len(chunks) - 1)
        assert np.array_equal(np.concatenate(chunks), expected)
        part = [chunk.numpy() for chunk in record.chunks(100, 3, 9, **options)]  # type: ignore[arg-type]
        assert len(part) == 1 and np.array_equal(part[0], expected[3:9])
        assert list(record.chunks(5, 4, 4)) == []


def test_chunks_can_be_left_and_name_what_is_wrong(dataset: framefeed.Dataset) -> None:
    record = dataset.find("h264-b")
    for _ in range(20):
        chunks = record.chunks(1)
        assert next(chunks).shape[0] == 1
        del chunks  # the thread ends
    for arguments in ((0,), (1, 2, 1), (1, 0, len(record) + 1)):
        with pytest.raises(framefeed.InvalidArgumentError, match="chunk is|start is|stop is"):
            record.chunks(*arguments)
    done = record.chunks(len(record))
    assert len(list(done)) == 1 and list(done) == []


def test_pickled_datasets_and_records_open_again(dataset: framefeed.Dataset) -> None:
    assert pickle.loads(pickle.dumps(dataset)).path == dataset.path
    record = pickle.loads(pickle.dumps(dataset.find("vp9")))
    assert record.key == "vp9"
    assert np.array_equal(record.decode([3]).numpy(), dataset.find("vp9").decode([3]).numpy())
    assert copy.copy(dataset).path == dataset.path


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(framefeed.NotFoundError) as raised:
        framefeed.Dataset(tmp_path / "nothing")
    assert raised.value.kind == "not found"
    assert raised.value.path is not None and "nothing" in raised.value.path


def test_a_cut_shard_is_corrupt_and_a_missing_one_not_found(copied: Path) -> None:
    table = framefeed.Dataset(copied).table().to_pylist()
    shards = framefeed.Dataset(copied).manifest["shards"]
    first, second = (copied / shards[row]["file"] for row in (0, 1))
    first.write_bytes(first.read_bytes()[:-700])
    second.unlink()
    dataset = framefeed.Dataset(copied)
    in_first = next(number for number, row in enumerate(table) if row["shard"] == 0)
    in_second = next(number for number, row in enumerate(table) if row["shard"] == 1)
    with pytest.raises(framefeed.CorruptError) as raised:
        dataset[in_first].decode([0])
    assert raised.value.path == str(first) and raised.value.kind == "corrupt"
    with pytest.raises(framefeed.NotFoundError) as missing:
        dataset[in_second].decode([0])
    assert missing.value.path == str(second)


def test_failures_of_a_conversion_are_listed_or_raised(videos: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "good.mp4").write_bytes((videos / "h264-b.mp4").read_bytes())
    (source / "text.mp4").write_text("this is no video")
    report = framefeed.convert([source], tmp_path / "skipped", check="fast")
    assert report["clips"] == 1 and len(report["failed"]) == 1
    assert "text.mp4" in report["failed"][0]["source"] and report["failed"][0]["reason"]
    with pytest.raises(framefeed.Error):
        framefeed.convert([source], tmp_path / "failed", on_error="fail")
    with pytest.raises(framefeed.InvalidArgumentError, match="check is 'slow', expected one of full, fast"):
        framefeed.convert([source], tmp_path / "x", check="slow")
    with pytest.raises(TypeError):
        framefeed.convert([source], tmp_path / "x", speed=11)


def test_damaged_bytes_are_corrupt_with_key_path_and_offset(copied: Path) -> None:
    from conftest import damage

    dataset = framefeed.Dataset(copied)
    damage(dataset, copied, "h264-b")
    with pytest.raises(framefeed.CorruptError) as raised:
        record = dataset.find("h264-b")
        record.decode(range(len(record)))
    error = raised.value
    assert (error.kind, error.record) == ("corrupt", "h264-b")
    assert error.path is not None and error.path.endswith(".tar") and error.offset is not None
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.offset) == (type(error), str(error), error.offset)


def test_a_folder_that_is_no_dataset_is_said_to_be_what_it_is(videos: Path, tmp_path: Path) -> None:
    def told(folder: Path) -> str:
        with pytest.raises(framefeed.NotFoundError, match="no dataset: ") as raised:
            framefeed.Dataset(folder)
        assert raised.value.path == str(folder)
        return str(raised.value)

    assert f"`framefeed convert {videos} --out DATASET`" in told(videos)
    assert "there is no such folder" in told(tmp_path / "missing")
    (tmp_path / ".framefeed").mkdir()
    (tmp_path / ".framefeed" / "plan.json").write_text("{}")
    assert "its conversion has not finished; the same `framefeed convert` command goes on with it" in told(tmp_path)
    writer = framefeed.Writer(tmp_path / "tensors")
    assert "its writer has not finished" in told(tmp_path / "tensors")
    writer.discard()


def test_an_exception_of_a_producer_names_the_record(copied: Path) -> None:
    dataset = framefeed.Dataset(copied)
    key = dataset[2].key

    def produce(record: framefeed.Record) -> np.ndarray:
        if record.key == key:
            raise KeyError("mine")
        return np.zeros(3)

    with pytest.raises(KeyError, match="mine") as raised:
        dataset.add_column("x", produce)
    note = f"add_column('x'): of record '{key}'"
    if hasattr(raised.value, "__notes__"):
        assert raised.value.__notes__ == [note]
    else:
        assert str(raised.value.__cause__) == note
