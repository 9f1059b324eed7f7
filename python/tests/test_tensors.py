"""Stored tensors: written from arrays of every kind, read back, and read by others; columns added to a dataset that is in use."""

from __future__ import annotations

import array
import functools
import io
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import framefeed

READER = Path(__file__).resolve().parents[2] / "tests/pyreader/framefeed_reader"
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]


def latents(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((4, 2 + number % 3, 5)).astype("float16")


def write(path: Path, count: int = 7, **options: object) -> framefeed.Dataset:
    with framefeed.Writer(path, shard_bytes=6000, description={"vae": "x-1", "fps": 8}, **options) as writer:
        for number in range(count):
            fields = {"latents": latents(number)}
            if number % 2:
                fields["text"] = torch.full((3, 4), number / 8, dtype=torch.bfloat16)
            writer.add(f"r/{number}", fields, caption=f"clip {number}" if number else None, columns={"score": number / 2, "tag": "é"})
        assert len(writer) == count
    return framefeed.Dataset(path)


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and ".framefeed" not in file.parts)


# ------------------------------------------------------------------------------------------------------ writing and reading


def test_records_of_tensors_come_back(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set")
    assert (len(dataset), dataset.kind, dataset.columns) == (7, "tensor", ["score", "tag"])
    info = {"description": {"vae": "x-1", "fps": 8}, "column": None}
    assert dataset.fields == {"latents": info, "text": info}
    assert len(dataset.manifest["shards"]) > 2
    for number, record in enumerate(dataset):
        assert (record.key, record.number, record.caption) == (f"r/{number}", number, f"clip {number}" if number else None)
        assert record.columns == {"score": number / 2, "tag": "é"}
        tensor = record.field("latents")
        assert tensor.dtype == "float16" and np.array_equal(tensor.numpy(), latents(number))
        assert record.fields == (["latents", "text"] if number % 2 else ["latents"])
        if number % 2:
            text = torch.from_dlpack(record.field("text"))
            assert text.dtype == torch.bfloat16 and torch.equal(text, torch.full((3, 4), number / 8, dtype=torch.bfloat16))
        else:
            assert record.field("text") is None
    assert dataset.find("r/3").number == 3 and bool(dataset[0])
    assert dataset.table().column_names == ["shard", "row", "key", "bytes", "columns"]
    with pytest.raises(framefeed.InvalidArgumentError, match="the dataset has: latents, text"):
        dataset[0].field("letents")
    for name in ("num_frames", "fps", "size", "codec", "gops", "source", "video_bytes", "pts"):
        with pytest.raises(framefeed.InvalidArgumentError, match="has no frames"):
            getattr(dataset[0], name)
    with pytest.raises(framefeed.InvalidArgumentError, match="has no frames"):
        dataset[0].decode([0])
    assert "fields latents" in repr(dataset[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_of_numpy_and_torch_comes_back(dtype: str, tmp_path: Path) -> None:
    values = np.arange(24).reshape(2, 3, 4) % 2 if dtype == "bool" else np.arange(24).reshape(2, 3, 4)
    values = values.astype(dtype)
    given = {
        "numpy": values, "torch": torch.from_numpy(values.copy()), "single": values[1, 2, 3], "empty": values[:, :0],
        "memory": memoryview(values.tobytes()).cast("B"), "zero": np.zeros((), dtype),
    }  # fmt: skip
    with framefeed.Writer(tmp_path / "set") as writer:
        writer.add("a", given)
    record = framefeed.Dataset(tmp_path / "set")[0]
    for name, expected in {**given, "torch": values, "memory": np.frombuffer(values.tobytes(), "uint8")}.items():
        found = record.field(name).numpy()
        assert (found.dtype, found.shape) == (np.asarray(expected).dtype, np.asarray(expected).shape), name
        assert np.array_equal(found, expected), name


def test_the_order_in_memory_makes_no_difference(tmp_path: Path) -> None:
    base = np.arange(2 * 3 * 4 * 5, dtype="int32").reshape(2, 3, 4, 5)
    frozen = base.copy()
    frozen.flags.writeable = False
    given = {
        "transposed": base.transpose(3, 1, 0, 2), "fortran": np.asfortranarray(base), "strided": base[:, ::2, 1:, ::3],
        "reversed": base[::-1, :, ::-1], "broadcast": np.broadcast_to(base[0, 0, 0], (3, 5)), "frozen": frozen,
        "ones": base[:, :1].transpose(1, 0, 3, 2), "torch": torch.from_numpy(base.copy()).permute(2, 0, 3, 1),
        "expanded": torch.arange(4).expand(3, 4), "slice": torch.from_numpy(base.copy())[:, 1, :, 2],
        "array": array.array("d", [0.5, 1.5]), "bytes": b"abc", "bytearray": bytearray(b"xy"),
    }  # fmt: skip
    with framefeed.Writer(tmp_path / "set") as writer:
        writer.add("a", given)
    record = framefeed.Dataset(tmp_path / "set")[0]
    for name, expected in given.items():
        expected = np.frombuffer(expected, "uint8") if isinstance(expected, (bytes, bytearray)) else np.asarray(expected)
        assert np.array_equal(record.field(name).numpy(), expected), name


def test_bfloat16_of_ml_dtypes_is_bfloat16(tmp_path: Path) -> None:
    with framefeed.Writer(tmp_path / "set") as writer:
        writer.add("a", {"x": np.array([[1.5, -2.0, 0.25]], dtype=ml_dtypes.bfloat16).T})
    x = torch.from_dlpack(framefeed.Dataset(tmp_path / "set")[0].field("x"))
    assert (x.dtype, x.tolist()) == (torch.bfloat16, [[1.5], [-2.0], [0.25]])


def test_what_is_no_array_is_refused_with_its_record_and_leaves_no_trace(tmp_path: Path) -> None:
    needs_grad = torch.zeros(2, requires_grad=True)
    refused = [
        [1.0, 2.0], "text", None, object(), np.array([object()]), np.array(["a"]), np.array([1 + 2j]), needs_grad,
        np.zeros(2, ">f4"), np.zeros(2, [("a", "f4")]), torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex64),
    ]  # fmt: skip
    with framefeed.Writer(tmp_path / "set") as writer:
        for value in refused:
            with pytest.raises(framefeed.InvalidArgumentError, match="field 'x'"):
                writer.add("a", {"x": value})
        one = np.zeros(1)
        for arguments in [("a.b", {}), ("a", {"x y": one}), ("a", {"x.y": one}), ("", {"x": one})]:
            with pytest.raises(framefeed.InvalidArgumentError):
                writer.add(*arguments)
        for columns in [{"x": float("nan")}, {"x": object()}, {"": 1}]:
            with pytest.raises(framefeed.InvalidArgumentError, match="record 'a'|columns of record 'a'"):
                writer.add("a", {"x": one}, columns=columns)
        writer.add("a", {"x": one}, columns={"n": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True)})
        with pytest.raises(framefeed.InvalidArgumentError, match="'a'"):
            writer.add("a", {"x": one})
    dataset = framefeed.Dataset(tmp_path / "set")
    assert (len(dataset), dataset[0].columns) == (1, {"n": 3, "f": 0.5, "b": True})


def test_a_writer_publishes_when_it_is_closed_and_never_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), framefeed.Writer(tmp_path / "set") as writer:
        writer.add("a", {"x": np.zeros(3)})
        with pytest.raises(framefeed.ConflictError, match="another writer"):
            framefeed.Writer(tmp_path / "set")
        raise RuntimeError
    assert files(tmp_path / "set") == []
    with pytest.raises(framefeed.ClosedError):
        writer.add("b", {"x": np.zeros(3)})
    writer = framefeed.Writer(tmp_path / "set")
    writer.add("a", {"x": np.zeros(3)})
    with pytest.raises(framefeed.NotFoundError):
        framefeed.Dataset(tmp_path / "set")
    writer.close()
    writer.close()
    assert framefeed.Dataset(tmp_path / "set")[0].key == "a"
    with pytest.raises(framefeed.ConflictError, match="dataset already"):
        framefeed.Writer(tmp_path / "set")
    with pytest.raises(framefeed.InvalidArgumentError, match="no record"):
        framefeed.Writer(tmp_path / "empty").close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("x")
    with pytest.raises(framefeed.ConflictError, match="not empty"):
        framefeed.Writer(tmp_path / "other")


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    with framefeed.Writer(tmp_path / "set", shard_bytes=3000) as writer:

        def add(thread: int) -> None:
            for number in range(10):
                writer.add(f"{thread}-{number}", {"x": np.full(50, thread * 100 + number)})

        threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    dataset = framefeed.Dataset(tmp_path / "set")
    assert len(dataset) == 40
    for record in dataset:
        thread, number = map(int, record.key.split("-"))
        assert set(record.field("x").numpy().tolist()) == {thread * 100 + number}


