"""The command: one JSON line for each record of a dataset or a shard."""

import argparse
import json
import os
import struct
import sys

import pyarrow as pa

if not __package__:  # run by the name of its folder, which is then where Python looks for modules
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

import framefeed_reader  # noqa: E402
from framefeed_reader.arrow import PACKET  # noqa: E402
from framefeed_reader.checks import FormatError, crc32c  # noqa: E402
from framefeed_reader.dataset import read_dataset  # noqa: E402
from framefeed_reader.tensor_shard import TensorShard  # noqa: E402
from framefeed_reader.video_shard import Shard  # noqa: E402


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
        digest = crc32c(struct.pack("<IQIqqBI", digest, *(packet[name] for name, _ in PACKET)))
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
    parser = argparse.ArgumentParser(description=framefeed_reader.__doc__.splitlines()[0])
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
