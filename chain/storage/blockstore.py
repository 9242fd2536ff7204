"""Decided blocks, their receipts, the state after the last of them, and the indexes that people ask: a height
is never split over transactions.

SQLite (WAL mode, synchronous=FULL) by default, PostgreSQL by URL. Reads see committed heights only and may come from any thread;
commits are made by one thread at a time, in order, either by the caller (`commit`) or behind a log that was synced first, by a
writer thread with a bounded queue (`commit_async`). After a failed commit the store takes no other height: the node stops.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from learningchain.chain.codec import decode, encode
from learningchain.chain.host import K_VALIDATORS
from learningchain.chain.ledger.state import State
from learningchain.chain.node.history import AccountEvent, AccountIndex, lines
from learningchain.chain.storage import archive, database_url, migrations, private, schema, state_diffs, validator_changes
from learningchain.chain.storage.buckets import StateBuckets
from learningchain.chain.storage.check import check_store
from learningchain.chain.storage.errors import (
    DiskFull,
    StorageDamaged,
    StorageError,
    StorageFailed,
    StorageMismatch,
    disk_errors,
)
from learningchain.chain.storage.index import Recent, Segment, TxLocator, account_index_decoder, bucket_of, find_in, segment_decoder
from learningchain.chain.storage.schema import TODO_DAMAGED, Bulk, add_checksum, at, check_checksum, db_errors, in_segment
from learningchain.chain.storage.server import Hold
from learningchain.chain.storage.versions import other_version
from learningchain.chain.storage.writer import Writer
from learningchain.chain.types import Block, Header, Receipt, decode_block, tx_id

QUEUE_DEPTH = 8
"""Heights that may wait for the writer thread."""
MAX_ROWS = 1_000
"""Most rows that one call of `blocks` or `history` returns."""
_SEQ_BITS = 20
"""Enough for all events of a block: each takes more than eight bytes of it."""
MAX_RECEIPT = 256_000_000
"""Of what this node wrote itself: a block's own receipt has no other bound than what its deadlines move (LC-BLK-4)."""
_PROBES = 256
_blobs = msgspec.msgpack.Decoder(list[bytes])


@dataclass(frozen=True)
class CommitBatch:
    """All that a height changes. Height 0 may come with an empty block: the state of genesis, with the chain id as block id.

    `receipts` are the encoded receipts of the block's transactions in order, before them the block's own receipt. A state value of
    None deletes the key.
    """

    height: int
    block_id: bytes
    block: bytes
    certificate: bytes
    tx_ids: list[bytes]
    receipts: list[bytes]
    account_index: AccountIndex
    state: list[tuple[bytes, bytes | None]]
    executed: bool = True
    """Otherwise it was taken over as an executed block from a peer: see `chain.storage.state_diffs`."""
    archived: Sequence[tuple[bytes, bytes]] = ()
    """Records that leave the state and are kept: see `chain.storage.archive`."""


@dataclass(frozen=True)
class Head:
    """The last committed height. `header` is None for height 0."""

    height: int
    block_id: bytes
    header: Header | None


@dataclass(frozen=True)
class StoredBlock:
    height: int
    block_id: bytes
    block: bytes
    certificate: bytes


@dataclass(frozen=True)
class TxLocation:
    height: int
    index: int
    raw: bytes
    receipt: bytes


@dataclass(frozen=True)
class HistoryRow:
    """One event of an account. `time` is the block's; `cursor` orders all events of an account and is given as `before`."""

    height: int
    time: int
    line: AccountEvent
    cursor: int


def _check_follows(c: CommitBatch, last: int | None) -> None:
    allowed = (0, 1) if last is None else (last + 1,)
    if c.height not in allowed:
        raise ValueError(f"height {c.height} does not follow the stored head {last}")
    if len(c.receipts) not in (len(c.tx_ids), len(c.tx_ids) + 1):
        raise ValueError(f"{len(c.receipts)} receipts for {len(c.tx_ids)} transactions")
    if not c.block and c.height != 0:
        raise ValueError("only height 0 has no block")


