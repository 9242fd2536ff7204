"""Small updates (LC-FILE-49 to LC-FILE-58): a proof holds for what is short enough, for nothing else, and shows nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.places import query_digest
from learningchain.client.contracts.federation.arithmetic.small import field, files, proof, screening, unit
from learningchain.client.contracts.federation.arithmetic.small.field import Numbers, P
from learningchain.client.contracts.federation.arithmetic.small.proof import ProofShape, proof_shape
from learningchain.client.contracts.federation.arithmetic.small.unit import LONGEST, H
from learningchain.client.contracts.federation.arithmetic.updates import BadUpdate, open_seeds
from tests.small_updates import KEYS, PRIVATES, Made, Twist, as_numbers, honest, made, opened, views
from tests.unit.federation_kit import BEACON, PLACE, prg, rng

MEMBER = b"m" * 20
ANY_NUMBER = st.one_of(st.integers(0, P - 1), st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**60, P - 1]))


# --- numbers -------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(a=st.lists(ANY_NUMBER, min_size=1, max_size=9), b=ANY_NUMBER)
def test_numbers_are_those_of_python_modulo_p(a: list[int], b: int) -> None:
    many, one = as_numbers(a), as_numbers([b])
    assert field.add(many, one).tolist() == [(n + b) % P for n in a]
    assert field.subtract(many, one).tolist() == [(n - b) % P for n in a]
    assert field.multiply(many, one).tolist() == [n * b % P for n in a]
    assert int(field.total(many)) == sum(a) % P
    assert [field.signed(n) % P for n in a] == a and all(abs(field.signed(n)) <= P // 2 for n in a)


@pytest.mark.parametrize("count", [1, 2**15])
def test_sums_of_many_great_numbers_are_exact(count: int) -> None:
    assert int(field.total(np.full(count, P - 1, np.uint64))) == count * (P - 1) % P


def test_a_stream_gives_numbers_below_p() -> None:
    """LC-FILE-49: p itself, which 61 bits may be, is 0."""
    given_ = [P, 2**64 - 1, P - 1, P + 1, 0]
    assert field.numbers_of(b"".join(n.to_bytes(8, "little") for n in given_)).tolist() == [0, 0, P - 1, 0, 0]
    wanted = [int.from_bytes(prg(b"k" * 32, 80)[at : at + 8], "little") % 2**61 % P for at in range(0, 80, 8)]
    assert field.stream_numbers(b"k" * 32, 10).tolist() == wanted


@settings(max_examples=30)
@given(factors=st.lists(ANY_NUMBER, min_size=2, max_size=9), at=ANY_NUMBER)
def test_a_polynomial_is_known_from_its_first_values(factors: list[int], at: int) -> None:
    last = len(factors) - 1

    def value(t: int) -> int:
        return sum(factor * pow(t, k, P) for k, factor in enumerate(factors)) % P

    known = as_numbers([value(t) for t in range(last + 1)])[None]
    assert field.values_at(known, field.weights(last, at)).tolist() == [value(at)]
    assert field.extended(known)[0].tolist() == [value(t) for t in range(2 * last + 1)]


# --- x -------------------------------------------------------------------------------------------------------------------------


def models(seed: int, dims: int, size: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    numbers = np.random.default_rng(seed)
    base = numbers.normal(size=dims).astype("<f4")
    return base, (base + size * numbers.normal(size=dims)).astype("<f4")


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e30])
@pytest.mark.parametrize("dims", [1, 2, 21, 1_023])
def test_an_update_is_the_direction_alone(dims: int, size: float) -> None:
    """LC-FILE-50: however far the training went."""
    base, local = models(dims, dims, size)
    x = unit.unit_update(base, local, rng().randbytes)
    g = local.astype(float) - base.astype(float)
    assert 0.998 * LONGEST < x.dot(x) <= LONGEST and abs(x).max() < H
    assert x.dot(g / np.linalg.norm(g)) > 0.9999 * np.linalg.norm(x)


@pytest.mark.parametrize("dims", [1, 4, 16, 256])
def test_an_update_of_equal_numbers_is_not_too_long_either(dims: int) -> None:
    """Where all are whole numbers before they are cut, their square is 2^30: the first goes nearer to 0."""
    x = unit.unit_update(np.zeros(dims, "<f4"), np.full(dims, -1, "<f4"), rng().randbytes)
    each = H // int(dims**0.5)
    assert x.tolist() == [1 - each] + [-each] * (dims - 1)


def test_who_learnt_nothing_sends_a_random_direction() -> None:
    """LC-FILE-50: an image that leaves the model as it is would otherwise make its owner known in the sum."""
    base = np.ones(500, "<f4")
    one, two = (unit.unit_update(base, base, rng(seed).randbytes) for seed in (1, 2))
    assert 0.998 * LONGEST < one.dot(one) <= LONGEST and abs(one.dot(two)) < 0.2 * LONGEST
    assert abs(one.mean()) < 0.2 * one.std() and 2.4 < float((one.astype(float) ** 4).mean() / one.astype(float).var() ** 2) < 3.6


def test_models_of_two_lengths_are_no_small_update() -> None:
    with pytest.raises(ValueError, match="base has 3"):
        unit.unit_update(np.zeros(3, "<f4"), np.zeros(4, "<f4"), rng().randbytes)


# --- true proofs ---------------------------------------------------------------------------------------------------------------


def some(seed: int, dims: int) -> NDArray[np.int64]:
    return unit.unit_update(*models(seed, dims, 1.0), rng(seed).randbytes)


@pytest.mark.parametrize(("dims", "size"), [(1, 1_100), (21, 4_348), (115, 19_580), (116, 17_116), (650, 90_012), (1_023, 140_924)])
def test_what_three_aggregators_open_of_an_honest_file_is_proved(dims: int, size: int) -> None:
    """LC-FILE-54 to LC-FILE-57: each has two masks, and two have each mask."""
    file, shape = files.small_file(PLACE, MEMBER, KEYS, some(dims, dims), rng(dims).randbytes), proof_shape(dims)
    assert len(file) == files.small_size(dims) == size
    masked = files.read_small(file, PLACE, MEMBER, dims)
    challenges, r = files.challenges_of(file, PLACE, MEMBER, dims), proof.query(query_digest(PLACE, BEACON), shape)
    told: dict[int, list[list[int]]] = {0: [proof.view(shape, masked, challenges, r, masked=True).tolist()]}
    for seat in (1, 2, 3):
        for mask, seed in open_seeds(file, PLACE, MEMBER, seat, PRIVATES[seat - 1], secret=True).items():
            found = proof.view(shape, field.stream_numbers(seed, shape.size), challenges, r, masked=False)
            told.setdefault(mask, []).append(found.tolist())
    assert [len(told[mask]) for mask in (1, 2, 3)] == [2, 2, 2] and all(one == ones[0] for ones in told.values() for one in ones)
    assert proof.is_proved(shape, opened([as_numbers(told[share][0]) for share in range(4)]))


@pytest.mark.parametrize("dims", [0, 1_024])
def test_other_models_are_not_small(dims: int) -> None:
    with pytest.raises(ValueError, match="1 to 1,023"):
        proof_shape(dims)


@pytest.mark.parametrize("x", [[H], [-H - 1], [H - 1, H - 1], [-H]])
def test_a_host_makes_no_file_of_what_it_cannot_prove(x: list[int]) -> None:
    with pytest.raises(ValueError, match="longer than it may be"):
        files.small_file(PLACE, MEMBER, KEYS, np.array(x), rng().randbytes)


def test_a_small_update_has_three_aggregators() -> None:
    with pytest.raises(ValueError, match="three aggregators"):
        files.small_file(PLACE, MEMBER, KEYS[:2], some(0, 3), rng().randbytes)


# --- false ones ----------------------------------------------------------------------------------------------------------------


def bits(x: list[int], slack: int) -> Numbers:
    return as_numbers([v + H >> k & 1 for v in x for k in range(16)] + [slack >> k & 1 for k in range(30)])


def good(x: list[int]) -> Numbers:
    return proof.bits_of(np.array(x, np.int64))


def put(numbers: Numbers, at: int, value: int) -> Numbers:
    return np.concatenate([numbers[:at], as_numbers([value]), numbers[at + 1 :]])


def is_proved(one: Made, beacon: bytes = BEACON) -> bool:
    return proof.is_proved(proof_shape(one.dims), opened(views(one, beacon)))


TOO_LONG = [30_000, -30_000, 5]
OVER = sum(v * v for v in TOO_LONG) - LONGEST
FALSE: dict[str, Callable[[random.Random], Numbers]] = {
    "too long, no slack": lambda _: bits(TOO_LONG, 0),
    "too long, a slack below zero modulo 2^30": lambda _: bits(TOO_LONG, 2**30 - OVER),
    "too long, any slack": lambda draw: bits(TOO_LONG, draw.randrange(2**30)),
    "too long, a slack below zero in one bit": lambda _: put(bits(TOO_LONG, 0), 16 * 3, -OVER),
    "too long, a slack below zero in its highest bit": lambda _: put(bits(TOO_LONG, 2**29 - OVER % 2**29), 16 * 3 + 29, -2),
    "shorter than it says": lambda draw: bits([5, 5, 5], draw.randrange(2**29)),
    "a value beyond its bits": lambda draw: put(good([0, 0, 0]), 15, draw.randrange(2, P)),
    "a value below its bits": lambda _: put(good([1, 2, 3]), 16, -1),
    "a bit that is two": lambda draw: put(good([0, 0, 0]), draw.randrange(78), 2),
    "values that are anything": lambda draw: as_numbers([draw.randrange(P) for _ in range(78)]),
    "all that is greatest": lambda _: bits([H - 1] * 3, 0),
    "all that is least": lambda _: bits([-H] * 3, 0),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_false_statement_passes_in_no_try(name: str) -> None:
    for attempt in range(40):
        draw = rng(attempt)
        assert not is_proved(made(PLACE, MEMBER, FALSE[name](draw), draw)), attempt


def balanced(content: Numbers, challenges: Numbers, shape: ProofShape) -> Numbers:
    """G is moved so that its sum over the gates is what it should be."""
    at = shape.size - 2 * shape.points
    wrong = int(proof.view(shape, content, challenges, 10**9, masked=True)[0])
    return put(content, at, int(content[at]) - wrong)


def fitting(r: int) -> Twist:
    """Besides, G is moved at 0 so that it fits at one place."""

    def twist(content: Numbers, challenges: Numbers, shape: ProofShape) -> Numbers:
        told = balanced(content, challenges, shape)
        found = proof.view(shape, told, challenges, r, masked=True)
        left, right = found[1:-1].reshape(2, shape.rows)
        away = int(field.total(field.multiply(left, right))) - int(found[-1])
        at = shape.size - 2 * shape.points - 1
        return put(told, at, int(told[at]) + away * pow(int(field.weights(2 * shape.points, r)[0]), -1, P))

    return twist


def moved(part: Callable[[ProofShape, random.Random], int]) -> Twist:
    return lambda content, _, shape: put(content, part(shape, rng(int(content[-1]))), int(content[-1]) + 1)


TWISTS: dict[str, Twist] = {
    "a product": moved(lambda shape, draw: shape.size - 1 - draw.randrange(2 * shape.points + 1)),
    "a blind": moved(lambda shape, draw: shape.bits + draw.randrange(2 * shape.rows)),
    "the sum of products": balanced,
    "a product at another place": fitting(10**12),
    "no products": lambda content, _, shape: np.concatenate([content[: -2 * shape.points - 1], as_numbers([0] * 17)]),
}


@pytest.mark.parametrize("name", TWISTS)
def test_whoever_knows_the_challenges_proves_nothing_false_either(name: str) -> None:
    for attempt in range(30):
        assert not is_proved(made(PLACE, MEMBER, bits(TOO_LONG, 0), rng(attempt), TWISTS[name]))


@pytest.mark.parametrize("name", ["a product", "a blind", "no products"])
def test_a_true_statement_with_a_false_proof_is_not_proved(name: str) -> None:
    assert not is_proved(made(PLACE, MEMBER, good([1, -2, 3]), rng(), TWISTS[name]))


def test_whoever_knew_the_place_could_prove_anything() -> None:
    """LC-FILE-56: hence the beacon of a block behind the commitments."""
    known = fitting(proof.query(query_digest(PLACE, BEACON), proof_shape(3)))
    forged = made(PLACE, MEMBER, bits(TOO_LONG, 0), rng(), known)
    assert is_proved(forged) and not any(is_proved(forged, bytes([n]) * 32) for n in range(30))


def test_a_place_is_never_one_of_which_the_file_speaks() -> None:
    """LC-FILE-56: there a view would be a gate's factors."""
    shape = proof_shape(3)
    for digest in (bytes(32), b"\xff" * 32, (P - 17).to_bytes(32, "big"), (P - 18).to_bytes(32, "big")):
        assert 17 <= proof.query(digest, shape) < P


