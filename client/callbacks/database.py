"""Targets and rows of callbacks: one small SQLite file. Calls block: give them a thread.

A target is a reference with its URL and secret. A row is one event of it: (reference, event) is there once, with the body that
every attempt sends. Rows and the height up to which blocks were read change in one transaction, synced: see `client.callbacks`.
The file belongs to one identity on one network.

    target: OPEN -- an event after which nothing comes, all told --> ENDED (its secret goes)
            OPEN -- 410, or nobody spoke of it for 60 days --> GONE
            OPEN -- the token that asked for it was revoked or has expired --> REVOKED (its secret goes)
    row:    WAITING --> DELIVERED | GIVEN_UP (which a user may try again)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from learningchain.client.kept import KeptFile

VERSION: Final = 2
MAX_TARGETS: Final = 10_000
"""That are kept, in all."""
MAX_OPEN: Final = 1_000
"""That are open, of one requester: a token, or the node's owner."""
MAX_ROWS: Final = 16
"""Of one target."""
MAX_BODY: Final = 65_536
KEEP_MS: Final = 30 * 24 * 3_600_000
"""Wall clock: how long a target that ended is shown."""
SILENT_MS: Final = 400 * 24 * 3_600_000
"""Wall clock: how long a target waits for its first event, or its next one. Longer than votes may let anything be open."""
_SCHEMA = (
    "CREATE TABLE meta (version INTEGER NOT NULL, chain BLOB NOT NULL, identity BLOB NOT NULL, height INTEGER NOT NULL)",
    """CREATE TABLE targets (ref BLOB PRIMARY KEY, source TEXT NOT NULL, url TEXT NOT NULL, secret BLOB NOT NULL,
    owner TEXT NOT NULL, created INTEGER NOT NULL, state INTEGER NOT NULL, last INTEGER NOT NULL, changed INTEGER NOT NULL,
    height INTEGER NOT NULL DEFAULT 0, known INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    "CREATE INDEX targets_by_state ON targets (state, changed)",
    """CREATE TABLE rows (ref BLOB NOT NULL, event TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
    created INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, status INTEGER NOT NULL,
    note TEXT NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (ref, event)) WITHOUT ROWID""",
)
_SINCE_1 = (
    "ALTER TABLE targets ADD COLUMN height INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE targets ADD COLUMN known INTEGER NOT NULL DEFAULT 0",
    "UPDATE meta SET version = 2",
)
"""What a file of version 1 lacks."""
_TARGET = "SELECT ref, source, url, secret, owner, created, state, last, changed, height, known FROM targets"
_ROW = "SELECT ref, event, number, body, created, state, attempts, due, status, note, changed FROM rows"


class CallbackDatabaseError(Exception):
    """The database of callbacks cannot be used; the text says why and what to do."""


class TooManyTargets(Exception):
    """A bound on targets is reached. The text says which and what to do."""


class TargetState(IntEnum):
    OPEN = 0
    ENDED = 1
    GONE = 2
    REVOKED = 3


class RowState(IntEnum):
    WAITING = 0
    DELIVERED = 1
    GIVEN_UP = 2


@dataclass(frozen=True)
class CallbackTarget:
    """`source`: the slice that knows the reference. `owner`: the token that asked for it, empty for the node's owner. `last`: what
    comes after which nothing does has been noted. `height`: the newest block when it was made. `known`: what it is about stood on
    the ledger by then, or its message left this node with it. Times: wall clock, milliseconds."""

    ref: bytes
    source: str
    url: str
    secret: bytes
    owner: str
    created: int
    state: TargetState = TargetState.OPEN
    last: bool = False
    changed: int = 0
    height: int = 0
    known: bool = False


@dataclass(frozen=True)
class CallbackRow:
    """`number`: its place among those of its reference. `due`: when it may be tried. `status`, `note`: of the last attempt, 0 where
    there was no answer."""

    ref: bytes
    event: str
    number: int
    body: bytes
    created: int
    state: RowState
    attempts: int
    due: int
    status: int
    note: str
    changed: int

    @property
    def id(self) -> str:
        """The webhook-id."""
        return f"{self.ref.hex()}:{self.event}"


@dataclass(frozen=True)
class NewRow:
    """An event to be told. `last`: nothing comes after it."""

    ref: bytes
    event: str
    body: bytes
    last: bool


class CallbackDatabase(KeptFile):
    """Safe to use from several threads. Raises `CallbackDatabaseError`, and `sqlite3.Error` where the disk fails while it is in
    use."""

    def __init__(self, path: Path, chain_id: bytes, identity: bytes) -> None:
        try:
            super().__init__(path)
            self._open(chain_id, identity)
        except (sqlite3.Error, OSError) as problem:
            raise CallbackDatabaseError(
                f"the database of callbacks {path} cannot be opened ({problem}). It holds where results are to be told: restore it "
                "from a copy, or move it away and ask for the callbacks again"
            ) from problem

    def _open(self, chain_id: bytes, identity: bytes) -> None:
        self._db.execute("PRAGMA secure_delete=ON")
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            with self._transaction() as db:
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES (?, ?, ?, 0)", (VERSION, chain_id, identity))
        version, chain, owner = self._db.execute("SELECT version, chain, identity FROM meta").fetchone()
        if (chain, owner) != (chain_id, identity):
            raise CallbackDatabaseError(
                f"the database of callbacks {self._path} belongs to another identity or network: use this node's own data folder"
            )
        if version > VERSION:
            raise CallbackDatabaseError(
                f"the database of callbacks {self._path} was written by a newer program (version {version}; this program knows up "
                f"to {VERSION}): run the newer program again"
            )
        if version < VERSION:
            with self._transaction() as db:
                for statement in _SINCE_1:
                    db.execute(statement)

    # --- targets ---------------------------------------------------------------------------------------------------------------

    def add(self, target: CallbackTarget, height: int) -> bool:
        """False where the reference has a target: the first one stays. `height`: the newest block, from which on blocks are read
        where no other target waits. Raises `TooManyTargets`."""
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM targets WHERE ref = ?", (target.ref,)).fetchone():
                return False
            self._make_room(db, target)
            if not db.execute("SELECT 1 FROM targets WHERE state = 0 LIMIT 1").fetchone():
                db.execute("UPDATE meta SET height = ?", (height,))
            values = (target.ref, target.source, target.url, target.secret, target.owner, target.created)
            more = (target.created, height, int(target.known))
            db.execute("INSERT INTO targets VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?)", (*values, *more))
            return True

    def _make_room(self, db: sqlite3.Connection, target: CallbackTarget) -> None:
        """What ended longest ago makes room; what is open does not."""
        (mine,) = db.execute("SELECT count(*) FROM targets WHERE state = 0 AND owner = ?", (target.owner,)).fetchone()
        if mine >= MAX_OPEN:
            raise TooManyTargets(
                f"{mine} callbacks wait for their end already, the most that one requester may have. Wait for some, or remove some "
                "(learningchain callback remove)"
            )
        (count,) = db.execute("SELECT count(*) FROM targets").fetchone()
        if count < MAX_TARGETS:
            return
        oldest = db.execute("SELECT ref FROM targets WHERE state != 0 ORDER BY changed LIMIT 1").fetchone()
        if oldest is None:
            raise TooManyTargets(f"{count} callbacks wait for their end, the most that a node keeps. Wait for some, or remove some")
        self._remove(db, oldest[0])

    @staticmethod
    def _remove(db: sqlite3.Connection, ref: bytes) -> None:
        db.execute("DELETE FROM rows WHERE ref = ?", (ref,))
        db.execute("DELETE FROM targets WHERE ref = ?", (ref,))

    def remove(self, ref: bytes) -> None:
        with self._transaction() as db:
            self._remove(db, ref)

    def target(self, ref: bytes) -> CallbackTarget | None:
        found = self._rows(f"{_TARGET} WHERE ref = ?", ref)
        return _target(found[0]) if found else None

    def targets(self, owner: str | None, limit: int, before: tuple[int, bytes] | None = None) -> list[CallbackTarget]:
        """The newest first; of one owner, or of all. `before`: when the last one of the page before was made, and its reference."""
        conditions: list[str] = []
        values: list[object] = []
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if before is not None:
            conditions.append("(created < ? OR (created = ? AND ref > ?))")
            values += [before[0], before[0], before[1]]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return [_target(one) for one in self._rows(f"{_TARGET}{where} ORDER BY created DESC, ref LIMIT ?", *values, limit)]

    def owners(self) -> list[str]:
        """Tokens that have something here that may be told, now or when it is tried again."""
        return [str(one) for (one,) in self._rows("SELECT DISTINCT owner FROM targets WHERE owner != '' AND secret != x''")]

    def revoke(self, owner: str, note: str, now: int) -> list[bytes]:
        """The token may ask for nothing any more: what waits is given up, and its secrets go. The references that were open."""
        with self._transaction() as db:
            mine = "SELECT ref FROM targets WHERE owner = ?"
            open_ = [bytes(ref) for (ref,) in db.execute(f"{mine} AND state = 0", (owner,))]
            waits = f"UPDATE rows SET state = 2, note = ?, changed = ? WHERE state = 0 AND ref IN ({mine})"
            db.execute(waits, (note[:300], now, owner))
            db.execute("UPDATE targets SET state = 3, changed = ? WHERE owner = ? AND state = 0", (now, owner))
            db.execute("UPDATE targets SET secret = x'' WHERE owner = ?", (owner,))
            return open_

    def open_targets(self) -> list[tuple[bytes, str]]:
        """(reference, source) of those that may hear of more."""
        return [(bytes(r), str(s)) for r, s in self._rows("SELECT ref, source FROM targets WHERE state = 0 AND last = 0")]  # type: ignore[call-overload]

    # --- rows ------------------------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """Blocks up to this one have been read."""
        return int(self._rows("SELECT height FROM meta")[0][0])  # type: ignore[call-overload,no-any-return]

    def note(self, rows: Sequence[NewRow], height: int | None, now: int) -> list[NewRow]:
        """Keep what happened, and up to which height that is all (None: it is not from blocks). Those that are new."""
        added = []
        with self._transaction() as db:
            for row in rows:
                if _add(db, row, now):
                    added.append(row)
            if height is not None:
                db.execute("UPDATE meta SET height = max(height, ?)", (height,))
        return added

    def rows(self, ref: bytes) -> list[CallbackRow]:
        return [_row(one) for one in self._rows(f"{_ROW} WHERE ref = ? ORDER BY number", ref)]

    def heads(self) -> list[tuple[bytes, str, int]]:
        """(reference, URL, due) of the oldest row that waits, of each target."""
        query = """SELECT r.ref, t.url, r.due FROM rows r JOIN targets t ON t.ref = r.ref WHERE r.state = 0 AND t.state < 2
        AND r.number = (SELECT min(number) FROM rows o WHERE o.ref = r.ref AND o.state = 0)"""
        return [(bytes(r), str(u), int(d)) for r, u, d in self._rows(query)]  # type: ignore[call-overload]

    def head(self, ref: bytes) -> tuple[CallbackTarget, CallbackRow] | None:
        """The oldest row of a reference that waits."""
        target = self.target(ref)
        found = self._rows(f"{_ROW} WHERE ref = ? AND state = 0 ORDER BY number LIMIT 1", ref)
        over = target is None or target.state in (TargetState.GONE, TargetState.REVOKED)
        return None if target is None or over or not found else (target, _row(found[0]))

    def tried(self, row: CallbackRow, state: RowState, due: int, status: int, note: str, now: int) -> None:
        """An attempt is over."""
        with self._transaction() as db:
            db.execute(
                "UPDATE rows SET state = ?, attempts = attempts + 1, due = ?, status = ?, note = ?, changed = ? "
                "WHERE ref = ? AND event = ? AND state = 0",
                (int(state), due, status, note[:300], now, row.ref, row.event),
            )
            if state is not RowState.WAITING:
                _end(db, row.ref, now)

    def gone(self, row: CallbackRow, status: int, note: str, now: int) -> None:
        """Whoever is called said that nothing more is wanted: all that waits is given up."""
        with self._transaction() as db:
            change = (
                "UPDATE rows SET state = 2, attempts = attempts + 1, status = ?, note = ?, changed = ? WHERE ref = ? AND event = ?"
            )
            db.execute(change, (status, note[:300], now, row.ref, row.event))
            db.execute("UPDATE rows SET state = 2, note = ?, changed = ? WHERE ref = ? AND state = 0", (note[:300], now, row.ref))
            db.execute("UPDATE targets SET state = 2, changed = ? WHERE ref = ? AND state != 3", (now, row.ref))

    def again(self, ref: bytes, now: int) -> int:
        """What waits or was given up is due now, and the target open again. How many rows: none where the secret is gone."""
        with self._transaction() as db:
            signs = "EXISTS (SELECT 1 FROM targets WHERE targets.ref = rows.ref AND secret != x'')"
            change = f"UPDATE rows SET state = 0, due = ?, created = ?, changed = ? WHERE ref = ? AND state != 1 AND {signs}"
            count = db.execute(change, (now, now, now, ref)).rowcount
            if count:
                db.execute("UPDATE targets SET state = 0, changed = ? WHERE ref = ?", (now, ref))
            return count

    # --- counting and forgetting -----------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Rows by state."""
        found = {RowState(state): count for state, count in self._rows("SELECT state, count(*) FROM rows GROUP BY state")}  # type: ignore[arg-type]
        return {state.name.lower(): int(found.get(state, 0)) for state in RowState}  # type: ignore[call-overload]

    def prune(self, now: int) -> None:
        """Targets that nobody speaks of are gone; those that ended long ago are forgotten."""
        with self._transaction() as db:
            silent = "UPDATE targets SET state = 2, changed = ? WHERE state = 0 AND changed < ? AND NOT EXISTS "
            waits = "(SELECT 1 FROM rows WHERE rows.ref = targets.ref AND rows.state = 0)"
            db.execute(silent + waits, (now, now - SILENT_MS))
            for (ref,) in db.execute("SELECT ref FROM targets WHERE state != 0 AND changed < ?", (now - KEEP_MS,)).fetchall():
                self._remove(db, ref)


def _add(db: sqlite3.Connection, row: NewRow, now: int) -> bool:
    if len(row.body) > MAX_BODY:
        raise ValueError(f"the body of {row.event} has {len(row.body)} bytes, at most {MAX_BODY} are kept")
    if not db.execute("SELECT 1 FROM targets WHERE ref = ? AND state = 0", (row.ref,)).fetchone():
        return False
    (count,) = db.execute("SELECT count(*) FROM rows WHERE ref = ?", (row.ref,)).fetchone()
    if count >= MAX_ROWS:
        return False
    values = (row.ref, row.event, count, row.body, now, now, now)
    insert = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, 0, 0, ?, 0, '', ?) ON CONFLICT DO NOTHING"
    if db.execute(insert, values).rowcount != 1:
        return False
    db.execute("UPDATE targets SET last = max(last, ?), changed = ? WHERE ref = ?", (int(row.last), now, row.ref))
    return True


