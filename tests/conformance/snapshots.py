"""Snapshots of `protocol_spec/blocks.md`: the state in pages, and the validators that follow from known ones."""

from __future__ import annotations

import itertools

from tests.conformance import light
from tests.conformance.keys import sha
from tests.conformance.trees import EMPTY, bit, leaf
from tests.conformance.wire import decode_plain, encode, need

Head = tuple[bytes, int, bytes]
"""The page's number as 16 bits, 2 for a single record or 3, the hash."""


def read_heads(raw: bytes) -> list[Head]:
    """LC-BLK-19"""
    need(len(raw) % 35 == 0, "whole heads")
    heads = [(raw[at : at + 2], raw[at + 2], raw[at + 3 : at + 35]) for at in range(0, len(raw), 35)]
    need(all(a[0] < b[0] for a, b in itertools.pairwise(heads)), "ascending heads")
    need(all(kind in (2, 3) for _, kind, _ in heads), "heads")
    return heads


def root(heads: list[Head], depth: int = 0) -> bytes:
    """LC-MRK-4 above the pages: what is alone with a single record is that record's leaf."""
    if not heads:
        return EMPTY
    if len(heads) == 1 and (heads[0][1] == 2 or depth == 16):
        return heads[0][2]
    left = [head for head in heads if not bit(head[0], depth)]
    right = [head for head in heads if bit(head[0], depth)]
    return sha(b"\x03" + root(left, depth + 1) + root(right, depth + 1))


def head_of(raw: bytes) -> Head:
    """LC-BLK-19: that of a page as it travels."""
    flat = decode_plain(raw)
    need(isinstance(flat, list) and len(flat) % 2 == 0 and len(flat) > 0, "keys and records")
    leaves = [(sha(key), sha(value)) for key, value in zip(flat[::2], flat[1::2], strict=True)]
    need(all(a[0] < b[0] for a, b in itertools.pairwise(leaves)), "records in the order of their paths")
    need(all(path[:2] == leaves[0][0][:2] for path, _ in leaves), "records of one page")
    return leaves[0][0][:2], 2 if len(leaves) == 1 else 3, _below(leaves, 16)


def _below(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaf(*leaves[0])
    left = [x for x in leaves if not bit(x[0], depth)]
    right = [x for x in leaves if bit(x[0], depth)]
    return sha(b"\x03" + _below(left, depth + 1) + _below(right, depth + 1))


def follow(chain_id: bytes, handover: bytes, validators: bytes) -> bytes:
    """LC-BLK-18: the encoded set after a handover."""
    header, certificate, following = (encode(part) for part in decode_plain(handover))
    light.verify_block(chain_id, header, certificate, validators, next_validators_bytes=following)
    return following
