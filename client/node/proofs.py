"""What convinces somebody who trusts this node in nothing: headers, certificates, receipts and records as bytes, with proofs.

LC-BLK-7, 8, 18, LC-LIGHT-1. Whoever knows a validator set, from genesis or from before, follows validator set changes
to the set of a height, checks the certificate under it, and then the proofs under the header's roots. Nothing here is believed: it
is checked, or it is worth nothing.
"""

from __future__ import annotations

from typing import Any

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.receipt_file import (
    MAX_HANDOVERS,
    Path,
    PathStep,
    ProvenReceipt,
    ProvenRecord,
    TrustedBlock,
    Way,
    make_receipt_file,
)
from learningchain.chain.ledger.snapshot import ValidatorSetChange
from learningchain.chain.ledger.state import State
from learningchain.chain.merkle import prove_item, sides
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.storage import validator_changes as stored_changes
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.types import Header, Validator, block_id, decode_block, tx_id

Json = dict[str, Any]


def raw_block(height: int, block: bytes, certificate: bytes) -> Json:
    return {"height": height, "block": block.hex(), "certificate": certificate.hex()}


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


# --- receipt files --------------------------------------------------------------------------------------------------------------


def way_to(store: BlockStore, first: list[Validator], height: int, trusted: int | None) -> Way:
    """LC-LIGHT-2, 3: how a reader comes to the set of `height`, from genesis (whose set is `first`) or a trusted height.

    Raises `Malformed` where this node cannot show it.
    """
    found = stored_changes.read(store, 1 if trusted is None else trusted + 1, MAX_HANDOVERS + 1)
    begin = None if trusted is None else _trusted_block(store, first, trusted)
    return Way(begin, [change for change in found if change.header.height < height])


def _trusted_block(store: BlockStore, first: list[Validator], height: int) -> TrustedBlock:
    header, change = store.header(height), stored_changes.last_before(store, height + 1)
    if header is None:
        raise Malformed(f"this node has no block {height} that a receipt could begin at")
    return TrustedBlock(header, first if change is None else change.validators)


def receipt_file(way: Way, raw_block: bytes, certificate: bytes, receipts: list[bytes], index: int) -> Json | None:
    """LC-LIGHT-5: receipt `index` of a block (0: the block's own) as a file, None where it has no such receipt.

    Raises `Malformed` where no file can hold it.
    """
    if not 0 <= index < len(receipts):
        return None
    block = decode_block(raw_block)
    raw_tx = block.txs[index - 1] if index else b""
    ids = [tx_id(raw) for raw in block.txs]
    proven = ProvenReceipt(receipts[index], _path(receipts, index), raw_tx, _path(ids, index - 1) if index else [])
    made = make_receipt_file(way, block.header, decode_certificate(certificate), proven)
    return _file(way, block.header, made) | {"index": index, "tx": ids[index - 1].hex() if index else None}


def records_file(way: Way, header: Header, certificate: bytes, records: list[ProvenRecord]) -> Json:
    """LC-LIGHT-6: what the state after a block holds under some keys, as a file. Raises `Malformed` where no file can hold it."""
    return _file(way, header, make_receipt_file(way, header, decode_certificate(certificate), None, records))


def proven_records(state: State, keys: list[bytes]) -> list[ProvenRecord]:
    found = []
    for key in sorted(set(keys)):
        record, proof = state.prove(key)
        found.append(ProvenRecord(key, [] if record is None else [record], proof))
    return found


def _path(items: list[bytes], index: int) -> Path:
    return [PathStep(left, sibling) for left, sibling in sides(prove_item(items, index))]


def _file(way: Way, header: Header, raw: bytes) -> Json:
    begin = None if way.trusted is None else block_id(way.trusted.header).hex()
    return {"height": header.height, "block_id": block_id(header).hex(), "trusted": begin, "file": raw.hex()}


def _of(header: Header, certificate: bytes) -> Json:
    return {"height": header.height, "header": encode(header).hex(), "certificate": certificate.hex()}
