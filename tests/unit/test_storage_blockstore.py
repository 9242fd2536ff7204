"""The block store: one transaction per height, everything found again, damage named, nothing half-written."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa

from learningchain.chain.codec import decode, encode
from learningchain.chain.crypto import ZERO_HASH
from learningchain.chain.node.history import AccountEvent
from learningchain.chain.storage import blockstore, check, index, schema
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.errors import DiskFull, FolderInUse, StorageDamaged, StorageError, StorageFailed, StorageMismatch
from learningchain.chain.storage.writer import Writer
from learningchain.chain.types import Block, Receipt, TransferEvent, decode_block
from tests.unit.storage_backends import Places
from tests.unit.storage_backends import backend as backend
from tests.unit.storage_backends import postgres as postgres
from tests.unit.storage_backends import pytest_generate_tests as pytest_generate_tests
from tests.unit.storage_blocks import CHAIN, account, chain_of, make_batch
from tests.unit.storage_disk import CrampedDisk, small_file_system

ROOT = Path(__file__).parents[2]


def open_store(path: Path | str, *, create: bool = True) -> BlockStore:
    return BlockStore.open(str(path), chain_id=CHAIN, create=create)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    store = open_store(tmp_path / "db")
    yield store
    store.close()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 40)
    monkeypatch.setattr(blockstore, "_PROBES", 3)


def fill(store: BlockStore, count: int, transfers: int = 3, seed: int = 1) -> list[CommitBatch]:
    batches = list(islice(chain_of(transfers, seed=seed), count))
    for batch in batches:
        store.commit(batch)
    return batches


class Model:
    """What a store must answer, kept in plain dictionaries."""

    def __init__(self, batches: list[CommitBatch]) -> None:
        self.state: dict[bytes, bytes] = {}
        self.history: dict[bytes, list[tuple[int, AccountEvent]]] = {}
        for batch in batches:
            for key, value in batch.state:
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
            for receipt in (decode(Receipt, raw, 4096) for raw in batch.receipts):
                for event in receipt.events:
                    for who in {event.source, event.target} if isinstance(event, TransferEvent) else {event.ref}:
                        self.history.setdefault(who, []).append((batch.height, AccountEvent(receipt.tx, event)))
        self.batches = batches

    def check(self, store: BlockStore) -> None:
        head = store.head()
        last = self.batches[-1]
        assert head is not None and (head.height, head.block_id) == (last.height, last.block_id)
        assert dict(store.load_state()) == self.state
        for who, events in self.history.items():
            rows, before = [], None
            while page := store.history(who, before=before, limit=1000):
                rows += page
                before = page[-1].cursor
            assert [(r.height, r.line) for r in rows] == events[::-1]
        for batch in self.batches:
            stored = store.block(batch.height)
            assert stored is not None and stored.block_id == batch.block_id
            assert (stored.block, stored.certificate, stored.block_id) == (batch.block, batch.certificate, batch.block_id)
            assert store.receipts(batch.height) == batch.receipts
            assert store.certificate(batch.height) == batch.certificate
            for position, tx in enumerate(batch.tx_ids):
                found = store.tx(tx)
                assert found is not None and (found.height, found.index) == (batch.height, position)
                assert found.receipt == batch.receipts[position + 1] and tx in found.receipt


@pytest.mark.both
@pytest.mark.usefixtures("small_segments")
def test_everything_is_found_again_before_and_after_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    batches = fill(store, 40)
    assert len(store.segments()) >= 6, "the index was never written out"
    model = Model(batches)
    model.check(store)
    store.check(full=True)
    store.close()
    store = open_store(tmp_path / "db", create=False)
    store.check(full=False)
    model.check(store)
    store.close()


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize("limit", [1, 4, 17])
def test_history_is_paged_by_its_cursor(store: BlockStore, limit: int) -> None:
    model = Model(fill(store, 30))
    for who, events in model.history.items():
        pages, before = [], None
        while rows := store.history(who, before=before, limit=limit):
            assert len(rows) <= limit
            pages += rows
            before = rows[-1].cursor
        assert [(r.height, r.line) for r in pages] == events[::-1]
        assert all(r.time == r.height * 1000 for r in pages)
        assert sorted({r.cursor for r in pages}, reverse=True) == [r.cursor for r in pages]


def test_what_is_not_there_is_none(store: BlockStore) -> None:
    assert store.head() is None and store.block(1) is None and store.tx(bytes(32)) is None
    fill(store, 3)
    assert store.block(4) is None and store.certificate(9) is None
    assert store.receipts(9) == [] and store.history(account(99), before=None, limit=9) == []
    assert [b.height for b in store.blocks(2, 10)] == [2, 3]
    assert [b.height for b in store.blocks(1, 2)] == [1, 2]


def test_no_answer_is_longer_than_its_bound(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = fill(store, 6)
    monkeypatch.setattr(blockstore, "MAX_ROWS", 4)
    assert [b.height for b in store.blocks(1, 10**9)] == [1, 2, 3, 4]
    assert len(store.history(account(1), before=None, limit=10**9)) == 4
    sizes = [len(b.block) + 4 for b in batches]
    for size, count in ((1, 1), (sizes[0], 1), (sizes[0] + 1, 2), (sum(sizes[:3]), 3)):
        assert len(store.blocks(1, 9, size)) == count, "the one that reaches the size is the last"


def test_what_was_handed_over_is_committed_when_the_store_is_closed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    waiting = [store.commit_async(batch) for batch in islice(chain_of(5), 8)]
    store.close()
    assert all(commit.done() for commit in waiting)
    store = open_store(tmp_path / "db", create=False)
    assert store.head().height == 8  # type: ignore[union-attr]
    store.close()


@pytest.mark.sqlite
def test_whoever_hands_over_more_than_the_disk_takes_waits(tmp_path: Path) -> None:
    begun, go_on, third = threading.Event(), threading.Event(), threading.Event()
    writer = Writer("slow", 2)
    writer.submit(lambda: (begun.set(), go_on.wait(30))[0])
    assert begun.wait(30)
    done = [writer.submit(lambda: None) for _ in range(2)]
    late = threading.Thread(target=lambda: (done.append(writer.submit(lambda: None)), third.set()))
    late.start()
    assert not third.is_set() and not any(work.done() for work in done)
    go_on.set()
    assert third.wait(30)
    writer.close()
    assert len(done) == 3 and all(work.done() for work in done)
    late.join()


@pytest.mark.usefixtures("small_segments")
def test_an_index_that_names_a_block_that_is_gone_is_damage(store: BlockStore) -> None:
    tx = fill(store, 20)[4].tx_ids[0]
    with store.engine.begin() as connection:
        connection.execute(sa.delete(schema.blocks).where(schema.blocks.c.height == 5))
    with pytest.raises(StorageDamaged, match="Height 5 is missing"):
        store.tx(tx)


@pytest.mark.usefixtures("small_segments")
def test_a_part_ends_with_the_block_that_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entries, or by its blocks; the same whether heights are stored one by one or together."""
    batches = list(islice(chain_of(3), 24))
    entries = [len(b.tx_ids) + len(b.account_index) for b in batches]
    ends, held = list[int](), 0
    for batch, added in zip(batches, entries, strict=True):
        held += added
        if held >= 40:
            ends, held = [*ends, batch.height], 0
    for name, size in (("one", 1), ("together", 24)):
        store = open_store(tmp_path / name)
        for start in range(0, 24, size):
            store.commit_async(*batches[start : start + size]).result()
        assert store.segments() == ends
        Model(batches).check(store)
        store.close()
    monkeypatch.setattr(index, "SEGMENT_ENTRIES", 10**9)
    monkeypatch.setattr(index, "SEGMENT_BLOCKS", 5)
    for name, size in (("blocks", 1), ("blocks together", 24)):
        store = open_store(tmp_path / name)
        for start in range(0, 24, size):
            store.commit_async(*batches[start : start + size]).result()
        assert store.segments() == [5, 10, 15, 20]
        Model(batches).check(store)
        store.close()
        Model(batches).check(store := open_store(tmp_path / name))
        store.close()


