"""An independent reader of framefeed datasets, written from src/format/FORMAT.md alone.

It shares no code with the library: tar headers, checksums and tables are parsed and checked here; pyarrow reads Arrow.
It is slow, small and strict: the oracle for the reader in Rust.

    python framefeed_reader.py DATASET|SHARD.tar [--quick]

Prints one JSON line per record. Exits with 1 and a message at the first thing that breaks the specification.
"""

import argparse
import json
import math
import os
import re
import struct
import sys

import pyarrow as pa

BLOCK = 512
MAGIC = bytes.fromhex("894646440d0a1a0a")
CODECS = "h264 hevc vvc av1 vp9 mpeg4 mpeg2video mpeg1video mjpeg png".split()
KEYFRAME, DISPOSABLE, DISCARD, LEADING = 1, 2, 4, 8


class FormatError(Exception):
    """The file breaks the specification."""


def check(condition, message, *args):
    if not condition:
        raise FormatError(message.format(*args))


def _make_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _make_table()


def _crc32c_slow(data):
    crc = 0xFFFFFFFF
    table = _TABLE
    for byte in bytes(data):
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


try:  # optional, for large datasets: the plain loop above makes about 10 MB/s
    from google_crc32c import value as _crc32c_fast
except ImportError:
    _crc32c_fast = None


def crc32c(data):
    return _crc32c_fast(bytes(data)) if _crc32c_fast else _crc32c_slow(data)


assert crc32c(b"123456789") == 0xE3069283

# ---------------------------------------------------------------------------------------------------------------- tar


def padding(size):
    return -size % BLOCK


def _octal(value, digits):
    return b"%0*o\0" % (digits, value)


def header_block(name, size, flag):
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:108] = _octal(0o644, 7)
    block[108:116] = _octal(0, 7)
    block[116:124] = _octal(0, 7)
    block[124:136] = _octal(size, 11)
    block[136:148] = _octal(0, 11)
    block[148:156] = b" " * 8
    block[156:157] = flag
    block[257:263] = b"ustar\0"
    block[263:265] = b"00"
    block[148:156] = _octal(sum(block), 7)
    return bytes(block)


def pax_record(key, value):
    rest = len(b" %s=%s\n" % (key, value))
    length = rest
    while len(str(length)) + rest != length:
        length = len(str(length)) + rest
    return b"%d %s=%s\n" % (length, key, value)


def member_header(name, size):
    """The blocks before a member's content, as the specification fixes them."""
    raw = name.encode()
    long_name = len(raw) > 100 or not name.isascii()
    long_size = size > 0o77777777777
    records = b""
    if long_name:
        records += pax_record(b"path", raw)
    if long_size:
        records += pax_record(b"size", b"%d" % size)
    out = b""
    if records:
        out = header_block(b"PaxHeaders/member", len(records), b"x") + records + bytes(padding(len(records)))
    plain = "".join(c if c.isascii() else "_" for c in name)[:100].encode()
    return out + header_block(plain, 0 if long_size else size, b"0")


# ---------------------------------------------------------------------------------------------------------------- keys


def check_key(key):
    check(1 <= len(key.encode()) <= 800, "key {!r}: length", key)
    parts = key.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        check(1 <= len(part.encode()) <= 160, "key {!r}: length of a part", key)
        check(all(c.isalnum() or c in "_-+=@." or ord(c) > 127 and c.isalpha() for c in part), "key {!r}: character", key)
        check(not part.startswith(("-", ".")) and not part.endswith("."), "key {!r}: first or last character", key)
        check(not (part.startswith("__") and part.endswith("__")), "key {!r}: reserved", key)
        check(not part.endswith((".mp4", ".json", ".npy")), "key {!r}: suffix", key)
        check(not last or "." not in part, "key {!r}: dot in the last part", key)


# --------------------------------------------------------------------------------------------------------------- Arrow

