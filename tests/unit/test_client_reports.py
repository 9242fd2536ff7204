"""Evidence of double signing: durable, and sent until it is in a block or of no more use (LC-CON-17)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import msgspec
import pytest

from learningchain.chain.contracts.membership import Ejection, ReportDouble, ejection_key
from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.storage import private
from learningchain.chain.types import PREVOTE, Vote, VoteEvidence, vote_digest
from learningchain.client.daemon.reports import MAX_ASIDE, MAX_OF_ONE, Reports
from learningchain.client.node.interface import Before
from learningchain.client.work.tables import VERSION
from tests.unit.test_client_daemon_parts import Node as Daemon
from tests.unit.work_kit import PARAMS, Chain, Inline, LedgerDouble, blocks, key_of, run_virtual

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is such a place: nothing here cuts the power."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


class Pool(LedgerDouble):
    """A node's ledger whose pool takes nothing while it is full."""

    full: Callable[[], bool] = staticmethod(lambda: False)

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        assert urgent
        if self.full():
            raise InvalidTx(TxCode.MEMPOOL_FULL, "too many transactions wait here")
        return await super().submit(ops, urgent=urgent, before=before)


def twice(chain: Chain, name: str, height: int = 1) -> VoteEvidence:
    """Two prevotes of a validator for one round."""
    made = []
    for block in (b"\x01" * 32, b"\x02" * 32):
        digest = vote_digest(chain.chain_id, PREVOTE, height, 0, block)
        made.append(Vote(PREVOTE, height, 0, block, chain.ids[name], key_of(name).sign(digest)))
    return VoteEvidence(*made)


def chain_of(**params: int) -> Chain:
    chain = Chain(NAMES, [], msgspec.structs.replace(PARAMS, **params))
    chain.block()
    return chain


def ejected(chain: Chain, name: str) -> bool:
    return all(v.id != chain.ids[name] for v in validators_of(chain.state))


def reports_of(chain: Chain) -> list[bytes]:
    return [op.evidence.a.validator for _, op in chain.sent if isinstance(op, ReportDouble)]


def test_a_report_is_sent_and_the_validator_leaves(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of()
        reports = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        reports.start()
        assert not (folder / "reports.db").exists()
        for _ in range(3):
            reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        await blocks(chain, lambda: not reports.waiting, 60)
        assert reports_of(chain) == [chain.ids["d"]]
        await reports.stop()

    run_virtual(main())


def test_each_height_and_each_validator_has_a_report_of_its_own_and_nothing_stays_open(folder: Path) -> None:
    """All of them at once: the database is opened by the first alone."""

    async def main() -> None:
        chain = chain_of()
        chain.block()
        pool = Pool(chain, "a")
        pool.full = lambda: True
        reports = Reports(folder / "reports.db", pool, Inline())
        for _ in range(2):
            for name, height in (("c", 1), ("d", 1), ("d", 2)):
                reports.report(twice(chain, name, height))
        await blocks(chain, lambda: reports.waiting == 3, 60)
        await reports.stop()
        assert not [name for name in open_files() if name.startswith(str(folder))]

    run_virtual(main())


def open_files() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_what_was_in_no_block_is_sent_again_after_a_restart(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of()
        full = Pool(chain, "a")
        full.full = lambda: True
        before = Reports(folder / "reports.db", full, Inline())
        before.report(twice(chain, "d"))
        await blocks(chain, lambda: bool(before.waiting), 60)
        await before.stop()
        assert reports_of(chain) == [] and not ejected(chain, "d")
        after = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        after.start()
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        await after.stop()

    run_virtual(main())


def test_the_set_changes_once_a_block_and_both_leave(folder: Path) -> None:
    """LC-MEM-11: the second one is refused in that block and comes again."""

    async def main() -> None:
        chain = chain_of()
        reports = Reports(folder / "reports.db", Pool(chain, "a"), Inline())
        reports.report(twice(chain, "c"))
        reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "c") and ejected(chain, "d"), 60)
        await reports.stop()

    run_virtual(main())


