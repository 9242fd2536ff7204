"""Decided blocks: what a peer's copy must show before it is believed, what is sent to a peer, what goes into the database. Pure."""

from __future__ import annotations

from chain.codec import encode
from chain.errors import BrokenInvariant, InvalidBlock, Malformed
from chain.ledger.state import State
from chain.ledger.transition import Executed, chain_record, validators_of
from chain.node import messages as m
from chain.node.candidates import execute
from chain.node.events import Commit
from chain.node.history import account_events
from chain.node.mempool import Mempool
from chain.types import Block, Certificate, block_id, check_certificate, decode_block, tx_root


def answer(found: list[tuple[bytes, bytes]]) -> m.Blocks:
    """From stored (block, certificate) bytes; cut where the message would become too large for the peer."""
    chosen: list[m.SyncBlock] = []
    size = 0
    for block, raw in found:
        size += len(block)
        if chosen and size > m.MAX_SYNC_ANSWER:
            break
        chosen.append(m.SyncBlock(block, m.decode_certificate(raw)))
    return m.Blocks(chosen)


def check(state: State, parent: bytes, item: m.SyncBlock, pool: Mempool) -> tuple[Block, Executed] | None:
    """The next block after `state`, None for one that is known already.

    Raises `Malformed` where the peer is wrong, `BrokenInvariant` where the validators decided what our rules forbid.
    """
    block, certificate = decode_block(item.block), item.certificate
    record = chain_record(state)
    if block.header.height <= record.height:
        return None
    if block.header.height != record.height + 1 or certificate.height != block.header.height:
        raise Malformed("the blocks are not consecutive")
    if certificate.block_id != block_id(block.header) or tx_root(block.txs) != block.header.tx_root:
        raise Malformed("the certificate is for another block")
    check_certificate(record.chain_id, certificate, validators_of(state))
    return block, redo(state, parent, block, pool)


def redo(state: State, parent: bytes, block: Block, pool: Mempool | None) -> Executed:
    """Execute what was decided. Raises `BrokenInvariant` where it does not fit."""
    try:
        return execute(state, block, parent, pool)
    except InvalidBlock as fault:
        raise BrokenInvariant(f"block {block.header.height} was decided, but here it is invalid: {fault}") from fault


def commit(block: Block, certificate: Certificate, executed: Executed, *, durable: bool) -> Commit:
    return Commit(
        block.header.height,
        certificate.block_id,
        encode(block),
        encode(certificate),
        [tx.id for tx in executed.txs],
        executed.receipt_bytes,
        account_events(executed.receipts),
        executed.encoded,
        durable,
    )
