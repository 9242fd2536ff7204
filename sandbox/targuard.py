"""Reads a tar stream that a stranger wrote, with a bound on everything and nothing extracted.

Readers of tar disagree wherever the format grew: an entry that has a size but no contents, a name that an extended header
changes, a number with a sign. What hides there is read by one and skipped by the other. This reader takes the plain core that
engines and their tools write (ustar, GNU long names, pax records) and refuses every other form by name, so that what it
accepts has one reading. Used for docker-archives and for the layers within them; layers are then written anew (`layers`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

import msgspec

CHUNK = 1 << 18
BLOCK = 512
FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
"""Type flags of POSIX ustar; `TarMember.kind` is one of them."""
EXTENDED_CAP = 64 * 1024
"""Longest extended header in bytes; a path has at most 4,096."""

_KINDS = frozenset((FILE, HARD_LINK, SYMBOLIC_LINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO))
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_NUMBER_CAP = 1 << 60
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
_LENGTH = re.compile(rb"[1-9][0-9]{0,5} ")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_TIME = re.compile(r"(-?)([0-9]{1,18})(?:\.[0-9]*)?")
_PAX_NUMBERS = ("size", "uid", "gid")
_PAX_TIMES = ("mtime", "atime", "ctime")
_PAX_KEYS = frozenset((*_PAX_NUMBERS, *_PAX_TIMES, "path", "linkpath", "uname", "gname", "comment"))
# What tools note beside: none of it changes what an entry is, and none of it is written on.
_PAX_NOTES = ("SCHILY.xattr.", "SCHILY.acl.", "SCHILY.dev", "SCHILY.ino", "SCHILY.nlink", "SCHILY.fflags", "LIBARCHIVE.")


class TarStream(Protocol):
    """Where a tar is read from; `read` returns fewer bytes than asked only where it must, and none at the end."""

    def read(self, size: int, /) -> bytes: ...


class BadTar(ValueError):
    """The stream is no tar that we accept; the text says why."""


class TarMember(msgspec.Struct, frozen=True):
    """One entry. `name` is as written but for the trailing slash of a folder. `offset` is where its bytes begin."""

    name: str
    kind: bytes
    size: int
    link: str
    offset: int
    mode: int = 0
    mtime: int = 0
    """Whole seconds since 1970, without their fraction; may be negative."""

    @property
    def regular(self) -> bool:
        return self.kind == FILE


class _TarHeader(msgspec.Struct, frozen=True):
    """The fields of one header block."""

    kind: bytes
    name: bytes
    link: bytes
    size: int
    mode: int
    mtime: int


class TarWalk:
    """Iterates over the members of one stream; `content()` reads the current member's bytes, else they are skipped.

    `max_headers` bounds what is no content: headers, also those that change nothing, and padding. Each of them costs a hundred
    times what as many bytes of contents cost.
    """

    def __init__(self, stream: TarStream, *, max_bytes: int, max_members: int, max_headers: int | None = None) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._max_headers = max_bytes if max_headers is None else max_headers
        self.headers = 0
        """Bytes so far that were no content."""
        self._max_members = max_members
        self._position = 0
        self._left = 0

    def __iter__(self) -> Iterator[TarMember]:
        count = 0
        while (member := self._next_member()) is not None:
            count += 1
            if count > self._max_members:
                raise BadTar(f"more than {self._max_members} entries")
            self._left = member.size
            yield member
            for _ in self.content():
                pass
            self._read_exact(-member.size % BLOCK)

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
        self.headers += count
        if self.headers > self._max_headers:
            raise BadTar(f"headers of more than {self._max_headers} bytes")
        return bytes(data)

    def _next_member(self) -> TarMember | None:
        """The next entry, with the extended headers before it applied; None at the end of the archive."""
        found: dict[bytes, bytes] = {}
        while True:
            block = self._read_exact(BLOCK)
            if not any(block):
                if found:
                    raise BadTar("an extended header without an entry")
                return None
            header = _parse_header(block)
            if header.kind == b"g":
                self._check_global(header.size, bool(found))
                continue
            if header.kind not in (b"x", b"L", b"K"):
                return self._member(header, found)
            # GNU's reader lets long names win over pax records, others the reverse; two of one kind are read either way.
            if header.kind in found or (found and b"x" in (*found, header.kind)):
                raise BadTar("extended headers that contradict each other")
            found[header.kind] = self._extended(header.size)

    def _check_global(self, size: int, within: bool) -> None:
        """A global header may hold a comment, as `git archive` writes; anything else would change entries from afar."""
        if within or _parse_pax(self._extended(size)).keys() - {"comment"}:
            raise BadTar("a global header changes entries")

    def _extended(self, size: int) -> bytes:
        if not 0 < size <= EXTENDED_CAP:
            raise BadTar(f"an extended header of {size} bytes")
        text = self._read_exact(size)
        self._read_exact(-size % BLOCK)
        return text

    def _member(self, header: _TarHeader, extended: dict[bytes, bytes]) -> TarMember:
        pax = _parse_pax(extended[b"x"]) if b"x" in extended else {}
        name, link = _long(extended, b"L", header.name), _long(extended, b"K", header.link)
        full, target = pax.get("path", _text(name)), pax.get("linkpath", _text(link))
        size = int(pax.get("size", header.size))
        kind = FILE if header.kind == b"\0" else header.kind
        if kind not in _KINDS:
            raise BadTar(f"an entry of unknown type {kind!r}")
        if kind != FILE and size != 0:
            raise BadTar(f"an entry of type {kind!r} with a size of {size} bytes: readers disagree on where the next one begins")
        if full.endswith("/"):
            if kind != FOLDER:
                raise BadTar(f"an entry of type {kind!r} that is named like a folder, {full[:80]!r}")
            full = full.rstrip("/")
        mtime = header.mtime
        if "mtime" in pax and (time := _TIME.fullmatch(pax["mtime"])):
            mtime = int(time[1] + time[2])
        return TarMember(full, kind, size, target, self._position, header.mode, mtime)


def _long(extended: dict[bytes, bytes], kind: bytes, short: bytes) -> bytes:
    """The name of a GNU long name entry: the text up to its one closing zero."""
    text = extended.get(kind)
    if text is None:
        return short
    name = text.removesuffix(b"\0")
    if not name or b"\0" in name:
        raise BadTar("a damaged long name")
    return name


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadTar(f"a name that is not UTF-8, {raw[:40]!r}") from None


def _parse_header(block: bytes) -> _TarHeader:
    """One header block, every field in its one form. Raises BadTar."""
    if sum(block[:148]) + sum(block[156:]) + 8 * 0x20 != _number(block[148:156], "checksum"):
        raise BadTar("not a tar header: its checksum differs")
    magic = block[257:265]
    if magic not in (_USTAR, _GNU):
        raise BadTar("not a tar header: neither ustar nor GNU")
    name = _field(block[0:100], "name")
    if magic == _USTAR:
        # The last bytes of the prefix have another meaning in star's dialect, which sets what follows it.
        prefix = _field(block[345:500], "prefix")
        name = prefix + b"/" + name if prefix else name
        rest = block[500:]
    else:
        rest = block[345:]  # times and sparse maps of GNU's; readers disagree on whether a prefix stands there
    if any(rest):
        raise BadTar("a tar header with fields that readers disagree on")
    for start, end in (
        (108, 116),
        (116, 124),
        (329, 337),
        (337, 345),
    ):  # owners and device: not used, but some readers stop at bad ones
        _number(block[start:end], "owner or device")
    return _TarHeader(
        block[156:157],
        name,
        _field(block[157:257], "link"),
        _number(block[124:136], "size"),
        _number(block[100:108], "mode") & 0o7777,
        _number(block[136:148], "time"),
    )


def _field(raw: bytes, what: str) -> bytes:
    """The bytes up to the first zero; nothing may follow it."""
    text, _, rest = raw.partition(b"\0")
    if any(rest):
        raise BadTar(f"a tar header with bytes behind its {what}")
    return text


def _number(raw: bytes, what: str) -> int:
    """Octal digits between spaces and zeros, or GNU's binary form where it is not negative."""
    if raw[:1] == b"\x80":
        value = int.from_bytes(raw[1:], "big")
    elif (octal := _OCTAL.fullmatch(raw)) is not None:
        value = int(octal[1] or b"0", 8)
    else:
        raise BadTar(f"not a tar header: its {what} is no number")
    if value > _NUMBER_CAP:
        raise BadTar(f"not a tar header: its {what} is out of range")
    return value


