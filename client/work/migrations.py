"""The tables of the work database, and how a database of an older program becomes one of this. Each step stays as it is for
good."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

VERSION = 2

SCHEMA = (
    "CREATE TABLE meta (version INTEGER NOT NULL, chain BLOB NOT NULL, identity BLOB NOT NULL)",
    """CREATE TABLE intents (kind TEXT NOT NULL, key TEXT NOT NULL, ref BLOB NOT NULL, op BLOB NOT NULL, state INTEGER NOT NULL,
    tx BLOB NOT NULL, note TEXT NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID""",
    """CREATE TABLE secrets (kind TEXT NOT NULL, key BLOB NOT NULL, ref BLOB NOT NULL, blob BLOB NOT NULL, path TEXT NOT NULL,
    until INTEGER NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID""",
    """CREATE TABLE attempts (kind TEXT NOT NULL, ref BLOB NOT NULL, number INTEGER NOT NULL, starts INTEGER NOT NULL,
    done INTEGER NOT NULL, PRIMARY KEY (kind, ref, number)) WITHOUT ROWID""",
    """CREATE TABLE pins (cid TEXT NOT NULL, reason TEXT NOT NULL, ref BLOB NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (cid, reason)) WITHOUT ROWID""",
)
"""Of this version. `until` of a secret: wall clock (ms), 0 for those that go with their ref."""

_KEPT_MS = 60 * 24 * 3_600_000


def _from_1(db: sqlite3.Connection) -> None:
    """Version 1 had a table each for claims, votes and keys of the job contract, and knew no kinds."""
    for table in ("intents", "attempts", "pins"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in SCHEMA[1:]:
        db.execute(statement)
    # A report of double signing was the only message that was not the job machines'.
    kind = "CASE WHEN key LIKE 'double:%' THEN 'membership' ELSE 'job' END"
    db.execute(f"INSERT INTO intents SELECT {kind}, key, job, op, state, tx, note, changed FROM old_intents")
    db.execute("INSERT INTO attempts SELECT 'job', job, attempt, starts, done FROM old_attempts")
    db.execute("INSERT INTO pins SELECT cid, reason, job, until FROM old_pins")
    db.execute("INSERT INTO secrets SELECT 'job.key', hash, x'', key, '', 0 FROM keys")
    for commitment, job, loss, cid, size, salt, path in db.execute("SELECT * FROM claims").fetchall():
        blob = msgspec.msgpack.encode([loss, cid, size, salt])
        db.execute("INSERT INTO secrets VALUES ('job.claim', ?, ?, ?, ?, 0)", (commitment, job, blob, path))
    for job, audit, round_, commitment, salt, ballots, claimants, made in db.execute("SELECT * FROM votes").fetchall():
        ids = [claimants[start : start + 20] for start in range(0, len(claimants), 20)]
        blob = msgspec.msgpack.encode([commitment, salt, msgspec.Raw(ballots), ids])
        key = job + audit.to_bytes(4, "big") + round_.to_bytes(4, "big")
        db.execute("INSERT INTO secrets VALUES ('job.vote', ?, ?, ?, '', ?)", (key, job, blob, made + _KEPT_MS))
    for table in ("old_intents", "old_attempts", "old_pins", "claims", "votes", "keys"):
        db.execute(f"DROP TABLE {table}")


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1}
"""What makes the next version of each."""
