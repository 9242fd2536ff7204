"""Writes tar entries in one fixed form: plain ustar, and one pax record each for what does not fit into it.

The same entry gives the same bytes on every machine. Pure.
"""

from __future__ import annotations

from learningchain.sandbox.targuard import BLOCK, FILE, FOLDER

END = bytes(2 * BLOCK)
"""What closes an archive."""
_NAME_CAP = 100
_SIZE_CAP = 8**11
TIME_CAP = 8**11 - 1


def header(name: str, kind: bytes, *, size: int = 0, link: str = "", mode: int = 0o644, mtime: int = 0) -> bytes:
    """The header blocks of an entry; `size` bytes of content and `padding(size)` follow. `mtime` in seconds, 0 to TIME_CAP.

    Everything belongs to root: in a container, whose user nobody else has, an owner says nothing.
    """
    raw, target = name.encode() + (b"/" if kind == FOLDER else b""), link.encode()
    records = {
        b"path": raw if len(raw) > _NAME_CAP or not raw.isascii() else b"",
        b"linkpath": target if len(target) > _NAME_CAP or not target.isascii() else b"",
        b"size": b"%d" % size if size >= _SIZE_CAP else b"",
    }
    text = b"".join(_record(key, value) for key, value in records.items() if value)
    before = _block(b"pax", b"x", len(text), b"", 0o644, 0) + text + padding(len(text)) if text else b""
    short = b"pax" if records[b"path"] else raw
    shown = 0 if records[b"size"] else size
    return before + _block(short, kind, shown, b"pax" if records[b"linkpath"] else target, mode, mtime)


def file(name: str, content: bytes) -> bytes:
    """A whole file of few bytes."""
    return header(name, FILE, size=len(content)) + content + padding(len(content))


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    """`<length> <key>=<value>\\n`, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def _block(name: bytes, kind: bytes, size: int, link: bytes, mode: int, mtime: int) -> bytes:
    fields = b"".join(
        (
            name.ljust(100, b"\0"),
            b"%07o\0" % mode,
            b"0000000\x000000000\0",
            b"%011o\0" % size,
            b"%011o\0" % mtime,
            b" " * 8,
            kind,
            link.ljust(100, b"\0"),
            b"ustar\x0000",
        )
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]
