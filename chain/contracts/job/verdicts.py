"""COUNT, VERDICT, NEXT: from opened ballots to a verdict on each candidate, and what follows. Spec: LC-JOB-9, 10, 35 to 38, 55."""

from __future__ import annotations

import msgspec

from learningchain.chain.contracts.job import claims, ends, records, rewards, store
from learningchain.chain.contracts.job.messages import OnCheat
from learningchain.chain.contracts.job.records import JUDGED, AuditRound, CaseState, Hidden, JobCase, JobState, Result
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import STANDING, SUSPENSIONS
from learningchain.chain.verification import ranking, votes, windows
from learningchain.chain.verification.ranking import RankedClaim
from learningchain.chain.verification.votes import Judgement, KeyJudgement, OpenedVote

# --- the count -----------------------------------------------------------------------------------------------------------------


def start_count(work: JobContext) -> None:
    """The time is over, early where everybody committed: this block's beacon says which losses are shown (LC-JOB-35)."""
    host, job = work.host, work.job
    if not job.committed:
        evaluate_round(work)
        return
    record = store.read_round(host.store, work.id, job.audit, job.round)
    columns = len(record.batch) * (2 if record.hidden else 1)
    work.move_to(JobState.COUNT, windows.count_window(work.params.job_open_votes, columns, max(record.seats)))
    counted = msgspec.structs.replace(record, probe=host.beacon)
    host.put(records.round_key(work.id, job.audit, job.round), counted)
    host.emit("count", work.id, job.audit, job.round, work.job.deadline)


def evaluate_round(work: JobContext) -> None:
    """The time is over, early where every vote is open: a verdict for each candidate, or a second round (LC-JOB-36)."""
    work.stop()
    host, job = work.host, work.job
    round_ = store.read_seats(host.store, work.id, job.audit, job.round)
    if round_ is None:
        raise BrokenInvariant(f"job {work.id.hex()} counts a round that was not drawn")
    rewards.strike_silent(work, round_)
    finalists = work.of(job.finalists)
    opened = {index: round_.opened(index, finalists) for index in round_.record.batch}
    forced = _judge_key(work, round_.record, opened)
    again = [index for place, index in enumerate(round_.record.batch) if not _judge(work, round_.record, place, opened, forced)]
    if again:
        host.emit("second.round", work.id, job.audit, *again)
        work.to_draw(job.audit, 2, again)
    else:
        next_step(work)


def _is_last(record: AuditRound, place: int, round_: int, opened: int) -> bool:
    return votes.is_last(round_, record.seats[place], record.pools[place], opened)


def _judge_key(work: JobContext, record: AuditRound, opened: dict[int, list[OpenedVote]]) -> set[int]:
    """LC-JOB-10: a quorum says that the key opens junk: public columns decide. Returns whom it sends to round two instead."""
    if work.job.hidden != Hidden.ON:
        return set()
    said = {
        index: votes.bad_key(opened[index], record.seats[i], _is_last(record, i, work.job.round, len(opened[index])))
        for i, index in enumerate(record.batch)
    }
    if KeyJudgement.YES in said.values():
        work.host.emit("key.bad", work.id)
        claims.turn_hidden_off(work)
        return set()
    return {index for index, judgement in said.items() if judgement == KeyJudgement.AGAIN}


def _judge(work: JobContext, record: AuditRound, place: int, opened: dict[int, list[OpenedVote]], forced: set[int]) -> bool:
    """The verdict on one candidate, or False where it goes into round two."""
    index = record.batch[place]
    if index in forced:
        return False
    claim, hidden, cast = work.claim(index), work.job.hidden == Hidden.ON, opened[index]
    last = _is_last(record, place, work.job.round, len(cast))
    judgement, line = votes.verdict(cast, record.seats[place], last, work.scale(claim), hidden)
    if judgement == Judgement.NONE:
        return False
    loss = votes.hidden_loss(cast, record.seats[place], work.scale(claim)) if hidden and judgement == Judgement.OK else None
    work.change_claim(index, result=Result(judgement), line=line, hidden_loss=[] if loss is None else [loss])
    decided = (work.job.audit, work.job.round, claim.claimant, int(judgement), line, len(cast))
    work.host.emit("verdict", work.id, *decided)
    rewards.settle(work, index, judgement, line)
    _charge(work, index, judgement)
    return True


def _charge(work: JobContext, index: int, judgement: Judgement) -> None:
    """LC-JOB-37: what the verdict costs the claimant; the contractor's bond will burn as much."""
    host, poster, claim = work.host, work.posting.poster, work.claim(index)
    if judgement == Judgement.UNDECIDED:
        ends.release_stake(work, claim.claimant)
    elif judgement in (Judgement.REFUSED, Judgement.FALSE):
        work.change(burned=work.job.burned + ends.burn_stake(work, claim.claimant))
    standing = host.service(STANDING)
    if judgement == Judgement.FALSE:
        _accuse(work, claim.claimant, max(0, work.terms.bounty - claim.stake))
    elif judgement == Judgement.REFUSED:
        standing.strike(claim.claimant, poster, "claim.refused", work.id)
    standing.judged(claim.claimant, poster, judgement, work.id)


def _accuse(work: JobContext, claimant: bytes, amount: int) -> None:
    """A FALSE verdict suspends; for one who was banned meanwhile there is nothing left to decide."""
    opened = work.host.service(SUSPENSIONS).accuse(claimant, work.posting.poster, amount, work.id, records.NUMBER)
    state = CaseState.PENDING if opened else CaseState.BANNED
    work.change(cases=[*work.job.cases, JobCase(claimant, state)])


# --- what follows --------------------------------------------------------------------------------------------------------------


def unjudged(work: JobContext) -> list[int]:
    """Finalists without a verdict that were not dropped, in rank order."""
    return [index for index in work.job.finalists if work.claim(index).result == Result.NONE]


def first_ok(work: JobContext) -> int | None:
    return next((index for index in work.job.finalists if work.claim(index).result == Result.OK), None)


def next_step(work: JobContext) -> None:
    """LC-JOB-38: pay, give back, or judge the next candidate."""
    hidden, first = work.job.hidden == Hidden.ON, first_ok(work)
    if first is not None:
        ends.finish(work, JobState.PAID, _hidden_winner(work, first) if hidden else first)
    elif hidden or not unjudged(work) or _refunds_cheat(work):
        judged = any(work.claim(index).result in JUDGED for index in work.job.finalists)
        ends.finish(work, JobState.REFUNDED if judged else JobState.EMPTY)
    else:
        work.to_draw(work.job.audit + 1, 1)


def _refunds_cheat(work: JobContext) -> bool:
    """The contractor wants its bounty back rather than the next best, once a claim with a full stake was FALSE."""
    found = map(work.claim, work.job.finalists)
    return work.terms.on_cheat == OnCheat.REFUND and any(claim.full and claim.result == Result.FALSE for claim in found)


def _hidden_winner(work: JobContext, first: int) -> int:
    """The leader by hidden loss of those on whose hidden loss more than half of their committee agree; if none, by public rank."""
    entries = []
    for entry in work.entries(work.job.finalists):
        claim = work.claim(entry.claim)
        if claim.result == Result.OK and claim.hidden_loss:
            entries.append(RankedClaim(entry.position, claim.hidden_loss[0], entry.claim))
    return ranking.leader(entries, work.tol).claim if entries else first
