"""Runs the blocks of a scenario: first what is due, then the messages. `play` gives the trace that a driver compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import ends, machine, messages
from .events import Event
from .graph import Graph
from .records import APPEALED, REDRAW
from .scenario import Block, Scenario

PUMP, REQUEST, POLICY, BAN = range(4)
"""What is due."""

Due = tuple[int, bytes, bytes, int]
"""Time, account that it counts for, reference, what: in this order."""


@dataclass(frozen=True, slots=True)
class RequestView:
    state: str
    r: int
    deadline: int
    tip: int
    c: int
    seats: tuple[tuple[bytes, int, bool, str, bool], ...]
    """Who, round, whether committed, the opened code or nothing, whether paid."""
    outcome: str
    agree: int
    values: tuple[tuple[int, int, int] | None, ...]
    """Class, score, support of each row."""
    overturned: tuple[tuple[int, int, int], ...]
    """Row, class, score of the new values."""
    decided: tuple[tuple[str, int, bool], ...]
    """Of each row, by the policy: the decision, the rate, whether it is borderline."""


@dataclass(frozen=True, slots=True)
class ModelView:
    state: str
    price: tuple[int, int]
    coming: tuple[int, int] | None
    open_seats: int
    pins: int
    tallies: tuple[tuple[bytes, bool], ...]
    servers: tuple[tuple[Any, ...], ...]
    """Who, awake, out, leaving, seats that are not final, since, silent seats (a bit for each), roots with bad and wrong."""
    left: tuple[tuple[Any, ...], ...]
    """Who left, since, silent seats, roots."""


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
    models: dict[bytes, ModelView]
    requests: dict[bytes, RequestView]
    policies: tuple[bytes, ...]
    escrow: dict[tuple[bytes, bytes], int]
    burned: int
    minted: int


Trace = tuple[BlockView, ...]


def play(scenario: Scenario, watch: Callable[[Graph], None] | None = None) -> Trace:
    """Run a scenario; `watch` is called after every block."""
    graph = Graph(scenario.params, scenario.members, scenario.validators, scenario.paid)
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
    for due in chosen(graph, due_now(graph)):
        run_due(graph, due)


def due_now(graph: Graph) -> list[Due]:
    """In order. A draw is due at its height, with the clock of the block that set it."""
    found: list[Due] = []
    for model in graph.models.values():
        if model.pump_at is not None and graph.clock >= model.pump_at:
            found.append((model.pump_at, model.owner, model.id, PUMP))
    for request in graph.live.values():
        drawing = request.state in (REDRAW, APPEALED)
        if graph.height >= request.draw_height if drawing else graph.clock >= request.deadline:
            found.append((request.deadline, request.requester, request.id, REQUEST))
    for ref, policy in graph.policies.items():
        if not policy.live and graph.clock >= policy.used + graph.params.keep:
            found.append((policy.used + graph.params.keep, policy.owner, ref, POLICY))
    found += [(time, who, who, BAN) for who, time in graph.bans.items() if graph.clock >= time]
    return sorted(found)


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


def run_due(graph: Graph, due: Due) -> None:
    """A deadline whose time is no longer the present one does nothing."""
    time, _, ref, what = due
    if what == PUMP:
        model = graph.models.get(ref)
        if model is not None and model.pump_at == time:
            machine.pump(graph, model)
    elif what == REQUEST:
        request = graph.live.get(ref)
        if request is not None and request.deadline == time:
            machine.deadline(graph, request)
    elif what == BAN:
        del graph.bans[ref]
        ends.banned(graph, ref)
    else:
        policy = graph.policies.get(ref)
        if policy is not None and not policy.live and policy.used + graph.params.keep == time:
            ends.drop_policy(graph, policy)


def view(graph: Graph, refused: tuple[tuple[int, str], ...]) -> BlockView:
    return BlockView(
        refused,
        tuple(graph.events),
        {one: account_view(graph, one) for one in graph.accounts},
        {one: model_view(graph, one) for one in graph.models},
        {one: request_view(graph, one) for one in graph.requests},
        tuple(sorted(graph.policies)),
        dict(sorted(graph.money.escrow.items())),
        graph.money.burned,
        graph.money.minted,
    )


def account_view(graph: Graph, one: bytes) -> AccountView:
    account = graph.accounts[one]
    live = (origin for origin, time in account.strikes.items() if graph.clock - time < graph.params.month)
    draws = tuple((draw.origin, draw.bad, draw.silent) for draw in account.draws)
    return AccountView(graph.money.balance[one], tuple(sorted(live)), draws, account.rests_until)


def model_view(graph: Graph, one: bytes) -> ModelView:
    model = graph.models[one]
    servers = tuple(
        (s.id, s.awake, s.out, s.leaving, s.pins, s.since, bits(s.silent), tuple(s.record)) for s in model.servers.values()
    )
    left = tuple((s.id, s.since, bits(s.silent), tuple(s.record)) for s in model.left.values())
    coming = model.coming if graph.clock < model.coming_at else None
    price = model.price_at(graph.clock)
    return ModelView(model.state, price, coming, model.open_seats, model.pins, tuple(model.tallies), tuple(sorted(servers)), left)


def bits(silent: list[bool]) -> int:
    return int("".join("01"[one] for one in silent) or "0", 2)


def request_view(graph: Graph, one: bytes) -> RequestView:
    request = graph.requests[one]
    values = request.result.values if request.result is not None else ()
    return RequestView(
        request.state,
        request.r,
        request.deadline,
        request.tip,
        request.c,
        tuple(
            (seat.who, seat.r, seat.committed is not None, seat.opened.code if seat.opened is not None else "", seat.paid)
            for seat in request.seats
        ),
        request.outcome,
        request.result.agree if request.result is not None else 0,
        tuple(None if value is None else (value.cls, value.score, len(value.support)) for value in values),
        tuple((row, value.cls, value.score) for row, value in sorted(request.values.items())),
        request.decided,
    )
