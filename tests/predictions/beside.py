"""The product's pure rules beside the model's, on every tally and verdict of a run: what each of them says of the same answers.

`Beside` takes the place of the model's `settle` and `verdict`, asks the product first, lets the model act, and compares with the
credits that moved. It is the one module of this folder that knows the product; nothing else here imports it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from learningchain.chain.contracts.prediction import decisions, formulas, histories, payouts, verdicts
from learningchain.chain.contracts.prediction.decisions import DecisionRule
from learningchain.chain.contracts.prediction.formulas import Amounts
from learningchain.chain.contracts.prediction.tally import (
    VALUED,
    Answer,
    AnswerCode,
    PredictionOutcome,
    RowValue,
    Tally,
    is_withheld,
    tally,
)
from learningchain.chain.contracts.prediction.verdicts import AppealCase, AppealMoney

from . import settling as model_settling
from . import verdicts as model_verdicts
from .events import Decided, Ended, Event, Fined, Flow, Out, Retired, Slashed
from .graph import Graph
from .records import BOND, DEPOSIT, LIVE, Request, Seat
from .scenario import Answer as Said
from .tally import Tally as ModelTally
from .tally import Value

Money = Counter[tuple[bytes | None, str]]
"""By who receives (None: burned) and why."""


class Difference(AssertionError):
    """The product and the model say different things."""


def answer(said: Said | None) -> Answer:
    assert said is not None
    return Answer(AnswerCode[said.code], list(said.classes), list(said.scores), said.check)


def same(what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise Difference(f"{what}: the product says {ours}, the model {theirs}")


def value(found: Value | None) -> RowValue | None:
    return None if found is None else RowValue(found.cls, found.score, found.support)


def same_tally(ours: Tally, theirs: ModelTally) -> None:
    same("outcome", ours.outcome.name, theirs.outcome)
    same("values", ours.values, tuple(value(one) for one in theirs.values))
    same("agree and side", (ours.agree, ours.side), (theirs.agree, theirs.side))


def moved(events: list[Event], ref: bytes, purposes: tuple[bytes, ...], whys: tuple[str, ...] = ()) -> Money:
    found: Money = Counter()
    for one in events:
        if isinstance(one, Flow) and one.ref == ref and one.purpose in purposes and (not whys or one.why in whys):
            found[one.to, one.why] += one.amount
    return found


class Beside:
    """Counts what was compared."""

    def __init__(self) -> None:
        self.tallies: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.slashed = 0
        self.rows_decided = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        settle, verdict = model_settling.settle, model_verdicts.verdict
        with (
            mock.patch.object(model_settling, "settle", lambda graph, request: self.settle(settle, graph, request)),
            mock.patch.object(model_verdicts, "verdict", lambda graph, request: self.verdict(verdict, graph, request)),
        ):
            yield

    # --- tallies ----------------------------------------------------------------------------------------------------------------

    def settle(self, act: Callable[[Graph, Request], None], graph: Graph, request: Request) -> None:
        seats, amounts = model_settling.opened(request), amounts_of(request)
        votes = [answer(one.opened) for one in seats]
        terms, model, q = request.terms, request.model, amounts.least_agreeing
        found = tally(votes, rows=terms.rows, tol=model.terms.tol, c=request.c, q=q, m=terms.m)
        minted, banned = graph.minted_now(), [graph.accounts[one.who].banned for one in seats]
        records = [model.servers[one.who].record if one.who in model.servers else None for one in seats]
        entries, bonds = model.tallies, [graph.stake(model, one.who) for one in seats]
        was_live, first = model.state == LIVE, len(graph.events)
        act(graph, request)
        events = graph.events[first:]
        self.tallies[found.outcome.name] += 1
        assert request.result is not None
        same_tally(found, request.result)
        same(
            "X",
            self.of_charge(graph, request, seats, votes, found, amounts, banned),
            moved(events, request.id, (b"X",)) - Counter(),
        )
        payees = [place for place in found.side if found.outcome in VALUED]
        subsidies = formulas.subsidies(
            graph.params.sub, graph.params.epoch_sub, minted, amounts, [banned[place] for place in payees]
        )
        ours: Money = Counter({(seats[place].who, "subsidy"): one for place, one in zip(payees, subsidies, strict=True) if one})
        same("subsidies", ours, moved(events, request.id, (b"",)))
        fines = [
            (seats[place].who, amounts.fine(bonds[place])) for place in payouts.fined(found, votes, request.c) if not banned[place]
        ]
        same("fines", fines, [(one.server, one.amount) for one in events if isinstance(one, Fined)])
        self.records(request, seats, found, banned, records, events, payouts.fined(found, votes, request.c))
        new, retires = histories.model_entered(entries, request.root, found.outcome, request.c)
        if is_withheld([vote.code for vote in votes]):
            new, retires = entries, False
        same("the model's record", new, model.tallies)
        same("retired by it", was_live and retires, Retired(model.id, True) in events)
        self.decisions(graph, request, found.values, events)

    def of_charge(
        self,
        graph: Graph,
        request: Request,
        seats: list[Seat],
        votes: list[Answer],
        found: Tally,
        amounts: Amounts,
        banned: list[bool],
    ) -> Money:
        """What the product says leaves X, in the model's words; a model with shares keeps the royalty."""
        told, ours = payouts.of_tally(found, votes, amounts, request.evictor), Counter[tuple[bytes | None, str]]()
        shown = not found.holds and told.paid and told.each == amounts.share
        why = "answer" if found.holds else "shown" if shown else "quarter"
        for place in told.paid:
            ours[None if banned[place] else seats[place].who, why] += told.each
        if request.model.terms.shares:
            ours[request.model.id, "shift"] += told.royalty
        else:
            ours[to(graph, request.model.owner), "royalty"] += told.royalty
        ours[None, "fee"] += told.burned
        ours[to(graph, request.requester), "rest"] += told.rest
        return ours - Counter()

    def records(
        self,
        request: Request,
        seats: list[Seat],
        found: Tally,
        banned: list[bool],
        before: list[list[histories.ServerEntry] | None],
        events: list[Event],
        wrong: Sequence[int],
    ) -> None:
        conduct = histories.conduct(found, len(seats))
        for place, one in enumerate(seats):
            record, server = before[place], request.model.servers.get(one.who)
            if record is None or server is None or banned[place] or conduct is None:
                continue
            new = histories.entered(record, (request.root, conduct[place], place in wrong), histories.SERVER_ENTRIES)
            told = Out(request.model.id, one.who) in events
            out = histories.is_out(new) and (told or not server.out)  # who was out before is not put out again
            same("a server's record", [] if out else new, server.record)
            same("out", out, told)

    def decisions(self, graph: Graph, request: Request, values: tuple[RowValue | None, ...], events: list[Event]) -> None:
        told = [one.rows for one in events if isinstance(one, Decided)]
        if not told:
            return
        terms = graph.policies[request.terms.policy or b""].terms
        rule = DecisionRule(terms.below, terms.threshold, terms.rates, terms.least, terms.most)
        ours = decisions.decide(
            rule, values, c=request.c, tol=request.model.terms.tol, private=request.terms.private, asked=request.asked
        )
        same("decisions", [tuple((one.decision.name, one.rate, one.borderline) for one in ours)], told)
        self.rows_decided += len(ours)

    # --- verdicts ---------------------------------------------------------------------------------------------------------------

    def verdict(self, act: Callable[[Graph, Request], None], graph: Graph, request: Request) -> None:
        old, judges = model_settling.opened(request), model_verdicts.votes_of(request)
        model, amounts = request.model, amounts_of(request)
        assert request.result is not None
        c, result = len(request.of_round(3)), request.result
        before = Tally(PredictionOutcome[result.outcome], tuple(map(value, result.values)), result.agree, result.side)
        votes, answers = [answer(one.opened) for one in judges], [answer(one.opened) for one in old]
        case = AppealCase(before, answers, request.rows, votes, c, request.c, model.terms.tol)
        ruling = verdicts.rule(case)
        stakes = [0 if graph.accounts[one.who].banned else graph.stake(model, one.who) for one in old]
        fee = amounts.vote_fee(graph.params.fee)
        bond, deposit = graph.money.held(request.id, BOND), graph.money.held(model.id, DEPOSIT)
        own = request.appellant == request.requester
        money = AppealMoney(bond, fee, graph.params.fee, amounts.share, amounts.most_fined, deposit, stakes, own)
        told = verdicts.payout(ruling, money, len(votes))
        live, first = model.state == LIVE, len(graph.events)
        act(graph, request)
        events = graph.events[first:]
        self.verdicts[ruling.verdict.name] += 1
        self.slashed += len(told.slashed)
        same("verdict", [ruling.verdict.name], [one.outcome for one in events if isinstance(one, Ended) and one.r == 3])
        spent = [Slashed(request.id, sum(told.slashed.values()), told.deposit)] if told.slashed else []
        same("slashed", spent, [one for one in events if isinstance(one, Slashed)])
        ours: Money = Counter()
        for place in told.paid:
            ours[to(graph, judges[place].who), "vote"] += told.each
        ours[to(graph, request.appellant or b""), "bond"] += told.back
        ours[None, "bond"] += told.burned
        for place in ruling.found.side if told.slashed else ():
            ours[to(graph, judges[place].who), "vote"] += told.vote
        for place in ruling.unpaid if told.slashed else ():
            ours[to(graph, old[place].who), "unpaid"] += told.reward
        ours[None, "slashed"] += told.pot_burned
        same("bond and stakes", ours - Counter(), moved(events, request.id, (b"A", b"S")))
        same("new values", ruling.new, {row: value(one) for row, one in request.values.items()})
        retires = bool(told.slashed) and verdicts.is_spent(deposit - told.deposit, graph.params.deposit)
        same("retired by it", live and retires, Retired(model.id, False) in events)
        self.decisions(graph, request, verdicts.values_after(case, ruling), events)


def amounts_of(request: Request) -> Amounts:
    terms = request.terms
    return Amounts(terms.n, terms.rows, request.tip, request.p, request.w, request.row, terms.carried)


def to(graph: Graph, who: bytes) -> bytes | None:
    """What a banned account would receive burns."""
    return None if graph.accounts[who].banned else who
