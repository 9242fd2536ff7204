"""Small models (LC-FILE-49 to 63 of `protocol_spec/federation-files.md`), on plain integers alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

from tests.conformance import federation_files as f
from tests.conformance.checks import Refused, check, need, part, register
from tests.conformance.federation_words import BOX, BOXES, COMMITMENTS, HEAD, HEADER, SIZE, Place, box_seeds
from tests.conformance.keys import tagged

H, P = 2**15, 2**61 - 1

SHORTENED = register("LC-FILE-50: a long update is made shorter")
FEW_POINTS = register("LC-FILE-52: N is 8 for few gates")
LAST_GATES = register("LC-FILE-52: gates of values are behind those of bits")
CONSTANTS = register("LC-FILE-56: constants are in share 0")
Z_IS_ZERO = register("LC-FILE-57: Z is 0")
PRODUCTS = register("LC-FILE-57: G is the products")
OF_A_CELL = register("LC-FILE-58: a cell with one that is not proved does not sum")
SMALL_NOISE = register("LC-FILE-59: four times the noise")
NO_I32 = register("LC-FILE-60: a number that is no i32")
SUMS_HEAD = register("LC-FILE-60: sums begin with their mark and place")
SUMS_CELLS = register("LC-FILE-60: 1 to 10 cells")
SUMS_SIZE = register("LC-FILE-60: sums have their size")
SUMS_ORDER = register("LC-FILE-60: cells ascend")
SUMS_MEMBERS = register("LC-FILE-60: cells have 3 to 16 members")
LONG_ENOUGH = register("LC-FILE-61: a reference is long enough")
NOT_TOO_LONG = register("LC-FILE-61: a reference is not too long")
NO_ZERO = register("LC-FILE-62: T may be 0")


def stream(key: bytes, count: int) -> list[int]:
    return [word % 2**61 % P for word in f.numbers(f.Stream(key).take(8 * count), "Q")]


def signed(n: int) -> int:
    return n - P if n > P // 2 else n


def lagrange(values: Sequence[int], at: int) -> int:
    """At `at`, of the polynomial that has these values at 0, 1, 2, …"""
    found = 0
    for j, value in enumerate(values):
        above, below = value, 1
        for k in range(len(values)):
            if k != j:
                above, below = above * (at - k) % P, below * (j - k) % P
        found += above * pow(below, -1, P)
    return found % P


# --- updates and their proof: LC-FILE-50 to LC-FILE-57 ----------------------------------------------------------------------------


def unit(local: Sequence[float], base: Sequence[float]) -> list[int]:
    g = [a - b for a, b in zip(local, base, strict=True)]
    n = f.length(g)
    x = [max(1 - H, min(H - 1, int(v * H / n))) for v in g]
    while sum(v * v for v in x) > 2**30 - 1 and part(SHORTENED):
        at = max(range(len(x)), key=lambda j: (abs(x[j]), -j))
        x[at] += -1 if x[at] > 0 else 1
    return x


class Sizes(NamedTuple):
    d: int
    nb: int
    n: int
    m: int
    total: int


def sizes(d: int) -> Sizes:
    nb = 16 * d + 30
    k = nb + d
    n = 8 if k < 2_000 and part(FEW_POINTS) else 32
    m = (k + n - 1) // n
    return Sizes(d, nb, n, m, nb + 2 * m + 2 * n + 1)


def bits(x: Sequence[int]) -> list[int]:
    slack = 2**30 - 1 - sum(v * v for v in x)
    return [v + H >> k & 1 for v in x for k in range(16)] + [slack >> k & 1 for k in range(30)]


def joined(found: Sequence[int]) -> int:
    return sum(bit << k for k, bit in enumerate(found)) % P


def polynomials(b: Sequence[int], blinds: Sequence[int], c: Sequence[int], s: Sizes, constants: bool) -> list[list[int]]:
    """The values of each f and g at 0 … N."""
    taken = 1 if constants else 0
    x = [joined(b[16 * j : 16 * j + 16]) - taken * H for j in range(s.d)]
    gates = [(c[i + 1] * b[i], b[i] - taken) for i in range(s.nb)]
    if part(LAST_GATES):
        gates += [(c[0] * v, v) for v in x]
    gates += [(0, 0)] * (s.m * s.n - len(gates))
    found = []
    for side in (0, 1):
        for row in range(s.m):
            found.append([blinds[side * s.m + row], *(gate[side] % P for gate in gates[row * s.n : (row + 1) * s.n])])
    return found


def content(x: Sequence[int], blinds: Sequence[int], c: Sequence[int]) -> list[int]:
    s, b = sizes(len(x)), bits(x)
    rows = polynomials(b, blinds, c, s, True)
    values = [[*row, *(lagrange(row, t) for t in range(s.n + 1, 2 * s.n + 1))] for row in rows]
    g = [sum(values[i][t] * values[s.m + i][t] for i in range(s.m)) % P for t in range(2 * s.n + 1)]
    return [*b, *blinds, *g]


def query(place: bytes, beacon: bytes, d: int) -> int:
    n = sizes(d).n
    return 2 * n + 1 + int.from_bytes(tagged("lc/small-query", place, beacon), "big") % (P - 2 * n - 1)


def view(share: Sequence[int], c: Sequence[int], r: int, d: int, number: int) -> list[int]:
    s, first = sizes(d), number == 0 and part(CONSTANTS)
    b, blinds, g = share[: s.nb], share[s.nb : s.nb + 2 * s.m], share[s.nb + 2 * s.m :]
    slack = joined(b[16 * d :]) - (2**30 - 1 if first else 0)
    z = (sum(g[1 : s.n + 1]) + c[0] * slack) % P
    return [z, *(lagrange(row, r) for row in polynomials(b, blinds, c, s, first)), lagrange(g, r)]


def opened(views: Sequence[Sequence[int]]) -> list[int]:
    return [(a - b - c - d) % P for a, b, c, d in zip(*views, strict=True)]


def is_proved(told: Sequence[int]) -> bool:
    m = (len(told) - 2) // 2
    right = sum(a * b for a, b in zip(told[1 : m + 1], told[m + 1 : -1], strict=True)) % P == told[-1]
    return (told[0] == 0 or not part(Z_IS_ZERO)) and (right or not part(PRODUCTS))


# --- files: LC-FILE-54, 55 --------------------------------------------------------------------------------------------------------


@check("LC-FILE-54")
def a_small_file_has_its_size(raw: bytes, d: int) -> bool:
    return len(raw) == HEAD + 8 * sizes(d).total


@check("LC-FILE-54")
def a_small_file_begins_with_its_mark_place_and_member(raw: bytes, at: Place) -> bool:
    return raw[:COMMITMENTS] == b"LCFS1\0\0\0" + at.place[32:] + at.member


@check("LC-FILE-54")
def masked_numbers_are_below_p(raw: bytes) -> bool:
    return all(n < P for n in f.numbers(raw[HEAD:], "Q"))


def seeds(raw: bytes, d: int, at: Place, private: bytes) -> dict[int, bytes] | str:
    """What an aggregator finds: the seeds of its masks, or why it does not have the file."""
    try:
        a_small_file_has_its_size(raw, d)
    except Refused:
        return SIZE
    try:
        a_small_file_begins_with_its_mark_place_and_member(raw, at)
        masked_numbers_are_below_p(raw)
    except Refused:
        return HEADER
    try:
        return box_seeds(raw, at, private)
    except Refused:
        return BOX


def challenges(raw: bytes, place: bytes, member: bytes, d: int) -> list[int]:
    nb = sizes(d).nb
    key = tagged("lc/small-gates", place, member, raw[COMMITMENTS:BOXES], raw[HEAD : HEAD + 8 * nb])
    return stream(key, nb + 1)


def views(raw: bytes, at: Place, beacon: bytes, d: int, known: Sequence[bytes]) -> list[list[int]]:
    """Of all four shares of a file, by whoever has the three seeds."""
    c, r = challenges(raw, at.place, at.member, d), query(at.place, beacon, d)
    shares = [f.numbers(raw[HEAD:], "Q"), *(stream(seed, sizes(d).total) for seed in known)]
    return [view(share, c, r, d, number) for number, share in enumerate(shares)]


def screen(place: bytes, files: Sequence[tuple[int, bool, Sequence[int] | None]], d: int) -> tuple[list[int], bytes]:
    """LC-FILE-58: codes and digest, of the number of a file's cell, whether that is complete, and what was opened."""
    out = {cell for cell, complete, _ in files if not complete}
    if part(OF_A_CELL):
        out |= {cell for cell, _, told in files if told is not None and not is_proved(told)}
    codes, hashed = [], b""
    for cell, _, told in files:
        code = 2 if told is None else 9 if not is_proved(told) else 10 if cell in out else 1
        codes.append(code)
        hashed += struct.pack(f"<B{2 * sizes(d).m + 2}Q", code, *(told or [0] * (2 * sizes(d).m + 2)))
    return codes, tagged("lc/fed-screen", place, hashed)


