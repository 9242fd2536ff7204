"""Who judges: the pool of a candidate, marks, the draw."""

from __future__ import annotations

from . import formulas
from .accounts import Account
from .graph import Graph
from .jobs import Candidate, Committee, Job
from .scenario import Limits

LEAST = 3
"""Below so many, finalists judge each other."""


def flagged(graph: Graph, poster: bytes) -> list[Account]:
    """Accounts with the flag, active or suspended, standing, not resting, not the poster."""
    return [
        account
        for account in graph.accounts.values()
        if account.flag_since is not None
        and not account.banned
        and account.id != poster
        and not account.rests(graph.clock)
        and graph.stands(account)
    ]


def enough_can_judge(graph: Graph, poster: bytes, limits: Limits) -> bool:
    """Whether a posting with these limits may come: enough of those with the flag declared that they can."""
    able = flagged(graph, poster)
    can = sum(1 for account in able if account.capacity is not None and formulas.covers(account.capacity, limits))
    return can >= max(formulas.cd(len(able), 3), min(3, len(able)))


def conditions(graph: Graph, job: Job, account: Account) -> bool:
    """What a seat needs, but for being neutral and unmarked."""
    if account.banned or account.flag_since is None or account.id == job.poster:
        return False
    if account.rests(graph.clock):
        graph.reach("pool.resting")
        return False
    if not graph.stands(account):
        graph.reach("pool.standing")
        return False
    if account.flag_since >= job.terms.expiry or account.capacity_since >= job.terms.expiry:
        graph.reach("pool.late")
        return False
    if account.capacity is None or not formulas.covers(account.capacity, job.terms.needed):
        graph.reach("pool.capacity")
        return False
    if account.case is not None:
        graph.reach("pool.suspended")
    return True


def draw(graph: Graph, job: Job, batch: list[Candidate], r: int) -> dict[bytes, Committee]:
    """The committee of each candidate of a batch, by this block's beacon."""
    able = [account for account in graph.accounts.values() if conditions(graph, job, account)]
    tickets = {a.id: graph.hashing.ticket(graph.beacon, job.id, job.j, r, a.id) for a in able}
    finalists = {candidate.who for candidate in job.finalists}
    by_ticket = sorted(able, key=lambda account: tickets[account.id])
    pool = [account for account in by_ticket if account.id not in finalists]
    unmarked = leave_marked(graph, job, pool) if r == 1 else pool
    committees = {}
    for candidate in batch:
        others: list[Account] = []
        if len(pool) < LEAST:
            others = [a for a in by_ticket if a.id in finalists and a.id != candidate.who][: LEAST - len(pool)]
        if others:
            graph.reach("pool.finalists")
        drawn = sorted([*unmarked, *others], key=lambda account: tickets[account.id])
        c = min(formulas.C if r == 1 else formulas.SECOND, len(drawn))
        seats = tuple(account.id for account in drawn[:c])
        committees[candidate.who] = Committee(seats, frozenset(seats) - finalists, len(pool) + len(others))
    return committees


def leave_marked(graph: Graph, job: Job, pool: list[Account]) -> list[Account]:
    """The pool in draw order without those that bear this poster's mark, as far as enough remain."""
    marked = {a.id for a in pool if a.marked(job.root, graph.clock, graph.params.month)}
    if not marked:
        return pool
    enough = max(formulas.C, formulas.cd(len(pool), 2))
    lacking = max(0, enough - (len(pool) - len(marked)))
    stay = {a.id for a in [a for a in pool if a.id in marked][:lacking]}
    if stay:
        graph.reach("pool.marked.stay")
    if marked - stay:
        graph.reach("pool.marked")
    return [a for a in pool if a.id not in marked or a.id in stay]
