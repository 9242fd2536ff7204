"""Blocks beyond the horizon are dropped a few at a time: what is kept is found as before, whenever it stops."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from learningchain.chain.codec import decode
from learningchain.chain.storage import blockstore, buckets, index, pruning, schema, state_diffs
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import DiskFull, StorageFailed
from learningchain.chain.storage.pruning import Horizon, drop_step
from learningchain.chain.types import Receipt
from tests.unit.storage_backends import Places
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.storage_blocks import CHAIN, account, chain_of

ROOT = Path(__file__).parents[2]
ALL = 10**9


def open_store(path: Path, *, create: bool = False) -> BlockStore:
    return BlockStore.open(str(path), chain_id=CHAIN, create=create)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 60)
    monkeypatch.setattr(blockstore, "_PROBES", 3)
    monkeypatch.setattr(pruning, "STEP_BLOCKS", 4)
    monkeypatch.setattr(pruning, "STEP_ROWS", 3)
    monkeypatch.setattr(pruning, "STEP_PAGES", 2)
    setup = schema._setup_sqlite

    def unsynced(connection: Any, record: Any) -> None:
        setup(connection, record)
        connection.execute("PRAGMA synchronous=OFF")  # no test here cuts the power

    monkeypatch.setattr(schema, "_setup_sqlite", unsynced)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    store = open_store(tmp_path / "db", create=True)
    yield store
    store.close()


def fill(store: BlockStore, count: int, transfers: int = 4) -> list[CommitBatch]:
    batches = list(islice(chain_of(transfers), count))
    store.commit_async(*batches).result()
    return batches


def keep(blocks: int = 0, ms: int = 0, above: int = ALL) -> Horizon:
    return Horizon(blocks, ms, above)


def drop(store: BlockStore, horizon: Horizon) -> int:
    """To the end; how many steps that took."""
    steps = 1
    while drop_step(store, horizon):
        steps += 1
        assert steps < 10_000
    return steps


def check(store: BlockStore, batches: list[CommitBatch], base: int, *, ended: bool = True) -> None:
    """What a store must answer whose history begins after `base`; `ended`: it has come to its horizon."""
    store.check(full=True)
    assert store.base == base
    head = store.head()
    assert head is not None and head.height == batches[-1].height
    assert dict(store.load_state()) == {key: raw for batch in batches for key, raw in batch.state}
    lines: dict[bytes, list[tuple[int, bytes]]] = {}
    for batch in batches:
        stored = store.block(batch.height)
        if batch.height <= base:
            assert stored is None or not stored.block
            assert not store.receipts(batch.height)
            gone = state_diffs.changes_at(store, batch.height) is None
            assert gone == (batch.height < _journalled(store, base)) or not ended
            assert all(store.tx(tx) is None for tx in batch.tx_ids)
            continue
        assert stored is not None and (stored.block, stored.certificate) == (batch.block, batch.certificate)
        assert store.receipts(batch.height) == batch.receipts
        assert state_diffs.changes_at(store, batch.height) is not None
        for position, tx in enumerate(batch.tx_ids):
            found = store.tx(tx)
            assert found is not None and (found.height, found.index) == (batch.height, position)
        for receipt in (decode(Receipt, raw, 4096) for raw in batch.receipts):
            for who, _ in batch.account_index:
                lines.setdefault(who, []).extend(
                    (batch.height, receipt.tx) for e in receipt.events if who in blockstore_concerned(e)
                )
    for n in range(5):
        rows = store.history(account(n), before=None, limit=1000)
        assert [(row.height, row.line.tx) for row in rows] == lines.get(account(n), [])[::-1]


def _journalled(store: BlockStore, base: int) -> int:
    """The first height whose changes the state on the disk needs, or that is kept."""
    with store.read("look at the journal") as c:
        return min(base + 1, int(c.execute(sa.select(sa.func.min(schema.journal.c.height))).scalar() or base + 1))


def blockstore_concerned(event: Any) -> list[bytes]:
    return [event.ref] if not hasattr(event, "source") else list({event.source, event.target})


@pytest.mark.parametrize("kept", [7, 29])
def test_the_blocks_within_the_horizon_are_found_before_and_after_a_restart(tmp_path: Path, kept: int) -> None:
    store = open_store(tmp_path / "db", create=True)
    batches = fill(store, 30)
    assert len(store.segments()) >= 3
    drop(store, keep(kept))
    check(store, batches, 30 - kept)
    assert all(segment > store.base for segment in store.segments()), "no index of what is gone"
    store.close()
    store = open_store(tmp_path / "db")
    later = list(islice(chain_of(4), 40))
    store.commit_async(*later[30:]).result()
    drop(store, keep(kept))
    check(store, later, 40 - kept)
    store.close()


def test_the_younger_of_what_blocks_days_and_snapshot_ask_for_is_kept(store: BlockStore) -> None:
    """The blocks of these tests are a second apart."""
    fill(store, 40)
    for horizon, base in (
        (keep(blocks=30, ms=5_000), 10),
        (keep(blocks=5, ms=20_000), 19),
        (keep(blocks=5, ms=5_000, above=25), 25),
        (keep(blocks=39, ms=10**9), 25),
    ):
        drop(store, horizon)
        assert store.base == base


def test_a_step_has_a_bound_in_blocks_bytes_and_rows(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 30)
    drop_step(store, keep(2))
    assert store.base == 4
    monkeypatch.setattr(pruning, "STEP_BYTES", 1)
    while store.base == 4:
        drop_step(store, keep(2))
    assert store.base == 5
    touched: list[int] = []

    accounts: list[int] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            touched.append(cursor.rowcount)
        if statement.startswith("DELETE FROM history"):
            accounts.append(cursor.rowcount)

    sa.event.listen(store.engine, "after_cursor_execute", count)
    drop(store, keep(2))
    assert max(touched) <= 256, "most rows of `tx_pages` that a segment has"
    assert max(accounts) == pruning.STEP_ROWS, "a segment of a busy graph has hundreds of thousands"


def test_readers_beside_it_find_a_block_whole_or_not_at_all(store: BlockStore) -> None:
    batches = fill(store, 40)
    over, faults = threading.Event(), list[BaseException]()

    def look() -> None:
        rng = random.Random(1)
        try:
            while not over.is_set():
                batch = rng.choice(batches)
                found = store.tx(batch.tx_ids[0])
                assert found is None or found.receipt == batch.receipts[1]
                rows = store.history(account(1), before=None, limit=1000)
                assert all(row.height > 0 for row in rows)
        except BaseException as fault:
            faults.append(fault)

    reader = threading.Thread(target=look)
    reader.start()
    drop(store, keep(3))
    over.set()
    reader.join()
    assert not faults
    assert store.base == 37


# --- what stays ------------------------------------------------------------------------------------------------------------------


def test_what_outlives_its_blocks_stays(store: BlockStore) -> None:
    """Validator set changes, for light clients and newcomers, and what was archived of jobs that ended."""
    batches = fill(store, 20)
    with store.write("put what outlives") as c:
        c.execute(sa.insert(schema.validator_changes), {"height": 3, "handover": b"x"})
        c.execute(sa.insert(schema.archived), {"ref": b"r" * 32, "height": 3, "records": b"x"})
        c.execute(sa.insert(schema.archived_numbers), {"key": b"n", "ref": b"x"})
    drop(store, keep(2))
    assert store.base == 18
    with store.write("look for what outlives") as c:
        for table in (schema.validator_changes, schema.archived, schema.archived_numbers):
            assert c.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 1
            c.execute(sa.delete(table))
    del batches


def test_of_blocks_that_are_gone_no_row_of_the_index_is_left(store: BlockStore) -> None:
    fill(store, 30)
    begin = store.segments()[0]
    for kept, base in ((30 - begin, begin), (2, 28)):
        drop(store, keep(kept))
        assert store.base == base, "at first that of a segment's last block"
        with store.read("look at the index") as c:
            for table in (schema.parts, schema.tx_pages, schema.history):
                first = c.execute(sa.select(sa.func.min(table.c.part))).scalar()
                assert first is None or first > base, table.name


def test_a_base_that_came_from_a_snapshot_moves_on(store: BlockStore) -> None:
    """Its row is a header alone already."""
    batches = fill(store, 20)
    drop(store, keep(10))
    drop(store, keep(10))
    assert store.base == 10
    drop(store, keep(3))
    check(store, batches, 17)


def test_what_was_not_executed_here_and_is_gone_waits_for_no_audit(store: BlockStore) -> None:
    batches = fill(store, 20)
    with store.write("note") as c:
        c.execute(sa.insert(schema.unaudited), [{"height": 4}, {"height": 15}])
    assert state_diffs.audited(store) == 3
    drop(store, keep(10))
    assert state_diffs.audited(store) == 14
    drop(store, keep(2))
    assert state_diffs.audited(store) == 20
    del batches


def test_changes_outlive_their_block_until_the_state_on_the_disk_needs_them_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal: a start puts them into buckets that were not written since."""
    monkeypatch.setattr(buckets, "SPAN", 800)
    store = open_store(tmp_path / "db", create=True)
    batches = fill(store, 20)
    drop(store, keep(2))
    assert 1 < _journalled(store, 18) < 18
    check(store, batches, 18)
    store.close()
    store = open_store(tmp_path / "db")
    check(store, batches, 18)
    store.close()