# --- sums: LC-FILE-59, 60 ---------------------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    number: int
    members: int
    s: list[int]


def mask_sum(place: bytes, beacon: bytes, cell: int, mask: int, known: Sequence[bytes], d: int, dp: int, again: bool) -> list[int]:
    sigma = dp * H // 1000 * (4 if again and part(SMALL_NOISE) else 1)
    key = tagged("lc/fed-noise", place, beacon, bytes([cell, mask]), b"".join(known))
    found = f.noise(key, sigma, d)
    for seed in known:
        words = stream(seed, 16 * d + 30)
        found = [n + joined(words[16 * j : 16 * j + 16]) for j, n in enumerate(found)]
    return [n % P for n in found]


def cell_sum(files: Sequence[Sequence[int]], pinned: Sequence[Sequence[int]], d: int) -> list[int]:
    found = []
    for j in range(d):
        n = sum(joined(file[16 * j : 16 * j + 16]) - H for file in files) - sum(mask[j] for mask in pinned)
        found.append(signed(n % P))
    need(NO_I32, all(-(2**31) <= n < 2**31 for n in found))
    return found


def sums(raw: bytes, place: bytes, d: int) -> tuple[list[Cell], list[int] | None]:
    need(SUMS_HEAD, raw[:80] == b"LCFS2\0\0\0" + place)
    count = raw[80] if len(raw) > 80 else 0
    need(SUMS_CELLS, 1 <= count <= 10)
    end = 81 + count * (2 + 4 * d)
    with_reference = raw[end : end + 1] == b"\1"
    need(SUMS_SIZE, len(raw) == end + 1 + (4 * d if with_reference else 0) and raw[end] <= 1)
    cells = []
    for at in range(81, end, 2 + 4 * d):
        cells.append(Cell(raw[at], raw[at + 1], f.numbers(raw[at + 2 : at + 2 + 4 * d], "i")))
    before = 0
    for cell in cells:
        need(SUMS_ORDER, cell.number > before)
        need(SUMS_MEMBERS, 3 <= cell.members <= 16)
        before = cell.number
    return cells, f.numbers(raw[end + 1 :], "i") if with_reference else None