def _entries(c: CommitBatch) -> int:
    """What a height adds to the index."""
    return len(c.tx_ids) + len(c.account_index)


def _header_of(c: CommitBatch) -> Header | None:
    return decode_block(c.block).header if c.block else None


def _block_row(c: CommitBatch, header: Header | None) -> tuple[int | bytes, ...]:
    """In the order of the table's columns."""
    columns = {
        "header": encode(header) if header else b"",
        "certificate": c.certificate,
        "block": c.block,
        "receipts": encode(c.receipts),
        "picks": encode(c.account_index),
    }
    return (c.height, c.block_id, *(add_checksum(at(c.height, name), blob) for name, blob in columns.items()))


def _tx_ids(block: bytes) -> list[bytes]:
    return [tx_id(raw) for raw in decode_block(block).txs] if block else []


class BlockStore:
    """An open store: see `open`."""

    def __init__(self, engine: sa.Engine, where: str, chain_id: bytes) -> None:
        self.where, self.chain_id = where, chain_id
        self.engine = engine
        self._reading = schema.reading(engine)
        self._hold: Hold | None = None
        """The lock on a database of a server. That on a file is the data folder's."""
        dialect = engine.dialect
        self._insert_block = Bulk(dialect, sa.insert(schema.blocks), tuple(schema.blocks.c.keys()))
        self._insert_txs = Bulk(dialect, sa.insert(schema.tx_pages), ("part", "bucket", "places"))
        self._insert_history = Bulk(dialect, sa.insert(schema.history), ("part", "account", "picks"))
        self.buckets = StateBuckets(engine, where)
        self._lock = threading.Lock()
        """Over head, segments and recent, for moments only."""
        self._write_lock = threading.Lock()
        self._head: Head | None = None
        self.base = 0
        """The history begins after this height: 0, that of the snapshot from which this node began, or of the last block that it
        dropped (`chain.storage.pruning`)."""
        self._segments: list[int] = []
        self._recent = Recent()
        self._failed: StorageError | None = None
        self._writer: Writer | None = None

    # opening

    @classmethod
    def open(
        cls, url_or_path: str, *, chain_id: bytes, create: bool, hold: bool | None = None, copying: bytes | None = None
    ) -> BlockStore:
        """Open a store; `create` makes the tables where there are none. `hold` (where it is not given, as `create`) keeps every
        other holder off a database of a server: who stores heights holds. `copying` names what is being copied into it: see
        `chain.storage.copying`.

        Raises `FolderInUse`, `StorageMismatch` (another network or schema), `StorageDamaged`, `StorageFailed`. Call `check` before
        using it.
        """
        is_file = "://" not in url_or_path
        where = url_or_path if is_file else database_url.masked(url_or_path)
        if is_file and not create and not os.path.exists(url_or_path):
            raise StorageFailed(
                f"There is no database {where}", "the file does not exist", "Give the right data folder, or run init first"
            )
        if is_file:
            with disk_errors("open the database", where):
                private.claim_database(url_or_path)
        store = cls(schema.make_engine(url_or_path), where, chain_id)
        try:
            with db_errors("open the database", where):
                hold = create if hold is None else hold
                if hold and not is_file:
                    store._hold = Hold(store.engine, where)
                store._check_meta(create, hold, copying)
                if copying is None:
                    store._load()
        except BaseException:
            store.close()
            raise
        return store

    def _check_meta(self, create: bool, hold: bool, copying: bytes | None) -> None:
        with self.engine.begin() as c:
            if sa.inspect(c).has_table("meta"):
                found = {row.name: bytes(row.value) for row in c.execute(sa.select(schema.meta))}
            elif create:
                found = {"schema": str(schema.SCHEMA_VERSION).encode(), "chain": self.chain_id}
                if copying is not None:
                    found["copying"] = copying
                schema.metadata.create_all(c)
                c.execute(sa.insert(schema.meta), [{"name": name, "value": value} for name, value in found.items()])
            else:
                raise StorageFailed(
                    f"The database {self.where} is empty", "it has no tables", "Give the right database, or run init first"
                )
        self._check_version(found.get("schema", b""), hold)
        if found.get("chain") != self.chain_id:
            why = f"it belongs to the network {found.get('chain', b'').hex()[:16]}, not to {self.chain_id.hex()[:16]}"
            remedy = "Give each network its own data folder; one that another version wrote, to that version"
            raise StorageMismatch(f"The database {self.where} is another network's", why, remedy)
        if found.get("copying") != copying:
            if copying is not None:
                why = "it holds something else than the beginning of this copy"
                raise StorageFailed(f"The database {self.where} is not empty", why, "Give an empty one, or remove what is in it")
            todo = "Finish the copy, from where it came, or use another database"
            raise StorageFailed(f"Cannot use the database {self.where}", "a copy into it did not end", todo)
        if self._hold is not None:
            with self.engine.begin() as c:
                self._hold.take(c)

    def _check_version(self, version: bytes, hold: bool) -> None:
        """Of an older version that this program knows: the holder upgrades it."""
        number = int(version[:20]) if version.isdigit() else None
        if number == schema.SCHEMA_VERSION:
            return
        why, todo = other_version(number, schema.SCHEMA_VERSION)
        if number is not None and migrations.leads_on(number):
            if hold:
                with self.engine.begin() as c:
                    migrations.upgrade(c, number)
                return
            todo = "Stop the node if it runs and start the node once with this program: it upgrades the database"
        raise StorageMismatch(f"Cannot use the database {self.where}", why, todo)

    def end_copy(self) -> None:
        """All that was to be copied is here: check it, and let it be a store as any other. Raises `StorageDamaged`."""
        with db_errors("check the copy", self.where):
            self._load()
            self.check(full=True)
            with self.write("end the copy") as c:
                c.execute(sa.delete(schema.meta).where(schema.meta.c.name == "copying"))

    def _load(self) -> None:
        """Head, segments and the newest entries of the index."""
        b = schema.blocks.c
        with self.read("read the newest blocks") as c:
            self._segments = sorted(int(part) for (part,) in c.execute(sa.select(schema.parts.c.part)))
            flushed = self._segments[-1] if self._segments else -1
            newest = sa.select(b.height, b.block, b.picks).where(b.height > flushed).order_by(b.height)
            for height, block, picks in c.execute(newest):
                raw = self._check_checksum(height, "block", block)
                self._recent.add(height, _tx_ids(raw), account_index_decoder.decode(self._check_checksum(height, "picks", picks)))
            row = c.execute(sa.select(b.height, b.block_id, b.header).order_by(b.height.desc()).limit(1)).first()
            low = c.execute(sa.select(b.height, b.block).order_by(b.height).limit(1)).first()
            self.buckets.load(c)
        if low is not None and low.height > 0 and not self._check_checksum(low.height, "block", low.block):
            self.base = low.height
        if row is not None:
            self._head = Head(row.height, bytes(row.block_id), self._header(row.height, row.header))

    def close(self) -> None:
        """Returns when every submitted height is committed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.buckets.close()
        if self._hold is not None:
            self._hold.close()
            self._hold = None
        self.engine.dispose()

    # holding

    def check_hold(self) -> None:
        """Is the database still this node's alone? To be asked before each signature: a microsecond. Raises `StorageFailed`."""
        if self._hold is not None:
            self._hold.check()

    @property
    def hold_fd(self) -> int | None:
        """Readable when `check_hold` will raise; None where there is nothing to watch."""
        return None if self._hold is None else self._hold.fd

    def _confirm(self, connection: sa.Connection) -> None:
        if self._hold is not None:
            self._hold.confirm(connection)

    # committing

    def commit(self, c: CommitBatch) -> None:
        """Store a height. Durable and visible on return; on an error nothing of it is stored.

        Raises ValueError unless it follows the head, `DiskFull` (may be tried again), `StorageFailed`.
        """
        if self._writer is not None:
            self.commit_async(c).result()
        else:
            self._commit((c,))

    def commit_async(self, *heights: CommitBatch) -> Future[None]:
        """Have the writer thread store consecutive heights after those submitted before; waits while `QUEUE_DEPTH` calls wait.

        They share a database transaction, which holds each of them whole. Only for heights that can be made again from a log that
        is already synced. Never cancel the future.
        """
        if self._writer is None:
            self._writer = Writer("block-store", QUEUE_DEPTH)
        return self._writer.submit(lambda: self._commit(heights))

    def _commit(self, heights: Sequence[CommitBatch]) -> None:
        with self._write_lock:
            if self._failed is not None:
                raise self._failed
            group: list[CommitBatch] = []
            last = self._head.height if self._head else None
            for c in heights:
                _check_follows(c, last)
                last = c.height
                # A segment of the index is made of what is committed already, and of the height that ends it.
                ends = self._recent.is_full_with(_entries(c), sum(map(_entries, group)), len(group))
                if ends:
                    self._store(group)
                    group = []
                group.append(c)
                if ends:
                    self._store(group, self._recent.as_segment(c.height, c.tx_ids, c.account_index))
                    group = []
            self._store(group)

    def _store(self, group: list[CommitBatch], segment: Segment | None = None) -> None:
        """One transaction. `segment` ends with the only height of its group."""
        if not group:
            return
        headers = [_header_of(c) for c in group]
        try:
            with db_errors(f"store height {group[0].height}", self.where), self.engine.begin() as connection:
                self._confirm(connection)
                self._insert_block.run(connection, [_block_row(c, header) for c, header in zip(group, headers, strict=True)])
                for c, header in zip(group, headers, strict=True):
                    self._write_state(connection, c)
                    if header is not None and header.validators_hash != header.next_validators_hash:
                        validator_changes.write(connection, header, c.certificate, dict(c.state)[K_VALIDATORS] or b"")
                if segment is not None:
                    self._write_segment(connection, segment)
        except DiskFull:
            self.buckets.undo()
            raise
        except StorageError as e:
            self._failed = e
            raise
        self.buckets.done()
        self._show(group, headers[-1], segment)

    def _write_state(self, connection: sa.Connection, c: CommitBatch) -> None:
        # The last word on a key counts, in the order of keys.
        changes = sorted(dict(c.state).items())
        if not c.block:
            self.buckets.fill(connection, c.height, [(key, raw) for key, raw in changes if raw is not None])
            self.buckets.load(connection)
            return
        state_diffs.write(connection, c.height, changes, c.executed)
        archive.write(connection, c.height, c.archived)
        self.buckets.write(connection, c.height, changes)

    def _write_segment(self, connection: sa.Connection, segment: Segment) -> None:
        connection.execute(sa.insert(schema.parts), {"part": segment.segment})
        self._insert_txs.run(
            connection, [(n, bucket, add_checksum(in_segment(n, bucket), blob)) for n, bucket, blob in segment.txs]
        )
        framed = [(n, account, add_checksum(at(n, "history") + account, blob)) for n, account, blob in segment.history]
        self._insert_history.run(connection, framed)

    def _show(self, group: list[CommitBatch], header: Header | None, segment: Segment | None) -> None:
        """Let readers see heights that are committed; `header` is that of the last."""
        last = group[-1]
        with self._lock:
            if segment is None:
                for c in group:
                    self._recent.add(c.height, c.tx_ids, c.account_index)
            else:
                self._recent = Recent()
                self._segments = [*self._segments, segment.segment]
            self._head = Head(last.height, last.block_id, header)

    # reading

    @contextmanager
    def read(self, doing: str) -> Iterator[sa.Connection]:
        """A connection for reading what all belongs to one moment; the driver's errors come out as ours. For this package."""
        with db_errors(doing, self.where), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self, doing: str) -> Iterator[sa.Connection]:
        """A transaction beside the heights, never within one. For this package."""
        with self._write_lock, db_errors(doing, self.where), self.engine.begin() as connection:
            self._confirm(connection)
            yield connection

    def _check_checksum(self, height: int, column: str, framed: bytes) -> bytes:
        return check_checksum(f"{column} of height {height} in {self.where}", at(height, column), bytes(framed))

    def _header(self, height: int, framed: bytes) -> Header | None:
        raw = self._check_checksum(height, "header", framed)
        return decode(Header, raw, 4096) if raw else None

    def head(self) -> Head | None:
        """The last committed height, or None in an empty store."""
        with self._lock:
            return self._head

    def segments(self) -> list[int]:
        """The last heights of the index's segments, ascending."""
        with self._lock:
            return list(self._segments)

    def forget_segment(self, segment: int) -> None:
        """It was dropped. For this package."""
        with self._lock:
            self._segments = [one for one in self._segments if one != segment]

    def load_state(self) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) of the state after the head, in no order that may be relied on. Every hash is made again."""
        with self.read("read the state") as c:
            yield from self.buckets.items(c)

    def open_state(self) -> State:
        """The state after the head, with nothing of it read but what finds the rest. Raises `StorageDamaged`."""
        with self.read("open the state") as c:
            return State.open(self.buckets, self.buckets.subroots(), self.buckets.keys(c))

    def block(self, height: int) -> StoredBlock | None:
        return next(iter(self._blocks(schema.blocks.c.height == height, 1)), None)

    def blocks(self, start: int, limit: int, size: int | None = None) -> list[StoredBlock]:
        """At most `limit` (and `MAX_ROWS`) blocks from height `start` upwards; none behind the one that reaches `size` bytes."""
        return self._blocks(schema.blocks.c.height >= start, min(limit, MAX_ROWS), size)

    def _blocks(self, condition: sa.ColumnElement[bool], limit: int, size: int | None = None) -> list[StoredBlock]:
        b = schema.blocks.c
        query = sa.select(b.height, b.block_id, b.block, b.certificate).where(condition).order_by(b.height).limit(limit)
        found: list[StoredBlock] = []
        total = 0
        with self.read("read blocks") as c:
            for h, i, block, certificate in c.execute(query.execution_options(yield_per=4)):
                found.append(
                    StoredBlock(
                        h, bytes(i), self._check_checksum(h, "block", block), self._check_checksum(h, "certificate", certificate)
                    )
                )
                total += len(block)
                if size is not None and total >= size:
                    break
        return found

    def column(self, height: int, column: str) -> bytes | None:
        """One checked blob of a height. For this package."""
        b = schema.blocks.c
        with self.read(f"read {column}") as c:
            framed = c.execute(sa.select(b[column]).where(b.height == height)).scalar()
        return None if framed is None else self._check_checksum(height, column, framed)

    def header(self, height: int) -> Header | None:
        raw = self.column(height, "header")
        return decode(Header, raw, 4096) if raw else None

    def headers(self, top: int, limit: int) -> list[tuple[int, bytes]]:
        """Heights and encoded headers from `top` downwards, at most `limit` (and `MAX_ROWS`)."""
        b = schema.blocks.c
        query = sa.select(b.height, b.header).where(b.height <= top, b.height > 0)
        with self.read("read headers") as c:
            rows = c.execute(query.order_by(b.height.desc()).limit(min(limit, MAX_ROWS))).all()
        return [(height, self._check_checksum(height, "header", framed)) for height, framed in rows]

    def certificate(self, height: int) -> bytes | None:
        return self.column(height, "certificate")

    def receipts(self, height: int) -> list[bytes]:
        """The encoded receipts of a height; empty where there is none."""
        raw = self.column(height, "receipts")
        return _blobs.decode(raw) if raw else []

    def tx(self, tx: bytes) -> TxLocation | None:
        """Where a transaction stands, its bytes and its receipt."""
        with self._lock:
            place, segments = self._recent.tx(tx), self._segments
        for candidate in (place,) if place else self._probe_txs(tx, segments):
            block = self._decoded(candidate.height)
            if block is not None and candidate.position < len(block.txs) and tx_id(block.txs[candidate.position]) == tx:
                receipts = self.receipts(candidate.height)
                if candidate.height <= self.base:
                    return None
                receipt = receipts[candidate.position + len(receipts) - len(block.txs)]
                return TxLocation(candidate.height, candidate.position, block.txs[candidate.position], receipt)
        return None

    def _decoded(self, height: int) -> Block | None:
        """None where it was dropped."""
        raw = self.column(height, "block")
        if height <= self.base:
            return None
        if not raw:
            raise StorageDamaged(f"Height {height} is missing in {self.where}", "the index names it", TODO_DAMAGED)
        return decode_block(raw)

    def _probe_txs(self, tx: bytes, segments: list[int]) -> Iterator[TxLocator]:
        t = schema.tx_pages.c
        for chunk in _newest_first(segments):
            with self.read("look up a transaction") as c:
                found = c.execute(sa.select(t.part, t.places).where(t.part.in_(chunk), t.bucket == bucket_of(tx))).all()
            for segment, framed in sorted(found, reverse=True):
                yield from find_in(segment, self.places(segment, bucket_of(tx), framed), tx)

    def places(self, segment: int, bucket: int, framed: bytes) -> bytes:
        """A checked row of `tx_pages`. For this package."""
        return check_checksum(
            f"transactions of the index's segment {segment} in {self.where}", in_segment(segment, bucket), bytes(framed)
        )

    def history(self, account: bytes, *, before: int | None, limit: int) -> list[HistoryRow]:
        """The events of an account, or of a subject such as a job, newest first: at most `limit` (and `MAX_ROWS`), those below the
        cursor `before` if one is given."""
        limit = min(limit, MAX_ROWS)
        rows: list[HistoryRow] = []
        for height, numbers in self._picked(account, before):
            if before is not None and height > before >> _SEQ_BITS:
                continue
            header, receipts = self.header(height), self.receipts(height)
            if height <= self.base:
                break
            time = header.time if header else 0
            told = [
                HistoryRow(height, time, line, height << _SEQ_BITS | seq)
                for seq, line in enumerate(_told(account, receipts, numbers))
            ]
            rows += [row for row in reversed(told) if before is None or row.cursor < before][: limit - len(rows)]
            if len(rows) >= limit:
                break
        return rows

    def _picked(self, account: bytes, before: int | None) -> Iterator[tuple[int, list[int]]]:
        """(height, numbers of the receipts that mention it) of an account from the newest height down."""
        with self._lock:
            recent, segments = self._recent.history(account), self._segments
        yield from reversed(recent)
        if before is not None:
            # The segment that holds the cursor's height is the first that ends at or above it.
            first = next((i for i, segment in enumerate(segments) if segment >= before >> _SEQ_BITS), len(segments) - 1)
            segments = segments[: first + 1]
        t = schema.history.c
        for chunk in _newest_first(segments):
            with self.read("look up an account's history") as c:
                found = c.execute(sa.select(t.part, t.picks).where(t.part.in_(chunk), t.account == account)).all()
            for segment, framed in sorted(found, reverse=True):
                where = f"the history of {account.hex()} in {self.where}"
                yield from reversed(segment_decoder.decode(check_checksum(where, at(segment, "history") + account, bytes(framed))))

    def check(self, full: bool) -> None:
        """Raises `StorageDamaged`. Quick: the database's own check, contiguous heights, the head's block. Full: every byte."""
        check_store(self, full)


def _told(account: bytes, receipts: list[bytes], numbers: list[int]) -> list[AccountEvent]:
    return [line for number in numbers for line in lines(account, decode(Receipt, receipts[number], MAX_RECEIPT))]


def _newest_first(segments: list[int]) -> Iterator[list[int]]:
    for end in range(len(segments), 0, -_PROBES):
        yield segments[max(0, end - _PROBES) : end]
