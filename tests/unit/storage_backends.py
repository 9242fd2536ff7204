"""Tests of the block store on SQLite and on a real PostgreSQL server: the same tests, where every path is a schema of the server.

A module imports what is here. A test marked `sqlite` is about SQLite's files, or about what does not reach the database; one marked
`both` runs on the server in `make test`, too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.storage.blockstore import BlockStore
from tests.descriptors import below
from tests.postgres import Server
from tests.postgres import postgres as postgres
from tests.slow import SLOW

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
STANDS_FOR_IT = "the same on SQLite, and a few of them on PostgreSQL"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        marked = metafunc.definition.get_closest_marker
        there: Any = POSTGRESQL if marked("both") else pytest.param(POSTGRESQL, marks=pytest.mark.full(STANDS_FOR_IT))
        metafunc.parametrize("backend", [SQLITE] if marked("sqlite") else [SQLITE, there], indirect=True)


class Places:
    """Where a store lies that a test opens at a path; `server` is None where that is the path itself."""

    def __init__(self, server: Server | None) -> None:
        self.server, self._urls = server, dict[str, str]()

    def of(self, path: str) -> str:
        if self.server is None or "://" in path:
            return path
        if path not in self._urls:
            self._urls[path] = self.server.new_schema()
        return self._urls[path]

    def held(self, folder: Path) -> int:
        """What is open: files below a folder, and connections to the server."""
        return len(below(folder)) + (int(str(self.server.run(_CONNECTIONS)[0][0])) if self.server else 0)

    def lets_go(self, folder: Path, held: int) -> bool:
        """Whether no more is open than before. A server takes note of a connection's end a moment later."""
        latest = time.monotonic() + 20 * SLOW
        while self.held(folder) > held:
            if self.server is None or time.monotonic() > latest:
                return False
            time.sleep(0.01)
        return True


@pytest.fixture(autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places(request.getfixturevalue("postgres") if request.param == POSTGRESQL else None)
    opened = BlockStore.open

    def open_there(url_or_path: str, **given: Any) -> BlockStore:
        return opened(places.of(url_or_path), **given)

    monkeypatch.setattr(BlockStore, "open", open_there)
    return places
