"""From opened ballots to a verdict on one candidate.

Line by line, the first that holds:

    1  OK by a quorum, and the round is the last or nobody was negative (with hidden data: or the hidden losses agree)
    2  FALSE by a quorum that agrees on the loss, and the round is the last or nobody said OK
    3  negative by a quorum, and the same
    4  not the last round: round two
    5  too few judged: undecided
    6  the majority; a tie pays
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from learningchain.chain.types import quorum
from learningchain.chain.verification.scale import ceil_div, lower_median, spread


class BallotCode(IntEnum):
    """What a verifier found. OK, NEAR and FALSE carry a measurement; the others none."""

    OK = 1
    NEAR = 2
    FALSE = 3
    INVALID = 4
    """The model breaks its evaluation: exit 65, or losses that are no numbers within the range."""
    BROKEN = 5
    """The container ended otherwise, or wrote no losses that can be read."""
    NOMODEL = 6
    ABSTAIN = 7
    """The verifier's own trouble only."""


MEASURED = (BallotCode.OK, BallotCode.NEAR, BallotCode.FALSE)
NEGATIVE = (BallotCode.NEAR, BallotCode.FALSE, BallotCode.INVALID, BallotCode.BROKEN, BallotCode.NOMODEL)


class Column(NamedTuple):
    """What a seat measured of one data set: the mean, the number of examples n, and the losses that its opening shows."""

    measured: int
    examples: int
    shown: tuple[int, ...]


class OpenedVote(NamedTuple):
    """An opened vote on one candidate."""

    voter: bytes
    neutral: bool
    code: BallotCode
    public: Column | None = None
    hidden: Column | None = None
    badkey: bool = False


class Scale(NamedTuple):
    """What measurements of a candidate are compared by."""

    kind: int
    posted: int
    claimed: int

    def spread(self, compared: Sequence[int]) -> int:
        return spread(self.kind, self.posted, self.claimed, compared)


class Judgement(IntEnum):
    NONE = 0
    OK = 1
    FALSE = 2
    REFUSED = 3
    UNDECIDED = 4


def code_of(claimed: int, measured: int, tol: int, limit: int) -> BallotCode:
    """OK up to claim+tol, FALSE above claim+bound, NEAR between."""
    if measured <= claimed + tol:
        return BallotCode.OK
    return BallotCode.FALSE if measured > claimed + limit else BallotCode.NEAR


def counted(votes: Sequence[OpenedVote]) -> list[OpenedVote]:
    """Without the negative votes of finalists, unless a neutral seat was negative and none said OK: they are rivals."""
    neutral = {vote.code for vote in votes if vote.neutral}
    if BallotCode.OK not in neutral and not neutral.isdisjoint(NEGATIVE):
        return list(votes)
    return [vote for vote in votes if vote.neutral or vote.code not in NEGATIVE]


def agreeing(values: Sequence[int], scale: Scale) -> int:
    """LC-JOB-47: how many lie within 2*t of their lower median."""
    if not values:
        return 0
    middle, t = lower_median(values), scale.spread(values)
    return sum(abs(value - middle) <= 2 * t for value in values)


def hidden_loss(votes: Sequence[OpenedVote], seats: int, scale: Scale) -> int | None:
    """LC-JOB-55: the lower median of the hidden losses of the OK votes, where more than half of the seats agree on it."""
    values = [vote.hidden.measured for vote in votes if vote.code == BallotCode.OK and vote.hidden is not None]
    return lower_median(values) if 2 * agreeing(values, scale) > seats else None


def is_last(round_: int, seats: int, pool: int, opened: int) -> bool:
    """Round two; or everybody who could sit did, and opened."""
    return round_ == 2 or seats == pool == opened


class KeyJudgement(IntEnum):
    """What votes on the hidden data's key come to."""

    NO = 0
    AGAIN = 1
    """Round two, whatever the public columns say."""
    YES = 2


def bad_key(votes: Sequence[OpenedVote], seats: int, last: bool) -> KeyJudgement:
    if not seats or sum(vote.badkey for vote in votes) < quorum(seats):
        return KeyJudgement.NO
    alone = all(vote.hidden is None for vote in votes)
    return KeyJudgement.YES if last or alone else KeyJudgement.AGAIN


def verdict(votes: Sequence[OpenedVote], seats: int, last: bool, scale: Scale, hidden: bool) -> tuple[Judgement, int]:
    """LC-JOB-3, 9: the verdict and the line that held; `Judgement.NONE` and 4: round two. `hidden`: hidden data is on."""
    counting, needed = counted(votes), quorum(seats)
    ok = sum(vote.code == BallotCode.OK for vote in counting)
    negative = sum(vote.code in NEGATIVE for vote in counting)
    false = [vote.public.measured for vote in counting if vote.code == BallotCode.FALSE and vote.public is not None]
    settled = negative == 0 and (not hidden or hidden_loss(counting, seats, scale) is not None)
    if ok >= needed and (last or settled):
        return Judgement.OK, 1
    if agreeing(false, scale) >= max(2, needed) and (last or ok == 0):
        return Judgement.FALSE, 2
    if negative >= needed and (last or ok == 0):
        return Judgement.REFUSED, 3
    if not last:
        return Judgement.NONE, 4
    if ok + negative < max(1, ceil_div(seats, 3)):
        return Judgement.UNDECIDED, 5
    return (Judgement.OK if ok >= negative else Judgement.REFUSED), 6
