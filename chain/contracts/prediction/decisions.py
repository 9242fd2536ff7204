"""What a policy makes of the values of a request: each row is accepted, declined or referred to people (LC-PRE-43, 44)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

from learningchain.chain.contracts.prediction.formulas import MAX_ANSWERS, MAX_SCORE, near
from learningchain.chain.contracts.prediction.tally import RowValue
from learningchain.chain.types import quorum

MAX_RATES = 32
MAX_RATE = 1_000_000
"""In millionths."""


class Decision(IntEnum):
    REFER = 1
    ACCEPT = 2
    DECLINE = 3


class DecisionRule(NamedTuple):
    """Of a policy. Values and threshold in units of 1e-9, rates in millionths."""

    below: bool
    """Accept at or below the threshold, else at or above it."""
    threshold: int
    rates: Sequence[tuple[int, int]]
    """From which value on which rate, ascending, from the least score on."""
    least: int
    """How many must agree on a value."""
    most: int
    """How often a requester's root may have asked this model, among the requests that are kept; 0: any number."""

    @property
    def is_sane(self) -> bool:
        """LC-PRE-43: else BAD_POLICY."""
        starts = [start for start, _ in self.rates]
        return (
            1 <= len(starts) <= MAX_RATES
            and starts[0] == -MAX_SCORE
            and starts[-1] <= MAX_SCORE
            and all(one < after for one, after in pairwise(starts))
            and all(0 <= rate <= MAX_RATE for _, rate in self.rates)
            and abs(self.threshold) <= MAX_SCORE
            and 1 <= self.least <= MAX_ANSWERS
            and self.most >= 0
        )


class RowDecision(NamedTuple):
    decision: Decision
    rate: int
    """0 without ACCEPT."""
    borderline: bool


def decide(
    rule: DecisionRule, values: Sequence[RowValue | None], *, c: int, tol: int, private: bool, asked: int
) -> list[RowDecision]:
    """LC-PRE-44: one a row. `c` are the seats of the request, also where an appeal gave the values; `asked`: how often the
    requester's root asked this model, this time included."""
    refused = private or 0 < rule.most < asked
    needed = max(quorum(c), rule.least)
    return [_row(rule, value, tol, refused or value is None or len(value.support) < needed) for value in values]


def _row(rule: DecisionRule, value: RowValue | None, tol: int, refer: bool) -> RowDecision:
    if value is None:
        return RowDecision(Decision.REFER, 0, False)
    borderline = near(value.score, rule.threshold, tol)
    if refer:
        return RowDecision(Decision.REFER, 0, borderline)
    meets = value.score <= rule.threshold if rule.below else value.score >= rule.threshold
    if not meets:
        return RowDecision(Decision.DECLINE, 0, borderline)
    return RowDecision(Decision.ACCEPT, [rate for start, rate in rule.rates if start <= value.score][-1], borderline)
