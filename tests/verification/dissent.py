"""What verifiers cost a contractor that dissent in all of its jobs: each dissent brings round two, until it marks who lost.

A campaign is 200 jobs of one contractor with true claims, one after the other, before 100 verifiers of which some always say FALSE.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from learningchain.chain.verification.committee import FIRST_ROUND, draw
from learningchain.chain.verification.standing import CountedVote, add_vote, is_marked
from learningchain.chain.verification.votes import BallotCode, Judgement, is_last

from .committees import judged
from .contractors import GAP, LIFE


@dataclass(frozen=True, slots=True)
class Dissent:
    """`marks`: by the rule; without them, what it would cost."""

    dissenters: int
    marks: bool = True
    verifiers: int = 100
    jobs: int = 200


def play(dissent: Dissent, rng: random.Random) -> Counter[str]:
    """How many `jobs`, `seats` in all, and how many jobs were `not paid`."""
    votes: dict[bytes, list[CountedVote]] = {}
    able = [i.to_bytes(20, "big") for i in range(dissent.verifiers)]
    against, found = set(able[: dissent.dissenters]), Counter({"jobs": dissent.jobs})
    for number in range(dissent.jobs):
        now = (number + 1) * GAP
        marked = {i for i in votes if dissent.marks and is_marked(votes[i], now, LIFE)}
        sat: list[bytes] = []
        for round_ in (1, 2):
            tickets = {i: rng.random().hex().encode() for i in able}
            drawn = draw(able, (), b"", marked, round_, tickets.__getitem__)
            sat += drawn.seats
            lost = sum(seat in against for seat in drawn.seats)
            counts = ((BallotCode.OK, len(drawn.seats) - lost), (BallotCode.FALSE, lost))
            decided = judged(len(drawn.seats), is_last(round_, len(drawn.seats), drawn.pool, len(drawn.seats)), counts)
            if decided != Judgement.NONE:
                break
        found["seats"] += len(sat)
        found["not paid"] += decided != Judgement.OK
        for seat in set(sat) & against:  # of the others' votes none is off or lost
            for _ in range(sat.count(seat)):
                votes[seat] = add_vote(votes.get(seat, []), CountedVote(now, decided == Judgement.OK))
    return found


LEAST_SEATS = FIRST_ROUND
"""Of a job that nobody dissents in."""
