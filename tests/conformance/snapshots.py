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

Head = tuple[int, int, int, bytes]
"""How many bits the paths of a page or subpage share, those bits as a number, 2 for a single record or 3, the hash."""
MAX_HANDOVER_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_200_000
PAGE_BITS, MOST_BITS, MOST_SUBPAGES = 16, 62, 8_192


@check("LC-BLK-30")
def a_subpage_has_17_to_62_bits(count: int) -> bool:
    return PAGE_BITS < count <= MOST_BITS


def bits_of(number: int) -> tuple[int, int]:
    """LC-BLK-30: how many bits the paths of a page or subpage share, and which."""
    if number < 2**PAGE_BITS:
        return PAGE_BITS, number
    count = len(f"{number:b}") - 1
    a_subpage_has_17_to_62_bits(count)
    return count, number - 2**count


@check("LC-BLK-19")
def heads_have_41_bytes_each(raw: bytes) -> bool:
    return len(raw) % 41 == 0


@check("LC-BLK-19")
def heads_ascend_and_do_not_overlap(heads: list[Head]) -> bool:
    """The place of the first path after each is not behind that of the first path of the next."""
    return all((a[1] + 1) << 256 - a[0] <= b[1] << 256 - b[0] for a, b in itertools.pairwise(heads))


@check("LC-BLK-19")
def heads_begin_with_2_or_3(heads: list[Head]) -> bool:
    return all(kind in (2, 3) for _, _, kind, _ in heads)


@check("LC-BLK-30")
def subpages_are_not_too_many(heads: list[Head]) -> bool:
    return sum(count > PAGE_BITS for count, *_ in heads) <= MOST_SUBPAGES


@check("LC-BLK-19")
def heads_have_the_state_root(heads: list[Head], state_root: bytes) -> bool:
    return root(heads) == state_root


def read_heads(raw: bytes, state_root: bytes) -> list[Head]:
    """LC-BLK-19, 30"""
    heads_have_41_bytes_each(raw)
    heads = []
    for at in range(0, len(raw) - 40, 41):
        heads.append((*bits_of(int.from_bytes(raw[at : at + 8], "big")), raw[at + 8], raw[at + 9 : at + 41]))
    subpages_are_not_too_many(heads)
    heads_ascend_and_do_not_overlap(heads)
    heads_begin_with_2_or_3(heads)
    heads_have_the_state_root(heads, state_root)
    return heads


def root(heads: list[Head], depth: int = 0) -> bytes:
    """LC-MRK-4 above pages and subpages: what is alone with a single record is that record's leaf."""
    if not heads:
        return EMPTY
    if depth >= heads[0][0] or (len(heads) == 1 and heads[0][2] == 2):
        return heads[0][3]
    right = [head for head in heads if head[1] >> max(0, head[0] - depth - 1) & 1]
    left = [head for head in heads if not head[1] >> max(0, head[0] - depth - 1) & 1]
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
def the_records_of_a_page_belong_to_its_number(leaves: list[tuple[bytes, bytes]], count: int, bits: int) -> bool:
    return all(int.from_bytes(path, "big") >> 256 - count == bits for path, _ in leaves)


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
    the_records_of_a_page_belong_to_its_number(leaves, *head[:2])
    a_page_is_what_its_head_says((*head[:2], 2 if len(leaves) == 1 else 3, _below(sorted(leaves), head[0])), head)
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
