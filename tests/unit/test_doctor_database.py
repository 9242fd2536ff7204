"""What `doctor` says of a block store in a real PostgreSQL server: each finding with its remedy, and never a password."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from learningchain.chain.storage import schema, server_look
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.server_look import ServerFacts, look_at_server
from learningchain.client.doctor.database import SLOW_COMMIT_MS, SLOW_TRIP_MS, judge_server, look_at_database
from learningchain.client.doctor.findings import DoctorFinding
from learningchain.client.node.database_watch import DatabaseWatch
from tests.postgres import Server, running
from tests.postgres import postgres as postgres
from tests.unit.client_cli_kit import clean_environment, run  # noqa: F401
from tests.unit.storage_blocks import CHAIN, chain_of

SECRET = "sesame-open"
META = {"schema": str(schema.SCHEMA_VERSION).encode(), "chain": CHAIN}
WELL = ServerFacts(
    where="postgresql://node@db/chain",
    version=150_004,
    standby=False,
    encoding="UTF8",
    unsafe=(),
    space="public",
    held=True,
    tables=META,
    connections=100,
    size=8 * 2**20,
    round_trip_ms=0.2,
    commit_ms=1.0,
)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    yield postgres.new_database().replace("postgres@", f"postgres:{SECRET}@")


def worst(findings: list[DoctorFinding]) -> str:
    return max((str(one.level) for one in findings), key=["fine", "warning", "failure"].index)


def told(findings: list[DoctorFinding]) -> str:
    return " ".join(f"{one.text} {one.remedy}" for one in findings)


def test_a_database_before_beside_and_after_its_node(url: str) -> None:
    found = look_at_database(url, CHAIN, runs=False)
    assert worst(found) == "fine" and "no tables yet" in told(found) and "PostgreSQL 1" in told(found)
    store = BlockStore.open(url, chain_id=CHAIN, create=True)
    for batch in islice(chain_of(2), 2):
        store.commit(batch)
    beside = look_at_database(url, CHAIN, runs=True)
    assert worst(beside) == "fine" and "a commit" in told(beside) and "a question takes" in told(beside)
    stranger = look_at_database(url, CHAIN, runs=False)
    assert worst(stranger) == "failure" and "a node holds the database, and none runs" in told(stranger)
    store.commit(list(islice(chain_of(2), 3))[2])
    store.check_hold()
    store.close()
    after = look_at_database(url, CHAIN, runs=False)
    assert worst(after) == "fine"
    assert worst(look_at_database(url, b"x" * 32, runs=False)) == "failure"
    assert SECRET not in told(found + beside + stranger + after)


def test_looking_changes_nothing(postgres: Server, url: str) -> None:
    store = BlockStore.open(url, chain_id=CHAIN, create=True)
    store.commit(next(chain_of(2)))
    database = url.split("@/")[1].split("?")[0]
    rows = "SELECT relname, n_live_tup, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables ORDER BY relname"
    meta = "SELECT name, value FROM meta ORDER BY name"
    before = postgres.run(meta, database), postgres.run(rows, database)
    look_at_server(url)
    assert (postgres.run(meta, database), postgres.run(rows, database)) == before
    store.close()


@pytest.mark.parametrize(
    ("changes", "runs", "level", "said"),
    [
        ({}, True, "fine", "PostgreSQL 15.4 at postgresql://node@db/chain, 8 MiB"),
        ({"version": 120_000}, True, "failure", "Upgrade it to 13"),
        ({"standby": True, "commit_ms": None}, True, "failure", "primary server"),
        ({"unsafe": ("the server does not wait for its disk (fsync = off)",)}, True, "failure", "ALTER SYSTEM SET fsync = on"),
        ({"encoding": "SQL_ASCII"}, True, "warning", "createdb -E UTF8"),
        ({"space": None, "tables": None, "held": False}, False, "failure", "CREATE SCHEMA"),
        ({"connections": 20}, True, "warning", "CONNECTION LIMIT"),
        ({"held": False}, True, "warning", "none holds the database"),
        ({}, False, "failure", "learningchain db copy"),
        ({"tables": META | {"schema": b"5"}}, True, "warning", "it upgrades them"),
        ({"tables": META | {"schema": b"4"}}, True, "failure", "an older version"),
        ({"tables": META | {"schema": b"99"}}, True, "failure", "Update this program"),
        ({"tables": META | {"schema": b"what"}}, True, "failure", "names no version"),
        ({"tables": META | {"copying": b"x"}}, True, "failure", "Finish it"),
        ({"round_trip_ms": SLOW_TRIP_MS + 1}, True, "warning", "local network"),
        ({"commit_ms": SLOW_COMMIT_MS + 1}, True, "warning", "faster disk"),
    ],
)
def test_each_finding_has_its_level_and_what_to_do(changes: dict[str, Any], runs: bool, level: str, said: str) -> None:
    found = judge_server(replace(WELL, **changes), CHAIN, runs)
    assert worst(found) == level and said in told(found)
    assert all(one.remedy for one in found if one.level != "fine")


@pytest.mark.parametrize("where", ["nobody", "missing", "port", "scheme"])
def test_who_cannot_be_reached_is_a_failure_without_the_password(postgres: Server, where: str) -> None:
    found = look_at_database(
        {
            "nobody": f"postgresql://nobody:{SECRET}@/postgres?host={postgres.folder}",
            "missing": f"postgresql://postgres:{SECRET}@/missing?host={postgres.folder}",
            "port": f"postgresql://postgres:{SECRET}@127.0.0.1:1/postgres?password={SECRET}",
            "scheme": f"mysql://postgres:{SECRET}@localhost/postgres",
        }[where],
        CHAIN,
        runs=False,
    )
    assert worst(found) == "failure" and SECRET not in told(found) and "***" in told(found)
    assert all(one.remedy for one in found)


def test_a_server_that_hangs_is_told_in_time_and_nothing_waits_for_it(monkeypatch: pytest.MonkeyPatch, postgres: Server) -> None:
    """Stopped by SIGSTOP: the kernel still takes connections for it."""
    monkeypatch.setattr(server_look, "CONNECT_S", 2)  # the driver's least
    with running() as own:
        url = own.new_database()
        own.signal_all(signal.SIGSTOP)
        try:
            found = look_at_database(url, CHAIN, runs=False)
        finally:
            own.signal_all(signal.SIGCONT)
        assert worst(found) == "failure" and "timeout" in told(found)
        assert worst(look_at_database(url, CHAIN, runs=False)) != "failure", "how long its disk takes is a warning's matter"


def test_who_runs_on_a_server_that_hangs_is_told_once_it_does_and_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, postgres: Server
) -> None:
    """What was being stored is stored when the server goes on; nothing is lost, and the lock is this node's throughout."""
    monkeypatch.setattr(server_look, "CONNECT_S", 2)
    told: list[str] = []
    with running() as own:
        url = own.new_database()
        store = BlockStore.open(url, chain_id=CHAIN, create=True)
        first, second = islice(chain_of(2), 2)
        store.commit(first)
        watch = DatabaseWatch(server_look.probe(url), told.append)
        watch.look()
        assert told == []
        own.signal_all(signal.SIGSTOP)
        try:
            committed = store.commit_async(second)
            watch.look()
            assert len(told) == 1 and "does not answer" in told[0] and "timeout" in told[0]
            assert not committed.done()
            store.check_hold()
        finally:
            own.signal_all(signal.SIGCONT)
        committed.result(60)
        watch.look()
        watch.look()
        assert told[1:] == [""]
        store.check_hold()
        store.check(full=True)
        head = store.head()
        assert head is not None and head.height == 2
        store.close()
