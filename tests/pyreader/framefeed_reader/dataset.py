"""A dataset as a whole: every record, checked against manifest and index."""

import os
import re

from .checks import check
from .index import expected_index_row, read_index
from .manifest import read_manifest
from .tensor_shard import TensorShard
from .video_shard import Shard

CHROMA_LOCATIONS = "topleft top topright left center right bottomleft bottom bottomright".split()


def check_frames(description, row):
    """A record of the frames of a video."""
    fields = {field["name"]: field for field in row["fields"]}
    check(list(fields) == ["frames"] and fields["frames"]["dtype"] == "uint8", "fields of {!r}", row["key"])
    shape = fields["frames"]["shape"]
    kind = tuple(description.get(name) for name in ("axes", "color", "layout"))
    if kind == ("THWC", "RGB", None):
        check(len(shape) == 4 and shape[3] == 3, "frames of {!r} have shape {}", row["key"], shape)
        return
    check(kind == ("THW", "YUV420", "I420"), "description {}", description)
    # Two thirds of the rows are those of Y, and of these there is an even number.
    check(len(shape) == 3 and shape[1] % 3 == 0 and shape[2] % 2 == 0, "frames of {!r} have shape {}", row["key"], shape)
    columns = row["columns"]
    check(isinstance(columns["frames_matrix"], str), "frames_matrix of {!r}", row["key"])
    check(columns["frames_range"] in ("limited", "full"), "frames_range of {!r}", row["key"])
    check(isinstance(columns["frames_color_guessed"], bool), "frames_color_guessed of {!r}", row["key"])
    check(columns["frames_chroma_location"] in CHROMA_LOCATIONS, "frames_chroma_location of {!r}", row["key"])
    check(re.fullmatch("[1-9][0-9]*:[1-9][0-9]*", columns["frames_sample_aspect"]), "frames_sample_aspect of {!r}", row["key"])


def read_dataset(folder, verify=True):
    """Yields (shard entry, shard, row) of every record; the fields that columns add are in the row's `added`."""
    manifest = read_manifest(folder)
    kind = manifest.get("kind", "video")
    index = iter(read_index(os.path.join(folder, manifest["index"]["file"]), manifest["index"], kind))
    sets = manifest.get("columns", [])
    try:
        import blake3
    except ImportError:
        blake3 = None
    if blake3 and verify:
        for entry in [manifest["index"], *manifest["shards"], *(shard for column in sets for shard in column["shards"])]:
            with open(os.path.join(folder, entry["file"]), "rb") as file:
                check(blake3.blake3(file.read()).hexdigest() == entry["blake3"], "BLAKE3 of {}", entry["file"])
    keys, frames = set(), 0
    for number, entry in enumerate(manifest["shards"]):
        shard = open_shard(folder, entry, TensorShard if kind == "tensor" else Shard, verify)
        added = [open_shard(folder, column["shards"][number], TensorShard, verify) for column in sets]
        for row_number, row in enumerate(shard.rows):
            check(row["key"] not in keys, "two records have the key {!r}", row["key"])
            keys.add(row["key"])
            frames += row.get("frames", 0)
            check({field["name"] for field in row["fields"]} <= set(manifest.get("fields", [])), "fields of {!r}", row["key"])
            if manifest["profile"] == "raw":
                check_frames(manifest["description"], row)
            actual = next(index)
            expected = expected_index_row(number, row_number, row)
            check({name: actual[name] for name in expected} == expected, "index has {}, shard {}", actual, expected)
            if kind == "video":
                seconds = row["duration"] * row["time_base_num"] / row["time_base_den"]
                check(abs(actual["fps"] - row["frames"] / seconds) <= 1e-9 * actual["fps"], "fps of {!r}", row["key"])
            row["added"] = []
            for column, beside in zip(sets, added):
                other = beside.rows[row_number]
                check(other["key"] == row["key"], "column has {!r} in the place of {!r}", other["key"], row["key"])
                check({field["name"] for field in other["fields"]} <= set(column["fields"]), "fields of {!r}", row["key"])
                row["added"] += other["fields"]
            yield entry, shard, row
    check(frames == manifest["frames"], "{} frames, manifest says {}", frames, manifest["frames"])


def open_shard(folder, entry, kind, verify):
    shard = kind(os.path.join(folder, entry["file"]))
    check((shard.bytes, len(shard.rows)) == (entry["bytes"], entry["rows"]), "size of {}", entry["file"])
    if verify:
        shard.verify()
    return shard