_MEMBER = [("offset", pa.uint64()), ("size", pa.uint64()), ("crc32c", pa.uint32())]
_PACKET = [
    ("offset", pa.uint64()), ("size", pa.uint32()), ("pts", pa.int64()), ("dts", pa.int64()), ("flags", pa.uint8()),
    ("crc32c", pa.uint32()),
]  # fmt: skip
_GOP = [
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


_FIELD = [
    ("name", pa.utf8()), *_MEMBER, ("dtype", pa.utf8()), ("shape", _list(pa.uint64())), ("data_offset", pa.uint32()),
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
    ("frames", pa.uint32(), False), ("video", _struct(_MEMBER), False), ("json", _struct(_MEMBER), True),
    ("caption", pa.utf8(), True), ("source", pa.utf8(), False), ("source_start", pa.float64(), True),
    ("source_end", pa.float64(), True), ("reencoded", pa.utf8(), True),
    ("fields", _list(_struct(_FIELD)), False), ("packets", _list(_struct(_PACKET)), False),
    ("gops", _list(_struct(_GOP)), False), ("frame_packets", _list(pa.uint32()), False),
]  # fmt: skip

TENSOR_SHARD_COLUMNS = [
    ("key", pa.utf8(), False), ("json", _struct(_MEMBER), True), ("caption", pa.utf8(), True),
    ("fields", _list(_struct(_FIELD)), False),
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


_SCALARS = [pa.bool_(), pa.int64(), pa.float64()]

# --------------------------------------------------------------------------------------------------------------- shard


def npy_header(dtype, shape, length):
    """The NPY header of that many bytes."""
    axes = f"({shape[0]},)" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"
    text = f"{{'descr': '{DTYPES[dtype][0]}', 'fortran_order': False, 'shape': {axes}, }}"
    check(10 + len(text) + 1 <= length <= 10 + 65535, "NPY header of {} bytes", length)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length - 10) + text.encode().ljust(length - 11) + b"\n"


class TensorShard:
    """One shard of tensors alone; `rows` is a list of dicts, one per record, validated."""

    COLUMNS, KIND = TENSOR_SHARD_COLUMNS, b"tensor-index/1"

    def __init__(self, path):
        self.path = path
        self.bytes = os.path.getsize(path)
        self.file = open(path, "rb")
        check(self.bytes >= 4 * BLOCK, "{} bytes", self.bytes)
        self.trailer = self.read(self.bytes - 1088, 64)
        self.offset, self.size, count = self._parse_trailer(self.trailer)
        index = self.read(self.offset, self.size)
        (crc,) = struct.unpack_from("<I", self.trailer, 40)
        check(crc32c(index) == crc, "CRC32C of the index")
        reader = open_arrow(index, self.COLUMNS, self.KIND, [*_SCALARS, pa.utf8()])
        check(reader.num_record_batches == 1, "{} batches", reader.num_record_batches)
        batch = reader.get_batch(0)
        batch.validate(full=True)
        check(batch.num_rows == count, "{} rows, trailer says {}", batch.num_rows, count)
        self.rows = batch.to_pylist()
        for row in self.rows:
            self._check_row(row)

    def read(self, offset, size):
        check(offset >= 0 and size >= 0 and offset + size <= self.bytes, "bytes {} + {}", offset, size)
        self.file.seek(offset)
        return self.file.read(size)

    def _parse_trailer(self, data):
        magic, version, flags, offset, size, rows, _, reserved, crc = struct.unpack("<8sIIQQQI16sI", data)
        check(magic == MAGIC, "magic of the trailer")
        check(crc == crc32c(data[:60]), "CRC32C of the trailer")
        check(version == 1 and flags == 0 and reserved == bytes(16), "version {} flags {}", version, flags)
        check(offset >= BLOCK and offset % BLOCK == 0 and size >= 1, "index at {} with {}", offset, size)
        end = offset + size
        check(end + padding(end) == self.bytes - 1024, "index ends at {} of {}", end, self.bytes)
        check(self.bytes - 1024 - end >= 64, "no room for the trailer")
        return offset, size, rows

    def _check_row(self, row):
        try:
            self._check_record(row)
        except FormatError as error:
            raise FormatError(f"record {row['key']!r}: {error}") from None

    def _check_record(self, row):
        check_key(row["key"])
        self._check_video(row)
        position = BLOCK
        for name, member in self.members(row):
            check(member["size"] >= 1 and member["offset"] >= position, "member {} at {}", name, member["offset"])
            position = member["offset"] + member["size"]
            check(position <= self.offset - BLOCK, "member {} ends at {}", name, position)
        names = [field["name"] for field in row["fields"]]
        check(len(set(names)) == len(names), "field names")
        check(all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name) for name in names), "field names {}", names)
        for field in row["fields"]:
            check(field["dtype"] in DTYPES and len(field["shape"]) <= 32, "dtype or shape of {}", field["name"])
            elements = math.prod(field["shape"]) * DTYPES[field["dtype"]][1]
            check(field["data_offset"] + elements == field["size"], "size of {}", field["name"])

    def _check_video(self, row):
        pass

    @staticmethod
    def members(row):
        """Names and places of a record's members, in the order of the file."""
        if "video" in row:
            yield row["key"] + ".mp4", row["video"]
        if row["json"] is not None:
            yield row["key"] + ".json", row["json"]
        for field in row["fields"]:
            yield f"{row['key']}.{field['name']}.npy", field

    def verify(self):
        """Checks every byte of the file, from the first header to the last zero."""
        position = 0
        for row in self.rows:
            for name, member in self.members(row):
                position = self._verify_member(name, member, position)
            for table in ("packets", "gops"):
                for number, item in enumerate(row.get(table, [])):
                    data = self.read(item["offset"], item["size"])
                    check(crc32c(data) == item["crc32c"], "CRC32C of {} {} of {!r}", table, number, row["key"])
            for field in row["fields"]:
                data = self.read(field["offset"], field["size"])
                header, elements = data[: field["data_offset"]], data[field["data_offset"] :]
                expected = npy_header(field["dtype"], field["shape"], field["data_offset"])
                check(header == expected, "NPY header of {} of {!r}", field["name"], row["key"])
                check(crc32c(elements) == field["data_crc32c"], "CRC32C of the elements of {} of {!r}", field["name"], row["key"])
            if row["json"] is not None:
                text = self.read(row["json"]["offset"], row["json"]["size"])
                check(isinstance(json.loads(text), dict), "metadata of {!r}", row["key"])
        header = member_header("__framefeed__/index.arrow", self.size)
        check(self.read(position, len(header)) == header, "header of the index at {}", position)
        check(position + len(header) == self.offset, "index at {}", self.offset)
        end = self.offset + self.size
        tail = self.read(end, self.bytes - end)
        check(tail == bytes(len(tail) - 1088) + self.trailer + bytes(1024), "padding of the index")

    def _verify_member(self, name, member, position):
        header = member_header(name, member["size"])
        check(self.read(position, len(header)) == header, "header of {!r} at {}", name, position)
        position += len(header)
        check(position == member["offset"], "{!r} is at {}, index says {}", name, position, member["offset"])
        data = self.read(position, member["size"])
        check(crc32c(data) == member["crc32c"], "CRC32C of {!r}", name)
        rest = padding(member["size"])
        check(self.read(position + member["size"], rest) == bytes(rest), "padding of {!r}", name)
        return position + member["size"] + rest


