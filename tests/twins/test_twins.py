"""Twins: one of four validators runs twice, and the network is cut anew in every round. Nobody honest may notice in the ledger.

The whole of four rounds takes hours: `python -m tests.twins --rounds 4 --jobs 2`. Here: every case of one round, every case of two
rounds for one doubled validator, and a fixed sample of cases of four rounds.
"""

from __future__ import annotations

import random
from typing import Any
from unittest import mock

import pytest

from learningchain.chain.consensus.height import HeightState
from learningchain.chain.types import NIL, NO_ROUND
from tests.twins.instance import N
from tests.twins.network import Cut, Network
from tests.twins.search import PARTITIONS, Search, cases, classes, run_one, sample, swapped

EVERY_CUT = pytest.mark.parametrize("cut", list(Cut), ids=lambda cut: f"cut before {cut.name}")
SAMPLE = 40
"""Cases of four rounds for each doubled validator and cut."""
LOSES_A_LOCK = (((0, 1, 2), (3, 4)), ((0, 1, 3), (2, 4)), ((0, 4), (1, 2, 3)), ((0,), (1, 3, 4), (2,)))
"""Validator 0 doubled, windows end before the precommits: one decides late, and only locks keep the others from another block."""


@EVERY_CUT
@pytest.mark.parametrize("twin", range(N))
def test_every_case_of_one_round_is_safe_and_decides_after_healing(twin: int, cut: Cut) -> None:
    found = Search(Network(twin), cut).run(1)
    assert found.cases == classes(1) == 36
    assert not found.violations, found.violations


def test_every_case_of_two_rounds_with_the_last_validator_doubled() -> None:
    network = Network(3)
    for cut in Cut:
        found = Search(network, cut).run(2)
        assert found.cases == classes(2) == 1_552
        assert not found.violations, found.violations


@EVERY_CUT
@pytest.mark.parametrize("twin", range(N))
def test_a_sample_of_four_rounds(twin: int, cut: Cut) -> None:
    rng = random.Random(f"twins {twin} {cut}")
    network = Network(twin)
    for _ in range(SAMPLE):
        assert (violation := run_one(network, cut, sample(rng, 4))) is None, violation


def test_cases_are_counted_up_to_swapping_the_copies() -> None:
    assert (len(PARTITIONS), cases(4), classes(4)) == (52, 7_311_616, 3_735_808)
    for twin in range(N):
        orbits = {frozenset((p, swapped(p, twin))) for p in PARTITIONS}
        assert len(orbits) == classes(1)


# --- the cases are worth something: broken nodes are found out ------------------------------------------------------------------


def test_a_dropped_lock_is_found() -> None:
    enter = HeightState.enter

    def forget_and_enter(self: HeightState, round_: int) -> None:
        self.locked_round, self.locked_id, self.valid_round, self.valid_id = NO_ROUND, NIL, NO_ROUND, NIL
        enter(self, round_)

    assert run_one(Network(0), Cut.PRECOMMIT, LOSES_A_LOCK) is None
    with mock.patch.object(HeightState, "enter", forget_and_enter):
        violation = run_one(Network(0), Cut.PRECOMMIT, LOSES_A_LOCK)
    assert violation is not None
    assert "decided differently" in violation.what


@EVERY_CUT
def test_a_quorum_of_half_the_validators_is_found(cut: Cut) -> None:
    def half(n: int) -> int:
        return n // 2

    with mock.patch("learningchain.chain.consensus.votes.quorum", half), mock.patch("tests.unit.consensus_kit.quorum", half):
        assert Search(Network(0), cut).run(2).violations


def test_a_node_that_gives_no_way_after_a_round_without_decision_is_found() -> None:
    def never(self: Any, s: HeightState) -> bool:
        return False

    with mock.patch("learningchain.chain.consensus.machine.Consensus._time_precommits", never):
        violations = Search(Network(0), Cut.PREVOTE).run(1).violations
    assert violations
    assert "no decision after healing" in violations[0].what
