"""What several evaluations of one model say of a job before it is posted: kind, tolerance, limits, advice."""

from __future__ import annotations

import random
import struct

import pytest

from learningchain.chain.types import LOSS_UNIT
from learningchain.chain.verification.scale import FloatKind, base
from learningchain.client.contracts.job.cli.checking import (
    LEAVES,
    MAX_TOL,
    SLOWER,
    SPARE,
    Evaluation,
    Finding,
    beside,
    fitting,
    judge,
    looks_single,
    memory_tries,
    reach,
    too_long,
    wanted,
)

DRAW = random.Random(5)
DOUBLE = [round(3 * DRAW.random() * LOSS_UNIT) for _ in range(100)]
SINGLE = [round(struct.unpack("<f", struct.pack("<f", 3 * DRAW.random()))[0] * LOSS_UNIT) for _ in range(100)]


def found(*lists: list[int], threads: tuple[int, ...] = (), processors: tuple[int, ...] = ()) -> Finding:
    told = [*threads, *[2] * len(lists)]
    seen = [*processors, *[2] * len(lists)]
    return judge([Evaluation(told[i], seen[i], losses, 0.1) for i, losses in enumerate(lists)])


def moved(losses: list[int], by: int) -> list[int]:
    return [losses[0] + by, *losses[1:]]


def test_what_is_the_same_in_all_runs_is_f64_without_a_tolerance() -> None:
    finding = found(DOUBLE, DOUBLE, DOUBLE)
    assert (finding.float_kind, finding.tol, finding.spread, finding.widest) == (FloatKind.F64, 0, 0, ())
    assert (finding.examples, finding.loss, finding.advice) == (100, -(-sum(DOUBLE) // 100), ())


def test_losses_that_are_32_bit_numbers_ask_for_f32_though_they_repeat_here() -> None:
    assert looks_single(SINGLE) and not looks_single(DOUBLE)
    assert found(SINGLE, SINGLE).float_kind == FloatKind.F32


@pytest.mark.parametrize("losses", [[0, 0, 0, 0], [LOSS_UNIT] * 9, [LOSS_UNIT // 2, LOSS_UNIT // 4], [12_345] * 50])
def test_losses_that_cannot_tell_do_not_count_as_32_bit_numbers(losses: list[int]) -> None:
    assert not looks_single(losses)


def test_a_difference_is_honest_only_with_half_of_the_room_to_spare() -> None:
    """One example may differ by 20 t: what was seen here must fit twice."""
    room = base(FloatKind.F64, found(DOUBLE, DOUBLE).loss)
    inside, beyond = found(DOUBLE, moved(DOUBLE, 10 * room)), found(DOUBLE, moved(DOUBLE, 10 * room + 20))
    assert (inside.float_kind, inside.tol) == (FloatKind.F64, 0)
    assert beyond.float_kind == FloatKind.F64 and room < beyond.tol <= room + 4, "a tolerance is posted"
    assert found(DOUBLE, moved(DOUBLE, 100 * room + 10_000)).float_kind == FloatKind.F32


@pytest.mark.parametrize("single", [False, True])
def test_each_kind_is_taken_to_the_last_unit_that_the_rules_leave_it(single: bool) -> None:
    kinds = (FloatKind.F32,) if single else (FloatKind.F64, FloatKind.F32)
    for kind in kinds:
        room = base(kind, LOSS_UNIT)
        assert fitting(LOSS_UNIT, room // SPARE, 0, single=single) == (kind, 0)
        most = MAX_TOL * room // SPARE
        assert fitting(LOSS_UNIT, most, 0, single=single) == (kind, SPARE * most)
        assert fitting(LOSS_UNIT, most + 1, 0, single=single) != (kind, SPARE * (most + 1))
    assert fitting(LOSS_UNIT, MAX_TOL * base(FloatKind.F32, LOSS_UNIT) // SPARE + 1, 0, single=single) is None


def test_what_no_kind_allows_is_no_job() -> None:
    finding = found(DOUBLE, moved(DOUBLE, LOSS_UNIT))
    assert not finding.repeats and finding.advice[0].startswith("it does not repeat: the loss differs by 0.01")
    assert finding.widest[0].example == 0 and finding.widest[0].width == LOSS_UNIT


def test_the_examples_that_differ_most_come_first() -> None:
    other = list(DOUBLE)
    other[7] += 50
    other[3] -= 90
    assert [(one.example, one.width) for one in found(DOUBLE, other).widest] == [(3, 90), (7, 50)]


def test_limits_leave_room_for_slower_machines() -> None:
    assert wanted(0.3, 32, 1_024, 39) == wanted(2.0, 32, 1_024, 2**19)
    want = wanted(30.2, 600, 1_024, 3 * 2**20)
    assert (want.eval_s, want.mem_mb, want.model_cap) == (151, 1_024, 6 * 2**20)


def test_memory_is_tried_from_little_up_and_above_what_was_seen() -> None:
    assert memory_tries(None, 256) == [32, 64, 128]
    assert memory_tries(70 * 2**20, 1_024) == [128, 256, 512]
    assert memory_tries(None, 32) == []


def test_a_gpus_own_loss_is_held_against_the_tolerance_that_is_to_be_posted() -> None:
    mean = found(DOUBLE, DOUBLE).loss
    room = base(FloatKind.F32, mean)
    all_ = [loss + room for loss in DOUBLE]
    assert beside(DOUBLE, DOUBLE, FloatKind.F32, 0).inside
    assert beside(DOUBLE, all_, FloatKind.F32, 0).difference == room and beside(DOUBLE, all_, FloatKind.F32, 0).inside
    further = beside(DOUBLE, [loss + room + 1 for loss in DOUBLE], FloatKind.F32, 0)
    assert (further.inside, further.allowed, further.outside) == (False, room, 0)
    assert "Committees measure on processors" in further.advice[0]
    assert beside(DOUBLE, [loss + room + 1 for loss in DOUBLE], FloatKind.F32, 2 * room).inside, "a posted tolerance counts"


def test_a_gpus_loss_of_one_example_is_held_against_twenty_times_that() -> None:
    room = base(FloatKind.F32, found(DOUBLE, DOUBLE).loss)
    assert beside(DOUBLE, moved(DOUBLE, LEAVES * room), FloatKind.F32, 0).inside
    one = beside(DOUBLE, moved(DOUBLE, LEAVES * room + 1), FloatKind.F32, 0)
    assert (one.inside, one.outside, one.widest[0].losses) == (False, 1, (DOUBLE[0], DOUBLE[0] + LEAVES * room + 1))
    assert "example 0" in one.advice[0]


def test_how_much_evaluation_fits_counts_a_verifier_that_is_slower() -> None:
    can = reach(600 / SLOWER / 10, 600, 100, 1_000, 2**30)
    assert can.fits and (can.examples, can.model) == (1_000, 10_000) and too_long(can) == []
    assert reach(1.0, 600, 100, 2**30, 2**30).model == 2**30, "verifiers take no larger one"
    long = reach(600.0, 600, 100, 1_000, 2**30)
    assert (long.fits, long.examples) == (False, 100 // SLOWER)
    assert f"{100 // SLOWER} of this model" in too_long(long)[0]
