"""The loader: every sample once, the same whatever the threads, resumed where it stood, and its policies for damaged clips."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import framefeed
from conftest import VIDEOS, damage

Make = Callable[..., framefeed.Loader]
NAMES = sorted(name for name, *_ in VIDEOS)


def content(batch: dict[str, Any]) -> tuple[Any, ...]:
    """Everything of a batch that must be reproducible."""
    arrays = [batch[name].numpy().tobytes() for name in ("video", "pts", "frame", "record", "position")]
    return (batch["epoch"], batch["key"], batch["caption"], *arrays)


def test_each_epoch_gives_every_sample_once_in_an_order_of_its_own(make_loader: Make) -> None:
    loader = make_loader(shuffle=True, seed=5)
    epochs = [[key for batch in loader for key in batch["key"]] for _ in range(4)]
    assert all(sorted(keys) == NAMES for keys in epochs)
    assert len({tuple(keys) for keys in epochs}) > 1
    in_order = [key for batch in make_loader() for key in batch["key"]]
    assert in_order == [record.key for record in loader.dataset]


def test_two_runs_are_equal_whatever_the_workers(make_loader: Make) -> None:
    runs = []
    for workers, prefetch in [(1, 1), (2, None), (5, 3)]:
        loader = make_loader(shuffle=True, seed=9, decode_workers=workers, prefetch_batches=prefetch)
        runs.append([content(batch) for _ in range(2) for batch in loader])
    assert runs[0] == runs[1] == runs[2]
    other = [content(batch) for batch in make_loader(shuffle=True, seed=10)]
    assert other != runs[0][: len(other)]


def test_a_batch_holds_what_its_records_hold(make_loader: Make, dataset: framefeed.Dataset) -> None:
    loader = make_loader(shuffle=True, columns=["score", "rank", "good", "camera"])
    assert len(loader) == 3 and loader.num_samples == len(dataset) and loader.num_short == 0
    for batch in loader:
        rows = len(batch["key"])
        assert batch["video"].shape == (rows, 4, 3, 32, 48) and batch["video"].dtype == "uint8"
        frames, pts = batch["frame"].numpy(), batch["pts"].numpy()
        for row, key in enumerate(batch["key"]):
            record = dataset.find(key)
            assert batch["record"].numpy()[row] == record.number
            assert batch["caption"][row] == record.caption
            assert batch["time_base"][row] == record.time_base
            assert [record.pts[frame] for frame in frames[row]] == pts[row].tolist()
            clip = record.decode(frames[row], size=(32, 48)).numpy()
            assert np.array_equal(batch["video"].numpy()[row], clip), key
            for name in ("score", "rank", "good", "camera"):
                assert batch["columns"][name][row] == record.columns.get(name)
            assert batch["fps"].numpy()[row] == pytest.approx(record.fps)
            assert batch["duration"].numpy()[row] == pytest.approx(record.duration)
            assert tuple(batch["source_size"].numpy()[row]) == record.size
        assert batch["skipped"] == batch["substituted"] == []


def test_columns_of_the_index_come_by_name(make_loader: Make, dataset: framefeed.Dataset) -> None:
    table = dataset.table()
    names = [name for name in table.column_names if name != "columns"]
    assert {"key", "frames", "codec", "fps", "duration", "height"} <= set(names)
    expected = {row["key"]: row for row in table.to_pylist()}
    for batch in make_loader(columns=names, captions=False):
        for row, key in enumerate(batch["key"]):
            assert {name: batch["columns"][name][row] for name in names} == {name: expected[key][name] for name in names}
    with pytest.raises(framefeed.InvalidArgumentError, match="did you mean 'codec'"):
        make_loader(columns=["codek"])


def test_planes_at_half_the_bytes_are_the_decoders_own_where_nothing_is_resized(dataset: framefeed.Dataset) -> None:
    window = framefeed.Window(frames=4, stride=2, short="loop")
    loader = framefeed.Loader(dataset, batch_size=3, window=window, format="yuv420", size=(64, 96))
    compared = set()
    for batch in loader:
        rows, frames, video = len(batch["key"]), batch["frame"].numpy(), batch["video"].numpy()
        assert video.shape == (rows, 4, 1, 96, 96) and video.dtype == np.uint8
        for row, key in enumerate(batch["key"]):
            record, color = dataset.find(key), batch["color"][row]
            assert (color["range"], color["guessed"]) == (record.color["range"], record.color["guessed"])
            # No source states its matrix, and all have fewer than 720 lines.
            assert color["matrix"] == "smpte170m"
            alone = record.decode(frames[row], format="yuv420", size=(64, 96))
            assert np.array_equal(video[row], alone.numpy()), key
            if key == "h264-b":
                planes = [plane.numpy().reshape(4, -1) for plane in record.decode(frames[row], format="yuv")]
                assert np.array_equal(video[row].reshape(4, -1), np.concatenate(planes, axis=1))
                compared.add(key)
            if key == "gray":
                assert (video[row].reshape(4, -1)[:, 64 * 96 :] == 128).all()
                compared.add(key)
    assert compared == {"h264-b", "gray"}


def test_no_field_may_have_the_name_of_what_a_batch_has_for_itself(dataset: framefeed.Dataset, tmp_path: Path) -> None:
    window = framefeed.Window(frames=2, short="loop")
    loader = framefeed.Loader(dataset, batch_size=2, window=window, format="yuv420", size=(64, 96), columns=["score"])
    names = set(next(iter(loader)))
    assert {"color", "caption", "video", "columns"} <= names
    with framefeed.Writer(tmp_path / "set") as writer:
        for name in names:
            with pytest.raises(framefeed.InvalidArgumentError, match=f"'{name}': that is the name of another entry"):
                writer.add("a", {name: np.zeros(1)})
        writer.add("a", {"latents": np.zeros(1)})


def enlarged(chroma: np.ndarray, x: float, y: float) -> np.ndarray:
    """Twice the rows and columns, linearly, of samples that lie `x` columns and `y` rows behind the corner of their four pixels."""
    for axis, place in ((1, y), (2, x)):
        side = chroma.shape[axis]
        at = np.clip((np.arange(2 * side) + 0.5 - place) / 2, 0, side - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape((-1, 1) if axis == 1 else (-1,))
        high = np.minimum(low + 1, side - 1)
        chroma = chroma.take(low, axis) * (1 - part) + chroma.take(high, axis) * part
    return chroma


@pytest.mark.parametrize("key", ["h264-b", "hevc", "vp9", "mpeg4"])
def test_planes_make_the_picture_that_the_loader_makes(dataset: framefeed.Dataset, key: str) -> None:
    """By BT.601 of limited range, with chroma on the left luma sample and between two rows, and nowhere else."""
    record = dataset.find(key)
    height, width = record.size
    planes = record.decode([0, 7], format="yuv420").numpy().reshape(2, -1).astype(np.float64)
    luma = (planes[:, : height * width].reshape(2, height, width) - 16) * 255 / 219
    chroma = (planes[:, height * width :].reshape(2, 2, height // 2, width // 2) - 128) * 255 / 224
    expected = record.decode([0, 7]).numpy().astype(np.float64)

    def difference(x: float, y: float) -> float:
        u, v = (enlarged(chroma[:, plane], x, y) for plane in (0, 1))
        rgb = [luma + 1.402 * v, luma - 0.344136 * u - 0.714136 * v, luma + 1.772 * u]
        return float(np.abs(np.stack(rgb, axis=1).clip(0, 255) - expected).mean())

    right = difference(0.5, 1)
    assert right < 2
    assert min(difference(1, 1), difference(1.5, 1), difference(0.5, 0.5), difference(0.5, 1.5)) > 1.5 * right


def test_columns_and_captions_come_only_when_asked_for(make_loader: Make) -> None:
    batch = next(iter(make_loader(captions=False)))
    assert "caption" not in batch and batch["columns"] == {}
    with pytest.raises(framefeed.InvalidArgumentError, match="no column 'colour'"):
        make_loader(columns=["colour"])


@pytest.mark.parametrize("layout,shape", [("TCHW", (4, 3, 32, 48)), ("THWC", (4, 32, 48, 3)), ("CTHW", (3, 4, 32, 48))])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_layouts_and_types_have_their_shapes(make_loader: Make, layout: str, shape: tuple[int, ...], dtype: str) -> None:
    video = next(iter(make_loader(layout=layout, dtype=dtype)))["video"]
    assert video.shape == (3, *shape)
    assert video.numpy().dtype == np.dtype(dtype) and video.numpy().shape == video.shape


def test_normalised_values_are_the_formulas(make_loader: Make) -> None:
    plain = next(iter(make_loader(dtype="float32")))["video"].numpy()
    mean, std = (0.5, 0.4, 0.3), (0.5, 0.25, 2.0)
    normal = next(iter(make_loader(dtype="float32", mean=mean, std=std)))["video"].numpy()
    expected = (plain - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert np.abs(normal - expected).max() < 1e-4
    levels = next(iter(make_loader(dtype="float32", scale=1.0)))["video"].numpy()
    assert np.abs(levels / 255 - plain).max() < 1e-5


def test_drop_last_leaves_out_the_rest(make_loader: Make) -> None:
    loader = make_loader(drop_last=True)
    assert len(loader) == 2 and [len(batch["key"]) for batch in loader] == [3, 3]
    assert [len(batch["key"]) for batch in make_loader()] == [3, 3, 2]


def test_short_records_follow_the_policy(make_loader: Make, dataset: framefeed.Dataset) -> None:
    window = framefeed.Window(frames=20, stride=1)
    with pytest.warns(framefeed.ShortWarning, match="too short for 20 frames at stride 1"):
        loader = make_loader(window=window)
    long = sorted(record.key for record in dataset if len(record) >= 20)
    assert sorted(key for batch in loader for key in batch["key"]) == long
    assert loader.num_short == len(dataset) - len(long) > 0
    for short, last in [("repeat_last", [8] * 11), ("loop", [*range(9), 0, 1])]:
        window = framefeed.Window(frames=20, stride=1, short=short)
        for batch in make_loader(window=window):
            for key, frames in zip(batch["key"], batch["frame"].numpy().tolist()):
                if key == "gray":
                    assert frames == [*range(9), *last]
    with pytest.raises(framefeed.InvalidArgumentError):
        make_loader(window=framefeed.Window(frames=10_000))


def test_windows_by_rate_take_the_frame_on_screen(make_loader: Make) -> None:
    window = framefeed.Window(frames=4, fps=5.0, placement="start", short="skip")
    with pytest.warns(framefeed.ShortWarning, match="1 of 8 records is too short for 4 frames at 5 per second, which needs more than 0.6 s"):
        loader = make_loader(window=window)
    for batch in loader:
        for key, frames in zip(batch["key"], batch["frame"].numpy().tolist()):
            assert (key, frames) != () and frames[0] == 0
            if key == "hevc":  # 25 frames a second
                assert frames == [0, 5, 10, 15]
            if key == "vp9":  # 30
                assert frames == [0, 6, 12, 18]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("taken", range(6))
def test_a_resumed_loader_gives_the_rest(make_loader: Make, taken: int, workers: int) -> None:
    def flow(loader: framefeed.Loader) -> Any:
        while True:
            for batch in loader:
                yield content(batch)

    reference = flow(make_loader(shuffle=True, seed=3))
    expected = [next(reference) for _ in range(taken + 6)]
    loader = make_loader(shuffle=True, seed=3)
    stream = flow(loader)
    for _ in range(taken):
        next(stream)
    state = json.loads(json.dumps(loader.state_dict()))
    resumed = make_loader(shuffle=True, seed=3, decode_workers=workers)
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    stream = flow(resumed)
    assert [next(stream) for _ in range(6)] == expected[taken:]


def test_each_iteration_is_the_next_epoch_and_set_epoch_chooses(make_loader: Make) -> None:
    loader = make_loader(shuffle=True)
    assert [next(iter(loader))["epoch"] for _ in range(3)] == [0, 1, 2]
    loader.set_epoch(7)
    assert loader.epoch == 7
    assert {batch["epoch"] for batch in loader} == {7} and loader.epoch == 8


@pytest.mark.parametrize(
    "change, told", [({"version": 1}, "version is 1, expected 2"), ({"seed": "a"}, 'state: seed is "a", expected a whole number'),
                     ({"seed": None}, "seed is null, expected a"), ({"epoch": -1}, "epoch is -1, expected a"),
                         ({"position": 99}, "position is 99, expected 0 to 8"),
                     ({"num_samples": 3}, "is 3, this loader's is 8"), ({"seed": 7}, "seed is 7, this loader's is 0"),
                     ({"shuffle": True}, "shuffle is true, this loader's is false"),
                     ({"bucket_batch_size": 4}, "batch_size is 4, this loader's is no buckets"),
                     ({"dataset": "other"}, "dataset is other, this loader's is ")]
)  # fmt: skip
def test_a_state_of_something_else_is_refused_and_both_values_are_named(make_loader: Make, change: dict, told: str) -> None:
    loader = make_loader()
    state = loader.state_dict()
    with pytest.raises(ValueError, match=told):
        loader.load_state_dict({**state, **change})
    assert loader.state_dict() == state
    loader.load_state_dict(types.MappingProxyType(state))
    for name in state.keys() - {"bucket_batch_size", "bucket_crc32c"}:
        with pytest.raises(framefeed.InvalidArgumentError, match=name):
            loader.load_state_dict({key: value for key, value in state.items() if key != name})


@pytest.mark.parametrize(
    "options,message",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"decode_workers": 0}, "decode_workers is 0"),
        ({"prefetch_batches": 0}, "prefetch_batches is 0"),
        ({"size": (16, 0)}, "size: width is 0"),
        ({"fit": "cover"}, "fit is 'cover'"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
        ({"layout": "CHW"}, "layout is 'CHW'"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"scale": 0.0}, "scale"),
        ({"size": None}, "size must be set"),
        ({"format": "nv12"}, "format is 'nv12', expected one of rgb, yuv420"),
        ({"format": "yuv420", "size": (32, 47)}, "size is 32x47"),
        ({"format": "yuv420", "fit": "pad"}, "fit is 'pad'"),
        ({"format": "yuv420", "layout": "THWC"}, "layout is 'THWC'"),
        ({"format": "yuv420", "dtype": "float16"}, "dtype is 'float16'"),
    ],
)
def test_options_out_of_range_are_named(make_loader: Make, options: dict, message: str) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match=message.replace("(", r"\(")):
        make_loader(**options)


def test_unknown_and_positional_options_are_type_errors(dataset: framefeed.Dataset, make_loader: Make) -> None:
    with pytest.raises(TypeError, match="num_workers"):
        make_loader(num_workers=4)
    with pytest.raises(TypeError):
        framefeed.Loader(dataset, 4)  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError):
        framefeed.Window(16, 4)  # type: ignore[call-arg, misc]


@pytest.mark.parametrize(
    "options,message",
    [
        ({"frames": 0}, "frames is 0, expected 1 to 65536"),
        ({"frames": -3}, "frames is -3"),
        ({"frames": 4, "stride": 0}, "stride is 0, expected 1 to 16777216"),
        ({"frames": 4, "stride": 1, "fps": 8.0}, "stride or fps, not both"),
        ({"frames": 4, "fps": 0.0}, "fps is 0, expected a number above 0"),
        ({"frames": 4, "fps": float("nan")}, "fps is NaN, expected a number above 0"),
        ({"frames": 4, "placement": "end"}, "placement is 'end'"),
        ({"frames": 4, "short": "drop"}, "short is 'drop'"),
    ],
)
def test_windows_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match=message):
        framefeed.Window(**options)


@given(
    frames=st.integers(1, 65536),
    stride=st.none() | st.integers(1, 1 << 24),
    placement=st.sampled_from(["start", "center", "random"]),
    short=st.sampled_from(["skip", "repeat_last", "loop"]),
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_windows_are_values(frames: int, stride: int | None, placement: str, short: str) -> None:
    import pickle

    window = framefeed.Window(frames=frames, stride=stride, placement=placement, short=short)
    again = pickle.loads(pickle.dumps(window))
    assert again == window and hash(again) == hash(window) and repr(again) == repr(window)
    assert (window.frames, window.stride, window.fps) == (frames, stride or 1, None)
    assert window != framefeed.Window(frames=frames, fps=8.0) != window


def test_a_damaged_clip_is_raised_skipped_or_replaced(copied: Path, make_loader: Make) -> None:
    damaged = framefeed.Dataset(copied)
    damage(damaged, copied, "h264-b")
    damaged = framefeed.Dataset(copied)
    # A window over the whole record meets the damage for sure.
    window = framefeed.Window(frames=40, stride=1, short="repeat_last")

    def make(policy: str) -> framefeed.Loader:
        return make_loader(dataset=damaged, window=window, shuffle=True, seed=1, on_error=policy)

    errors, keys = [], []
    batches = iter(make("raise"))
    while True:
        try:
            keys += next(batches)["key"]
        except StopIteration:
            break
        except framefeed.CorruptError as error:
            errors.append(error)
    assert [error.record for error in errors] == ["h264-b"]
    assert errors[0].path is not None and errors[0].path.endswith(".tar")
    assert set(keys) < set(NAMES) - {"h264-b"}

    loader = make("skip")
    iterator = iter(loader)
    with pytest.warns(framefeed.SkippedWarning, match="record 'h264-b'.*more are only counted") as warned:
        batches = list(iterator)
    assert len(warned) == 1 and warned[0].filename == __file__
    assert sorted(key for batch in batches for key in batch["key"]) == sorted(set(NAMES) - {"h264-b"})
    (skipped,) = [entry for batch in batches for entry in batch["skipped"]] + iterator.left_out
    assert loader.stats()["skipped"] == 1
    assert "h264-b" in skipped["reason"] and skipped["epoch"] == 0
    assert damaged[skipped["record"]].key == "h264-b"
    # Once for a loader.
    assert len(list(loader)) == len(batches) and loader.stats()["skipped"] == 2

    loader = make("substitute")
    with pytest.warns(framefeed.SkippedWarning, match="record 'h264-b'"):
        batches = list(loader)
    keys = [key for batch in batches for key in batch["key"]]
    assert len(keys) == len(NAMES) and "h264-b" not in keys
    assert loader.stats()["substituted"] == 1
    assert sum(len(batch["substituted"]) for batch in batches) == 1
    with pytest.warns(framefeed.SkippedWarning):
        assert [content(batch) for batch in make("substitute")] == [content(batch) for batch in batches]


def test_a_missing_shard_is_raised_under_every_policy(copied: Path, make_loader: Make) -> None:
    (copied / framefeed.Dataset(copied).manifest["shards"][0]["file"]).unlink()
    for policy in ("raise", "skip", "substitute"):
        with pytest.raises(framefeed.NotFoundError) as raised:
            list(make_loader(dataset=framefeed.Dataset(copied), on_error=policy))
        assert raised.value.path is not None and raised.value.path.endswith(".tar")


def test_a_shard_that_is_cut_follows_the_policy_and_is_raised_where_nothing_is_left(copied: Path, make_loader: Make) -> None:
    first, *others = (copied / shard["file"] for shard in framefeed.Dataset(copied).manifest["shards"])
    assert others

    def cut(shard: Path) -> None:
        with shard.open("r+b") as file:
            file.truncate(shard.stat().st_size // 2)

    cut(first)
    with pytest.raises(framefeed.CorruptError) as raised:
        list(make_loader(dataset=framefeed.Dataset(copied), on_error="raise"))
    assert raised.value.path == str(first)
    loader = make_loader(dataset=framefeed.Dataset(copied), on_error="skip")
    with pytest.warns(framefeed.SkippedWarning, match=first.name):
        rows = sum(len(batch["key"]) for batch in loader)
    assert 0 < rows == len(NAMES) - loader.stats()["skipped"] < len(NAMES)
    for shard in others:
        cut(shard)
    loader = make_loader(dataset=framefeed.Dataset(copied), on_error="skip")
    with pytest.raises(framefeed.CorruptError, match="nothing is left of epoch 0, all 8 samples were skipped, the first: ") as raised_again:
        list(loader)
    assert raised_again.value.path is not None and raised_again.value.path.endswith(".tar")


def test_statistics_add_up(make_loader: Make) -> None:
    loader = make_loader()
    batches = list(loader)
    stats = loader.stats()
    assert stats["batches_delivered"] == len(batches) and stats["samples_delivered"] == len(NAMES)
    assert stats["frames_delivered"] == len(NAMES) * 4
    assert stats["tensor_bytes"] == sum(batch["video"].nbytes for batch in batches)
    assert stats["read_bytes"] >= stats["needed_bytes"] > 0
    assert stats["read_amplification"] >= 1 and stats["frames_decoded"] > 0
    assert stats["limited_by"] in {"storage", "decode", "transform", "plan", "consumer"}
    assert stats["read_bytes_per_second"] > 0 and json.dumps(stats)
    description = loader.describe()
    assert "decode" in description and "storage" in description


def test_close_ends_an_epoch_early(make_loader: Make) -> None:
    loader = make_loader(batch_size=1)
    batches = iter(loader)
    next(batches)
    batches.close()
    assert list(batches) == []
    batches.close()
    assert len(list(loader)) == len(NAMES)


@pytest.mark.parametrize(
    "options, kind, told",
    [
        ({"size": 256}, TypeError, r"size is 256, expected \(height, width\), such as \(256, 256\)"),
        ({"size": (1, 2, 3)}, TypeError, r"size is \(1, 2, 3\), expected \(height, width\)"),
        ({"size": "hd"}, TypeError, r"size is 'hd', expected \(height, width\)"),
        ({"window": 16}, TypeError, r"window is 16, expected a framefeed.Window, such as framefeed.Window\(frames=16\)"),
        ({"window": (16, 4)}, TypeError, r"window is \(16, 4\), expected a framefeed.Window"),
        ({"seed": -1}, ValueError, r"seed is -1, expected a whole number from 0 to 2\*\*64 - 1"),
        ({"cpu_limit": 0}, ValueError, r"cpu_limit is 0, expected 0.01 to 1024"),
        ({"cpu_limit": float("nan")}, ValueError, "cpu_limit is NaN, expected"),
        ({"prefetch_bytes": -1}, ValueError, "prefetch_bytes is -1, expected a whole number"),
        ({"direct_io": "yes"}, ValueError, "direct_io is 'yes', expected one of auto, on, off"),
        ({"decode_limits": {"second": 1}}, ValueError, "decode_limits: there is no 'second', expected packets, bytes"),
        ({"decode_limits": {"seconds": -1}}, ValueError, "decode_limits: seconds is -1, expected a number of seconds"),
        ({"decode_limits": {"seconds": float("inf")}}, ValueError, "decode_limits: seconds is inf, expected a number"),
        ({"decode_limits": {"packets": 1e5}}, ValueError, "decode_limits: packets is 100000.0, expected a whole number"),
        ({"decode_limits": {"bytes": 10**50}}, ValueError, "decode_limits: bytes is 10{50}, expected a whole number"),
        ({"decode_limits": {"pixels": -1}}, ValueError, "decode_limits: pixels is -1, expected a whole number"),
        ({"std": (0.5, 0.5, 0.5)}, ValueError, "scale, mean and std are of the float types, dtype is uint8"),
        ({"columns": ["scroe"]}, ValueError, "no column 'scroe', did you mean 'score'. the dataset has: "),
        ({"fields": ["nope"]}, ValueError, "no field 'nope', the dataset has: none"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said_with_what_is_expected(
    make_loader: Make, options: dict, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        make_loader(**options)


def test_reads_go_past_the_page_cache_where_that_is_asked_for(make_loader: Make) -> None:
    expected = [batch["video"].numpy().tobytes() for batch in make_loader(direct_io="off", engine="pread")]
    loader = make_loader(direct_io="on", engine="pread")
    assert "past the page cache" in loader.describe()
    assert [batch["video"].numpy().tobytes() for batch in loader] == expected


def test_clips_beyond_a_limit_are_errors_or_left_out(make_loader: Make) -> None:
    with pytest.raises(framefeed.LimitExceededError, match="pixels"):
        list(make_loader(decode_limits={"pixels": 100}))
    with pytest.raises(framefeed.LimitExceededError, match="decoding took longer than"):
        list(make_loader(decode_limits={"seconds": 0.0}))
    whole = [batch["key"] for batch in make_loader()]
    limits = {"pixels": 2**24, "packets": 1000, "frames": 1000, "bytes": 2**24, "seconds": None}
    assert [batch["key"] for batch in make_loader(decode_limits=limits)] == whole


def test_epochs_have_no_sign_and_a_list_is_a_size(make_loader: Make, dataset: framefeed.Dataset) -> None:
    with pytest.raises(ValueError, match="epoch is -1, expected a whole number"):
        make_loader().set_epoch(-1)
    assert next(iter(make_loader(size=[16, 24])))["video"].shape[-2:] == (16, 24)
    with pytest.raises(TypeError, match="size is 64, expected"):
        dataset[0].decode([0], size=64)  # type: ignore[call-overload]
