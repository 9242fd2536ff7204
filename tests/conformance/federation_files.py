"""Files, masks, rows, screens, sums and noise of a round, after `protocol_spec/federation-files.md`, on plain integers alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Generator, Sequence
from math import isqrt, sqrt
from typing import Any, NamedTuple

from tests.conformance.checks import Refused, need, part, register
from tests.conformance.keys import tagged

CQ, K, CHUNK, PIECE = 2**22, 64, 8_192, 65_536
USED, AWAY, LARGE, EMPTY, WRONG, STALE, COPY, OUTLIER = 1, 2, 3, 4, 5, 6, 7, 8

HAS_HEADER = register("LC-FILE-2: a header is there and short")
PLAIN_TEXT = register("LC-FILE-2: a header is plain text")
NATURAL = register("LC-FILE-3: a number is an integer of at most 16 digits")
ONCE = register("LC-FILE-2: no name stands twice")
NO_GAP = register("LC-FILE-4: tensors lie without a gap")
WHOLE = register("LC-FILE-4: the last one ends with the file")
OBJECT = register("LC-FILE-3: a tensor is an object")
NOTES = register("LC-FILE-3: metadata are texts")
THREE = register("LC-FILE-3: it has its three members")
LISTS = register("LC-FILE-3: shape and offsets are lists of numbers")
SIZED = register("LC-FILE-3: a shape has a size")
SHORTER = register("LC-FILE-7: a long update is made shorter")
STATELESS = register("LC-FILE-16: each chunk has a part of the stream of its own")
EVEN = register("LC-FILE-18: no coordinate of a reference has more than a sixteenth")
PLAIN_DELTAS = register("LC-FILE-19: deltas that are not plain are left out")
LITTLE = register("LC-FILE-19: where little is left the reference stays")
DITHER = register("LC-FILE-20: rows are dithered")
TOO_LONG = register("LC-FILE-24: a sketch is not too long")
IS_EMPTY = register("LC-FILE-25: what is short is empty")
IS_WRONG = register("LC-FILE-26: what turns away is wrong")
IS_STALE = register("LC-FILE-28: what was summed is stale")
SMALL_DELTAS = register("LC-FILE-28: deltas beyond the bound are left out")
IS_COPY = register("LC-FILE-28: the later of two alike is a copy")
FAR = register("LC-FILE-29: the farthest are outliers")
LATER = register("LC-FILE-29: of equal ones those that committed later")
NO_MINUS_ZERO = register("LC-FILE-39: a negative zero starts again")


# --- AES-256 in counter mode: LC-FILE-9 -----------------------------------------------------------------------------------------


def _double(a: int) -> int:
    return (a << 1) ^ (0x11B if a & 0x80 else 0)


def _sbox() -> bytes:
    found, p, q = bytearray(256), 1, 1
    while True:
        p = (p ^ _double(p)) & 0xFF
        for shift in (1, 2, 4):
            q ^= q << shift
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        found[p] = 0x63 ^ q ^ _turned(q, 1) ^ _turned(q, 2) ^ _turned(q, 3) ^ _turned(q, 4)
        if p == 1:
            break
    found[0] = 0x63
    return bytes(found)


def _turned(a: int, by: int) -> int:
    return ((a << by) | (a >> (8 - by))) & 0xFF


SBOX = _sbox()
_T0 = [(_double(s) << 24) | (s << 16) | (s << 8) | (_double(s) ^ s) for s in SBOX]
_T1 = [(t >> 8) | ((t & 0xFF) << 24) for t in _T0]
_T2 = [(t >> 8) | ((t & 0xFF) << 24) for t in _T1]
_T3 = [(t >> 8) | ((t & 0xFF) << 24) for t in _T2]


def _word(w: int) -> int:
    return (SBOX[w >> 24] << 24) | (SBOX[w >> 16 & 255] << 16) | (SBOX[w >> 8 & 255] << 8) | SBOX[w & 255]


def _expanded(key: bytes) -> list[int]:
    words, round_ = list(struct.unpack(">8I", key)), 1
    for at in range(8, 60):
        last = words[-1]
        if at % 8 == 0:
            last = _word(((last << 8) | (last >> 24)) & 0xFFFFFFFF) ^ (round_ << 24)
            round_ = _double(round_)
        elif at % 8 == 4:
            last = _word(last)
        words.append(words[at - 8] ^ last)
    return words


class Stream:
    def __init__(self, key: bytes, first: int = 0) -> None:
        self.words, self.counter, self.rest = _expanded(key), first, b""

    def take(self, size: int) -> bytes:
        parts, have = [self.rest], len(self.rest)
        while have < size:
            parts.append(self._block())
            have += 16
        found = b"".join(parts)
        self.rest = found[size:]
        return found[:size]

    def _block(self) -> bytes:
        w = self.words
        a, b, c, d = struct.unpack(">4I", (self.counter % 2**128).to_bytes(16, "big"))
        self.counter += 1
        a, b, c, d = a ^ w[0], b ^ w[1], c ^ w[2], d ^ w[3]
        for at in range(4, 56, 4):
            a, b, c, d = (
                _T0[a >> 24] ^ _T1[b >> 16 & 255] ^ _T2[c >> 8 & 255] ^ _T3[d & 255] ^ w[at],
                _T0[b >> 24] ^ _T1[c >> 16 & 255] ^ _T2[d >> 8 & 255] ^ _T3[a & 255] ^ w[at + 1],
                _T0[c >> 24] ^ _T1[d >> 16 & 255] ^ _T2[a >> 8 & 255] ^ _T3[b & 255] ^ w[at + 2],
                _T0[d >> 24] ^ _T1[a >> 16 & 255] ^ _T2[b >> 8 & 255] ^ _T3[c & 255] ^ w[at + 3],
            )
        last = []
        for at, (p, q, r, s) in enumerate(((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))):
            four = (SBOX[p >> 24] << 24) | (SBOX[q >> 16 & 255] << 16) | (SBOX[r >> 8 & 255] << 8) | SBOX[s & 255]
            last.append(four ^ w[56 + at])
        return struct.pack(">4I", *last)


def numbers(raw: bytes, kind: str) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw))


def signed(n: int) -> int:
    n %= 2**32
    return n - 2**32 if n >= 2**31 else n


# --- models: LC-FILE-2 to LC-FILE-4 ---------------------------------------------------------------------------------------------

PLAIN = frozenset(range(0x20, 0x7F)) - {ord("\\")} | {9, 10, 13}


class Tensor(NamedTuple):
    name: str
    shape: list[int]
    begin: int
    end: int


def _natural(text: str) -> int:
    need(NATURAL, text.isdigit() and len(text) <= 16)
    return int(text)


def _refused(text: str) -> Any:
    raise Refused(f"{text} is no integer")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(ONCE, len({name for name, _ in pairs}) == len(pairs))
    return dict(pairs)


def _nesting(header: bytes) -> int:
    depth, most, inside = 0, 0, False
    for byte in header:
        if byte == ord('"'):
            inside = not inside
        elif not inside and byte in b"{[":
            depth += 1
            most = max(most, depth)
        elif not inside and byte in b"}]":
            depth -= 1
    return most


def read_model(raw: bytes) -> list[Tensor]:
    """In the order of their begins."""
    size = int.from_bytes(raw[:8], "little")
    header = raw[8 : 8 + size]
    need(HAS_HEADER, len(raw) >= 8 and size <= 262_144 and len(header) == size)
    need(PLAIN_TEXT, header[:1] == b"{" and set(header) <= PLAIN)
    if _nesting(header) > 4:
        raise Refused("LC-FILE-2: brackets are nested at most 4 deep")
    try:
        told = json.loads(
            header,
            object_pairs_hook=_members,
            parse_int=_natural,
            parse_float=_refused,
            parse_constant=_refused,
        )
    except ValueError as error:
        raise Refused(str(error)) from None
    notes = told.pop("__metadata__", {})
    need(NOTES, isinstance(notes, dict) and all(isinstance(text, str) for text in notes.values()))
    found = sorted((_tensor(name, said) for name, said in told.items()), key=lambda one: one.begin)
    at = 0
    for one in found:
        need(NO_GAP, one.begin == at and one.end - one.begin == 4 * _product(one.shape))
        at = one.end
    need(WHOLE, at == len(raw) - 8 - size and 4 <= at <= 4 * 2**28)
    return found


def _product(shape: list[int]) -> int:
    found = 1
    for n in shape:
        found *= n
    return found


def _tensor(name: str, said: Any) -> Tensor:
    need(OBJECT, isinstance(said, dict))
    need(THREE, set(said) == {"dtype", "shape", "data_offsets"} and said["dtype"] == "F32")
    shape, offsets = said["shape"], said["data_offsets"]
    for given in (shape, offsets):
        need(LISTS, isinstance(given, list) and all(type(n) is int for n in given))
    need(SIZED, all(n >= 1 for n in shape) and _product(shape) <= 2**28 and len(offsets) == 2)
    return Tensor(name, shape, *offsets)


# --- updates: LC-FILE-7, 10 -----------------------------------------------------------------------------------------------------


def length(g: Sequence[float]) -> float:
    sums = [0.0] * CHUNK
    for at, v in enumerate(g):
        sums[at % CHUNK] += v * v
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[at] + sums[at + half] for at in range(half)]
    return sqrt(sums[0])


def update(local: Sequence[float], base: Sequence[float], clip: int) -> list[int]:
    g = [a - b for a, b in zip(local, base, strict=True)]
    n, c = length(g), clip / 1e9
    if n == 0:
        return [0] * len(g)
    scale = min(1.0, c / n) if part(SHORTER) else 1.0
    x = [round((v * (CQ / c)) * scale) for v in g]
    return [max(-CQ, min(CQ, n)) for n in x]


def mask(seed: bytes, d: int) -> list[int]:
    return numbers(Stream(seed).take(4 * d), "I")


def masked(x: Sequence[int], seeds: Sequence[bytes]) -> list[int]:
    found = list(x)
    for seed in seeds:
        found = [a + b for a, b in zip(found, mask(seed, len(found)), strict=True)]
    return [n % 2**32 for n in found]


# --- rows: LC-FILE-16 to LC-FILE-20 ---------------------------------------------------------------------------------------------

COEFFICIENT = (0, 0, 1, -1)


def sketches(vectors: Sequence[Sequence[int]], key: bytes, rows: Sequence[Sequence[int]] = ()) -> list[list[int]]:
    """66 numbers modulo 2^32 of each."""
    d = len(vectors[0])
    found = [[0] * K for _ in vectors]
    for chunk in range(-(-d // CHUNK)):
        raw = Stream(key, chunk * 2**64 if part(STATELESS) else chunk * 8_192).take(2 * K * CHUNK // 8)
        parts = [list(v[chunk * CHUNK : (chunk + 1) * CHUNK]) for v in vectors]
        for row in range(K):
            bits = raw[row * CHUNK // 4 : (row + 1) * CHUNK // 4]
            plus, minus = [], []
            for at in range(len(parts[0])):
                two = bits[at >> 2] >> 2 * (at & 3) & 3
                if two == 2:
                    plus.append(at)
                elif two == 3:
                    minus.append(at)
            for own, of in zip(found, parts, strict=True):
                own[row] += sum(of[at] for at in plus) - sum(of[at] for at in minus)
    products = [[sum(a * b for a, b in zip(v, row, strict=True)) for row in rows] or [0, 0] for v in vectors]
    return [[n % 2**32 for n in (*own, *two)] for own, two in zip(found, products, strict=True)]


def square(v: Sequence[int]) -> int:
    return sum(n * n for n in v)


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(p * q for p, q in zip(a, b, strict=True))


def is_plain(v: Sequence[int]) -> bool:
    return all(abs(n) <= 2**23 for n in v) and 0 < square(v) <= 2 * CQ * CQ


def is_reference(v: Sequence[int]) -> bool:
    return is_plain(v) and (16 * max(n * n for n in v) <= square(v) or not part(EVEN))


def less(a: Sequence[int], b: Sequence[int]) -> list[int]:
    f = dot(a, b) * 2**16 // square(b)
    return [p - (f * q >> 16) for p, q in zip(a, b, strict=True)]


def without_deltas(reference: Sequence[int], deltas: Sequence[Sequence[int]]) -> list[int]:
    """`deltas`: of the last recorded sums, the latest first."""
    seen: list[list[int]] = []
    for e in [e for e in deltas[:3] if is_plain(e) or (any(e) and not part(PLAIN_DELTAS))]:
        v = list(e)
        for other in seen:
            v = less(v, other)
        if any(v):
            seen.append(v)
    found = list(reference)
    for v in seen:
        found = less(found, v)
    return list(reference) if 64 * square(found) < square(reference) and part(LITTLE) else found


def reference_row(reference: Sequence[int], dither: bytes) -> list[int]:
    norm = isqrt(square(reference))
    steps = numbers(Stream(dither).take(2 * len(reference)), "H")
    return [(n * 2**24 // norm + (by if part(DITHER) else 0)) >> 16 for n, by in zip(reference, steps, strict=True)]


# --- what a Screen says: LC-FILE-23 to LC-FILE-32 -------------------------------------------------------------------------------


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def alike(a: Sequence[int], b: Sequence[int]) -> bool:
    product = dot(a, b)
    return product > 0 and 1_000 * product * product >= 999 * square(a) * square(b)


class Screen(NamedTuple):
    codes: list[int]
    points: list[int]
    norm: int
    told: bytes


def screen(
    files: Sequence[Sequence[int] | None], deltas: Sequence[Sequence[int]], reference: bool, krum: bool, aligned: bool
) -> Screen:
    """`files`: signed sketches of 66, in the order of the commitments, none where it is AWAY; `deltas`: y of the last sums."""
    y = {at: list(v[:K]) for at, v in enumerate(files) if v is not None}
    codes = [AWAY if v is None else USED for v in files]

    def give(code: int, rule: Callable[[list[int]], list[int]]) -> None:
        for at in rule([at for at, known in enumerate(codes) if known == USED]):
            codes[at] = code

    give(LARGE, lambda left: [at for at in left if _is_large(y[at])])
    give(EMPTY, lambda left: _empty(left, y))
    give(WRONG, lambda left: _wrong(left, y, files, reference))
    known = [e for e in deltas[:3] if all(abs(n) < 2**27 for n in e) or not part(SMALL_DELTAS)]
    give(STALE, lambda left: [at for at in left if part(IS_STALE) and any(alike(y[at], e) for e in known)])
    give(COPY, lambda left: [at for at in left if part(IS_COPY) and any(alike(y[at], y[other]) for other in left if other < at)])
    if krum:
        give(OUTLIER, lambda left: _outliers(left, y))
    used = [at for at, code in enumerate(codes) if code == USED]
    norm = max(1, lower_median([isqrt(2 * square(y[at]) // K) for at in used])) if used else 1
    points = _points(used, files, y) if aligned else [0] * len(files)
    told = b""
    for at, v in enumerate(files):
        told += bytes([codes[at], points[at]]) + struct.pack("<66i", *(v or [0] * 66))
    return Screen(codes, points, norm, told)


def _is_large(y: list[int]) -> bool:
    beyond = any(abs(n) >= 2**27 for n in y)
    return beyond or (2 * square(y) > 108 * CQ * CQ and part(TOO_LONG))


def _empty(left: list[int], y: dict[int, list[int]]) -> list[int]:
    if not left or not part(IS_EMPTY):
        return []
    middle = lower_median([square(y[at]) for at in left])
    return [at for at in left if 256 * square(y[at]) <= middle]


def _wrong(left: list[int], y: dict[int, list[int]], files: Sequence[Any], reference: bool) -> list[int]:
    if not part(IS_WRONG):
        return []
    if reference:
        return [at for at in left if files[at][K] < -32 * isqrt(2 * square(y[at]) // K)]
    total = [sum(y[at][row] for at in left) for row in range(K)]
    return [at for at in left if dot(y[at], total) < 0]


def _outliers(left: list[int], y: dict[int, list[int]]) -> list[int]:
    n = len(left)
    out = n // 4
    kept = n - out - 2

    def far(at: int) -> int:
        found = sorted(square([a - b for a, b in zip(y[at], y[other], strict=True)]) for other in left if other != at)
        return sum(found[: max(0, kept)])

    return sorted(left, key=lambda at: (far(at), at if part(LATER) else -at))[n - out :] if out and part(FAR) else []


def _points(used: list[int], files: Sequence[Any], y: dict[int, list[int]]) -> list[int]:
    p = {at: max(0, files[at][K + 1]) * CQ // max(CQ, isqrt(2 * square(y[at]) // K)) for at in used}
    most = max(p.values(), default=0)
    return [16 * p[at] // most if at in p and most else 0 for at in range(len(files))]


# --- sums: LC-FILE-33 to LC-FILE-35 ---------------------------------------------------------------------------------------------


def summed(rule: str, updates: Sequence[Sequence[int]]) -> tuple[list[int], int]:
    """S and q of x, by rule."""
    n = len(updates)
    columns = [sorted(column) for column in zip(*updates, strict=True)]
    if rule == "trimmed":
        return [sum(column[n // 4 : n - n // 4]) for column in columns], n - 2 * (n // 4)
    if rule == "median":
        middle = slice((n - 1) // 2, n // 2 + 1)
        return [sum(column[middle]) for column in columns], 1 if n % 2 else 2
    return [signed(sum(column)) for column in columns], n


def f32(x: float) -> float:
    try:
        found: float = struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")
    return found


def stepped(base: Sequence[float], total: Sequence[int], q: int, clip: int) -> tuple[list[int], list[float]]:
    """delta, model"""
    step = ((float(clip) / 1e9) / float(2**22)) / q
    return [n // q for n in total], [f32(b + float(n) * step) for b, n in zip(base, total, strict=True)]


# --- noise: LC-FILE-36 to LC-FILE-39 --------------------------------------------------------------------------------------------


def noise(key: bytes, sigma: int, d: int) -> list[int]:
    found: list[int] = []
    for first in range(0, d, PIECE):
        count = min(PIECE, d - first)
        stream, lanes = Stream(key, first // PIECE * 2**64), [_coordinate(sigma) for _ in range(count)]
        for lane in lanes:
            next(lane)
        values: dict[int, int] = {}
        live = list(range(count))
        while live:
            words = numbers(stream.take(8 * len(live)), "Q")
            still = []
            for at, word in zip(live, words, strict=True):
                try:
                    lanes[at].send(word)
                    still.append(at)
                except StopIteration as over:
                    values[at] = over.value
            live = still
        found += [values[at] for at in range(count)]
    return found


Words = Generator[None, int, Any]


def _below(n: int) -> Words:
    while True:
        word = yield
        if word < 2**64 - 2**64 % n:
            return word % n


def _trial(p: int, q: int) -> Words:
    i = 1
    while True:
        if not (yield from _below(i * q)) < p:
            return i % 2 == 1
        i += 1


def _coordinate(sigma: int) -> Generator[None, int, int]:
    while True:
        n = yield from _below(2 * sigma)
        minus, u, v = n % 2 == 1, n // 2, 0
        if not (yield from _trial(u, sigma)):
            continue
        while (yield from _trial(1, 1)):
            v += 1
        if minus and u == 0 and v == 0 and part(NO_MINUS_ZERO):
            continue
        a, b = divmod(abs(u + sigma * v - sigma), sigma)
        holds = True
        for p, q, times in ((1, 2, a * a), (b, sigma, a), (b * b, 2 * sigma * sigma, 1)):
            for _ in range(times):
                if holds:
                    holds = yield from _trial(p, q)
        if holds:
            return -(u + sigma * v) if minus else u + sigma * v


# --- shares: LC-FILE-41 ---------------------------------------------------------------------------------------------------------


def times(a: int, b: int) -> int:
    found = 0
    for bit in range(8):
        if b >> bit & 1:
            found ^= a
        a = _double(a) & 0x1FF
    return found


def joined(shares: Sequence[bytes]) -> bytes:
    found = []
    for at in range(1, len(shares[0])):
        value = 0
        for share in shares:
            weight = share[at]
            for other in shares:
                if other[0] != share[0]:
                    weight = times(weight, times(other[0], _inverse(other[0] ^ share[0])))
            value ^= weight
        found.append(value)
    return bytes(found)


def _inverse(a: int) -> int:
    return next(b for b in range(256) if times(a, b) == 1)


def commitment(place: bytes, member: bytes, j: int, seed: bytes) -> bytes:
    """LC-FILE-11"""
    return tagged("lc/fed-seed", place, member, bytes([j]), seed)
