"""A layer as we understand it, written anew: what the engine unpacks are our bytes, not a stranger's.

    packed layer --unpack--> TarWalk --> rules below --> Entry --> canonical tar --> engine

Two readers of a tar may see two things in it (`targuard`); here there is one reader, and one plain form that goes on. What an
entry has beside its place, kind, contents, permissions and time is left out: owners, set-user-id bits, extended attributes.
Inside the container none of it counts (no capabilities, no new privileges, a user that owns nothing).

The rules, in the order of an entry's fate:

- A path begins at the image's root, with or without a `/`, has no `..`, and each of its parents is a folder of the same layer; a
  missing one is added.
- A path occurs once in a layer. A folder may stand there again, with the same permissions.
- There are files, folders, symbolic links, and hard links to an earlier file of the same layer. A hard link to a symbolic link
  becomes a symbolic link. Devices and pipes are refused.
- `/lc/job`, where it is a script, begins with a line that the kernel reads: no byte order mark, no carriage return.
- `.wh.NAME` removes NAME of the layers below, and is left out where they have no such thing; `.wh..wh..opq` empties its folder of
  what lies below. Other names that begin with `.wh.` are refused, since storage drivers keep their own notes under them.
- Where engines and their runtimes mount, what all layers together show is a folder or nothing. The lists of users and groups, which
  a runtime reads as root before the job starts and under no limit of time, are small files or nothing.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from learningchain.sandbox import tarwriter
from learningchain.sandbox.errors import BadImage
from learningchain.sandbox.spec import MIB, ImageLimits
from learningchain.sandbox.targuard import BLOCK, CHUNK, FILE, FOLDER, HARD_LINK, SYMBOLIC_LINK, TarMember, TarStream, TarWalk

WHITEOUT, OPAQUE = b"w", b"o"
PATH_CAP, DEPTH_CAP, COMPONENT_CAP = 2048, 200, 255
LINK_CAP = 4000
"""Bytes of a symbolic link's target: below what file systems keep."""
NAMES_CAP = 64 * MIB
"""Bytes of all paths and link targets of one image: they are held in memory while it is scanned."""
_HEADERS = 4
"""Blocks of headers and padding that an entry is worth on average: beside its own, an extended one of two blocks."""
_END_CAP = 16 * MIB
_PACKED_CHUNK = 16 * 1024
_FOLDERS = ("dev", "etc", "lc", "lc/in", "lc/out", "proc", "sys", "tmp")
_USERS = ("etc/group", "etc/passwd")
USERS_CAP = 64 * 1024
"""Bytes of each of the lists of users and groups."""
_MOUNTED_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_NO_FILE = -1
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_TMP = "tmp"
_PROGRAM = "lc/job"
_MARK = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
_FIRST_LINE = 256
"""Bytes that the kernel reads of a script."""
_PACKINGS = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
"""Of layers that some engines take, by how they begin."""
REPACKED = "Write it anew: skopeo copy docker-archive:FILE docker-archive:image.tar"


class LayerEntry(msgspec.Struct, frozen=True):
    """One entry of a layer as it is written. `kind`: FILE, FOLDER, SYMBOLIC_LINK, HARD_LINK, or WHITEOUT and OPAQUE, whose path is
    what they remove and what they empty."""

    path: str
    kind: bytes
    size: int = 0
    mode: int = 0o755
    mtime: int = 0
    link: str = ""

    def header(self) -> bytes:
        name, kind = self.path, self.kind
        if kind == WHITEOUT:
            folder, _, base = name.rpartition("/")
            name, kind = f"{folder}/{_WHITEOUT}{base}".lstrip("/"), FILE
        elif kind == OPAQUE:
            name, kind = f"{name}/{_OPAQUE}", FILE
        return tarwriter.header(name, kind, size=self.size, link=self.link, mode=self.mode, mtime=self.mtime)


Seen = Callable[[LayerEntry], None]
Placed = dict[str, LayerEntry]
"""What a layer brought so far, by path; an OPAQUE entry stands under its path and a slash."""


