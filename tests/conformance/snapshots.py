"""Snapshots of `protocol_spec/blocks.md`: the state in buckets, and the validators that follow from known ones."""

from __future__ import annotations

import itertools
from typing import Any

from tests.conformance import light
from tests.conformance.checks import check
from tests.conformance.keys import sha
from tests.conformance.records import SET_CHANGE
from tests.conformance.trees import EMPTY, bit, leaf
from tests.conformance.wire import decode, decode_plain, encode, the_bytes_are_not_longer_than_their_type_allows

Subroot = tuple[int, int, int, bytes]
"""How many bits the paths of a bucket or subbucket share, those bits as a number, 2 for a single record or 3, the hash."""
MAX_CHANGE_BYTES = 4_500_000
MAX_BUCKET_BYTES = 4_200_000
BUCKET_BITS, MOST_BITS, MOST_SUBBUCKETS = 16, 62, 8_192


@check("LC-BLK-30")
def a_subbucket_has_17_to_62_bits(count: int) -> bool:
    return BUCKET_BITS < count <= MOST_BITS


def bits_of(number: int) -> tuple[int, int]:
    """LC-BLK-30: how many bits the paths of a bucket or subbucket share, and which."""
    if number < 2**BUCKET_BITS:
        return BUCKET_BITS, number
    count = len(f"{number:b}") - 1
    a_subbucket_has_17_to_62_bits(count)
    return count, number - 2**count


@check("LC-BLK-19")
def subroots_have_41_bytes_each(raw: bytes) -> bool:
    return len(raw) % 41 == 0


@check("LC-BLK-19")
def subroots_ascend_and_do_not_overlap(subroots: list[Subroot]) -> bool:
    """The place of the first path after each is not behind that of the first path of the next."""
    return all((a[1] + 1) << 256 - a[0] <= b[1] << 256 - b[0] for a, b in itertools.pairwise(subroots))


@check("LC-BLK-19")
def subroots_begin_with_2_or_3(subroots: list[Subroot]) -> bool:
    return all(kind in (2, 3) for _, _, kind, _ in subroots)


@check("LC-BLK-30")
def subbuckets_are_not_too_many(subroots: list[Subroot]) -> bool:
    return sum(count > BUCKET_BITS for count, *_ in subroots) <= MOST_SUBBUCKETS


@check("LC-BLK-19")
def subroots_have_the_state_root(subroots: list[Subroot], state_root: bytes) -> bool:
    return root(subroots) == state_root


def read_subroots(raw: bytes, state_root: bytes) -> list[Subroot]:
    """LC-BLK-19, 30"""
    subroots_have_41_bytes_each(raw)
    subroots = []
    for at in range(0, len(raw) - 40, 41):
        subroots.append((*bits_of(int.from_bytes(raw[at : at + 8], "big")), raw[at + 8], raw[at + 9 : at + 41]))
    subbuckets_are_not_too_many(subroots)
    subroots_ascend_and_do_not_overlap(subroots)
    subroots_begin_with_2_or_3(subroots)
    subroots_have_the_state_root(subroots, state_root)
    return subroots


def root(subroots: list[Subroot], depth: int = 0) -> bytes:
    """LC-MRK-4 above buckets and subbuckets: what is alone with a single record is that record's leaf."""
    if not subroots:
        return EMPTY
    if depth >= subroots[0][0] or (len(subroots) == 1 and subroots[0][2] == 2):
        return subroots[0][3]
    right = [subroot for subroot in subroots if subroot[1] >> max(0, subroot[0] - depth - 1) & 1]
    left = [subroot for subroot in subroots if not subroot[1] >> max(0, subroot[0] - depth - 1) & 1]
    return sha(b"\x03" + root(left, depth + 1) + root(right, depth + 1))


@check("LC-BLK-19")
def a_bucket_is_a_list_of_keys_and_records(flat: Any) -> bool:
    return isinstance(flat, list) and len(flat) % 2 == 0 and all(type(part) is bytes for part in flat)


@check("LC-BLK-19")
def a_bucket_holds_a_record_at_least(flat: Any) -> bool:
    return len(flat) > 1


@check("LC-BLK-19")
def the_records_of_a_bucket_stand_in_the_order_of_their_paths(leaves: list[tuple[bytes, bytes]]) -> bool:
    return all(a[0] < b[0] for a, b in itertools.pairwise(leaves))


@check("LC-BLK-19")
def the_records_of_a_bucket_belong_to_its_number(leaves: list[tuple[bytes, bytes]], count: int, bits: int) -> bool:
    return all(int.from_bytes(path, "big") >> 256 - count == bits for path, _ in leaves)


@check("LC-BLK-19")
def a_bucket_is_what_its_subroot_says(found: Subroot, subroot: Subroot) -> bool:
    return found == subroot


def read_bucket(raw: bytes, subroot: Subroot) -> list[bytes]:
    """LC-BLK-19: key, record, key, record, …"""
    the_bytes_are_not_longer_than_their_type_allows(raw, MAX_BUCKET_BYTES)
    flat: list[bytes] = decode_plain(raw)
    a_bucket_is_a_list_of_keys_and_records(flat)
    a_bucket_holds_a_record_at_least(flat)
    leaves = [(sha(key), sha(value)) for key, value in zip(flat[::2], flat[1::2], strict=False)]
    the_records_of_a_bucket_stand_in_the_order_of_their_paths(leaves)
    the_records_of_a_bucket_belong_to_its_number(leaves, *subroot[:2])
    a_bucket_is_what_its_subroot_says((*subroot[:2], 2 if len(leaves) == 1 else 3, _below(sorted(leaves), subroot[0])), subroot)
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
def a_change_changes_the_set(header: Any) -> bool:
    return bool(header[10] != header[11])


def follow(chain_id: bytes, change: bytes, validators: bytes) -> bytes:
    """LC-BLK-18: the encoded set after a validator set change."""
    parts = decode(SET_CHANGE, change, MAX_CHANGE_BYTES)
    a_change_changes_the_set(parts[0])
    header, certificate, following = (encode(part) for part in parts)
    light.verify_block(chain_id, header, certificate, validators, next_validators_bytes=following)
    return following
