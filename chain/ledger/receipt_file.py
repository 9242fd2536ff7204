"""A receipt file: what became of a transaction, a block or a record, with all that convinces somebody who trusts a genesis alone.

    genesis (or a trusted block) --> its validator set --handover--> ... --> the set of height h
        --> certificate of block h --> header h --> receipt_root --> the receipt, and under tx_root its transaction
                                                --> state_root   --> records, or that there are none

LC-LIGHT-1 to LC-LIGHT-9. Everything is in the file and every byte of it is bound: positions are not told by numbers, which no root
covers, but by the sides on which siblings stand. Pure: whoever has the bytes needs no node, no network and no trust in the sender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, decode, encode
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.snapshot import ValidatorSetChange, check_signed, follow_validator_change
from learningchain.chain.ledger.tx import ParsedTx, parse_tx
from learningchain.chain.merkle import StateProof, check_key, follow_path
from learningchain.chain.params import MAX_TX_BYTES
from learningchain.chain.types import (
    Certificate,
    Hash,
    Header,
    Receipt,
    Validator,
    ValidatorSet,
    block_id,
    check_validators,
    validators_hash,
)

KIND, VERSION = "learningchain receipt", 1
MAX_RECEIPT_FILE = 16_000_000
"""Bytes of a receipt file."""
MAX_HANDOVERS = 1_024
"""Validator set changes in a receipt file: a longer way begins at a trusted block."""
MAX_RECEIPT = 1_000_000
"""Bytes of a receipt in a file; the own receipt of a block may have more (LC-BLK-4) and then fits into none."""
MAX_RECORDS = 16
"""State proofs in a receipt file."""
MAX_PATH = 16
"""A block has at most 8,193 receipts."""
NO_TX = bytes(32)


class PathStep(Wire, frozen=True):
    """LC-LIGHT-4: one sibling on the way up a list tree, and whether it stands on the left."""

    left: bool
    sibling: Hash


Path = Annotated[list[PathStep], Meta(max_length=MAX_PATH)]


class TrustedBlock(Wire, frozen=True):
    """LC-LIGHT-3: the header of a block that the reader trusts by its id, and the set that signs the next one."""

    header: Header
    validators: ValidatorSet


class ProvenReceipt(Wire, frozen=True):
    """LC-LIGHT-5: a receipt with its path under `receipt_root`; its transaction and the path of its id under `tx_root`.

    `tx` and `tx_path` are empty where the receipt is the block's own.
    """

    receipt: Annotated[bytes, Meta(max_length=MAX_RECEIPT)]
    path: Path
    tx: Annotated[bytes, Meta(max_length=MAX_TX_BYTES)]
    tx_path: Path


class ProvenRecord(Wire, frozen=True):
    """LC-LIGHT-6: what the state after the block holds under a key: one record, or none."""

    key: Annotated[bytes, Meta(min_length=1, max_length=255)]
    record: Annotated[list[bytes], Meta(max_length=1)]
    proof: StateProof


class ReceiptFile(Wire, frozen=True):
    """LC-LIGHT-1."""

    kind: Annotated[str, Meta(max_length=32)]
    version: Annotated[int, Meta(ge=0, le=255)]
    trusted: Annotated[list[TrustedBlock], Meta(max_length=1)]
    handovers: Annotated[list[ValidatorSetChange], Meta(max_length=MAX_HANDOVERS)]
    header: Header
    certificate: Certificate
    receipts: Annotated[list[ProvenReceipt], Meta(max_length=1)]
    records: Annotated[list[ProvenRecord], Meta(max_length=MAX_RECORDS)]


@dataclass(frozen=True)
class Proven:
    """What a checked receipt file shows. `tx` and `receipt` None: it shows records only; `tx` None: the block's own receipt."""

    chain_id: bytes
    header: Header
    signers: int
    validators: int
    handovers: int
    tx: ParsedTx | None
    receipt: Receipt | None
    records: list[tuple[bytes, bytes | None]]
    """Key and encoded record of the state after the block; None: there is no such record."""


# --- making -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """How the set of a height is reached: from genesis, or from a trusted block, by the changes between them."""

    trusted: TrustedBlock | None
    handovers: Sequence[ValidatorSetChange]


