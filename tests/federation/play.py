"""Runs the blocks of a scenario: first what is due, then the messages. `play` gives the trace that a driver compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import machine, messages
from .events import Event
from .graph import Graph
from .records import DRAWING, Attempt, Cells, Federation
from .scenario import Block, Scenario

Due = tuple[int, bytes, bytes]
"""Time, account that it counts for, federation: in this order."""


Indexes = tuple[tuple[int, tuple[int, ...]], ...]
"""Cells by their numbers, each with the indexes of its members."""


@dataclass(frozen=True, slots=True)
class CellsView:
    numbered: int
    living: Indexes
    rows: tuple[tuple[int, int, int], ...]
    """Index, last attempts, what it gained."""
    lacked: tuple[bytes, ...]
    inside: Indexes
    models: tuple[bytes, ...]
    found: tuple[tuple[int, int | None], ...]
    chosen: int
    seats: tuple[tuple[bytes, int, bool, bool], ...]
    """Aggregators: who, how many stages it sealed, whether it said a Screen, a sum."""
    roster: tuple[tuple[bytes, bool], ...]
    """Who is in, and whether it has the flag."""
    sets: tuple[tuple[int, ...], ...]
    """What was summed on the base, in this order."""


@dataclass(frozen=True, slots=True)
class FederationView:
    state: str
    deadline: int
    r: int
    starts: int
    base: bytes
    best: int
    best_model: bytes
    paid: int
    streak: int
    clip: int
    members: tuple[tuple[bytes, str, int | None, int], ...]
    """Who, state, index, the start up to which it is benched."""
    points: tuple[tuple[bytes, int], ...]
    panel: tuple[tuple[bytes, bool, str, bool], ...]
    """Who, whether committed, the opened code or nothing, whether it has a box of the key."""
    seats: tuple[tuple[bytes, bool, int | None], ...]
    """Aggregators: who, whether ready, the bits of its files."""
    files: tuple[bytes, ...]
    excluded: tuple[bytes, ...]
    end: str
    cells: CellsView | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    balance: int
    strikes: tuple[bytes, ...]
    """The origins of the live ones."""
    draws: tuple[tuple[bytes, bool, bool], ...]
    rests_until: int


@dataclass(frozen=True, slots=True)
class BlockView:
    """What is so after a block."""

    refused: tuple[tuple[int, str], ...]
    """Messages that were refused, by their place in the block, and why."""
    events: tuple[Event, ...]
    accounts: dict[bytes, AccountView]
    federations: dict[bytes, FederationView]
    escrow: dict[tuple[bytes, bytes], int]
    burned: int


Trace = tuple[BlockView, ...]


def play(scenario: Scenario, watch: Callable[[Graph], None] | None = None) -> Trace:
    """Run a scenario; `watch` is called after every block."""
    graph = Graph(scenario.params, scenario.members, scenario.validators)
    trace = []
    for block in scenario.blocks:
        refused = run_block(graph, block)
        trace.append(view(graph, refused))
        if watch is not None:
            watch(graph)
    return tuple(trace)


def run_block(graph: Graph, block: Block) -> tuple[tuple[int, str], ...]:
    begin(graph, block.clock, block.beacon)
    answers = [(i, messages.apply(graph, entry)) for i, entry in enumerate(block.entries)]
    return tuple((i, why) for i, why in answers if why is not None)


def begin(graph: Graph, clock: int, beacon: bytes) -> None:
    """Open a block and run what is due. What that sets anew waits for the next block."""
    graph.clock, graph.beacon = clock, beacon
    graph.height += 1
    graph.events = []
    for time, _, ref in chosen(graph, due_now(graph)):
        federation = graph.federations[ref]
        if federation.deadline == time:
            machine.deadline(graph, federation)


def is_due(graph: Graph, federation: Federation) -> bool:
    if federation.state in DRAWING:
        return graph.height >= federation.draw_height
    return graph.clock >= federation.deadline


def due_now(graph: Graph) -> list[Due]:
    return sorted((one.deadline, one.sponsor, one.id) for one in graph.federations.values() if is_due(graph, one))


def chosen(graph: Graph, due: list[Due]) -> list[Due]:
    """At most max_due, each account's in rounds of an eighth of that, earlier rounds first; run in order."""
    most = graph.params.max_due
    eighth = max(1, most // 8)
    seen: dict[bytes, int] = {}
    rounds: list[tuple[int, Due]] = []
    for one in due:
        rounds.append((seen.get(one[1], 0) // eighth, one))
        seen[one[1]] = seen.get(one[1], 0) + 1
    if len(due) > most:
        graph.reach("due.postponed")
    return sorted(one for _, one in sorted(rounds)[:most])


def view(graph: Graph, refused: tuple[tuple[int, str], ...]) -> BlockView:
    return BlockView(
        refused,
        tuple(graph.events),
        {one: account_view(graph, one) for one in graph.accounts},
        {ref: federation_view(one) for ref, one in graph.federations.items()},
        dict(sorted(graph.money.escrow.items())),
        graph.money.burned,
    )


def account_view(graph: Graph, one: bytes) -> AccountView:
    account = graph.accounts[one]
    live = (origin for origin, time in account.strikes.items() if graph.clock - time < graph.params.month)
    draws = tuple((draw.origin, draw.bad, draw.silent) for draw in account.draws)
    return AccountView(graph.money.balance[one], tuple(sorted(live)), draws, account.rests_until)


def federation_view(one: Federation) -> FederationView:
    attempt = one.attempt
    return FederationView(
        one.state,
        one.deadline,
        one.r,
        one.starts,
        one.base,
        one.best,
        one.best_model,
        one.paid,
        one.streak,
        one.clip,
        tuple(sorted((m.id, m.state, m.index, m.benched_until) for m in one.members.values())),
        tuple(sorted(one.points.items())),
        tuple((s.who, s.committed is not None, s.opened.code if s.opened is not None else "", s.box) for s in one.panel),
        tuple((s.who, s.ready, s.have[0] if s.have else None) for s in attempt.seats) if attempt else (),
        tuple(attempt.files) if attempt else (),
        tuple(sorted(one.excluded)),
        one.end,
        None if one.cells is None else cells_view(one, one.cells, attempt),
    )


def cells_view(federation: Federation, one: Cells, attempt: Attempt | None) -> CellsView:
    indexed = {member.id: member.index or 0 for member in federation.members.values()}
    sets = federation.chains.get(federation.base, [])
    seats = attempt.seats if attempt is not None else []
    return CellsView(
        one.numbered,
        indexes(one.living),
        tuple((index, row, one.gained[index]) for index, row in sorted(one.rows.items())),
        tuple(one.lacked),
        indexes(one.inside),
        one.models,
        one.found,
        one.chosen,
        tuple((seat.who, len(seat.seals), seat.screen is not None, seat.sum is not None) for seat in seats),
        tuple(attempt.roster.items()) if attempt is not None else (),
        tuple(tuple(sorted(indexed[who] for who in some)) for some in sets),
    )


def indexes(cells: dict[int, frozenset[int]]) -> Indexes:
    return tuple((number, tuple(sorted(members))) for number, members in sorted(cells.items()))
