"""How an attempt comes to nothing, how a federation waits again, and how it ends."""

from __future__ import annotations

from collections.abc import Iterable

from . import formulas
from .events import Ended, Gone, Void
from .graph import Graph
from .records import BOUNTY, END, FEES, IDLE, Attempt, Federation, Seat

# --- faults of aggregators ------------------------------------------------------------------------------------------------------


def silence(graph: Graph, federation: Federation, seat: Seat) -> None:
    """Of an aggregator after Ready."""
    graph.strike(seat.who, federation.root, "aggregator.silent")
    graph.failed(federation, seat.who, True)


def unready(graph: Graph, federation: Federation, seat: Seat) -> None:
    """A failed draw, once an hour."""
    account = graph.accounts[seat.who]
    if account.unready is not None and graph.clock < account.unready + formulas.UNREADY_ONCE:
        graph.reach("unready.again")
        return
    if account.serves:
        account.unready = graph.clock
    graph.failed(federation, seat.who, True)


def differs(graph: Graph, federation: Federation, seat: Seat) -> None:
    graph.reach("differs")
    graph.failed(federation, seat.who, False)


def exclude(graph: Graph, federation: Federation, who: Iterable[bytes]) -> None:
    graph.reach("excluded")
    federation.excluded |= set(who)


def pay_fees(graph: Graph, federation: Federation, seats: Iterable[Seat]) -> None:
    """To aggregators of an agreed Screen that were neither silent nor different afterwards; once an attempt."""
    for seat in seats:
        graph.money.pay(federation.id, FEES, seat.who, "aggregator", federation.terms.fee)
        graph.served(federation, seat.who)


# --- ends -----------------------------------------------------------------------------------------------------------------------


def void(graph: Graph, federation: Federation, attempt: Attempt, why: str) -> None:
    """Nothing of the attempt is used again; the same r."""
    graph.reach(f"void.{why}")
    if federation.cells is not None:
        graph.reach(f"cells.void.{why}")
    graph.tell(Void(federation.id, attempt.number, why))
    idle(graph, federation)


def idle(graph: Graph, federation: Federation) -> None:
    """Wait for the sponsor, where starts are left."""
    federation.attempt = None
    federation.pair = ()
    if federation.starts == formulas.starts(federation.terms.rounds):
        graph.reach("starts.used")
        end(graph, federation, "ROUNDS")
        return
    federation.state = IDLE
    federation.deadline = min(graph.clock + federation.terms.pace_ms, federation.terms.ends)


def end(graph: Graph, federation: Federation, why: str) -> None:
    """What is unpaid goes back to the sponsor; the records stay for a while."""
    graph.reach(f"end.{why}")
    if federation.cells is not None:
        graph.reach(f"cells.end.{why}")
    for purpose in (BOUNTY, FEES):
        graph.money.pay(federation.id, purpose, federation.sponsor, "rest")
    federation.attempt, federation.pair = None, ()
    federation.state, federation.end = END, why
    federation.deadline = graph.clock + graph.params.keep
    kept = len(federation.sat) + len(federation.excluded) + sum(map(len, federation.chains.values()))
    federation.records = len(federation.members) + kept
    graph.tell(Ended(federation.id, why))


def drop(graph: Graph, federation: Federation) -> None:
    """Some records a deadline, and with the last of them the federation."""
    federation.records -= graph.params.dropped
    if federation.records > 0:
        graph.reach("dropped.more")
        federation.deadline = graph.clock + 1
        return
    graph.reach("gone")
    del graph.federations[federation.id]
    graph.tell(Gone(federation.id))