def make_receipt_file(
    way: Way,
    header: Header,
    certificate: Certificate,
    receipt: ProvenReceipt | None = None,
    records: Sequence[ProvenRecord] = (),
) -> bytes:
    """Raises `Malformed` where no file can hold it."""
    if len(way.handovers) > MAX_HANDOVERS:
        raise Malformed(
            f"the validator set changed more than {MAX_HANDOVERS} times before block {header.height}: name a trusted block "
            "that is nearer"
        )
    if receipt is not None and len(receipt.receipt) > MAX_RECEIPT:
        raise Malformed(f"the receipt has {len(receipt.receipt)} bytes, a file holds at most {MAX_RECEIPT}")
    if len(records) > MAX_RECORDS:
        raise Malformed(f"{len(records)} records, a file holds at most {MAX_RECORDS}")
    trusted = [] if way.trusted is None else [way.trusted]
    made = ReceiptFile(
        *(KIND, VERSION, trusted, list(way.handovers), header, certificate),
        *([] if receipt is None else [receipt], list(records)),
    )
    raw = encode(made)
    if len(raw) > MAX_RECEIPT_FILE:
        raise Malformed(f"the file would have {len(raw)} bytes, at most {MAX_RECEIPT_FILE} are read: name a nearer trusted block")
    return raw


# --- checking -----------------------------------------------------------------------------------------------------------------


def check_receipt_file(raw: bytes, trust: Genesis | bytes) -> Proven:
    """LC-LIGHT-2 to LC-LIGHT-6: what the file shows to who trusts this genesis, or the block of this id. Raises `Malformed`."""
    found = decode(ReceiptFile, raw, MAX_RECEIPT_FILE)
    if found.kind != KIND or found.version != VERSION:
        raise Malformed(f"no receipt file of version {VERSION}")
    if not found.receipts and not found.records:
        raise Malformed("the file shows nothing: it holds neither a receipt nor a record")
    chain_id, height, validators = _begin(found, trust)
    for change in found.handovers:
        if not height < change.header.height < found.header.height:
            raise Malformed("the validator set changes do not ascend to the block")
        validators = follow_validator_change(chain_id, change, validators)
        height = change.header.height
    if found.header.height <= height:
        raise Malformed("the block is not above the trusted one")
    check_signed(chain_id, found.header, found.certificate, validators)
    tx, receipt = _check_receipt(found.header, found.receipts[0]) if found.receipts else (None, None)
    records = [_check_record(found.header, one) for one in found.records]
    if any(a.key >= b.key for a, b in zip(found.records, found.records[1:], strict=False)):
        raise Malformed("the records are not in the order of their keys")
    return Proven(
        chain_id, found.header, len(found.certificate.signers), len(validators), len(found.handovers), tx, receipt, records
    )


def _begin(found: ReceiptFile, trust: Genesis | bytes) -> tuple[bytes, int, list[Validator]]:
    """LC-LIGHT-2, 3: chain id, the height from which the way begins, and the set that signs the next block."""
    if isinstance(trust, Genesis):
        if found.trusted:
            raise Malformed("the file begins at a trusted block, not at genesis: name the id of a block that you trust")
        chain_id = trust.chain_id
        if found.header.chain_id != chain_id:
            raise Malformed(
                f"the file is of chain {found.header.chain_id.hex()}, the genesis of chain {chain_id.hex()}: another network"
            )
        return chain_id, 0, trust.validators
    if not found.trusted:
        raise Malformed("the file begins at genesis, not at a trusted block: name the genesis file")
    begin = found.trusted[0]
    if block_id(begin.header) != trust:
        raise Malformed(f"the file begins at block {block_id(begin.header).hex()}, the trusted one is {trust.hex()}")
    check_validators(begin.validators)
    if validators_hash(begin.validators) != begin.header.next_validators_hash:
        raise Malformed("the trusted block names another validator set than the file")
    return begin.header.chain_id, begin.header.height, begin.validators


def _check_receipt(header: Header, shown: ProvenReceipt) -> tuple[ParsedTx | None, Receipt]:
    if follow_path(shown.receipt, [(step.left, step.sibling) for step in shown.path]) != header.receipt_root:
        raise Malformed("the receipt does not stand in the block")
    receipt = decode(Receipt, shown.receipt, MAX_RECEIPT)
    if not shown.tx:
        if shown.tx_path or receipt.tx != NO_TX:
            raise Malformed("the receipt is of a transaction, and the file does not hold it")
        return None, receipt
    try:
        tx = parse_tx(shown.tx)
    except InvalidTx as e:
        raise Malformed(f"the transaction is none: {e.text}") from None
    if tx.id != receipt.tx:
        raise Malformed("the receipt is that of another transaction")
    if follow_path(tx.id, [(step.left, step.sibling) for step in shown.tx_path]) != header.tx_root:
        raise Malformed("the transaction does not stand in the block")
    return tx, receipt


def _check_record(header: Header, shown: ProvenRecord) -> tuple[bytes, bytes | None]:
    record = shown.record[0] if shown.record else None
    if not check_key(header.state_root, shown.key, record, shown.proof):
        what = "is absent" if record is None else "has this record"
        raise Malformed(f"the proof does not show that key {shown.key.hex()} {what} in the state after the block")
    return shown.key, record
