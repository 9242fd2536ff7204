"""The panel measures a model, and what it finds settles the round."""

from __future__ import annotations

from . import ends, formulas, lists, pool
from .events import Drawn, Measured, Settled
from .graph import Graph
from .records import BOUNTY, FEES, MEASURE, OPENING, Federation, PanelSeat
from .scenario import HALF, INVALID, OK, Measure


def begin(graph: Graph, federation: Federation) -> None:
    """The first measurement of a model."""
    federation.again = 0
    for seat in federation.panel:
        seat.silent = 0
    ask(graph, federation)


def ask(graph: Graph, federation: Federation) -> None:
    for seat in federation.panel:
        seat.committed = seat.opened = None
    federation.state = MEASURE
    federation.deadline = graph.clock + formulas.evaluation_window(graph.params, federation.terms)


def commits_end(graph: Graph, federation: Federation) -> None:
    if any(seat.committed is not None for seat in federation.panel):
        federation.state, federation.deadline = OPENING, graph.clock + graph.params.w_c
    else:
        measured(graph, federation)


def measured(graph: Graph, federation: Federation) -> None:
    for seat in federation.panel:
        if seat.opened is None:
            graph.reach("panel.silent")
            seat.silent += 1
            graph.strike(seat.who, federation.root, "panel.silent")
        else:
            seat.silent = 0
    c, terms = len(federation.panel), federation.terms
    enough = c // 2 + 1 if federation.again == formulas.MEASUREMENTS - 1 else formulas.quorum(c)
    enough = max(enough, formulas.LEAST_VOTES)
    if federation.cells is not None and federation.r:
        of_lists(graph, federation, enough)
        return
    found = [seat for seat in federation.panel if seat.opened is not None and seat.opened.code == OK and seat.opened.holds]
    losses = [seat.opened.loss for seat in found if isinstance(seat.opened, Measure)]
    side = [found[i] for i in formulas.agreeing(losses, terms)]
    invalid = [seat for seat in federation.panel if seat.opened is not None and seat.opened.code == INVALID]
    if len(side) >= enough:
        settle(graph, federation, side, formulas.lower_median(losses))
    elif len(invalid) >= enough:
        settle(graph, federation, invalid, None)
    else:
        largest = [found[i] for i in formulas.largest_group(losses, terms)]
        measure_again(graph, federation, largest if len(largest) >= len(invalid) else invalid)


def of_lists(graph: Graph, federation: Federation, enough: int) -> None:
    """Of a sum of cells: a list is one vote."""
    agreed = lists.measured(federation, enough)
    if agreed is not None:
        side, found = agreed
        settle(graph, federation, side, lists.take(graph, federation, found))
        return
    graph.reach("lists.again")
    measure_again(graph, federation, lists.largest_group(federation))


def measure_again(graph: Graph, federation: Federation, group: list[PanelSeat]) -> None:
    federation.again += 1
    if federation.again == formulas.MEASUREMENTS:
        ends.end(graph, federation, "STALLED")
        return
    graph.reach("measure.again")
    last = federation.again == formulas.MEASUREMENTS - 1
    silent = [seat for seat in federation.panel if seat.silent >= 2]
    outside = [seat for seat in federation.panel if last and seat not in group and seat not in silent]
    taken = len(federation.panel) - len(silent) - len(outside)
    new = pool.draw_panel(graph, federation, taken)[: len(silent) + len(outside)]
    leaving = (silent + outside)[: max(len(silent), len(new))]
    if leaving:
        graph.reach("panel.replaced" if new else "panel.shrinks")
    if new:
        graph.tell(Drawn(federation.id, 0, tuple(new), ()))
    federation.panel = [seat for seat in federation.panel if seat not in leaving] + [PanelSeat(who) for who in new]
    federation.sat |= set(new)
    ask(graph, federation)


def settle(graph: Graph, federation: Federation, side: list[PanelSeat], loss: int | None) -> None:
    for seat in side:
        graph.money.pay(federation.id, FEES, seat.who, "panel", federation.terms.fee)
    graph.tell(Measured(federation.id, federation.r, federation.again, loss, tuple(seat.who for seat in side)))
    if federation.r == 0:
        baseline(graph, federation, loss)
    else:
        settle_round(graph, federation, loss)


def baseline(graph: Graph, federation: Federation, loss: int | None) -> None:
    if loss is None:
        ends.end(graph, federation, "BAD_MODEL")
        return
    federation.initial = federation.best = loss
    federation.best_model = federation.base
    if loss - 2 * formulas.tol(federation.terms, loss) <= federation.terms.target:
        ends.end(graph, federation, "MET")
        return
    federation.r = 1
    ends.idle(graph, federation)


def settle_round(graph: Graph, federation: Federation, loss: int | None) -> None:
    terms, best, pot, reverted = federation.terms, federation.best, 0, False
    if federation.cells is not None:
        lists.gain(graph, federation)
    margin = (federation.initial - terms.target) // 20
    if federation.pair and (loss is None or loss > best + margin):
        graph.reach("pair.worse")
        ends.exclude(graph, federation, federation.pair)
    if loss is not None and (loss <= terms.target or loss + 2 * formulas.tol(terms, best) <= best):
        graph.reach("progress")
        pot = progress(graph, federation, loss)
    else:
        federation.streak += 1
        reverted = loss is None or loss > best + margin or federation.streak >= terms.patience
        graph.reach("reverted" if reverted else "no.progress")
        if reverted:
            federation.base, federation.streak, federation.points = federation.best_model, 0, {}
        else:
            federation.base = federation.model
    federation.loss = loss
    if federation.cells is not None:
        lists.settle(graph, federation)
    graph.tell(Settled(federation.id, federation.r, pot, reverted))
    if federation.best <= terms.target:
        ends.end(graph, federation, "REACHED")
    elif federation.r == terms.rounds:
        ends.end(graph, federation, "ROUNDS")
    else:
        federation.r += 1
        ends.idle(graph, federation)


def weights(graph: Graph, federation: Federation) -> dict[bytes, int]:
    """Points, by index; without any, those of the last sum are equal."""
    shares = {who: points for who, points in federation.points.items() if points}
    if not shares:
        graph.reach("points.none")
        shares = dict.fromkeys(federation.last, 1)
    return {who: shares[who] for who in sorted(shares, key=lambda who: federation.members[who].index or 0)}


def progress(graph: Graph, federation: Federation, loss: int) -> int:
    """Pay what the new best is worth beyond what was paid."""
    federation.best, federation.best_model, federation.best_r = loss, federation.model, federation.r
    federation.base, federation.streak = federation.model, 0
    pot = formulas.due(federation.terms, federation.initial, loss) - federation.paid
    if federation.terms.split == HALF:
        graph.reach("paid.half")
        parts = lists.shares(federation, pot)
    else:
        parts = formulas.split(pot, weights(graph, federation))
    for who, part in parts.items():
        graph.money.pay(federation.id, BOUNTY, who, "share", part)
    federation.paid += pot
    federation.points = {}
    return pot
