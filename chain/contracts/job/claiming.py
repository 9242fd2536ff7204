"""Claim, Reveal, RevealKey: what is announced, and what is shown of it. Spec: LC-JOB-16, 21, 22, 23."""

from __future__ import annotations

import msgspec

from learningchain.chain.contracts.job import messages, records
from learningchain.chain.contracts.job.guards import load, require_poster, require_standing, require_state
from learningchain.chain.contracts.job.messages import MAX_CLAIMS, Claim, JobCode, Reveal, RevealKey
from learningchain.chain.contracts.job.records import ClaimantIndex, ClaimRecord, JobState, Result
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Reject
from learningchain.chain.host import SUSPENSIONS, Host
from learningchain.chain.host.terms import is_cid, model_id
from learningchain.chain.losses import MAX_LOSS


def claim(host: Host, sender: bytes, m: Claim) -> None:
    """LC-JOB-21: announce a loss before T0; only the sender's own last claim must be beaten."""
    work = load(host, m.job)
    require_state(work, JobState.OPEN, "claims")
    if host.service(SUSPENSIONS).barred_from(sender, work.posting.poster):
        raise Reject(JobCode.SUSPENDED, "you are suspended in a case about this contractor's work: claim on jobs of others")
    require_standing(host, sender, "claim")
    if sender == work.posting.poster:
        raise Reject(JobCode.OWN_JOB, "the contractor may not claim on its own job")
    if not work.terms.floor <= m.loss <= MAX_LOSS:
        text = f"a loss on this job lies from {work.terms.floor} (the posted floor) to {MAX_LOSS}, not {m.loss}"
        raise Reject(JobCode.BAD_LOSS, text)
    known = host.get(records.claimant_key(m.job, sender), ClaimantIndex)
    if known is None:
        index, record = _first_claim(work, sender, m)
    else:
        index, record = known.index, _next_claim(work, work.claim(known.index), m)
    host.put(records.claim_key(m.job, index), record)
    host.emit("claim", m.job, sender, m.loss, record.count)


def _first_claim(work: JobContext, sender: bytes, m: Claim) -> tuple[int, ClaimRecord]:
    """The full stake is locked where it is free and the claim wants it; a smaller one would risk less than it can win."""
    host, index = work.host, work.job.claimants
    for earlier in work.terms.earlier:
        if m.loss > (most := messages.improved(work.terms, earlier.loss)):
            text = f"trainings may begin with a model of loss {earlier.loss}; a better one is at most {most}, not {m.loss}"
            raise Reject(JobCode.NOT_BETTER, text)
    if index >= work.params.job_max_claimants:
        raise Reject(JobCode.JOB_FULL, f"the job has {index} claimants, no more are allowed")
    stake = messages.full_stake(work.terms)
    full = m.stake and host.free(sender) >= stake
    if full:
        host.lock(sender, records.stake_escrow(m.job, sender), stake, "stake.locked", m.job)
    host.put(records.claimant_key(m.job, sender), ClaimantIndex(index))
    work.change(claimants=index + 1)
    record = ClaimRecord(
        claimant=sender,
        count=1,
        loss=m.loss,
        height=host.height,
        tx=host.tx_id,
        op=host.op_index,
        commitment=m.commitment,
        claimed=host.clock,
        full=full,
        stake=stake if full else 0,
        model=b"",
        size=0,
        result=Result.NONE,
        line=0,
        hidden_loss=[],
    )
    return index, record


def _next_claim(work: JobContext, old: ClaimRecord, m: Claim) -> ClaimRecord:
    if old.count >= MAX_CLAIMS:
        raise Reject(JobCode.TOO_MANY_CLAIMS, f"a claimant has {MAX_CLAIMS} claims per job")
    needed = messages.improved(work.terms, old.loss)
    if m.loss > needed:
        raise Reject(JobCode.NOT_BETTER, f"your claim stands at {old.loss}; a better one is at most {needed}, not {m.loss}")
    host = work.host
    return msgspec.structs.replace(
        old,
        count=old.count + 1,
        loss=m.loss,
        commitment=m.commitment,
        claimed=host.clock,
        height=host.height,
        tx=host.tx_id,
        op=host.op_index,
    )


def reveal(host: Host, sender: bytes, m: Reveal) -> None:
    """LC-JOB-22: any claimant opens its standing commitment before T1, a suspended one too; with the last one T1 is now."""
    work = load(host, m.job)
    require_state(work, JobState.REVEAL, "reveals")
    known = host.get(records.claimant_key(m.job, sender), ClaimantIndex)
    if known is None:
        raise Reject(JobCode.NO_CLAIM, "you have no claim on this job")
    record = work.claim(known.index)
    if record.model:
        raise Reject(JobCode.ALREADY_REVEALED, "your claim is revealed already")
    if m.claim != record.count:
        raise Reject(JobCode.CLAIM_REPLACED, f"your claim {record.count} stands, not claim {m.claim}")
    if not is_cid(m.model) or not 1 <= m.size <= work.terms.limits.model_cap:
        text = f"a model is a CIDv1 with sha2-256 and has 1 to {work.terms.limits.model_cap} bytes"
        raise Reject(JobCode.BAD_MODEL, text)
    opened = messages.claim_commitment(host.chain_id, m.job, sender, model_id(m.model), m.salt)
    if opened != record.commitment:
        raise Reject(JobCode.REVEAL_MISMATCH, "model and salt do not open the commitment of your claim")
    work.change_claim(known.index, model=m.model, size=m.size)
    work.change(revealed=work.job.revealed + 1)
    host.emit("reveal", m.job, sender, record.loss, m.model, m.size)
    if work.job.revealed == work.job.claimants:
        work.end_window()


def reveal_key(host: Host, sender: bytes, m: RevealKey) -> None:
    """LC-JOB-23: the contractor opens the hidden data before T2, a suspended one too; the committee is drawn d blocks later."""
    work = load(host, m.job)
    require_poster(work, sender, "reveals its key")
    require_state(work, JobState.KEY, "the key")
    if sha256(m.key) != work.terms.hidden[0].key_hash:
        raise Reject(JobCode.WRONG_KEY, "the key does not have the hash that was posted")
    work.change(key=m.key)
    host.emit("key", m.job, m.key)
    work.to_draw(0, 1)
