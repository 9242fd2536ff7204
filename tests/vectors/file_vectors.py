"""Vectors of what a round of federated training is in bytes (LC-FILE): from models to the shares of a vault."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from learningchain.client.contracts.federation.arithmetic import (
    masks,
    noise,
    reference,
    rows,
    screening,
    summing,
    tensors,
    updates,
    vault,
)
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, seed_commitment
from tests.vectors import said_vectors, small_vectors

PLACE = AttemptPlace(hashlib.sha256(b"vector chain").digest(), hashlib.sha256(b"vector federation").digest(), 3, 7)
MEMBER = hashlib.sha256(b"vector member").digest()[:20]
Numbers = list[int]


def federation_files() -> dict[str, Any]:
    return {
        "models": [_model(raw) for raw in _models()],
        "updates": [_update(*given) for given in _updates()],
        "masks": [_masked(count) for count in (0, 1, 3)],
        "commitments": [_commitment(j) for j in (1, 2, 3)],
        "sketches": [_sketch(d) for d in (1, 1_024, 8_193)],
        "references": [_reference(*given) for given in _references()],
        "screens": [_screen(seed) for seed in range(120)],
        "sums": [_sum(rule, n) for rule in ("mean", "trimmed", "median") for n in range(1, 7)],
        "noises": [_noise(sigma) for sigma in (1, 2, 3, 4_194, 2**22, 2**25)],
        "shares": [_share(chosen) for chosen in ((0, 1, 2), (4, 1, 3))],
        **said_vectors.said(),
        **small_vectors.small(),
    }


def seed(name: str) -> bytes:
    return hashlib.sha256(b"vector " + name.encode()).digest()


def packed(values: Any, kind: str) -> str:
    return np.asarray(values, kind).tobytes().hex()


# --- models: LC-FILE-2 to LC-FILE-4 ---------------------------------------------------------------------------------------------


def _models() -> Iterator[bytes]:
    good: dict[str, Any] = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
    }
    text = json.dumps(good)
    for size in (28, 27, 29):
        yield _file(text.encode(), size)
    yield from (b"", b"1234567", _file(b"{}", 0), _file(b" {}", 0), _file(b'{"__metadata__": {}}', 0), _file(b"{", 0))
    yield _file(b'{"__metadata__": ' + text[6:].encode(), 28)
    for notes in (
        b"{}",
        b'{"format": "pt"}',
        b'{"a": "b", "c": ""}',
        b'{"a": 1}',
        b'{"a": null}',
        b'{"a": {}}',
        b"[]",
        b'"pt"',
        b"null",
    ):
        yield _file(b'{"__metadata__": ' + notes + b", " + text[1:].encode(), 28)
    yield _file(json.dumps(dict(reversed(good.items()))).encode(), 28)
    yield (10**6).to_bytes(8, "little") + text.encode()
    yield from (_file(text.encode().ljust(size), 28) for size in (262_144, 262_145))
    for old, new in (
        *(("F32", "F16"), ("[0, 24]", "[0, 23]"), ("[0, 24]", "[-0, 24]"), ("[0, 24]", "[0, 24, 5]"), ("[0, 24]", "[0.0, 24]")),
        *(("[24, 28]", "[20, 24]"), ("[24, 28]", "[24, 32]"), ("[2, 3]", "[2, 03]"), ("[2, 3]", "[true, 6]"), ("[2, 3]", "[6, 1]")),
        *(("[2, 3]", "[0]"), ('"b"', '"a"'), ('"a"', '"\\u0061"'), ('"a"', '"é"'), ('"a"', '""'), ("[2, 3]", "[[2, 3]]")),
        *(("}}", "}}  \n"), ("}}", "}}x"), ("}}", "}, }"), ("[2, 3]", "[1000000000000000, 6]"), ("[2, 3]", "[NaN]")),
        *(("[0, 24]", "[0, 00000000000000024]"), ("[0, 24]", "[0, 10000000000000024]"), ("shape", "form"), ("[2, 3]", "null")),
        *(
            ('"F32"', "[[[[1]]]]"),
            ('"F32"', '"[[[[["'),
            ("[2, 3]", "[536870912]"),
            ('{"a"', '{\t"a"'),
            ('"F32"', '"F32", "more": 1'),
        ),
        *(('{"dtype"', '{"dtype": "F32", "dtype"'), ("[2, 3]", "6"), ("[0, 24]", "[24]")),
    ):
        yield _file(text.replace(old, new, 1).encode(), 28)
    yield _file(text.encode().replace(b'"a"', b'"\x01"'), 28)


def _file(header: bytes, size: int) -> bytes:
    return len(header).to_bytes(8, "little") + header + bytes(size)


def _model(raw: bytes) -> dict[str, Any]:
    try:
        layout: Any = tensors.read_layout(raw)
    except ValueError:
        layout = None
    told = None if layout is None else [list(one) for one in _listed(raw)]
    header = raw.rstrip(b" \0")
    rest = [[byte.hex(), n] for byte in (b" ", b"\0") if (n := raw[len(header) :].count(byte))]
    return {"rule": "LC-FILE-2", "file": [[header.hex(), 1], *rest], "tensors": told}


def _listed(raw: bytes) -> Iterator[tuple[str, list[int], int, int]]:
    """Of a file that the product takes."""
    size = int.from_bytes(raw[:8], "little")
    told = json.loads(raw[8 : 8 + size])
    told.pop("__metadata__", None)
    for name, said in sorted(told.items(), key=lambda item: item[1]["data_offsets"][0]):
        yield name, said["shape"], *said["data_offsets"]


# --- updates and masks: LC-FILE-7 to LC-FILE-11 ---------------------------------------------------------------------------------


def _updates() -> Iterator[tuple[int, float, int]]:
    """d, how far the local model is from the base, clip."""
    yield from ((10, 0.0, 10**9), (10, 0.1, 10**9), (40, 3.0, 10**8), (10, 0.1, 2**50), (10, 0.1, 10), (9_000, 0.01, 10**9))
    yield 1, 5.0, 10**9


def _update(d: int, far: float, clip: int) -> dict[str, Any]:
    rng = Random(f"update {d} {far}")
    base = np.array([rng.gauss(0, 1) for _ in range(d)], np.float32)
    local = base + np.array([rng.gauss(0, far) for _ in range(d)], np.float32)
    x = np.concatenate(list(updates.update_of(base, local, clip)))
    told = {"base": packed(base, "<f4"), "local": packed(local, "<f4"), "x": packed(x, "<i4")}
    return {"rule": "LC-FILE-7", "clip": {"int": str(clip)}, **told}


def _masked(count: int) -> dict[str, Any]:
    x = np.array([0, 1, -1, 2**22, -(2**22), 5, 6, 7], np.int32)
    seeds = [seed(f"seed {n}") for n in range(count)]
    found = np.concatenate(list(masks.masked(iter([x]), dict(enumerate(seeds, 1)))))
    given = {"x": packed(x, "<i4"), "seeds": [one.hex() for one in seeds]}
    return {"rule": "LC-FILE-10", **given, "masked": packed(found, "<u4")}


def _commitment(j: int) -> dict[str, Any]:
    given = {"place": PLACE.raw.hex(), "member": MEMBER.hex(), "j": j, "seed": seed("seed").hex()}
    return {"rule": "LC-FILE-11", **given, "commitment": seed_commitment(PLACE, MEMBER, j, seed("seed")).hex()}


# --- rows: LC-FILE-16 to LC-FILE-20 ---------------------------------------------------------------------------------------------


def _sketch(d: int) -> dict[str, Any]:
    """Of a vector that is a key stream."""
    vector = np.frombuffer(masks.Keystream(seed("vector")).take(4 * d), "<u4")
    found = rows.sketches(seed("rows"), [rows.in_chunks(vector)], d)[0]
    given = {"d": d, "vector_seed": seed("vector").hex(), "key": seed("rows").hex()}
    return {"rule": "LC-FILE-17", **given, "sketch": packed(found, "<u4")}


def _references() -> Iterator[tuple[Numbers, list[Numbers]]]:
    rng = Random("references")

    def some(size: int) -> Numbers:
        return [rng.randint(-size, size) for _ in range(100)]

    own = some(2**18)
    yield own, []
    yield own, [some(2**17), some(2**17), some(2**17), some(2**17)]
    yield own, [own]
    yield own, [[n // 2 for n in own], some(2**10), own]
    yield own, [[0] * 100, [2**23 + 1, *[0] * 99], some(2**18)]
    yield [2**20, *[1] * 99], []
    yield [0] * 100, []
    yield [2**23 + 1] * 100, []


def _reference(own: Numbers, deltas: list[Numbers]) -> dict[str, Any]:
    rho, is_one = np.array(own, np.int32), reference.is_reference(np.array(own, np.int32))
    told: dict[str, Any] = {"reference": packed(own, "<i4"), "key": seed("rows").hex(), "is_reference": is_one}
    told["deltas"] = [packed(one, "<i4") for one in deltas]
    if is_one:
        given = [np.array(one, np.int32) for one in deltas]
        found = np.concatenate(list(reference.reference_rows(seed("rows"), rho, given)), axis=1)
        told["rows"] = [packed(row, "<i4") for row in found]
    return {"rule": "LC-FILE-19", **told}


# --- Screens, sums, noise, shares -----------------------------------------------------------------------------------------------


def _files(rng: Random) -> list[Numbers | None]:
    base = [int(rng.gauss(0, 2**21)) for _ in range(64)]
    found: list[Numbers | None] = []
    for _ in range(rng.randint(1, 9)):
        kind = rng.random()
        y = [int(0.6 * n + rng.gauss(0, 2**21)) for n in base]
        if kind < 0.1:
            found.append(None)
            continue
        if kind < 0.2:
            y = [n // 100 for n in y]
        elif kind < 0.3:
            y = [-n for n in y]
        elif kind < 0.35:
            y = [40 * n for n in y]
        elif kind < 0.4:
            y = [2**27, *[n // 50 for n in y[1:]]]
        elif kind < 0.5 and found and found[0]:
            y = [n + rng.randint(-5, 5) for n in found[0][:64]]
        elif kind < 0.55 and found and found[-1]:
            y = found[-1][:64]
        found.append(
            [max(-(2**31), min(2**31 - 1, n)) for n in [*y, rng.randint(-(10**6), 3 * 10**6), rng.randint(-(10**6), 10**6)]]
        )
    return found


def _screen(number: int) -> dict[str, Any]:
    rng = Random(f"screen {number}")
    files = _files(rng)
    near = [file or [1] * 66 for file in rng.choices(files, k=rng.randint(0, 3))]
    deltas = [[n + rng.randint(-9, 9) for n in file[:64]] for file in near]
    if deltas and number % 4 == 0:
        deltas[0] = [max(-(2**31), min(2**31 - 1, 300 * n)) for n in deltas[0]]
    with_reference, krum = rng.random() < 0.5, rng.random() < 0.6
    aligned = with_reference and rng.random() < 0.6
    given: Sequence[Any] = [None if file is None else np.array(file, np.int64) for file in files]
    rule = screening.ScreenRule(with_reference, krum, aligned)
    found = screening.screen(PLACE, rule, given, [np.array(one, np.int64) for one in deltas])
    told = {
        "place": PLACE.raw.hex(),
        "sketches": [None if file is None else packed(file, "<i4") for file in files],
        "deltas": [packed(one, "<i4") for one in deltas],
        "reference": with_reference,
        "krum": krum,
        "aligned": aligned,
    }
    said = {"codes": list(found.codes), "points": list(found.points), "norm": found.norm, "digest": found.digest.hex()}
    return {"rule": "LC-FILE-23", **told, **said}


def _sum(rule: Any, n: int) -> dict[str, Any]:
    rng, d = Random(f"sum {rule} {n}"), 20
    given = [[rng.randint(-(2**22), 2**22) for _ in range(d)] for _ in range(n)]
    base = np.array([rng.gauss(0, 1) for _ in range(d)], np.float32)
    clip, q = rng.choice((10, 10**9, 123_456_789, 2**50)), summing.divisor(rule, n)
    if rule == "mean":
        total = np.array(given, np.int64).sum(axis=0)
    else:
        total = np.concatenate(list(summing.sorted_sum([iter([np.array(one, np.int32)]) for one in given], rule)))
    (piece,) = summing.next_model(base, iter([total]), clip, q)
    told = {"aggregation": rule, "updates": [packed(one, "<i4") for one in given], "base": packed(base, "<f4")}
    return {
        "rule": "LC-FILE-34",
        **told,
        "clip": {"int": str(clip)},
        "q": q,
        "delta": piece.delta.hex(),
        "model": piece.model.hex(),
    }


def _noise(sigma: int) -> dict[str, Any]:
    found = np.concatenate(list(noise.noise(seed("noise"), sigma, 200)))
    return {"rule": "LC-FILE-39", "key": seed("noise").hex(), "sigma": sigma, "d": 200, "noise": packed(found, "<i8")}


def _share(chosen: Sequence[int]) -> dict[str, Any]:
    rng = Random("shares")
    found = vault.split(seed("vault"), 5, 3, rng.randbytes)
    return {"rule": "LC-FILE-41", "shares": [found[at].hex() for at in chosen], "key": seed("vault").hex()}
