"""What each block changed, kept for peers that catch up by certificates and roots, and which heights nobody executed here yet.

The changes of a block cost its size again where all its transfers have other accounts: 74 bytes for each account that it touched.
A height that was taken over as an executed block stands among the unaudited until an audit has executed it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from learningchain.chain.codec import encode
from learningchain.chain.ledger.state_diff import Record, StateDiff
from learningchain.chain.storage import schema
from learningchain.chain.storage.schema import add_checksum, at, check_checksum

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

ExecutedBlockRow = tuple[bytes, bytes, list[bytes], bytes]
"""Block, certificate, receipts, changes."""
_blobs = msgspec.msgpack.Decoder(list[bytes])
_changes = msgspec.msgpack.Decoder(tuple[list[Record], list[bytes]])
"""What this node wrote itself: the bounds of a message do not hold for it."""


def write(connection: sa.Connection, height: int, changes: list[tuple[bytes, bytes | None]], executed: bool) -> None:
    """In the transaction of the height; `changes` ascend by key, each once. Encoded as `StateDiff` are."""
    put, gone = [pair for pair in changes if pair[1] is not None], [key for key, raw in changes if raw is None]
    framed = add_checksum(at(height, "changes"), encode((put, gone)))
    connection.execute(sa.insert(schema.changes), {"height": height, "changes": framed})
    if not executed:
        connection.execute(sa.insert(schema.unaudited), {"height": height})


def changes_at(store: BlockStore, height: int) -> StateDiff | None:
    """None where they are not kept: the height was stored by a program that did not keep them."""
    with store.read("read changes") as c:
        framed = c.execute(sa.select(schema.changes.c.changes).where(schema.changes.c.height == height)).scalar()
    return None if framed is None else StateDiff(*_changes.decode(_check_checksum(store, height, "changes", framed)))


def all_changes(store: BlockStore, last: int) -> Iterator[tuple[int, StateDiff]]:
    """Heights 1 to `last`, ascending; one whose changes are not kept is left out."""
    k = schema.changes.c
    query = sa.select(k.height, k.changes).where(k.height <= last).order_by(k.height).execution_options(yield_per=64)
    with store.read("read changes") as c:
        for height, framed in c.execute(query):
            yield height, StateDiff(*_changes.decode(_check_checksum(store, height, "changes", framed)))


def read(store: BlockStore, start: int, count: int, size: int, most: int) -> list[ExecutedBlockRow]:
    """Consecutive heights from `start` on; stops after the one that reaches `size` bytes and before one that exceeds `most`.

    Empty where the changes of `start` are not kept, or are too large.
    """
    b, k = schema.blocks.c, schema.changes.c
    columns = (b.height, b.block, b.certificate, b.receipts, k.changes)
    query = sa.select(*columns).join(schema.changes, b.height == k.height).where(b.height >= start, b.height < start + count)
    found: list[ExecutedBlockRow] = []
    total = 0
    with store.read("read blocks") as c:
        for height, *framed in c.execute(query.order_by(b.height).execution_options(yield_per=4)):
            total += sum(map(len, framed))
            if height != start + len(found) or total > most or height <= store.base:
                break
            names = ("block", "certificate", "receipts", "changes")
            block, certificate, receipts, changes = (
                _check_checksum(store, height, n, s) for n, s in zip(names, framed, strict=True)
            )
            found.append((block, certificate, _blobs.decode(receipts), changes))
            if total >= size:
                break
    return found


def _check_checksum(store: BlockStore, height: int, column: str, framed: bytes) -> bytes:
    return check_checksum(f"{column} of height {height} in {store.where}", at(height, column), bytes(framed))


def audited(store: BlockStore) -> int:
    """Every height up to this one was executed here, with every signature checked."""
    with store.read("look for heights to audit") as c:
        first = c.execute(sa.select(sa.func.min(schema.unaudited.c.height))).scalar()
    head = store.head()
    return int(first) - 1 if first is not None else (head.height if head else 0)


def set_audited(store: BlockStore, height: int) -> None:
    """The heights up to this one were executed and found good."""
    with store.write("note what was audited") as c:
        c.execute(sa.delete(schema.unaudited).where(schema.unaudited.c.height <= height))
