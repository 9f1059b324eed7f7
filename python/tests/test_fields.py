"""The loader over tensor fields: what is delivered is what was written, whatever the threads, shapes and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import framefeed

NUM_RECORDS = 23
DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
]  # fmt: skip


def latents(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((4, 3, 8), np.float32)


def text(number: int) -> np.ndarray:
    """Ragged: as many rows as the number has, and a width of its own."""
    shape = (number % 5 + 1, 6 + number % 2)
    return np.random.default_rng(1000 + number).integers(1, 100, shape, np.int16)


def write(folder: Path, **options: Any) -> framefeed.Dataset:
    with framefeed.Writer(folder, shard_bytes=20_000) as writer:
        for number in range(NUM_RECORDS):
            fields = {"latents": latents(number), "text": text(number)}
            if number == 7:
                del fields["text"]
            writer.add(f"r{number:02}", fields=fields, caption=f"caption {number}", columns={"score": number / 2})
    return framefeed.Dataset(folder)


@pytest.fixture(scope="session")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> framefeed.Dataset:
    return write(tmp_path_factory.mktemp("tensors") / "dataset")


@pytest.fixture
def make(tensors: framefeed.Dataset) -> Callable[..., framefeed.Loader]:
    def make(**options: Any) -> framefeed.Loader:
        return framefeed.Loader(options.pop("dataset", tensors), **{"batch_size": 4, "fields": ["latents"], **options})

    return make


Make = Callable[..., framefeed.Loader]


def numbers(batch: dict[str, Any]) -> list[int]:
    return [int(key[1:]) for key in batch["key"]]


def test_tensors_come_as_they_were_written(make: Make) -> None:
    loader = make(columns=["score"])
    assert len(loader) == 6 and loader.num_samples == NUM_RECORDS and loader.num_incomplete == 0
    seen = []
    for batch in loader:
        assert set(batch) == {
            "latents", "key", "caption", "record", "position", "epoch", "columns", "skipped", "substituted",
        }  # fmt: skip
        assert batch["latents"].shape == (len(batch["key"]), 4, 3, 8) and batch["latents"].dtype == "float32"
        for number, row in zip(numbers(batch), batch["latents"].numpy()):
            assert np.array_equal(row, latents(number))
        assert batch["caption"] == [f"caption {number}" for number in numbers(batch)]
        assert batch["columns"]["score"] == [number / 2 for number in numbers(batch)]
        seen += numbers(batch)
    assert seen == list(range(NUM_RECORDS))
    stats = loader.stats()
    assert stats["frames_decoded"] == 0 and stats["num_workers"] == 0
    assert stats["field_bytes"] == stats["read_bytes"] == stats["tensor_bytes"] == NUM_RECORDS * 4 * 3 * 8 * 4


def test_each_field_is_ragged_in_its_own_way(tmp_path: Path) -> None:
    shapes = [(2, 3), (2, 4), (2, 3), (2, 4), (2, 3), (2, 3), (2, 4)]
    with framefeed.Writer(tmp_path / "set") as writer:
        for number, shape in enumerate(shapes):
            fields = {"latents": np.full(shape, number), "text": np.arange(1, number + 2), "one": np.float32(number)}
            writer.add(f"r{number}", fields)
    dataset = framefeed.Dataset(tmp_path / "set")
    names = ["text", "latents", "one"]
    loader = framefeed.Loader(dataset, batch_size=3, fields=names, ragged={"latents": "bucket", "text": "pad"}, shuffle=True)
    assert "latents bucket, text pad" in loader.describe()
    seen = []
    for batch in loader:
        rows = numbers(batch)
        seen += rows
        assert len({shapes[number] for number in rows}) == 1 and "latents_lengths" not in batch
        assert batch["latents"].shape == (len(rows), *shapes[rows[0]])
        assert batch["text"].shape == (len(rows), max(rows) + 1)
        for row, number in enumerate(rows):
            assert (batch["latents"].numpy()[row] == number).all() and batch["one"].numpy()[row] == number
            assert batch["text_lengths"].numpy()[row].tolist() == [number + 1]
            padded = [*range(1, number + 2), *[0] * (max(rows) - number)]
            assert batch["text"].numpy()[row].tolist() == padded
    assert sorted(seen) == list(range(7))
    for ragged, message in [
        ({"latents": "bucket"}, "'text' has several shapes"),
        ({"texts": "pad"}, "'texts' is none of the fields"),
        ({"text": "fill"}, r"ragged\['text'\] is 'fill', expected one of error, pad, bucket"),
    ]:
        with pytest.raises(framefeed.InvalidArgumentError, match=message):
            framefeed.Loader(dataset, batch_size=3, fields=names, ragged=ragged)
    for wrong in (3, {"text": 3}):
        with pytest.raises(TypeError, match="ragged.* must be a str, or a dict of str by field"):
            framefeed.Loader(dataset, batch_size=3, fields=names, ragged=wrong)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_comes_back(tmp_path: Path, dtype: str) -> None:
    values = (np.arange(24).reshape(2, 12) % 2 if dtype == "bool" else np.arange(24).reshape(2, 12)).astype(dtype)
    with framefeed.Writer(tmp_path / "dataset") as writer:
        for number in range(2):
            writer.add(f"r{number}", fields={"x": values[number], "scalar": values[number, 0].reshape(())})
    batch = next(iter(framefeed.Loader(framefeed.Dataset(tmp_path / "dataset"), batch_size=2, fields=["x", "scalar"])))
    assert batch["x"].dtype == dtype
    assert np.array_equal(batch["x"].numpy(), values) and batch["x"].numpy().dtype == values.dtype
    assert batch["scalar"].shape == (2,) and np.array_equal(batch["scalar"].numpy(), values[:, 0])


def test_ragged_fields_are_refused_unless_told_otherwise(make: Make) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match=r"'text' has several shapes.*r00.*r01"):
        make(fields=["latents", "text"])


def test_padded_rows_have_zeros_and_their_lengths(make: Make) -> None:
    loader = make(fields=["text", "latents"], ragged="pad", shuffle=True)
    assert loader.num_samples == NUM_RECORDS - 1 and loader.num_incomplete == 1
    for batch in loader:
        assert "latents_lengths" not in batch and batch["text_lengths"].dtype == "int64"
        rows, lengths = batch["text"].numpy(), batch["text_lengths"].numpy()
        shapes = [text(number).shape for number in numbers(batch)]
        assert rows.shape[1:] == tuple(np.max(shapes, axis=0)) and lengths.tolist() == [list(shape) for shape in shapes]
        for number, row, (height, width) in zip(numbers(batch), rows, lengths):
            assert np.array_equal(row[:height, :width], text(number))
            assert not row[height:].any() and not row[:, width:].any()
        for number, row in zip(numbers(batch), batch["latents"].numpy()):
            assert np.array_equal(row, latents(number))


@pytest.mark.parametrize("shuffle", [False, True])
def test_buckets_have_one_shape_a_batch_and_every_sample_once(make: Make, shuffle: bool) -> None:
    def epochs(readers: int) -> list[list[int]]:
        loader = make(fields=["text"], ragged="bucket", batch_size=2, shuffle=shuffle, tensor_readers=readers)
        batches = []
        for _ in range(2):
            for batch in loader:
                assert "text_lengths" not in batch
                for number, row in zip(numbers(batch), batch["text"].numpy()):
                    assert np.array_equal(row, text(number))
                batches.append(numbers(batch))
            assert len(batches) % len(loader) == 0
        return batches

    one = epochs(1)
    half = len(one) // 2
    for epoch in (one[:half], one[half:]):
        assert sorted(sum(epoch, [])) == [number for number in range(NUM_RECORDS) if number != 7]
    assert (one[:half] != one[half:]) == shuffle
    assert epochs(3) == one


def test_resuming_goes_on_behind_the_last_batch(make: Make) -> None:
    for ragged in ("pad", "bucket"):
        loader = make(fields=["text"], ragged=ragged, shuffle=True, batch_size=3)
        whole = [(batch["key"], batch["text"].numpy().tobytes()) for batch in loader]
        for done in range(len(whole)):
            loader.set_epoch(0)
            batches = iter(loader)
            for _ in range(done):
                next(batches)
            other = make(fields=["text"], ragged=ragged, shuffle=True, batch_size=3, tensor_readers=5)
            other.load_state_dict(loader.state_dict())
            assert [(batch["key"], batch["text"].numpy().tobytes()) for batch in other] == whole[done:]


def flip(folder: Path, number: int) -> None:
    """Changes one byte in the middle of a record's latents."""
    wanted = latents(number).tobytes()
    for shard in (folder / "shards").iterdir():
        content = bytearray(shard.read_bytes())
        at = content.find(wanted)
        if at >= 0:
            content[at + len(wanted) // 2] ^= 4
            shard.write_bytes(content)
            return
    raise AssertionError("the record is in no shard")


def test_damage_follows_the_policy(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "dataset")
    flip(tmp_path / "dataset", 5)
    dataset = framefeed.Dataset(tmp_path / "dataset")
    with pytest.raises(framefeed.CorruptError, match=r"field 'latents' has CRC32C.*r05") as caught:
        list(make(dataset=dataset))
    assert caught.value.record == "r05" and caught.value.offset > 0
    skipping = make(dataset=dataset, on_error="skip")
    with pytest.warns(framefeed.SkippedWarning, match="field 'latents' has CRC32C.*r05"):
        assert sorted(sum((numbers(batch) for batch in skipping), [])) == [n for n in range(NUM_RECORDS) if n != 5]
    assert skipping.stats()["skipped"] == 1
    runs = []
    for readers in (1, 4):
        loader = make(dataset=dataset, on_error="substitute", tensor_readers=readers, shuffle=True)
        with pytest.warns(framefeed.SkippedWarning):
            batches = list(loader)
        for batch in batches:
            for number, row in zip(numbers(batch), batch["latents"].numpy()):
                assert number != 5 and np.array_equal(row, latents(number))
        assert sum(len(batch["key"]) for batch in batches) == NUM_RECORDS and loader.stats()["substituted"] == 1
        runs.append([batch["key"] for batch in batches])
    assert runs[0] == runs[1]
    unchecked = [row for batch in make(dataset=dataset, checksum="off") for row in batch["latents"].numpy()]
    assert len(unchecked) == NUM_RECORDS and not np.array_equal(unchecked[5], latents(5))


@pytest.mark.filterwarnings("ignore::framefeed.SkippedWarning")
def test_a_substitute_may_be_larger_than_the_batch_it_comes_into(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "dataset")
    flip(tmp_path / "dataset", 5)
    dataset = framefeed.Dataset(tmp_path / "dataset")
    options = {"fields": ["text", "latents"], "ragged": "pad", "on_error": "substitute", "batch_size": 1}
    for seed in range(8):
        for batch in make(dataset=dataset, shuffle=True, seed=seed, **options):
            (number,) = numbers(batch)
            assert np.array_equal(batch["text"].numpy()[0], text(number)) or batch["substituted"]
            height, width = batch["text_lengths"].numpy()[0]
            assert np.array_equal(batch["text"].numpy()[0, :height, :width], text(number))
            assert np.array_equal(batch["latents"].numpy()[0], latents(number))


def test_a_missing_shard_is_raised_under_every_policy_and_cut_ones_where_nothing_is_left(tmp_path: Path, make: Make) -> None:
    dataset = write(tmp_path / "dataset")
    loaders = [make(dataset=dataset, on_error=on_error) for on_error in ("raise", "skip", "substitute")]
    shards = sorted((tmp_path / "dataset" / "shards").iterdir())
    for shard in shards:
        shard.rename(shard.with_suffix(".away"))
    for loader in loaders:
        with pytest.raises(framefeed.NotFoundError, match=r"shards/.*\.tar"):
            list(loader)
    for on_error in ("raise", "skip", "substitute"):
        with pytest.raises(framefeed.NotFoundError) as raised:
            make(dataset=framefeed.Dataset(tmp_path / "dataset"), on_error=on_error)
        assert raised.value.path == str(shards[0])
    for shard in shards:
        shard.write_bytes(shard.with_suffix(".away").read_bytes()[:-512])
    with pytest.raises(framefeed.CorruptError, match="samples can't be read"):
        make(dataset=framefeed.Dataset(tmp_path / "dataset"), on_error="skip")


def test_one_shard_that_is_cut_is_skipped_with_fields_as_without(tmp_path: Path, make: Make) -> None:
    shards = [tmp_path / "dataset" / shard["file"] for shard in write(tmp_path / "dataset").manifest["shards"]]
    assert len(shards) > 1
    shards[1].write_bytes(shards[1].read_bytes()[:-512])
    dataset = framefeed.Dataset(tmp_path / "dataset")
    with pytest.raises(framefeed.CorruptError):
        make(dataset=dataset)
    loader = make(dataset=dataset, on_error="skip")
    with pytest.warns(framefeed.SkippedWarning, match=shards[1].name):
        rows = sum(len(batch["key"]) for batch in loader)
    skipped = dataset.manifest["shards"][1]["rows"]
    assert loader.stats()["skipped"] == skipped and rows == NUM_RECORDS - skipped


def test_names_that_clash_and_fields_that_do_not_exist_are_refused(tmp_path: Path, make: Make) -> None:
    with pytest.raises(framefeed.InvalidArgumentError, match="latents, text"):
        make(fields=["nope"])
    with pytest.raises(framefeed.InvalidArgumentError, match="named twice"):
        make(fields=["latents", "latents"])
    with pytest.raises(framefeed.InvalidArgumentError, match="window must be set"):
        make(fields=[])
    with pytest.raises(framefeed.InvalidArgumentError, match="ragged is 'x'"):
        make(ragged="x")
    with pytest.raises(framefeed.InvalidArgumentError, match="tensor_readers is 0"):
        make(tensor_readers=0)
    with framefeed.Writer(tmp_path / "dataset") as writer:
        with pytest.raises(framefeed.InvalidArgumentError, match="'video': that is the name of another entry.*record 'r0'"):
            writer.add("r0", fields={"text": text(0), "video": text(0)})
        writer.add("r0", fields={"text": text(0), "text_lengths": text(0)})
    with pytest.raises(framefeed.InvalidArgumentError, match="another entry of a batch"):
        make(fields=["color"])
    dataset = framefeed.Dataset(tmp_path / "dataset")
    with pytest.raises(framefeed.InvalidArgumentError, match="another entry of a batch"):
        make(dataset=dataset, fields=["video"])
    with pytest.raises(framefeed.InvalidArgumentError, match="lengths of another field"):
        make(dataset=dataset, fields=["text", "text_lengths"], ragged="pad")


def test_descriptions_are_compared_when_asked_for(copied: Path) -> None:
    dataset = framefeed.Dataset(copied)
    description = {"vae": "v1", "fps": 8}
    dataset = dataset.add_column("latents", lambda record: latents(record.number), description=description)
    framefeed.Loader(dataset, fields=["latents"], field_descriptions={"latents": {"vae": "v1"}})
    with pytest.raises(framefeed.InvalidArgumentError, match="vae"):
        framefeed.Loader(dataset, fields=["latents"], field_descriptions={"latents": {"vae": "v2"}})


def test_frames_and_tensors_of_a_batch_are_of_the_same_records(copied: Path) -> None:
    dataset = framefeed.Dataset(copied)
    dataset = dataset.add_column("latents", lambda record: None if record.number == 2 else latents(record.number))
    window = framefeed.Window(frames=4, short="loop")
    loader = framefeed.Loader(dataset, batch_size=3, window=window, size=(32, 48), fields=["latents"], shuffle=True)
    assert loader.num_samples == len(dataset) - 1 and loader.num_incomplete == 1
    seen = []
    for batch in loader:
        records = batch["record"].numpy().tolist()
        for row, number in enumerate(records):
            assert np.array_equal(batch["latents"].numpy()[row], latents(number))
            clip = dataset[number].decode(batch["frame"].numpy()[row], size=(32, 48))
            assert np.array_equal(batch["video"].numpy()[row], clip.numpy())
        seen += records
    assert sorted(seen) == [number for number in range(len(dataset)) if number != 2]


def test_no_byte_of_video_is_touched_without_a_window(copied: Path) -> None:
    dataset = framefeed.Dataset(copied)
    dataset = dataset.add_column("latents", lambda record: latents(record.number))
    loader = framefeed.Loader(dataset, batch_size=3, fields=["latents"], captions=False)
    for shard in (copied / "shards").iterdir():
        shard.unlink()
    assert sum(len(batch["key"]) for batch in loader) == len(dataset)


def test_memory_goes_round_and_batches_outlive_everything(make: Make) -> None:
    loader = make(fields=["latents"], prefetch_batches=2)
    kept = next(iter(loader))["latents"].numpy()
    expected = kept.copy()
    for _ in range(12):
        for batch in loader:
            del batch
    stats = loader.stats()
    assert stats["batch_buffers_allocated"] <= 5, stats
    del loader
    assert np.array_equal(kept, expected)


def test_torch_gets_tensors_of_every_kind(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from framefeed.torch import DataLoader

    values = torch.arange(24, dtype=torch.bfloat16).reshape(2, 3, 4)
    flags = torch.tensor([True, False])
    with framefeed.Writer(tmp_path / "dataset") as writer:
        for number in range(2):
            writer.add(f"r{number}", fields={"x": values[number], "flag": flags[number], "text": values[number, :, : number + 1].contiguous()})
    loader = DataLoader(framefeed.Dataset(tmp_path / "dataset"), batch_size=2, fields=["x", "flag", "text"], ragged="pad")
    batch = next(iter(loader))
    assert batch["x"].dtype == torch.bfloat16 and torch.equal(batch["x"], values)
    assert batch["flag"].dtype == torch.bool and torch.equal(batch["flag"], flags)
    assert batch["text_lengths"].tolist() == [[3, 1], [3, 2]]
    assert "checksum on" in loader.describe() and "2 of 2 records" in loader.describe()
