"""A light client after `protocol_spec/blocks.md`: from a genesis or a trusted validator set to final blocks, receipts and state.

It executes nothing: a certificate says that more than two thirds of the validators did.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from tests.conformance.checks import check
from tests.conformance.keys import check_key as check_public_key
from tests.conformance.keys import check_signature, sha, tagged, tx_digest, vote_digest
from tests.conformance.records import CERTIFICATE, HEADER, RECEIPT, SIGNED_TX, VALIDATOR_SET
from tests.conformance.trees import check_item, check_key, list_root
from tests.conformance.wire import decode, encode

MAX_HEADER_BYTES = 4_096
MAX_CERTIFICATE_BYTES = 65_536
MAX_TX_BYTES = 65_536
MAX_RECEIPT_BYTES = 1_000_000
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


# --- validator sets: LC-BLK-5 -------------------------------------------------------------------------------------------------


@check("LC-BLK-5")
def validators_are_sorted_by_id_each_once(found: list[list[bytes]]) -> bool:
    return all(a[0] < b[0] for a, b in itertools.pairwise(found))


def read_validators(raw: bytes) -> list[list[bytes]]:
    """LC-BLK-5: `[[id, key], …]`, sorted by id, each once."""
    found: list[list[bytes]] = decode(VALIDATOR_SET, raw, 20_000)
    validators_are_sorted_by_id_each_once(found)
    for _, key in found:
        check_public_key(key)
    return found


def validators_hash(raw: bytes) -> bytes:
    return tagged("lc/validators", raw)


def block_id(header: bytes) -> bytes:
    """LC-BLK-2"""
    return tagged("lc/block", header)


# --- certificates: LC-BLK-6 ---------------------------------------------------------------------------------------------------


@check("LC-BLK-6")
def a_certificate_has_one_signature_per_signer(signers: list[int], signatures: list[bytes]) -> bool:
    return len(signers) == len(signatures)


@check("LC-BLK-6")
def the_signers_ascend(signers: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(signers))


@check("LC-BLK-6")
def every_signer_is_in_the_set(signers: list[int], count: int) -> bool:
    return max(signers) < count


@check("LC-BLK-6")
def the_signers_are_a_quorum(signers: list[int], count: int) -> bool:
    return len(signers) >= quorum(count)


def check_certificate(chain_id: bytes, raw: bytes, validators: list[list[bytes]]) -> Any:
    """LC-BLK-6"""
    certificate = decode(CERTIFICATE, raw, MAX_CERTIFICATE_BYTES)
    height, round_, block, signers, signatures = certificate
    a_certificate_has_one_signature_per_signer(signers, signatures)
    the_signers_ascend(signers)
    every_signer_is_in_the_set(signers, len(validators))
    the_signers_are_a_quorum(signers, len(validators))
    digest = vote_digest(chain_id, PRECOMMIT, height, round_, block)
    for index, signature in zip(signers, signatures, strict=False):
        if index < len(validators):
            check_signature(validators[index][1], digest, signature)
    return certificate


# --- final blocks: LC-BLK-7 ---------------------------------------------------------------------------------------------------


@check("LC-BLK-7")
def the_header_names_protocol_version_1(header: Header) -> bool:
    return header.version == 1


@check("LC-BLK-7")
def the_header_names_this_chain(header: Header, chain_id: bytes) -> bool:
    return header.chain_id == chain_id


@check("LC-BLK-7")
def the_certificate_is_of_the_header_s_height(header: Header, certificate: Any) -> bool:
    return bool(certificate[0] == header.height)


@check("LC-BLK-7")
def the_certificate_is_for_this_block(header_bytes: bytes, certificate: Any) -> bool:
    return bool(certificate[2] == block_id(header_bytes))


@check("LC-BLK-7")
def the_certificate_is_of_the_origin_round_or_later(header: Header, certificate: Any) -> bool:
    return bool(certificate[1] >= header.round)


@check("LC-BLK-7")
def the_header_names_the_set_that_signed(header: Header, validators: bytes) -> bool:
    return header.validators_hash == validators_hash(validators)


@check("LC-BLK-7")
def the_proposer_is_that_of_the_origin_round(header: Header, validators: list[list[bytes]]) -> bool:
    return header.proposer == validators[(header.height + header.round) % len(validators)][0]


@check("LC-BLK-18")
def the_header_names_the_next_set(header: Header, following: bytes) -> bool:
    return header.next_validators_hash == validators_hash(following)


@check("LC-BLK-1")
def the_header_names_its_parent(header: Header, parent: bytes) -> bool:
    return header.parent == parent


@check("LC-BLK-3")
def the_transactions_have_the_header_s_root(header: Header, txs: list[bytes]) -> bool:
    return header.tx_root == list_root([tx_id(raw) for raw in txs])


@check("LC-BLK-3")
def the_receipts_have_the_header_s_root(header: Header, receipts: list[bytes]) -> bool:
    return header.receipt_root == list_root(receipts)


@check("LC-BLK-4")
def there_is_one_receipt_per_transaction_behind_the_block_s_own(receipts: list[bytes], txs: list[bytes]) -> bool:
    ids = [decode(RECEIPT, raw, MAX_RECEIPT_BYTES)[0] for raw in receipts]
    return ids == [bytes(32), *(tx_id(raw) for raw in txs)]


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
    the_header_names_protocol_version_1(header)
    the_header_names_this_chain(header, chain_id)
    the_certificate_is_of_the_header_s_height(header, certificate)
    the_certificate_is_for_this_block(header_bytes, certificate)
    the_certificate_is_of_the_origin_round_or_later(header, certificate)
    the_header_names_the_set_that_signed(header, validators_bytes)
    the_proposer_is_that_of_the_origin_round(header, validators)
    if next_validators_bytes is not None:
        read_validators(next_validators_bytes)
        the_header_names_the_next_set(header, next_validators_bytes)
    if parent is not None:
        the_header_names_its_parent(header, parent)
    if txs is not None:
        the_transactions_have_the_header_s_root(header, txs)
    if receipts is not None:
        the_receipts_have_the_header_s_root(header, receipts)
        if txs is not None:
            there_is_one_receipt_per_transaction_behind_the_block_s_own(receipts, txs)
    return header


def verify_receipt(header: Header, receipt: bytes, proof: bytes) -> Any:
    """LC-BLK-8: what became of a transaction in a verified block."""
    found = decode(RECEIPT, receipt, MAX_RECEIPT_BYTES)
    check_item(header.receipt_root, receipt, proof)
    return found


def verify_state(header: Header, key: bytes, value: bytes | None, proof: bytes) -> None:
    """LC-BLK-8: a record, or its absence, after a verified block."""
    check_key(header.state_root, key, value, proof)


# --- transactions -------------------------------------------------------------------------------------------------------------


def tx_id(raw: bytes) -> bytes:
    """LC-TX-2"""
    return tagged("lc/txid", raw)


def position(height: int, parent_beacon: bytes, tx: bytes, index: int) -> bytes:
    """LC-TX-8"""
    return height.to_bytes(8, "big") + sha(parent_beacon + tx) + bytes([index])


def net_of(chain_id: bytes) -> int:
    """LC-TX-3"""
    return int.from_bytes(chain_id[:4], "big")


@check("LC-TX-4", 11)
def the_network_is_this_one(net: int, chain_id: bytes) -> bool:
    return net == net_of(chain_id)


def check_tx(chain_id: bytes, raw: bytes, key: bytes) -> Any:
    """LC-TX-1, 3: form, network and signature; the rest of a transaction's validity needs the state."""
    signed = decode(SIGNED_TX, raw, MAX_TX_BYTES)
    the_network_is_this_one(signed[0][0], chain_id)
    check_signature(key, tx_digest(chain_id, encode(signed[0])), signed[1])
    return signed