# ------------------------------------------------------------------------------------------------------- others read it


@settings(max_examples=25, deadline=None)
@given(dtype=st.sampled_from(DTYPES), shape=st.lists(st.integers(0, 9), max_size=6), large=st.booleans())
def test_numpy_loads_what_tar_takes_out(dtype: str, shape: list[int], large: bool) -> None:
    shape = [*shape[:2], 70_000] if large else shape
    values = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        with framefeed.Writer(folder) as writer:
            writer.add("k/a", {"x": values, "y": values[..., None]})
        (shard,) = Path(folder).glob("shards/*.tar")
        with tarfile.open(shard) as tar:
            assert tar.getnames() == ["k/a.json", "k/a.x.npy", "k/a.y.npy", "__framefeed__/index.arrow"]
            assert json.load(tar.extractfile("k/a.json")) == {"key": "k/a", "caption": None, "columns": {}}
            for name, expected in (("k/a.x.npy", values), ("k/a.y.npy", values[..., None])):
                found = np.load(io.BytesIO(tar.extractfile(name).read()), allow_pickle=False)
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
                assert np.array_equal(found, expected)
                data = tar.getmember(name).offset_data + tar.getmember(name).size - values.nbytes
                assert values.nbytes < 65536 or data % 4096 == 0
        record = framefeed.Dataset(folder)[0]
        assert np.array_equal(record.field("x").numpy(), values)


