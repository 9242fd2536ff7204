"""The tables of the work database."""

from __future__ import annotations

VERSION = 1

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
OWNERS = "CREATE TABLE IF NOT EXISTS owners (ref BLOB NOT NULL PRIMARY KEY, contract TEXT NOT NULL) WITHOUT ROWID"
"""Came later, too. `contract`: the name of the slice whose machines hold something for the ref."""
BOOKS = "CREATE TABLE IF NOT EXISTS books (name TEXT NOT NULL PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID"
"""Came later than the others; an older program does without it, and takes no part in what keeps one."""
RUNS = """CREATE TABLE IF NOT EXISTS runs (kind TEXT NOT NULL, ref BLOB NOT NULL, number INTEGER NOT NULL, spec BLOB NOT NULL,
    began INTEGER NOT NULL, model TEXT NOT NULL, cid BLOB NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (kind, ref, number)) WITHOUT ROWID"""
"""The first runs of attempts that are not over: one that outlived its node is known by it. `began`: wall clock (ms). `model`,
`cid`, `size`: what it left, where it has ended; empty and 0 before."""