def test_ids_that_begin_alike_are_told_apart(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an id the index keeps eight bytes: who makes two that share them hides neither, and finds nothing that is not there."""
    first = b"\xff" * 8 + bytes(24)
    second = b"\xff" * 8 + bytes(23) + b"x"
    page = index.rows_of(9, [(3, [(first, 0)]), (7, [(second, 4095)])])
    ((part, bucket, raw),) = page
    assert (part, bucket) == (9, 255)
    both = [index.TxLocator(7, 4095), index.TxLocator(3, 0)]
    assert index.find_in(9, raw, first) == index.find_in(9, raw, second) == both
    assert index.find_in(9, raw, b"\xff" * 7 + bytes(25)) == []
    tx = fill(store, 3)[1].tx_ids[1]
    monkeypatch.setattr(store._recent, "tx", lambda _: None)
    monkeypatch.setattr(
        store, "_probe_txs", lambda *_: iter([index.TxLocator(3, 99), index.TxLocator(1, 1), index.TxLocator(2, 1)])
    )
    found = store.tx(tx)
    assert found is not None and (found.height, found.index) == (2, 1)
    assert store.tx(tx[:8] + bytes(24)) is None


def test_state_keys_are_replaced_and_deleted(store: BlockStore) -> None:
    first, second = islice(chain_of(0), 2)
    store.commit(dataclasses.replace(first, state=[(b"a", b"1"), (b"b", b"1"), (b"b", b"2")]))
    store.commit(dataclasses.replace(second, state=[(b"a", None), (b"b", b"3"), (b"gone", None)]))
    assert dict(store.load_state()) == {b"b": b"3"}


def test_only_the_next_height_is_taken(store: BlockStore) -> None:
    batches = fill(store, 2)
    for wrong in (batches[1], dataclasses.replace(batches[1], height=4)):
        with pytest.raises(ValueError, match="does not follow the stored head 2"):
            store.commit(wrong)
    store.commit(next(chain_of(1, parent=batches[1].block_id, start=3)))


@pytest.mark.both
def test_a_commit_that_fails_leaves_nothing_and_ends_the_store(store: BlockStore) -> None:
    batches = fill(store, 2)
    bad = dataclasses.replace(next(chain_of(1, start=3)), block_id=batches[0].block_id)
    before = dict(store.load_state())
    with pytest.raises(StorageFailed, match=r"(?i)unique"):
        store.commit(bad)
    assert dict(store.load_state()) == before and store.block(3) is None
    with pytest.raises(StorageFailed):
        store.commit(next(chain_of(1, start=3)))


def test_commits_behind_the_log_come_in_order_and_readers_see_whole_heights(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    batches = list(islice(chain_of(5), 40))
    done = threading.Event()
    problems: list[object] = []

    def read() -> None:
        while not done.is_set():
            head = store.head()
            if head is not None:
                stored = store.block(head.height)
                tx = store.tx(batches[head.height - 1].tx_ids[0])
                if stored is None or stored.block_id != head.block_id or tx is None or tx.height != head.height:
                    problems.append(head)

    reader = threading.Thread(target=read)
    reader.start()
    futures = [store.commit_async(batch) for batch in batches[:39]]
    store.commit(batches[39])
    assert all(f.done() and f.exception() is None for f in futures)
    done.set()
    reader.join()
    assert not problems
    Model(batches).check(store)
    store.close()


def test_after_a_failed_commit_behind_the_log_the_queued_ones_fail_too(store: BlockStore) -> None:
    first, second, third = islice(chain_of(1), 3)
    futures = [store.commit_async(b) for b in (first, dataclasses.replace(second, block_id=first.block_id), third)]
    assert futures[0].exception() is None
    assert isinstance(futures[1].exception(), StorageFailed) and futures[2].exception() is futures[1].exception()


# --- damage -------------------------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_flipped_bytes_anywhere_in_the_file_are_noticed_or_harmless(tmp_path: Path) -> None:
    """A full check and a look at everything after it either refuse, or every answer is right."""
    path = tmp_path / "db"
    store = open_store(path)
    model = Model(fill(store, 24, transfers=8))
    store.close()
    whole = path.read_bytes()
    refused = 0
    for seed in range(24):
        rng = random.Random(seed)
        damaged = bytearray(whole)
        at = rng.randrange(100, len(damaged) - 64)
        damaged[at : at + 16] = rng.randbytes(16)
        path.write_bytes(damaged)
        for tail in ("-wal", "-shm"):
            Path(f"{path}{tail}").unlink(missing_ok=True)
        try:
            again = open_store(path, create=False)
            try:
                again.check(full=True)
                model.check(again)
            finally:
                again.close()
        except StorageError as e:
            refused += 1
            assert str(path) in str(e)
            if isinstance(e, StorageDamaged):
                assert "let the node sync from its peers" in str(e)
    assert refused > 6


@pytest.mark.sqlite
def test_a_start_notices_damaged_pages_and_a_damaged_head(tmp_path: Path) -> None:
    path = tmp_path / "db"
    store = open_store(path)
    batches = fill(store, 20, transfers=10)
    store.close()
    whole = path.read_bytes()
    pages = bytearray(whole)
    for page in range(2, len(pages) // 4096):
        pages[page * 4096 : page * 4096 + 12] = b"\xff" * 12
    head = bytearray(whole)
    at = head.rindex(batches[-1].block[-100:])
    head[at + 50] ^= 1
    for content in (pages, head):
        path.write_bytes(content)
        with pytest.raises(StorageDamaged, match=r"database is damaged|malformed"):
            open_store(path, create=False).check(full=False)


@pytest.mark.sqlite
def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"something else entirely, long enough to be a header" * 100)
    with pytest.raises(StorageDamaged, match="not a database"):
        open_store(tmp_path / "db", create=False)


@pytest.mark.parametrize(
    ("column", "change", "why"),
    [
        ("header", None, "checksum"),
        ("receipts", None, "checksum"),
        ("block", None, "checksum"),
        ("certificate", "swap", "certificate is another block's"),
        ("receipts", "swap", "receipts are not those"),
        ("block", "swap", "does not hash to its id"),
        ("header", "swap", "does not hash to its id"),
    ],
)
def test_a_full_check_finds_a_changed_block(tmp_path: Path, column: str, change: str | None, why: str) -> None:
    store = open_store(tmp_path / "db")
    fill(store, 6)
    c, at = schema.blocks.c, schema.at
    with store.engine.begin() as connection:
        good = store.column(2, column) or b""
        if change == "swap":
            new = schema.add_checksum(at(3, column), good)
        else:
            sealed = schema.add_checksum(at(3, column), good)
            new = sealed[:-1] + bytes((sealed[-1] ^ 1,))
        connection.execute(sa.update(schema.blocks).where(c.height == 3).values({column: new}))
    store.check(full=False)
    with pytest.raises(StorageDamaged, match=why):
        store.check(full=True)
    store.close()


def test_missing_heights_are_noticed_at_start(store: BlockStore) -> None:
    fill(store, 6)
    with store.engine.begin() as connection:
        connection.execute(sa.delete(schema.blocks).where(schema.blocks.c.height == 3))
    with pytest.raises(StorageDamaged, match="5 blocks are stored between heights 1 and 6"):
        store.check(full=False)


def test_missing_first_heights_are_noticed_at_start(store: BlockStore) -> None:
    fill(store, 6)
    with store.engine.begin() as connection:
        connection.execute(sa.delete(schema.blocks).where(schema.blocks.c.height < 3))
    with pytest.raises(StorageDamaged, match="4 blocks are stored between heights 3 and 6: some are missing"):
        store.check(full=False)


@pytest.mark.parametrize("at", [3, 6])
def test_a_block_without_one_of_its_transactions_is_noticed(store: BlockStore, at: int) -> None:
    """Of the head at every start."""
    fill(store, 6)
    block = decode_block(store.column(at, "block") or b"")
    fewer = schema.add_checksum(schema.at(at, "block"), encode(Block(block.header, block.txs[:-1])))
    with store.engine.begin() as connection:
        connection.execute(sa.update(schema.blocks).where(schema.blocks.c.height == at).values(block=fewer))
    for full in (False, True) if at == 6 else (True,):
        with pytest.raises(StorageDamaged, match="transactions are not those that its header names"):
            store.check(full=full)


@pytest.mark.usefixtures("small_segments")
def test_an_index_of_accounts_that_says_otherwise_than_the_blocks_is_noticed(store: BlockStore) -> None:
    fill(store, 20)
    last = store.segments()[0]
    nothing = schema.add_checksum(schema.at(last, "picks"), encode([]))
    with store.engine.begin() as connection:
        connection.execute(sa.update(schema.blocks).where(schema.blocks.c.height == last).values(picks=nothing))
    with pytest.raises(StorageDamaged, match=f"index of heights 1 to {last} does not agree"):
        store.check(full=True)


@pytest.mark.usefixtures("small_segments")
def test_the_last_block_of_a_part_is_compared_wherever_the_batches_end(store: BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 12)
    for batch in (1, 2, 3, 16):
        monkeypatch.setattr(check, "_BATCH", batch)
        store.check(full=True)


def test_a_chain_that_does_not_link_is_noticed(store: BlockStore) -> None:
    fill(store, 2)
    store.commit(make_batch(3, ZERO_HASH, 1, 2, random.Random(5)))
    with pytest.raises(StorageDamaged, match="does not follow the block before it"):
        store.check(full=True)


@pytest.mark.usefixtures("small_segments")
def test_an_index_that_lost_a_row_is_noticed(store: BlockStore) -> None:
    fill(store, 20)
    with store.engine.begin() as connection:
        t = schema.tx_pages.c
        part, bucket, sealed = connection.execute(sa.select(t.part, t.bucket, t.places)).first() or pytest.fail("no index")
        fewer = schema.add_checksum(schema.in_segment(part, bucket), bytes(sealed)[4:-12])
        connection.execute(sa.update(schema.tx_pages).where(t.part == part, t.bucket == bucket).values(places=fewer))
    with pytest.raises(StorageDamaged, match="index of heights"):
        store.check(full=True)


# --- the wrong place ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [bytes(32), CHAIN[:-1] + b"x"], ids=["another", "one that begins alike"])
def test_another_networks_database_is_refused_and_not_held_open(tmp_path: Path, backend: Places, other: bytes) -> None:
    open_store(tmp_path / "db").close()
    held = backend.held(tmp_path)
    with pytest.raises(StorageMismatch, match="belongs to the network") as refused:
        BlockStore.open(str(tmp_path / "db"), chain_id=other, create=False)
    assert backend.lets_go(tmp_path, held), refused


@pytest.mark.sqlite
def test_a_password_in_the_url_of_a_database_is_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = schema.make_engine(str(tmp_path / "db"))
    monkeypatch.setattr(schema, "make_engine", lambda _: engine)
    store = BlockStore.open("postgresql+psycopg://node:secret@host/db", chain_id=CHAIN, create=True, hold=False)
    fill(store, 2)
    with store.engine.begin() as connection:
        connection.execute(sa.delete(schema.blocks).where(schema.blocks.c.height == 1))
    with pytest.raises(StorageDamaged) as damage:
        store.check(full=False)
    assert "secret" not in f"{store.where} {damage.value}" and "host/db" in store.where
    store.close()


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (b"1", "an older version of the program wrote it (format 1, this program's is 6)"),
        (b"4", "an older version of the program wrote it (format 4, this program's is 6)"),
        (b"7", "a newer version of the program wrote it (format 7, this program's is 6)"),
        (b"", "it names no version of its format"),
    ],
)
def test_a_database_of_another_schema_is_refused_and_left_as_it_is(tmp_path: Path, number: bytes, said: str) -> None:
    store = open_store(tmp_path / "db")
    with store.engine.begin() as c:
        c.execute(sa.update(schema.meta).where(schema.meta.c.name == "schema").values(value=number))
    store.close()
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(StorageMismatch, match=re.escape(said)):
        open_store(tmp_path / "db")
    assert (tmp_path / "db").read_bytes() == before


@pytest.mark.sqlite
def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="does not exist"):
        open_store(tmp_path / "db", create=False)
    with pytest.raises(StorageFailed, match="no such file or folder"):
        open_store(tmp_path / "missing" / "db")


@pytest.mark.sqlite
def test_a_database_that_another_process_writes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "db")
    batch = next(chain_of(1))
    other = sqlite3.connect(tmp_path / "db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    sa.event.listen(store.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA busy_timeout=1"))
    with pytest.raises(FolderInUse, match="another process writes"):
        store.commit(batch)
    other.close()
    store.close()


@pytest.mark.sqlite
def test_a_full_disk_is_named_and_the_height_can_be_tried_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "db")
    batches = list(islice(chain_of(200), 3))
    store.commit(batches[0])
    full = True

    def cramp(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={1 if full else 10**9}")

    sa.event.listen(store.engine, "checkout", cramp)
    with pytest.raises(DiskFull, match=r"store height 2 .*Free some space"):
        store.commit(batches[1])
    head = store.head()
    assert head is not None and head.height == 1 and store.block(2) is None
    full = False
    store.commit(batches[1])
    Model(batches[:2]).check(store)
    store.close()


@pytest.mark.sqlite
def test_a_small_file_system_runs_full_and_loses_no_height(tmp_path: Path) -> None:
    with small_file_system(tmp_path, 2**20) as disk:
        store = open_store(tmp_path / "db")
        if isinstance(disk, CrampedDisk):
            pages = disk.limit // 4096
            sa.event.listen(store.engine, "checkout", lambda c, *_: c.execute(f"PRAGMA max_page_count={pages}"))
        stored = []
        with pytest.raises(DiskFull, match="no space left on the device"):
            for batch in chain_of(60):
                store.commit(batch)
                stored.append(batch)
        assert stored
        store.close()
        store = open_store(tmp_path / "db", create=False)
        Model(stored).check(store)
        store.close()


class PostgresError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("what the server says")
        self.sqlstate = sqlstate


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("SQLITE_FULL", DiskFull, "no space left on the device"),
        ("SQLITE_CORRUPT", StorageDamaged, "what it says"),
        ("SQLITE_CORRUPT_INDEX", StorageDamaged, "what it says"),
        ("SQLITE_NOTADB", StorageDamaged, "what it says"),
        ("SQLITE_BUSY", FolderInUse, "another process writes"),
        ("SQLITE_BUSY_SNAPSHOT", FolderInUse, "another process writes"),
        ("SQLITE_READONLY_DBMOVED", StorageFailed, "read-only, or no permission"),
        ("SQLITE_CANTOPEN", StorageFailed, "read-only, or no permission"),
        ("SQLITE_PERM", StorageFailed, "read-only, or no permission"),
        ("SQLITE_IOERR_FSYNC", StorageFailed, "what it says SQLITE_IOERR_FSYNC"),
        ("53100", DiskFull, "no space left for the database"),
        ("XX001", StorageDamaged, "what the server says"),
        ("XX002", StorageDamaged, "what the server says"),
        ("57P01", StorageFailed, "what the server says"),
        (None, StorageFailed, "what the server says"),
    ],
)
def test_an_error_of_the_database_is_what_an_operator_can_do_about_it(
    name: str | None, kind: type[StorageError], said: str
) -> None:
    """A full disk may be tried again, damage may not: which of them it is comes from the database's own code."""
    error: Exception = PostgresError(name)
    if name is not None and name.startswith("SQLITE"):
        error = sqlite3.OperationalError("what it says")
        error.sqlite_errorname = name  # type: ignore[attr-defined]
    for raised in (error, sa.exc.DBAPIError("INSERT", {}, error)):
        if raised is error and isinstance(error, PostgresError):
            continue
        with pytest.raises(StorageError, match="Could not do it") as told, schema.db_errors("do it", "the database"):
            raise raised
        assert type(told.value) is kind and said in told.value.why
    with pytest.raises(StorageFailed, match="Check that the database can be reached"), schema.db_errors("do it", "the database"):
        raise sa.exc.TimeoutError("no connection")


# --- crashes ------------------------------------------------------------------------------------------------------------------

COMMITTER = """
import sys
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.writer import Writer
from learningchain.chain.types import Block, Receipt, TransferEvent, decode_block
from tests.unit.storage_blocks import CHAIN, chain_of
store = BlockStore.open(sys.argv[1], chain_id=CHAIN, create=True)
for batch in chain_of(20):
    if sys.argv[2] == "sync":
        store.commit(batch)
        print(batch.height, flush=True)
    else:
        store.commit_async(batch).add_done_callback(lambda f, h=batch.height: print(h, flush=True))
"""


@pytest.mark.parametrize(("how", "heights"), [("sync", 30), ("async", 45)])
def test_a_killed_process_leaves_every_height_that_it_reported(tmp_path: Path, backend: Places, how: str, heights: int) -> None:
    command = [sys.executable, "-c", COMMITTER, backend.of(str(tmp_path / "db")), how]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(heights)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    reported = max(int(line) for line in lines if line.endswith("\n"))
    store = BlockStore.open(str(tmp_path / "db"), chain_id=CHAIN, create=False, hold=True)
    head = store.head()
    assert head is not None and head.height in (reported, reported + 1)
    store.check(full=True)
    Model(list(islice(chain_of(20), head.height))).check(store)
    store.close()
