"""A small SQLite file in which a node keeps what it must not forget: what is written is on the disk when the call returns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from learningchain.chain.storage import private

F = TypeVar("F", bound="KeptFile")


class KeptFile:
    """Safe to use from several threads. Calls block. Raises `sqlite3.Error` and `OSError` where the disk fails."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        private.claim_database(path)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        except BaseException:
            self._db.close()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and on the disk when it returns."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._db.close()


class KeptFiles:
    """The files of one folder, each opened when it is first asked for. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._open: dict[str, KeptFile] = {}

    def opened(self, name: str, make: type[F]) -> F:
        """Blocks. Raises as `KeptFile` does."""
        with self._lock:
            if name not in self._open:
                self._open[name] = cast(Any, make)(self._folder / name)
            return cast(F, self._open[name])

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
