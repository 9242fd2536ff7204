"""Answers to peers who ask for decided blocks: from the database, and from the heights that are on their way there.

Read and encoded in a thread: the event loop only hands the bytes on, and no question makes the database write anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.codec import encode
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.node import decided
from learningchain.chain.node.events import ReadBlocks, ReadHeaders
from learningchain.chain.node.messages import MAX_SYNC_ANSWER
from learningchain.chain.storage import state_diffs
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch, StoredBlock
from learningchain.chain.storage.state_diffs import ExecutedBlockRow
from learningchain.chain.types import decode_block


def answer(store: BlockStore, wanted: ReadBlocks, unstored: Sequence[CommitBatch]) -> bytes:
    """`ExecutedBlocks` or `Blocks`, encoded (LC-NODE-12, 32). `unstored` ascends, and some of it may be stored by now.

    Raises `StorageError`.
    """
    told = decided.executed_blocks(_executed_blocks(store, wanted, unstored) if wanted.executed_blocks else [])
    return encode(told if told.blocks else decided.answer(_blocks(store, wanted, unstored)))


def headers(store: BlockStore, wanted: ReadHeaders, unstored: Sequence[CommitBatch]) -> bytes:
    """`Headers`, encoded (LC-NODE-76). `unstored` ascends, and some of it may be stored by now. Raises `StorageError`."""
    stored = dict(store.headers(wanted.height, wanted.count))
    waiting = [b for b in unstored if b.block and b.height <= wanted.height and b.height not in stored]
    found = stored | {b.height: encode(decode_block(b.block).header) for b in waiting}
    return encode(decided.headers(wanted.height, sorted(found.items(), reverse=True)[: wanted.count]))


def _blocks(store: BlockStore, wanted: ReadBlocks, unstored: Sequence[CommitBatch]) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    size = 0
    stored: list[StoredBlock | CommitBatch] = [*store.blocks(wanted.start, wanted.count, wanted.size), *unstored]
    for held in stored:
        if held.height < wanted.start + len(found) or size >= wanted.size or len(found) >= wanted.count:
            continue
        if held.height > wanted.start + len(found) or not held.block:
            break  # the history here begins later
        found.append((held.block, held.certificate))
        size += len(held.block)
    return found


def _executed_blocks(store: BlockStore, wanted: ReadBlocks, unstored: Sequence[CommitBatch]) -> list[ExecutedBlockRow]:
    found = state_diffs.read(store, wanted.start, wanted.count, wanted.size, MAX_SYNC_ANSWER)
    size = sum(map(_size, found))
    for held in unstored:
        if held.height < wanted.start + len(found):
            continue
        item = (held.block, held.certificate, held.receipts, encode(changes_of(held.state)))
        if held.height > wanted.start + len(found) or len(found) >= wanted.count or size >= wanted.size:
            break
        size += _size(item)
        if size > MAX_SYNC_ANSWER:
            break
        found.append(item)
    return found


def _size(item: ExecutedBlockRow) -> int:
    block, certificate, receipts, changes = item
    return len(block) + len(certificate) + sum(map(len, receipts)) + len(changes)
