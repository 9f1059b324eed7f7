"""The manifest of a dataset."""

import json
import os
import re

from .checks import check, crc32c


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
