"""Decided blocks: what a peer's copy must show before it is believed, what is sent to a peer, what goes into the database. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

import msgspec

from learningchain.chain.codec import Wire, encode
from learningchain.chain.errors import BrokenInvariant, InvalidBlock, Malformed
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import MAX_RECEIPT, follow
from learningchain.chain.ledger.transition import Executed, chain_record, validators_of
from learningchain.chain.node import messages as m
from learningchain.chain.node.batches import DecodedBlock
from learningchain.chain.node.candidates import check_header, execute, execute_verified
from learningchain.chain.node.events import REQUESTS, Commit, Effect, ReadBlocks, Send
from learningchain.chain.node.history import index_accounts
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.types import Block, Certificate, block_id, check_certificate


class _StoredBlock(Wire, frozen=True):
    """`SyncBlock` from stored bytes: what is encoded already stays as it is."""

    block: bytes
    certificate: msgspec.Raw


class _StoredBlocks(Wire, frozen=True, tag=m.Blocks.__struct_config__.tag):
    blocks: list[_StoredBlock]


class _StoredExecutedBlock(Wire, frozen=True):
    """`ExecutedBlock` from stored bytes."""

    block: bytes
    certificate: msgspec.Raw
    receipts: list[bytes]
    changes: msgspec.Raw


class _StoredExecutedBlocks(Wire, frozen=True, tag=m.ExecutedBlocks.__struct_config__.tag):
    blocks: list[_StoredExecutedBlock]


class _StoredHeaders(Wire, frozen=True, tag=m.Headers.__struct_config__.tag):
    headers: list[msgspec.Raw]


def headers(top: int, found: Iterable[tuple[int, bytes]]) -> _StoredHeaders:
    """`Headers` from (height, stored bytes) downwards, up to the first gap."""
    told = takewhile(lambda pair: pair[1][0] == top - pair[0], enumerate(found))
    return _StoredHeaders([msgspec.Raw(raw) for _, (_, raw) in told])


def answer(found: list[tuple[bytes, bytes]]) -> _StoredBlocks:
    """`Blocks` from stored (block, certificate) bytes, to be encoded; cut where the message would become too large for the peer."""
    chosen: list[_StoredBlock] = []
    size = 0
    for block, raw in found:
        size += len(block)
        if chosen and size > m.MAX_SYNC_ANSWER:
            break
        chosen.append(_StoredBlock(block, msgspec.Raw(raw)))
    return _StoredBlocks(chosen)


def asked(
    peer: bytes, question: m.GetBlocks | m.GetExecutedBlocks, height: int, last: list[tuple[bytes, bytes]], first: int = 1
) -> ReadBlocks | Send:
    """A peer asks for decided blocks; `height` is the last one, and `last` holds it where it is in memory still; `first` is the
    first one that is kept."""
    start = question.start
    if max(1, first) <= start <= height - len(last):
        count = min(question.count, height - start + 1)
        return ReadBlocks(peer, start, count, m.MAX_SYNC_BYTES, isinstance(question, m.GetExecutedBlocks))
    return Send(peer, encode(answer(last if start == height else [])), REQUESTS)


def executed_blocks(found: list[tuple[bytes, bytes, list[bytes], bytes]]) -> _StoredExecutedBlocks:
    """`ExecutedBlocks` from stored (block, certificate, receipts, changes), up to the first that no message can hold; the store
    bounds their size.

    LC-NODE-32: the deadlines of one block can move more credits than one receipt, or one list of changes, may tell a peer.
    """
    told: list[_StoredExecutedBlock] = []
    for block, raw, receipts, changed in found:
        try:
            m.decode_changes(changed)
        except Malformed:
            break
        if any(len(receipt) > MAX_RECEIPT for receipt in receipts):
            break
        told.append(_StoredExecutedBlock(block, msgspec.Raw(raw), receipts, msgspec.Raw(changed)))
    return _StoredExecutedBlocks(told)


def check(state: State, parent: bytes, item: DecodedBlock, pool: Mempool) -> Executed | None:
    """The next block after `state`, None for one that is known already.

    Raises `Malformed` where the peer is wrong, `BrokenInvariant` where the validators decided what our rules forbid.
    """
    block, certificate = item.block, item.certificate
    record = chain_record(state)
    if block.header.height <= record.height:
        return None
    if block.header.height != record.height + 1 or certificate.height != block.header.height:
        raise Malformed("the blocks are not consecutive")
    if certificate.block_id != block_id(block.header):
        raise Malformed("the certificate is for another block")
    if certificate.round < block.header.round:
        raise Malformed("the certificate is of a round before the block's own")
    check_certificate(record.chain_id, certificate, validators_of(state))
    with must_be_valid(block):
        if item.executed_block is None:
            return execute_verified(state, block, item.ids, parent, pool, item.txs)
        check_header(state, block.header, parent)
    if item.receipt_root != block.header.receipt_root:
        raise Malformed("the receipts are not those of the header")
    made = follow(state, block.header, len(block.txs), item.executed_block.receipts, item.executed_block.changes)
    return replace(made, txs=[tx for key in item.ids if (tx := pool.get(key)) is not None])


def redo(state: State, parent: bytes, block: Block, pool: Mempool | None) -> Executed:
    """Execute what was decided. Raises `BrokenInvariant` where it does not fit."""
    with must_be_valid(block):
        return execute(state, block, parent, pool)


@contextmanager
def must_be_valid(block: Block) -> Iterator[None]:
    """A decided block that our rules forbid stops the node."""
    try:
        yield
    except InvalidBlock as fault:
        raise BrokenInvariant(f"block {block.header.height} was decided, but here it is invalid: {fault}") from fault


def durably(effects: list[Effect]) -> list[Effect]:
    """Of a batch of blocks: all their commits first, in one go, durable before anybody is told of one."""
    commits = [effect for effect in effects if isinstance(effect, Commit)]
    if commits:
        commits[-1] = msgspec.structs.replace(commits[-1], durable=True)
    return [*commits, *(effect for effect in effects if not isinstance(effect, Commit))]


def commit(
    block: Block,
    certificate: Certificate,
    executed: Executed,
    item: DecodedBlock | None = None,
    *,
    durable: bool,
    raw: bytes = b"",
) -> Commit:
    """`item` is the block as it came, where it came from a peer that was asked for it; `raw` its encoding, where it is known."""
    return Commit(
        block.header.height,
        certificate.block_id,
        item.raw if item else raw or encode(block),
        encode(certificate),
        item.ids if item else [tx.id for tx in executed.txs],
        executed.receipt_bytes,
        item.account_index if item and item.executed_block else index_accounts(executed.receipts),
        executed.encoded,
        durable,
        item is None or item.executed_block is None,
        executed.archived,
    )
