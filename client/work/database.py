"""The work database: what the machines and the outbox must not forget, in one small SQLite file. Calls block: give them a thread.

It knows no contract: secrets, intents and attempts have a *kind*, which begins with the contract's name, so a new machine needs no
new table. A secret is in this file, synced, before the message that it belongs to leaves the node. Several things that belong
together are one transaction. The database belongs to one identity on one network; one of a newer program is
refused.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from learningchain.client.kept import KeptFile
from learningchain.client.work.events import Model, Secret
from learningchain.client.work.tables import BOOKS, OWNERS, RUNS, SCHEMA, VERSION

MAX_OPS_BYTES = 65_536
"""Of a message, and of a secret."""
MAX_BOOK_BYTES = 64 << 20
"""Of a machine's book."""
MAX_PENDING = 10_000
"""Intents that wait. A node has a few per ref; more would be a fault of ours."""
KEEP_MS = 60 * 24 * 3_600_000
"""How long settled intents are kept of what is over. Those of what this node holds something for stay as long as that."""
LOSS = "It holds the salts of open claims and votes"
_SECRET = "SELECT kind, key, ref, blob, path FROM secrets"
_INTENT = "SELECT kind, key, ref, op, state, tx, note FROM intents"
_OF_CONTENT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""What SQLite answers where the bytes are wrong (SQLITE_ERROR: a table is missing). All others are about the machine."""
_CHECK_FAILED = re.compile(r"error code=(\d+)")
"""In a finding of quick_check: not the page is wrong, reading it failed."""


class WorkDatabaseError(Exception):
    """The work database cannot be used; the text says why and what to do."""


class WrongContent(WorkDatabaseError):
    """What the file holds is no work database, or another node's: another try would end in the same way."""


class IntentState(IntEnum):
    PENDING = 0
    DONE = 1
    REFUSED = 2
    """The rules refused it; the note says why."""
    VOID = 3
    """It can no longer have an effect: too late, or something else stands in its place."""


@dataclass(frozen=True)
class Intent:
    """One message that this node means to have on the ledger. `tx`: the last transaction that carried it, empty for none."""

    kind: str
    key: str
    ref: bytes
    op: bytes
    state: IntentState = IntentState.PENDING
    tx: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class RunUnderWay:
    """The first run of an attempt that is not over, as `sandbox.spec.load_run` reads it. `began`: wall clock (ms). `model`: what it
    left, where it has ended."""

    kind: str
    ref: bytes
    number: int
    spec: bytes
    began: int
    model: Model | None = None

    @property
    def attempt(self) -> tuple[str, bytes, int]:
        return self.kind, self.ref, self.number


