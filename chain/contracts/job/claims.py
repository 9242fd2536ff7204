"""T0, T1, T2: who has to show a model, who is a finalist, and what silence costs. Spec: LC-JOB-31, 32, 33."""

from __future__ import annotations

from learningchain.chain.contracts.job import ends, records
from learningchain.chain.contracts.job.records import Hidden, JobState, Result
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.host import STANDING
from learningchain.chain.verification import ranking


def close_claims(work: JobContext) -> None:
    """T0: this block's beacon orders the claims inside their blocks; the best K claims must be revealed (LC-JOB-31)."""
    if not work.job.claimants:
        ends.finish(work, JobState.EMPTY)
        return
    work.change(closing=work.host.beacon)
    entries = work.entries(range(work.job.claimants))
    must = [entry.claim for entry in ranking.rank(entries, work.tol, work.terms.finalists)]
    work.move_to(JobState.REVEAL, work.params.job_reveal, must=must)
    work.host.emit("reveal.open", work.id, work.job.deadline, *work.of(must))


def close_reveals(work: JobContext) -> None:
    """T1: silence costs stake and a strike; the finalists go on (LC-JOB-32)."""
    for index in work.job.must:
        if not work.claim(index).model:
            _punish_silence(work, index)
    revealed = [(index, claim) for index in range(work.job.claimants) if (claim := work.claim(index)).model]
    full = {index for index, claim in revealed if claim.full}
    ranked = ranking.rank(work.entries(index for index, _ in revealed), work.tol, len(revealed))
    finalists = [entry.claim for entry in ranking.finalists(ranked, full.__contains__, work.terms.finalists)]
    work.change(finalists=finalists)
    if not finalists:
        ends.finish(work, JobState.EMPTY)
    elif work.job.hidden == Hidden.ON:
        work.move_to(JobState.KEY, work.params.job_key)
        work.host.emit("key.open", work.id, work.job.deadline)
    else:
        work.to_draw(0, 1)


def _punish_silence(work: JobContext, index: int) -> None:
    """A banned account could not send anything: its stake burns at the end like all that it would receive."""
    host, claimant = work.host, work.claim(index).claimant
    work.change_claim(index, result=Result.SILENT)
    host.emit("silent", work.id, claimant)
    if not host.is_banned(claimant):
        ends.burn_stake(work, claimant)
        host.service(STANDING).strike(claimant, work.posting.poster, "claim.silent", work.id)


def key_missing(work: JobContext) -> None:
    """T2: the contractor kept its key (LC-JOB-33)."""
    work.host.emit("key.missing", work.id)
    turn_hidden_off(work)
    work.to_draw(0, 1)


def turn_hidden_off(work: JobContext) -> None:
    """The deposit burns, and the public losses decide."""
    escrow = records.deposit_escrow(work.id)
    work.host.burn(escrow, work.host.escrowed(escrow), "deposit.burned", work.id)
    work.change(hidden=Hidden.OFF)
