"""What opened answers come to: the same for the seats of a request and for the judges of an appeal (LC-PRE-25 to LC-PRE-29).

    opened answers, in the order of their commitments
      │  fewer than half OK ────> the code that a quorum says, or nothing that holds
      v
    valid      the largest set whose checks are near that of one of them
      v
    values     a row at a time: the largest set of one class whose scores are near that of one of them, at least q
      v
    payees     outside of the support of at most R//16 rows: AGREED or WEAK

A *place* is the index of an answer in that order. Of sets of one size the one around the earliest place wins.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.prediction.formulas import APPEAL_SEATS, MAX_CHECK, MAX_ROWS, MAX_SCORE, near
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.types import quorum
from learningchain.chain.verification.scale import lower_median

ROWS_OFF = 16
"""A payee may be off in one row of so many."""


class ModelKind(IntEnum):
    """What a model says of a row."""

    CLASS = 1
    """A class and its score."""
    NUMBER = 2


class AnswerCode(IntEnum):
    """LC-PRE-25: how a seat's prediction ended. OK carries what the model says, BAD_INPUT may name a row."""

    OK = 1
    BAD_INPUT = 2
    """The input does not fit the model."""
    NO_DATA = 3
    """The input was not to be had by half of the window."""
    BAD_KEY = 4
    """The key that the seat was given does not open the input."""
    FAULT = 5
    """The model cannot answer: exit 65."""
    OVERRUN = 6
    """Exit 75, memory, time."""
    ABSTAIN = 7
    """Exit 64, a host without a free slot, the server's own trouble."""


class PredictionOutcome(IntEnum):
    """What a request came to. AGREED and WEAK have values; the others are why it failed."""

    AGREED = 1
    WEAK = 2
    """Values, of which one has fewer than m that agree."""
    TOO_FEW = 3
    NO_AGREEMENT = 4
    BAD_INPUT = 5
    NO_DATA = 6
    BAD_KEY = 7
    MODEL_FAULT = 8
    TOO_HEAVY = 9
    NO_KEYS = 10
    CANCELLED = 11
    EXPIRED = 12
    EVICTED = 13
    NO_SERVERS = 14
    MODEL_RETIRED = 15


VALUED = (PredictionOutcome.AGREED, PredictionOutcome.WEAK)
NOTHING_HOLDS = (PredictionOutcome.TOO_FEW, PredictionOutcome.NO_AGREEMENT)
CARRIED = {
    AnswerCode.BAD_INPUT: PredictionOutcome.BAD_INPUT,
    AnswerCode.NO_DATA: PredictionOutcome.NO_DATA,
    AnswerCode.BAD_KEY: PredictionOutcome.BAD_KEY,
    AnswerCode.FAULT: PredictionOutcome.MODEL_FAULT,
    AnswerCode.OVERRUN: PredictionOutcome.TOO_HEAVY,
}
"""How a request fails by a code that a quorum says."""

Score = Annotated[int, Meta(ge=-MAX_SCORE, le=MAX_SCORE)]
PredictedClass = Annotated[int, Meta(ge=0, lt=2**16)]
Check = Annotated[int, Meta(ge=-MAX_CHECK, le=MAX_CHECK)]


class Answer(Wire, frozen=True):
    """LC-PRE-25: what a seat says: `classes` and `scores` of the rows in their order, and the check. Scores in units of 1e-9.

    The check of BAD_INPUT is the number, from 1, of a row that does not fit among those that were answered, or 0."""

    code: AnswerCode
    classes: Annotated[list[PredictedClass], Meta(max_length=MAX_ROWS)]
    """Empty of a NUMBER model."""
    scores: Annotated[list[Score], Meta(max_length=MAX_ROWS)]
    check: Check

    def mark(self, index: int) -> tuple[int, int]:
        """Class (0 of a NUMBER model) and score of the row at `index`."""
        return (self.classes[index] if self.classes else 0), self.scores[index]

    @property
    def unfit(self) -> int | None:
        """Of BAD_INPUT the row that it names, from 0."""
        return self.check - 1 if self.code == AnswerCode.BAD_INPUT and self.check else None


def fits(answer: Answer, kind: int, classes: int, rows: int) -> bool:
    """LC-PRE-25: whether an answer has the shape that a model of this kind gives of so many rows; else BAD_ANSWER."""
    if answer.code != AnswerCode.OK:
        named = rows if answer.code == AnswerCode.BAD_INPUT else 0
        return not answer.classes and not answer.scores and 0 <= answer.check <= named
    if len(answer.scores) != rows:
        return False
    if kind == ModelKind.NUMBER:
        return not answer.classes
    return len(answer.classes) == rows and all(one < classes for one in answer.classes)


WITHHELD = (AnswerCode.NO_DATA, AnswerCode.BAD_KEY)
"""What a requester can have a seat say by what it withholds."""