class Shard(TensorShard):
    """One shard; as a shard of tensors, with a video in each record."""

    COLUMNS, KIND = SHARD_COLUMNS, b"shard-index/1"

    def _check_video(self, row):
        check(row["codec"] in CODECS, "codec {}", row["codec"])
        check(row["reorder_frames"] <= 64, "reorder_frames")
        check(1 <= row["width"] <= 65535 and 1 <= row["height"] <= 65535, "size")
        for name in ("sample_aspect_num", "sample_aspect_den", "time_base_num", "time_base_den"):
            check(row[name] > 0, "{} is 0", name)
        check(row["quarter_turns"] <= 3, "quarter_turns")
        check(row["color_range"] in ("limited", "full"), "color_range")
        check(row["chroma_location"] in ("left", "center", "topleft"), "chroma_location")
        self._check_packets(row)
        self._check_frames(row)
        self._check_gops(row)

    @staticmethod
    def _check_packets(row):
        position = row["video"]["offset"]
        end = position + row["video"]["size"]
        dts = -(2**63)
        check(len(row["packets"]) >= 1, "no packets")
        for number, packet in enumerate(row["packets"]):
            check(packet["size"] >= 1 and packet["offset"] >= position, "packet {} overlaps", number)
            position = packet["offset"] + packet["size"]
            check(position <= end, "packet {} is outside the MP4", number)
            check(packet["dts"] >= dts, "dts of packet {} falls", number)
            dts = packet["dts"]
            check(max(abs(packet["pts"]), abs(dts)) <= 2**61, "times of packet {}", number)
            check(packet["flags"] < 16, "flags of packet {}", number)

    @staticmethod
    def _check_frames(row):
        packets, order = row["packets"], row["frame_packets"]
        check(len(order) >= 1 and len(order) == row["frames"], "{} frames", len(order))
        check(len(set(order)) == len(order) and max(order) < len(packets), "frame_packets")
        check(not any(packets[number]["flags"] & DISCARD for number in order), "a frame of a discarded packet")
        pts = [packets[number]["pts"] for number in order]
        check(all(a < b for a, b in zip(pts, pts[1:])), "pts of the frames do not rise")
        check(row["duration"] > pts[-1] - pts[0], "duration {}", row["duration"])

    @staticmethod
    def _check_gops(row):
        packets = row["packets"]
        frame_of = {packet: frame for frame, packet in enumerate(row["frame_packets"])}
        following = 0
        for number, gop in enumerate(row["gops"]):
            check(gop["first_packet"] == following and gop["num_packets"] >= 1, "packets of GOP {}", number)
            following += gop["num_packets"]
            check(following <= len(packets), "GOP {} ends at packet {}", number, following)
            inside = packets[gop["first_packet"] : following]
            check(number == 0 or inside[0]["flags"] & KEYFRAME, "GOP {} starts without a keyframe", number)
            position = gop["offset"]
            for packet in inside:
                check(packet["offset"] == position, "gap in GOP {}", number)
                position += packet["size"]
            check(position - gop["offset"] == gop["size"], "size of GOP {}", number)
            frames = [frame_of[n] for n in range(gop["first_packet"], following) if n in frame_of]
            check(gop["first_frame"] == min(frames, default=row["frames"]), "first frame of GOP {}", number)
        check(following == len(packets), "GOPs end at packet {}", following)


