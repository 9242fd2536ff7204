"""The desk of the tasks on a disk: files are read where they lie, and what is made gets the name that the store gives it."""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from learningchain.chain.storage import private
from learningchain.client.contracts.federation.arithmetic.tensors import Buffer
from learningchain.client.contracts.federation.roles import computing
from learningchain.client.contracts.federation.roles.task_files import CannotCompute
from learningchain.client.contracts.federation.small_tasks import SmallTask
from learningchain.client.contracts.federation.tasks import FederationTask, MadeFile
from learningchain.client.work.computing import TaskRefused
from learningchain.p2p.content.dag import CHUNK, Builder


class DiskDesk:
    """`folder`: where what is made lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: Path) -> Buffer:
        with private.reading(path) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""

    def lay(self, pieces: Iterable[bytes]) -> Buffer:
        """In a file without a name, mapped: it goes when nobody looks at it any more, also with a killed process."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b""

    def write(self, pieces: Iterable[bytes]) -> MadeFile:
        """On the disk, under its name and a number of its own, when this returns: equal contents, as the parts of two federations
        may be, are two files. Raises OSError."""
        builder = Builder(lambda _cid, _block: None)
        part = self._folder / f"{secrets.token_hex(8)}.part"
        try:
            with private.writing(part) as file:
                for chunk in _chunks(pieces):
                    builder.feed(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            size = builder.size
            cid = builder.finish().to_bytes()
            path = self._folder / f"{cid.hex()}-{secrets.token_hex(8)}"
            os.replace(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
        private.sync_folder(self._folder)
        return MadeFile(path, cid, size)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of `CHUNK`, the last one shorter."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)


def perform_in(task: FederationTask | SmallTask, folder: Path) -> Any:
    """What the task's docstring says. Raises TaskRefused, OSError."""
    try:
        return computing.perform(task, DiskDesk(folder), secrets.token_bytes)
    except CannotCompute as why:
        raise TaskRefused(str(why)) from None
