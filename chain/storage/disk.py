"""The few file operations under the log and the guard, so that tests can put a disk beneath them that tears, loses and lies.

`SECTOR` is the assumption about power cuts that everything here rests on: a write that a cut interrupts may leave any bytes in the
sectors it touches, and changes no other sector. So nothing is ever written into a sector that holds synced bytes still needed.
"""

from __future__ import annotations

import os
from typing import Protocol

from learningchain.chain.storage import private

SECTOR = 4096
_CHUNK = 1 << 20


def align(offset: int) -> int:
    """The next start of a sector."""
    return -(-offset // SECTOR) * SECTOR


class File(Protocol):
    """An open file. Every method may raise OSError."""

    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the file's end."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`. Not durable before `sync`."""
        ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None:
        """Returns when every earlier write and the file's size are durable."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """A file system. Every method may raise OSError."""

    def exists(self, path: str) -> bool: ...

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; `create` makes it anew and empty."""
        ...

    def rename(self, source: str, target: str) -> None: ...

    def sync_folder(self, path: str) -> None:
        """Returns when the names in the folder of `path` are durable."""
        ...


class OsFile:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        parts = []
        while length > 0:
            part = os.pread(self._fd, length, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            offset += done
            view = view[done:]

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


class OsDisk:
    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def open(self, path: str, *, create: bool = False) -> File:
        return OsFile(private.create(path) if create else private.open_file(path, write=True))

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def sync_folder(self, path: str) -> None:
        private.sync_folder(os.path.dirname(os.path.abspath(path)))


def fill_zeros(file: File, start: int, end: int) -> None:
    """Write zeros, so that later syncs need no new blocks from the file system (0.09 ms instead of 0.15)."""
    zeros = bytes(min(_CHUNK, max(end - start, 0)))
    for offset in range(start, end, _CHUNK):
        file.write(offset, zeros[: min(_CHUNK, end - offset)])
