"""Where a transaction stands and what happened to an account: an index that costs a commit next to nothing.

A B-tree that is hit at random costs a page per row: 57 ms for a block of 1,000 transfers over two million. So the newest blocks'
entries are held in memory (they can be made again from the blocks) and written out together, sorted, as a *part*: rows that are
appended at the tree's right edge, in the same database transaction as the block that filled the part. A part is named by its last
height; it holds 16,384 entries or 1,024 blocks. A lookup asks memory first, then the parts from the newest, many at a time.

Not thread-safe: the block store holds its lock around every call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

PART_ENTRIES = 16_384
PART_BLOCKS = 1_024

Mentions = list[tuple[bytes, list[int]]]
"""Of each account that a block's events concern, the numbers of their receipts (`chain.node.history`)."""
PartMentions = list[tuple[int, list[int]]]
"""Of one account: per height, those numbers. Ascending heights."""

mentions_decoder = msgspec.msgpack.Decoder(Mentions)
part_decoder = msgspec.msgpack.Decoder(PartMentions)


class Place(NamedTuple):
    height: int
    position: int


class Part(NamedTuple):
    """A full part, ready to be written: rows of `txs` and `history` in the order of their keys."""

    part: int
    txs: list[tuple[int, int, int, int]]
    history: list[tuple[int, bytes, bytes]]


def prefix_of(tx_id: bytes) -> int:
    """The key of a transaction in the index: eight bytes of its id as SQL's signed integer."""
    return int.from_bytes(tx_id[:8], "big", signed=True)


class Recent:
    """The entries since the last part."""

    def __init__(self) -> None:
        self.txs: dict[bytes, Place] = {}
        self.history: dict[bytes, PartMentions] = {}
        self.entries = 0
        self.blocks = 0
        self.last = -1

    def add(self, height: int, tx_ids: list[bytes], mentions: Mentions) -> None:
        for position, tx_id in enumerate(tx_ids):
            self.txs[tx_id] = Place(height, position)
        for account, numbers in mentions:
            self.history.setdefault(account, []).append((height, numbers))
        self.entries += len(tx_ids) + len(mentions)
        self.blocks += 1
        self.last = height

    def is_full_with(self, own: int, entries: int = 0, blocks: int = 0) -> bool:
        """Whether a block with `own` entries ends the part, after `blocks` others with `entries` that are still to be added."""
        return self.entries + entries + own >= PART_ENTRIES or self.blocks + blocks + 1 >= PART_BLOCKS

    def as_part(self, height: int, tx_ids: list[bytes], mentions: Mentions, encode: Any = msgspec.msgpack.encode) -> Part:
        """The part that these entries make together with those of the block at `height`, which ends it."""
        rows = [(height, prefix_of(tx_id), place.height, place.position) for tx_id, place in self.txs.items()]
        rows += [(height, prefix_of(tx_id), height, position) for position, tx_id in enumerate(tx_ids)]
        merged = dict(self.history)
        for account, numbers in mentions:
            merged[account] = [*merged.get(account, []), (height, numbers)]
        return Part(height, sorted(rows), [(height, account, encode(merged[account])) for account in sorted(merged)])
