"""Vectors of small models (LC-FILE-49 to LC-FILE-63): updates, true and false proofs, sums of cells, candidates."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace
from learningchain.client.contracts.federation.arithmetic.small import candidates, files, proof, screening, sums
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers, P, stream_numbers, whole
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, proof_shape
from learningchain.client.contracts.federation.arithmetic.small.unit import unit_update
from learningchain.client.contracts.federation.arithmetic.summing import NotFinite
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate, open_seeds, seal_seeds, update_file
from tests.small_updates import KEYS, PRIVATES, Made, Twist, honest, made, opened, views

Case = dict[str, Any]


def seed(name: str) -> bytes:
    return hashlib.sha256(b"vector " + name.encode()).digest()


PLACE = AttemptPlace(seed("chain"), seed("federation"), 3, 7)
MEMBER = seed("member")[:20]
BEACON = seed("beacon")


def small() -> dict[str, list[Case]]:
    return {
        "small_updates": [_update(*given) for given in _updates()],
        "small_contents": [_content(x) for x in ([0], [1, -1], [1 - 2**15, 0, 5], [30_000, -3, 12_000])],
        "small_files": list(_files()),
        "small_views": [_views(one) for one in _proofs()],
        "small_screens": list(_screens()),
        "small_sums": list(_sums()),
        "small_sum_files": list(_sum_files()),
        "small_candidates": list(_candidates()),
    }


def packed(values: Any, kind: str) -> str:
    return np.asarray(values, kind).tobytes().hex()


# --- updates and proofs ----------------------------------------------------------------------------------------------------------


def _updates() -> Iterator[tuple[list[float], list[float]]]:
    rng = Random("small updates")
    for d in (1, 4, 21, 60):
        base = [rng.gauss(0, 1) for _ in range(d)]
        yield base, [v + rng.gauss(0, 0.1) for v in base]
    yield [0.0] * 4, [1.0] * 4
    yield [0.0] * 16, [-0.5] * 16
    yield [0.0, 0.0], [-1.0, 0.0]
    yield [3e38, 1.0], [-3e38, 2.0]
    yield [0.0, 0.0], [1e-45, 0.0]


def _update(base: list[float], local: list[float]) -> Case:
    before, after = np.array(base, np.float32), np.array(local, np.float32)
    x = unit_update(before, after, Random(0).randbytes)
    return {"rule": "LC-FILE-50", "base": packed(before, "<f4"), "local": packed(after, "<f4"), "x": packed(x, "<i4")}


def _content(x: list[int]) -> Case:
    shape = proof_shape(len(x))
    challenges, blinds = stream_numbers(seed("challenges"), shape.bits + 1), stream_numbers(seed("blinds"), 2 * shape.rows)
    found = proof.content(shape, proof.bits_of(np.array(x, np.int64)), challenges, blinds)
    told = {"x": packed(x, "<i4"), "challenges": packed(challenges, "<u8"), "blinds": packed(blinds, "<u8")}
    return {"rule": "LC-FILE-53", **told, "content": packed(found, "<u8")}


def _files() -> Iterator[Case]:
    one = made(PLACE, MEMBER, bits([7, -7, 20_000]), Random("small file"))
    for seat in (1, 2, 3):
        yield _file(one.file, seat)
    for raw in (one.file[:-1], one.file + bytes(8), b"", b"LCFU1" + one.file[5:]):
        yield _file(raw, 1)
    for at in (7, 8, 44, 48, 68, 132, 170, 275):
        yield _file(one.file[:at] + bytes([one.file[at] ^ 1]) + one.file[at + 1 :], 1)
    for number in (P - 1, P, 2**64 - 1):
        yield _file(one.file[:500] + number.to_bytes(8, "little") + one.file[508:], 1)
    large = seal_seeds(PLACE, MEMBER, KEYS, True, Random("large").randbytes)
    yield _file(b"".join(update_file(large, [np.array([1, -1, 2**22], np.int32)])), 1)


def _file(raw: bytes, seat: int) -> Case:
    private = PRIVATES[seat - 1]
    try:
        files.read_small(raw, PLACE, MEMBER, 3)
        found: Any = [[j, one.hex()] for j, one in sorted(open_seeds(raw, PLACE, MEMBER, seat, private, True).items())]
    except BadUpdate as bad:
        found = bad.answer
    told = {"place": PLACE.raw.hex(), "member": MEMBER.hex(), "seat": seat, "d": 3, "private": private.hex()}
    return {"rule": "LC-FILE-54", **told, "file": raw.hex(), "found": found}


def bits(x: Sequence[int]) -> Numbers:
    return proof.bits_of(np.array(x, np.int64))


def false_bits(x: Sequence[int], slack: int) -> Numbers:
    """Of values that need not fit, and of a slack that need not be right."""
    found = [v + 2**15 >> k & 1 for v in x for k in range(16)] + [slack >> k & 1 for k in range(30)]
    return np.array(found, np.uint64)


def _proofs() -> Iterator[Made]:
    rng = Random("small proofs")
    for d in (1, 3, 116):
        x = [rng.randrange(-2_000, 2_000) for _ in range(d)]
        yield made(PLACE, MEMBER, bits(x), rng)
    cases: list[tuple[Numbers, Twist]] = [
        (false_bits([30_000, 30_000], 0), honest),
        (false_bits([100, 5], 2**30 - 1), honest),
        (np.concatenate([np.array([P - 1], np.uint64), bits([9, 9])[1:]]), honest),
        (bits([9, 9]), _other_product),
        (false_bits([30_000, 30_000], 0), _balanced),
    ]
    for given, twist in cases:
        yield made(PLACE, MEMBER, given, rng, twist)


def _other_product(content: Numbers, challenges: Numbers, shape: ProofShape) -> Numbers:
    return np.concatenate([content[:-1], (content[-1:] + np.uint64(1)) % np.uint64(P)])


def _balanced(content: Numbers, challenges: Numbers, shape: ProofShape) -> Numbers:
    """G(1) is such that Z is 0."""
    at, product = shape.size - 2 * shape.points, content.copy()
    wrong = int(proof.view(shape, content, challenges, 10**6, masked=True)[0])
    product[at] = (int(product[at]) - wrong) % P
    return product


def _views(one: Made) -> Case:
    found = views(one, BEACON)
    told = {"place": PLACE.raw.hex(), "member": MEMBER.hex(), "beacon": BEACON.hex(), "d": one.dims, "file": one.file.hex()}
    told["seeds"] = [one.seeds[mask].hex() for mask in (1, 2, 3)]
    shown = {"views": [packed(view, "<u8") for view in found], "opened": packed(opened(found), "<u8")}
    return {"rule": "LC-FILE-56", **told, **shown, "proved": proof.is_proved(proof_shape(one.dims), opened(found))}


# --- Screens and sums ------------------------------------------------------------------------------------------------------------


def _screens() -> Iterator[Case]:
    rng = Random("small screens")
    good = opened(views(made(PLACE, MEMBER, bits([5]), rng), BEACON))
    other = opened(views(made(PLACE, MEMBER, bits([-30_000]), rng), BEACON))
    bad = opened(views(made(PLACE, MEMBER, bits([5]), rng, _other_product), BEACON))
    for given in (
        [(1, True, good), (1, True, other), (1, True, good)],
        [(1, True, good), (2, True, bad), (1, True, good), (2, True, good), (2, True, other)],
        [(1, False, good), (1, False, None), (1, False, bad), (4, True, good)],
        [(3, False, None)],
    ):
        found = screening.screen(PLACE, proof_shape(1), [screening.OpenedFile(*one) for one in given])
        told = [[cell, complete, None if one is None else packed(one, "<u8")] for cell, complete, one in given]
        said = {"codes": list(found.codes), "digest": found.digest.hex()}
        yield {"rule": "LC-FILE-58", "place": PLACE.raw.hex(), "d": 1, "files": told, **said}


def _sums() -> Iterator[Case]:
    for number, (dims, members, dp_milli, again) in enumerate(((1, 3, 1_154, False), (3, 5, 666, True), (21, 4, 251, False))):
        rng, shape = Random(f"small sums {number}"), proof_shape(dims)
        xs = [[rng.randrange(-3_000, 3_000) for _ in range(dims)] for _ in range(members)]
        owners = [made(PLACE, bytes([n]) * 20, bits(x), rng) for n, x in enumerate(xs)]
        given = [files.read_small(one.file, PLACE, one.member, dims)[: shape.bits] for one in owners]
        sigma, cell = sums.cell_sigma(dp_milli, again), number + 1
        seeds = [[one.seeds[mask] for one in owners] for mask in (1, 2, 3)]
        pinned = [sums.mask_of_cell(PLACE, BEACON, shape, cell, mask, seeds[mask - 1], sigma) for mask in (1, 2, 3)]
        told: Case = {"place": PLACE.raw.hex(), "beacon": BEACON.hex(), "d": dims, "cell": cell, "dp_milli": dp_milli}
        told |= {"again": again, "seeds": [[one.hex() for one in column] for column in seeds]}
        told["files"] = [packed(one, "<u8") for one in given]
        yield {"rule": "LC-FILE-60", **told, "pinned": [packed(one, "<u8") for one in pinned], "sum": _sum(shape, given, pinned)}
    false = [(pinned[0] + whole(2**31 + 2**18)) % np.uint64(P), *pinned[1:]]
    yield {"rule": "LC-FILE-60", **told, "pinned": [packed(one, "<u8") for one in false], "sum": None}


def _sum(shape: ProofShape, given: Sequence[Numbers], pinned: Sequence[Numbers]) -> str | None:
    try:
        return packed(sums.cell_sum(shape, given, pinned), "<i4")
    except NotFinite:
        return None


SUMS = sums.Sums((sums.CellSum(1, 3, (5, -(2**31))), sums.CellSum(4, 16, (2**31 - 1, 0))), (-9, 9))


def _sum_files() -> Iterator[Case]:
    cells = SUMS.cells
    whole_, alone = sums.sums_file(PLACE, SUMS), sums.sums_file(PLACE, sums.Sums(cells[:1], None))
    ten = sums.Sums(tuple(sums.CellSum(n, 3, (n, n)) for n in range(1, 11)), None)
    eleven = sums.Sums(tuple(sums.CellSum(n, 3, (n, n)) for n in range(1, 12)), None)
    yield from (_sum_file(raw) for raw in (whole_, alone, sums.sums_file(PLACE, ten), sums.sums_file(PLACE, eleven)))
    for at, byte in (
        (0, 0),
        (7, 1),
        (8, 0),
        (79, 1),
        (80, 0),
        (80, 1),
        (81, 4),
        (81, 0),
        (91, 1),
        (82, 2),
        (82, 17),
        (101, 2),
        (101, 0),
    ):
        yield _sum_file(whole_[:at] + bytes([byte]) + whole_[at + 1 :])
    for raw in (whole_[:-1], whole_ + b"\0", alone + b"\0", alone[:-1], alone[:81], alone[:80], b""):
        yield _sum_file(raw)


def _sum_file(raw: bytes) -> Case:
    try:
        found = sums.read_sums(raw, PLACE, 2)
        cells: Any = [[one.cell, one.members, packed(one.numbers, "<i4")] for one in found.cells]
        told = None if found.reference is None else packed(found.reference, "<i4")
    except sums.BadSums:
        cells, told = None, None
    return {"rule": "LC-FILE-60", "place": PLACE.raw.hex(), "d": 2, "file": raw.hex(), "cells": cells, "reference": told}


# --- candidates ------------------------------------------------------------------------------------------------------------------


def _candidates() -> Iterator[Case]:
    rng = Random("small candidates")

    def cell(number: int, members: int, width: int = 40_000) -> sums.CellSum:
        return sums.CellSum(number, members, tuple(rng.randrange(-width, width) for _ in range(5)))

    base = [rng.gauss(0, 1) for _ in range(5)]
    rho = (20_000, -20_000, 10_000, 5_000, -1)
    nothing = sums.CellSum(2, 3, (0,) * 5)
    most = float(np.finfo(np.float32).max)
    for cells, reference, radius, start in (
        ((cell(1, 3),), None, 10**9, base),
        ((cell(1, 5),), rho, 123_456_789, base),
        ((nothing,), rho, 10**6, base),
        ((nothing,), (0, 0, 0, 16_384, 0), 64 * 10**9, base),
        ((cell(1, 4), cell(3, 16, 2**31)), (32_767, 0, 0, 0, 0), 64 * 10**9, base),
        ((cell(1, 4),), (32_768, 0, 0, 0, 0), 10**9, base),
        ((sums.CellSum(1, 3, (1, 1, 1, 1, 1)),), (-20_000, -20_000, -10_000, -5_000, 1), 10**9, base),
        ((nothing,), (0, 0, 0, 16_383, 0), 10**9, base),
        ((sums.CellSum(7, 3, (2**31 - 1,) * 5),), None, 64 * 10**9, [-most, most, 1e-45, 0.0, -0.0]),
        ((cell(2, 3),), None, 10**9, [float("inf"), 0.0, 0.0, 0.0, 0.0]),
    ):
        yield _candidate(sums.Sums(cells, reference), radius, start)


def _candidate(given: sums.Sums, radius: int, base: Sequence[float]) -> Case:
    reference = given.reference
    is_one = reference is not None and candidates.is_small_reference(reference)
    before = np.array(base, np.float32)
    ways = candidates.directions(given if is_one else given._replace(reference=None))
    models = [[candidates.candidate(before, way, radius, step) for step in candidates.STEPS] for way in ways]
    told = {
        "cells": [[one.cell, one.members, packed(one.numbers, "<i4")] for one in given.cells],
        "reference": None if reference is None else packed(reference, "<i4"),
        "is_reference": is_one,
        "radius": {"int": str(radius)},
        "base": packed(before, "<f4"),
    }
    said = {
        "directions": [[struct.pack(f"<{len(one.numbers)}q", *one.numbers).hex(), one.updates] for one in ways],
        "models": [[None if one is None else packed(one, "<f4") for one in four] for four in models],
    }
    return {"rule": "LC-FILE-62", **told, **said}
