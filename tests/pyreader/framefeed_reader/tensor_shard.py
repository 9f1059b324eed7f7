"""Shards of tensors, and what shards of videos have in common with them."""

import json
import math
import os
import re
import struct

import pyarrow as pa

from .arrow import DTYPES, SCALARS, TENSOR_SHARD_COLUMNS, open_arrow
from .checks import FormatError, check, crc32c
from .keys import check_key
from .tar import BLOCK, member_header, padding

MAGIC = bytes.fromhex("894646440d0a1a0a")


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
        reader = open_arrow(index, self.COLUMNS, self.KIND, [*SCALARS, pa.utf8()])
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
