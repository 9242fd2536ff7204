"""Tar entries made field by field, well or badly."""

from __future__ import annotations


def raw(
    name: bytes = b"f",
    kind: bytes = b"0",
    content: bytes = b"",
    *,
    size: bytes | None = None,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    tail: bytes = b"",
    mode: int = 0o644,
    mtime: int = 0,
    uid: bytes = b"0000000\0",
    checksum: int = 0,
) -> bytes:
    """One entry, field by field as given, with a good checksum and its content."""
    number = b"%011o\0" % len(content) if size is None else size
    block = (
        name.ljust(100, b"\0")
        + b"%07o\0" % mode
        + uid
        + b"0000000\0"
        + number.ljust(12, b"\0")
        + b"%011o\0" % mtime
        + b" " * 8
        + kind
        + link.ljust(100, b"\0")
        + magic
        + bytes(80)
        + prefix.ljust(155, b"\0")
        + tail.rjust(12, b"\0")
    )
    assert len(block) == 512
    block = block[:148] + b"%06o\0 " % (sum(block) + checksum) + block[156:]
    return block + content + bytes(-len(content) % 512)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header with these records."""
    text = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = next(n for n in range(len(rest), len(rest) + 9) if n == len(rest) + len(str(n)))
        text += str(length).encode() + rest
    return raw(b"ext", kind, text)
