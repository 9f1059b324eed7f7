"""The loader as scripts use it: looks at it, launchers, wrong arguments, records that are no samples."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import framefeed

Make = Callable[..., framefeed.Loader]
Damaged = Callable[[frozenset[int]], framefeed.Dataset]
NUM_RECORDS = 7


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> framefeed.Dataset:
    """A small dataset whose epochs take no time."""
    path = tmp_path_factory.mktemp("tensors") / "set"
    with framefeed.Writer(path) as writer:
        for number in range(NUM_RECORDS):
            writer.add(f"r{number}", {"x": np.full(3, number + 100, np.int32)})
    return framefeed.Dataset(path)


FAILURE = "an error in the place of a batch"


@pytest.fixture(scope="module")
def damaged(tensors: framefeed.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """Copies of that dataset whose records of those numbers are damaged: the order of samples is the same in all."""
    made: dict[frozenset[int], framefeed.Dataset] = {frozenset(): tensors}

    def make(numbers: frozenset[int]) -> framefeed.Dataset:
        if numbers not in made:
            path = shutil.copytree(tensors.path, tmp_path_factory.mktemp("damaged") / "set")
            for shard in framefeed.Dataset(path).manifest["shards"]:
                content = bytearray((path / shard["file"]).read_bytes())
                for number in numbers:
                    at = content.find(np.full(3, number + 100, np.int32).tobytes())
                    if at >= 0:
                        content[at] ^= 0xFF
                (path / shard["file"]).write_bytes(content)
            made[numbers] = framefeed.Dataset(path)
        return made[numbers]

    return make


class Model:
    """What a loader does, naively: epochs as lists, iterators that take the next place with their first outcome."""

    def __init__(self, epochs: Callable[[int], list[list[str]]], damaged: frozenset[str], skips: bool) -> None:
        self.epochs = epochs
        self.damaged = damaged
        self.skips = skips
        self.place = self.next = (0, 0)
        self.resumed: tuple[int, int] | None = None
        self.current: object = None

    def iterator(self) -> Iterator[list[str] | str]:
        me = object()
        epoch, position = self.next
        if self.resumed is not None and self.resumed[0] != epoch:
            self.resumed = None
        self.place, self.next, self.current = (epoch, position), (epoch + 1, 0), me
        batches = self.epochs(epoch)
        done = 0
        is_barren = position == 0
        for batch in batches:
            done += len(batch)
            if done <= position:
                continue
            left = [key for key in batch if key not in self.damaged]
            if left == batch or (self.skips and left):
                is_barren = False
                self.move(me, epoch, done)
                yield left
            elif not self.skips:
                yield FAILURE
        if self.skips and is_barren:
            yield FAILURE
        self.move(me, epoch, NUM_RECORDS)

    def move(self, who: object, epoch: int, done: int) -> None:
        if self.current is who:
            self.place = (epoch, done) if done < NUM_RECORDS else (epoch + 1, 0)
            if self.resumed is not None and self.place[0] != self.resumed[0] == epoch:
                self.resumed = None

    def load(self, place: tuple[int, int]) -> None:
        self.resumed = place
        self.go(place)

    def set_epoch(self, epoch: int) -> None:
        if self.resumed is not None and self.resumed[0] != epoch:
            self.resumed = None
        self.go(self.resumed or (epoch, 0))

    def go(self, place: tuple[int, int]) -> None:
        self.place = self.next = place
        self.current = None


def outcome(batches: Iterator[dict[str, Any]]) -> list[str] | str | None:
    """The keys of the next batch, the error in its place, or None at the end."""
    try:
        keys: list[str] = next(batches)["key"]
        return keys
    except framefeed.CorruptError:
        return FAILURE
    except StopIteration:
        return None


STEPS = st.one_of(
    st.tuples(st.just("iter"), st.just(0)),
    st.tuples(st.just("next"), st.integers(0, 5)),
    st.tuples(st.just("next"), st.integers(0, 1)),
    st.tuples(st.just("drop"), st.integers(0, 5)),
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("load"), st.integers(0, 5)),
    st.tuples(st.just("set_epoch"), st.integers(0, 3)),
    st.tuples(st.just("look"), st.just(0)),
)


@given(
    steps=st.lists(STEPS, max_size=40),
    shuffle=st.booleans(),
    batch_size=st.integers(1, 3),
    numbers=st.sampled_from([(), (), (2,), (6,), (0, 3, 4), (0, 1, 2, 4, 5, 6), range(NUM_RECORDS)]).map(frozenset),
    on_error=st.sampled_from(["raise", "skip"]),
)
@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@pytest.mark.filterwarnings("ignore::framefeed.SkippedWarning")
def test_a_loader_does_what_a_naive_one_does(
    tensors: framefeed.Dataset,
    damaged: Damaged,
    steps: list[tuple[str, int]],
    shuffle: bool,
    batch_size: int,
    numbers: frozenset[int],
    on_error: Any,
) -> None:
    def make(dataset: framefeed.Dataset) -> framefeed.Loader:
        return framefeed.Loader(
            dataset, batch_size=batch_size, fields=["x"], shuffle=shuffle, seed=1, tensor_readers=1, on_error=on_error
        )

    def epoch(number: int) -> list[list[str]]:
        loader = make(tensors)
        loader.set_epoch(number)
        return [batch["key"] for batch in loader]

    loader = make(damaged(numbers))
    model = Model(epoch, frozenset(f"r{number}" for number in numbers), on_error == "skip")
    iterators: list[tuple[Any, Iterator[list[str] | str]]] = []
    states = [loader.state_dict()]
    for what, which in steps:
        if what == "iter":
            iterators.append((iter(loader), model.iterator()))
        elif what == "next" and iterators:
            ours, naive = iterators[which % len(iterators)]
            assert outcome(ours) == next(naive, None)
        elif what == "drop" and iterators:
            iterators.pop(which % len(iterators))
        elif what == "save":
            states.append(copy.deepcopy(loader.state_dict()))
        elif what == "load":
            state = states[which % len(states)]
            loader.load_state_dict(state)
            model.load((state["epoch"], state["position"]))
        elif what == "set_epoch":
            loader.set_epoch(which)
            model.set_epoch(which)
        elif what == "look":
            assert len(loader) == -(-NUM_RECORDS // batch_size) and iter(loader) is not None
            assert loader.describe() and loader.stats()
        state = loader.state_dict()
        assert (state["epoch"], state["position"]) == model.place
        assert loader.epoch == model.place[0]


def test_a_job_that_ends_with_an_error_and_is_resumed_loses_no_sample(damaged: Damaged) -> None:
    """Saved in the handler, as jobs do; the second run finds the data sound again."""
    failing, sound = damaged(frozenset({0, 5})), damaged(frozenset())
    for batch_size in range(1, NUM_RECORDS + 1):
        seen: list[str] = []
        loader = framefeed.Loader(failing, batch_size=batch_size, fields=["x"], shuffle=True)
        with pytest.raises(framefeed.CorruptError):
            for batch in loader:
                seen += batch["key"]
        resumed = framefeed.Loader(sound, batch_size=batch_size, fields=["x"], shuffle=True)
        resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        for batch in resumed:
            assert batch["epoch"] == 0
            seen += batch["key"]
        assert sorted(seen) == [f"r{number}" for number in range(NUM_RECORDS)]


@pytest.mark.parametrize("policy", ["skip", "substitute"])
def test_a_warning_that_is_an_error_loses_no_batch(damaged: Damaged, policy: Any) -> None:
    def make() -> framefeed.Loader:
        return framefeed.Loader(damaged(frozenset({1})), batch_size=3, fields=["x"], on_error=policy)

    with pytest.warns(framefeed.SkippedWarning):
        expected = [batch["key"] for batch in make()]
    loader = make()
    batches = iter(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = loader.state_dict()
        with pytest.raises(framefeed.SkippedWarning):
            next(batches)
        assert loader.state_dict() == before
        assert [batch["key"] for batch in batches] == expected
    assert loader.state_dict()["epoch"] == 1


def test_a_look_at_a_loader_uses_up_neither_an_epoch_nor_a_resumed_position(make_loader: Make) -> None:
    def flow(loader: framefeed.Loader, look: Callable[[], object]) -> Iterator[tuple[int, list[str]]]:
        for _ in range(3):
            look()
            for batch in loader:
                look()
                yield batch["epoch"], batch["key"]

    loader = make_loader(shuffle=True, seed=2)
    expected = list(flow(loader, lambda: None))
    loader = make_loader(shuffle=True, seed=2)
    assert list(flow(loader, lambda: iter(loader))) == expected
    first = make_loader(shuffle=True, seed=2)
    next(iter(first))
    state = json.loads(json.dumps(first.state_dict()))
    resumed = make_loader(shuffle=True, seed=2)
    resumed.load_state_dict(state)
    iter(resumed)
    assert resumed.state_dict() == state and len(resumed) == 3
    resumed.set_epoch(resumed.epoch)
    held = [iter(resumed), iter(resumed)]
    assert list(flow(resumed, lambda: iter(resumed)))[: len(expected) - 1] == expected[1:]
    assert held


WORLD = """
import os, sys
import framefeed
from framefeed.torch import DataLoader
dataset = framefeed.Dataset(sys.argv[1])
window = framefeed.Window(frames=2, short="loop")
for make in (framefeed.Loader, DataLoader):
    for options, told in [({}, sys.argv[2]), ({"world_size": 8}, "world_size is 8, expected 1"), ({"world_size": 1}, "")]:
        try:
            keys = [key for batch in make(dataset, window=window, size=(32, 32), **options) for key in batch["key"]]
            assert not told and len(keys) == len(dataset), (options, told)
        except framefeed.InvalidArgumentError as error:
            assert told and told in str(error), (told, error)
