"""PostJob, CancelJob, ExtendJob: what a contractor does to a job that nobody has claimed on. LC-JOB-15, 20, 42, 43, 50 to 52."""

from __future__ import annotations

import msgspec

from learningchain.chain.contracts.job import ends, messages, records
from learningchain.chain.contracts.job.guards import load, require_active, require_poster, require_standing, require_state
from learningchain.chain.contracts.job.messages import ARCHITECTURES, CancelJob, ExtendJob, JobCode, OnCheat, PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import ContractorRecord, JobState, Live, Numbered, Posting, Totals
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.errors import Code, Reject
from learningchain.chain.host import VERIFIERS, Host
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.host.terms import LIMITS, devices_fault, image_fault, is_cid, limit_fault, sets_fault
from learningchain.chain.losses import MAX_LOSS
from learningchain.chain.types import format_credits
from learningchain.chain.verification import windows
from learningchain.chain.verification.committee import least_able
from learningchain.chain.verification.scale import FloatKind

MAX_MODEL_BYTES = LIMITS["model_cap"][1]
FLOAT_KINDS, CHEAT_CHOICES = frozenset(FloatKind), frozenset(OnCheat)


def post_job(host: Host, sender: bytes, m: PostJob) -> None:
    """LC-JOB-20: active, standing, sane terms, room for one more, enough who can judge; bounty, fees, bond and deposit are free."""
    require_active(host, sender, "post a job")
    require_standing(host, sender, "post a job")
    _check_expiry(host, m.expiry)
    _check_terms(m)
    _check_pay(host, m)
    _check_data(m)
    _check_verifiers(host, sender, m)
    contractor = _one_more(host, sender, m)
    job_id = messages.job_id_of(host.tx_id, host.op_index)
    _lock(host, sender, job_id, m)
    totals = host.get(records.K_TOTALS, Totals) or Totals(0)
    host.put(records.K_TOTALS, Totals(records.NUMBERS.append(host, totals.posted, Numbered(job_id))))
    host.put(records.live_key(job_id), Live(totals.posted, m.expiry))
    host.put(records.posting_key(job_id), Posting(sender, totals.posted, host.clock, m))
    host.put(records.job_key(job_id), records.new_job(m))
    host.put(records.contractor_key(sender), contractor)
    Deadline(host, records.NUMBER, job_id, sender).set(0, m.expiry)
    host.emit("job.posted", job_id, sender, m.bounty, m.fee, m.expiry)


def _lock(host: Host, sender: bytes, job_id: bytes, m: PostJob) -> None:
    """B, F, G and D, or nothing."""
    parts = (
        ("bounty", records.bounty_escrow(job_id), m.bounty),
        ("fees", records.fee_escrow(job_id), messages.fees_locked(m)),
        ("bond", records.bond_escrow(job_id), messages.bond(m)),
        ("deposit", records.deposit_escrow(job_id), messages.deposit(m)),
    )
    needed, free = sum(amount for _, _, amount in parts), host.free(sender)
    if free < needed:
        asked = ", ".join(f"{what} {format_credits(amount)}" for what, _, amount in parts if amount)
        text = f"{asked} need {format_credits(needed)} credits, {format_credits(free)} are free"
        raise Reject(Code.INSUFFICIENT_CREDITS, text)
    for what, escrow, amount in parts:
        host.lock(sender, escrow, amount, f"{what}.locked", job_id)


def _one_more(host: Host, sender: bytes, m: PostJob) -> ContractorRecord:
    """LC-JOB-43: what one account has standing in the state has a bound."""
    old = host.get(records.contractor_key(sender), ContractorRecord) or records.NO_JOBS
    size, p = old.live_bytes + messages.size_of(m), host.params_of(JobParams)
    if old.live >= p.job_max_live:
        raise Reject(JobCode.TOO_MANY_LIVE, f"{old.live} of your jobs are live, no more are allowed")
    if size > p.job_max_live_bytes:
        text = f"your live postings would have {size} bytes, {p.job_max_live_bytes} are allowed"
        raise Reject(JobCode.TOO_MANY_LIVE, text)
    return msgspec.structs.replace(old, posted=old.posted + 1, live=old.live + 1, live_bytes=size)


# --- terms ---------------------------------------------------------------------------------------------------------------------


def _check_pay(host: Host, m: PostJob) -> None:
    """LC-JOB-1: a bounty whose tenth deters, and a fee that covers the evaluation."""
    p = host.params_of(JobParams)
    if m.bounty < p.job_min_bounty:
        text = f"a bounty is at least {format_credits(p.job_min_bounty)} credits on this network, not {format_credits(m.bounty)}"
        raise Reject(JobCode.LOW_BOUNTY, text)
    work = messages.judging_work(m)
    least = windows.least_fee(work, p.job_rate)
    if m.fee < least:
        text = (
            f"{messages.evaluation_s(m)} s of evaluation on {m.limits.cpus_milli / 1_000:.10g} CPUs, and what a verifier does "
            f"besides, are {work / 1_000:.10g} CPU seconds: they cost at least {format_credits(least)} credits a vote, "
            f"not {format_credits(m.fee)}"
        )
        raise Reject(JobCode.LOW_FEE, text)


