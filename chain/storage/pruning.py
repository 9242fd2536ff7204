"""Old blocks that a node does not want to keep: dropped a few at a time, beside archive nodes that keep all.

    blocks up to the base are gone --drop_step--> the base is a few heights further --...--> the horizon

The row of the base keeps header and certificate alone, as after a snapshot (`chain.storage.staging`): it is what the next block's
parent is checked with. With a block go its receipts and the note that nobody executed it here; its changes go once the state on
the disk needs them no more (the journal of `chain.storage.buckets`); the index goes by segments, each with its last block. What
outlives the blocks: the changes of the validator set, which light clients follow from genesis, what was archived of jobs that
ended, and the state.

A step is one transaction, and each leaves a database that opens, so nothing is noted anywhere of how far it has come: a node that
is killed between two steps goes on with the next. PostgreSQL reclaims the space by itself. SQLite gives it back to the disk a few
pages a step where the database was made with `auto_vacuum`, as ours are, and uses it again otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from learningchain.chain.codec import decode, encode
from learningchain.chain.storage import schema
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.storage.schema import TODO_DAMAGED, add_checksum, at, check_checksum
from learningchain.chain.types import Header

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

STEP_BLOCKS = 32
"""Most blocks of one step: a commit of the node that comes meanwhile waits for it. Blocks of a thousand transfers: 9 ms of
processor time for a step, 25 ms for one that drops 4,096 rows of the index."""
STEP_BYTES = 2**20
"""A step ends behind the block with which it reaches this."""
STEP_ROWS = 4_096
"""Most rows of a segment of the index that one step drops: 60 bytes each."""
STEP_PAGES = 512
"""Of SQLite, 4,096 bytes each, that one step gives back to the disk."""


@dataclass(frozen=True)
class Horizon:
    """Blocks are kept that are among the last `blocks`, or not older than `ms` by the block times, or above height `above`."""

    blocks: int
    ms: int
    above: int


def drop_step(store: BlockStore, horizon: Horizon) -> bool:
    """One step towards the horizon. Whether another one has something to do. Raises `StorageError`: nothing of it is done then.

    For one thread at a time. The head stays whatever the horizon says.
    """
    head = store.head()
    if head is None or head.header is None:
        return False
    if _drop_index(store) or _drop_changes(store):
        return True
    last = _last_of_step(store, min(head.height - max(1, horizon.blocks), horizon.above), head.header.time - horizon.ms)
    if last is None:
        return _shrink(store)
    _drop_blocks(store, last)
    _shrink(store)
    return True


def _last_of_step(store: BlockStore, highest: int, before: int) -> Header | None:
    """The header of the last block that the next step drops: of a height up to `highest`, of a time before `before`."""
    b = schema.blocks.c
    size = sa.func.length(b.block) + sa.func.length(b.receipts)
    rows = (
        sa.select(b.height, b.header, size).where(b.height > store.base, b.height <= highest).order_by(b.height).limit(STEP_BLOCKS)
    )
    last, total = None, 0
    with store.read("look for old blocks") as c:
        for height, framed, length in c.execute(rows):
            where = f"header of height {height} in {store.where}"
            raw = check_checksum(where, at(height, "header"), bytes(framed))
            header = decode(Header, raw, 4096) if raw else None
            if header is None or header.time >= before:
                break
            last, total = header, total + int(length)
            if total >= STEP_BYTES:
                break
    return last


def _drop_blocks(store: BlockStore, last: Header) -> None:
    b, base = schema.blocks.c, last.height
    empty = {"block": b"", "receipts": encode([]), "picks": encode([])}
    with store.write("drop old blocks") as c:
        # Readers that find nothing look at the base next: it is raised before they can find nothing.
        store.base = base
        done = c.execute(
            sa.update(schema.blocks)
            .where(b.height == base)
            .values({name: add_checksum(at(base, name), blob) for name, blob in empty.items()})
        )
        if done.rowcount != 1:
            raise StorageDamaged(f"Height {base} is missing in {store.where}", "it was there a moment ago", TODO_DAMAGED)
        c.execute(sa.delete(schema.blocks).where(b.height < base))
        c.execute(sa.delete(schema.unaudited).where(schema.unaudited.c.height <= base))


def _drop_changes(store: BlockStore) -> bool:
    """Of some blocks that are gone; False where the state still needs those that are left."""
    k, j = schema.changes.c, schema.journal.c
    with store.write("drop the changes of old blocks") as c:
        needed = c.execute(sa.select(sa.func.min(j.height))).scalar()
        upto = store.base if needed is None else min(store.base, int(needed) - 1)
        last, total = None, 0
        rows = sa.select(k.height, sa.func.length(k.changes)).where(k.height <= upto).order_by(k.height).limit(STEP_BLOCKS)
        for height, length in c.execute(rows):
            last, total = int(height), total + int(length)
            if total >= STEP_BYTES:
                break
        if last is not None:
            c.execute(sa.delete(schema.changes).where(k.height <= last))
    return last is not None


def _drop_index(store: BlockStore) -> bool:
    """A piece of the first segment whose blocks are all gone; False where there is none."""
    first = next(iter(store.segments()), None)
    if first is None or first > store.base:
        return False
    h, t = schema.history.c, schema.tx_pages.c
    with store.write("drop the index of old blocks") as c:
        accounts = [bytes(a) for (a,) in c.execute(sa.select(h.account).where(h.part == first).limit(STEP_ROWS))]
        if accounts:
            c.execute(sa.delete(schema.history).where(h.part == first, h.account <= max(accounts)))
            return True
        c.execute(sa.delete(schema.tx_pages).where(t.part == first))
        c.execute(sa.delete(schema.parts).where(schema.parts.c.part == first))
    store.forget_segment(first)
    return True


def _shrink(store: BlockStore) -> bool:
    """Give some free pages back to the disk; whether there may be more of them."""
    if store.engine.dialect.name != "sqlite":
        return False
    with store.write("give space back") as c:
        if not c.exec_driver_sql("PRAGMA auto_vacuum").scalar():
            return False
        free = int(c.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)
        if free > STEP_PAGES:
            # Each page is a step of the statement, without a row to fetch: only a script is stepped to its end. It ends the
            # transaction, in which there is nothing, and is one of its own.
            c.connection.cursor().executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
    return free > 2 * STEP_PAGES