def test_what_others_reported_or_what_is_too_old_is_laid_aside(folder: Path) -> None:
    async def main() -> None:
        chain = chain_of(evidence_age=5)
        chain.now("b", ReportDouble(twice(chain, "d")))
        assert chain.state.get(ejection_key(chain.ids["d"], 1)) == Ejection(1)
        ledger = Pool(chain, "a")
        ledger.full = lambda: True
        reports = Reports(folder / "reports.db", ledger, Inline())
        reports.report(twice(chain, "d"))
        reports.report(twice(chain, "c"))
        await blocks(chain, lambda: chain.state.get(b"g/").height > 20, 200)  # type: ignore[union-attr]
        await blocks(chain, lambda: not reports.waiting, 200)
        assert len(reports_of(chain)) == 1
        await reports.stop()

    run_virtual(main())


# --- a file that does not open ----------------------------------------------------------------------------------------------------

Fault = Callable[[Path], contextlib.AbstractContextManager[Any]]


def claims_fail(code: int) -> Fault:
    fault = OSError(code, "of this machine")
    return lambda path: mock.patch.object(private, "claim_database", side_effect=fault)


def statement_fails(begins: str, code: int) -> Fault:
    """SQLite's own answer to a statement that begins so."""

    @contextlib.contextmanager
    def fault(path: Path) -> Iterator[None]:
        over = False

        class Failing(sqlite3.Connection):
            def execute(self, statement: str, *values: Any) -> Any:
                if over or not statement.startswith(begins):
                    return super().execute(statement, *values)
                problem = sqlite3.OperationalError("of this machine")
                problem.sqlite_errorcode = code
                raise problem

        with connecting(factory=Failing):
            yield
        over = True  # also for what stays open

    return fault


def check_finds(text: str) -> Fault:
    class Finding(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> Any:
            return super().execute(f"SELECT '{text}'" if statement == "PRAGMA quick_check" else statement, *values)

    return lambda path: connecting(factory=Finding)


def connecting(**how: Any) -> contextlib.AbstractContextManager[Any]:
    return mock.patch.object(sqlite3, "connect", functools.partial(sqlite3.connect, **how))


@contextlib.contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other, connecting(timeout=0):
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def no_descriptor_left(path: Path) -> Iterator[None]:
    """Of the process itself: the next one would be above its limit."""
    (free := os.open(os.devnull, os.O_RDONLY), os.close(free))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@contextlib.contextmanager
def of_a_newer_program(path: Path) -> Iterator[None]:
    edit(path, f"UPDATE meta SET version = {VERSION + 1}")
    yield
    edit(path, f"UPDATE meta SET version = {VERSION}")


@contextlib.contextmanager
def a_folder_in_its_place(path: Path) -> Iterator[None]:
    os.rename(path, path.with_suffix(".elsewhere"))
    path.mkdir()
    yield
    path.rmdir()
    os.rename(path.with_suffix(".elsewhere"), path)


def edit(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


NOT_NOW: dict[str, Fault] = {
    "another process holds it": held_by_another_process,
    "no descriptor is left": no_descriptor_left,
    "a newer program wrote it": of_a_newer_program,
    "a folder has its name": a_folder_in_its_place,
    "reading a page fails while it is checked": check_finds("Tree 3 page 3: unable to get the page. error code=266"),
    **{f"{errno.errorcode[code]} at its name": claims_fail(code) for code in (errno.EACCES, errno.ENFILE, errno.EIO, errno.ENOSPC)},
    **{
        f"{name} at {begins}": statement_fails(begins, getattr(sqlite3, name))
        for begins in ("PRAGMA journal_mode", "PRAGMA quick_check", "SELECT version", "SELECT kind", "INSERT INTO intents")
        for name in ("SQLITE_CANTOPEN", "SQLITE_BUSY_RECOVERY", "SQLITE_IOERR_READ", "SQLITE_FULL")
    },
}


def pending(folder: Path, *names: str) -> Chain:
    """A chain, and a node's file with a report about each of these, which nobody took."""

    async def main() -> Chain:
        chain = chain_of()
        pool = Pool(chain, "a")
        pool.full = lambda: True
        reports = Reports(folder / "reports.db", pool, Inline())
        for name in names:
            reports.report(twice(chain, name))
        await blocks(chain, lambda: reports.waiting == len(names), 60)
        await reports.stop()
        return chain

    return run_virtual(main())  # type: ignore[no-any-return]


@pytest.mark.parametrize("fault", NOT_NOW.values(), ids=NOT_NOW)
def test_what_does_not_open_now_is_tried_again_until_it_does_and_told_meanwhile(folder: Path, fault: Fault) -> None:
    chain, told = pending(folder, "c"), list[str]()

    async def main() -> None:
        loop, reports = asyncio.get_running_loop(), Reports(folder / "reports.db", Pool(chain, "a"), Inline(), told.append)
        with fault(folder / "reports.db"):
            reports.start()
            reports.report(twice(chain, "d"))
            since = loop.time()
            while loop.time() < since + 1_000:
                await asyncio.sleep(10)
            assert told and told[-1].endswith("1 report(s) wait in memory while the node runs")
            assert len(told) < 250, "it pauses between tries"
            assert not ejected(chain, "d")
        await blocks(chain, lambda: ejected(chain, "c") and ejected(chain, "d"), 300)
        assert told[-1] == "" and [path.name for path in folder.iterdir() if "damaged" in path.name] == []
        await reports.stop()

    run_virtual(main())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:6_000])


