"""DRAW: whom the coming round judges, and who sits, by a beacon that nobody knew when it was asked for. Spec: LC-JOB-6, 34, 56."""

from __future__ import annotations

from learningchain.chain.contracts.job import messages, records, rewards, verdicts
from learningchain.chain.contracts.job.records import AuditRound, Hidden, JobState, Result, Seat
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.host import VERIFIERS
from learningchain.chain.verification import committee, windows
from learningchain.chain.verification.committee import Committee


def draw(work: JobContext) -> None:
    """LC-JOB-34: banned finalists are dropped; the others of this round get their committees."""
    _drop_banned(work)
    batch = _batch(work)
    if not batch:
        verdicts.next_step(work)
        return
    committees = _committees(work, batch)
    least, e, data = work.params.job_vote_base, messages.evaluation_s(work.terms), messages.evaluated_bytes(work.terms)
    work.move_to(JobState.COMMIT, windows.vote_window(least, e, work.terms.limits.model_cap, len(batch), data))
    voters = _seat(work, batch, committees)
    models = [work.claim(index).model for index in batch]
    work.host.emit("audit", work.id, work.job.audit, work.job.round, work.job.deadline, *models)
    if not voters:
        verdicts.evaluate_round(work)


def _drop_banned(work: JobContext) -> None:
    """LC-JOB-56: finalists that were banned before they were judged."""
    for index in work.job.finalists:
        claim = work.claim(index)
        if claim.result == Result.NONE and work.host.is_banned(claim.claimant):
            work.change_claim(index, result=Result.DROPPED)
            work.host.emit("dropped", work.id, claim.claimant)
            rewards.pay_dropped(work, index)


def _batch(work: JobContext) -> list[int]:
    """Of round two those that line 4 sent there, of hidden jobs all finalists, else the first in rank order.

    Whoever judges a model sees it. So a claim waits until those before it were judged and not OK: one that is OK is then paid.
    """
    job, unjudged = work.job, verdicts.unjudged(work)
    if job.round == 2:
        return [index for index in job.again if index in unjudged]
    return unjudged if job.hidden == Hidden.ON else unjudged[:1]


def _committees(work: JobContext, batch: list[int]) -> list[Committee]:
    """LC-JOB-6: of everybody who declared enough before T0 and has no part in the job, the lowest tickets of this block."""
    host, job, poster = work.host, work.job, work.posting.poster
    verifiers = host.service(VERIFIERS)
    able = [one for one in verifiers.able(messages.needed_capacity(work.terms), work.terms.expiry) if one != poster]
    marked = verifiers.marked(able, poster) if job.round == 1 else set()
    finalists = work.of(job.finalists)
    tickets = {one: committee.ticket(host.beacon, work.id, job.audit, job.round, one) for one in able}
    return committee.draw_all(able, finalists, work.of(batch), marked, job.round, tickets.__getitem__)


def _seat(work: JobContext, batch: list[int], committees: list[Committee]) -> list[bytes]:
    """Everybody who sits, in draw order, candidate after candidate; each votes on the candidates that drew it."""
    host, job = work.host, work.job
    candidates: dict[bytes, list[int]] = {}
    for index, drawn in zip(batch, committees, strict=True):
        for voter in drawn.seats:
            candidates.setdefault(voter, []).append(index)
    voters = list(candidates)
    for voter in voters:
        seat = Seat(candidates=candidates[voter], commitment=b"", ballots=[], shown=[], complete=False, struck="", fee=0)
        host.put(records.seat_key(work.id, job.audit, job.round, voter), seat)
    record = AuditRound(
        beacon=host.beacon,
        probe=b"",
        started=host.clock,
        deadline=job.deadline,
        hidden=job.hidden == Hidden.ON,
        batch=batch,
        pools=[drawn.pool for drawn in committees],
        seats=[len(drawn.seats) for drawn in committees],
        voters=voters,
    )
    host.put(records.round_key(work.id, job.audit, job.round), record)
    return voters
