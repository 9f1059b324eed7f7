"""What people write without looking it up: keys, operators, comparisons, warnings, names, scripts for type checkers."""

from __future__ import annotations

import copy
import inspect
import json
import operator
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import framefeed
from conftest import damage

Make = Callable[..., framefeed.Loader]
SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> framefeed.Dataset:
    path = tmp_path_factory.mktemp("tensors") / "set"
    with framefeed.Writer(path) as writer:
        for number in range(5):
            one, x = np.full((), number, np.int64), np.arange(4, dtype=np.uint8) + number
            columns = {"score": number / 2, "tags": ["a", number], "text": '["a", 1]'}
            writer.add(f"r{number}", {"one": one, "x": x, "half": np.float32(0.5)}, columns=columns)
    return framefeed.Dataset(path)


def field(tensors: framefeed.Dataset, name: str, number: int = 0) -> framefeed.Tensor:
    found = tensors[number].field(name)
    assert found is not None
    return found


# -------------------------------------------------------------------------------------------------------------- records


def test_a_dataset_contains_its_keys_and_its_records(dataset: framefeed.Dataset, tensors: framefeed.Dataset) -> None:
    assert "hevc" in dataset and "hev" not in dataset and "" not in dataset
    assert dataset[0] in dataset and dataset[-1] in framefeed.Dataset(dataset.path)
    assert tensors[0] not in dataset and dataset[0] not in tensors
    for wrong in (0, None, b"hevc", ["hevc"]):
        with pytest.raises(TypeError, match=f"'in' takes the key of a record or a record, got {type(wrong).__name__}"):
            assert wrong in dataset


def test_records_are_equal_that_are_the_same_of_the_same_dataset(
    dataset: framefeed.Dataset, tensors: framefeed.Dataset, tmp_path: Path
) -> None:
    again = framefeed.Dataset(dataset.path)
    for record in dataset:
        copies = [pickle.loads(pickle.dumps(record)), copy.deepcopy(record)]
        for same in (dataset[record.number], again.find(record.key), *copies):
            assert same == record and not same != record and hash(same) == hash(record)
    assert len({*dataset, *again}) == len(dataset)
    assert dataset[0] != dataset[1] and dataset[0] != tensors[0]
    assert dataset[0] != dataset[0].key and dataset[0] != 0
    # Of the same number and key, but not the same.
    with framefeed.Writer(tmp_path / "other") as writer:
        for record in tensors:
            writer.add(record.key, {"x": np.zeros(1)})
    other = framefeed.Dataset(tmp_path / "other")
    assert other[0].key == tensors[0].key and other[0] != tensors[0] and other[0] not in tensors


def test_a_column_that_was_added_leaves_records_what_they_are(tensors: framefeed.Dataset, tmp_path: Path) -> None:
    first = framefeed.Dataset(shutil.copytree(tensors.path, tmp_path / "set"))
    assert first.add_column("more", lambda record: np.zeros(1))[2] == first[2]


def test_lists_in_columns_come_back_as_the_text_of_their_json(tensors: framefeed.Dataset) -> None:
    assert tensors[1].columns["tags"] == '["a",1]' and json.loads(tensors[1].columns["tags"]) == ["a", 1]
    # A text that looks like one stays what it is.
    assert tensors[1].columns["text"] == '["a", 1]'


def test_colours_have_names_and_those_of_a_record_are_those_of_its_batches(
    make_loader: Make, dataset: framefeed.Dataset
) -> None:
    for batch in make_loader(format="yuv420", size=(64, 96)):
        for key, color in zip(batch["key"], batch["color"]):
            of_record = dataset.find(key).color
            assert color == {name: of_record[name] for name in color}
            assert of_record["matrix"] == of_record["primaries"] == of_record["transfer"] == "smpte170m"


def test_chunks_end_when_they_are_closed(dataset: framefeed.Dataset) -> None:
    record = dataset.find("h264-b")
    with record.chunks(4) as chunks:
        assert next(chunks).shape == (4, 3, *record.size)
        num_threads = len(os.listdir("/proc/self/task"))
    assert list(chunks) == [] and len(os.listdir("/proc/self/task")) < num_threads
    chunks.close()
    assert sum(len(chunk) for chunk in record.chunks(7)) == len(record)


def test_chunks_may_be_closed_while_another_thread_waits_for_one(dataset: framefeed.Dataset) -> None:
    record = dataset.find("h264-b")
    for _ in range(20):
        chunks = record.chunks(1)
        taken: list[int] = []
        thread = threading.Thread(target=taken.extend, args=(map(len, chunks),))
        thread.start()
        chunks.close()
        thread.join(30)
        assert not thread.is_alive() and len(taken) <= len(record)


