"""Small updates as a member that follows no rule makes them, and what aggregators together open of a file."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import numpy as np

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, query_digest
from learningchain.client.contracts.federation.arithmetic.small import files
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers, P, add, numbers_of, stream_numbers, subtract
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, content, proof_shape, query, view
from learningchain.client.contracts.federation.arithmetic.updates import seal_seeds
from learningchain.client.keys.boxes import public_of

PRIVATES = [bytes([n]) * 32 for n in (1, 2, 3)]
KEYS = [public_of(private) for private in PRIVATES]
Twist = Callable[[Numbers, Numbers, ProofShape], Numbers]
"""Another content in the place of this one, by whoever knows the challenges."""


class Made(NamedTuple):
    file: bytes
    seeds: dict[int, bytes]
    place: AttemptPlace
    member: bytes
    dims: int


def honest(content_: Numbers, challenges: Numbers, shape: ProofShape) -> Numbers:
    return content_


def made(place: AttemptPlace, member: bytes, bits: Numbers, rng: Random, twist: Twist = honest) -> Made:
    """A file of any numbers in the place of bits, with a content that was changed after its challenges were known."""
    dims = (len(bits) - 30) // 16
    shape, sealed = proof_shape(dims), seal_seeds(place, member, KEYS, True, rng.randbytes, files.MAGIC)
    masks = add(
        add(stream_numbers(sealed.seeds[1], shape.size), stream_numbers(sealed.seeds[2], shape.size)),
        stream_numbers(sealed.seeds[3], shape.size),
    )
    covered = add(bits, masks[: shape.bits]).astype("<u8").tobytes()
    filled = covered + bytes(8 * (shape.size - shape.bits))
    challenges = files.challenges_of(sealed.head + filled, place, member, dims)
    told = twist(content(shape, bits, challenges, numbers_of(rng.randbytes(16 * shape.rows))), challenges, shape)
    return Made(sealed.head + add(told, masks).astype("<u8").tobytes(), sealed.seeds, place, member, dims)


def views(one: Made, beacon: bytes) -> list[Numbers]:
    """Of all four shares."""
    shape, masked = proof_shape(one.dims), files.read_small(one.file, one.place, one.member, one.dims)
    challenges, r = (
        files.challenges_of(one.file, one.place, one.member, one.dims),
        query(query_digest(one.place, beacon), shape),
    )
    masks = [stream_numbers(one.seeds[mask], shape.size) for mask in (1, 2, 3)]
    return [view(shape, share, challenges, r, masked=not number) for number, share in enumerate((masked, *masks))]


def opened(told: list[Numbers]) -> Numbers:
    first, *masks = told
    for mask in masks:
        first = subtract(first, mask)
    return first


def as_numbers(values: list[int]) -> Numbers:
    return np.array([value % P for value in values], np.uint64)
