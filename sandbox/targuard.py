"""Walks a tar stream that a stranger wrote, with a bound on everything and nothing extracted.

Python's tarfile reads extended headers of any size into memory and knows a dozen dialects. This walker knows what
engines write (ustar, GNU long names, pax records), refuses the rest, and hands out each entry's bytes in pieces.
Used for docker-archives and for the layers within them.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Protocol

import msgspec

CHUNK = 1 << 18
_BLOCK = 512
_HEADER_CAP = 64 * 1024  # longest extended header; a path has at most 4,096 bytes
_REGULAR = frozenset({b"0", b"\0", b"7"})


class Source(Protocol):
    """Where a tar is read from; `read` returns fewer bytes than asked only where it must, and none at the end."""

    def read(self, size: int, /) -> bytes: ...


class BadTar(ValueError):
    """The stream is no tar that we accept; the text says why."""


class Member(msgspec.Struct, frozen=True):
    """One entry. `kind` is the tar type flag; b"0" for every regular file. `offset` is where its bytes begin."""

    name: str
    kind: bytes
    size: int
    link: str
    offset: int

    @property
    def regular(self) -> bool:
        return self.kind == b"0"


class TarWalk:
    """Iterates over the members of one stream; `content()` reads the current member's bytes, else they are skipped."""

    def __init__(self, stream: Source, *, max_bytes: int, max_members: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._max_members = max_members
        self._position = 0
        self._left = 0

    def __iter__(self) -> Iterator[Member]:
        count = 0
        while (member := self._next_member()) is not None:
            count += 1
            if count > self._max_members:
                raise BadTar(f"more than {self._max_members} entries")
            self._left = member.size
            yield member
            for _ in self.content():
                pass
            self._read_exact(-member.size % _BLOCK)

    def content(self) -> Iterator[bytes]:
        """The rest of the current member's bytes, in pieces of at most CHUNK."""
        while self._left:
            piece = self._stream.read(min(CHUNK, self._left))
            if not piece:
                raise BadTar("the stream ends within a file")
            self._advance(len(piece))
            self._left -= len(piece)
            yield piece

    def _advance(self, count: int) -> None:
        self._position += count
        if self._position > self._max_bytes:
            raise BadTar(f"more than {self._max_bytes} bytes")

    def _read_exact(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = self._stream.read(count - len(data))
            if not piece:
                raise BadTar("the stream ends within an entry")
            data += piece
        self._advance(count)
        return bytes(data)

    def _next_member(self) -> Member | None:
        """The next entry, with the extended headers before it applied; None at the end of the archive."""
        name: str | None = None
        link: str | None = None
        pax: dict[str, str] = {}
        for _ in range(8):
            block = self._read_exact(_BLOCK)
            if not any(block):
                return None
            info = _parse_header(block)
            if info.type in (b"x", b"g", b"L", b"K"):
                text = self._extended(info.size)
                if info.type == b"L":
                    name = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
                elif info.type == b"K":
                    link = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
                elif info.type == b"x":
                    pax = _parse_pax(text)
                elif _parse_pax(text).keys() & {"path", "linkpath", "size"}:
                    raise BadTar("a global header renames entries")
                continue
            return self._member(info, pax.get("path", name), pax.get("linkpath", link), pax)
        raise BadTar("too many extended headers before one entry")

    def _extended(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_CAP:
            raise BadTar(f"an extended header of {size} bytes")
        text = self._read_exact(size)
        self._read_exact(-size % _BLOCK)
        return text

    def _member(self, info: tarfile.TarInfo, name: str | None, link: str | None, pax: dict[str, str]) -> Member:
        if any(key.startswith("GNU.sparse") for key in pax):
            raise BadTar("sparse files are not accepted")
        kind = b"0" if info.type in _REGULAR else info.type
        size = info.size
        if "size" in pax:
            if not pax["size"].isascii() or not pax["size"].isdigit() or len(pax["size"]) > 18:
                raise BadTar("an entry's size is not a number")
            size = int(pax["size"])
        if size < 0:
            raise BadTar("an entry's size is negative")
        if kind != b"0":
            size = 0 if kind in b"12345" else size
        if kind not in (b"0", b"1", b"2", b"3", b"4", b"5", b"6"):
            raise BadTar(f"an entry of unknown type {kind!r}")
        full = name if name is not None else info.name
        return Member(full, kind, size, link if link is not None else info.linkname, self._position)


def _parse_header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as problem:
        raise BadTar(f"not a tar header: {problem}") from None


def _parse_pax(text: bytes) -> dict[str, str]:
    """The records "<length> <key>=<value>\\n" of an extended header."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        digits, space, _ = text[position : position + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise BadTar("a damaged extended header")
        length = int(digits)
        record = text[position + len(digits) + 1 : position + length]
        if length <= len(digits) + 2 or position + length > len(text) or not record.endswith(b"\n"):
            raise BadTar("a damaged extended header")
        key, equals, value = record[:-1].partition(b"=")
        if not equals:
            raise BadTar("a damaged extended header")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        position += length
    return found