def _end(db: sqlite3.Connection, ref: bytes, now: int) -> None:
    """Where nothing comes and nothing waits any more, the target ends. Its secret goes where all of it was told."""
    waits = "SELECT 1 FROM rows WHERE ref = ? AND state = 0 LIMIT 1"
    if db.execute(waits, (ref,)).fetchone():
        return
    db.execute("UPDATE targets SET state = 1, changed = ? WHERE ref = ? AND last = 1 AND state = 0", (now, ref))
    if not db.execute("SELECT 1 FROM rows WHERE ref = ? AND state = 2 LIMIT 1", (ref,)).fetchone():
        db.execute("UPDATE targets SET secret = x'' WHERE ref = ? AND state = 1", (ref,))


def _target(row: tuple[object, ...]) -> CallbackTarget:
    ref, source, url, secret, owner, created, state, last, changed, height, known = row
    return CallbackTarget(
        ref,  # type: ignore[arg-type]
        source,  # type: ignore[arg-type]
        url,  # type: ignore[arg-type]
        secret,  # type: ignore[arg-type]
        owner,  # type: ignore[arg-type]
        created,  # type: ignore[arg-type]
        TargetState(state),  # type: ignore[arg-type]
        bool(last),
        changed,  # type: ignore[arg-type]
        height,  # type: ignore[arg-type]
        bool(known),
    )


def _row(row: tuple[object, ...]) -> CallbackRow:
    ref, event, number, body, created, state, attempts, due, status, note, changed = row
    return CallbackRow(ref, event, number, body, created, RowState(state), attempts, due, status, note, changed)  # type: ignore[arg-type]
