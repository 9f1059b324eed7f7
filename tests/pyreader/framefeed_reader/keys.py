"""What a key may be."""

from .checks import check


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