class WorkDatabase(KeptFile):
    """Safe to use from several threads. Raises WorkDatabaseError, and `sqlite3.Error` where the disk fails while it is in use."""

    def __init__(self, path: Path, chain_id: bytes, identity: bytes) -> None:
        try:
            super().__init__(path)
            try:
                self._open(chain_id, identity)
            except BaseException:
                self.close()
                raise
        except (sqlite3.Error, OSError) as problem:
            text = f"the work database {path} cannot be opened ({problem})"
            error = WrongContent if _code(problem) in _OF_CONTENT else WorkDatabaseError
            raise error(
                f"{text}. {LOSS}: restore it from a copy, or move it away and accept that they cannot be opened (stakes of open "
                f"claims are lost)"
            ) from problem

    def _open(self, chain_id: bytes, identity: bytes) -> None:
        check = str(self._db.execute("PRAGMA quick_check").fetchone()[0])
        if check != "ok":
            failed = _CHECK_FAILED.search(check)
            raise _damaged(check, int(failed[1]) if failed else sqlite3.SQLITE_CORRUPT)
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            with self._transaction() as db:
                for statement in SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES (?, ?, ?)", (VERSION, chain_id, identity))
        version, chain, owner = self._db.execute("SELECT version, chain, identity FROM meta").fetchone() or (None, None, None)
        if not isinstance(version, int):
            raise _damaged("it does not say its version", sqlite3.SQLITE_CORRUPT)
        if (chain, owner) != (chain_id, identity):
            raise WrongContent(
                f"the work database {self._path} belongs to another identity or network: use this node's own data folder"
            )
        if version > VERSION:
            raise WorkDatabaseError(
                f"the work database {self._path} was written by a newer program (version {version}; "
                f"this program knows up to {VERSION}). {LOSS}: run the newer program again, and do not move the database away"
            )
        self._db.execute("PRAGMA secure_delete=ON")  # what was replaced or dropped is not on the disk any more
        with self._transaction() as db:
            db.execute(BOOKS)
            db.execute(OWNERS)
            db.execute(RUNS)
            for needed in (_INTENT, _SECRET):
                db.execute(f"{needed} LIMIT 0")

    # --- intents ---------------------------------------------------------------------------------------------------------------

    def put(self, intent: Intent, now: int) -> bool:
        """Remember something to be submitted. False when an intent of this kind and key is known: the first one stays."""
        with self._transaction() as db:
            return _put(db, intent, now)

    def put_with(self, secret: Secret, intent: Intent, now: int) -> Secret:
        """Secret and intent in one step. Where the database has a secret of this kind and key, it is returned and nothing
        changes."""
        with self._transaction() as db:
            if _save(db, secret, now):
                _put(db, intent, now)
                return secret
            found = db.execute(f"{_SECRET} WHERE kind = ? AND key = ?", (secret.kind, secret.key)).fetchone()
        return _secret(found)

    def intent(self, kind: str, key: str) -> Intent | None:
        rows = self._rows(f"{_INTENT} WHERE kind = ? AND key = ?", kind, key)
        return _intent(rows[0]) if rows else None

    def pending(self) -> list[Intent]:
        """In the order of their keys."""
        query = f"{_INTENT} WHERE state = ? ORDER BY key, kind LIMIT ?"
        return [_intent(row) for row in self._rows(query, int(IntentState.PENDING), MAX_PENDING)]

    def sent(self, intent: Intent, tx: bytes, now: int) -> None:
        with self._transaction() as db:
            db.execute("UPDATE intents SET tx = ?, changed = ? WHERE kind = ? AND key = ?", (tx, now, intent.kind, intent.key))

    def settle(self, intent: Intent, state: IntentState, note: str, now: int) -> None:
        """The first settlement stays."""
        with self._transaction() as db:
            change = "UPDATE intents SET state = ?, note = ?, changed = ? WHERE kind = ? AND key = ? AND state = ?"
            db.execute(change, (int(state), note[:500], now, intent.kind, intent.key, int(IntentState.PENDING)))

    # --- secrets ---------------------------------------------------------------------------------------------------------------

    def save(self, secret: Secret, now: int) -> bool:
        """False when a secret of this kind and key is known: the first one stays."""
        with self._transaction() as db:
            return _save(db, secret, now)

    def secret(self, kind: str, key: bytes) -> Secret | None:
        rows = self._rows(f"{_SECRET} WHERE kind = ? AND key = ?", kind, key)
        return _secret(rows[0]) if rows else None

    def secrets(self) -> list[Secret]:
        return [_secret(row) for row in self._rows(f"{_SECRET} ORDER BY kind, key")]

    def secrets_of(self, kind: str, beginning: bytes) -> list[Secret]:
        """Of a kind, those whose keys begin so."""
        after = _after(beginning)
        bound, values = (" AND key < ?", (kind, beginning, after)) if after else ("", (kind, beginning))
        return [_secret(row) for row in self._rows(f"{_SECRET} WHERE kind = ? AND key >= ?{bound} ORDER BY key", *values)]

    def count(self, kind: str, beginning: bytes = b"") -> int:
        """How many of a kind there are whose keys begin so."""
        after = _after(beginning)
        bound, values = (" AND key < ?", (kind, beginning, after)) if after else ("", (kind, beginning))
        ((found,),) = self._rows(f"SELECT count(*) FROM secrets WHERE kind = ? AND key >= ?{bound}", *values)
        return int(str(found))

    def drop_secret(self, kind: str, key: bytes) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM secrets WHERE kind = ? AND key = ?", (kind, key))

    # --- books -----------------------------------------------------------------------------------------------------------------

    def keep_book(self, name: str, blob: bytes) -> None:
        """In the place of the one before."""
        if len(blob) > MAX_BOOK_BYTES:
            raise WorkDatabaseError(f"the book {name} has {len(blob)} bytes, at most {MAX_BOOK_BYTES} are kept")
        with self._transaction() as db:
            db.execute("INSERT INTO books VALUES (?, ?) ON CONFLICT DO UPDATE SET blob = excluded.blob", (name, blob))

    def books(self) -> dict[str, bytes]:
        """By their names."""
        return {str(name): bytes(blob) for name, blob in self._rows("SELECT name, blob FROM books")}  # type: ignore[call-overload]

    # --- attempts and pins -----------------------------------------------------------------------------------------------------

    def attempt_started(self, kind: str, ref: bytes, number: int) -> None:
        with self._transaction() as db:
            _begin_attempt(db, kind, ref, number)

    def run_began(self, run: RunUnderWay) -> None:
        """An attempt's run is about to start: it is on the disk before its container is there."""
        with self._transaction() as db:
            _begin_attempt(db, *run.attempt)
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, '', x'', 0)", (*run.attempt, run.spec, run.began))

    def run_trained(self, kind: str, ref: bytes, number: int, model: Model) -> None:
        """The run left a model; its attempt is not over before that was looked at."""
        with self._transaction() as db:
            query = "UPDATE runs SET model = ?, cid = ?, size = ? WHERE kind = ? AND ref = ? AND number = ?"
            db.execute(query, (str(model.path), model.cid, model.size, kind, ref, number))

    def run_over(self, kind: str, ref: bytes, number: int, *, lost: bool = False) -> int:
        """The run is no longer under way. `lost`: it ended by itself, and nothing of it came here: that is counted. Returns how
        often that happened to the attempt."""
        mine, values = "kind = ? AND ref = ? AND number = ?", (kind, ref, number)
        with self._transaction() as db:
            db.execute(f"DELETE FROM runs WHERE {mine}", values)
            if lost:
                db.execute(f"UPDATE attempts SET starts = starts + 1 WHERE {mine}", values)
            found = db.execute(f"SELECT starts FROM attempts WHERE {mine}", values).fetchone()
        return int(found[0]) if found else 0

    def run_saved(self, kind: str, ref: bytes, number: int) -> None:
        """The run left a checkpoint: the attempt came further, so how often it ended by itself counts anew."""
        with self._transaction() as db:
            db.execute("UPDATE attempts SET starts = 0 WHERE kind = ? AND ref = ? AND number = ?", (kind, ref, number))

    def open_attempts(self) -> list[tuple[str, bytes, int]]:
        """Those that began and are not over."""
        rows = self._rows("SELECT kind, ref, number FROM attempts WHERE done = 0")
        return [(str(kind), bytes(ref), int(number)) for kind, ref, number in rows]  # type: ignore[call-overload]

    def runs(self) -> list[RunUnderWay]:
        """Those whose attempts were not over when this node ended."""
        return [_run(row) for row in self._rows("SELECT * FROM runs ORDER BY kind, ref, number")]

    def attempt_done(self, kind: str, ref: bytes, number: int) -> None:
        with self._transaction() as db:
            for query in ("UPDATE attempts SET done = 1", "DELETE FROM runs"):
                db.execute(f"{query} WHERE kind = ? AND ref = ? AND number = ?", (kind, ref, number))

    def attempts(self, max_starts: int) -> dict[str, dict[bytes, set[int]]]:
        """By kind, the used-up attempts of every ref: done, or lost so often that the run may be what kills this machine."""
        used: dict[str, dict[bytes, set[int]]] = {}
        for kind, ref, number, starts, done in self._rows("SELECT kind, ref, number, starts, done FROM attempts"):
            numbers = used.setdefault(str(kind), {}).setdefault(ref, set())  # type: ignore[arg-type]
            if done or starts >= max_starts:  # type: ignore[operator]
                numbers.add(number)  # type: ignore[arg-type]
        return used

    def pin(self, cids: Iterable[str], reason: str, ref: bytes, until: int = 0) -> None:
        """Remember pins in the content store: until their ref is over, or until a time (wall clock)."""
        query = "INSERT INTO pins VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET ref = excluded.ref, until = excluded.until"
        with self._transaction() as db:
            db.executemany(query, [(cid, reason, ref, until) for cid in cids])

    def pins(self) -> list[tuple[str, str, bytes, int]]:
        """(cid, reason, ref, until or 0)."""
        return [(str(c), str(r), bytes(j), int(u)) for c, r, j, u in self._rows("SELECT * FROM pins")]  # type: ignore[call-overload]

    def unpin(self, cids: Iterable[str], reason: str) -> None:
        with self._transaction() as db:
            db.executemany("DELETE FROM pins WHERE cid = ? AND reason = ?", [(cid, reason) for cid in cids])

    # --- owners ----------------------------------------------------------------------------------------------------------------

    def owners(self) -> dict[bytes, str]:
        """By ref, the contract whose machines hold something for it."""
        return {bytes(ref): str(name) for ref, name in self._rows("SELECT ref, contract FROM owners")}  # type: ignore[call-overload]

    def note_owner(self, ref: bytes, contract: str) -> None:
        """The first note stays."""
        with self._transaction() as db:
            db.execute("INSERT INTO owners VALUES (?, ?) ON CONFLICT DO NOTHING", (ref, contract))

    def drop_owner(self, ref: bytes) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM owners WHERE ref = ?", (ref,))

    # --- forgetting ------------------------------------------------------------------------------------------------------------

    def forget(self, ref: bytes) -> list[Path]:
        """The ref is over: its secrets go, but those with a time of their own, and its attempts. The secrets' files are the
        caller's to remove."""
        mine = "ref = ? AND until = 0"
        paths = [Path(str(row[0])) for row in self._rows(f"SELECT path FROM secrets WHERE path != '' AND {mine}", ref)]
        with self._transaction() as db:
            db.execute(f"DELETE FROM secrets WHERE {mine}", (ref,))
            db.execute("DELETE FROM attempts WHERE ref = ?", (ref,))
            db.execute("DELETE FROM runs WHERE ref = ?", (ref,))
        return paths

    def prune(self, now: int) -> None:
        with self._transaction() as db:
            over = "state != ? AND changed < ? AND ref NOT IN (SELECT ref FROM owners)"
            db.execute(f"DELETE FROM intents WHERE {over}", (int(IntentState.PENDING), now - KEEP_MS))
            db.execute("DELETE FROM secrets WHERE until > 0 AND until < ?", (now,))


