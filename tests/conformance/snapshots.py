"""Snapshots of `protocol_spec/blocks.md`: the state in pages, and the validators that follow from known ones."""

from __future__ import annotations

import itertools
from typing import Any

from tests.conformance import light
from tests.conformance.checks import check
from tests.conformance.keys import sha
from tests.conformance.records import HANDOVER
from tests.conformance.trees import EMPTY, bit, leaf
from tests.conformance.wire import decode, decode_plain, encode, the_bytes_are_not_longer_than_their_type_allows

Head = tuple[bytes, int, bytes]
"""The page's number as 16 bits, 2 for a single record or 3, the hash."""
MAX_HANDOVER_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_200_000


@check("LC-BLK-19")
def heads_have_35_bytes_each(raw: bytes) -> bool:
    return len(raw) % 35 == 0


@check("LC-BLK-19")
def heads_ascend(heads: list[Head]) -> bool:
    return all(a[0] < b[0] for a, b in itertools.pairwise(heads))


@check("LC-BLK-19")
def heads_begin_with_2_or_3(heads: list[Head]) -> bool:
    return all(kind in (2, 3) for _, kind, _ in heads)


@check("LC-BLK-19")
def heads_have_the_state_root(heads: list[Head], state_root: bytes) -> bool:
    return root(heads) == state_root


def read_heads(raw: bytes, state_root: bytes) -> list[Head]:
    """LC-BLK-19"""
    heads_have_35_bytes_each(raw)
    heads = [(raw[at : at + 2], raw[at + 2], raw[at + 3 : at + 35]) for at in range(0, len(raw) - 34, 35)]
    heads_ascend(heads)
    heads_begin_with_2_or_3(heads)
    heads_have_the_state_root(heads, state_root)
    return heads


def root(heads: list[Head], depth: int = 0) -> bytes:
    """LC-MRK-4 above the pages: what is alone with a single record is that record's leaf."""
    if not heads:
        return EMPTY
    if depth == 16 or (len(heads) == 1 and heads[0][1] == 2):
        return heads[0][2]
    left = [head for head in heads if not bit(head[0], depth)]
    right = [head for head in heads if bit(head[0], depth)]
    return sha(b"\x03" + root(left, depth + 1) + root(right, depth + 1))


@check("LC-BLK-19")
def a_page_is_a_list_of_keys_and_records(flat: Any) -> bool:
    return isinstance(flat, list) and len(flat) % 2 == 0 and all(type(part) is bytes for part in flat)


@check("LC-BLK-19")
def a_page_holds_a_record_at_least(flat: Any) -> bool:
    return len(flat) > 1


@check("LC-BLK-19")
def the_records_of_a_page_stand_in_the_order_of_their_paths(leaves: list[tuple[bytes, bytes]]) -> bool:
    return all(a[0] < b[0] for a, b in itertools.pairwise(leaves))


@check("LC-BLK-19")
def the_records_of_a_page_belong_to_its_number(leaves: list[tuple[bytes, bytes]], number: bytes) -> bool:
    return all(path[:2] == number for path, _ in leaves)


@check("LC-BLK-19")
def a_page_is_what_its_head_says(found: Head, head: Head) -> bool:
    return found == head


def read_page(raw: bytes, head: Head) -> list[bytes]:
    """LC-BLK-19: key, record, key, record, …"""
    the_bytes_are_not_longer_than_their_type_allows(raw, MAX_PAGE_BYTES)
    flat: list[bytes] = decode_plain(raw)
    a_page_is_a_list_of_keys_and_records(flat)
    a_page_holds_a_record_at_least(flat)
    leaves = [(sha(key), sha(value)) for key, value in zip(flat[::2], flat[1::2], strict=False)]
    the_records_of_a_page_stand_in_the_order_of_their_paths(leaves)
    the_records_of_a_page_belong_to_its_number(leaves, head[0])
    a_page_is_what_its_head_says((head[0], 2 if len(leaves) == 1 else 3, _below(sorted(leaves), 16)), head)
    return flat


def _below(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
    if not leaves:
        return EMPTY
    if len(leaves) == 1 or depth == 256:
        return leaf(*leaves[0])
    left = [x for x in leaves if not bit(x[0], depth)]
    right = [x for x in leaves if bit(x[0], depth)]
    return sha(b"\x03" + _below(left, depth + 1) + _below(right, depth + 1))


@check("LC-BLK-18")
def a_handover_changes_the_set(header: Any) -> bool:
    return bool(header[10] != header[11])


def follow(chain_id: bytes, handover: bytes, validators: bytes) -> bytes:
    """LC-BLK-18: the encoded set after a handover."""
    parts = decode(HANDOVER, handover, MAX_HANDOVER_BYTES)
    a_handover_changes_the_set(parts[0])
    header, certificate, following = (encode(part) for part in parts)
    light.verify_block(chain_id, header, certificate, validators, next_validators_bytes=following)
    return following
