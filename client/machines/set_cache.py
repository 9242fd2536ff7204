"""Published data sets on a machine's disk: each comes from the node once, as long as there is room for it.

    here, whole? -> else: the longest unused make room -> listing, then every file, in one stream, each hashed -> whole

A set is a folder named by its digest, with its files by their numbers, and the listing, which is written before the folder gets its
name. What was cut off is no set, and goes with the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.sandbox import DataSet, EngineError
from learningchain.sandbox.data import MAX_DATA_FILES, DataFile, measure
from learningchain.sandbox.disk import leave_room

MAX_LISTING: Final = 64 << 20
_LISTING: Final = "listing"
_NEW: Final = ".new"
Read = Callable[[int], Awaitable[bytes]]
"""So many bytes of what the node sends."""


class _Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=512)]
    size: Annotated[int, Meta(ge=0, le=1 << 40)]
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]


def listing_of(data: DataSet) -> bytes:
    return msgspec.msgpack.encode([_Row(file.name, file.size, file.sha256) for file in data.files])


def read_listing(raw: bytes, digest: bytes, folder: Path) -> DataSet:
    """The set of this digest, with its files in a folder by their numbers. Raises `Malformed`."""
    try:
        rows = msgspec.msgpack.decode(raw, type=Annotated[list[_Row], Meta(max_length=MAX_DATA_FILES)])
        found = DataSet(tuple(DataFile(row.name, folder / str(n), row.size, row.sha256) for n, row in enumerate(rows)))
    except ValueError as problem:
        raise Malformed(f"the listing of a data set is none: {problem}") from None
    if found.digest != digest:
        raise Malformed("the listing is of another data set than the order's")
    return found


class SetCache:
    """`folder` is its own; `cap`: most bytes of all together; those that runs use stay, and may be more. One task at a time."""

    def __init__(self, folder: Path, cap: int) -> None:
        self._folder, self._cap = folder, cap

    def sweep(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{_NEW}"):
            shutil.rmtree(path)

    def find(self, digest: bytes) -> DataSet | None:
        """Its files are read when they are brought to the engine, which compares each."""
        folder = self._folder / digest.hex()
        try:
            with private.reading(folder / _LISTING) as file:
                found = read_listing(file.read(MAX_LISTING), digest, folder)
            os.utime(folder)
        except FileNotFoundError:
            return None
        except (OSError, Malformed):
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return found

    def check(self, digests: Iterable[bytes]) -> None:
        """Sets of which a file is not what it says any more go: the next run fetches them anew."""
        for digest in digests:
            found = self.find(digest)
            try:
                whole = found is None or all(measure(file.name, file.path) == file for file in found.files)
            except OSError:
                whole = False
            if not whole:
                shutil.rmtree(self._folder / digest.hex(), ignore_errors=True)

    async def bring(self, digest: bytes, size: int, listing: int, read: Read, used: Collection[bytes]) -> DataSet:
        """A set of so many bytes, with a listing of so many, as the node sends it; `used` stay. Raises `Malformed`, EngineError,
        OSError."""
        if not 0 < listing <= MAX_LISTING:
            raise Malformed(f"a listing of {listing} bytes, at most {MAX_LISTING} are allowed")
        new = self._folder / f"{digest.hex()}{_NEW}"
        raw = await read(listing)
        data = await asyncio.to_thread(read_listing, raw, digest, new)
        if data.size != size:
            raise Malformed("the data set has another size than the order says")
        await asyncio.to_thread(self._make_room, size + listing, len(data.files) + 1, used)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        try:
            leave_room(new, "fetching a data set", size + listing, len(data.files) + 1)
            for file in data.files:
                await _written(file, read)
            await asyncio.to_thread(private.replace, new / _LISTING, raw)
            new.rename(self._folder / digest.hex())
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return read_listing(raw, digest, self._folder / digest.hex())

    def _make_room(self, size: int, files: int, used: Collection[bytes]) -> None:
        """Within the cap, and on a disk that has less room than that."""
        kept = {digest.hex() for digest in used}
        idle = sorted((path for path in self._folder.iterdir() if path.name not in kept), key=lambda path: path.stat().st_mtime)
        total = size + sum(_size(path) for path in self._folder.iterdir())
        for path in idle:
            if total > self._cap or not self._fits(size, files):
                total -= _size(path)
                shutil.rmtree(path, ignore_errors=True)

    def _fits(self, size: int, files: int) -> bool:
        try:
            leave_room(self._folder, "fetching a data set", size, files)
        except EngineError:
            return False
        return True


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir())
    return 0


async def _written(file: DataFile, read: Read) -> None:
    digest, left = hashlib.sha256(), file.size

    def keep(opened: Any, piece: bytes) -> None:
        opened.write(piece)
        digest.update(piece)

    with await asyncio.to_thread(private.writing, file.path) as opened:
        while left:
            piece = await read(min(left, 256 << 10))
            left -= len(piece)
            await asyncio.to_thread(keep, opened, piece)
    if digest.digest() != file.sha256:
        raise Malformed(f"the file {file.name[:80]!r} of a data set came with another content than its set says")