# -------------------------------------------------------------------------------------------------------------- tensors


def test_a_tensor_without_axes_is_a_number(tensors: framefeed.Dataset) -> None:
    one, none, half = field(tensors, "one", 3), field(tensors, "one", 0), field(tensors, "half")
    assert (int(one), float(one), float(half), int(half)) == (3, 3.0, 0.5, 0)
    assert isinstance(float(one), float) and isinstance(int(half), int)
    assert bool(one) is True and bool(none) is False and not none
    with pytest.raises(TypeError, match="without axes"):
        len(one)
    assert repr(one) == "framefeed.Tensor(shape=(), dtype=int64)"


def test_several_elements_are_neither_true_nor_a_number(tensors: framefeed.Dataset) -> None:
    x = field(tensors, "x")
    assert len(x) == 4 and repr(x) == "framefeed.Tensor(shape=(4,), dtype=uint8)"
    with pytest.raises(ValueError, match="neither true nor false"):
        bool(x)
    for convert in (int, float):
        with pytest.raises(TypeError):
            convert(x)


BINARY = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift, divmod, operator.add]


@pytest.mark.parametrize("function", BINARY)
def test_operators_of_two_are_numpys(tensors: framefeed.Dataset, function: Callable[[Any, Any], Any]) -> None:
    x, y = field(tensors, "x", 1), field(tensors, "x", 2)
    for left, right in [(x, y), (x, 3), (7, x), (x, np.uint8(1)), (np.arange(4, dtype=np.uint8), x), (x, y.numpy())]:
        got = function(left, right)
        plain = [value.numpy() if isinstance(value, framefeed.Tensor) else value for value in (left, right)]
        expected = function(*plain)
        assert np.array_equal(got, expected)
        assert type(got) is type(expected)


@pytest.mark.parametrize("function", [operator.invert, operator.pos, operator.neg, abs])
def test_operators_of_one_are_numpys(tensors: framefeed.Dataset, function: Callable[[Any], Any]) -> None:
    x = field(tensors, "x", 1)
    assert np.array_equal(function(x), function(x.numpy())) and function(x).dtype == function(x.numpy()).dtype


def test_operators_that_numpy_refuses_are_refused(tensors: framefeed.Dataset) -> None:
    with pytest.raises(TypeError):
        ~field(tensors, "half")
    with pytest.raises(TypeError):
        field(tensors, "x") & "text"


WITHOUT = """
import sys
sys.modules["numpy"] = sys.modules["torch"] = None
import framefeed
frames = framefeed.Dataset(sys.argv[1])[0].decode([0, 1])
assert not (frames == None) and frames != None and frames == frames and frames in [frames] and frames not in [1, None]
assert {frames: 1}[frames] == 1 and len(frames) == 2 and repr(frames).endswith("dtype=uint8)")
attempts = [frames.numpy, lambda: frames[0], lambda: frames + 1, lambda: frames < 1, lambda: list(frames)]
for attempt in [*attempts, frames.__array__]:
    try:
        attempt()
    except ImportError as error:
        assert str(error).endswith("needs numpy: pip install 'framefeed[numpy]'"), error
    else:
        raise SystemExit("no error")
try:
    frames.torch()
except ImportError as error:
    assert str(error) == "Tensor.torch() needs torch: pip install 'framefeed[torch]'", error
else:
    raise SystemExit("no error")
"""


