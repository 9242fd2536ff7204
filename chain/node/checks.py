"""Work on a batch of decided blocks that needs nothing of the node, so that other processors can do it: pure functions over bytes.

Whoever drives the node runs them where it likes (the node's effects `CheckSignatures` and `HashBlocks`) and answers with what they
return.
"""

from __future__ import annotations

from chain.codec import decode
from chain.crypto import verify
from chain.errors import Malformed
from chain.ledger.outcome import MAX_RECEIPT
from chain.ledger.snapshot import make_page
from chain.merkle import list_root
from chain.node.history import Mentions, mentions
from chain.types import Receipt, body_bytes, decode_block, tx_digest, tx_id

Check = tuple[bytes, bytes]
"""(public key, bytes of a signed transaction)"""

Unhashed = tuple[bytes, list[bytes]]
"""(encoded block, encoded receipts)"""
Hashed = tuple[list[bytes], bytes, bytes, Mentions]
"""(transaction ids, their root, the root of the receipts, the accounts that these tell of)"""

Sent = tuple[int, bytes, bytes]
"""(number, head, records) of a page of the state"""
Made = tuple[int, bytes, list[bytes]]
"""(number, the page, the keys in it that listings show)"""


def hash_blocks(blocks: list[Unhashed]) -> list[Hashed]:
    """Of blocks that can be decoded."""
    found = []
    for raw, receipts in blocks:
        ids = [tx_id(tx) for tx in decode_block(raw).txs]
        found.append((ids, list_root(ids), list_root(receipts), _mentions(receipts)))
    return found


def _mentions(receipts: list[bytes]) -> Mentions:
    """None of receipts that cannot be decoded: whoever takes them over finds that out."""
    try:
        return mentions([decode(Receipt, raw, MAX_RECEIPT) for raw in receipts])
    except Malformed:
        return []


def are_signed(chain_id: bytes, checks: list[Check]) -> bytes:
    """One byte for each check: 1 where the key made the transaction's signature."""
    return bytes(verify(key, tx_digest(chain_id, body_bytes(raw)), raw[-64:]) for key, raw in checks)


def make_pages(sent: list[Sent]) -> tuple[list[Made], list[int]]:
    """The pages that are what their heads say, and the numbers of the others. LC-BLK-19."""
    made: list[Made] = []
    wrong: list[int] = []
    for number, head, raw in sent:
        try:
            made.append((number, *make_page(number, head, raw)))
        except Malformed:
            wrong.append(number)
    return made, wrong
