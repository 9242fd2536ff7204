"""A block store into another one, of whichever kind: from a file to a server, and back.

    source --rows in the order of their keys--> target, marked as unfinished --compared, checked--> a store as any other

Until the end the target has a mark that names what is copied: no node opens it, and the same copy, begun again, goes on behind the
last row of each table. A target that holds anything else is refused. Then every row of both is read once more and compared by a
digest, and the target is checked as `BlockStore.check` does in full: only then does the mark go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from learningchain.chain.storage import schema
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import StorageDamaged, StorageFailed
from learningchain.chain.storage.schema import TODO_DAMAGED, Bulk

BATCH_ROWS = 1_000
BATCH_BYTES = 4 * 2**20
"""A transaction ends with the row that reaches one of them."""
TABLES = tuple(table for table in schema.metadata.sorted_tables if table is not schema.meta)
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Copied:
    """`rows` are those of all tables; `resumed` of them were there from a copy that did not end."""

    height: int
    block_id: bytes
    state_root: bytes
    rows: int
    resumed: int


def copy_store(source: BlockStore, target: str, told: Callable[[str, int], None]) -> Copied:
    """`told` hears of each table and the rows of it that are there. Nobody may write to `source` meanwhile.

    Raises `StorageError`: the source is as it was, and the target is as it was or unfinished.
    """
    head = source.head()
    if head is None:
        raise StorageFailed(f"Nothing is copied from {source.where}", "it holds no blocks", "Let the node run first")
    store = BlockStore.open(target, chain_id=source.chain_id, create=True, copying=_mark(source))
    try:
        resumed = rows = 0
        for table in TABLES:
            there, added = _copy_table(source, store, table)
            resumed, rows = resumed + there, rows + there + added
            told(table.name, there + added)
        _compare(source, store)
        store.end_copy()
        return Copied(head.height, head.block_id, store.open_state().root, rows, resumed)
    finally:
        store.close()


def _mark(source: BlockStore) -> bytes:
    """What is copied: another state of the same chain has another one."""
    head = source.head()
    parts = (source.chain_id, head.block_id if head else b"", source.base.to_bytes(8, "big"), repr(source.segments()).encode())
    return sha256(b"".join(parts)).digest()


def _copy_table(source: BlockStore, target: BlockStore, table: sa.Table) -> tuple[int, int]:
    """How many rows were there, and how many came."""
    with target.read(f"look at {table.name}") as c:
        there = int(c.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0)
        keys = list(table.primary_key.columns)
        last = c.execute(sa.select(*keys).order_by(*(key.desc() for key in keys)).limit(1)).first()
    insert = Bulk(target.engine.dialect, sa.insert(table), tuple(table.c.keys()))
    added = 0
    with source.read(f"copy {table.name}") as c:
        for batch in _batches(_rows(c, table, last)):
            with target.write(f"copy {table.name}") as there_:
                insert.run(there_, batch)
            added += len(batch)
    return there, added


def _rows(connection: sa.Connection, table: sa.Table, after: Any = None) -> Iterator[Row]:
    """In the order of their keys, which is the same on both."""
    keys = list(table.primary_key.columns)
    query = sa.select(table).order_by(*keys)
    if after is not None:
        query = query.where(
            sa.tuple_(*keys) > sa.tuple_(*(sa.literal(value, key.type) for value, key in zip(after, keys, strict=True)))
        )
    for row in connection.execute(query.execution_options(yield_per=64)):
        yield tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, bytes))
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def digest(store: BlockStore, table: sa.Table) -> tuple[int, bytes]:
    """How many rows, and a hash over all that is in them."""
    found, count = sha256(), 0
    with store.read(f"compare {table.name}") as c:
        for row in _rows(c, table):
            count += 1
            for value in row:
                raw = value if isinstance(value, bytes) else int(value).to_bytes(8, "big", signed=True)
                found.update(len(raw).to_bytes(8, "big") + raw)
    return count, found.digest()


def _compare(source: BlockStore, target: BlockStore) -> None:
    for table in TABLES:
        if digest(source, table) != digest(target, table):
            what = f"The copy in {target.where} is not the same as {source.where}"
            raise StorageDamaged(what, f"the rows of {table.name} differ", f"Remove it and copy again. {TODO_DAMAGED}")
