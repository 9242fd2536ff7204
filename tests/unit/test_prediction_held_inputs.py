"""Which inputs a server keeps for others: within a bound, at the cost of who has most there, never one that is not answered yet."""

from __future__ import annotations

import random

import pytest

from learningchain.client.contracts.prediction.roles.held_inputs import LEAST, HeldInputs

MIB = 1 << 20


def ref(number: int) -> bytes:
    return number.to_bytes(32)


def test_who_asks_with_many_puts_out_its_own_oldest() -> None:
    held = HeldInputs(4 * MIB)
    assert held.take(ref(0), b"honest", MIB, ()) == []
    assert [held.take(ref(n), b"flood", MIB, ()) for n in range(1, 4)] == [[], [], []]
    assert [held.take(ref(n), b"flood", MIB, ()) for n in range(4, 8)] == [[ref(1)], [ref(2)], [ref(3)], [ref(4)]]
    assert ref(0) in held and held.bytes == 4 * MIB
    assert held.take(ref(8), b"another", MIB, ()) == [ref(5)], "the flood gives way to who has less"


def test_what_is_not_answered_stays_and_where_all_of_that_is_so_there_is_no_room() -> None:
    held = HeldInputs(2 * MIB)
    held.take(ref(0), b"flood", MIB, ())
    held.take(ref(1), b"flood", MIB, ())
    assert held.take(ref(2), b"flood", MIB, {ref(0)}) == [ref(1)]
    assert held.take(ref(3), b"other", MIB, {ref(0), ref(2)}) is None and held.bytes == 2 * MIB
    assert held.take(ref(3), b"other", 3 * MIB, ()) is None and ref(0) in held, "what cannot fit puts out nobody"


def test_one_that_has_less_is_not_put_out_for_one_that_has_more() -> None:
    held = HeldInputs(4 * MIB)
    held.take(ref(0), b"small", MIB, ())
    for n in (1, 2, 3):
        held.take(ref(n), b"flood", MIB, ())
    assert held.take(ref(4), b"flood", MIB, {ref(1), ref(2), ref(3)}) is None and ref(0) in held


def test_small_ones_count_so_that_their_number_is_bounded_too() -> None:
    held = HeldInputs(MIB)
    for n in range(100):
        held.take(ref(n), b"flood", 1, ())
    assert held.bytes == MIB and sum(ref(n) in held for n in range(100)) == MIB // LEAST


def test_what_an_earlier_start_left_counts_though_it_is_too_much() -> None:
    held = HeldInputs(MIB)
    held.note(ref(0), b"a", 3 * MIB)
    held.note(ref(0), b"a", 3 * MIB)
    assert held.bytes == 3 * MIB and held.take(ref(1), b"b", MIB, ()) == [ref(0)] and held.bytes == MIB
    assert held.take(ref(1), b"b", MIB, ()) == [], "it is there"
    held.drop(ref(1))
    held.drop(ref(1))
    assert held.bytes == 0 and not held._by and not held._sums


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_holds_and_the_sums_are_those_of_what_is_held(seed: int) -> None:
    rng = random.Random(seed)
    held, here = HeldInputs(64 * LEAST), dict[bytes, tuple[bytes, int]]()
    for number in range(600):
        busy = set(rng.sample(sorted(here), min(len(here), rng.randrange(30))))
        if here and rng.random() < 0.3:
            gone = rng.choice(sorted(here))
            held.drop(gone)
            del here[gone]
            continue
        who, size = bytes([rng.randrange(6)]), rng.randrange(1, 20 * LEAST)
        out = held.take(ref(number), who, size, busy)
        if out is None:
            assert held.bytes == sum(size for _, size in here.values())
            continue
        assert not busy & set(out)
        for one in out:
            del here[one]
        here[ref(number)] = who, max(LEAST, size)
        assert held.bytes == sum(size for _, size in here.values()) <= 64 * LEAST
        assert {one: sum(held._by[one].values()) for one in held._by} == held._sums
