"""What the database of callbacks keeps, in which order, for how long, and what it forgets for good."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from learningchain.client.callbacks import database as stored
from learningchain.client.callbacks.database import (
    CallbackDatabase,
    CallbackTarget,
    NewRow,
    RowState,
    TargetState,
)
from tests.unit.callbacks_kit import CHAIN, OWN, SECRET, ref_of

A, B = ref_of("a"), ref_of("b")
MARK = b"a secret that nobody finds"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[CallbackDatabase]:
    made = CallbackDatabase(tmp_path / "db", CHAIN, OWN)
    yield made
    made.close()


def target(name: str, owner: str = "", created: int = 0, secret: bytes = SECRET) -> CallbackTarget:
    return CallbackTarget(ref_of(name), "thing", "https://example.org/", secret, owner, created)


def row(name: str, event: str, *, last: bool = False, body: bytes = b"{}") -> NewRow:
    return NewRow(ref_of(name), event, body, last)


def tell(db: CallbackDatabase, name: str, state: RowState = RowState.DELIVERED, now: int = 5) -> None:
    """An attempt of the oldest row that waits."""
    found = db.head(ref_of(name))
    assert found is not None
    db.tried(found[1], state, 0, 200, "", now)


def of(db: CallbackDatabase, name: str) -> CallbackTarget:
    found = db.target(ref_of(name))
    assert found is not None
    return found


def test_blocks_are_read_from_the_first_target_on_that_waits(db: CallbackDatabase) -> None:
    db.add(target("a"), 7)
    db.add(target("b"), 9)
    assert db.height == 7, "those of the first one are not read yet"
    for name in ("a", "b"):
        db.note([row(name, "final", last=True)], None, 1)
        tell(db, name)
    db.add(target("c"), 12)
    assert db.height == 12, "nobody waited in between"


def test_what_was_told_stays_told_whatever_a_late_attempt_says(db: CallbackDatabase) -> None:
    db.add(target("a"), 1)
    db.note([row("a", "agreed")], None, 1)
    found = db.head(A)
    assert found is not None
    db.tried(found[1], RowState.DELIVERED, 0, 200, "", 2)
    db.tried(found[1], RowState.WAITING, 9, 500, "late", 3)
    assert [(one.state, one.attempts, one.note) for one in db.rows(A)] == [(RowState.DELIVERED, 1, "")]


def test_410_gives_up_what_waits_and_nothing_comes_any_more(db: CallbackDatabase) -> None:
    db.add(target("a"), 1)
    db.note([row("a", "agreed"), row("a", "failed")], None, 1)
    found = db.head(A)
    assert found is not None and found[1].event == "agreed"
    db.gone(found[1], 410, "x" * 1_000, 2)
    assert [(one.state, one.note) for one in db.rows(A)] == [(RowState.GIVEN_UP, "x" * 300)] * 2
    assert db.note([row("a", "final")], None, 3) == [] and len(db.rows(A)) == 2
    assert db.head(A) is None and db.heads() == []


def test_a_target_waits_for_a_word_longer_than_anything_is_open_and_is_shown_for_a_month_after_its_end(
    db: CallbackDatabase,
) -> None:
    db.add(target("a"), 1)
    db.prune(stored.SILENT_MS)
    assert of(db, "a").state is TargetState.OPEN
    db.note([row("a", "final", last=True)], None, stored.SILENT_MS)
    tell(db, "a", now=stored.SILENT_MS)
    db.prune(stored.SILENT_MS + stored.KEEP_MS)
    assert of(db, "a").state is TargetState.ENDED
    db.prune(stored.SILENT_MS + stored.KEEP_MS + 1)
    assert db.target(A) is None and db.rows(A) == []


def test_the_secret_of_what_was_told_or_removed_is_nowhere_in_the_file(tmp_path: Path) -> None:
    """Freed pages of a database keep their bytes, unless they are overwritten."""
    db = CallbackDatabase(tmp_path / "db", CHAIN, OWN)
    db.add(target("a", secret=MARK), 1)
    db.add(target("b", secret=MARK), 1)
    db.note([row("a", "final", last=True)], None, 1)
    tell(db, "a")
    db.remove(B)
    db.close()
    assert all(MARK not in file.read_bytes() for file in tmp_path.iterdir())


def test_with_its_token_goes_every_secret_also_of_what_had_ended_untold(tmp_path: Path) -> None:
    """What was given up could be tried again, in the name of a token that is good for nothing any more."""
    db = CallbackDatabase(tmp_path / "db", CHAIN, OWN)
    for name in "ab":
        db.add(target(name, "t1", secret=MARK), 1)
        db.note([row(name, "final", last=True)], None, 1)
    db.add(target("c", "t2"), 1)
    tell(db, "a", RowState.GIVEN_UP)
    found = db.head(B)
    assert found is not None
    db.gone(found[1], 410, "", 2)
    assert [of(db, name).state for name in "ab"] == [TargetState.ENDED, TargetState.GONE] and of(db, "a").secret == MARK
    assert db.revoke("t1", "it was revoked", 9) == []
    assert [of(db, name).secret for name in "abc"] == [b"", b"", SECRET] and db.owners() == ["t2"]
    assert (db.again(A, 10), db.again(B, 10), db.heads()) == (0, 0, [])
    db.close()
    assert all(MARK not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_file_of_version_1_goes_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old")) as old:
        for statement in stored._SCHEMA:
            old.execute(statement)
        for column in ("height", "known"):
            old.execute(f"ALTER TABLE targets DROP COLUMN {column}")
        old.execute("INSERT INTO meta VALUES (1, ?, ?, 7)", (CHAIN, OWN))
        old.execute("INSERT INTO targets VALUES (?, 'thing', 'https://example.org/', ?, '', 3, 0, 0, 3)", (A, SECRET))
        old.commit()
    for _ in range(2):  # the second time there is nothing left to do
        with closing(CallbackDatabase(tmp_path / "old", CHAIN, OWN)) as made:
            assert (of(made, "a").created, of(made, "a").height, of(made, "a").known, made.height) == (3, 0, False, 7)
            made.add(target("b"), 9)
            assert (of(made, "b").height, of(made, "b").known) == (9, False)
            made.remove(B)