def _code(problem: BaseException) -> int:
    """SQLite's primary result code; 0 where the error is none of SQLite's."""
    return int(getattr(problem, "sqlite_errorcode", 0)) & 0xFF


def _damaged(why: str, code: int) -> sqlite3.DatabaseError:
    problem = sqlite3.DatabaseError(f"damaged: {why}")
    problem.sqlite_errorcode = code
    return problem


def _after(beginning: bytes) -> bytes:
    """The first key behind all that begin so; empty where there is none."""
    rest = beginning.rstrip(b"\xff")
    return rest[:-1] + bytes([rest[-1] + 1]) if rest else b""


def _begin_attempt(db: sqlite3.Connection, kind: str, ref: bytes, number: int) -> None:
    db.execute("INSERT INTO attempts VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING", (kind, ref, number))


def _run(row: tuple[object, ...]) -> RunUnderWay:
    kind, ref, number, spec, began, path, cid, size = row
    model = Model(Path(str(path)), cid, size) if path else None  # type: ignore[arg-type]
    return RunUnderWay(kind, ref, number, spec, began, model)  # type: ignore[arg-type]


def _put(db: sqlite3.Connection, intent: Intent, now: int) -> bool:
    if len(intent.op) > MAX_OPS_BYTES:
        raise WorkDatabaseError(
            f"the message of {intent.kind} {intent.key} has {len(intent.op)} bytes, at most {MAX_OPS_BYTES} are kept"
        )
    values = (intent.kind, intent.key, intent.ref, intent.op, int(IntentState.PENDING), b"", "", now)
    return db.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values).rowcount == 1


def _save(db: sqlite3.Connection, secret: Secret, now: int) -> bool:
    if len(secret.blob) > MAX_OPS_BYTES:
        raise WorkDatabaseError(f"a secret of {secret.kind} has {len(secret.blob)} bytes, at most {MAX_OPS_BYTES} are kept")
    until = now + secret.keep_ms if secret.keep_ms else 0
    values = (secret.kind, secret.key, secret.ref, secret.blob, str(secret.path or ""), until)
    return db.execute("INSERT INTO secrets VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values).rowcount == 1


def _intent(row: tuple[object, ...]) -> Intent:
    kind, key, ref, op, state, tx, note = row
    return Intent(kind, key, ref, op, IntentState(state), tx, note)  # type: ignore[arg-type]


def _secret(row: tuple[object, ...]) -> Secret:
    kind, key, ref, blob, path = row
    return Secret(kind, key, ref, blob, Path(str(path)) if path else None)  # type: ignore[arg-type]
