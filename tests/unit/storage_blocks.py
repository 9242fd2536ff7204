"""Small real blocks for the tests of the block store: ids, roots and certificates are right, signatures are not checked there."""

from __future__ import annotations

import random
from collections.abc import Iterator

from learningchain.chain.codec import encode
from learningchain.chain.crypto import ZERO_HASH
from learningchain.chain.merkle import list_root
from learningchain.chain.node.history import index_accounts
from learningchain.chain.storage.blockstore import CommitBatch
from learningchain.chain.types import (
    Block,
    Certificate,
    Header,
    LogEvent,
    Receipt,
    SignedTx,
    TransferEvent,
    TxBody,
    block_id,
    tx_id,
    tx_root,
)

CHAIN = bytes(range(32))


def account(n: int) -> bytes:
    return n.to_bytes(20, "big")


def subject(n: int) -> bytes:
    """The id of what a contract notes events under, such as a job."""
    return n.to_bytes(32, "big")


def make_batch(height: int, parent: bytes, transfers: int, accounts: int, rng: random.Random) -> CommitBatch:
    """A block of transfers between random accounts, its receipts, and what it changes."""
    txs, changes = [], []
    receipts = [Receipt(ZERO_HASH, 0, [])]
    for n in range(transfers):
        source, target = account(rng.randrange(accounts)), account(rng.randrange(accounts))
        body = TxBody(1, source, 0, n, height + 100, [b"\x93\x01\x02\x03"])
        raw = encode(SignedTx(body, rng.randbytes(64)))
        moved = TransferEvent("transfer", source, target, rng.randrange(10**9), tx_id(raw))
        txs.append(raw)
        receipts.append(Receipt(tx_id(raw), 0, [moved, LogEvent("claim", subject(n % 3), [n])]))
        changes += [(b"a/" + source, rng.randbytes(60)), (b"a/" + target, rng.randbytes(60))]
    raw_receipts = [encode(receipt) for receipt in receipts]
    roots = (tx_root(txs), list_root(raw_receipts), rng.randbytes(32))
    header = Header(1, CHAIN, height, 0, account(1), height * 1000, parent, *roots, ZERO_HASH, ZERO_HASH, ZERO_HASH, ZERO_HASH)
    certificate = Certificate(height, 0, block_id(header), [0], [bytes(64)])
    changes.append((b"g/", height.to_bytes(8, "big")))
    return CommitBatch(
        height,
        block_id(header),
        encode(Block(header, txs)),
        encode(certificate),
        [tx_id(raw) for raw in txs],
        raw_receipts,
        index_accounts(receipts),
        list(changes),
    )


def chain_of(
    transfers: int, *, accounts: int = 5, seed: int = 1, parent: bytes = ZERO_HASH, start: int = 1
) -> Iterator[CommitBatch]:
    """Blocks without end, the first at height `start`."""
    rng = random.Random(seed)
    height = start
    while True:
        batch = make_batch(height, parent, transfers, accounts, rng)
        yield batch
        parent, height = batch.block_id, height + 1
