"""The node's small files: what was written is on the disk, what failed halfway is not, and what is closed is closed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from learningchain.client.contracts.prediction.http.day_budget import DayBudget
from learningchain.client.kept import KeptFile, KeptFiles
from learningchain.client.keys.tokens import Tokens

FULL = 2
"""SQLite's `synchronous`: in WAL mode anything less loses transactions that were committed, in a power cut."""


def test_what_is_written_survives_a_power_cut(tmp_path: Path) -> None:
    with closing(KeptFile(tmp_path / "kept.db")) as kept, closing(Tokens(tmp_path / "tokens.db")) as tokens:
        for database in (kept._db, tokens._db):
            assert database.execute("PRAGMA synchronous").fetchone() == (FULL,)
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("fault", [OSError, KeyboardInterrupt])
def test_what_was_broken_off_is_undone_and_the_next_one_goes_on(tmp_path: Path, fault: type[BaseException]) -> None:
    with closing(KeptFile(tmp_path / "kept.db")) as kept:
        with kept._transaction() as db:
            db.execute("CREATE TABLE t (x)")
        with pytest.raises(fault), kept._transaction() as db:
            db.execute("INSERT INTO t VALUES (1)")
            raise fault
        with kept._transaction() as db:
            db.execute("INSERT INTO t VALUES (2)")
        assert kept._rows("SELECT x FROM t") == [(2,)]


def test_files_that_are_closed_are_closed_and_open_anew(tmp_path: Path) -> None:
    files = KeptFiles(tmp_path)
    first = files.opened("day.db", DayBudget)
    assert files.opened("day.db", DayBudget) is first
    files.close()
    with pytest.raises(sqlite3.ProgrammingError):
        first.unsettled()
    second = files.opened("day.db", DayBudget)
    assert second is not first and second.unsettled() == []
    files.close()
