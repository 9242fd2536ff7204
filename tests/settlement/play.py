"""Runs the blocks of a scenario: first what is due, then the messages. `play` gives the trace that a driver compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import cases, machine, messages
from .events import Event
from .graph import Graph
from .hashing import Hashing
from .jobs import DRAW
from .scenario import Block, Scenario

JOBS, MEMBERSHIP = 3, 2
"""Contracts, in the order of deadlines."""

Due = tuple[int, bytes, int, bytes]
"""Time, account that it counts for, contract, reference."""


@dataclass(frozen=True, slots=True)
class JobView:
    state: str
    j: int
    r: int
    deadline: int
    hidden: bool
    must: tuple[bytes, ...]
    finalists: tuple[bytes, ...]
    """In rank order, dropped ones included."""
    committees: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    """Of the round under way, by candidate."""
    verdicts: tuple[tuple[bytes, str, int], ...]
    """Finalist, verdict, line."""
    winner: bytes | None
    bond_burned: int


@dataclass(frozen=True, slots=True)
class AccountView:
    balance: int
    frozen: int
    status: str
    until: int
    """Of the case, or 0."""
    strikes: tuple[bytes, ...]
    """The posters of the live ones."""
    draws: tuple[tuple[bytes, bool, bool], ...]
    """Poster, bad, silent."""
    rests_until: int
    marks: tuple[bytes, ...]
    """The posters whose mark it bears."""
    verdicts: tuple[tuple[bytes, str, int, bool], ...]
    """Poster, verdict, time, whether its case was lifted."""
    contractor: tuple[int, int, int, int, int]
    """Credits paid, different winners, credits refunded after a reveal, jobs undecided, rounds not repeatable."""


@dataclass(frozen=True, slots=True)
class BlockView:
    """What is so after a block."""

    refused: tuple[tuple[int, str], ...]
    """Messages that were refused, by their place in the block, and why."""
    events: tuple[Event, ...]
    accounts: dict[bytes, AccountView]
    jobs: dict[bytes, JobView]
    escrow: dict[tuple[bytes, bytes], int]
    burned: int


Trace = tuple[BlockView, ...]


def play(scenario: Scenario, hashing: Hashing | None = None, watch: Callable[[Graph], None] | None = None) -> Trace:
    """Run a scenario; `watch` is called after every block."""
    graph = Graph(scenario.params, scenario.members, hashing)
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
    """Open a block and run what is due. What that sets or moves anew waits for the next block."""
    graph.clock, graph.beacon = clock, beacon
    graph.height += 1
    graph.events = []
    for due in chosen(graph, due_now(graph)):
        run_deadline(graph, due)


def due_now(graph: Graph) -> list[Due]:
    """In order. A draw is due at its height, and counts with the clock of the block that set it."""
    found: list[Due] = []
    for job in graph.live.values():
        if graph.height >= job.draw_height if job.state == DRAW else graph.clock >= job.deadline:
            found.append((job.deadline, job.poster, JOBS, job.id))
    for account in graph.accounts.values():
        if account.case is not None and graph.clock >= account.case.until:
            found.append((account.case.until, account.id, MEMBERSHIP, account.id))
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


def run_deadline(graph: Graph, due: Due) -> None:
    """A deadline whose time is no longer the present one of its job or case does nothing."""
    time, _, contract, ref = due
    if contract == JOBS:
        job = graph.jobs[ref]
        if not job.ended and job.deadline == time:
            machine.deadline(graph, job)
        return
    account = graph.accounts[ref]
    if account.case is not None and account.case.until == time:
        cases.close(graph, account)


def view(graph: Graph, refused: tuple[tuple[int, str], ...]) -> BlockView:
    return BlockView(
        refused,
        tuple(graph.events),
        {one: account_view(graph, one) for one in graph.accounts},
        {one: job_view(graph, one) for one in graph.jobs},
        dict(sorted(graph.money.escrow.items())),
        graph.money.burned,
    )


def account_view(graph: Graph, one: bytes) -> AccountView:
    account, month = graph.accounts[one], graph.params.month
    record = account.contractor
    return AccountView(
        graph.money.balance[one],
        graph.money.frozen.get(one, 0),
        "banned" if account.banned else "active" if account.case is None else "suspended",
        0 if account.case is None else account.case.until,
        tuple(account.live_strikes(graph.clock, month)),
        tuple((draw.poster, draw.bad, draw.silent) for draw in account.draws),
        account.rests_until,
        tuple(sorted(poster for poster in account.votes if account.marked(poster, graph.clock, month))),
        tuple((v.poster, v.verdict, v.time, v.lifted) for v in account.verdicts),
        (
            record.paid,
            len(record.winners) + record.older_winners,
            record.refunded_after_reveal,
            record.undecided,
            record.unrepeatable,
        ),
    )


def job_view(graph: Graph, one: bytes) -> JobView:
    job = graph.jobs[one]
    drawn = job.round.committees.items() if job.round is not None else ()
    return JobView(
        job.state,
        job.j,
        job.r,
        job.deadline,
        job.hidden,
        tuple(claim.who for claim in job.must),
        tuple(claim.who for claim in job.finalists),
        tuple((who, one.seats) for who, one in drawn),
        tuple((c.who, c.verdict, c.line) for c in job.finalists if c.verdict is not None),
        job.winner,
        job.bond_burned,
    )