# --- altered and stolen files --------------------------------------------------------------------------------------------------


def test_a_file_that_was_altered_anywhere_is_not_proved() -> None:
    """A masked number moves the content by as much: a bit, a blind or a product; and a bit all challenges."""
    one = made(PLACE, MEMBER, good([1, -2, 3]), rng())
    numbers = files.read_small(one.file, PLACE, MEMBER, 3)
    for at in range(len(numbers)):
        altered = put(numbers, at, int(numbers[at]) + 1)
        assert not is_proved(one._replace(file=one.file[:500] + altered.astype("<u8").tobytes())), at


def finds(file: bytes, member: bytes = MEMBER, attempt: int = PLACE.attempt) -> str:
    place = PLACE._replace(attempt=attempt)
    try:
        files.read_small(file, place, member, 3)
        open_seeds(file, place, member, 1, PRIVATES[0], secret=True)
    except BadUpdate as bad:
        return bad.answer
    return "FETCHED"


def test_another_s_file_is_nobody_s_own() -> None:
    file, thief = made(PLACE, MEMBER, good([1, -2, 3]), rng()).file, b"t" * 20
    renamed = file[:48] + thief + file[68:]
    again = file[:44] + bytes((0, 0, 0, 8)) + file[48:]
    found = [finds(file), finds(file, thief), finds(renamed, thief), finds(file, attempt=8), finds(again, attempt=8)]
    assert found == ["FETCHED", "HEADER", "BOX", "HEADER", "BOX"]
    assert finds(file[:-1]) == "SIZE" and finds(file[:500] + P.to_bytes(8, "little") + file[508:]) == "HEADER"


