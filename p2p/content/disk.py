"""Small disk operations of the store: its lock, its file names, its syncs. Only `store` uses it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from learningchain.chain.errors import Malformed
from learningchain.chain.storage import private
from learningchain.p2p.content.cid import Cid, parse
from learningchain.p2p.content.dag import Builder, chunks
from learningchain.p2p.content.faults import StoreError

FULL = {errno.ENOSPC, errno.EDQUOT}
"""No space left, or the user's quota on that disk is used up."""


def own(folder: Path) -> int:
    """The lock of the one process that may use the folder; the kernel releases it when the process ends, however it ends."""
    fd = private.open_or_create(folder / "lock")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreError(f"another process uses the content store {folder}: stop it, or configure another data folder") from None
    return fd


def named(path: Path) -> Cid | None:
    try:
        return parse(path.name)
    except Malformed:
        return None


def allocate(fd: int, size: int) -> None:
    """Claim the space now, so that a full disk shows before the download; sparse where the file system cannot claim."""
    try:
        if size:
            os.posix_fallocate(fd, 0, size)
    except OSError as e:
        if e.errno in FULL:
            raise
        os.ftruncate(fd, size)


def scan(path: Path) -> tuple[Cid, int, list[tuple[Cid, bytes]]]:
    """The name, size and nodes that a file's bytes have now."""
    nodes: list[tuple[Cid, bytes]] = []
    builder = Builder(lambda cid, block: nodes.append((cid, block)))
    with private.reading(path) as file:
        for chunk in chunks(file):
            builder.feed(chunk)
    return builder.finish(), builder.size, nodes
