"""What one contractor's jobs can do to the records of honest verifiers: strikes, bad draws, marks.

A campaign is 400 jobs by one contractor (or by a few of different roots in turn) before the same verifiers, all of them honest. The
evaluator is the contractor's program: it lets some seats of each committee, at random, see another result than the rest. Nothing in
the container can stop that. Verdicts, merits, strikes, draws and marks are the product's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from learningchain.chain.types import AccountId
from learningchain.chain.verification.committee import draw
from learningchain.chain.verification.merits import Merit, counts_for_mark, fault, is_bad_draw, merits, repeatable
from learningchain.chain.verification.standing import (
    CountedVote,
    Draw,
    Strike,
    add_draw,
    add_strike,
    add_vote,
    is_marked,
    stands,
)
from learningchain.chain.verification.votes import BallotCode, Column, Judgement, OpenedVote, is_last, verdict

from .committees import CLAIMED, SCALE, SHOWN

LIFE = 30 * 86_400_000
"""Of strikes, marks and rests."""
GAP = 600_000
"""Between two jobs: 400 of them end within three days, so that nothing is forgotten."""


class Lie(StrEnum):
    """What the evaluator lets some seats see of a true claim."""

    FALSE = "a false loss"
    INVALID = "a model that breaks it"
    LEAVES = "other losses of the examples with the same mean"
    NEAR = "a loss a little above the claim"
    MIXED = "each of these"
    ABSTAIN = "trouble, so that they abstain"


@dataclass(slots=True)
class Record:
    """What a verifier carries from job to job."""

    strikes: Sequence[Strike] = ()
    draws: Sequence[Draw] = ()
    votes: dict[bytes, Sequence[CountedVote]] = field(default_factory=dict)
    rests_until: int = 0


@dataclass(slots=True)
class Result:
    jobs: int = 0
    barred: int = 0
    """Verifiers that at any time did not stand, or whose flag rested."""
    strikes: int = 0
    verifiers: int = 0


@dataclass(frozen=True, slots=True)
class Campaign:
    verifiers: int
    lie: Lie
    share: float
    """Of the seats that see it."""
    contractors: int = 1
    jobs: int = 400


def play(campaign: Campaign, rng: random.Random) -> Result:
    people = {AccountId(i.to_bytes(20, "big")): Record() for i in range(campaign.verifiers)}
    result, barred, now = Result(verifiers=len(people)), set[bytes](), 0
    for number in range(campaign.jobs):
        now += GAP
        poster = AccountId(b"contractor" + (number % campaign.contractors).to_bytes(10, "big"))
        result.jobs += 1
        result.strikes += _job(campaign, people, poster, now, rng)
        barred |= {i for i, one in people.items() if not stands(one.strikes, now) or one.rests_until > now}
    result.barred = len(barred)
    return result


def _job(campaign: Campaign, people: dict[AccountId, Record], poster: AccountId, now: int, rng: random.Random) -> int:
    able = [i for i, one in people.items() if stands(one.strikes, now) and one.rests_until <= now]
    marked = {i for i in able if is_marked(people[i].votes.get(poster, ()), now, LIFE)}
    rounds: list[list[OpenedVote]] = []
    decided, line = Judgement.NONE, 4
    while decided == Judgement.NONE:
        tickets = {i: rng.random().hex().encode() for i in able}
        drawn = draw(able, (), b"", marked, len(rounds) + 1, tickets.__getitem__)
        rounds.append([_vote(seat, campaign, rng) for seat in drawn.seats])
        last = is_last(len(rounds), len(drawn.seats), drawn.pool, len(drawn.seats))
        decided, line = verdict(rounds[-1], len(drawn.seats), last, SCALE, False)
    found = [merits(votes, decided, SCALE, False) for votes in rounds]
    spared, strikes = not repeatable(found[-1]), 0
    for round_ in found:
        own = repeatable(round_)
        for merit in round_:
            strikes += _record(people[AccountId(merit.voter)], merit, line, poster, now, spared=spared, own=own)
    return strikes


def _record(record: Record, merit: Merit, line: int, poster: AccountId, now: int, *, spared: bool, own: bool) -> int:
    """What a verdict writes of one vote. Strikes are spared by the round that decided, draws by the vote's own round."""
    struck = bool(fault(merit, line)) and not spared
    if struck:
        record.strikes = add_strike(record.strikes, poster, now, LIFE)
    if counts_for_mark(merit, line):
        record.votes[poster] = add_vote(record.votes.get(poster, ()), CountedVote(now, merit.lost))
    if now >= record.rests_until:
        record.draws = add_draw(record.draws, Draw(poster, is_bad_draw(merit, line, own), silent=False))
        if not record.draws:
            record.rests_until = now + LIFE
    return struck


def _vote(seat: bytes, campaign: Campaign, rng: random.Random) -> OpenedVote:
    if rng.random() >= campaign.share:
        return OpenedVote(seat, True, BallotCode.OK, _column(BallotCode.OK))
    lie = campaign.lie if campaign.lie != Lie.MIXED else rng.choice((Lie.FALSE, Lie.INVALID, Lie.LEAVES, Lie.NEAR))
    match lie:
        case Lie.LEAVES:
            return OpenedVote(seat, True, BallotCode.OK, Column(CLAIMED, 16, tuple(rng.randrange(2 * CLAIMED) for _ in range(16))))
        case Lie.INVALID | Lie.ABSTAIN:
            return OpenedVote(seat, True, BallotCode.INVALID if lie == Lie.INVALID else BallotCode.ABSTAIN)
        case _:
            code = BallotCode.FALSE if lie == Lie.FALSE else BallotCode.NEAR
            return OpenedVote(seat, True, code, _column(code))


def _column(code: BallotCode) -> Column:
    return Column(SHOWN[code], 16, (SHOWN[code],) * 16)
