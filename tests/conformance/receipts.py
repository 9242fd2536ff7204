"""Receipt files after `protocol_spec/receipts.md`."""

from __future__ import annotations

import itertools
from typing import Any

from tests.conformance import genesis, light, snapshots
from tests.conformance.checks import check
from tests.conformance.keys import sha
from tests.conformance.records import RECEIPT, RECEIPT_FILE
from tests.conformance.trees import check_key
from tests.conformance.wire import decode, encode

MAX_FILE_BYTES, MAX_RECEIPT_BYTES = 16_000_000, 1_000_000
ZERO = bytes(32)


@check("LC-LIGHT-1")
def it_is_a_receipt_file_of_version_1(kind: str, version: int) -> bool:
    return (kind, version) == ("learningchain receipt", 1)


@check("LC-LIGHT-1")
def a_receipt_file_shows_something(receipts: list[Any], records: list[Any]) -> bool:
    return bool(receipts or records)


@check("LC-LIGHT-2")
def from_genesis_the_file_begins_at_no_block(trusted: list[Any]) -> bool:
    return not trusted


@check("LC-LIGHT-3")
def from_a_block_the_file_begins_at_one(trusted: list[Any]) -> bool:
    return bool(trusted)


@check("LC-LIGHT-3")
def the_file_begins_at_the_trusted_block(header: bytes, trusted: bytes) -> bool:
    return light.block_id(header) == trusted


@check("LC-LIGHT-2")
def handovers_ascend_to_the_block(heights: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(heights))


@check("LC-LIGHT-5")
def the_receipt_s_path_leads_to_the_root(root: bytes, found: bytes) -> bool:
    return root == found


@check("LC-LIGHT-5")
def the_receipt_is_the_transaction_s(receipt: Any, tx: bytes) -> bool:
    return bool(receipt[0] == light.tx_id(tx))


@check("LC-LIGHT-5")
def the_transaction_s_path_leads_to_the_root(root: bytes, found: bytes) -> bool:
    return root == found


@check("LC-LIGHT-5")
def without_a_transaction_it_is_the_block_s_own(receipt: Any) -> bool:
    return bool(receipt[0] == ZERO)


@check("LC-LIGHT-5")
def without_a_transaction_there_is_no_path_of_one(tx_path: list[Any]) -> bool:
    return not tx_path


@check("LC-LIGHT-6")
def records_ascend_by_key(keys: list[bytes]) -> bool:
    return all(a < b for a, b in itertools.pairwise(keys))


def path_root(item: bytes, path: list[Any]) -> bytes:
    """LC-LIGHT-4"""
    node = sha(b"\x00" + item)
    for left, sibling in path:
        node = sha(b"\x01" + (sibling + node if left else node + sibling))
    return node


def verify(raw: bytes, genesis_bytes: bytes, trusted: bytes) -> Any:
    """LC-LIGHT-2 to LC-LIGHT-6: header, receipts and records; `trusted` empty: the genesis is. Raises `Refused`."""
    kind, version, begin, handovers, header_fields, certificate, receipts, records = decode(RECEIPT_FILE, raw, MAX_FILE_BYTES)
    it_is_a_receipt_file_of_version_1(kind, version)
    a_receipt_file_shows_something(receipts, records)
    if trusted:
        from_a_block_the_file_begins_at_one(begin)
        first, members = (encode(part) for part in begin[0])
        the_file_begins_at_the_trusted_block(first, trusted)
        light.read_validators(members)
        start = light.Header(*begin[0][0])
        light.the_header_names_the_next_set(start, members)
        chain_id, height = start.chain_id, start.height
    else:
        from_genesis_the_file_begins_at_no_block(begin)
        chain_id, height, members = genesis.chain_id(genesis_bytes), 0, genesis.first_validators(genesis_bytes)
    handovers_ascend_to_the_block([height, *(change[0][2] for change in handovers), header_fields[2]])
    for change in handovers:
        members = snapshots.follow(chain_id, encode(change), members)
    header = light.verify_block(chain_id, encode(header_fields), encode(certificate), members)
    for shown in receipts:
        _verify_receipt(header, *shown)
    records_ascend_by_key([key for key, *_ in records])
    for key, record, proof in records:
        check_key(header.state_root, key, record[0] if record else None, encode(proof))
    return header, receipts, records


def _verify_receipt(header: light.Header, raw: bytes, path: list[Any], tx: bytes, tx_path: list[Any]) -> None:
    the_receipt_s_path_leads_to_the_root(header.receipt_root, path_root(raw, path))
    receipt = decode(RECEIPT, raw, MAX_RECEIPT_BYTES)
    if tx:
        the_receipt_is_the_transaction_s(receipt, tx)
        the_transaction_s_path_leads_to_the_root(header.tx_root, path_root(light.tx_id(tx), tx_path))
    else:
        without_a_transaction_it_is_the_block_s_own(receipt)
        without_a_transaction_there_is_no_path_of_one(tx_path)
