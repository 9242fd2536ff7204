"""Other readers of tar than ours, for comparison: Python's, and a model of the one in Go's standard library, which engines use.

The model follows `archive/tar/reader.go`: what it takes for a number, which header wins where several name an entry, which types
have no contents. Where Go would give up it raises `Unreadable`. It knows nothing of our reader.
"""

from __future__ import annotations

import io
import tarfile
from typing import NamedTuple

HEADER_ONLY = b"123456"
"""Types whose size Go ignores: links, devices, folders, pipes."""


class Unreadable(Exception):
    """This reader does not take the stream."""


class Seen(NamedTuple):
    """One entry as a reader sees it. `kind` is the type flag, "0" for every regular file."""

    name: str
    kind: str
    size: int
    link: str
    mode: int


def python_reads(stream: bytes) -> list[Seen]:
    try:
        with tarfile.open(fileobj=io.BytesIO(stream), mode="r:", errorlevel=2, ignore_zeros=False) as archive:
            found = archive.getmembers()
    except (tarfile.TarError, ValueError, OverflowError, UnicodeError, OSError, KeyError) as problem:
        raise Unreadable(str(problem)) from problem
    return [_seen(m.name, m.type.decode("latin-1"), m.size, m.linkname, m.mode) for m in found]


def _seen(name: str, kind: str, size: int, link: str, mode: int) -> Seen:
    kind = "0" if kind in "\x007" else kind
    return Seen(name.rstrip("/"), kind, size if kind == "0" else 0, link if kind in "12" else "", mode & 0o7777)


def go_reads(stream: bytes) -> list[Seen]:
    found: list[Seen] = []
    position = 0
    while True:
        entry, position = _go_next(stream, position)
        if entry is None:
            return found
        found.append(entry)


def _go_next(stream: bytes, position: int) -> tuple[Seen | None, int]:
    pax: dict[str, str] = {}
    long_name = long_link = ""
    while True:
        block = stream[position : position + 512]
        if not block:
            return None, position
        if len(block) < 512:
            raise Unreadable("short")
        position += 512
        if not any(block):
            second = stream[position : position + 512]
            if any(second):
                raise Unreadable("an entry behind a zero block")
            return None, position
        name, link, kind, size, mode = _go_header(block)
        if kind in "xg":
            text = _body(stream, position, size)
            position += -(-size // 512) * 512
            records = _go_pax(text)
            if kind == "g":
                return Seen("", "g", 0, "", 0), position
            pax = records
        elif kind in "LK":
            text = _body(stream, position, size).split(b"\0", 1)[0]
            position += -(-size // 512) * 512
            if kind == "L":
                long_name = text.decode("utf-8", "surrogateescape")
            else:
                long_link = text.decode("utf-8", "surrogateescape")
        else:
            name, link, size = _go_merge(pax, name, link, size)
            name, link = long_name or name, long_link or link
            if kind == "\0":
                kind = "5" if name.endswith("/") else "0"
            if any(key.startswith("GNU.sparse.") for key in pax) or kind == "S":
                raise Unreadable("sparse: its size is another")
            if kind.encode("latin-1") in {HEADER_ONLY[i : i + 1] for i in range(len(HEADER_ONLY))}:
                size = 0
            _body(stream, position, size)
            return _seen(name, kind, size, link, mode), position + -(-size // 512) * 512


def _body(stream: bytes, position: int, size: int) -> bytes:
    if not 0 <= size <= len(stream) - position:
        raise Unreadable("ends early")
    return stream[position : position + size]


def _go_header(block: bytes) -> tuple[str, str, str, int, int]:
    sums = sum(block[:148]) + 256 + sum(block[156:])
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 256
    if _octal(block[148:156]) not in (sums, signed):
        raise Unreadable("checksum")
    name, link, kind = _string(block[:100]), _string(block[157:257]), block[156:157].decode("latin-1")
    magic, version = block[257:263], block[263:265]
    prefix = ""
    if magic == b"ustar\0" and block[508:512] == b"tar\0":
        prefix = _string(block[345:476])
    elif magic == b"ustar\0":
        prefix = _string(block[345:500])
    elif magic + version == b"ustar  \0":
        try:
            for field in (block[345:357], block[357:369]):
                if field[0]:
                    _number(field)
        except Unreadable:
            prefix = _string(block[345:500])
    if prefix:
        name = f"{prefix}/{name}"
    for field in (block[108:116], block[116:124], block[136:148]):
        _number(field)
    return name, link, kind, _number(block[124:136]), _number(block[100:108])


def _string(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(raw: bytes) -> int:
    if raw and raw[0] & 0x80:
        value = int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
        if raw[0] & 0x40:
            value -= 1 << (8 * len(raw) - 1)
        if not -(1 << 63) <= value < 1 << 63:
            raise Unreadable("number")
        return value
    return _octal(raw)


def _octal(raw: bytes) -> int:
    text = raw.strip(b" \0")
    text = text.split(b"\0", 1)[0]
    if not text:
        return 0
    if not all(0x30 <= byte <= 0x37 for byte in text):
        raise Unreadable("octal")
    return int(text, 8)


def _go_pax(text: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    while text:
        digits, space, _ = text.partition(b" ")
        sign = digits[:1] == b"+"
        if not space or not digits[sign:].isdigit() or not 5 <= int(digits) <= len(text):
            raise Unreadable("record")
        record, text = text[len(digits) + 1 : int(digits)], text[int(digits) :]
        key, equals, value = record[:-1].partition(b"=")
        if record[-1:] != b"\n" or not equals or not key or b"\0" in key:
            raise Unreadable("record")
        if key in (b"path", b"linkpath", b"uname", b"gname") and b"\0" in value:
            raise Unreadable("record")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    return found


def _go_merge(pax: dict[str, str], name: str, link: str, size: int) -> tuple[str, str, int]:
    """An empty value keeps the header's own."""
    for key in ("uid", "gid", "size"):
        if pax.get(key) and not pax[key].removeprefix("-").removeprefix("+").isdigit():
            raise Unreadable(key)
    size = int(pax["size"]) if pax.get("size") else size
    if size < 0:
        raise Unreadable("negative")
    return pax.get("path") or name, pax.get("linkpath") or link, size