class Budget:
    """What all layers of an image together may still use. Raises BadImage where it is spent."""

    def __init__(self, limits: ImageLimits) -> None:
        self.limits = limits
        self.bytes_left = limits.unpacked_bytes
        self.files_left = limits.files
        self.names_left = NAMES_CAP
        self.members_left = limits.files
        """Streams of gzip, one behind the other: some tools pack each file as one."""
        self.headers_left = _HEADERS * BLOCK * (limits.files + limits.layers) + MIB
        """Bytes of what is no content: one stream may be named as many layers, and packs a thousandfold."""

    @property
    def spent(self) -> int:
        """Bytes of contents so far."""
        return self.limits.unpacked_bytes - self.bytes_left

    @property
    def files(self) -> int:
        return self.limits.files - self.files_left

    @property
    def stream_bytes(self) -> int:
        """How long the next layer's tar may be."""
        return self.bytes_left + self.headers_left

    def spend(self, entry: LayerEntry) -> None:
        self.bytes_left -= entry.size
        self.files_left -= 1
        self.names_left -= len(entry.path.encode()) + len(entry.link.encode())
        if self.bytes_left < 0:
            raise BadImage(f"the image unpacks to more than {self.limits.unpacked_bytes} bytes")
        if self.files_left < 0:
            raise BadImage(f"the image has more than {self.limits.files} files")
        if self.names_left < 0:
            raise BadImage(f"the names in the image have more than {NAMES_CAP} bytes")


Tree = dict[str, Any]
"""What the layers so far show: a folder is a Tree, a file its size, a symbolic link _NO_FILE."""


class Layers:
    """The layers of one image, bottom first. `rewritten` must be read to its end before it is called for the next layer."""

    def __init__(self, limits: ImageLimits, seen: Seen | None = None) -> None:
        self.budget = Budget(limits)
        self._seen = seen
        self._below: Tree = {}
        self._program = b""
        """How the file at _PROGRAM begins, where it is one."""

    def rewritten(self, packed: TarStream, digest: str, *, last: bool) -> Iterator[bytes]:
        """The layer anew, in pieces. `digest` is what the unpacked original must have; empty where nobody named one. `last`: it
        is the top one.

        Raises BadImage, BadTar.
        """
        budget = self.budget
        hashed = _Hashed(unpacked(packed, budget))
        placed: Placed = {}
        walk = TarWalk(hashed, max_bytes=budget.stream_bytes, max_members=budget.files_left + 1, max_headers=budget.headers_left)
        for member in walk:
            for entry in self._understood(member, placed):
                yield self._placed(entry, placed)
                if entry.path == _PROGRAM:
                    self._program = b""
                if entry.kind == FILE:
                    for piece in walk.content():
                        if entry.path == _PROGRAM:
                            self._program += piece[: _FIRST_LINE - len(self._program)]
                        yield piece
                    yield tarwriter.padding(entry.size)
        if last and _TMP not in placed and self._look(_TMP) is None:
            yield self._placed(_folder(_TMP), placed)
        yield tarwriter.END
        hashed.finish(digest)
        budget.headers_left -= walk.headers
        self._lay(placed)

    def _placed(self, entry: LayerEntry, placed: Placed) -> bytes:
        """Counts and notes an entry; its header."""
        self.budget.spend(entry)
        placed[entry.path + ("/" if entry.kind == OPAQUE else "")] = entry
        if self._seen is not None:
            self._seen(entry)
        return entry.header()

    def _understood(self, member: TarMember, placed: Placed) -> Iterator[LayerEntry]:
        """The entries that a member stands for: itself and its missing parents, or none."""
        parts = split(member.name.lstrip("/"))
        if not parts:
            if member.kind != FOLDER:
                raise BadImage("the image's root is no folder")
            return  # the engine makes it
        entry = _plain(member, parts, placed)
        if entry.kind == WHITEOUT and self._look(entry.path) is None:
            return
        there = placed.get(entry.path)
        if there is not None and there.kind == entry.kind == FOLDER and there.mode == entry.mode:
            return
        if there is not None and entry.kind != OPAQUE:
            raise BadImage(f"a layer holds {entry.path[:80]!r} twice")
        yield from _parents(parts[:-1], placed)
        if entry.kind == OPAQUE and f"{entry.path}/" in placed:
            raise BadImage(f"a layer empties {entry.path[:80]!r} twice")
        yield entry

    def finish(self) -> None:
        """Checks the places of the whole image that engines and runtimes use themselves. Raises BadImage."""
        line = self._program.removeprefix(_MARK).partition(b"\n")[0]
        if line.startswith(b"#!") and (line.endswith(b"\r") or self._program.startswith(_MARK)):
            what = "a byte order mark" if self._program.startswith(_MARK) else "the line ends of Windows"
            raise BadImage(
                f"the image's /lc/job was saved with {what}, so no kernel finds its interpreter",
                r"Before it is built: sed -i 's/^\xef\xbb\xbf//; s/\r$//' job",
            )
        for path in _FOLDERS:
            if not isinstance(self._look(path), dict | None):
                raise BadImage(f"the image's {path!r} is no folder")
        for path in _USERS:
            size = self._look(path)
            if size is not None and (isinstance(size, dict) or not 0 <= size <= USERS_CAP):
                raise BadImage(f"the image's {path!r} is no file of at most {USERS_CAP} bytes")
        for path in _MOUNTED_FILES:
            if isinstance(self._look(path), dict):
                raise BadImage(f"the image's {path!r} is a folder")

    def _look(self, path: str) -> Any:
        """What the layers show at a path: a Tree, a file's size, _NO_FILE, or None for nothing."""
        here: Any = self._below
        for part in path.split("/"):
            here = here.get(part) if isinstance(here, dict) else None
        return here

    def _lay(self, placed: Placed) -> None:
        """Lays a layer over those below it: first what it removes, then what it brings."""
        for entry in placed.values():
            if entry.kind == WHITEOUT:
                folder, _, base = entry.path.rpartition("/")
                self._folder(folder).pop(base, None)
            elif entry.kind == OPAQUE:
                self._folder(entry.path).clear()
        for entry in placed.values():
            if entry.kind == FOLDER:
                self._folder(entry.path)
            elif entry.kind not in (WHITEOUT, OPAQUE):
                folder, _, base = entry.path.rpartition("/")
                file = entry
                while file.kind == HARD_LINK:  # each to an earlier one
                    file = placed[file.link]
                self._folder(folder)[base] = file.size if file.kind == FILE else _NO_FILE

    def _folder(self, path: str) -> Tree:
        here = self._below
        for part in path.split("/") if path else ():
            below = here.get(part)
            if not isinstance(below, dict):
                below = here[part] = {}
            here = below
        return here


