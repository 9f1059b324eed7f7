"""What is wrong with an argument is said in the message itself: its name, what was given, and what is allowed."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import framefeed
from framefeed import InvalidArgumentError as Invalid

A = np.zeros(3, np.float32)
FRAMES = r"frames must be an iterable of ints, such as \[0, 8\] or range\(8\), or a slice, got "
PRODUCER = r"producer must be a function, a generator function, or an iterable of \(key, array\)"
WHOLE = r"a whole number from 0 to 2\*\*64 - 1"
PATH = r"a path: a str or an os.PathLike"


@pytest.fixture(scope="module")
def given(dataset: framefeed.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """What the calls of the table are made on. None of them may change it."""
    folder = tmp_path_factory.mktemp("arguments")
    with framefeed.Writer(folder / "tensors") as writer:
        for number in range(3):
            writer.add(f"r/{number}", {"latents": A})
    tensors = framefeed.Dataset(folder / "tensors")
    writer = framefeed.Writer(folder / "open")
    writer.add("first", {"x": A})
    window = framefeed.Window(frames=2, short="loop")

    def make(**options: Any) -> framefeed.Loader:
        return framefeed.Loader(dataset, **{"batch_size": 2, "window": window, "size": (32, 32), **options})

    def convert(sources: Any = None, out: Any = None, **options: Any) -> Any:
        return framefeed.convert(
            folder if sources is None else sources, folder / "out" if out is None else out, **options
        )

    yield SimpleNamespace(
        dataset=dataset,
        record=dataset.find("h264-b"),
        tensors=tensors,
        writer=writer,
        loader=make,
        fields=lambda **options: framefeed.Loader(tensors, fields=["latents"], **options),
        convert=convert,
        out=folder / "out",
        path=folder / "new",
    )
    writer.discard()


Call = Callable[[SimpleNamespace], Any]


def bad_frames() -> list[tuple[str, Call, type[Exception], str]]:
    wrong = [
        (0, "int 0"),
        (None, "None"),
        (np.int64(3), "int64 "),
        ("0", "str '0'"),
        (b"0", "bytes "),
        (np.array(3), "ndarray "),
    ]
    table: list[tuple[str, Call, type[Exception], str]] = []
    for frames, found in wrong:
        table.append(
            (f"decode({frames!r})", lambda g, frames=frames: g.record.decode(frames), TypeError, FRAMES + found)
        )
    for frames, found in [
        ([0.0], "float 0.0"),
        (["0"], "str '0'"),
        ([True], "bool True"),
        ([np.True_], "bool"),
        (np.array([[0, 1]]), "ndarray "),
        ([None], "None"),
    ]:
        told = rf"frames\[0\] must be an int, got {found}"
        table.append((f"decode({frames!r})", lambda g, frames=frames: g.record.decode(frames), TypeError, told))
    for frames in ([2**70], [-(2**70)], [40], [-41]):
        told = rf"frames: there is no frame {frames[0]}, the record has 40"
        table.append((f"decode({frames!r})", lambda g, frames=frames: g.record.decode(frames), Invalid, told))
    for name in ("format", "fit", "filter", "layout", "dtype"):
        told = f"{name} must be a str, got None"
        table.append((f"decode {name}", lambda g, name=name: g.record.decode([0], **{name: None}), TypeError, told))
        table.append((f"chunks {name}", lambda g, name=name: g.record.chunks(8, **{name: None}), TypeError, told))
        told = f"{name} is 'x', expected one of "
        table.append((f"decode {name}", lambda g, name=name: g.record.decode([0], **{name: "x"}), Invalid, told))
        table.append((f"chunks {name}", lambda g, name=name: g.record.chunks(8, **{name: "x"}), Invalid, told))
    return table


def bad_options() -> list[tuple[str, Call, type[Exception], str]]:
    """Options of `convert`, one wrong at a time."""
    whole = r"must be an int, got "
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"out": 3}, TypeError, f"out must be {PATH}, got int 3"),
        (
            {"sources": 3},
            TypeError,
            r"sources must be a path \(a str or an os.PathLike\) or an iterable of paths, got int 3",
        ),
        ({"sources": b"x"}, TypeError, r"sources must be a path .*, got bytes"),
        ({"sources": ["a", 3]}, TypeError, rf"sources\[1\] must be {PATH}, got int 3"),
        ({"sources": {1: 2}}, TypeError, rf"sources\[0\] must be {PATH}, got int 1"),
        ({"stream": None}, TypeError, "stream must be a str or an int, got None"),
        ({"stream": 1.5}, TypeError, "stream must be a str or an int, got float 1.5"),
        ({"stream": True}, TypeError, "stream must be a str or an int, got bool True"),
        ({"stream": -1}, Invalid, "stream is -1, expected 0 to "),
        ({"stream": "first"}, Invalid, "stream is 'first', expected 'best'"),
        ({"size": 256}, TypeError, r"size is 256, expected \(height, width\), such as \(256, 256\)"),
        ({"size": (64,)}, TypeError, r"size is \(64,\), expected \(height, width\)"),
        ({"size": (-1, 2)}, Invalid, "size: height is -1, expected 1 to "),
        ({"jobs": -1}, Invalid, "jobs is -1, expected 0 to 4096"),
        ({"jobs": 5000}, Invalid, "jobs is 5000, expected 0 to 4096"),
        ({"jobs": "4"}, TypeError, f"jobs {whole}str '4'"),
        ({"seed": -1}, Invalid, f"seed is -1, expected {WHOLE}"),
        ({"seed": 1.0}, TypeError, f"seed {whole}float 1.0"),
        ({"shard_bytes": -1}, Invalid, f"shard_bytes is -1, expected {WHOLE}"),
        ({"shard_bytes": 0}, Invalid, "shard_bytes is 0, expected 1 or more"),
        ({"shard_bytes": "1GiB"}, TypeError, f"shard_bytes {whole}str '1GiB'"),
        ({"gop": -1, "profile": "train"}, Invalid, "gop is -1, expected 1 to 1024"),
        ({"gop": 1025, "profile": "train"}, Invalid, "gop is 1025, expected 1 to 1024"),
        ({"gop": "x"}, TypeError, "gop must be an int or None, got str 'x'"),
        ({"short_side": -4, "profile": "train"}, Invalid, "short_side is -4, expected 1 to "),
        ({"short_side": 2.5}, TypeError, "short_side must be an int or None, got float 2.5"),
        ({"fps": "x"}, TypeError, "fps must be a float or None, got str 'x'"),
        ({"fps": True}, TypeError, "fps must be a float or None, got bool True"),
        ({"crf": "x"}, TypeError, "crf must be a float or None, got str 'x'"),
        ({"split_seconds": "x"}, TypeError, "split_seconds must be a float or None, got str 'x'"),
        ({"split_seconds": -1.0}, Invalid, "split_seconds is -1, expected 0.01 or more"),
        ({"retry_failed": 1}, TypeError, "retry_failed must be a bool, got int 1"),
        ({"format": 3}, TypeError, "format must be a str or None, got int 3"),
    ]
    for name in ("profile", "check", "on_change", "on_error"):
        for value, found in ((None, "None"), (3, "int 3")):
            wrong.append(({name: value}, TypeError, f"{name} must be a str, got {found}"))
        wrong.append(({name: "x"}, Invalid, f"{name} is 'x', expected one of "))
    return [(f"convert {o!r}", lambda g, o=o: g.convert(**o), kind, told) for o, kind, told in wrong]


def bad_producers() -> list[tuple[str, Call, type[Exception], str]]:
    def pairs(records: Any) -> Any:
        for record in records:
            yield record.key, A

    def yields(values: Callable[[Any], Any]) -> Any:
        def produce(records: Any) -> Any:
            yield from map(values, records)

        return produce

    wrong: list[tuple[Any, str]] = [
        (None, ", got None"),
        (3, ", got int 3"),
        ("abc", ", got str 'abc'"),
        ({"r/0": A}, r", such as its .items\(\), got dict "),
        ([A, A], r", got ndarray array.* in the place of a \(key, array\)"),
        (np.zeros((3, 2)), ", got ndarray "),
        ([3], ", got int 3 in the place"),
        (["ab"], ", got str 'ab' in the place"),
        ([(3, A)], r", got tuple \(3, .* in the place"),
        ([("r/0", A, A)], ", got tuple .* in the place"),
        (yields(lambda record: A), ", got ndarray .* in the place"),
        (yields(lambda record: 3), ", got int 3 in the place"),
        (yields(lambda record: record), ", got Record .* in the place"),
        (
            lambda record: pairs([record]),
            ", got function .*, which returns a generator: a generator function is one with `yield`",
        ),
        (functools.partial(lambda f, record: f([record]), pairs), ", got partial .*, which returns a generator"),
    ]
    return [
        (
            f"add_column {number}",
            lambda g, p=p, name=f"c{number}": g.tensors.add_column(name, p),
            TypeError,
            PRODUCER + told,
        )
        for number, (p, told) in enumerate(wrong)
    ]


# What is called, what it raises, and the beginning of what it says.
WRONG: list[tuple[str, Call, type[Exception], str]] = [
    *bad_frames(),
    ("chunks(-1)", lambda g: g.record.chunks(-1), Invalid, "chunk is -1, expected 1 to 4294967295"),
    ("chunks(2**40)", lambda g: g.record.chunks(2**40), Invalid, "chunk is 1099511627776, expected 1 to 4294967295"),
    ("chunks('8')", lambda g: g.record.chunks("8"), TypeError, "chunk must be an int, got str '8'"),
    ("chunks(1.5)", lambda g: g.record.chunks(1.5), TypeError, "chunk must be an int, got float 1.5"),
    ("chunks(8, None)", lambda g: g.record.chunks(8, None), TypeError, "start must be an int, got None"),
    (
        "chunks(8, -41)",
        lambda g: g.record.chunks(8, -41),
        Invalid,
        "start is -41, expected -40 to 40: the record has 40",
    ),
    (
        "chunks(8, 0, 41)",
        lambda g: g.record.chunks(8, 0, 41),
        Invalid,
        "stop is 41, expected -40 to 40: the record has 40",
    ),
    (
        "chunks(8, 9, 8)",
        lambda g: g.record.chunks(8, 9, 8),
        Invalid,
        "start is frame 9 and stop 8, expected start <= stop",
    ),
    (
        "frames_at(0.5)",
        lambda g: g.record.frames_at(0.5),
        TypeError,
        r"seconds must be an iterable of floats, .*, got float 0.5",
    ),
    ("frames_at(['a'])", lambda g: g.record.frames_at(["a"]), TypeError, r"seconds\[0\] must be a float, got str 'a'"),
    (
        "frames_at([99])",
        lambda g: g.record.frames_at([99]),
        Invalid,
        "seconds: 99 s is not in the record, expected 0 to",
    ),
    ("field(3)", lambda g: g.record.field(3), TypeError, "name must be a str, got int 3"),
    ("ds[1.0]", lambda g: g.dataset[1.0], TypeError, r"number must be an int: .*, got float 1.0"),
    (
        "ds[0:2]",
        lambda g: g.dataset[0:2],
        TypeError,
        r"number must be an int: each record is taken by itself, .*, got slice",
    ),
    ("ds[[0, 1]]", lambda g: g.dataset[[0, 1]], TypeError, r"number must be an int: .*, got list \[0, 1\]"),
    ("ds[True]", lambda g: g.dataset[True], TypeError, r"number must be an int: .*, got bool True"),
    (
        "ds['key']",
        lambda g: g.dataset["key"],
        TypeError,
        r"number must be an int: Dataset.find\(key\) .*, got str 'key'",
    ),
    (
        "ds[2**70]",
        lambda g: g.dataset[2**70],
        IndexError,
        "number is 1180591620717411303424, expected -8 to less than 8",
    ),
    ("Writer(None)", lambda g: framefeed.Writer(None), TypeError, f"path must be {PATH}, got None"),
    *[
        (f"Writer {name}={value!r}", lambda g, o={name: value}: framefeed.Writer(g.path, **o), kind, told)
        for name, value, kind, told in [
            ("shard_bytes", -1, Invalid, f"shard_bytes is -1, expected {WHOLE}"),
            ("shard_bytes", 2**70, Invalid, f"shard_bytes is 1180591620717411303424, expected {WHOLE}"),
            ("shard_bytes", "1GiB", TypeError, "shard_bytes must be an int, got str '1GiB'"),
            ("shard_bytes", 1.5, TypeError, "shard_bytes must be an int, got float 1.5"),
            ("shard_bytes", True, TypeError, "shard_bytes must be an int, got bool True"),
            ("resume", 1, TypeError, "resume must be a bool or None, got int 1"),
            ("resume", "yes", TypeError, "resume must be a bool or None, got str 'yes'"),
            ("description", 3, TypeError, "description must be a dict or None, got int 3"),
            ("description", {3: 1}, TypeError, "description: a name must be a str, got int 3"),
            (
                "description",
                {"p": Path("x")},
                Invalid,
                r"description\['p'\] is PosixPath\('x'\), which is no JSON value",
            ),
            (
                "description",
                {"a": [1, {"b": {1}}]},
                Invalid,
                r"description\['a'\]\[1\]\['b'\] is \{1\}, which is no JSON",
            ),
            ("description", {"n": float("nan")}, Invalid, r"description\['n'\] is nan, which is no JSON value"),
        ]
    ],
    ("add(3)", lambda g: g.writer.add(3, {"x": A}), TypeError, "key must be a str, got int 3"),
    ("add array", lambda g: g.writer.add("k", A), TypeError, "fields must be a dict, got ndarray"),
    ("add {3: A}", lambda g: g.writer.add("k", {3: A}), TypeError, "fields: a name must be a str, got int 3"),
    (
        "add caption",
        lambda g: g.writer.add("k", {"x": A}, caption=3),
        TypeError,
        "caption must be a str or None, got int 3",
    ),
    (
        "add columns",
        lambda g: g.writer.add("k", {"x": A}, columns=3),
        TypeError,
        "columns of record 'k' must be a dict or None, got int 3",
    ),
    ("3 in writer", lambda g: 3 in g.writer, TypeError, "key must be a str, got int 3"),
    ("add_column(3)", lambda g: g.tensors.add_column(3, lambda r: A), TypeError, "name must be a str, got int 3"),
    (
        "restart",
        lambda g: g.tensors.add_column("c", lambda r: A, restart=1),
        TypeError,
        "restart must be a bool, got int 1",
    ),
    (
        "add_column description",
        lambda g: g.tensors.add_column("c", lambda r: A, description=3),
        TypeError,
        "description must be a dict",
    ),
    ("column_position(3)", lambda g: g.tensors.column_position(3), TypeError, "name must be a str, got int 3"),
    *bad_producers(),
    *bad_options(),
    *[
        (f"Loader {options!r}", lambda g, o=options: g.loader(**o), kind, told)
        for options, kind, told in [
            ({"field_descriptions": {1: {}}}, TypeError, "field_descriptions: a name must be a str, got int 1"),
            ({"field_descriptions": {"x": 3}}, TypeError, r"field_descriptions\['x'\] must be a dict, got int 3"),
            (
                {"field_descriptions": {"nope": {}}},
                Invalid,
                "field_descriptions: there is no field 'nope', the dataset has",
            ),
            ({"decode_limits": {1: 2}}, TypeError, "decode_limits: a name must be a str, got int 1"),
            ({"decode_limits": {"packets": True}}, Invalid, "decode_limits: packets is True, expected a whole number"),
            (
                {"decode_limits": {"seconds": True}},
                Invalid,
                "decode_limits: seconds is True, expected a number of seconds",
            ),
            ({"batch_size": 2**70}, Invalid, "batch_size is 1180591620717411303424, expected 1 to 65536"),
            ({"decode_workers": 1025}, Invalid, "decode_workers is 1025, expected 1 to 1024"),
            ({"tensor_readers": -1}, Invalid, "tensor_readers is -1, expected 1 to 1024"),
            ({"prefetch_batches": 4097}, Invalid, "prefetch_batches is 4097, expected 1 to 4096"),
            ({"cpu_limit": True}, TypeError, "cpu_limit must be a float or None, got bool True"),
            ({"scale": True}, TypeError, "scale must be a float, got bool True"),
            ({"mean": (True, False, False)}, TypeError, "mean must be three floats, .*, got tuple"),
            ({"pad": (True, True, True)}, TypeError, "pad must be three ints .*, got tuple"),
            ({"size": (True, True)}, TypeError, r"size is \(True, True\), expected \(height, width\)"),
            ({"size": (2**70, 1)}, Invalid, "size: height is 1180591620717411303424, expected 1 to "),
            ({"engine": "io_uring"}, Invalid, "engine is 'io_uring', expected one of auto, uring, pread, mmap, memory"),
            ({"direct_io": "yes"}, Invalid, "direct_io is 'yes', expected one of auto, on, off"),
            ({"columns": ["rank", "score", "rank"]}, Invalid, "columns: 'rank' is named twice"),
            ({"pad": (1, 2, 3)}, Invalid, "pad is the colour of the borders of fit='pad', and fit is 'crop'"),
            ({"ragged": "pad"}, Invalid, "ragged is 'pad', and there are no fields"),
            (
                {"engine": "mmap", "direct_io": "on"},
                Invalid,
                "direct_io is 'on', expected auto or off for engine 'mmap'",
            ),
            (
                {"engine": "memory", "direct_io": "on"},
                Invalid,
                "direct_io is 'on', expected auto or off for engine 'memory'",
            ),
        ]
    ],
    (
        "ragged by field",
        lambda g: g.fields(ragged={"latents": "xx"}),
        Invalid,
        r"ragged\['latents'\] is 'xx', expected one of error",
    ),
    (
        "size of no frames",
        lambda g: g.fields(size=(8, 8)),
        Invalid,
        "size is of frames, and without a window there are none",
    ),
    (
        "Window stride",
        lambda g: framefeed.Window(frames=4, stride=10**12),
        Invalid,
        "window: stride is 1000000000000, expected 1 to 16777216",
    ),
    (
        "Window frames",
        lambda g: framefeed.Window(frames=2**70),
        Invalid,
        "window: frames is 1180591620717411303424, expected 1 to 65536",
    ),
    (
        "Window fps",
        lambda g: framefeed.Window(frames=4, fps=True),
        TypeError,
        "fps must be a float or None, got bool True",
    ),
    (
        "yuv fit",
        lambda g: g.record.decode([0], format="yuv", fit="pad"),
        Invalid,
        "format 'yuv' gives .*: size, fit, filter, layout and dtype",
    ),
    (
        "yuv filter",
        lambda g: g.record.decode([0], format="yuv", filter="area"),
        Invalid,
        "format 'yuv' gives .*: size, fit, filter, layout",
    ),
    ("load_state_dict('x')", lambda g: g.loader().load_state_dict("x"), TypeError, "state must be a dict, got str 'x'"),
]


@pytest.mark.parametrize("call, kind, told", [pytest.param(*row[1:], id=row[0]) for row in WRONG])
def test_the_message_names_the_argument_and_what_is_allowed(
    given: SimpleNamespace, call: Call, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=f"^{told}") as raised:
        call(given)
    assert not isinstance(raised.value, framefeed.Error) or kind is Invalid
    assert not given.out.exists() and not given.path.exists() and len(given.writer) == 1


def test_a_state_that_is_none_is_told_which_entry_is_wrong(given: SimpleNamespace) -> None:
    loader = given.loader()
    state = loader.state_dict()
    for name, value, told in [
        ("epoch", -1, f"epoch is -1, expected {WHOLE}"),
        ("epoch", "0", f'epoch is "0", expected {WHOLE}'),
        ("position", 1.5, f"position is 1.5, expected {WHOLE}"),
        ("shuffle", 3, "shuffle is 3, expected true or false"),
        ("dataset", 3, "dataset is 3, expected a str"),
        ("bucket_batch_size", "x", 'bucket_batch_size is "x", expected a whole number or None'),
        ("version", "x", 'version is "x", expected '),
    ]:
        with pytest.raises(Invalid, match=f"^state: {told}"):
            loader.load_state_dict({**state, name: value})
    for name in ("epoch", "seed", "version"):
        with pytest.raises(Invalid, match=f"^state: '{name}' is missing"):
            loader.load_state_dict({key: value for key, value in state.items() if key != name})
    loader.load_state_dict(state)


def test_the_largest_numbers_that_messages_name_are_taken(given: SimpleNamespace) -> None:
    for name, most in {
        "batch_size": 65536,
        "decode_workers": 1024,
        "tensor_readers": 1024,
        "prefetch_batches": 4096,
    }.items():
        given.loader(**{name: most})
        with pytest.raises(Invalid, match=f"^{name} is {most + 1}, expected 1 to {most}"):
            given.loader(**{name: most + 1})
    framefeed.Window(frames=65536, stride=16777216)
    # What is refused is the source, which is looked for once all options are found good.
    with pytest.raises(framefeed.Error) as raised:
        given.convert(given.path, jobs=4096, gop=1024, profile="train", shard_bytes=2**64 - 1, seed=2**64 - 1)
    assert str(given.path) in str(raised.value) and not isinstance(raised.value, Invalid)


def test_frames_and_chunks_are_counted_from_the_end(given: SimpleNamespace) -> None:
    record = given.record
    whole = record.decode(range(40)).numpy()
    for arguments, expected in [((8, -8), whole[-8:]), ((8, 0, -1), whole[:-1]), ((50, -40, -38), whole[:2])]:
        chunks = [chunk.numpy() for chunk in record.chunks(*arguments)]
        assert np.array_equal(np.concatenate(chunks), expected)
    assert np.array_equal(record.decode([-1, np.int64(0)]).numpy(), whole[[-1, 0]])


def test_pairs_of_any_kind_make_a_column(given: SimpleNamespace, tmp_path: Path) -> None:
    dataset = framefeed.Dataset(shutil.copytree(given.tensors.path, tmp_path / "copy"))
    keys = [record.key for record in dataset]
    dataset = dataset.add_column("lists", [[key, A] for key in keys])
    dataset = dataset.add_column("zipped", zip(keys, [A] * 3, strict=True))
    assert {"lists", "zipped"} <= set(dataset[2].fields)


def test_convert_takes_any_iterable_of_paths_and_a_list_as_size(videos: Path, tmp_path: Path) -> None:
    names = {"gray.mkv", "mpeg4.avi"}
    for number, sources in enumerate([videos.glob("[gm]*[4y].[am][vk][iv]"), {videos / name for name in names}]):
        report = framefeed.convert(sources, tmp_path / str(number), profile="raw", size=[16, 24], check="fast")
        assert report["clips"] == 2
        assert framefeed.Dataset(tmp_path / str(number))[0].field("frames").shape[1:3] == (16, 24)


def test_names_of_choices_are_taken_in_upper_and_lower_case(given: SimpleNamespace, tmp_path: Path) -> None:
    given.loader(
        on_error="SKIP", engine="Pread", direct_io="OFF", checksum="On", fit="Crop", layout="thwc", format="RGB"
    )
    given.fields(ragged="Bucket")
    given.fields(ragged={"latents": "PAD"})
    assert len(given.record.decode([0], format="YUV", layout="tchw", fit="CROP")) == 3
    assert framefeed.Window(frames=2, short="LOOP", placement="Start").short == "loop"


def test_options_that_ask_for_nothing_are_taken_as_they_are_by_default(given: SimpleNamespace) -> None:
    given.loader(pad=(0, 0, 0), ragged="error", direct_io="auto", engine="mmap")
    given.loader(pad=(1, 2, 3), fit="PAD")
    given.fields(pad=(0, 0, 0), size=None)


def test_a_file_in_the_place_of_a_dataset_is_said_to_be_one(given: SimpleNamespace, videos: Path) -> None:
    manifest = given.tensors.path / "manifest.json"
    with pytest.raises(framefeed.NotFoundError, match="this is a file: give the folder") as raised:
        framefeed.Dataset(manifest)
    assert str(given.tensors.path) in str(raised.value)
    with pytest.raises(
        framefeed.NotFoundError, match="this is a file: .* A video is converted to one first: `framefeed convert"
    ):
        framefeed.Dataset(videos / "gray.mkv")


def test_a_writer_of_leftovers_is_told_both_choices(tmp_path: Path) -> None:
    writer = framefeed.Writer(tmp_path / "set", resume=True)
    writer.add("a", {"x": A})
    with pytest.raises(KeyError), writer:
        raise KeyError
    with pytest.raises(
        framefeed.ConflictError, match="an earlier writer left records here: .*resume=True.*resume=False"
    ):
        framefeed.Writer(tmp_path / "set")


def test_torchs_positional_options_and_the_newer_ones_are_told_what_to_say(given: SimpleNamespace) -> None:
    pytest.importorskip("torch")
    from framefeed.torch import DataLoader

    with pytest.raises(TypeError, match="^DataLoader takes its options by name: say batch_size=8$"):
        DataLoader(given.dataset, 8)  # type: ignore[call-arg, misc]
    with pytest.raises(TypeError, match="say batch_size=8, shuffle=True$"):
        DataLoader(given.dataset, 8, True)  # type: ignore[call-arg, misc]
    for name, told in {
        "pin_memory_device": "batches are not pinned",
        "in_order": "batches always come in the order",
    }.items():
        with pytest.raises(TypeError, match=f"^DataLoader has no {name}: {told}"):
            DataLoader(given.dataset, **{name: "x"})  # type: ignore[arg-type]
