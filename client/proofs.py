"""What convinces somebody who trusts this node in nothing: headers, certificates, receipts and records as bytes, with proofs.

LC-BLK-7, 8, 18. Whoever knows a validator set, from genesis or from before, follows validator set changes to the set of a height,
checks the certificate under it, and then the proofs under the header's roots. Nothing here is believed: it is checked, or it is
worth nothing.
"""

from __future__ import annotations

from typing import Any

from chain.codec import encode
from chain.ledger.snapshot import ValidatorSetChange
from chain.ledger.state import State
from chain.merkle import prove_item
from chain.types import Header, decode_block, tx_id

Json = dict[str, Any]
MAX_VALIDATOR_CHANGES = 64
"""Validator set changes in one answer."""


def receipt_proof(raw_block: bytes, certificate: bytes, receipts: list[bytes], index: int) -> Json | None:
    """Receipt `index` of a block (0: the block's own), None where it has no such receipt."""
    if not 0 <= index < len(receipts):
        return None
    block = decode_block(raw_block)
    return _of(block.header, certificate) | {
        "index": index,
        "tx": tx_id(block.txs[index - 1]).hex() if index else None,
        "receipt": receipts[index].hex(),
        "proof": encode(prove_item(receipts, index)).hex(),
    }


def state_proof(state: State, key: bytes) -> Json:
    """What the state holds under a key, or that it holds nothing; the header and certificate of its block come with `certified`."""
    record, proof = state.prove(key)
    return {"key": key.hex(), "record": None if record is None else record.hex(), "proof": encode(proof).hex()}


def certified(proof: Json, header: Header, certificate: bytes) -> Json:
    """A state proof with the block that the state stands after."""
    return _of(header, certificate) | proof


def validator_changes(found: list[ValidatorSetChange]) -> Json:
    return {"handovers": [encode(validator_change).hex() for validator_change in found]}


def _of(header: Header, certificate: bytes) -> Json:
    return {"height": header.height, "header": encode(header).hex(), "certificate": certificate.hex()}
