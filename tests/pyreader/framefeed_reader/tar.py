"""The tar headers before members, byte by byte."""

BLOCK = 512


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