def test_without_numpy_tensors_compare_as_objects_and_say_what_to_install(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT, str(path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# -------------------------------------------------------------------------------------------------- arguments and names


@pytest.mark.parametrize("kind", ["numpy", "torch", "tuple"])
def test_means_come_in_arrays_as_well(make_loader: Make, kind: str) -> None:
    values = (0.5, 0.25, 0.125)
    expected = next(iter(make_loader(dtype="float32", mean=list(values), std=list(values))))["video"].numpy()
    if kind == "torch":
        torch = pytest.importorskip("torch")
        given, wrong = torch.tensor(values), torch.zeros(2)
    else:
        given, wrong = (np.array(values, np.float32), np.zeros((3, 3))) if kind == "numpy" else (values, values[:2])
    found = next(iter(make_loader(dtype="float32", mean=given, std=given)))["video"].numpy()
    assert np.array_equal(found, expected)
    with pytest.raises(TypeError, match="^mean must be three floats, one for each of R, G and B, got "):
        make_loader(dtype="float32", mean=wrong)


def test_paths_and_states_have_names(path: Path, tmp_path: Path, make_loader: Make) -> None:
    pytest.importorskip("torch")
    from framefeed.torch import DataLoader

    dataset = framefeed.Dataset(path=path)
    with framefeed.Writer(path=tmp_path / "set") as writer:
        writer.add("a", {"x": np.zeros(1)})
    loader = make_loader()
    next(iter(loader))
    loader.load_state_dict(state=loader.state_dict())
    window = framefeed.Window(frames=2, short="loop")
    DataLoader(dataset, window=window, size=(32, 32)).load_state_dict(state=loader.state_dict())


def test_fields_may_come_one_by_one(tensors: framefeed.Dataset) -> None:
    torch = pytest.importorskip("torch")
    from framefeed.torch import DataLoader

    loader = DataLoader(tensors, fields=(name for name in ["x", "one"]))
    assert loader._moved == ("video", "x", "one")
    assert isinstance(next(iter(loader))["x"], torch.Tensor)
    with pytest.raises(TypeError, match="^fields must be a list of str, got str 'x'"):
        DataLoader(tensors, fields="x")


def test_a_field_among_columns_is_told_to_be_one_and_the_reverse(tensors: framefeed.Dataset, make_loader: Make) -> None:
    told = r"{0}s: '{1}' is a {2}, not a {0}: loaders take it as {2}s=\['{1}'\]"
    for name in ("x", "one"):
        with pytest.raises(ValueError, match=told.format("column", name, "field")):
            framefeed.Loader(tensors, fields=["x"], columns=[name])
    # In the index, in the shards alone, and of the index itself.
    for name in ("score", "tags", "bytes"):
        with pytest.raises(ValueError, match=told.format("field", name, "column")):
            framefeed.Loader(tensors, fields=[name])
    with pytest.raises(ValueError, match="fields: 'camera' is a column"):
        make_loader(fields=["camera"])
    with pytest.raises(ValueError, match="no column 'nope', the dataset has: "):
        make_loader(columns=["nope"])


def test_exceptions_and_warnings_have_the_names_that_they_are_imported_by() -> None:
    found = [value for value in vars(framefeed).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(found) == 14
    for kind in found:
        assert (kind.__module__, getattr(framefeed, kind.__name__)) == ("framefeed", kind)
        assert pickle.loads(pickle.dumps(kind)) is kind
    with pytest.raises(framefeed.NotFoundError) as raised:
        framefeed.Dataset("/nowhere")
    assert type(pickle.loads(pickle.dumps(raised.value))) is framefeed.NotFoundError


# ------------------------------------------------------------------------------------------------------------- warnings


def lines_of(warned: list[warnings.WarningMessage]) -> list[tuple[str, str]]:
    texts = [Path(entry.filename).read_text().splitlines()[entry.lineno - 1] for entry in warned]
    return [(entry.filename, text.strip()) for entry, text in zip(warned, texts)]


@pytest.mark.parametrize("kind", ["Loader", "DataLoader"])
def test_warnings_are_of_the_line_that_was_written(copied: Path, kind: str) -> None:
    make: Any = framefeed.Loader
    if kind == "DataLoader":
        pytest.importorskip("torch")
        from framefeed.torch import DataLoader as make
    dataset = framefeed.Dataset(copied)
    damage(dataset, copied, "h264-b")
    dataset = framefeed.Dataset(copied)
    window = framefeed.Window(frames=40, short="repeat_last")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        make(dataset, window=framefeed.Window(frames=20), size=(32, 32))  # short
        loader = make(dataset, window=window, size=(32, 32), on_error="skip")
        for _ in loader:  # skipped
            pass
    assert [entry.category for entry in warned] == [framefeed.ShortWarning, framefeed.SkippedWarning]
    (file, short), (other, skipped) = lines_of(warned)
    assert file == other == __file__ and short.endswith("# short") and skipped.endswith("# skipped")


# -------------------------------------------------------------------------------------------------------- type checkers


def test_natural_scripts_pass_strict_type_checkers(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    pytest.importorskip("torch")
    assert len(SCRIPTS) == 3
    package = Path(framefeed.__file__).resolve().parents[1]
    for script in SCRIPTS:
        shutil.copy(script, tmp_path)
    scripts = [str(tmp_path / script.name) for script in SCRIPTS]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(package / "pyproject.toml"), *scripts]
    run = subprocess.run(command, cwd=package, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("mypy has passed them; there is no pyright on the path")
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(package)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    run = subprocess.run([pyright, "-p", str(tmp_path), "--pythonpath", sys.executable], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
