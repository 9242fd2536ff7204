"""The work book: what worker, verifier and outbox must not forget, in one small SQLite file. Calls block: give them a thread.

A salt, a model's name or a ballot is in this file, synced, before the commitment to it leaves the node. Several things that belong
together are one transaction. The book belongs to one identity on one network.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from chain.codec import decode, encode
from chain.contracts.job.messages import Ballot, Ballots
from chain.crypto import sha256
from chain.storage import private
from client.work.events import Model, Seat

VERSION = 1
MAX_OPS_BYTES = 65_536
MAX_PENDING = 10_000
"""Intents that wait. A node has a few per job; more would be a fault of ours."""
KEEP_MS = 60 * 24 * 3_600_000
"""How long settled intents and votes are kept: longer than strikes and cases live."""

_SCHEMA = """
CREATE TABLE meta (version INTEGER NOT NULL, chain BLOB NOT NULL, identity BLOB NOT NULL);
CREATE TABLE intents (key TEXT PRIMARY KEY, job BLOB NOT NULL, op BLOB NOT NULL, state INTEGER NOT NULL, tx BLOB NOT NULL,
    note TEXT NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE claims (commitment BLOB PRIMARY KEY, job BLOB NOT NULL, loss INTEGER NOT NULL, cid BLOB NOT NULL,
    size INTEGER NOT NULL, salt BLOB NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE votes (job BLOB NOT NULL, audit INTEGER NOT NULL, round INTEGER NOT NULL, commitment BLOB NOT NULL,
    salt BLOB NOT NULL, ballots BLOB NOT NULL, claimants BLOB NOT NULL, made INTEGER NOT NULL,
    PRIMARY KEY (job, audit, round)) WITHOUT ROWID;
CREATE TABLE attempts (job BLOB NOT NULL, attempt INTEGER NOT NULL, starts INTEGER NOT NULL, done INTEGER NOT NULL,
    PRIMARY KEY (job, attempt)) WITHOUT ROWID;
CREATE TABLE keys (hash BLOB PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE pins (cid TEXT NOT NULL, reason TEXT NOT NULL, job BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (cid, reason)) WITHOUT ROWID;
"""


class BookError(Exception):
    """The work book cannot be used; the text says why and what to do."""


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

    key: str
    job: bytes
    op: bytes
    state: IntentState = IntentState.PENDING
    tx: bytes = b""
    note: str = ""


@dataclass(frozen=True)
class StoredClaim:
    commitment: bytes
    job: bytes
    loss: int
    model: Model
    salt: bytes


@dataclass(frozen=True)
class StoredVote:
    seat: Seat
    commitment: bytes
    salt: bytes
    ballots: tuple[Ballot, ...]
    claimants: tuple[bytes, ...]


class Book:
    """Safe to use from several threads. Raises BookError, and `sqlite3.Error` where the disk fails while it is in use."""

    def __init__(self, path: Path, chain_id: bytes, identity: bytes) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            private.claim_database(path)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._open(chain_id, identity)
        except (sqlite3.Error, OSError) as problem:
            text = f"the work book {path} cannot be opened ({problem})"
            raise BookError(
                f"{text}. It holds the salts of open claims and votes: restore it from a copy, or move it away and accept that "
                f"they cannot be opened (stakes of open claims are lost)"
            ) from problem

    def _open(self, chain_id: bytes, identity: bytes) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        check = self._db.execute("PRAGMA quick_check").fetchone()[0]
        if check != "ok":
            raise sqlite3.DatabaseError(f"damaged: {check}")
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            with self._transaction() as db:
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES (?, ?, ?)", (VERSION, chain_id, identity))
        version, chain, owner = self._db.execute("SELECT version, chain, identity FROM meta").fetchone()
        if version != VERSION:
            raise BookError(
                f"the work book {self._path} has version {version}, this program writes {VERSION}: use the program's match"
            )
        if (chain, owner) != (chain_id, identity):
            raise BookError(f"the work book {self._path} belongs to another identity or network: use this node's own data folder")

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

    # --- intents ---------------------------------------------------------------------------------------------------------------

    def put(self, intent: Intent, now: int) -> bool:
        """Remember something to be submitted. False when an intent of this key is known: the first one stays."""
        with self._transaction() as db:
            return _put(db, intent, now)

    def intent(self, key: str) -> Intent | None:
        rows = self._rows("SELECT key, job, op, state, tx, note FROM intents WHERE key = ?", key)
        return _intent(rows[0]) if rows else None

    def pending(self) -> list[Intent]:
        """In the order of their keys."""
        query = "SELECT key, job, op, state, tx, note FROM intents WHERE state = ? ORDER BY key LIMIT ?"
        return [_intent(row) for row in self._rows(query, int(IntentState.PENDING), MAX_PENDING)]

    def sent(self, key: str, tx: bytes, now: int) -> None:
        with self._transaction() as db:
            db.execute("UPDATE intents SET tx = ?, changed = ? WHERE key = ?", (tx, now, key))

    def settle(self, key: str, state: IntentState, note: str, now: int) -> None:
        """The first settlement stays."""
        with self._transaction() as db:
            change = "UPDATE intents SET state = ?, note = ?, changed = ? WHERE key = ? AND state = ?"
            db.execute(change, (int(state), note[:500], now, key, int(IntentState.PENDING)))

    # --- claims and votes ------------------------------------------------------------------------------------------------------

    def save_claim(self, claim: StoredClaim, op: bytes, now: int) -> str:
        """Claim and intent in one step; returns the intent's key."""
        with self._transaction() as db:
            prefix = f"claim:{claim.job.hex()}:"
            count = db.execute("SELECT count(*) FROM intents WHERE key >= ? AND key < ?", (prefix, prefix + "~")).fetchone()[0]
            key = f"{prefix}{count + 1}"
            m = claim.model
            values = (claim.commitment, claim.job, claim.loss, m.cid, m.size, claim.salt, str(m.path))
            db.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            _put(db, Intent(key, claim.job, op), now)
            return key

    def claim(self, commitment: bytes) -> StoredClaim | None:
        found = self.claims("WHERE commitment = ?", commitment)
        return found[0] if found else None

    def claims(self, where: str = "", *values: object) -> list[StoredClaim]:
        rows = self._rows(f"SELECT commitment, job, loss, cid, size, salt, path FROM claims {where}", *values)
        return [StoredClaim(c, j, loss, Model(Path(p), cid, n), salt) for c, j, loss, cid, n, salt, p in rows]  # type: ignore[arg-type]

    def drop_claim(self, commitment: bytes) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM claims WHERE commitment = ?", (commitment,))

    def save_vote(self, vote: StoredVote, op: bytes, now: int) -> StoredVote:
        """Ballots and intent in one step. Where the seat has ballots already, those are returned and nothing changes."""
        job, audit, round_ = vote.seat
        with self._transaction() as db:
            blobs = (vote.commitment, vote.salt, encode(list(vote.ballots)), b"".join(vote.claimants), now)
            known = db.execute(
                "INSERT INTO votes VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (job, audit, round_, *blobs)
            )
            if known.rowcount == 1:
                _put(db, Intent(f"commit:{job.hex()}:{audit}:{round_}", job, op), now)
        return self.vote(vote.seat) or vote

    def vote(self, seat: Seat) -> StoredVote | None:
        found = self.votes("WHERE job = ? AND audit = ? AND round = ?", *seat)
        return found[0] if found else None

    def votes(self, where: str = "", *values: object) -> list[StoredVote]:
        rows = self._rows(f"SELECT job, audit, round, commitment, salt, ballots, claimants FROM votes {where}", *values)
        return [
            StoredVote((j, a, r), c, salt, tuple(decode(Ballots, b, MAX_OPS_BYTES)), _split(ids))  # type: ignore[arg-type]
            for j, a, r, c, salt, b, ids in rows
        ]

    # --- attempts, keys, pins --------------------------------------------------------------------------------------------------

    def attempt_started(self, job: bytes, attempt: int) -> None:
        with self._transaction() as db:
            query = "INSERT INTO attempts VALUES (?, ?, 1, 0) ON CONFLICT DO UPDATE SET starts = starts + 1"
            db.execute(query, (job, attempt))

    def attempt_done(self, job: bytes, attempt: int) -> None:
        with self._transaction() as db:
            db.execute("UPDATE attempts SET done = 1 WHERE job = ? AND attempt = ?", (job, attempt))

    def attempts(self, max_starts: int) -> dict[bytes, set[int]]:
        """The used-up attempts of every job: done, or started so often that the run may be what kills this node."""
        used: dict[bytes, set[int]] = {}
        for job, attempt, starts, done in self._rows("SELECT job, attempt, starts, done FROM attempts"):
            used.setdefault(job, set())  # type: ignore[arg-type]
            if done or starts >= max_starts:  # type: ignore[operator]
                used[job].add(attempt)  # type: ignore[arg-type, index]
        return used

    def save_key(self, key: bytes) -> bytes:
        """Keep the key of hidden data; returns its hash, as postings name it."""
        with self._transaction() as db:
            db.execute("INSERT INTO keys VALUES (?, ?) ON CONFLICT DO NOTHING", (sha256(key), key))
        return sha256(key)

    def key(self, key_hash: bytes) -> bytes | None:
        rows = self._rows("SELECT key FROM keys WHERE hash = ?", key_hash)
        return bytes(rows[0][0]) if rows else None  # type: ignore[call-overload]

    def keys(self) -> set[bytes]:
        return {bytes(row[0]) for row in self._rows("SELECT hash FROM keys")}  # type: ignore[call-overload]

    def pin(self, cid: str, reason: str, job: bytes, until: int = 0) -> None:
        """Remember a pin in the content store: until the job's end, or until a time (wall clock)."""
        with self._transaction() as db:
            db.execute("INSERT INTO pins VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET until = ?4", (cid, reason, job, until))

    def pins(self) -> list[tuple[str, str, bytes, int]]:
        """(cid, reason, job, until or 0)."""
        return [(str(c), str(r), bytes(j), int(u)) for c, r, j, u in self._rows("SELECT * FROM pins")]  # type: ignore[call-overload]

    def unpin(self, cid: str, reason: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM pins WHERE cid = ? AND reason = ?", (cid, reason))

    # --- forgetting ------------------------------------------------------------------------------------------------------------

    def forget_job(self, job: bytes) -> list[StoredClaim]:
        """The job is over: its claims and attempts go; returns the claims, whose files are the caller's to remove."""
        gone = self.claims("WHERE job = ?", job)
        with self._transaction() as db:
            db.execute("DELETE FROM claims WHERE job = ?", (job,))
            db.execute("DELETE FROM attempts WHERE job = ?", (job,))
        return gone

    def prune(self, now: int) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM intents WHERE state != ? AND changed < ?", (int(IntentState.PENDING), now - KEEP_MS))
            db.execute("DELETE FROM votes WHERE made < ?", (now - KEEP_MS,))


def _put(db: sqlite3.Connection, intent: Intent, now: int) -> bool:
    if len(intent.op) > MAX_OPS_BYTES:
        raise BookError(f"the message of {intent.key} has {len(intent.op)} bytes")
    values = (intent.key, intent.job, intent.op, int(IntentState.PENDING), b"", "", now)
    return db.execute("INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values).rowcount == 1


def _intent(row: tuple[object, ...]) -> Intent:
    key, job, op, state, tx, note = row
    return Intent(key, job, op, IntentState(state), tx, note)  # type: ignore[arg-type]


def _split(ids: bytes) -> tuple[bytes, ...]:
    return tuple(ids[i : i + 20] for i in range(0, len(ids), 20))
