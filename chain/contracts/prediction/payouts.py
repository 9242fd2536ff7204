"""Who gets what of the X that a request locked, and who is fined (LC-PRE-30 to LC-PRE-33). Every payout is all of X.

A place is that of an answer in the order of the commitments, as in `tally`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from learningchain.chain.contracts.prediction.formulas import Amounts
from learningchain.chain.contracts.prediction.tally import NOTHING_HOLDS, Answer, AnswerCode, PredictionOutcome, Tally, is_withheld
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.types import quorum

FREE = (
    PredictionOutcome.EXPIRED,
    PredictionOutcome.EVICTED,
    PredictionOutcome.NO_SERVERS,
    PredictionOutcome.MODEL_RETIRED,
    PredictionOutcome.MODEL_FAULT,
    PredictionOutcome.TOO_FEW,
)
"""LC-PRE-32: all of X goes back, but from one that evicted another, and of KEPT."""
KEPT = (PredictionOutcome.MODEL_FAULT, PredictionOutcome.TOO_FEW)
"""Of them those that had seats: their results stay, and F burns."""
UNOPENED = (*FREE, PredictionOutcome.CANCELLED)
"""How a request may end before anybody opened; MODEL_FAULT is the word of opened answers."""


class Payout(NamedTuple):
    """Of X: `each` to every one of `paid`, `royalty` to the owner or its shares, `burned`, and `rest` to the requester."""

    paid: tuple[int, ...]
    """Places of opened answers; of NO_KEYS places of the round's seats."""
    each: int
    royalty: int
    burned: int
    rest: int


def _payout(amounts: Amounts, paid: tuple[int, ...], each: int, royalty: int, burned: int) -> Payout:
    rest = amounts.locked - len(paid) * each - royalty - burned
    if rest < 0:
        raise BrokenInvariant(f"a payout of {amounts.locked - rest} from {amounts.locked}")
    return Payout(paid, each, royalty, burned, rest)


def of_tally(found: Tally, votes: Sequence[Answer], amounts: Amounts, evictor: bool) -> Payout:
    """LC-PRE-30 to LC-PRE-32, 55: after OPEN. `votes` are those of the tally; `evictor`: the request evicted another."""
    if found.holds:
        each = amounts.tip * found.valued // (amounts.n * amounts.rows)
        return _payout(amounts, found.side, each, amounts.p * found.valued, amounts.burned)
    if found.outcome == PredictionOutcome.MODEL_FAULT:
        return unopened(found.outcome, amounts, evictor)
    paid, answered = found.side, tuple(place for place, vote in enumerate(votes) if vote.code == AnswerCode.OK)
    if answered and is_withheld([vote.code for vote in votes]):
        return _payout(amounts, answered, amounts.share, amounts.royalty, amounts.burned)
    if found.outcome in NOTHING_HOLDS:
        paid = answered
    return _payout(amounts, paid, amounts.quarter, 0, amounts.burned)


def unopened(outcome: PredictionOutcome, amounts: Amounts, evictor: bool) -> Payout:
    """LC-PRE-32, 18: an end without opened answers: all goes back, less what burns."""
    if outcome not in UNOPENED:
        raise BrokenInvariant(f"{outcome.name} is no end without opened answers")
    if evictor or outcome == PredictionOutcome.CANCELLED:
        return _payout(amounts, (), 0, 0, amounts.burned)
    return _payout(amounts, (), 0, 0, amounts.kept if outcome in KEPT else 0)


def no_keys(amounts: Amounts, seats: int) -> Payout:
    """LC-PRE-22: the requester gave no keys to the `seats` of r = 1: they were there for it."""
    return _payout(amounts, tuple(range(seats)), amounts.share, 0, amounts.burned)


def fined(found: Tally, votes: Sequence[Answer], c: int) -> tuple[int, ...]:
    """LC-PRE-33: places that a quorum of the `c` seats knows better than: each loses PEN."""
    if len(found.side) < quorum(c):
        return ()
    wrong: tuple[AnswerCode, ...] = ()
    if found.holds:
        wrong = (AnswerCode.OK, AnswerCode.BAD_INPUT, AnswerCode.FAULT)
    elif found.outcome == PredictionOutcome.BAD_INPUT:
        wrong = (AnswerCode.OK, AnswerCode.FAULT)
    return tuple(place for place, vote in enumerate(votes) if place not in found.side and vote.code in wrong)
