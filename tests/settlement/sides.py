"""After a verdict: who was on the winning side and not off. Fees, strikes, draw records and marks follow from that.

Medians are taken in each round by itself, since a place of the probe exists only there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from . import formulas
from .accounts import Draw
from .events import FeePaid, Rests, Unrepeatable
from .graph import Graph
from .jobs import Candidate, Job, Judged, Vote
from .scenario import ABSTAIN, BADKEY, FALSE, INVALID, NEGATIVE, OK, UNDECIDED, Column, Terms

FACTOR = 20
"""A leaf may lie this many t from its median."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One opened vote in the light of the verdict."""

    vote: Vote
    winning: bool
    side: bool
    """OK against FALSE, or FALSE/INVALID against OK."""
    leaves: bool
    """The number of examples, or too many leaves, differ from the winning side."""
    hidden: bool
    """The hidden loss, or its leaves, differ from the winning side, or are BADKEY."""

    @property
    def off(self) -> bool:
        return self.side or self.leaves or self.hidden

    @property
    def losing(self) -> bool:
        return not self.winning and self.vote.ballot.code != ABSTAIN


def off_leaves(terms: Terms, claim: int, judged: Judged, columns: Sequence[Column]) -> list[int]:
    """Why each column of one side is off: 0 it is not, 1 one leaf (borne), 2 too many leaves, 3 the number of examples."""
    sizes = Counter(column.n for column in columns)
    n = min(sizes, key=lambda size: (-sizes[size], size))
    t = formulas.t(terms, claim, [column.measured for column in columns])
    values = {id(c): formulas.probed(c.leaves, judged.places[n]) for c in columns if c.n == n}
    shown = [values[id(c)] for c in columns if c.n == n]
    if all(one is shown[0] for one in shown):
        return [0 if column.n == n else 3 for column in columns]
    middle = [formulas.lower_median(place) for place in zip(*shown, strict=True)]
    found = []
    for column in columns:
        if column.n != n:
            found.append(3)
            continue
        off = sum(1 for value, m in zip(values[id(column)], middle, strict=True) if abs(value - m) > FACTOR * t)
        found.append(0 if off == 0 else 1 if off == 1 and n >= formulas.PROBED else 2)
    return found


def seen(graph: Graph, terms: Terms, candidate: Candidate, judged: Judged, hidden: bool) -> list[Seen]:
    """The opened votes of one round, each compared with the winning side of that round."""
    wins = (OK,) if candidate.verdict == OK else NEGATIVE
    winners = [vote for vote in judged.votes if vote.ballot.code in wins]
    leaves: set[bytes] = set()
    off_hidden: set[bytes] = set()
    public = [(v.seat, v.ballot.public) for v in winners if v.ballot.public is not None]
    if public:
        for (seat, _), why in zip(public, off_leaves(terms, candidate.loss, judged, [c for _, c in public]), strict=True):
            if why:
                graph.reach(("fee.one.leaf", "fee.leaves", "fee.n")[why - 1])
            if why > 1:
                leaves.add(seat)
    if hidden:
        off_hidden = {v.seat for v in winners if v.ballot.hidden == BADKEY}
        if off_hidden:
            graph.reach("fee.badkey")
        columns = [(v.seat, v.ballot.hidden) for v in winners if isinstance(v.ballot.hidden, Column)]
        if columns:
            measured = [c.measured for _, c in columns]
            middle, t = formulas.lower_median(measured), formulas.t(terms, candidate.loss, measured)
            whys = off_leaves(terms, candidate.loss, judged, [c for _, c in columns])
            for (seat, column), why in zip(columns, whys, strict=True):
                if why > 1 or abs(column.measured - middle) > 2 * t:
                    graph.reach("fee.hidden")
                    off_hidden.add(seat)
    return [
        Seen(
            vote,
            vote.ballot.code in wins,
            wrong_side(candidate.verdict, vote.ballot.code),
            vote.seat in leaves,
            vote.seat in off_hidden,
        )
        for vote in judged.votes
    ]


def wrong_side(verdict: str | None, code: str) -> bool:
    return code in (FALSE, INVALID) if verdict == OK else verdict == FALSE and code == OK