def _parse_pax(text: bytes) -> dict[str, str]:
    """The records "<length> <key>=<value>\\n" of an extended header. Raises BadTar for what two readers could read differently."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        digits = _LENGTH.match(text, position)
        length = int(digits[0]) if digits else 0
        record = text[digits.end() : position + length] if digits else b""
        key, equals, value = record[:-1].partition(b"=")
        if position + length > len(text) or not record.endswith(b"\n") or not key or not equals:
            raise BadTar("a damaged extended header")
        name = _text(key)
        if name in found:
            raise BadTar(f"an extended header with two values for {name[:40]!r}")
        if name not in _PAX_KEYS and not name.startswith(_PAX_NOTES):
            sparse = "; sparse files are not accepted" if name.startswith("GNU.sparse") else ""
            raise BadTar(f"an extended header with the unknown key {name[:40]!r}{sparse}")
        found[name] = _pax_value(name, value)
        position += length
    return found


def _pax_value(name: str, value: bytes) -> str:
    if name not in _PAX_KEYS:
        return ""  # a note, perhaps binary; never read
    text = _text(value)
    if "\0" in text or not text:  # an empty value takes the header's own for some readers, and none for others
        raise BadTar(f"an extended header with a damaged {name}")
    if name in _PAX_NUMBERS and (_SIZE.fullmatch(text) is None or int(text) > _NUMBER_CAP):
        raise BadTar(f"an extended header with a {name} that is no number")
    if name in _PAX_TIMES and _TIME.fullmatch(text) is None:
        raise BadTar(f"an extended header with a {name} that is no time")
    return text