# ------------------------------------------------------------------------------------------------------------- dataset


def read_manifest(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        data = file.read()
    match = re.search(rb'  "crc32c": "([0-9a-f]{8})"\n}\n\Z', data)
    check(match, "manifest does not end with its checksum")
    check(crc32c(data[: match.start()]) == int(match[1], 16), "CRC32C of the manifest")
    manifest = json.loads(data)
    check(manifest["format"] == "framefeed" and manifest["version"] == 1, "format or version of the manifest")
    shards = manifest["shards"]
    for key in ("id", "file"):
        every = [*shards, *(shard for column in manifest.get("columns", []) for shard in column["shards"])]
        check(len({shard[key] for shard in every}) == len(every), "two shards have one {}", key)
    check(manifest.get("kind", "video") in ("video", "tensor"), "kind {}", manifest.get("kind"))
    sets = manifest.get("columns", [])
    fields = [*manifest.get("fields", []), *(field for column in sets for field in column["fields"])]
    check(len(set(fields)) == len(fields), "two fields have one name")
    check(len({column["name"] for column in sets}) == len(sets), "two columns have one name")
    for column in sets:
        check(column["fields"] and isinstance(column["description"], dict), "column {!r}", column["name"])
        rows = [shard["rows"] for shard in column["shards"]]
        check(rows == [shard["rows"] for shard in shards], "rows of column {!r}", column["name"])
    for entry in [manifest["index"], *every]:
        parts = entry["file"].split("/")
        check(not set(parts) & {"", ".", ".."} and "\\" not in entry["file"], "file {!r}", entry["file"])
        check(re.fullmatch("[0-9a-f]{64}", entry["blake3"]), "hash {!r}", entry["blake3"])
    check(manifest["rows"] == manifest["index"]["rows"] == sum(shard["rows"] for shard in shards), "rows")
    check(manifest["bytes"] == sum(shard["bytes"] for shard in shards), "bytes")
    return manifest


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
        reader = open_arrow(data, TENSOR_DATASET_COLUMNS, b"tensor-dataset-index/1", _SCALARS)
    else:
        reader = open_arrow(data, DATASET_COLUMNS, b"dataset-index/1", _SCALARS)
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


def summary(shard_id, row):
    """What is printed for a record: small, and enough to compare readers by."""
    tensors = {
        field["name"]: [field["dtype"], field["shape"], field["offset"] + field["data_offset"], field["data_crc32c"]]
        for field in row["fields"] + row.get("added", [])
    }
    if "video" not in row:
        columns = {name: value for name, value in (row.get("columns") or {}).items() if value is not None}
        return {"shard": shard_id, "key": row["key"], "caption": row["caption"], "columns": columns, "tensors": tensors}
    digest = 0
    for packet in row["packets"]:
        digest = crc32c(struct.pack("<IQIqqBI", digest, *(packet[name] for name, _ in _PACKET)))
    return {
        "shard": shard_id, "key": row["key"], "codec": row["codec"], "width": row["width"], "height": row["height"],
        "pixel_format": row["pixel_format"], "frames": row["frames"], "packets": len(row["packets"]),
        "gops": len(row["gops"]), "duration": row["duration"], "offset": row["video"]["offset"],
        "bytes": row["video"]["size"], "crc32c": row["video"]["crc32c"], "packets_crc32c": digest,
        "caption": row["caption"], "source": row["source"], "fields": [field["name"] for field in row["fields"]],
        "tensors": tensors,
        "columns": {name: value for name, value in (row.get("columns") or {}).items() if value is not None},
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="a dataset's folder, or one shard")
    parser.add_argument("--quick", action="store_true", help="check the indexes and tables alone, not the clips' bytes")
    options = parser.parse_args()
    try:
        if os.path.isdir(options.path):
            for entry, _, row in read_dataset(options.path, verify=not options.quick):
                print(json.dumps(summary(entry["id"], row), ensure_ascii=False))
        else:
            try:
                shard = Shard(options.path)
            except FormatError:
                shard = TensorShard(options.path)
            if not options.quick:
                shard.verify()
            for row in shard.rows:
                print(json.dumps(summary(None, row), ensure_ascii=False))
    except (FormatError, OSError, pa.ArrowException, ValueError, KeyError) as error:
        print(f"error: {options.path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
