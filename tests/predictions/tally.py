"""What opened answers say together: pure, the same for the seats of a request and for those of an appeal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from . import formulas
from .scenario import ABSTAIN, FAULT, OK, OVERRUN, Answer

AGREED, WEAK = "AGREED", "WEAK"
TOO_FEW, NO_AGREEMENT, MODEL_FAULT, TOO_HEAVY = "TOO_FEW", "NO_AGREEMENT", "MODEL_FAULT", "TOO_HEAVY"
CARRIED = {FAULT: MODEL_FAULT, OVERRUN: TOO_HEAVY}
"""How a failure is called that is not called as its code."""


@dataclass(frozen=True, slots=True)
class Value:
    """Of one row: class (0 of a NUMBER model), score, and how many support it."""

    cls: int
    score: int
    support: tuple[int, ...]
    """Votes, by their place."""


@dataclass(frozen=True, slots=True)
class Tally:
    outcome: str
    """AGREED, WEAK, or why it failed."""
    values: tuple[Value | None, ...] = ()
    agree: int = 0
    side: tuple[int, ...] = ()
    """Payees, or who said the code that carries; votes by their place."""

    @property
    def valued(self) -> int:
        """g."""
        return sum(1 for value in self.values if value is not None)

    @property
    def agreed(self) -> bool:
        return self.outcome in (AGREED, WEAK)


def near(x: int, y: int, tol: int) -> bool:
    return abs(x - y) <= 2 * tol


def largest(votes: Sequence[int], numbers: Sequence[tuple[int, int]], tol: int) -> tuple[int, ...]:
    """Of `votes` the largest set whose number is near that of one of them and of its class; ties to the earliest one."""
    best: tuple[int, ...] = ()
    for centre in votes:
        cls, score = numbers[centre]
        found = tuple(i for i in votes if numbers[i][0] == cls and near(numbers[i][1], score, tol))
        if len(found) > len(best):
            best = found
    return best


def tally(tol: int, rows: int, q: int, m: int, c: int, votes: Sequence[Answer]) -> Tally:
    """`votes` in the order of their commitments; q the least that agree, m what was asked for, c the seats."""
    if not votes:
        return Tally(TOO_FEW)
    ok = [i for i, vote in enumerate(votes) if vote.code == OK]
    if 2 * len(ok) < len(votes):
        return by_code(c, votes)
    valid = largest(ok, [(0, vote.check) for vote in votes], tol * rows)
    if len(valid) < q:
        return Tally(NO_AGREEMENT)
    values = tuple(value_of(valid, votes, row, tol, q) for row in range(rows))
    valued = [value for value in values if value is not None]
    payees = tuple(i for i in valid if sum(1 for value in valued if i not in value.support) <= rows // 16)
    if not valued or len(payees) < q:
        return Tally(NO_AGREEMENT)
    agree = min(len(value.support) for value in valued)
    return Tally(AGREED if agree >= m else WEAK, values, agree, payees)


def by_code(c: int, votes: Sequence[Answer]) -> Tally:
    """Where fewer than half say OK: the most frequent other code, ties to the earliest, if a quorum says it."""
    codes = Counter(vote.code for vote in votes if vote.code != OK)
    code = max(codes, key=lambda one: codes[one])
    if code == ABSTAIN:
        return Tally(TOO_FEW)
    if codes[code] < formulas.quorum(c):
        return Tally(NO_AGREEMENT)
    return Tally(CARRIED.get(code, code), side=tuple(i for i, vote in enumerate(votes) if vote.code == code))


def value_of(valid: Sequence[int], votes: Sequence[Answer], row: int, tol: int, q: int) -> Value | None:
    numbers = [(vote.classes[row] if vote.classes else 0, vote.scores[row] if vote.scores else 0) for vote in votes]
    support = largest(valid, numbers, tol)
    if len(support) < q:
        return None
    return Value(numbers[support[0]][0], formulas.lower_median([numbers[i][1] for i in support]), support)


def same(one: Value, cls: int, score: int, tol: int) -> bool:
    """Equal for an appeal: the class, and numbers within four times tol."""
    return one.cls == cls and abs(one.score - score) <= 4 * tol