# --- candidates: LC-FILE-61 to LC-FILE-63 -----------------------------------------------------------------------------------------


def is_reference(rho: Sequence[int]) -> bool:
    square = f.square(rho)
    return (square >= 2**28 or not part(LONG_ENOUGH)) and (square <= 2**30 - 1 or not part(NOT_TOO_LONG))


def directions(cells: Sequence[Cell], rho: Sequence[int] | None) -> list[tuple[list[int], int]]:
    t = [sum(column) for column in zip(*(cell.s for cell in cells), strict=True)]
    found = [(t, sum(cell.members for cell in cells))]
    if len(cells) > 1:
        found += [(cell.s, cell.members) for cell in cells]
    if rho is not None:
        q = list(rho)
        if any(t) or not part(NO_ZERO):
            q = [own + n * H // isqrt(f.square(t)) for own, n in zip(rho, t, strict=True)]
        length = max(1, isqrt(f.square(q)))
        found += [(list(rho), 1), ([n * H // length for n in q], 1)]
    return found


def candidates(base: Sequence[float], radius: int, direction: tuple[list[int], int]) -> list[list[float] | None]:
    found: list[list[float] | None] = []
    for s in (2000, 1000, 500, 250):
        step = float(radius * s) / float(10**12 * direction[1] * H)
        model = [f.f32(b + float(n) * step) for b, n in zip(base, direction[0], strict=True)]
        found.append(model if all(abs(v) < float("inf") for v in model) else None)
    return found
