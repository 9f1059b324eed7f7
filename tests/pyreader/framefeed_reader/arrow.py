"""The columns of the four kinds of index, and Arrow files that have them."""

import pyarrow as pa

from .checks import check

MEMBER = [("offset", pa.uint64()), ("size", pa.uint64()), ("crc32c", pa.uint32())]
PACKET = [
    ("offset", pa.uint64()), ("size", pa.uint32()), ("pts", pa.int64()), ("dts", pa.int64()), ("flags", pa.uint8()),
    ("crc32c", pa.uint32()),
]  # fmt: skip
GOP = [
    ("offset", pa.uint64()), ("size", pa.uint64()), ("first_packet", pa.uint32()), ("num_packets", pa.uint32()),
    ("first_frame", pa.uint32()), ("crc32c", pa.uint32()),
]  # fmt: skip


DTYPES = {
    "bool": ("|b1", 1), "int8": ("|i1", 1), "int16": ("<i2", 2), "int32": ("<i4", 4), "int64": ("<i8", 8),
    "uint8": ("|u1", 1), "uint16": ("<u2", 2), "uint32": ("<u4", 4), "uint64": ("<u8", 8), "float16": ("<f2", 2),
    "bfloat16": ("<V2", 2), "float32": ("<f4", 4), "float64": ("<f8", 8),
}  # fmt: skip


def _struct(children):
    return pa.struct([pa.field(name, kind, nullable=False) for name, kind in children])


def _list(item):
    return pa.list_(pa.field("item", item, nullable=False))


FIELD = [
    ("name", pa.utf8()), *MEMBER, ("dtype", pa.utf8()), ("shape", _list(pa.uint64())), ("data_offset", pa.uint32()),
    ("data_crc32c", pa.uint32()),
]  # fmt: skip

SHARD_COLUMNS = [
    ("key", pa.utf8(), False), ("codec", pa.utf8(), False), ("profile", pa.int32(), True),
    ("extradata", pa.binary(), False), ("reorder_frames", pa.uint8(), False), ("pixel_format", pa.utf8(), False),
    ("width", pa.uint32(), False), ("height", pa.uint32(), False), ("sample_aspect_num", pa.uint32(), False),
    ("sample_aspect_den", pa.uint32(), False), ("quarter_turns", pa.uint8(), False), ("mirrored", pa.bool_(), False),
    ("color_matrix", pa.uint8(), False), ("color_primaries", pa.uint8(), False), ("color_transfer", pa.uint8(), False),
    ("color_range", pa.utf8(), False), ("chroma_location", pa.utf8(), False), ("color_guessed", pa.bool_(), False),
    ("time_base_num", pa.uint32(), False), ("time_base_den", pa.uint32(), False), ("duration", pa.int64(), False),
    ("frames", pa.uint32(), False), ("video", _struct(MEMBER), False), ("json", _struct(MEMBER), True),
    ("caption", pa.utf8(), True), ("source", pa.utf8(), False), ("source_start", pa.float64(), True),
    ("source_end", pa.float64(), True), ("reencoded", pa.utf8(), True),
    ("fields", _list(_struct(FIELD)), False), ("packets", _list(_struct(PACKET)), False),
    ("gops", _list(_struct(GOP)), False), ("frame_packets", _list(pa.uint32()), False),
]  # fmt: skip

TENSOR_SHARD_COLUMNS = [
    ("key", pa.utf8(), False), ("json", _struct(MEMBER), True), ("caption", pa.utf8(), True),
    ("fields", _list(_struct(FIELD)), False),
]  # fmt: skip

TENSOR_DATASET_COLUMNS = [
    ("shard", pa.uint32(), False), ("row", pa.uint32(), False), ("key", pa.utf8(), False), ("bytes", pa.uint64(), False),
]  # fmt: skip

DATASET_COLUMNS = [
    ("shard", pa.uint32(), False), ("row", pa.uint32(), False), ("key", pa.utf8(), False),
    ("frames", pa.uint32(), False), ("width", pa.uint32(), False), ("height", pa.uint32(), False),
    ("duration", pa.int64(), False), ("time_base_num", pa.uint32(), False), ("time_base_den", pa.uint32(), False),
    ("fps", pa.float64(), False), ("codec", pa.utf8(), False), ("pixel_format", pa.utf8(), False),
    ("gops", pa.uint32(), False), ("max_gop_frames", pa.uint32(), False), ("bytes", pa.uint64(), False),
]  # fmt: skip


def open_arrow(data, columns, kind, child_types):
    check(data[:6] == b"ARROW1" and data[-6:] == b"ARROW1", "not an Arrow file")
    reader = pa.ipc.open_file(pa.py_buffer(data))
    schema = reader.schema
    check((schema.metadata or {}).get(b"framefeed") == kind, "schema metadata {}", schema.metadata)
    check(len(schema) in (len(columns), len(columns) + 1), "{} columns", len(schema))
    for field, (name, data_type, nullable) in zip(schema, columns):
        expected = pa.field(name, data_type, nullable=nullable)
        check(field.equals(expected), "column {} is not {}", field, expected)
    if len(schema) > len(columns):
        field = schema.field(len(columns))
        check(field.name == "columns" and pa.types.is_struct(field.type), "unknown column {}", field)
        check(all(child.type in child_types for child in field.type), "types of {}", field)
    return reader


SCALARS = [pa.bool_(), pa.int64(), pa.float64()]