def _check_expiry(host: Host, expiry: int) -> None:
    """LC-JOB-15"""
    away, p = expiry - host.clock, host.params_of(JobParams)
    if away <= 0:
        raise Reject(JobCode.BAD_EXPIRY, f"the expiry {expiry} is past: the chain clock stands at {host.clock} ms")
    if not p.job_min_open <= away <= p.job_max_open:
        allowed = f"{p.job_min_open / 1_000:.10g} to {p.job_max_open / 1_000:.10g} s"
        text = f"the job would expire in {away / 1_000:.10g} s of the chain clock; this network allows {allowed}"
        raise Reject(JobCode.BAD_EXPIRY, text)


def _check_terms(m: PostJob) -> None:
    """LC-JOB-15, LC-JOB-42: limits, image and numbers, each with a code of its own."""
    if fault := limit_fault(m.limits):
        raise Reject(JobCode.IMPOSSIBLE_LIMIT, fault)
    if fault := image_fault(m.image):
        raise Reject(JobCode.BAD_IMAGE, fault)
    if m.arch not in ARCHITECTURES:
        raise Reject(JobCode.BAD_TERMS, f"unknown processor architecture {m.arch}")
    if not messages.MIN_FINALISTS <= m.finalists <= messages.MAX_FINALISTS:
        text = f"a job has {messages.MIN_FINALISTS} to {messages.MAX_FINALISTS} finalists, not {m.finalists}"
        raise Reject(JobCode.BAD_TERMS, text)
    if m.float_kind not in FLOAT_KINDS or m.on_cheat not in CHEAT_CHOICES:
        raise Reject(JobCode.BAD_TERMS, "unknown float kind or unknown choice for cheating")
    if m.tol > MAX_LOSS or not -MAX_LOSS <= m.floor <= MAX_LOSS:
        raise Reject(JobCode.BAD_TERMS, f"tolerance and floor lie within {MAX_LOSS} loss units")


def _check_data(m: PostJob) -> None:
    """LC-JOB-15"""
    for hidden in m.hidden:
        if not is_cid(hidden.cid) or not 1 <= hidden.size <= messages.MAX_HIDDEN_BYTES:
            raise Reject(JobCode.BAD_HIDDEN, f"hidden data needs a CIDv1 and 1 to {messages.MAX_HIDDEN_BYTES} bytes")
    if len(m.params.encode()) > messages.MAX_PARAMS_BYTES:
        raise Reject(JobCode.BAD_PARAMS, f"params may have {messages.MAX_PARAMS_BYTES} bytes; put data into the image")
    if fault := sets_fault(m.data):
        raise Reject(JobCode.BAD_DATA, fault)
    if fault := devices_fault(m.devices):
        raise Reject(JobCode.BAD_DEVICES, fault)
    for earlier in m.earlier:
        if not is_cid(earlier.cid) or not 1 <= earlier.size <= MAX_MODEL_BYTES or not m.floor <= earlier.loss <= MAX_LOSS:
            bounds = f"1 to {MAX_MODEL_BYTES} bytes, and a loss from the floor {m.floor} to {MAX_LOSS}"
            raise Reject(JobCode.BAD_EARLIER, f"an earlier model needs a CIDv1, {bounds}")


def _check_verifiers(host: Host, sender: bytes, m: PostJob) -> None:
    """LC-JOB-52: a job that few can judge is decided by few: a third of those with the flag, and three if there are so many."""
    flagged, able = host.service(VERIFIERS).flagged(sender, messages.needed_capacity(m))
    needed = least_able(flagged)
    if able < needed:
        text = f"of {flagged} verifiers {able} have declared that they can run these limits; {needed} are needed"
        raise Reject(JobCode.FEW_VERIFIERS, text)


# --- before the first claim ----------------------------------------------------------------------------------------------------


def _unclaimed(host: Host, sender: bytes, job_id: bytes, what: str) -> JobContext:
    work = load(host, job_id)
    require_poster(work, sender, "may do this")
    require_state(work, JobState.OPEN, f"the order to have it {what}")
    if work.job.claimants:
        raise Reject(JobCode.HAS_CLAIMS, f"{work.job.claimants} have claimed on the job: it cannot be {what} any more")
    return work


def cancel_job(host: Host, sender: bytes, m: CancelJob) -> None:
    """LC-JOB-50: everything goes back. A suspended contractor may, too."""
    work = _unclaimed(host, sender, m.job, "cancelled")
    host.emit("cancelled", m.job, sender)
    ends.finish(work, JobState.EMPTY)


def extend_job(host: Host, sender: bytes, m: ExtendJob) -> None:
    """LC-JOB-51: a later expiry, as if the job were posted now."""
    work = _unclaimed(host, sender, m.job, "extended")
    require_active(host, sender, "extend a job")
    require_standing(host, sender, "extend a job")
    if m.expiry <= work.terms.expiry:
        left = f"{(work.terms.expiry - host.clock) / 1_000:.10g} s of the chain clock"
        raise Reject(JobCode.BAD_EXPIRY, f"claims end in {left} already: a later expiry is needed")
    _check_expiry(host, m.expiry)
    terms = msgspec.structs.replace(work.terms, expiry=m.expiry)
    ends.count_bytes(work, messages.size_of(terms) - messages.size_of(work.terms))
    work.posting = msgspec.structs.replace(work.posting, terms=terms)
    host.put(records.posting_key(m.job), work.posting)
    host.put(records.live_key(m.job), Live(work.posting.number, m.expiry))
    work.move_to(JobState.OPEN, m.expiry - host.clock)
    host.emit("extended", m.job, sender, m.expiry)
