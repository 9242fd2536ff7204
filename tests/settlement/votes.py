"""From ballots to a verdict: which ballots are well formed, what counts, the lines 1 to 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import formulas
from .jobs import Committee, Vote
from .scenario import (
    ABSTAIN,
    BADKEY,
    FALSE,
    INVALID,
    MAX_EXAMPLES,
    MAX_LOSS,
    MAX_SUM,
    MEASURED,
    NEAR,
    NEGATIVE,
    OK,
    REFUSED,
    UNDECIDED,
    Ballot,
    Column,
    Terms,
)

UNMEASURED = (INVALID, "BROKEN", "NOMODEL", ABSTAIN)


def code_of(terms: Terms, claim: int, measured: int) -> str:
    """The vote that a measurement makes."""
    if measured <= claim + formulas.tol(terms, claim):
        return OK
    return FALSE if measured > claim + formulas.bound(terms.kind, claim) else NEAR


def possible(column: Column) -> bool:
    return 1 <= column.n <= MAX_EXAMPLES and abs(column.sum) <= MAX_SUM and max(map(abs, column.leaves)) <= MAX_LOSS


def well_formed(terms: Terms, claim: int, hidden: bool, ballot: Ballot) -> bool:
    """A measured code carries the column it follows from and, with hidden data, a hidden value; another code carries nothing."""
    if ballot.code in UNMEASURED:
        return ballot.public is None and ballot.hidden is None
    if ballot.code not in MEASURED or ballot.public is None or not possible(ballot.public):
        return False
    if ballot.code != code_of(terms, claim, ballot.public.measured):
        return False
    if not hidden:
        return ballot.hidden is None
    return ballot.hidden == BADKEY or (isinstance(ballot.hidden, Column) and possible(ballot.hidden))


def counted(votes: Sequence[Vote]) -> list[Vote]:
    """Without the finalists' negative votes where no neutral seat was negative, or one said OK."""
    neutral = {vote.ballot.code for vote in votes if vote.neutral}
    if OK not in neutral and any(code in NEGATIVE for code in neutral):
        return list(votes)
    return [vote for vote in votes if vote.neutral or vote.ballot.code not in NEGATIVE]


def is_last(r: int, committee: Committee, opened: int) -> bool:
    return r == 2 or (committee.c == committee.whole and opened == committee.c)


def hidden_losses(votes: Sequence[Vote], codes: tuple[str, ...]) -> list[int]:
    return [v.ballot.hidden.measured for v in votes if v.ballot.code in codes and isinstance(v.ballot.hidden, Column)]


def agreed(terms: Terms, claim: int, losses: Sequence[int], c: int) -> int | None:
    """The lower median of the hidden losses of OK votes, if more than half of the committee lie within 2*t of it."""
    if not losses:
        return None
    middle = formulas.lower_median(losses)
    near = sum(1 for loss in losses if abs(loss - middle) <= 2 * formulas.t(terms, claim, losses))
    return middle if 2 * near > c else None


@dataclass(frozen=True, slots=True)
class Tally:
    c: int
    ok: int
    neg: int
    agree: int
    last: bool
    hidden_agrees: bool
    """True also where no hidden data is on."""


def tally(terms: Terms, claim: int, votes: Sequence[Vote], committee: Committee, r: int, hidden: bool) -> Tally:
    counting = counted(votes)
    false = [v.ballot.public.measured for v in counting if v.ballot.code == FALSE and v.ballot.public is not None]
    agree = 0
    if false:
        middle, t = formulas.lower_median(false), formulas.t(terms, claim, false)
        agree = sum(1 for measured in false if abs(measured - middle) <= 2 * t)
    return Tally(
        c=committee.c,
        ok=sum(1 for v in counting if v.ballot.code == OK),
        neg=sum(1 for v in counting if v.ballot.code in NEGATIVE),
        agree=agree,
        last=is_last(r, committee, len(votes)),
        hidden_agrees=not hidden or agreed(terms, claim, hidden_losses(votes, (OK,)), committee.c) is not None,
    )


def decide(tally: Tally) -> tuple[int, str | None]:
    """The first line that holds, and its verdict; none where line 4 sends the candidate to round two."""
    q = formulas.quorum(tally.c)
    if tally.ok >= q and (tally.last or (tally.neg == 0 and tally.hidden_agrees)):
        return 1, OK
    if tally.agree >= max(2, q) and (tally.last or tally.ok == 0):
        return 2, FALSE
    if tally.neg >= q and (tally.last or tally.ok == 0):
        return 3, REFUSED
    if not tally.last:
        return 4, None
    if tally.ok + tally.neg < max(1, formulas.cd(tally.c, 3)):
        return 5, UNDECIDED
    return 6, OK if tally.ok >= tally.neg else REFUSED


def badkeys(votes: Sequence[Vote]) -> int:
    return sum(1 for vote in votes if vote.ballot.hidden == BADKEY)


def bad_key_quorum(votes: Sequence[Vote], committee: Committee) -> bool:
    return committee.c > 0 and badkeys(votes) >= formulas.quorum(committee.c)


def bad_key_decides(votes: Sequence[Vote], committee: Committee, r: int) -> bool:
    if not bad_key_quorum(votes, committee):
        return False
    return is_last(r, committee, len(votes)) or not any(isinstance(vote.ballot.hidden, Column) for vote in votes)
