"""Where a transaction stands and what happened to an account: an index that costs a commit next to nothing.

A B-tree that is hit at random costs a page per row: 57 ms for a block of 1,000 transfers over two million. So the newest blocks'
entries are held in memory (they can be made again from the blocks). They are written out together, sorted, as a *segment*, at the
tree's right edge, in the same database transaction as the block that filled the segment. A segment is named by its last height. It
holds 16,384 entries or 1,024 blocks. Its transactions are 256 rows, by the first byte of their ids: entries of 12 bytes, sorted. An
entry is the first eight bytes of the id, how many heights before the segment's last one it stands, and its position there. A lookup
asks memory first, then the segments from the newest, many at a time.

Not thread-safe: the block store holds its lock around every call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from learningchain.chain.node.history import AccountIndex
from learningchain.chain.params import MAX_BLOCK_TXS

SEGMENT_ENTRIES = 16_384
SEGMENT_BLOCKS = 1_024
_PREFIX, _ENTRY = 8, 12

SegmentAccounts = list[tuple[int, list[int]]]
"""Of one account: per height, those numbers. Ascending heights."""

account_index_decoder = msgspec.msgpack.Decoder(AccountIndex)
segment_decoder = msgspec.msgpack.Decoder(SegmentAccounts)

_TWO = [n.to_bytes(2, "big") for n in range(max(MAX_BLOCK_TXS, SEGMENT_BLOCKS))]


class TxLocator(NamedTuple):
    height: int
    position: int


class Segment(NamedTuple):
    """A full segment, ready to be written: rows of `tx_pages` and `history` in the order of their keys."""

    segment: int
    txs: list[tuple[int, int, bytes]]
    history: list[tuple[int, bytes, bytes]]


class _IndexedBlock(NamedTuple):
    height: int
    txs: dict[bytes, int]
    account_index: dict[bytes, list[int]]


def bucket_of(tx_id: bytes) -> int:
    return tx_id[0]


def rows_of(segment: int, places: Iterable[tuple[int, Iterable[tuple[bytes, int]]]]) -> list[tuple[int, int, bytes]]:
    """Rows of `tx_pages`: of heights of a segment, the ids (or their prefixes) and positions of the transactions."""
    entries = [tx[:_PREFIX] + _TWO[segment - height] + _TWO[position] for height, txs in places for tx, position in txs]
    entries.sort()
    rows, start = [], 0
    for bucket in range(256):
        end = bisect_left(entries, bytes((bucket + 1,)), start) if bucket < 255 else len(entries)
        if end > start:
            rows.append((segment, bucket, b"".join(entries[start:end])))
        start = end
    return rows


def places_in(segment: int, row: bytes) -> Iterator[tuple[bytes, TxLocator]]:
    """(first bytes of the id, place) of every entry."""
    for at in range(0, len(row), _ENTRY):
        behind, position = int.from_bytes(row[at + 8 : at + 10], "big"), int.from_bytes(row[at + 10 : at + 12], "big")
        yield row[at : at + _PREFIX], TxLocator(segment - behind, position)


def find_in(segment: int, row: bytes, tx_id: bytes) -> list[TxLocator]:
    """Where transactions stand whose ids begin like this one."""
    prefix = tx_id[:_PREFIX]
    return [place for found, place in places_in(segment, row) if found == prefix] if prefix in row else []


class Recent:
    """The entries since the last segment, block by block: nothing is done for each of them when a block comes."""

    def __init__(self) -> None:
        self._blocks: list[_IndexedBlock] = []
        self.entries = 0

    def tx(self, tx_id: bytes) -> TxLocator | None:
        for block in reversed(self._blocks):
            position = block.txs.get(tx_id)
            if position is not None:
                return TxLocator(block.height, position)
        return None

    def history(self, account: bytes) -> SegmentAccounts:
        return [(block.height, block.account_index[account]) for block in self._blocks if account in block.account_index]

    def add(self, height: int, tx_ids: list[bytes], account_index: AccountIndex) -> None:
        self._blocks.append(_IndexedBlock(height, dict(zip(tx_ids, range(len(tx_ids)), strict=True)), dict(account_index)))
        self.entries += len(tx_ids) + len(account_index)

    def is_full_with(self, own: int, entries: int = 0, blocks: int = 0) -> bool:
        """Whether a block with `own` entries ends the segment, after `blocks` others with `entries` that are still to be added."""
        return self.entries + entries + own >= SEGMENT_ENTRIES or len(self._blocks) + blocks + 1 >= SEGMENT_BLOCKS

    def as_segment(self, height: int, tx_ids: list[bytes], account_index: AccountIndex) -> Segment:
        """The segment that these entries make together with those of the block at `height`, which ends it."""
        last = _IndexedBlock(height, dict(zip(tx_ids, range(len(tx_ids)), strict=True)), dict(account_index))
        merged: dict[bytes, SegmentAccounts] = {}
        for block in (*self._blocks, last):
            for account, numbers in block.account_index.items():
                merged.setdefault(account, []).append((block.height, numbers))
        txs = rows_of(height, ((block.height, block.txs.items()) for block in (*self._blocks, last)))
        return Segment(height, txs, [(height, account, msgspec.msgpack.encode(merged[account])) for account in sorted(merged)])
