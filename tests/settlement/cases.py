"""Suspension and what ends it: the judges' words, corroboration, ban, lift, lapse."""

from __future__ import annotations

from .accounts import Account, Case
from .events import CaseEnded, CountsAsBan, Suspended
from .graph import Graph
from .jobs import Candidate, Job

LONGEST = 4
"""A case ends at most so many APPEAL after its start."""


def accuse(graph: Graph, job: Job, candidate: Candidate) -> int:
    """A FALSE: freeze, and suspend until the case ends. Returns the number of the case, 0 where the account is banned already."""
    account = graph.accounts[candidate.who]
    if account.banned:
        graph.reach("false.banned")
        graph.tell(CountsAsBan(account.id, job.id))
        return 0
    amount = graph.money.freeze(account.id, max(0, job.terms.bounty - candidate.stake))
    if amount:
        graph.reach("false.frozen")
    end = graph.clock + graph.params.appeal
    if account.case is None:
        graph.cases += 1
        account.case = Case(graph.cases, graph.clock, end, [job.id], [job.root])
        graph.reach("false.case")
    else:
        case = account.case
        limit = case.start + LONGEST * graph.params.appeal
        graph.reach("false.capped" if end > limit else "false.again")
        case.until = min(end, limit)
        case.jobs.append(job.id)
        if job.root not in case.posters:
            case.posters.append(job.root)
    graph.tell(Suspended(account.id, job.id, account.case.until, amount))
    return account.case.number


def judges(graph: Graph, accused: Account) -> set[bytes]:
    return {a.id for a in graph.validators() if not a.banned and a.id != accused.id}


def party(graph: Graph, judge: bytes, case: Case) -> bool:
    """A suspended validator, a poster or a claimant of any job of the case."""
    jobs = [graph.jobs[job] for job in case.jobs]
    return graph.accounts[judge].case is not None or any(judge == job.poster or judge in job.claims for job in jobs)


def word(graph: Graph, judge: bytes, accused: bytes, confirm: bool) -> str | None:
    """A judge's word; the last one of each counts. Returns why it is refused."""
    account = graph.accounts.get(accused)
    if account is None or account.case is None:
        return "NO_CASE"
    if judge not in judges(graph, account):
        graph.reach("judge.stranger")
        return "NO_JUDGE"
    case = account.case
    if confirm and party(graph, judge, case):
        graph.reach("judge.party")
        return "PARTY"
    said, other = (case.confirms, case.lifts) if confirm else (case.lifts, case.confirms)
    if judge in said:
        return "SAID"
    said.add(judge)
    other.discard(judge)
    graph.reach("judge.confirm" if confirm else "judge.lift")
    sitting = judges(graph, account)
    if not confirm and 2 * len(case.lifts & sitting) > len(sitting):
        graph.reach("case.lift")
        graph.tell(CaseEnded(accused, "lifted", len(case.confirms & sitting), len(case.lifts & sitting), len(sitting)))
        end(graph, account, lifted=True)
    return None


def close(graph: Graph, account: Account) -> None:
    """The case's time is over."""
    case = account.case
    if case is None:
        return
    sitting = judges(graph, account)
    confirms, lifts = len(case.confirms & sitting), len(case.lifts & sitting)
    counted = sum(judge in case.confirms or not party(graph, judge, case) for judge in sitting)
    corroborated = account.corroborated(graph.clock, graph.params.month)
    few = 2 * counted < len(sitting)
    if 3 * confirms > 2 * counted and not few:
        graph.reach("case.ban" if counted == len(sitting) else "case.ban.parties")
        graph.tell(CaseEnded(account.id, "banned", confirms, lifts, len(sitting)))
        ban(graph, account)
    elif 2 * confirms > counted and 3 * confirms > len(sitting) and corroborated and not few:
        graph.reach("case.ban.corroborated")
        graph.tell(CaseEnded(account.id, "banned", confirms, lifts, len(sitting)))
        ban(graph, account)
    else:
        if 2 * confirms > counted:
            graph.reach("case.few" if few else "case.half")
        graph.tell(CaseEnded(account.id, "lapsed", confirms, lifts, len(sitting)))
        posters = [] if lifts > confirms else list(case.posters)
        graph.reach("case.lapse" if posters else "case.lapse.lifts")
        end(graph, account, lifted=False)
        for poster in posters:
            graph.strike(account, poster, "lapse")


def end(graph: Graph, account: Account, lifted: bool) -> None:
    """Frozen credits are free again."""
    case = account.case
    if case is None:
        return
    if lifted:
        for verdict in account.verdicts:
            verdict.lifted = verdict.lifted or verdict.case == case.number
    account.case = None
    graph.money.unfreeze(account.id)


def ban(graph: Graph, account: Account) -> None:
    account.case = None
    account.banned = True
    graph.money.ban(account.id)
