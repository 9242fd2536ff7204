"""The tally of a request: who is paid, who is fined, what is decided."""

from __future__ import annotations

from . import ends, formulas
from .events import Decided, Ended
from .graph import Graph
from .records import CHARGE, ROYALTY, Request, Seat
from .scenario import BAD_INPUT, BAD_KEY, FAULT, NO_DATA, OK
from .tally import MODEL_FAULT, NO_AGREEMENT, TOO_FEW, Tally, Value, tally


def opened(request: Request) -> list[Seat]:
    """Of r=1 and r=2, in the order of their commitments."""
    return sorted((one for one in request.seats if one.r != 3 and one.opened is not None), key=lambda one: one.position)


def settle(graph: Graph, request: Request) -> None:
    votes = opened(request)
    terms = request.terms
    found = tally(
        request.model.terms.tol,
        terms.rows,
        formulas.least_agreeing(terms.n),
        terms.m,
        request.c,
        [one.opened for one in votes if one.opened is not None],
    )
    graph.reach(f"tally.{found.outcome}")
    request.result = found
    side = [votes[i] for i in found.side]
    ends.close_seats(request)
    wrong = fines(graph, request, found, votes, side)
    records(graph, request, votes, side, wrong)
    if found.agreed:
        agreed(graph, request, found, side)
    else:
        failed(graph, request, found, votes, side)
    if not withheld(votes):
        ends.tallied(graph, request, found.outcome in ends.BAD_OUTCOMES)
    ends.wake(graph, request.model)


def agreed(graph: Graph, request: Request, found: Tally, payees: list[Seat]) -> None:
    terms, money = request.terms, graph.money
    if found.valued < terms.rows:
        graph.reach("row.none")
    fee = ends.fee_of(request)
    each = request.tip * found.valued // (terms.n * terms.rows)
    for one in payees:
        money.pay(request.id, CHARGE, one.who, "answer", each)
        one.paid = True
        mint(graph, request, one.who, fee)
    royalty(graph, request, found.valued)
    money.burn(request.id, CHARGE, "fee", fee)
    money.pay(request.id, CHARGE, request.requester, "rest")
    request.outcome = found.outcome
    request.state = found.outcome
    request.deadline = graph.clock + graph.params.w_p
    request.answered_at = graph.clock
    graph.tell(Ended(request.id, request.r, found.outcome))
    decide(graph, request, found.values)


def royalty(graph: Graph, request: Request, rows: int) -> None:
    model, amount = request.model, request.p * rows
    if model.terms.shares:
        model.earned += amount
        graph.money.shift(request.id, CHARGE, model.id, ROYALTY, amount)
    else:
        graph.money.pay(request.id, CHARGE, model.owner, "royalty", amount)


def said(votes: list[Seat], *codes: str) -> list[Seat]:
    return [one for one in votes if one.opened is not None and one.opened.code in codes]


def withheld(votes: list[Seat]) -> bool:
    """Fewer than half are OK, because some had no data or no key."""
    good, without = len(said(votes, OK)), len(said(votes, NO_DATA, BAD_KEY))
    return good < len(votes) / 2 <= good + without


def mint(graph: Graph, request: Request, who: bytes, fee: int) -> None:
    minted = graph.minted_now()
    amount = formulas.subsidy(graph.params, fee, request.terms.n, minted)
    graph.reach("sigma" if amount else "sigma.spent")
    before = graph.money.minted
    graph.money.mint(request.id, who, amount)
    graph.epoch = (graph.epoch[0], minted + graph.money.minted - before)


def failed(graph: Graph, request: Request, found: Tally, votes: list[Seat], side: list[Seat]) -> None:
    """Who said what holds is paid a quarter; where nothing holds, who opened OK is."""
    if found.outcome == MODEL_FAULT:
        ends.burn_of_evictor(graph, request)
    elif withheld(votes) and said(votes, OK):
        graph.reach("withheld")
        for one in said(votes, OK):
            graph.money.pay(request.id, CHARGE, one.who, "shown", request.tip // request.terms.n)
            one.paid = True
        royalty(graph, request, request.terms.rows)
        ends.burn_fee(graph, request)
    else:
        if found.outcome in (TOO_FEW, NO_AGREEMENT):
            side = [one for one in votes if one.opened is not None and one.opened.code == OK]
        for one in side:
            quarter = request.tip // request.terms.n // 4
            graph.money.pay(request.id, CHARGE, one.who, "quarter", quarter)
            one.paid = quarter > 0
        ends.burn_fee(graph, request)
    ends.fail(graph, request, found.outcome)


def fines(graph: Graph, request: Request, found: Tally, votes: list[Seat], side: list[Seat]) -> list[Seat]:
    """Where a quorum of c knows better: who was wrong."""
    if len(side) < formulas.quorum(request.c):
        return []
    found_wrong = []
    wrong = (OK, BAD_INPUT, FAULT) if found.agreed else (OK, FAULT) if found.outcome == BAD_INPUT else ()
    for one in votes:
        if one not in side and one.opened is not None and one.opened.code in wrong:
            graph.reach("fine.known")
            ends.fine(graph, request, one.who, "known")
            found_wrong.append(one)
    return found_wrong


def records(graph: Graph, request: Request, votes: list[Seat], side: list[Seat], wrong: list[Seat]) -> None:
    """Whoever opened is no longer silent; where somebody won, every seat's entry."""
    for one in votes:
        server = graph.server(request, one.who)
        if server is None or graph.accounts[one.who].banned:
            continue
        ends.seat_ended(server, False)
        if side:
            ends.recorded(graph, request, server, one not in side, one in wrong)


def decide(graph: Graph, request: Request, values: tuple[Value | None, ...]) -> None:
    """What a policy makes of the values; a private request's are blinded, so all are referred."""
    policy = graph.policies.get(request.terms.policy or b"")
    if policy is None:
        return
    terms = policy.terms
    least = max(formulas.quorum(request.c), terms.least)
    refused = request.terms.private or (terms.most and request.asked > terms.most)
    rows = []
    for value in values:
        if value is None or refused or len(value.support) < least:
            decision = "REFER"
        else:
            meets = value.score <= terms.threshold if terms.below else value.score >= terms.threshold
            decision = "ACCEPT" if meets else "DECLINE"
        graph.reach(f"decided.{decision}")
        rate = 0
        if value is not None and decision == "ACCEPT":
            rate = [ppm for start, ppm in terms.rates if start <= value.score][-1]
        close = value is not None and abs(value.score - terms.threshold) <= 2 * request.model.terms.tol
        rows.append((decision, rate, close))
    request.decided = tuple(rows)
    graph.tell(Decided(request.id, tuple(rows), request.ordinal, request.asked))