"""


@pytest.mark.parametrize("value, told", [("8", "WORLD_SIZE is 8, and each"), ("1", ""), ("", ""), ("many", "")])
def test_processes_of_a_job_do_not_read_the_same_samples_by_mistake(path: Path, value: str, told: str) -> None:
    pytest.importorskip("torch")
    import os

    environment = {**os.environ, "WORLD_SIZE": value}
    run = subprocess.run([sys.executable, "-c", WORLD, str(path), told], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


JOINED = """
import os, sys
import framefeed
import torch.distributed as dist
from framefeed.torch import DataLoader
rank, folder, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dataset = framefeed.Dataset(path)
options = {"window": framefeed.Window(frames=2, short="loop"), "size": (32, 32)}
early = [make(dataset, **options) for make in (framefeed.Loader, DataLoader)]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
for attempt in [lambda: framefeed.Loader(dataset, **options), lambda: DataLoader(dataset, **options), *[lambda: iter(loader) for loader in early]]:
    try:
        attempt()
        raise SystemExit("no error")
    except framefeed.InvalidArgumentError as error:
        assert "torch.distributed has 2 processes" in str(error) and "give world_size=1" in str(error), error
assert sum(len(batch["key"]) for batch in DataLoader(dataset, world_size=1, **options)) == len(dataset)
dist.destroy_process_group()
"""


def test_a_job_of_torch_distributed_is_noticed_also_where_it_is_joined_later(path: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("torch has no torch.distributed")
    command = [sys.executable, "-c", JOINED]
    runs = [subprocess.Popen([*command, str(rank), str(tmp_path), str(path)], stderr=subprocess.PIPE, text=True) for rank in (0, 1)]
    for run in runs:
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors


@pytest.mark.parametrize(
    "options, told",
    [
        ({"batch_size": "8"}, "batch_size must be an int, got str '8'"),
        ({"batch_size": 8.0}, "batch_size must be an int, got float 8.0"),
        ({"batch_size": None}, "batch_size must be an int, got None"),
        ({"batch_size": True}, "batch_size must be an int, got bool True"),
        ({"seed": "0"}, "seed must be an int, got str '0'"),
        ({"shuffle": 1}, "shuffle must be a bool, got int 1"),
        ({"shuffle": "yes"}, "shuffle must be a bool, got str 'yes'"),
        ({"redraw": 0}, "redraw must be a bool or None, got int 0"),
        ({"drop_last": "no"}, "drop_last must be a bool, got str 'no'"),
        ({"captions": None}, "captions must be a bool, got None"),
        ({"decode_workers": 1.5}, "decode_workers must be an int or None, got float 1.5"),
        ({"tensor_readers": "all"}, "tensor_readers must be an int or None, got str 'all'"),
        ({"prefetch_batches": []}, r"prefetch_batches must be an int or None, got list \[\]"),
        ({"prefetch_bytes": "1GB"}, "prefetch_bytes must be an int or None, got str '1GB'"),
        ({"cpu_limit": "2"}, "cpu_limit must be a float or None, got str '2'"),
        ({"world_size": "1"}, "world_size must be an int or None, got str '1'"),
        ({"scale": "1/255"}, "scale must be a float, got str '1/255'"),
        ({"mean": 0.5}, "mean must be three floats, one for each of R, G and B, got float 0.5"),
        ({"std": (0.5, 0.5)}, r"std must be three floats, one for each of R, G and B, got tuple \(0.5, 0.5\)"),
        ({"pad": "black"}, "pad must be three ints from 0 to 255, for R, G and B, got str 'black'"),
        ({"fit": 3}, "fit must be a str, got int 3"),
        ({"dtype": np.uint8}, "dtype must be a str, got type <class 'numpy.uint8'>"),
        ({"layout": None}, "layout must be a str, got None"),
        ({"on_error": False}, "on_error must be a str, got bool False"),
        ({"engine": 1}, "engine must be a str, got int 1"),
        ({"columns": "score"}, "columns must be a list of str, got str 'score'"),
        ({"fields": [1]}, r"fields must be a list of str, got list \[1\]"),
        ({"fields": None}, "fields must be a list of str, got None"),
        ({"decode_limits": 20}, "decode_limits must be a dict or None, got int 20"),
        ({"field_descriptions": "x"}, "field_descriptions must be a dict or None, got str 'x'"),
        ({"dataset": "data/"}, r"dataset must be a framefeed.Dataset, such as framefeed.Dataset\('data/'\), got str 'data/'"),
        ({"dataset": Path("data")}, r"dataset must be a framefeed.Dataset, such as framefeed.Dataset\('data'\), got PosixPath"),
        ({"dataset": [1, 2]}, r"dataset must be a framefeed.Dataset, got list \[1, 2\]"),
    ],
)  # fmt: skip
def test_an_argument_of_a_wrong_type_is_named_in_the_message(make_loader: Make, options: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=f"^{told}"):
        make_loader(**options)


def test_every_argument_of_a_wrong_type_is_named(dataset: framefeed.Dataset) -> None:
    window = framefeed.Window(frames=2, short="loop")
    good: dict[str, Any] = {"window": window, "size": (32, 32)}
    names = list(inspect.signature(framefeed.Loader).parameters)
    assert len(names) > 30
    for name in names:
        given = {"dataset": dataset, **good, name: object()}
        with pytest.raises(TypeError, match=f"^{name} (must be|is) "):
            framefeed.Loader(given.pop("dataset"), **given)
    for name in inspect.signature(framefeed.Window).parameters:
        with pytest.raises(TypeError, match=f"^{name} must be "):
            framefeed.Window(**{"frames": 2, name: object()})
    with pytest.raises(TypeError, match="^epoch must be an int, got str '3'"):
        framefeed.Loader(dataset, **good).set_epoch("3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^path must be a path: .*, got int 5"):
        framefeed.Dataset(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^key must be a str, got int 5"):
        dataset.find(5)  # type: ignore[arg-type]


def test_a_subset_of_torchs_is_told_that_the_loader_reads_whole_datasets(dataset: framefeed.Dataset) -> None:
    torch = pytest.importorskip("torch")
    from framefeed.torch import DataLoader

    subset = torch.utils.data.Subset(dataset, [0, 1])
    for make in (framefeed.Loader, DataLoader):
        with pytest.raises(TypeError, match="^dataset must be a framefeed.Dataset itself: .*, got Subset"):
            make(subset, window=framefeed.Window(frames=2))
        with pytest.raises(TypeError, match=r"^dataset must be a framefeed.Dataset, such as framefeed.Dataset\('data'\)"):
            make("data", window=framefeed.Window(frames=2))
    with pytest.raises(TypeError, match="^batch_size must be an int, got str '8'"):
        DataLoader(dataset, batch_size="8", window=framefeed.Window(frames=2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="device must be a str or a torch.device, got list"):
        DataLoader(dataset, device=[], window=framefeed.Window(frames=2))  # type: ignore[arg-type]


def test_a_number_beyond_all_ranges_is_told_the_range(make_loader: Make) -> None:
    with pytest.raises(ValueError, match="^seed is [0-9]+, expected a whole number from 0 to"):
        make_loader(seed=10**60)
    with pytest.raises(ValueError, match="^batch_size is -[0-9]+, expected 1 to 65536"):
        make_loader(batch_size=-(10**60))


def test_numpys_numbers_are_numbers(make_loader: Make) -> None:
    loader = make_loader(batch_size=np.int64(2), seed=np.uint8(3), scale=np.float32(0.5), dtype="float32", shuffle=np.True_)
    assert loader.batch_size == 2 and loader.state_dict()["seed"] == 3 and loader.state_dict()["shuffle"]


def test_records_that_are_too_short_are_warned_of_once_and_listed(make_loader: Make, dataset: framefeed.Dataset) -> None:
    window = framefeed.Window(frames=20, stride=1)
    short = {record.key: record.num_frames for record in dataset if record.num_frames < 20}
    assert short
    told = f"{len(short)} of {len(dataset)} records are too short for 20 frames at stride 1, which needs 20 frames, and are no samples"
    with pytest.warns(framefeed.ShortWarning, match=told) as warned:
        loader = make_loader(window=window)
        list(loader)
        list(loader)
    assert len(warned) == 1
    excluded = loader.excluded()
    assert {entry["key"]: entry["reason"].split(",")[0] for entry in excluded} == {
        key: f"has {frames} frames" for key, frames in short.items()
    }
    assert all(dataset[entry["record"]].key == entry["key"] for entry in excluded) and json.dumps(excluded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_loader().excluded() == []


def test_records_without_a_field_are_listed(tmp_path: Path) -> None:
    with framefeed.Writer(tmp_path / "set") as writer:
        for number in range(6):
            fields = {"x": np.zeros(2)} if number % 2 else {"y": np.zeros(2)}
            writer.add(f"r{number}", fields)
    loader = framefeed.Loader(framefeed.Dataset(tmp_path / "set"), fields=["x"])
    assert [(entry["key"], entry["reason"]) for entry in loader.excluded()] == [
        (f"r{number}", "lacks the field 'x'") for number in (0, 2, 4)
    ]


def test_a_window_that_fits_nothing_says_what_it_needs_in_one_unit(make_loader: Make, dataset: framefeed.Dataset) -> None:
    longest = max(record.num_frames for record in dataset)
    with pytest.raises(ValueError, match=f"100 frames at stride 2 needs 199 frames, and no record has it: the longest has {longest} frames"):
        make_loader(window=framefeed.Window(frames=100, stride=2))
    seconds = max(record.duration for record in dataset)
    with pytest.raises(ValueError, match="needs more than 24.75 s, and no record has it: the longest has ") as raised:
        make_loader(window=framefeed.Window(frames=100, fps=4))
    found = re.search(r"the longest has ([0-9.]+) s", str(raised.value))
    assert found and float(found[1]) == pytest.approx(seconds, abs=1e-5)


def test_batches_that_can_never_be_full_are_refused(make_loader: Make, dataset: framefeed.Dataset) -> None:
    with pytest.raises(ValueError, match="batch_size is 9 and the last batch is dropped, but there are only 8 samples"):
        make_loader(batch_size=9, drop_last=True)
    assert len(list(make_loader(batch_size=8, drop_last=True))) == 1


def test_validation_sees_the_same_frames_at_each_pass(make_loader: Make) -> None:
    def passes(**options: Any) -> list[dict[str, list[int]]]:
        loader = make_loader(**options)
        return [
            {key: frames for batch in loader for key, frames in zip(batch["key"], batch["frame"].numpy().tolist())}
            for _ in range(3)
        ]

    first, *others = passes()
    assert all(other == first for other in others)
    assert passes(shuffle=True, redraw=False)[1:] == others
    assert passes(redraw=True)[0] != passes(redraw=True)[1]
    assert passes(shuffle=True)[0] != passes(shuffle=True)[1]


def test_records_come_in_their_own_size_one_by_one(make_loader: Make, dataset: framefeed.Dataset) -> None:
    loader = make_loader(size=None, batch_size=1)
    sizes = set()
    for batch in loader:
        record = dataset.find(batch["key"][0])
        video = batch["video"].numpy()
        assert video.shape == (1, 4, 3, *record.size)
        assert np.array_equal(video[0], record.decode(batch["frame"].numpy()[0]).numpy())
        sizes.add(record.size)
    assert len(sizes) > 3
    with pytest.raises(ValueError, match="size must be set, or batch_size be 1: the samples are of different sizes"):
        make_loader(size=None, batch_size=2)


def test_a_table_that_cannot_be_read_is_our_error(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.ipc

    damaged = framefeed.Dataset(copied)
    for raised, expected in [
        (pyarrow.ArrowInvalid("not a file"), framefeed.CorruptError),
        (pyarrow.ArrowMemoryError("no memory"), framefeed.OutOfMemoryError),
        (OSError("gone"), framefeed.CorruptError),
    ]:

        def fail(*_: object, raised: Exception = raised) -> None:
            raise raised

        monkeypatch.setattr(pyarrow.ipc, "open_file", fail)
        with pytest.raises(expected) as caught:
            damaged.table()
        assert caught.value.__cause__ is raised and str(caught.value.path).endswith("index.arrow")


def test_a_loader_that_is_closed_says_so(make_loader: Make) -> None:
    with make_loader(batch_size=1) as loader:
        running, waiting = iter(loader), iter(loader)
        next(running)
    state = loader.state_dict()
    for batches in (running, waiting):
        with pytest.raises(framefeed.ClosedError, match="the loader was closed"):
            next(batches)
        assert list(batches) == []
    with pytest.raises(framefeed.ClosedError, match="the loader was closed"):
        iter(loader)
    loader.close()
    assert loader.state_dict() == state and len(loader) == 8 and loader.stats()["batches_delivered"] == 1


def surface(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_") or name in ("__len__", "__iter__", "__next__", "__enter__", "__exit__")}


def test_the_torch_loader_has_all_that_the_loader_has(dataset: framefeed.Dataset) -> None:
    pytest.importorskip("torch")
    from framefeed.torch import Batches, DataLoader

    assert surface(DataLoader) == surface(framefeed.Loader) | {"device"}
    assert surface(Batches) == surface(framefeed.Batches)
    ours, torchs = (list(inspect.signature(kind).parameters) for kind in (framefeed.Loader, DataLoader))
    assert [name for name in torchs if name != "device"] == ours
    window = framefeed.Window(frames=2, short="loop")
    plain = framefeed.Loader(dataset, window=window, size=(32, 32))
    loader = DataLoader(dataset, window=window, size=(32, 32))
    for name in surface(framefeed.Loader):
        one, other = getattr(plain, name), getattr(loader, name)
        if callable(one):
            assert inspect.signature(one).parameters.keys() == inspect.signature(other).parameters.keys(), name
        else:
            assert one == other, name
    for kind in (DataLoader, Batches):
        for name in surface(kind) - {"__len__", "__iter__", "__next__", "__enter__", "__exit__"}:
            assert inspect.getdoc(getattr(kind, name)), name


class Event:
    """In the place of torch.cuda.Event: comes when the test says so."""

    made: list[Event] = []

    def __init__(self) -> None:
        self.has_come = False
        Event.made.append(self)

    def record(self, stream: object) -> None: ...

    def query(self) -> bool:
        return self.has_come

    def synchronize(self) -> None:
        self.has_come = True


def test_memory_stays_as_it_is_until_its_copy_to_a_device_was_made(
    dataset: framefeed.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from framefeed.torch import Batches

    Event.made.clear()
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    window = framefeed.Window(frames=2, short="loop")
    loader = framefeed.Loader(dataset, window=window, size=(32, 32), prefetch_batches=1)
    # A device without memory: what matters is when the source is given back.
    batches = Batches(iter(loader), torch.device("meta"), ("video", "absent"))
    held = batches._in_flight._copies

    def sources() -> list[torch.Tensor]:
        return [tensor for _, tensors in held for tensor in tensors]

    assert next(batches)["video"].device.type == "meta"
    (first,) = sources()
    content = first.clone()
    next(batches)
    assert len(sources()) == 2 and not Event.made[0].has_come
    next(batches)
    assert Event.made[0].has_come, "no more than two copies may be under way"
    assert len(sources()) == 2 and torch.equal(first, content)
    Event.made[1].has_come = True
    next(batches)
    assert len(sources()) == 2
    for _ in batches:
        pass
    assert not held and all(event.has_come for event in Event.made)
    # Also where the iterator is dropped.
    batches = Batches(iter(loader), torch.device("meta"), ("video",))
    next(batches)
    waiting = batches._in_flight._copies
    assert not Event.made[-1].has_come
    del batches
    gc.collect()
    assert Event.made[-1].has_come and not waiting


def test_a_batch_that_a_device_has_no_memory_for_is_not_lost(
    tensors: framefeed.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from framefeed.torch import Batches

    monkeypatch.setattr(torch.cuda, "Event", Event)

    def fail(_: object) -> None:
        raise torch.cuda.OutOfMemoryError("no memory")

    loader = framefeed.Loader(tensors, batch_size=3, fields=["x"])
    batches = Batches(iter(loader), torch.device("meta"), ("x",))
    keys = []
    for place in [(0, 0), (0, 3), (0, 6)]:
        monkeypatch.setattr(torch.cuda, "current_stream", fail)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            next(batches)
        state = loader.state_dict()
        assert (state["epoch"], state["position"]) == place
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
        keys += next(batches)["key"]
    assert list(batches) == [] and keys == [record.key for record in tensors] and loader.epoch == 1


def test_the_readmes_scripts_pass_strict_type_checkers(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    pytest.importorskip("torch")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    package = Path(framefeed.__file__).resolve().parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(package / "pyproject.toml"), str(script)]
    run = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("mypy has passed it; there is no pyright on the path")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "extraPaths": [str(package)]}))
    run = subprocess.run([pyright, "-p", str(tmp_path), "--pythonpath", sys.executable], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


SCRIPT = '''
from __future__ import annotations

from pathlib import Path

import framefeed
import numpy as np
import torch
from framefeed.torch import DataLoader


def encode(record: framefeed.Record) -> np.ndarray:
    return record.decode(range(min(16, record.num_frames)), size=(256, 256)).numpy()


def main(folder: Path, epochs: int) -> None:
    with framefeed.Writer("latents/", description={"vae": "x-1", "fps": 8}) as writer:
        writer.add("clip/000", {"latents": np.zeros(3)}, caption="a cat", columns={"score": 0.5})
    dataset = framefeed.Dataset(folder)
    dataset = dataset.add_column("latents", encode, description={"vae": "x-1"})
    limits = {"seconds": 20.0}
    mean = [0.5, 0.5, 0.5]
    fields = ["latents"]
    with DataLoader(
        dataset,
        batch_size=8,
        window=framefeed.Window(frames=16, stride=4),
        size=(256, 256),
        fit="crop",
        layout="TCHW",
        dtype="float32",
        mean=mean,
        std=tuple(mean),
        fields=fields,
        field_descriptions={"latents": {"vae": "x-1"}},
        decode_limits=limits,
        shuffle=True,
        seed=0,
        on_error="skip",
        device=torch.device("cpu"),
    ) as loader:
        for epoch in range(loader.epoch, epochs):
            loader.set_epoch(epoch)
            for batch in loader:
                video: torch.Tensor = batch["video"]
                print(video.float().mean().item(), batch["key"], batch["caption"], batch["pts"], batch["frame"])
        state = loader.state_dict()
        loader.load_state_dict(state)
        print(loader.stats()["limited_by"], loader.describe(), loader.num_samples, loader.num_short, len(loader))
        for excluded in loader.excluded():
            print(excluded["key"], excluded["reason"])
    for batch in framefeed.Loader(dataset, window=framefeed.Window(frames=4, fps=8.0), size=(64, 64)):
        print(batch["video"].numpy().shape)
    record = dataset[0]
    frames = record.decode([0, 8, 16])
    planes = record.decode([0, 8, 16], format="yuv")
    print(frames.numpy().shape, [plane.shape for plane in planes], record.key, record.caption, record.size)
    for chunk in record.chunks(8):
        print(chunk.numpy().shape)
    for other in dataset:
        print(other.key, other.columns)
    try:
        dataset.find("nowhere")
    except framefeed.NotFoundError as error:
        print(error.kind, error.path, error.record)


main(Path("data"), 3)
'''
