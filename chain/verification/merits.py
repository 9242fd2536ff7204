"""After a verdict: which votes are paid, which are faults, and what goes into the records of those who cast them.

A vote is compared with the winning side of its own round, since a place of the probe exists only there. Where more than a third of
a round's votes are off, the evaluation is not repeatable: that is the contractor's fault, and nobody is struck for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from learningchain.chain.verification.scale import lower_median
from learningchain.chain.verification.votes import NEGATIVE, BallotCode, Column, Judgement, OpenedVote, Scale

SPREADS = 20
"""A shown loss may lie this many t from the median of its place."""
PLACES = 16
"""Losses that an opening shows. Of so many one may be off; of fewer examples none."""


class Merit(NamedTuple):
    """One opened vote in the light of the verdict."""

    voter: bytes
    code: BallotCode
    winning: bool
    opposed: bool
    """OK against FALSE, or FALSE or INVALID against OK."""
    leaves_off: bool
    """Another number of examples than the winning side, or too many shown losses that differ from it."""
    hidden_off: bool
    """The same of the hidden column, or its mean, or a bad key that was none."""

    @property
    def off(self) -> bool:
        return self.opposed or self.leaves_off or self.hidden_off

    @property
    def paid(self) -> bool:
        return self.winning and not self.leaves_off and not self.hidden_off

    @property
    def lost(self) -> bool:
        """Off, or on the losing side; an abstention is neither."""
        return self.off or (not self.winning and self.code != BallotCode.ABSTAIN)


def winning_codes(verdict: Judgement) -> tuple[BallotCode, ...]:
    """The side that a verdict pays."""
    if verdict == Judgement.OK:
        return (BallotCode.OK,)
    return NEGATIVE if verdict in (Judgement.FALSE, Judgement.REFUSED) else ()


def shown_off(columns: Sequence[Column], scale: Scale) -> list[bool]:
    """Of one side's columns of one data set: whether what each shows is not what the side saw."""
    if not columns:
        return []
    counts = Counter(column.examples for column in columns)
    count = min(counts, key=lambda n: (-counts[n], n))
    limit = SPREADS * scale.spread([column.measured for column in columns])
    middle = [lower_median(place) for place in zip(*(c.shown for c in columns if c.examples == count), strict=True)]
    most = 1 if count >= PLACES else 0

    def is_off(column: Column) -> bool:
        if column.examples != count:
            return True
        return sum(abs(loss - m) > limit for loss, m in zip(column.shown, middle, strict=True)) > most

    return [is_off(column) for column in columns]


def _public_off(winners: Sequence[OpenedVote], scale: Scale) -> set[bytes]:
    measured = [(vote.voter, vote.public) for vote in winners if vote.public is not None]
    off = shown_off([column for _, column in measured], scale)
    return {voter for (voter, _), wrong in zip(measured, off, strict=True) if wrong}


def _hidden_off(winners: Sequence[OpenedVote], scale: Scale) -> set[bytes]:
    found = {vote.voter for vote in winners if vote.badkey}
    measured = [(vote.voter, vote.hidden) for vote in winners if vote.hidden is not None]
    if measured:
        means = [column.measured for _, column in measured]
        middle, limit = lower_median(means), 2 * scale.spread(means)
        off = shown_off([column for _, column in measured], scale)
        found |= {v for (v, c), wrong in zip(measured, off, strict=True) if wrong or abs(c.measured - middle) > limit}
    return found


def merits(votes: Sequence[OpenedVote], verdict: Judgement, scale: Scale, hidden: bool) -> list[Merit]:
    """Of one round's opened votes on a candidate. `hidden`: hidden data is still on."""
    wins = winning_codes(verdict)
    winners = [vote for vote in votes if vote.code in wins]
    leaves = _public_off(winners, scale)
    secret = _hidden_off(winners, scale) if hidden else set()
    against = {Judgement.OK: (BallotCode.FALSE, BallotCode.INVALID), Judgement.FALSE: (BallotCode.OK,)}.get(verdict, ())
    return [Merit(v.voter, v.code, v.code in wins, v.code in against, v.voter in leaves, v.voter in secret) for v in votes]


def repeatable(round_: Sequence[Merit]) -> bool:
    """Not more than a third of the opened votes are off."""
    return 3 * sum(merit.off for merit in round_) <= len(round_)


def fault(merit: Merit, line: int) -> str:
    """What a vote is struck for, by the line that decided, or nothing. Nobody is, where the deciding round is not repeatable."""
    if line not in (1, 2):
        return ""
    if merit.leaves_off:
        return "vote.leaves"
    if merit.opposed:
        return "vote.wrong"
    return "vote.hidden" if merit.hidden_off and line == 1 else ""


def is_bad_draw(merit: Merit, line: int, own_round_repeatable: bool) -> bool:
    """Whether a draw counts as bad: off, losing or abstained, where lines 1 to 3 decided and its own round could be repeated."""
    return line in (1, 2, 3) and own_round_repeatable and (not merit.winning or merit.off)


def counts_for_mark(merit: Merit, line: int) -> bool:
    return line in (1, 2) and merit.code != BallotCode.ABSTAIN
