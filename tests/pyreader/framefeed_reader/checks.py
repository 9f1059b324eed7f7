"""What all parts of the reader share: the error of a broken file, and CRC32C."""


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
