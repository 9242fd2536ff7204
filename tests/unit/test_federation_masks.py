"""Updates, their files, boxes, masks and sketches (LC-FILE-7 to LC-FILE-17): against Python's integers, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import masks, rows, updates
from learningchain.client.contracts.federation.arithmetic.places import CQ, ROWS, SKETCH, rows_key
from learningchain.client.contracts.federation.arithmetic.summing import masked_sum
from learningchain.client.contracts.federation.arithmetic.updates import (
    BadUpdate,
    SealedSeeds,
    open_seeds,
    read_update,
    seal_seeds,
    update_file,
    update_size,
)
from learningchain.client.contracts.federation.roles.computing import perform
from learningchain.client.contracts.federation.tasks import SketchMasks
from learningchain.client.keys.boxes import OVERHEAD as BOX_OVERHEAD
from learningchain.client.keys.boxes import CannotOpen, CannotSeal, open_box, public_of, seal_box
from tests.federation_nodes import Store
from tests.unit.federation_kit import BEACON, MODULUS, PLACE, coefficients, dots, prg, rng, signed, tagged, u32, x_of

MEMBER = b"m" * 20
PRIVATES = [bytes([n]) * 32 for n in (1, 2, 3)]
KEYS = [public_of(private) for private in PRIVATES]
LOW_ORDER = [bytes(32), (1).to_bytes(32, "little"), (2**255 - 19 - 1).to_bytes(32, "little"), (2**255 - 19).to_bytes(32, "little")]
ANY_X = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40)


def written(x: NDArray[np.int32], sealed: SealedSeeds) -> bytes:
    return b"".join(update_file(sealed, [x[at : at + 65_536] for at in range(0, len(x), 65_536)]))


def update(x: NDArray[np.int32], secret: bool = True, seed: int = 0, member: bytes = MEMBER) -> bytes:
    return written(x, seal_seeds(PLACE, member, KEYS, secret, rng(seed).randbytes))


# --- x -------------------------------------------------------------------------------------------------------------------------


def models(seed: int, dims: int, size: float = 1e-3) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    numbers = np.random.default_rng(seed)
    base = numbers.normal(size=dims).astype("<f4")
    return base, (base + size * numbers.normal(size=dims)).astype("<f4")


def x(base: NDArray[np.float32], local: NDArray[np.float32], clip: int) -> NDArray[np.int32]:
    return np.concatenate(list(updates.update_of(base, local, clip)))


@pytest.mark.parametrize("dims", [1, 5, 8_191, 8_192, 8_193, 70_001])
def test_the_norm_is_added_up_in_the_order_of_the_specification(dims: int) -> None:
    base, local = models(dims, dims)
    lanes = [0.0] * 8192
    for j in range(dims):
        g = float(local[j]) - float(base[j])
        lanes[j % 8192] += g * g
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [a + b for a, b in zip(lanes[:half], lanes[half:], strict=True)]
    assert updates.norm_of(base, local) == lanes[0] ** 0.5
    assert updates.norm_of(base, local) == pytest.approx(float(np.linalg.norm(local.astype(float) - base)))


@pytest.mark.parametrize(("clip", "bound"), [(10, CQ), (10**6, CQ), (10**9, CQ), (2**50, 1)])
def test_an_update_is_as_long_as_the_clip_at_most(clip: int, bound: int) -> None:
    found = x(*models(1, 20_000), clip)
    assert float(np.linalg.norm(found.astype(float))) <= bound + 0.5 * len(found) ** 0.5
    assert abs(found).max() <= CQ


def test_models_of_two_lengths_are_no_update() -> None:
    with pytest.raises(ValueError, match="base has 3"):
        list(updates.update_of(np.zeros(3, "<f4"), np.zeros(4, "<f4"), 10))


@pytest.mark.parametrize(("dims", "most"), [(1, 3), (1_535, 3), (2_048, 4), (100_000, 195), (2**28, 524_288)])
def test_a_member_shows_its_update_to_so_many_rows(dims: int, most: int) -> None:
    """LC-FILE-8: 64 numbers each time, an eighth of d in all."""
    assert updates.most_attempts(dims) == most


# --- masks ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    key=st.binary(min_size=32, max_size=32), first=st.integers(0, 2**128 - 2**20), sizes=st.lists(st.integers(0, 99), max_size=6)
)
def test_a_key_stream_is_aes_of_a_counter(key: bytes, first: int, sizes: list[int]) -> None:
    """LC-FILE-9, in pieces of any size."""
    stream = masks.Keystream(key, first)
    assert b"".join(stream.take(size) for size in sizes) == prg(key, sum(sizes), first)


@settings(max_examples=30)
@given(values=ANY_X, seed=st.integers(0, 2**32))
def test_masks_are_added_modulo_two_to_the_32(values: list[int], seed: int) -> None:
    """LC-FILE-10"""
    sealed = seal_seeds(PLACE, MEMBER, KEYS, True, rng(seed).randbytes)
    streams = [u32(prg(key, 4 * len(values))) for key in sealed.seeds.values()]
    wanted = [sum(column) % MODULUS for column in zip(values, *streams, strict=True)]
    assert u32(written(x_of(values), sealed)[updates.OVERHEAD :]) == wanted


@pytest.mark.parametrize("dims", [1, 65_535, 65_536, 65_537, 131_073])
def test_an_open_update_is_read_back_across_pieces(dims: int) -> None:
    values = np.random.default_rng(dims).integers(-(2**31), 2**31, dims).astype(np.int32)
    file = update(values, secret=False)
    seed = open_seeds(file, PLACE, MEMBER, 2, PRIVATES[1], secret=False)
    assert seed.keys() == {1}
    assert (np.concatenate(list(masks.unmasked(read_update(file, PLACE, MEMBER, dims), seed[1]))) == values).all()


@settings(max_examples=15)
@given(data=st.data(), dims=st.integers(1, 12), files=st.integers(1, 6))
def test_the_sum_of_masked_files_is_the_sum_of_updates(data: st.DataObject, dims: int, files: int) -> None:
    """LC-FILE-33, from the files alone: each aggregator gives what only it and one other know."""
    values = [data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=dims, max_size=dims)) for _ in range(files)]
    raws = [update(x_of(one), seed=n, member=bytes([n]) * 20) for n, one in enumerate(values)]
    told = [
        [open_seeds(raw, PLACE, bytes([n]) * 20, j, PRIVATES[j - 1], secret=True) for n, raw in enumerate(raws)] for j in (1, 2, 3)
    ]
    sums = [masks.mask_sum([seeds[mask] for seeds in told[mask % 3]], dims) for mask in (1, 2, 3)]
    again = [b"".join(p.tobytes() for p in masks.mask_sum([s[mask] for s in told[(mask + 1) % 3]], dims)) for mask in (1, 2, 3)]
    read = [read_update(raw, PLACE, bytes([n]) * 20, dims) for n, raw in enumerate(raws)]
    wanted = [signed(sum(column)) for column in zip(*values, strict=True)]
    assert np.concatenate(list(masked_sum(read, sums))).tolist() == wanted
    assert again == [b"".join(p.tobytes() for p in masks.mask_sum([s[m] for s in told[m % 3]], dims)) for m in (1, 2, 3)]


# --- boxes ---------------------------------------------------------------------------------------------------------------------


def test_a_box_opens_for_its_key_label_and_context_alone() -> None:
    box = seal_box(b"secret", KEYS[0], b"e" * 32, b"label", b"context")
    assert len(box) == 6 + BOX_OVERHEAD and open_box(box, PRIVATES[0], b"label", b"context") == b"secret"
    for other, private, label, context in (
        (box, PRIVATES[1], b"label", b"context"),
        (box, PRIVATES[0], b"labex", b"context"),
        (box, PRIVATES[0], b"label", b"contexu"),
        (box[:-1], PRIVATES[0], b"label", b"context"),
        (box[:47], PRIVATES[0], b"label", b"context"),
        (bytes(32) + box[32:], PRIVATES[0], b"label", b"context"),
    ):
        with pytest.raises(CannotOpen):
            open_box(other, private, label, context)


@pytest.mark.parametrize("key", LOW_ORDER)
def test_nothing_is_sealed_to_a_point_of_low_order(key: bytes) -> None:
    """LC-FILE-14: its box is random bytes, and the others can read theirs."""
    with pytest.raises(CannotSeal):
        seal_box(b"secret", key, b"e" * 32, b"label", b"")
    sealed = seal_seeds(PLACE, MEMBER, [KEYS[0], key, KEYS[2]], True, rng().randbytes)
    again = seal_seeds(PLACE, MEMBER, [KEYS[0], key, KEYS[2]], True, rng(1).randbytes)
    assert len({raw.head[164 + 112 : 164 + 224] for raw in (sealed, again)}) == 2
    file = written(x_of([5]), sealed)
    assert open_seeds(file, PLACE, MEMBER, 1, PRIVATES[0], secret=True) == {2: sealed.seeds[2], 3: sealed.seeds[3]}
    assert open_seeds(file, PLACE, MEMBER, 3, PRIVATES[2], secret=True) == {1: sealed.seeds[1], 2: sealed.seeds[2]}
    with pytest.raises(BadUpdate):
        open_seeds(file, PLACE, MEMBER, 2, PRIVATES[1], secret=True)


def test_each_aggregator_learns_the_two_seeds_that_are_not_its_own() -> None:
    """LC-FILE-12"""
    sealed = seal_seeds(PLACE, MEMBER, KEYS, True, rng().randbytes)
    file = written(x_of([1, -1]), sealed)
    for j in (1, 2, 3):
        told = open_seeds(file, PLACE, MEMBER, j, PRIVATES[j - 1], secret=True)
        assert told == {n: seed for n, seed in sealed.seeds.items() if n != j} and masks.known_masks(j) == tuple(told)


def test_the_layout_of_the_file() -> None:
    """LC-FILE-11"""
    sealed = seal_seeds(PLACE, MEMBER, KEYS, True, rng().randbytes)
    file = written(x_of([7] * 9), sealed)
    place = PLACE.chain + PLACE.federation + (3).to_bytes(4, "big") + (7).to_bytes(4, "big")
    told = b"".join(tagged(b"lc/fed-seed", place, MEMBER, bytes([n]), sealed.seeds[n]) for n in (1, 2, 3))
    assert file[:164] == b"LCFU1\0\0\0" + place[32:] + MEMBER + told
    assert len(file) == 500 + 36 == update_size(9)


def changed(file: bytes, at: int) -> bytes:
    return file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


def test_a_file_is_this_members_of_this_attempt_and_of_this_size() -> None:
    """LC-FILE-15"""
    file = update(x_of([1, 2]))
    assert len(read_update(file, PLACE, MEMBER, 2)) == 2
    for raw, place, member, dims, answer in (
        (file + b"\0", PLACE, MEMBER, 2, "SIZE"),
        (file[:-1], PLACE, MEMBER, 2, "SIZE"),
        (b"", PLACE, MEMBER, 2, "SIZE"),
        (file, PLACE, MEMBER, 3, "SIZE"),
        (file, PLACE._replace(attempt=8), MEMBER, 2, "HEADER"),
        (file, PLACE._replace(r=4), MEMBER, 2, "HEADER"),
        (file, PLACE._replace(federation=bytes(32)), MEMBER, 2, "HEADER"),
        (file, PLACE, b"n" * 20, 2, "HEADER"),
        *((changed(file, at), PLACE, MEMBER, 2, "HEADER") for at in range(68)),
    ):
        with pytest.raises(BadUpdate) as refused:
            read_update(raw, place, member, dims)
        assert refused.value.answer == answer


def test_a_box_of_another_chain_attempt_member_or_place_does_not_open() -> None:
    file = update(x_of([1, 2]))
    for place, member, j, private in (
        (PLACE._replace(chain=bytes(32)), MEMBER, 1, PRIVATES[0]),
        (PLACE._replace(attempt=8), MEMBER, 1, PRIVATES[0]),
        (PLACE, b"n" * 20, 1, PRIVATES[0]),
        (PLACE, MEMBER, 2, PRIVATES[0]),
        (PLACE, MEMBER, 1, PRIVATES[1]),
    ):
        with pytest.raises(BadUpdate) as refused:
            open_seeds(file, place, member, j, private, secret=True)
        assert refused.value.answer == "BOX"


def test_who_gives_two_aggregators_two_seeds_for_one_mask_is_turned_away() -> None:
    """LC-FILE-15: the second box comes from a file of its own, so it opens; the commitments are those of the first."""
    one, other = (seal_seeds(PLACE, MEMBER, KEYS, True, rng(seed).randbytes) for seed in (1, 2))
    mixed = SealedSeeds(one.head[: 164 + 112] + other.head[164 + 112 : 164 + 224] + one.head[164 + 224 :], one.seeds)
    file = written(x_of([1]), mixed)
    assert open_seeds(file, PLACE, MEMBER, 1, PRIVATES[0], secret=True)
    with pytest.raises(BadUpdate, match="another seed") as refused:
        open_seeds(file, PLACE, MEMBER, 2, PRIVATES[1], secret=True)
    assert refused.value.answer == "BOX"


def test_what_has_to_be_zeros_is() -> None:
    two = written(x_of([1]), seal_seeds(PLACE, MEMBER, KEYS[:2], True, rng().randbytes))
    for at in (500 - 112, 499):
        with pytest.raises(BadUpdate) as refused:
            open_seeds(changed(two, at), PLACE, MEMBER, 1, PRIVATES[0], secret=True, aggregators=2)
        assert refused.value.answer == "HEADER"
    opened = update(x_of([1]), secret=False)
    assert not any(opened[68 + 32 : 164])
    for at in (68 + 32, 163):
        with pytest.raises(BadUpdate) as refused:
            open_seeds(changed(opened, at), PLACE, MEMBER, 1, PRIVATES[0], secret=False)
        assert refused.value.answer == "HEADER"
    with pytest.raises(BadUpdate) as refused:
        open_seeds(update(x_of([1]), secret=True), PLACE, MEMBER, 1, PRIVATES[0], secret=False)
    assert refused.value.answer == "HEADER"


# --- rows ----------------------------------------------------------------------------------------------------------------------

KEY = rows_key(PLACE, BEACON)


def sketch(*values: NDArray[np.int32]) -> NDArray[np.int64]:
    found = rows.sketches(KEY, [rows.in_chunks(one.view(np.uint32)) for one in values], len(values[0]))
    return rows.unmasked_sketches(found, [])


@pytest.mark.parametrize("dims", [1, 3, 8_191, 8_192, 8_193, 20_000])
def test_rows_are_those_of_the_specification(dims: int) -> None:
    """LC-FILE-16, 17"""
    values = np.random.default_rng(dims).integers(-(2**31), 2**31, dims).astype(np.int32)
    found = sketch(values)[0].tolist()
    for row in (0, 1, 63):
        assert found[row] == signed(dots(coefficients(KEY, row, dims), values.tolist()))
    assert found[ROWS:] == [0, 0] and len(found) == SKETCH


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31)])
def test_numbers_at_their_bounds_are_exact(value: int) -> None:
    dims = 3 * 8_192
    found = sketch(np.full(dims, value, np.int32))[0].tolist()
    assert found[5] == signed(sum(coefficients(KEY, 5, dims)) * value)


def test_what_two_aggregators_give_each_other_is_the_sketch_of_the_update() -> None:
    """LC-FILE-17, 22: nobody opened it, and what was given is read back as it was."""
    values = np.random.default_rng(0).integers(-(2**20), 2**20, 9_000).astype(np.int32)
    file = update(values)
    told: dict[int, bytes] = {}
    for j in (1, 2):
        told |= open_seeds(file, PLACE, MEMBER, j, PRIVATES[j - 1], secret=True)
    numbers = read_update(file, PLACE, MEMBER, len(values))
    masked = rows.sketches(KEY, [rows.in_chunks(numbers)], len(values))
    parts = [rows.sketches(KEY, [masks.stream_pieces(told[n], len(values), rows.WIDTH)], len(values)) for n in (1, 2, 3)]
    given_ = [rows.read_part(rows.part_bytes(part), 1) for part in parts]
    assert (rows.unmasked_sketches(masked, given_) == sketch(values)).all()
    with pytest.raises(ValueError, match="264 bytes"):
        rows.read_part(rows.part_bytes(parts[0])[:-1], 1)


SEEDS = (b"a" * 32, b"b" * 32, b"c" * 32)
NONE = (b"",) * 3


@pytest.mark.parametrize(
    ("known", "draws"),
    [((SEEDS, SEEDS[::-1]), 2), ((SEEDS, NONE), 2), ((NONE, SEEDS), 2), ((NONE, NONE), 0), (((b"", SEEDS[0], b""), NONE), 2)],
    ids=["masked", "open, first mask", "open, second mask", "open, neither", "one file of three"],
)
def test_masks_that_an_open_update_has_not_are_sketched_as_zeros_without_a_row(
    known: tuple[tuple[bytes, ...], ...], draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LC-FILE-22: what is pinned of each mask, for each file in its place; in chunks of 8,192 values, here two."""
    dims, drawn = rows.WIDTH + 5, list[int]()
    write = rows.write_rows
    monkeypatch.setattr(rows, "write_rows", lambda key, chunk, found: (drawn.append(chunk), write(key, chunk, found)))
    store = Store()
    made = perform(SketchMasks(PLACE, BEACON, dims, known, 3, None), store, rng(0).randbytes)
    assert len(drawn) == draws
    for file, seeds in zip(made, known, strict=True):
        found = rows.read_part(store.read(file.path), 3)
        for sketch, seed in zip(found, seeds, strict=True):
            numbers = np.frombuffer(prg(seed, 4 * dims), "<u4") if seed else np.zeros(dims, np.uint32)
            (wanted,) = rows.sketches(rows_key(PLACE, BEACON), [rows.in_chunks(numbers)], dims)
            assert sketch.tolist() == wanted.tolist() and bool(sketch.any()) == bool(seed)