def test_gnu_tar_and_webdataset_read_a_tensor_shard(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set", count=3)
    shard = next((tmp_path / "set/shards").glob("*.tar"))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", shard, "-C", tmp_path / "out"], check=True)
    assert np.array_equal(np.load(tmp_path / "out/r/0.latents.npy", allow_pickle=False), latents(0))
    pytest.importorskip("webdataset")
    # In a process of its own: webdataset leaves its files open.
    script = "import sys, webdataset; print([(r['__key__'], r['latents.npy'].sum()) for r in webdataset.WebDataset(sys.argv[1], shardshuffle=False).decode()])"
    found = subprocess.run([sys.executable, "-c", script, shard], check=True, capture_output=True, text=True).stdout
    assert "r/0" in found and str(latents(0).sum()) in found, found
    assert dataset[0].key == "r/0"


def test_the_independent_reader_agrees_on_tensors_and_columns(tmp_path: Path, copied: Path) -> None:
    write(tmp_path / "set").add_column("more", ((f"r/{n}", np.arange(n, dtype="int64")) for n in (1, 2, 5)), description={"a": 1})
    framefeed.Dataset(copied).add_column("len", lambda record: np.full((2, 1), record.num_frames) if record.num_frames > 12 else None)
    for path in (tmp_path / "set", copied):
        dataset = framefeed.Dataset(path)
        said = subprocess.run([sys.executable, READER, path], check=True, capture_output=True, text=True).stdout
        rows = [json.loads(line) for line in said.splitlines()]
        assert [row["key"] for row in rows] == [record.key for record in dataset]
        for row, record in zip(rows, dataset, strict=True):
            assert list(row["tensors"]) == record.fields
            for name, (dtype, shape, _, _) in row["tensors"].items():
                tensor = record.field(name)
                assert (dtype, tuple(shape)) == (tensor.dtype, tensor.shape)
        assert len({len(row["tensors"]) for row in rows}) > 1
    # And it looks: a byte of an added tensor that is another one is found.
    shard = copied / framefeed.Dataset(copied).manifest["columns"][0]["shards"][0]["file"]
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(content)
    assert subprocess.run([sys.executable, READER, copied], capture_output=True).returncode != 0


def test_raw_frames_of_420_are_what_ffmpeg_decodes(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "3", source]
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1", *encode], check=True)
    report = framefeed.convert(source, tmp_path / "raw", profile="raw", format="yuv420")
    assert (report["clips"], report["failed"]) == (1, [])
    dataset = framefeed.Dataset(tmp_path / "raw")
    assert dataset.fields["frames"]["description"] == {"axes": "THW", "color": "YUV420", "layout": "I420", "size": None}
    [batch] = framefeed.Loader(dataset, batch_size=1, fields=["frames"])
    command = ["ffmpeg", "-v", "error", "-i", source, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    planes = subprocess.run(command, capture_output=True, check=True).stdout
    expected = np.frombuffer(planes, "uint8").reshape(1, 25, 96, 96)
    assert np.array_equal(batch["frames"].numpy(), expected)
    said = subprocess.run([sys.executable, READER, tmp_path / "raw"], check=True, capture_output=True, text=True).stdout
    columns = json.loads(said)["columns"]
    assert [columns[f"frames_{name}"] for name in ("matrix", "range", "sample_aspect")] == ["smpte170m", "limited", "1:1"]
    for options in ({"profile": "raw", "format": "nv12"}, {"format": "rgb"}, {"profile": "raw", "format": "yuv420", "size": (8, 8)}):
        with pytest.raises(framefeed.InvalidArgumentError, match="format"):
            framefeed.convert(source, tmp_path / "other", **options)


# --------------------------------------------------------------------------------------------------------------- columns


def test_a_column_is_made_by_a_function_of_the_record(copied: Path) -> None:
    old = framefeed.Dataset(copied)
    frames = {record.key: record.decode([0], size=(8, 8)).numpy() for record in old}
    new = old.add_column("first", lambda record: record.decode([0], size=(8, 8)), description={"size": [8, 8]})
    assert (old.fields, list(new.fields)) == ({}, ["first"])
    assert new.fields["first"] == {"description": {"size": [8, 8]}, "column": "first"}
    for record in new:
        assert np.array_equal(record.field("first").numpy(), frames[record.key])
    # Several arrays under their own names, over the first column.
    both = new.add_column("stats", lambda r: {"mean": r.field("first").numpy().mean(), "odd": np.int8(1)} if r.number % 2 else {})
    assert list(both.fields) == ["first", "mean", "odd"] and both.fields["odd"]["column"] == "stats"
    assert [record.field("odd") is None for record in both] == [record.number % 2 == 0 for record in both]
    # A column of that name and description is there: nobody is asked, and an older handle sees it too.
    for handle in (old, both):
        again = handle.add_column("stats", lambda record: pytest.fail("was asked"))
        assert list(again.fields) == ["first", "mean", "odd"]
    for taken, description in (("first", None), ("stats", {"a": 1}), ("mean", None)):
        with pytest.raises(framefeed.ConflictError, match=taken):
            both.add_column(taken, lambda record: np.zeros(1), description=description)
        with pytest.raises(framefeed.ConflictError, match=taken):
            both.column_position(taken, description=description)
    with pytest.raises(framefeed.ConflictError, match="stats"):
        both.add_column("stats", lambda record: np.zeros(1), restart=True)
    assert old[0].decode([0]).shape[0] == 1


def test_a_column_is_made_from_pairs_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set")
    new = dataset.add_column("n", ((f"r/{n}", np.array(n)) for n in (1, 3, 4)))
    assert [record.field("n") is not None for record in new] == [False, True, False, True, True, False, False]
    assert new[3].field("n").numpy() == 3
    for pairs, message in [
        ([("r/1", 1), ("r/0", 1)], "'r/0' comes after 'r/1'"),
        ([("r/1", 1), ("r/1", 1)], "'r/1' comes after 'r/1'"),
        ([("r/9", 1)], "'r/9' is given, the dataset has no such record"),
    ]:
        with pytest.raises(framefeed.InvalidArgumentError, match=message):
            new.add_column("m", [(key, np.array(value)) for key, value in pairs], restart=True)
    assert new.column_position("m") == 0
    with pytest.raises(framefeed.InvalidArgumentError, match="'key': that is the name of another entry"):
        new.add_column("key", lambda record: np.zeros(1))
    with pytest.raises(framefeed.InvalidArgumentError, match="'pts': that is the name of another entry"):
        new.add_column("m", lambda record: {"pts": np.zeros(1)})
    with pytest.raises(framefeed.InvalidArgumentError, match=r"record 'r/0': .*field 'm'"):
        new.add_column("m", lambda record: [1, 2])
    with pytest.raises(framefeed.InvalidArgumentError, match="no record was given"):
        new.add_column("m", lambda record: None)
    # What failed before a shard was finished leaves nothing.
    assert [folder.name.rsplit("-", 1)[0] for folder in (tmp_path / "set/columns").iterdir()] == ["n"]
    assert list(new.add_column("m", lambda record: np.zeros(2)).fields) == ["latents", "text", "n", "m"]


def test_a_producer_that_fails_is_asked_for_no_stored_record_again(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set", count=9)
    asked: list[int] = []

    def produce(record: framefeed.Record) -> np.ndarray:
        asked.append(record.number)
        if len(asked) == 8:
            raise KeyError(record.key)
        return np.full(3, record.number)

    with pytest.raises(KeyError):
        dataset.add_column("n", produce)
    assert list(framefeed.Dataset(dataset.path).fields) == ["latents", "text"]
    assert dataset.column_position("n") == 7
    new = dataset.add_column("n", produce)
    assert asked == [*range(8), *range(7, 9)]
    assert new.column_position("n") == 9
    assert [int(record.field("n").numpy()[0]) for record in new] == list(range(9))


def read_for_a_while(path: Path, stop: multiprocessing.Event, started: multiprocessing.Event, failed: multiprocessing.Event) -> None:
    try:
        dataset = framefeed.Dataset(path)
        passes = 0
        while not stop.is_set() or passes < 2:
            for record in dataset:
                assert np.array_equal(record.field("latents").numpy(), latents(record.number))
            again = framefeed.Dataset(path)
            assert list(again.fields)[:2] == ["latents", "text"]
            for record in again if "n" in again.fields else ():
                assert record.field("n").numpy()[0] == record.number
            passes += 1
            started.set()
    except BaseException:
        failed.set()
        raise


def test_a_column_is_added_while_another_process_reads(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set")
    context = multiprocessing.get_context("spawn")
    stop, started, failed = context.Event(), context.Event(), context.Event()
    process = context.Process(target=read_for_a_while, args=(dataset.path, stop, started, failed))
    process.start()
    assert started.wait(60)

    def produce(record: framefeed.Record) -> np.ndarray:
        time.sleep(0.02)
        return np.full(3, record.number)

    dataset.add_column("n", produce)
    stop.set()
    process.join(60)
    assert process.exitcode == 0 and not failed.is_set()


KILLED = """
import sys, time
import numpy as np
import framefeed

def produce(record):
    print(record.number, flush=True)
    time.sleep(60 if record.number == 13 else 0)
    return np.full(1000, record.number)

framefeed.Dataset(sys.argv[1]).add_column("n", produce)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[Path, list[int]]]:
    """A dataset whose column was being written by a process that was killed, and the records that it was asked for."""
    dataset = write(tmp_path / "set", count=20)
    process = subprocess.Popen([sys.executable, "-c", KILLED, dataset.path], stdout=subprocess.PIPE, text=True)
    asked = [int(process.stdout.readline()) for _ in range(14)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    yield dataset.path, asked
    process.stdout.close()


def test_a_killed_column_is_gone_on_with(killed: tuple[Path, list[int]], tmp_path: Path) -> None:
    path, first = killed
    dataset = framefeed.Dataset(path)
    assert list(dataset.fields) == ["latents", "text"]
    asked: list[int] = []

    def produce(record: framefeed.Record) -> np.ndarray:
        asked.append(record.number)
        return np.full(1000, record.number)

    new = dataset.add_column("n", produce)
    # The record that it was killed in is asked for again, and none before it.
    assert asked == list(range(first[-1], 20))
    undisturbed = write(tmp_path / "other", count=20).add_column("n", lambda record: np.full(1000, record.number))
    assert new.manifest == undisturbed.manifest


def test_a_generator_is_given_the_records_that_are_still_to_do(killed: tuple[Path, list[int]]) -> None:
    path, first = killed
    dataset = framefeed.Dataset(path)
    assert dataset.column_position("n") == first[-1]
    asked: list[int] = []

    def produce(records: Iterator[framefeed.Record]) -> Iterator[tuple[str, np.ndarray | None]]:
        while batch := list(itertools.islice(records, 3)):
            asked.extend(record.number for record in batch)
            yield from ((record.key, np.full(1000, record.number) if record.number != 19 else None) for record in batch)

    for producer in (produce, functools.partial(produce)):
        new = dataset.add_column("n", producer)
        assert asked == list(range(first[-1], 20))
    assert [int(record.field("n").numpy()[0]) for record in new if record.number < 19] == list(range(19))
    assert new[19].field("n") is None


def test_a_column_can_begin_anew(killed: tuple[Path, list[int]]) -> None:
    dataset = framefeed.Dataset(killed[0])
    new = dataset.add_column("n", lambda record: np.full(2, -record.number), restart=True)
    assert [int(record.field("n").numpy()[1]) for record in new] == [-number for number in range(20)]


WRITING = """
import sys, time
import numpy as np
import framefeed

writer = framefeed.Writer(sys.argv[1], shard_bytes=20_000)
for number in range(12):
    writer.add(f"r/{number}", {"x": np.full(1000, number)}, caption=f"ä {number}", columns={"f": number / 3})
    print(number, flush=True)
time.sleep(60)
"""


def test_a_killed_writer_is_resumed_behind_its_last_record(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITING, tmp_path / "set"], stdout=subprocess.PIPE, text=True)
    for _ in range(12):
        process.stdout.readline()
    process.kill()
    process.communicate()
    with pytest.raises(framefeed.ConflictError, match="an earlier writer left records here"):
        framefeed.Writer(tmp_path / "set")

    def finish(path: Path, resume: bool) -> list[int]:
        added = []
        with framefeed.Writer(path, shard_bytes=20_000, resume=resume) as writer:
            for number in range(15):
                if f"r/{number}" not in writer:
                    caption, columns = f"ä {number}", {"f": number / 3}
                    writer.add(f"r/{number}", {"x": np.full(1000, number)}, caption=caption, columns=columns)
                    added.append(number)
            assert (len(writer), writer.num_found) == (15, 15 - len(added))
        return added

    with pytest.raises(KeyError), framefeed.Writer(tmp_path / "set", shard_bytes=20_000, resume=True) as writer:
        writer.add("r/12", {"x": np.full(1000, 12)}, caption="ä 12", columns={"f": 4.0})
        raise KeyError
    assert finish(tmp_path / "set", True) == [13, 14]
    assert finish(tmp_path / "set", True) == [], "what is published is all done"
    assert finish(tmp_path / "other", False) == list(range(15))
    assert framefeed.Dataset(tmp_path / "set").manifest == framefeed.Dataset(tmp_path / "other").manifest
    with pytest.raises(framefeed.ConflictError, match="published"), framefeed.Writer(tmp_path / "set", resume=True) as writer:
        writer.add("new", {"x": np.zeros(1)})


def test_a_writer_that_was_forked_is_of_its_parent(tmp_path: Path) -> None:
    writer = framefeed.Writer(tmp_path / "set")
    writer.add("a", {"x": np.zeros(3)})
    child = os.fork()
    if child == 0:
        try:
            writer.add("b", {"x": np.zeros(3)})
        except framefeed.ClosedError:
            del writer
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    writer.close()
    assert len(framefeed.Dataset(tmp_path / "set")) == 1


def test_damage_to_a_tensor_is_an_error_that_names_it(tmp_path: Path) -> None:
    dataset = write(tmp_path / "set")
    shutil.copytree(tmp_path / "set", tmp_path / "bad")
    shard = tmp_path / "bad" / dataset.manifest["shards"][0]["file"]
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        member = tar.getmember("r/0.latents.npy")
    content[member.offset_data + member.size - 1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(framefeed.CorruptError, match="field 'latents' has checksum") as caught:
        framefeed.Dataset(tmp_path / "bad")[0].field("latents")
    assert (caught.value.record, Path(caught.value.path)) == ("r/0", shard)


def test_an_interruption_while_an_array_is_exported_is_no_refusal_of_the_array(tmp_path: Path) -> None:
    class Interrupted:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

        def __dlpack__(self, **_: object) -> object:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), framefeed.Writer(tmp_path / "set") as writer:
        writer.add("a", fields={"x": Interrupted()})
    assert not (tmp_path / "set" / "manifest.json").exists()