def unrepeatable(votes: Sequence[Seen]) -> bool:
    """More than a third of the opened votes are off."""
    return 3 * sum(1 for one in votes if one.off) > len(votes)


def settle(graph: Graph, job: Job, candidate: Candidate) -> None:
    """What the verdict on a candidate brings to those that judged it."""
    fee, last = job.terms.fee, candidate.rounds[-1]
    if candidate.verdict == UNDECIDED:
        for _ in [vote for judged in candidate.rounds for vote in judged.votes]:
            graph.money.burn(job.id, b"F", fee)
            graph.reach("fee.undecided")
        return
    rounds = [(judged, seen(graph, job.terms, candidate, judged, job.hidden)) for judged in candidate.rounds]
    spared = unrepeatable(rounds[-1][1])
    if spared:
        graph.accounts[job.poster].contractor.unrepeatable += 1
        graph.tell(Unrepeatable(job.id, candidate.who))
    for judged, votes in rounds:
        own = unrepeatable(votes)
        for one in votes:
            pay(graph, job, candidate, one, early=judged is not last)
            strike(graph, job, candidate, one, spared)
            record(graph, job, candidate, one, own)
            mark(graph, job, candidate, one)


def pay(graph: Graph, job: Job, candidate: Candidate, one: Seen, early: bool) -> None:
    if not one.winning or one.leaves or one.hidden:
        return
    graph.money.pay(job.id, b"F", one.vote.seat, job.terms.fee)
    graph.tell(FeePaid(job.id, candidate.who, one.vote.seat))
    graph.reach("fee.paid")
    if early:
        graph.reach("fee.first.round")
    if one.vote.ballot.public is None:
        graph.reach("fee.noleaves")


def strike(graph: Graph, job: Job, candidate: Candidate, one: Seen, spared: bool) -> None:
    why = "leaves" if one.leaves else "side" if one.side else "hidden" if one.hidden and candidate.line == 1 else ""
    if candidate.line not in (1, 2) or not why:
        return
    if spared:
        graph.reach("strike.spared")
        return
    graph.strike(graph.accounts[one.vote.seat], job.root, why)
    graph.reach(f"strike.{why}")


def record(graph: Graph, job: Job, candidate: Candidate, one: Seen, own: bool) -> None:
    """`own`: more than a third of the votes of its own round was off."""
    bad = candidate.line in (1, 2, 3) and not own and (not one.winning or one.off)
    enter(graph, job, one.vote.seat, bad, silent=False)


def enter(graph: Graph, job: Job, seat: bytes, bad: bool, silent: bool) -> None:
    account = graph.accounts[seat]
    if account.banned:
        return
    graph.reach("record.silence" if silent else "record.bad" if bad else "record.good")
    if account.rests_until and not account.rests(graph.clock):
        graph.reach("record.back")
    if account.drawn(Draw(job.root, bad, silent), graph.clock, graph.params.month):
        graph.reach("record.rest")
        graph.tell(Rests(seat, account.rests_until))


def mark(graph: Graph, job: Job, candidate: Candidate, one: Seen) -> None:
    account = graph.accounts[one.vote.seat]
    if candidate.line not in (1, 2) or one.vote.ballot.code == ABSTAIN or account.banned:
        return
    account.vote_counted(job.root, graph.clock, one.off or one.losing)
    if account.marked(job.root, graph.clock, graph.params.month):
        graph.reach("mark")


def silence(graph: Graph, job: Job, seat: bytes) -> None:
    """No commit or no open: a strike whatever the verdict, and an entry of its own."""
    graph.reach("strike.silence")
    graph.strike(graph.accounts[seat], job.root, "silence")
    enter(graph, job, seat, bad=True, silent=True)


def dropped(graph: Graph, job: Job, candidate: Candidate) -> None:
    """A candidate that is banned after round one: that round's work is paid."""
    for judged in candidate.rounds:
        for vote in judged.votes:
            graph.money.pay(job.id, b"F", vote.seat, job.terms.fee)
            graph.tell(FeePaid(job.id, candidate.who, vote.seat))
            graph.reach("fee.dropped")
