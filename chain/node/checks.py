"""Work on a batch of decided blocks that needs nothing of the node, so that other processors can do it: pure functions over bytes.

Whoever drives the node runs them where it likes (the node's effects `CheckSignatures` and `HashBlocks`) and answers with what they
return.
"""

from __future__ import annotations

from learningchain.chain.codec import decode
from learningchain.chain.crypto import verify
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import make_bucket
from learningchain.chain.ledger.state_diff import MAX_RECEIPT
from learningchain.chain.merkle import list_root
from learningchain.chain.node.history import AccountIndex, index_accounts
from learningchain.chain.types import Receipt, body_bytes, decode_block, tx_digest, tx_id

Check = tuple[bytes, bytes]
"""(public key, bytes of a signed transaction)"""

Unhashed = tuple[bytes, list[bytes]]
"""(encoded block, encoded receipts)"""
Hashed = tuple[list[bytes], bytes, bytes, AccountIndex]
"""(transaction ids, their root, the root of the receipts, the accounts that these tell of)"""

Sent = tuple[int, bytes, bytes]
"""(number, subroot, records) of a bucket of the state"""
Made = tuple[int, bytes, list[bytes]]
"""(number, the bucket, the keys in it that listings show)"""


def hash_blocks(blocks: list[Unhashed]) -> list[Hashed]:
    """Of blocks that can be decoded."""
    found = []
    for raw, receipts in blocks:
        ids = [tx_id(tx) for tx in decode_block(raw).txs]
        found.append((ids, list_root(ids), list_root(receipts), _index_accounts(receipts)))
    return found


def _index_accounts(receipts: list[bytes]) -> AccountIndex:
    """None of receipts that cannot be decoded: whoever takes them over finds that out."""
    try:
        return index_accounts([decode(Receipt, raw, MAX_RECEIPT) for raw in receipts])
    except Malformed:
        return []


def are_signed(chain_id: bytes, checks: list[Check]) -> bytes:
    """One byte for each check: 1 where the key made the transaction's signature."""
    return bytes(verify(key, tx_digest(chain_id, body_bytes(raw)), raw[-64:]) for key, raw in checks)


def make_buckets(sent: list[Sent]) -> tuple[list[Made], list[int]]:
    """The buckets that are what their subroots say, and the numbers of the others. LC-BLK-19."""
    made: list[Made] = []
    wrong: list[int] = []
    for number, subroot, raw in sent:
        try:
            made.append((number, *make_bucket(number, subroot, raw)))
        except Malformed:
            wrong.append(number)
    return made, wrong
