"""The work database of a newer program is refused, and left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.client.work.database import WorkDatabase, WorkDatabaseError
from learningchain.client.work.events import Secret
from learningchain.client.work.tables import VERSION

CHAIN, ME = b"c" * 32, b"m" * 20


def test_a_book_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "work.db"
    book = WorkDatabase(path, CHAIN, ME)
    book.save(Secret("job.key", b"k", b"", b"v"), 0)
    book._db.execute("UPDATE meta SET version = ?", (VERSION + 1,))
    book.close()
    before = path.read_bytes()
    with pytest.raises(WorkDatabaseError, match=rf"newer program \(version {VERSION + 1}.*run the newer program again"):
        WorkDatabase(path, CHAIN, ME)
    assert path.read_bytes() == before
