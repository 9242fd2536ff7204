"""A disk for tests that loses what was not synced, tears writes, and is cut off at a chosen operation.

`SimDisk` is the machine's disk; `cut_at=n` makes its n-th operation (write, truncate, sync, rename, folder sync) raise `PowerCut`,
half done. `after_cut(rng)` is the disk that the machine finds when it comes up again: synced bytes are there, every sector touched
since may hold the old bytes, any of the new ones, or junk; names that were not synced may be either. With `kill` instead of a cut
the process dies and the system lives on: everything written is there.

Beyond what a disk promises: `misdirect` sends the next write to another place of its file, `flip` changes stored bits, and
`sync_fails`, `free` let it refuse. `tally` counts what was done to the data.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from learningchain.chain.storage.disk import SECTOR, Disk, File, OsDisk, OsFile, align


class PowerCut(BaseException):
    """No product code may catch this."""


@dataclass
class Node:
    durable: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    """Since the last sync, in order."""
    sizes: list[int] = field(default_factory=list)

    def put(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data
        self.writes.append((offset, data))

    def versions(self) -> dict[int, list[bytes]]:
        """Per sector touched since the last sync: every content it had, in order of the sectors' first write."""
        size = max([len(self.durable), *(offset + len(data) for offset, data in self.writes)])
        content = self.durable.ljust(align(size), b"\0")
        found: dict[int, list[bytes]] = {}
        for offset, data in self.writes:
            content[offset : offset + len(data)] = data
            for number in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)):
                found.setdefault(number, []).append(bytes(content[number * SECTOR : (number + 1) * SECTOR]))
        return found

    def sync(self) -> None:
        if self.sizes:
            self.durable = bytearray(self.content)
        else:
            for offset, data in self.writes:
                self.durable[offset : offset + len(data)] = data
        self.writes.clear()
        self.sizes.clear()

    def copy(self) -> Node:
        return Node(bytearray(self.durable), bytearray(self.content), list(self.writes), list(self.sizes))

    def flip(self, bit: int) -> None:
        """A stored bit is another one from now on."""
        for content in (self.durable, self.content):
            if bit // 8 < len(content):
                content[bit // 8] ^= 1 << bit % 8

    def cut(self, rng: random.Random, tally: Counter[str]) -> Node:
        size = rng.choice([len(self.durable), len(self.content), *self.sizes])
        new = bytearray(self.durable.ljust(size, b"\0")[:size])
        for number, versions in self.versions().items():
            old = bytes(self.durable[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")
            sector = _surviving(rng, old, versions, tally)
            new[number * SECTOR : (number + 1) * SECTOR] = sector[: max(0, size - number * SECTOR)]
        return Node(new[:size], bytearray(new[:size]))


def _surviving(rng: random.Random, old: bytes, versions: list[bytes], tally: Counter[str]) -> bytes:
    fate = rng.random()
    if fate < 0.3:
        tally["write lost"] += 1
        return old
    if fate < 0.7:
        return rng.choice(versions)
    tally["write torn"] += 1
    at = rng.randrange(SECTOR)
    if fate < 0.9:
        return rng.choice(versions)[:at] + old[at:]
    return old[:at] + rng.randbytes(SECTOR - at)


class SimFile:
    def __init__(self, disk: SimDisk, node: Node) -> None:
        self._disk, self._node = disk, node

    def size(self) -> int:
        return len(self._node.content)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._node.content[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        n = self._node
        if self._disk.misdirect and len(data) < len(n.content) - SECTOR:
            offset = self._disk.elsewhere(offset, len(data), len(n.content))
        done = data
        cut = self._disk.step("write")
        if cut:
            done = data[: self._disk.rng.randrange(len(data) + 1)]
        if offset + len(done) > len(n.content):
            if self._disk.free is not None:
                self._disk.free -= offset + len(done) - len(n.content)
                if self._disk.free < 0:
                    self._disk.tally["disk full"] += 1
                    raise OSError(errno.ENOSPC, "No space left on device")
            n.sizes.append(offset + len(done))
            n.content.extend(bytes(offset + len(done) - len(n.content)))
        n.put(offset, bytes(done))
        if cut:
            raise PowerCut

    def truncate(self, size: int) -> None:
        if self._disk.step("truncate"):
            raise PowerCut
        n = self._node
        before = len(n.content)
        del n.content[size:]
        n.content.extend(bytes(size - len(n.content)))
        if size > before:
            n.put(before, bytes(size - before))
        n.sizes.append(size)

    def sync(self) -> None:
        cut = self._disk.step("sync")
        if cut and self._disk.rng.random() < 0.5:
            raise PowerCut
        if self._disk.sync_fails:
            self._disk.tally["sync failed"] += 1
            raise OSError(errno.EIO, "Input/output error")
        self._node.sync()
        if cut:
            raise PowerCut

    def close(self) -> None:
        pass


class SimDisk:
    def __init__(self, seed: int = 0, *, cut_at: int | None = None, tally: Counter[str] | None = None) -> None:
        self.rng = random.Random(seed)
        self.tally = Counter[str]() if tally is None else tally
        self.cut_at = cut_at
        self.steps = 0
        self.sync_fails = False
        self.misdirect = False
        """The next write lands elsewhere in its file."""
        self.free: int | None = None
        self.names: dict[str, Node] = {}
        self.durable_names: dict[str, Node] = {}

    def step(self, _what: str) -> bool:
        """Count an operation; True when the power goes during this one."""
        self.steps += 1
        return self.cut_at is not None and self.steps >= self.cut_at

    def elsewhere(self, offset: int, length: int, size: int) -> int:
        """Where a misdirected write goes: another sector."""
        self.misdirect = False
        self.tally["write misdirected"] += 1
        places = [at for at in range(offset % SECTOR, size - length, SECTOR) if at != offset]
        return self.rng.choice(places) if places else offset

    def exists(self, path: str) -> bool:
        return path in self.names

    def open(self, path: str, *, create: bool = False) -> SimFile:
        if create:
            self.names[path] = Node()
        if path not in self.names:
            raise OSError(errno.ENOENT, "No such file or directory")
        return SimFile(self, self.names[path])

    def rename(self, source: str, target: str) -> None:
        cut = self.step("rename")
        self.names[target] = self.names.pop(source)
        if cut:
            raise PowerCut

    def sync_folder(self, _path: str) -> None:
        cut = self.step("sync_folder")
        if not cut or self.rng.random() < 0.5:
            self.durable_names = dict(self.names)
        if cut:
            raise PowerCut

    def after_cut(self, rng: random.Random, *, kill: bool = False) -> SimDisk:
        """The disk after a power cut, or after a mere `kill` of the process."""
        new = SimDisk(rng.randrange(2**32), tally=self.tally)
        names = self.names if kill or rng.random() < 0.5 else self.durable_names
        for name, node in names.items():
            new.names[name] = node.copy() if kill else node.cut(rng, self.tally)
        new.durable_names = dict(new.names)
        return new


class CrampedFile(OsFile):
    def __init__(self, fd: int, limit: int) -> None:
        super().__init__(fd)
        self._limit = limit

    def write(self, offset: int, data: bytes) -> None:
        if offset + len(data) > self._limit:
            super().write(offset, data[: max(0, self._limit - offset)])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(offset, data)


class CrampedDisk(OsDisk):
    """A real disk on which no file grows beyond `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def open(self, path: str, *, create: bool = False) -> File:
        file = super().open(path, create=create)
        file.close()
        return CrampedFile(os.open(path, os.O_RDWR), self.limit)


@contextmanager
def small_file_system(folder: Path, size: int) -> Iterator[Disk]:
    """`folder` with only `size` bytes: a tmpfs where this process may mount one, files that cannot grow where it may not."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        print(f"no tmpfs ({mounted.stderr.strip()}): the full disk is an injected OSError")
        yield CrampedDisk(size)
        return
    try:
        yield OsDisk()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