def test_another_s_numbers_under_own_seeds_are_not_proved() -> None:
    """The thief's boxes are good, and what they open is nothing."""
    for seed in range(20):
        one, own = (made(PLACE, member, good([1, -2, 3]), rng(seed)) for member in (MEMBER, b"t" * 20))
        thief = made(PLACE, own.member, good([4, 5, 6]), rng(seed + 100))
        assert not is_proved(thief._replace(file=thief.file[:500] + one.file[500:]))


# --- what is shown -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [[0, 0, 0], [-1, 1, 20_000], [-18_000, 18_000, -18_000]])
def test_what_is_opened_says_nothing_of_an_update_that_is_short_enough(other: list[int]) -> None:
    """For the very numbers that were opened of one update there are blinds with which any other one opens to the same."""
    shape, c, r = proof_shape(3), field.stream_numbers(b"c" * 32, 79), 10**17
    shown = view_of(good([18_000, -18_000, 18_000]), field.stream_numbers(b"b" * 32, 2 * shape.rows), shape, c, r)
    unblinded = view_of(good(other), as_numbers([0] * 2 * shape.rows), shape, c, r)
    share = pow(int(field.weights(shape.points, r)[0]), -1, P)
    blinds = field.multiply(field.subtract(shown[1:-1], unblinded[1:-1]), as_numbers([share]))
    assert view_of(good(other), blinds, shape, c, r).tolist() == shown.tolist() and not shown[0]