# --- the disk --------------------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_the_file_becomes_smaller_and_then_grows_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "STEP_BLOCKS", 32)
    monkeypatch.setattr(pruning, "STEP_PAGES", 64)
    monkeypatch.setattr(pruning, "STEP_ROWS", 4_096)
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 16_384)
    store = open_store(tmp_path / "db", create=True)
    blocks = chain_of(60)
    store.commit_async(*islice(blocks, 60)).result()
    whole = _pages(store)
    steps = drop(store, keep(10))
    kept = _pages(store)
    assert steps < 40, "a step gives many pages back"
    assert kept < 0.75 * whole
    for _ in range(5):
        store.commit_async(*islice(blocks, 10)).result()
        drop(store, keep(10))
    assert _pages(store) <= 2 * kept
    store.check(full=True)
    store.close()


def _pages(store: BlockStore) -> int:
    with store.read("count pages") as c:
        return int(c.exec_driver_sql("PRAGMA page_count").scalar() or 0)


@pytest.mark.sqlite
def test_a_full_disk_drops_nothing_and_is_tried_again(store: BlockStore) -> None:
    batches = fill(store, 30)
    full = True

    def cramp(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if full and statement.startswith("UPDATE"):
            raise sqlite3.OperationalError("database or disk is full")

    sa.event.listen(store.engine, "before_cursor_execute", cramp)
    with pytest.raises((DiskFull, StorageFailed)):
        drop_step(store, keep(5))
    full = False
    drop(store, keep(5))
    check(store, batches, 25)


# --- crashes ---------------------------------------------------------------------------------------------------------------------


class Died(BaseException):
    pass


@pytest.mark.sqlite
def test_it_goes_on_after_a_crash_before_every_statement(tmp_path: Path) -> None:
    """And between any two steps: what is there then opens, is whole, and leads to the same end."""
    store = open_store(tmp_path / "first", create=True)
    batches = fill(store, 18)
    store.close()
    whole = (tmp_path / "first").read_bytes()
    deaths = 0
    for at in range(1, 1_000, 7):
        path = tmp_path / "db"
        for name in ("db", "db-wal", "db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        path.write_bytes(whole)
        if not _dies(path, at):
            break
        deaths += 1
        store = open_store(path)
        store.check(full=True)
        drop(store, keep(6))
        check(store, batches, 12)
        store.close()
    assert deaths > 5, "it ended before the segments of the index went"


def _dies(path: Path, at: int) -> bool:
    """Whether the process that drops blocks died before its statement number `at`; what it had not committed is lost."""
    store, left = open_store(path), at

    def fuse(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died

    sa.event.listen(store.engine, "before_cursor_execute", fuse)
    try:
        drop(store, keep(6))
    except Died:
        return True
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", fuse)
        store.close()
    return False


PRUNER = """
import os, sys, threading, time
from learningchain.chain.storage import index, pruning
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.pruning import Horizon, drop_step
from tests.unit.storage_blocks import CHAIN, chain_of
index.SEGMENT_ENTRIES, pruning.STEP_BLOCKS, pruning.STEP_ROWS = 120, 4, 16
store = BlockStore.open(sys.argv[1], chain_id=CHAIN, create=True)

def drops():
    while True:
        more = drop_step(store, Horizon(5, 0, 10**9))
        os.write(1, f"base {store.base}\\n".encode())
        if not more:
            time.sleep(0.01)

threading.Thread(target=drops, daemon=True).start()
for batch in chain_of(10):
    store.commit(batch)
    os.write(1, f"height {batch.height}\\n".encode())
"""


def test_a_killed_process_leaves_a_database_that_opens_and_goes_on(tmp_path: Path, backend: Places) -> None:
    heights = 30
    command = [sys.executable, "-c", PRUNER, backend.of(str(tmp_path / "db"))]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert child.stdout is not None
    seen = {"height": 0, "base": 0}
    while seen["height"] < heights or seen["base"] < 10:
        word, number = child.stdout.readline().split()
        seen[word] = int(number)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=False, hold=True)
    head = store.head()
    assert head is not None and head.height >= seen["height"]
    assert store.base >= seen["base"]
    batches = list(islice(chain_of(10), head.height))
    check(store, batches, store.base, ended=False)
    drop(store, keep(2))
    check(store, batches, head.height - 2)
    store.close()
