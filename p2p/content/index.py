"""The store's index: which contents exist, their nodes, their pins. One SQLite file, one writer process.

Only `store` uses it. The files themselves are the truth about bytes; the index holds what cannot be seen from them. Every change is
one transaction with synchronous=FULL, so a kill or a power cut leaves the state before or after it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from learningchain.chain.storage import private
from learningchain.chain.storage.versions import other_version
from learningchain.p2p.content.cid import Cid, from_bytes
from learningchain.p2p.content.faults import IndexDamaged, StoreError, StoreFull

VERSION = 1
_SCHEMA = """
CREATE TABLE content (root BLOB PRIMARY KEY, size INTEGER NOT NULL, complete INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE node (root BLOB NOT NULL, cid BLOB NOT NULL, block BLOB NOT NULL, PRIMARY KEY (root, cid)) WITHOUT ROWID;
CREATE TABLE pin (root BLOB NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (root, reason)) WITHOUT ROWID;
"""


class Row(NamedTuple):
    root: Cid
    size: int
    complete: bool
    used: int


class Index:
    """Raises `IndexDamaged` when the file is no sound index of this version, `StoreFull` when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            private.claim_database(path)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._open()
        except sqlite3.DatabaseError as e:
            raise self._damaged(str(e)) from None

    def _open(self) -> None:
        db = self._db
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        elif version != VERSION:
            why, todo = other_version(version, VERSION)
            raise IndexDamaged(f"the content index {self._path} cannot be used: {why}. {todo}")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(str(verdict))

    def _damaged(self, why: str) -> IndexDamaged:
        return IndexDamaged(
            f"the content index {self._path} cannot be used ({why}): move it (and its -wal and -shm files) away and start again; "
            "the files are then checked and taken over, pins have to be set anew"
        )

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as e:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(e, sqlite3.DatabaseError):
                    raise self._fault(e) from None
                raise

    def _fault(self, e: sqlite3.DatabaseError) -> StoreError:
        if isinstance(e, sqlite3.OperationalError) and "full" in str(e):
            return StoreFull(f"the disk of {self._path} is full: free space on it, then try again")
        if isinstance(e, sqlite3.OperationalError):
            return StoreError(f"the content index {self._path} cannot be used now ({e}): check its disk, then try again")
        return self._damaged(str(e))

    def _query(self, sql: str, *args: bytes) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, args).fetchall()
            except sqlite3.DatabaseError as e:
                raise self._fault(e) from None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def rows(self) -> list[Row]:
        found = self._query("SELECT root, size, complete, used FROM content")
        return [Row(from_bytes(root), size, bool(complete), used) for root, size, complete, used in found]

    def pins(self) -> list[tuple[Cid, str]]:
        return [(from_bytes(root), reason) for root, reason in self._query("SELECT root, reason FROM pin")]

    def nodes(self, root: Cid) -> dict[Cid, bytes]:
        found = self._query("SELECT cid, block FROM node WHERE root=?", root.to_bytes())
        return {from_bytes(cid): bytes(block) for cid, block in found}

    def put(self, row: Row, nodes: list[tuple[Cid, bytes]]) -> None:
        """Insert or replace a content together with nodes of it."""
        root = row.root.to_bytes()
        with self._change() as db:
            db.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", (root, row.size, row.complete, row.used))
            db.executemany("INSERT OR REPLACE INTO node VALUES (?, ?, ?)", [(root, cid.to_bytes(), block) for cid, block in nodes])

    def remove(self, root: Cid) -> None:
        """Forget a content; its pins stay (they are wishes, not facts)."""
        with self._change() as db:
            db.execute("DELETE FROM node WHERE root=?", (root.to_bytes(),))
            db.execute("DELETE FROM content WHERE root=?", (root.to_bytes(),))

    def touch(self, used: list[tuple[Cid, int]]) -> None:
        with self._change() as db:
            db.executemany("UPDATE content SET used=? WHERE root=?", [(when, root.to_bytes()) for root, when in used])

    def pin(self, roots: Iterable[Cid], reason: str) -> None:
        with self._change() as db:
            db.executemany("INSERT OR IGNORE INTO pin VALUES (?, ?)", [(root.to_bytes(), reason) for root in roots])

    def unpin(self, roots: Iterable[Cid], reason: str) -> None:
        with self._change() as db:
            db.executemany("DELETE FROM pin WHERE root=? AND reason=?", [(root.to_bytes(), reason) for root in roots])
