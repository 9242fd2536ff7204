"""Is what the block store holds still what was put there? Used through `BlockStore.check`.

Quick, at every start: the database's own check of its pages (unless they are too many), heights without gaps, the head's block
against its id. Full, on the operator's word: every block against its id and its parent, its transactions, receipts, certificate's
place, every checksum, every hash of the state's tree, and the index against the blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from learningchain.chain.codec import decode
from learningchain.chain.errors import Malformed
from learningchain.chain.merkle import list_root
from learningchain.chain.storage import archive, schema
from learningchain.chain.storage.errors import StorageDamaged
from learningchain.chain.storage.index import TxLocator, account_index_decoder, places_in, segment_decoder
from learningchain.chain.storage.schema import TODO_DAMAGED, at, check_checksum
from learningchain.chain.types import Certificate, Header, block_id, decode_block, tx_id, tx_root

if TYPE_CHECKING:
    from learningchain.chain.storage.blockstore import BlockStore

QUICK_BYTES = 64 * 1024 * 1024
"""A larger database is not read through at every start: all that is read of it later has a checksum."""
_BATCH = 16
_blobs = msgspec.msgpack.Decoder(list[bytes])


def check_store(store: BlockStore, full: bool) -> None:
    _check_buckets(store, full)
    _check_heights(store)
    head = store.head()
    if head is None:
        return
    if not full:
        _check_block(store, head.height)
        return
    parent: bytes | None = None
    first = _first_height(store)
    for height in range(first, head.height + 1):
        parent = _check_block(store, height, parent)
    for _ in store.load_state():
        pass
    _check_index(store)
    archive.check(store)


def _damaged(what: str, why: str) -> StorageDamaged:
    return StorageDamaged(f"The database is damaged: {what}", why, TODO_DAMAGED)


def _check_buckets(store: BlockStore, full: bool) -> None:
    if store.engine.dialect.name != "sqlite":
        return
    pragma = "integrity_check" if full else "quick_check"
    with store.read("check the database") as c:
        size = c.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").scalar()
        if not full and int(size or 0) > QUICK_BYTES:
            return
        found = [str(row[0]) for row in c.exec_driver_sql(f"PRAGMA {pragma}(5)")]
    if found != ["ok"]:
        raise _damaged(store.where, "; ".join(found))


def _first_height(store: BlockStore) -> int:
    with store.read("check the heights") as c:
        return int(c.execute(sa.select(sa.func.min(schema.blocks.c.height))).scalar() or 0)


def _check_heights(store: BlockStore) -> None:
    height = schema.blocks.c.height
    with store.read("check the heights") as c:
        low, high, count = c.execute(sa.select(sa.func.min(height), sa.func.max(height), sa.func.count(height))).one()
    head = store.head()
    if (count == 0) != (head is None):
        raise _damaged(store.where, "blocks appeared or vanished while it was open")
    # The first row is genesis, the first block, or a header alone: of the block whose state was taken over from a snapshot, or of
    # the last one that was dropped.
    if count and (low > max(1, store.base) or high - low + 1 != count):
        raise _damaged(store.where, f"{count} blocks are stored between heights {low} and {high}: some are missing")


def _check_block(store: BlockStore, height: int, parent: bytes | None = None) -> bytes:
    """Check a height by itself and against its parent's id. Returns its id."""
    where = f"height {height} in {store.where}"
    stored = store.block(height)
    if stored is None:
        raise _damaged(where, "it cannot be found")
    if not stored.block:
        return stored.block_id
    try:
        block = decode_block(stored.block)
        header = decode(Header, store.column(height, "header") or b"", 4096)
        receipts = _blobs.decode(store.column(height, "receipts") or b"")
        certificate = decode(Certificate, stored.certificate, 65_536)
    except (Malformed, msgspec.DecodeError) as e:
        raise _damaged(where, f"it cannot be decoded: {e}") from e
    if block_id(block.header) != stored.block_id or header != block.header or header.height != height:
        raise _damaged(where, "its header does not hash to its id")
    if tx_root(block.txs) != header.tx_root:
        raise _damaged(where, "its transactions are not those that its header names")
    if list_root(receipts) != header.receipt_root:
        raise _damaged(where, "its receipts are not those that its header names")
    if (certificate.height, certificate.block_id) != (height, stored.block_id):
        raise _damaged(where, "its certificate is another block's")
    if parent is not None and header.parent != parent:
        raise _damaged(where, "it does not follow the block before it")
    return stored.block_id


def _check_index(store: BlockStore) -> None:
    """Every segment must hold exactly what its blocks give. What it holds of blocks that were dropped goes with its last block."""
    begin = _first_height(store) - 1
    for segment in (one for one in store.segments() if one > store.base):
        with store.read("check the index") as c:
            t, h = schema.tx_pages.c, schema.history.c
            rows = c.execute(sa.select(t.bucket, t.places).where(t.part == segment)).all()
            picked = c.execute(sa.select(h.account, h.picks).where(h.part == segment)).all()
        found = {
            (bytes(a), at_, tuple(ns))
            for a, raw in picked
            for at_, ns in segment_decoder.decode(_account_row(store, segment, a, raw))
            if at_ > store.base
        }
        placed = (entry for bucket, framed in rows for entry in places_in(segment, store.places(segment, bucket, framed)))
        places = {entry for entry in placed if entry[1].height > store.base}
        txs, events = _expected(store, begin + 1, segment)
        if places != txs or found != events:
            raise _damaged(store.where, f"the index of heights {begin + 1} to {segment} does not agree with the blocks")
        begin = segment


def _account_row(store: BlockStore, segment: int, account: bytes, framed: bytes) -> bytes:
    where = f"the history of {bytes(account).hex()} in {store.where}"
    return check_checksum(where, at(segment, "history") + bytes(account), bytes(framed))


def _expected(
    store: BlockStore, begin: int, end: int
) -> tuple[set[tuple[bytes, TxLocator]], set[tuple[bytes, int, tuple[int, ...]]]]:
    txs: set[tuple[bytes, TxLocator]] = set()
    events: set[tuple[bytes, int, tuple[int, ...]]] = set()
    for start in range(begin, end + 1, _BATCH):
        last = min(start + _BATCH - 1, end)
        for stored in (b for b in store.blocks(start, _BATCH) if b.height <= last):
            raw = decode_block(stored.block).txs if stored.block else []
            txs |= {(tx_id(r)[:8], TxLocator(stored.height, i)) for i, r in enumerate(raw)}
            account_index = account_index_decoder.decode(store.column(stored.height, "picks") or b"\x90")
            events |= {(account, stored.height, tuple(numbers)) for account, numbers in account_index}
    return txs, events
