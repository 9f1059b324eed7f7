"""The index of a dataset, and what it must say of a record of a shard."""

import struct

from .arrow import DATASET_COLUMNS, SCALARS, TENSOR_DATASET_COLUMNS, open_arrow
from .checks import check, crc32c


def arrow_footer(data):
    (length,) = struct.unpack_from("<i", data, len(data) - 10)
    check(0 < length <= len(data) - 10, "length of the Arrow footer")
    return data[len(data) - 10 - length : len(data) - 10]


def record_blocks(footer):
    """Offset and length of each record batch, from the Footer flatbuffer: its field 3 is a vector of Block structs
    { offset: int64, metaDataLength: int32, 4 bytes of padding, bodyLength: int64 }."""
    (table,) = struct.unpack_from("<I", footer, 0)
    vtable = table - struct.unpack_from("<i", footer, table)[0]
    (place,) = struct.unpack_from("<H", footer, vtable + 4 + 2 * 3)
    if place == 0:
        return []
    vector = table + place + struct.unpack_from("<I", footer, table + place)[0]
    (count,) = struct.unpack_from("<I", footer, vector)
    blocks = (struct.unpack_from("<qi4xq", footer, vector + 4 + 24 * n) for n in range(count))
    return [(offset, metadata + body) for offset, metadata, body in blocks]


def read_index(path, entry, kind):
    with open(path, "rb") as file:
        data = file.read()
    check(len(data) == entry["bytes"], "index has {} bytes", len(data))
    footer = arrow_footer(data)
    check(crc32c(footer) == entry["footer_crc32c"], "CRC32C of the index's footer")
    if kind == "tensor":
        reader = open_arrow(data, TENSOR_DATASET_COLUMNS, b"tensor-dataset-index/1", SCALARS)
    else:
        reader = open_arrow(data, DATASET_COLUMNS, b"dataset-index/1", SCALARS)
    rows = entry["rows"]
    blocks = record_blocks(footer)
    sums = (reader.metadata or {}).get(b"framefeed.crc32c", b"").decode() if hasattr(reader, "metadata") else ""
    if not hasattr(reader, "metadata"):  # older pyarrow: the value stands in the footer as plain text
        sums = "".join(f"{crc32c(data[at : at + size]):08x}" for at, size in blocks)
        check(sums.encode() in footer, "checksums of the index's batches")
    check(sums == "".join(f"{crc32c(data[at : at + size]):08x}" for at, size in blocks), "CRC32C of the index's batches")
    check(reader.num_record_batches == len(blocks) == -(-rows // 16384), "{} batches", reader.num_record_batches)
    table = []
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate(full=True)
        check(batch.num_rows == min(16384, rows - number * 16384), "rows of batch {}", number)
        table += batch.to_pylist()
    return table


def display_size(row):
    width = row["width"] * (row["sample_aspect_num"] / row["sample_aspect_den"])
    width = max(1, int(width + 0.5))
    return (row["height"], width) if row["quarter_turns"] % 2 else (width, row["height"])


def expected_index_row(shard, number, row):
    if "video" not in row:
        return {"shard": shard, "row": number, "key": row["key"], "bytes": sum(field["size"] for field in row["fields"])}
    of_gop = [set(range(g["first_packet"], g["first_packet"] + g["num_packets"])) for g in row["gops"]]
    width, height = display_size(row)
    return {
        "shard": shard, "row": number, "key": row["key"], "frames": row["frames"], "width": width, "height": height,
        "duration": row["duration"], "time_base_num": row["time_base_num"], "time_base_den": row["time_base_den"],
        "codec": row["codec"], "pixel_format": row["pixel_format"], "gops": len(row["gops"]),
        "max_gop_frames": max(len(gop & set(row["frame_packets"])) for gop in of_gop), "bytes": row["video"]["size"],
    }  # fmt: skip