def is_withheld(codes: Sequence[int]) -> bool:
    """LC-PRE-55: fewer than half of what was opened is OK, and it would not be so without those who had no data or no key."""
    ok = sum(code == AnswerCode.OK for code in codes)
    return 2 * ok < len(codes) <= 2 * (ok + sum(code in WITHHELD for code in codes))


class RowValue(NamedTuple):
    """LC-PRE-28: of one row. `predicted` is its class, 0 of a NUMBER model; `support` the places that agree on it."""

    predicted: int
    score: int
    support: tuple[int, ...]


class Tally(NamedTuple):
    """LC-PRE-26 to LC-PRE-29. `values`, one a row, and `agree` are empty and 0 without AGREED or WEAK."""

    outcome: PredictionOutcome
    values: tuple[RowValue | None, ...] = ()
    agree: int = 0
    """The least support of a row with a value."""
    side: tuple[int, ...] = ()
    """The places of the payees, or of who said the code that carries, ascending."""

    @property
    def valued(self) -> int:
        """g"""
        return sum(value is not None for value in self.values)

    @property
    def holds(self) -> bool:
        """Whether there are values."""
        return self.outcome in VALUED


_TOO_FEW, _NO_AGREEMENT = Tally(PredictionOutcome.TOO_FEW), Tally(PredictionOutcome.NO_AGREEMENT)


def tally(votes: Sequence[Answer], *, rows: int, tol: int, c: int, q: int, m: int) -> Tally:
    """LC-PRE-26 to LC-PRE-29: `votes` in the order of their commitments, each of which fits `rows` rows.

    `c` seats of whom at least `q` agree; `m` are wanted. `tol` is the model's.
    """
    _check(votes, rows, c)
    if not votes:
        return _TOO_FEW
    ok = [place for place, vote in enumerate(votes) if vote.code == AnswerCode.OK]
    if 2 * len(ok) < len(votes):
        return _by_code(votes, c)
    valid = _largest([(place, 0, votes[place].check) for place in ok], tol * rows)
    if len(valid) < q:
        return _NO_AGREEMENT
    values = tuple(_value(votes, valid, row, tol, q) for row in range(rows))
    payees = _payees(valid, values, rows)
    supports = [len(value.support) for value in values if value is not None]
    if not supports or len(payees) < q:
        return _NO_AGREEMENT
    agree = min(supports)
    return Tally(PredictionOutcome.AGREED if agree >= m else PredictionOutcome.WEAK, values, agree, payees)


def _check(votes: Sequence[Answer], rows: int, c: int) -> None:
    """What handlers have made sure of: more than that the votes of one round cannot cost."""
    if not 1 <= rows <= MAX_ROWS or not len(votes) <= c <= APPEAL_SEATS:
        raise BrokenInvariant(f"a tally of {len(votes)} votes of {c} seats on {rows} rows")


def _by_code(votes: Sequence[Answer], c: int) -> Tally:
    """LC-PRE-26: fewer than half say OK. Of codes that are as frequent the one that came first."""
    said = Counter(vote.code for vote in votes if vote.code != AnswerCode.OK)
    code, count = said.most_common(1)[0]
    if code == AnswerCode.ABSTAIN:
        return _TOO_FEW
    if count < quorum(c):
        return _NO_AGREEMENT
    return Tally(CARRIED[code], side=tuple(place for place, vote in enumerate(votes) if vote.code == code))


def _largest(marks: Sequence[tuple[int, int, int]], tol: int) -> tuple[int, ...]:
    """Of (place, class, number), places ascending: those of the class of one of them that are near its number, as many as can be.

    Of sets of one size that around the earliest place.
    """
    ordered: dict[int, list[int]] = defaultdict(list)
    for _, predicted, number in marks:
        ordered[predicted].append(number)
    for numbers in ordered.values():
        numbers.sort()
    most, around = 0, (0, 0)
    for _, predicted, number in marks:
        numbers = ordered[predicted]
        count = bisect_right(numbers, number + 2 * tol) - bisect_left(numbers, number - 2 * tol)
        if count > most:
            most, around = count, (predicted, number)
    return tuple(place for place, predicted, number in marks if predicted == around[0] and near(number, around[1], tol))


def _value(votes: Sequence[Answer], valid: Sequence[int], row: int, tol: int, q: int) -> RowValue | None:
    """LC-PRE-28: of one row, from the `valid` votes."""
    support = _largest([(place, *votes[place].mark(row)) for place in valid], tol)
    if len(support) < q:
        return None
    predicted, _ = votes[support[0]].mark(row)
    return RowValue(predicted, lower_median(votes[place].scores[row] for place in support), support)


def _payees(valid: Sequence[int], values: Sequence[RowValue | None], rows: int) -> tuple[int, ...]:
    """LC-PRE-29: of the `valid` votes those that are off in few rows."""
    agreeing = Counter(place for value in values if value is not None for place in value.support)
    valued = sum(value is not None for value in values)
    return tuple(place for place in valid if valued - agreeing[place] <= rows // ROWS_OFF)