def split(name: str) -> list[str]:
    """The components of a path within an archive. Raises BadImage where it leads out, or is longer than engines take."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise BadImage(f"the archive holds a path that leads out of it, {name[:80]!r}")
    if len(name.encode()) > PATH_CAP or len(parts) > DEPTH_CAP or any(len(part.encode()) > COMPONENT_CAP for part in parts):
        raise BadImage(f"the archive holds a path that is too long, {name[:80]!r}")
    return parts


def _plain(member: TarMember, parts: list[str], placed: Placed) -> LayerEntry:
    """The entry of a member, without what is left out of it. Raises BadImage."""
    path, base = "/".join(parts), parts[-1]
    if any(part.startswith(_WHITEOUT) for part in parts[:-1]):
        raise BadImage(f"a layer holds a name that storage drivers use themselves, {path[:80]!r}")
    if base.startswith(_WHITEOUT):
        return _removal(member, parts)
    mtime = min(max(member.mtime, 0), tarwriter.TIME_CAP)
    if member.kind == FILE:
        return LayerEntry(path, FILE, member.size, member.mode & 0o777, mtime)
    if member.kind == FOLDER:
        return _folder(path, member.mode & 0o1777, mtime)
    if member.kind == SYMBOLIC_LINK:
        if not member.link or "\0" in member.link or len(member.link.encode()) > LINK_CAP:
            raise BadImage(f"the image holds a link with an empty or oversized target, {path[:80]!r}")
        return LayerEntry(path, SYMBOLIC_LINK, 0, 0o777, mtime, member.link)
    if member.kind == HARD_LINK:
        target = placed.get("/".join(split(member.link.lstrip("/"))))
        if target is not None and target.kind == SYMBOLIC_LINK:
            return msgspec.structs.replace(target, path=path)
        if target is None or target.kind not in (FILE, HARD_LINK):
            raise BadImage(f"the image holds a hard link to what is no earlier file of its layer, {path[:80]!r}")
        # A link to a link names the file itself: no reader has to follow a chain.
        file = target.link if target.kind == HARD_LINK else target.path
        return LayerEntry(path, HARD_LINK, 0, target.mode, target.mtime, file)
    raise BadImage(f"the image holds a device or pipe, {path[:80]!r}")


def _folder(path: str, mode: int = 0o755, mtime: int = 0) -> LayerEntry:
    return LayerEntry(path, FOLDER, 0, 0o1777 if path == _TMP else mode, mtime)


def _removal(member: TarMember, parts: list[str]) -> LayerEntry:
    folder, base = "/".join(parts[:-1]), parts[-1]
    if member.kind != FILE or member.size:
        raise BadImage(f"the image removes {base[:80]!r} by what is no empty file")
    if base == _OPAQUE and folder:
        return LayerEntry(folder, OPAQUE, 0, 0o644)
    gone = base.removeprefix(_WHITEOUT)
    if gone in ("", ".", "..") or gone.startswith(_WHITEOUT):
        raise BadImage(f"a layer holds a name that storage drivers use themselves, {base[:80]!r}")
    return LayerEntry("/".join((*parts[:-1], gone)), WHITEOUT, 0, 0o644)


def _parents(parts: list[str], placed: Placed) -> Iterator[LayerEntry]:
    """The folders above an entry that the layer did not name: engines would make them, each in its own way."""
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        there = placed.get(path)
        if there is None:
            yield _folder(path)
        elif there.kind != FOLDER:
            raise BadImage(f"the image holds a path that leads through what is no folder, {path[:80]!r}")


def unpacked(packed: TarStream, budget: Budget) -> TarStream:
    """The layer's tar, whether it is packed by gzip or not. Raises BadImage where it is packed otherwise."""
    head = _Head(packed)
    begins = head.peek(6)
    for magic, name in _PACKINGS.items():
        if begins.startswith(magic):
            raise BadImage(f"a layer is packed by {name}; nodes take layers as they are, or packed by gzip", REPACKED)
    return _Gunzip(head, budget) if begins.startswith(GZIP) else head


