"""Downloads on disk: pieces written in place into a file of full length, resumable after a kill at any instruction.

What a partial file holds is not recorded but found out: a resume hashes every piece whose name is known and keeps those that fit.
So no bookkeeping can disagree with the disk (LC-CONTENT-6). Used by `service`, from one writer thread; the hash of every block that
comes in here was checked by `exchange`.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from learningchain.p2p.content.cid import Cid, names
from learningchain.p2p.content.store import ContentStore


class Found(NamedTuple):
    """What the disk has of a content: all of it, or checked nodes (parents first) and checked leaves."""

    complete: bool
    size: int
    nodes: tuple[tuple[Cid, bytes], ...]
    leaves: frozenset[Cid]


class Downloads:
    """The open partial files of one store."""

    def __init__(self, store: ContentStore) -> None:
        self.store = store
        self._open: dict[Cid, int] = {}

    def resume(self, root: Cid) -> Found:
        """Open a download and hash what an earlier one left. Every `resume`, also a failed one, needs its `release`."""
        row = self.store.hold(root)
        try:
            if row is None:
                return Found(False, 0, (), frozenset())
            if row.complete:
                return Found(True, row.size, (), frozenset())
            tree = self.store.rebuild(root)
            fd = self._file(root, row.size)
            good = set()
            for leaf, offsets in tree.leaves.items():
                if all(names(leaf, os.pread(fd, tree.leaf_size(offset), offset)) for offset in offsets):
                    good.add(leaf)
            return Found(False, row.size, tuple(tree.nodes.items()), frozenset(good))
        except OSError as e:
            raise self.store.disk_fault(e) from None

    def put_node(self, root: Cid, cid: Cid, block: bytes, size: int) -> None:
        """Keep a node; the root's first makes room for the whole file. Raises `StoreFull`, `StoreError`."""
        if self.store.has(root):
            return
        try:
            self._file(root, size)
        except OSError as e:
            raise self.store.disk_fault(e) from None
        self.store.note_node(root, cid, block)

    def put_leaf(self, root: Cid, data: bytes, offsets: tuple[int, ...], size: int) -> None:
        """Write a piece to all its places. Raises `StoreFull`, `StoreError`."""
        if self.store.has(root):
            return
        try:
            fd = self._file(root, size)
            for offset in offsets:
                _write(fd, data, offset)
        except OSError as e:
            raise self.store.disk_fault(e) from None

    def complete(self, root: Cid) -> None:
        """All pieces are written: make them durable, then a content."""
        if self.store.has(root):
            return
        try:
            os.fsync(self._open[root])
            self.store.finish(root)
        except OSError as e:
            raise self.store.disk_fault(e) from None

    def release(self, root: Cid) -> None:
        """Close a download; what it has stays for the next one."""
        fd = self._open.pop(root, None)
        if fd is not None:
            os.close(fd)
        self.store.drop(root)

    def close(self) -> None:
        """Close every open download."""
        for root in list(self._open):
            self.release(root)

    def _file(self, root: Cid, size: int) -> int:
        fd = self._open.get(root)
        if fd is None:
            fd = self._open[root] = self.store.begin(root, size)
        return fd


def _write(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