def rotten(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[4_096:] = b"rot" * (len(raw) // 3)
    path.write_bytes(raw)


WRONG: dict[str, Callable[[Path], Any]] = {
    "no database": lambda path: path.write_bytes(b"no database" * 100),
    "cut off": cut,
    "rotten": rotten,
    "a table is missing": lambda path: edit(path, "DROP TABLE meta"),
    "a column is missing": lambda path: edit(path, "ALTER TABLE intents DROP COLUMN note"),
    "it names no owner": lambda path: edit(path, "DELETE FROM meta"),
    "another node's": lambda path: edit(path, "UPDATE meta SET identity = x'00'"),
}


@pytest.mark.parametrize("damage", WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_itself_is_set_aside_as_it_is_and_nothing_that_was_set_aside_is_lost(
    folder: Path, damage: Callable[[Path], Any]
) -> None:
    chain, told, path = pending(folder, "c"), list[str](), folder / "reports.db"
    damage(path)
    found = path.read_bytes()
    (folder / "reports.damaged").write_bytes(b"of an earlier day")

    async def main() -> None:
        reports = Reports(path, Pool(chain, "a"), Inline(), told.append)
        reports.start()
        reports.report(twice(chain, "d"))
        await blocks(chain, lambda: ejected(chain, "d"), 60)
        assert (folder / "reports.damaged-2").read_bytes() == found
        assert (folder / "reports.damaged").read_bytes() == b"of an earlier day"
        assert set(told) == {""}
        await reports.stop()

    run_virtual(main())


def test_with_too_many_set_aside_it_stays_where_it_is_and_is_told(folder: Path) -> None:
    chain, told, path = chain_of(), list[str](), folder / "reports.db"
    path.write_bytes(b"no database" * 100)
    aside = [folder / "reports.damaged", *(folder / f"reports.damaged-{number}-wal" for number in range(2, MAX_ASIDE + 1))]
    for one in aside:
        one.write_bytes(b"kept")

    async def main() -> None:
        reports = Reports(path, Pool(chain, "a"), Inline(), told.append)
        for height in range(1, 30):
            reports.report(twice(chain, "d", height))
        await blocks(chain, lambda: bool(told), 60)
        assert path.read_bytes() == b"no database" * 100 and f"{MAX_ASIDE} such files" in told[-1]
        assert f"{MAX_OF_ONE} report(s)" in told[-1], "what waits in memory has a bound"
        aside.pop().unlink()
        await blocks(chain, lambda: ejected(chain, "d"), 200)
        assert told[-1] == "" and all(one.read_bytes() == b"kept" for one in aside)
        await reports.stop()

    run_virtual(main())


async def test_the_status_has_it_under_failing_until_it_goes_through(folder: Path) -> None:
    node = Daemon()
    node.view = cast(Any, SimpleNamespace(faults={"database": "another part's"}))
    reports = Reports(folder, Pool(chain_of(), "a"), Inline(), functools.partial(node._tell, "reports"))
    reports.start()
    while not node.view.faults.get("reports"):
        await asyncio.sleep(0)
    assert str(folder) in node.view.faults["reports"]
    node._tell("reports", "")
    assert [*node.view.faults] == ["database"]
    await reports.stop()