class _Head:
    """A source whose first bytes can be looked at."""

    def __init__(self, source: TarStream) -> None:
        self._source = source
        self._ahead = b""

    def peek(self, count: int) -> bytes:
        while len(self._ahead) < count and (piece := self._source.read(count - len(self._ahead))):
            self._ahead += piece
        return self._ahead

    def read(self, size: int, /) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._source.read(size)


class _Hashed:
    def __init__(self, source: TarStream) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        return data

    def finish(self, digest: str) -> None:
        """What follows the end of the archive is zeros, and the whole has this digest, if any. Raises BadImage."""
        rest = 0
        while data := self.read(CHUNK):
            rest += len(data)
            if rest > _END_CAP or data.strip(b"\0"):
                raise BadImage("a layer goes on after its end")
        if digest and f"sha256:{self._digest.hexdigest()}" != digest:
            raise BadImage("a layer does not match its digest in the image's configuration")


class _Gunzip:
    """Unpacks gzip in bounded pieces: a bomb costs no memory, and its bytes are counted by whoever reads them.

    Packed bytes are taken a few at a time and unpacked ones many: zlib copies what it did not need at every call, which would
    make many small reads of a bomb cost far more than its bytes.
    One stream may follow the other: what they hold is one text, for every reader of gzip (RFC 1952).
    """

    def __init__(self, source: TarStream, budget: Budget) -> None:
        self._source, self._budget = source, budget
        self._begin(b"")
        self._ready = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        if not self._ready:
            self._ready = memoryview(self._more())
        data, self._ready = bytes(self._ready[:size]), self._ready[size:]
        return data

    def _begin(self, ahead: bytes) -> None:
        """`ahead`: what was read of the stream."""
        self._budget.members_left -= 1
        if self._budget.members_left < 0:
            raise BadImage(f"the image's layers are packed in more than {self._budget.limits.files} streams")
        self._unpack, self._ahead = zlib.decompressobj(wbits=31), ahead

    def _more(self) -> bytes:
        while True:
            if self._unpack.eof:
                rest = self._unpack.unused_data or self._source.read(_PACKED_CHUNK)
                if not rest:
                    return b""
                while len(rest) < len(GZIP) and (more := self._source.read(_PACKED_CHUNK)):
                    rest += more
                if not rest.startswith(GZIP):
                    raise BadImage("a packed layer goes on after its end")
                self._begin(rest)
            packed = self._unpack.unconsumed_tail or self._ahead or self._source.read(_PACKED_CHUNK)
            self._ahead = b""
            try:
                data = self._unpack.decompress(packed, CHUNK)
            except zlib.error as problem:
                raise BadImage(f"a packed layer is damaged: {problem}") from None
            if data:
                return data
            if not packed and not self._unpack.eof:
                raise BadImage("a packed layer ends too early")