def view_of(own: Numbers, blinds: Numbers, shape: ProofShape, c: Numbers, r: int) -> Numbers:
    return proof.view(shape, proof.content(shape, own, c, blinds), c, r, masked=True)


def test_opened_numbers_of_two_very_different_updates_are_alike() -> None:
    """LC-FILE-57, of 300 files each: at each place of the view about half of the numbers are low, and none comes twice."""
    shape = proof_shape(1)
    for x in ([0], [H - 1]):
        told = np.stack([opened(views(made(PLACE, MEMBER, good(x), rng(n)), BEACON)) for n in range(300)])
        assert not told[:, 0].any() and len(np.unique(told[:, 1:])) == told[:, 1:].size
        low = (told[:, 1:] < P // 2).mean(axis=0)
        assert len(low) == 2 * shape.rows + 1 and (abs(low - 0.5) < 5 * 0.5 / 300**0.5).all()


def test_two_views_of_one_file_tell_each_bit_of_it() -> None:
    """Why a node never makes a second one (LC-FILE-56): of each row of gates the random number at 0 falls out of the two, and of
    all ways to fill its eight places with bits one is left. Each aggregator has the views of all shares, so it could compute it."""
    own = good(rng().choices(range(-1_000, 1_000), k=21))
    one, shape = made(PLACE, MEMBER, own, rng()), proof_shape(21)
    told, ways = [], []
    for beacon in (BEACON, bytes(32)):
        r = proof.query(query_digest(PLACE, beacon), shape)
        factors = [int(n) for n in field.weights(shape.points, r)]
        without = [factor * pow(factors[0], -1, P) % P for factor in factors[1:]]
        told.append([int(n) * pow(factors[0], -1, P) % P for n in opened(views(one, beacon))[1 + shape.rows : -1]])
        ways.append([-sum(w for n, w in enumerate(without) if not way >> n & 1) % P for way in range(2**shape.points)])
    way_of = {(a - b) % P: way for way, (a, b) in enumerate(zip(*ways, strict=True))}
    assert len(way_of) == 2**shape.points, "no two ways look alike"
    found = [way_of[(a - b) % P] >> n & 1 for a, b in zip(*told, strict=True) if (a - b) % P in way_of for n in range(shape.points)]
    assert len(found) == shape.bits // shape.points * shape.points == 360, "the last six are slack"
    assert found == own.tolist()[: len(found)]


# --- the Screen ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "codes"),
    [
        ([(1, True, "good"), (1, True, "good"), (1, True, "good")], [1, 1, 1]),
        ([(1, True, "good"), (2, True, "false"), (1, True, "good"), (2, True, "good")], [1, 9, 1, 10]),
        ([(1, False, "good"), (1, False, "away"), (2, True, "good")], [10, 2, 1]),
        ([(1, False, "false"), (1, False, "away")], [9, 2]),
        ([], []),
    ],
)
def test_one_that_is_not_proved_keeps_its_cell_from_being_summed(given_: list[tuple[int, bool, str]], codes: list[int]) -> None:
    """LC-FILE-58"""
    shape = proof_shape(3)
    shown = {
        "good": opened(views(made(PLACE, MEMBER, good([1, 2, 3]), rng()), BEACON)),
        "false": opened(views(made(PLACE, MEMBER, bits(TOO_LONG, 0), rng(), honest), BEACON)),
        "away": None,
    }
    found = screening.screen(PLACE, shape, [screening.OpenedFile(cell, complete, shown[name]) for cell, complete, name in given_])
    assert list(found.codes) == codes
