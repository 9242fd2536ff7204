"""A light client after `protocol_spec/blocks.md`: from a genesis or a trusted validator set to final blocks, receipts and state.

It executes nothing: a certificate says that more than two thirds of the validators did.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from tests.conformance.keys import check_signature, identity, tagged, tx_digest, vote_digest
from tests.conformance.trees import check_item, check_key, list_root
from tests.conformance.wire import (
    CERTIFICATE,
    GENESIS,
    HEADER,
    RECEIPT,
    SIGNED_TX,
    VALIDATOR_SET,
    decode,
    encode,
    need,
)

MAX_HEADER_BYTES = 1_000
MAX_CERTIFICATE_BYTES = 20_000
MAX_TX_BYTES = 65_536
MAX_RECEIPT_BYTES = 8_000_000
PRECOMMIT = 2


class Header(NamedTuple):
    """LC-BLK-1"""

    version: int
    chain_id: bytes
    height: int
    round: int
    proposer: bytes
    time: int
    parent: bytes
    tx_root: bytes
    receipt_root: bytes
    state_root: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    reveal: bytes
    commitment: bytes


def quorum(n: int) -> int:
    """LC-CON-3"""
    return 2 * n // 3 + 1


def read_validators(raw: bytes) -> list[list[bytes]]:
    """LC-BLK-5: `[[id, key], …]`, sorted by id, each once."""
    found: list[list[bytes]] = decode(VALIDATOR_SET, raw, 20_000)
    need(all(a[0] < b[0] for a, b in itertools.pairwise(found)), "validators sorted by id, each once")
    return found


def validators_hash(raw: bytes) -> bytes:
    return tagged("lc/validators", raw)


def block_id(header: bytes) -> bytes:
    return tagged("lc/block", header)


def genesis_chain(raw: bytes) -> tuple[bytes, bytes]:
    """LC-BLK-9: (chain id, encoded first validator set) of a genesis."""
    genesis = decode(GENESIS, raw, 8_000_000)
    validators = sorted([identity(key), key] for key, _, is_validator, _ in genesis[4] if is_validator)
    return tagged("lc/genesis", raw), encode(validators)


def check_certificate(chain_id: bytes, raw: bytes, validators: list[list[bytes]]) -> Any:
    """LC-BLK-6"""
    certificate = decode(CERTIFICATE, raw, MAX_CERTIFICATE_BYTES)
    height, round_, block, signers, signatures = certificate
    need(len(signers) == len(signatures), "one signature per signer")
    need(all(a < b for a, b in itertools.pairwise(signers)), "ascending signers")
    need(signers[-1] < len(validators), "signers that exist")
    need(len(signers) >= quorum(len(validators)), "a quorum")
    digest = vote_digest(chain_id, PRECOMMIT, height, round_, block)
    for index, signature in zip(signers, signatures, strict=True):
        check_signature(validators[index][1], digest, signature)
    return certificate


def verify_block(
    chain_id: bytes,
    header_bytes: bytes,
    certificate_bytes: bytes,
    validators_bytes: bytes,
    *,
    txs: list[bytes] | None = None,
    receipts: list[bytes] | None = None,
    next_validators_bytes: bytes | None = None,
    parent: bytes | None = None,
) -> Header:
    """LC-BLK-7: the block is final on this chain, if `validators_bytes` is the set of its height. Raises `Refused`.

    Given its transactions and encoded receipts, they are the block's; given its parent's id, it follows it.
    """
    header = Header(*decode(HEADER, header_bytes, MAX_HEADER_BYTES))
    validators = read_validators(validators_bytes)
    certificate = check_certificate(chain_id, certificate_bytes, validators)
    need(header.version == 1, "protocol version 1")
    need(header.chain_id == chain_id, "this chain")
    need(certificate[0] == header.height and certificate[2] == block_id(header_bytes), "a certificate for this block")
    need(certificate[1] >= header.round, "no certificate before the block's origin")
    need(header.validators_hash == validators_hash(validators_bytes), "the validator set of the header")
    need(header.proposer == validators[(header.height + header.round) % len(validators)][0], "the proposer of its origin round")
    if next_validators_bytes is not None:
        read_validators(next_validators_bytes)
        need(header.next_validators_hash == validators_hash(next_validators_bytes), "the next validator set")
    if parent is not None:
        need(header.parent == parent, "the parent")
    if txs is not None:
        need(header.tx_root == list_root([tx_id(raw) for raw in txs]), "the transactions")
    if receipts is not None:
        need(header.receipt_root == list_root(receipts), "the receipts")
        ids = [decode(RECEIPT, raw, MAX_RECEIPT_BYTES)[0] for raw in receipts]
        if txs is not None:
            need(ids == [bytes(32), *(tx_id(raw) for raw in txs)], "one receipt per transaction, the block's own first")
    return header


def verify_receipt(header: Header, receipt: bytes, proof: bytes) -> Any:
    """LC-BLK-8: what became of a transaction in a verified block."""
    found = decode(RECEIPT, receipt, MAX_RECEIPT_BYTES)
    check_item(header.receipt_root, receipt, proof)
    return found


def verify_state(header: Header, key: bytes, value: bytes | None, proof: bytes) -> None:
    """LC-BLK-8: a record, or its absence, after a verified block."""
    check_key(header.state_root, key, value, proof)


def work(raw: bytes, refused: int | None) -> int:
    """LC-BLK-25: of a transaction whose message number `refused` is the first that is refused."""
    messages = decode(SIGNED_TX, raw, 65_536)[0][5]
    ran = messages if refused is None else messages[: refused + 1]
    return sum(128 if message[0] == 66 else 32 if message[0] // 32 == 3 else 1 for message in ran)


def tx_id(raw: bytes) -> bytes:
    """LC-TX-2"""
    return tagged("lc/txid", raw)


def check_tx(chain_id: bytes, raw: bytes, key: bytes) -> Any:
    """LC-TX-1, 3: form, network and signature; the rest of a transaction's validity needs the state."""
    signed = decode(SIGNED_TX, raw, MAX_TX_BYTES)
    need(signed[0][0] == int.from_bytes(chain_id[:4], "big"), "this network")
    check_signature(key, tx_digest(chain_id, encode(signed[0])), signed[1])
    return signed
