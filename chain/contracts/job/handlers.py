"""What each message does: its guards in the order of the table, then its effect. Spec: protocol_spec/job.md, LC-JOB-20 to 25."""

from __future__ import annotations

import msgspec

from chain.contracts.job import messages, records, rules, settle, store
from chain.contracts.job.messages import Claim, CommitVote, JobCode, OpenVote, PostJob, Reveal, RevealKey
from chain.contracts.job.params import JobParams
from chain.contracts.job.records import (
    ClaimantIndex,
    ClaimRecord,
    ContractorRecord,
    Hidden,
    Holdback,
    Job,
    JobState,
    Live,
    Numbered,
    Posting,
    Seat,
    Totals,
)
from chain.contracts.job.rules import HiddenVote, VoteCode
from chain.contracts.job.store import JobContext
from chain.crypto import sha256
from chain.errors import Code, Reject
from chain.host import STRIKES, Host
from chain.host.deadlines import Deadline, is_open
from chain.host.terms import image_fault, is_cid, limit_fault, model_id
from chain.types import format_credits
from chain.verification import scale

FLOAT_KINDS, CHEAT_CHOICES = frozenset(scale.FloatKind), frozenset(rules.OnCheat)
VOTES, HIDDEN_VOTES = frozenset(VoteCode), frozenset(HiddenVote)

# --- Post ----------------------------------------------------------------------------------------------------------------------


def post_job(host: Host, sender: bytes, m: PostJob) -> None:
    """LC-JOB-20: active, fewer than three live strikes, sane terms, room for one more, and bounty, fees and deposit are free."""
    _require_standing(host, sender, "post a job")
    _check_expiry(host, m)
    _check_terms(m)
    contractor = _one_more(host, sender, m)
    fees, deposit = rules.fees_locked(m.fee, m.finalists), messages.deposit(m)
    needed, free = m.bounty + fees + deposit, host.free(sender)
    if free < needed:
        asked = (("bounty", m.bounty), ("fees", fees), ("deposit", deposit))
        parts = ", ".join(f"{what} {format_credits(amount)}" for what, amount in asked if amount)
        text = f"{parts} need {format_credits(needed)} credits, {format_credits(free)} are free"
        raise Reject(Code.INSUFFICIENT_CREDITS, text)

    job_id = messages.job_id_of(host.tx_id, host.op_index)
    totals = host.get(records.K_TOTALS, Totals) or Totals(0)
    host.put(records.K_TOTALS, Totals(records.NUMBERS.append(host, totals.posted, Numbered(job_id))))
    host.put(records.live_key(job_id), Live(totals.posted, m.expiry))
    host.put(records.posting_key(job_id), Posting(sender, totals.posted, host.clock, m))
    host.put(records.job_key(job_id), _new_job(m))
    host.put(records.contractor_key(sender), contractor)
    host.lock(sender, records.bounty_escrow(job_id), m.bounty, "bounty.locked", job_id)
    host.lock(sender, records.fee_escrow(job_id), fees, "fees.locked", job_id)
    host.lock(sender, records.deposit_escrow(job_id), deposit, "deposit.locked", job_id)
    Deadline(host, records.NUMBER, job_id, sender).set(0, m.expiry)
    host.emit("job.posted", job_id, sender, m.bounty, m.fee, m.expiry)


def _one_more(host: Host, sender: bytes, m: PostJob) -> ContractorRecord:
    """LC-JOB-43: what one account has standing in the state has a bound."""
    old = host.get(records.contractor_key(sender), ContractorRecord) or ContractorRecord(0, 0, 0, 0, 0)
    size = old.live_bytes + messages.size_of(m)
    p = host.params_of(JobParams)
    if old.live >= p.job_max_live:
        raise Reject(JobCode.TOO_MANY_LIVE, f"{old.live} of your jobs are live, no more are allowed")
    if size > p.job_max_live_bytes:
        text = f"your live postings would have {size} bytes, {p.job_max_live_bytes} are allowed"
        raise Reject(JobCode.TOO_MANY_LIVE, text)
    return msgspec.structs.replace(old, posted=old.posted + 1, live_bytes=size)


def _new_job(m: PostJob) -> Job:
    return Job(
        state=JobState.OPEN,
        deadline=m.expiry,
        claimants=0,
        must=[],
        finalists=[],
        hidden=Hidden.ON if m.hidden else Hidden.NONE,
        key=b"",
        audit=0,
        round=0,
        committed=0,
        opened=0,
        cases=[],
        winner=[],
        fees_paid=0,
        holdback=Holdback.NONE,
        released=0,
        ended=0,
    )


def _check_expiry(host: Host, m: PostJob) -> None:
    """LC-JOB-15"""
    away, p = m.expiry - host.clock, host.params_of(JobParams)
    if away <= 0:
        raise Reject(JobCode.BAD_EXPIRY, f"the expiry {m.expiry} is past: the chain clock stands at {host.clock} ms")
    if not p.job_min_open <= away <= p.job_max_open:
        allowed = f"{p.job_min_open / 1_000:.10g} to {p.job_max_open / 1_000:.10g} s"
        text = f"the job would expire in {away / 1_000:.10g} s of the chain clock; this network allows {allowed}"
        raise Reject(JobCode.BAD_EXPIRY, text)


def _check_terms(m: PostJob) -> None:
    """LC-JOB-15, LC-JOB-42: every bound of a posting, each with its own code."""
    if fault := limit_fault(m.limits):
        raise Reject(JobCode.IMPOSSIBLE_LIMIT, fault)
    if fault := image_fault(m.image):
        raise Reject(JobCode.BAD_IMAGE, fault)
    if m.bounty < 1 or m.fee < 1:
        raise Reject(JobCode.BAD_TERMS, "bounty and fee per vote must be at least one micro-credit")
    if not 1 <= m.finalists <= rules.MAX_FINALISTS:
        raise Reject(JobCode.BAD_TERMS, f"a job has 1 to {rules.MAX_FINALISTS} finalists, not {m.finalists}")
    if m.float_kind not in FLOAT_KINDS or m.on_cheat not in CHEAT_CHOICES:
        raise Reject(JobCode.BAD_TERMS, "unknown float kind or unknown choice for cheating")
    if not 0 <= m.tol <= rules.MAX_LOSS or not -rules.MAX_LOSS <= m.floor <= rules.MAX_LOSS:
        raise Reject(JobCode.BAD_TERMS, f"tolerance and floor lie within {rules.MAX_LOSS} loss units")
    for hidden in m.hidden:
        if not is_cid(hidden.cid) or not 1 <= hidden.size <= messages.MAX_HIDDEN_BYTES:
            raise Reject(JobCode.BAD_HIDDEN, f"hidden data needs a CIDv1 and 1 to {messages.MAX_HIDDEN_BYTES} bytes")
    if len(m.params.encode()) > messages.MAX_PARAMS_BYTES:
        raise Reject(JobCode.BAD_PARAMS, f"params may have {messages.MAX_PARAMS_BYTES} bytes; put data into the image")


# --- Claim, Reveal, Key --------------------------------------------------------------------------------------------------------


def claim(host: Host, sender: bytes, m: Claim) -> None:
    """LC-JOB-21: announce a loss before T0; only the sender's own last claim must be beaten."""
    work = _load(host, m.job)
    _require(work, JobState.OPEN, "claims")
    _require_standing(host, sender, "claim")
    if sender == work.posting.poster:
        raise Reject(JobCode.OWN_JOB, "the contractor may not claim on its own job")
    if not work.terms.floor <= m.loss <= rules.MAX_LOSS:
        text = f"a loss on this job lies from {work.terms.floor} (the posted floor) to {rules.MAX_LOSS}, not {m.loss}"
        raise Reject(JobCode.BAD_LOSS, text)
    known = host.get(records.claimant_key(m.job, sender), ClaimantIndex)
    if known is None:
        index, record = _first_claim(work, sender, m)
    else:
        index, record = known.index, _next_claim(work, work.claim(known.index), m)
    host.put(records.claim_key(m.job, index), record)
    host.emit("claim", m.job, sender, m.loss, record.count)


def _first_claim(work: JobContext, sender: bytes, m: Claim) -> tuple[int, ClaimRecord]:
    host, index = work.host, work.job.claimants
    if index >= work.params.job_max_claimants:
        raise Reject(JobCode.JOB_FULL, f"the job has {index} claimants, no more are allowed")
    stake = min(host.free(sender), work.terms.bounty // 10)
    host.lock(sender, records.stake_escrow(m.job, sender), stake, "stake.locked", m.job)
    host.put(records.claimant_key(m.job, sender), ClaimantIndex(index))
    work.change(claimants=index + 1)
    record = ClaimRecord(
        claimant=sender,
        count=1,
        loss=m.loss,
        position=host.position,
        commitment=m.commitment,
        claimed=host.clock,
        stake=stake,
        model=b"",
        size=0,
        result=0,
        rule=0,
        hidden_loss=[],
    )
    return index, record


def _next_claim(work: JobContext, old: ClaimRecord, m: Claim) -> ClaimRecord:
    if old.count >= rules.MAX_CLAIMS:
        raise Reject(JobCode.TOO_MANY_CLAIMS, f"a claimant has {rules.MAX_CLAIMS} claims per job")
    needed = old.loss - 2 * work.tol(old.loss)
    if m.loss > needed:
        raise Reject(JobCode.NOT_BETTER, f"your claim stands at {old.loss}; a better one is at most {needed}, not {m.loss}")
    fresh = {"loss": m.loss, "commitment": m.commitment, "position": work.host.position, "claimed": work.host.clock}
    return msgspec.structs.replace(old, count=old.count + 1, **fresh)


def reveal(host: Host, sender: bytes, m: Reveal) -> None:
    """LC-JOB-22: any claimant opens its standing commitment before T1; the bytes need not be served yet."""
    work = _load(host, m.job)
    _require(work, JobState.REVEAL, "reveals")
    _require_active(host, sender)
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
    host.emit("reveal", m.job, sender, record.loss, m.model, m.size)


def reveal_key(host: Host, sender: bytes, m: RevealKey) -> None:
    """LC-JOB-23: the contractor opens the hidden data before T2; the audit starts at once."""
    work = _load(host, m.job)
    if sender != work.posting.poster:
        raise Reject(JobCode.NOT_POSTER, "only the contractor of the job reveals its key")
    _require(work, JobState.KEY, "the key")
    _require_active(host, sender)
    if sha256(m.key) != work.terms.hidden[0].key_hash:
        raise Reject(JobCode.WRONG_KEY, "the key does not have the hash that was posted")
    work.change(key=m.key)
    host.emit("key", m.job, m.key)
    settle.start_audit(work, 0, 1, work.job.finalists)


# --- votes ---------------------------------------------------------------------------------------------------------------------


def commit_vote(host: Host, sender: bytes, m: CommitVote) -> None:
    """LC-JOB-24: a member of the committee binds itself to its ballots, once; the last one opens the count."""
    work = _load(host, m.job)
    _require(work, JobState.COMMIT, "votes")
    _require_active(host, sender)
    seat = _seat(work, sender, m.audit, m.round)
    if seat.commitment:
        raise Reject(JobCode.ALREADY_COMMITTED, "your vote of this round is committed already")
    host.put(
        records.seat_key(m.job, m.audit, m.round, sender),
        msgspec.structs.replace(seat, commitment=m.commitment),
    )
    work.change(committed=work.job.committed + 1)
    host.emit("commit", m.job, m.audit, m.round, sender)
    if work.job.committed == len(store.read_round(host.store, m.job, m.audit, m.round).voters):
        settle.start_count(work)


def open_vote(host: Host, sender: bytes, m: OpenVote) -> None:
    """LC-JOB-25: open the committed ballots; the last one brings the verdicts."""
    work = _load(host, m.job)
    _require(work, JobState.COUNT, "opened votes")
    _require_active(host, sender)
    seat = _seat(work, sender, m.audit, m.round)
    if not seat.commitment:
        raise Reject(JobCode.NOT_COMMITTED, "you committed no vote in this round")
    if seat.ballots:
        raise Reject(JobCode.ALREADY_OPENED, "your vote of this round is open already")
    if messages.vote_commitment(host.chain_id, m.job, m.audit, m.round, sender, m.ballots, m.salt) != seat.commitment:
        raise Reject(JobCode.VOTE_MISMATCH, "ballots and salt do not open your commitment")
    if len(m.ballots) != len(seat.candidates):
        raise Reject(JobCode.BAD_VOTE, f"this seat votes on {len(seat.candidates)} candidates, not {len(m.ballots)}")
    hidden = store.read_round(host.store, m.job, m.audit, m.round).hidden
    for index, ballot in zip(seat.candidates, m.ballots, strict=True):
        check_ballot(work.terms, work.claim(index).loss, ballot, hidden)
    host.put(
        records.seat_key(m.job, m.audit, m.round, sender),
        msgspec.structs.replace(seat, ballots=m.ballots),
    )
    work.change(opened=work.job.opened + 1)
    for index, ballot in zip(seat.candidates, m.ballots, strict=True):
        host.emit("vote", m.job, m.audit, m.round, sender, index, ballot.code, ballot.measured)
    if work.job.opened == work.job.committed:
        settle.evaluate_round(work)


def check_ballot(terms: PostJob, claimed: int, ballot: messages.Ballot, hidden: bool) -> None:
    """LC-JOB-8: code and measured loss agree, unused fields are zero. Raises `Reject`: a client checks before it commits."""
    if ballot.code not in VOTES or ballot.hidden not in HIDDEN_VOTES:
        raise Reject(JobCode.BAD_VOTE, f"unknown vote {ballot.code} or unknown hidden column {ballot.hidden}")
    measured = ballot.code in rules.MEASURED
    if not measured and (ballot.measured or ballot.probe or ballot.hidden == HiddenVote.VALUE):
        raise Reject(JobCode.BAD_VOTE, "a vote without a measurement carries no losses")
    if measured and messages.vote_code(terms, claimed, ballot.measured) != ballot.code:
        raise Reject(JobCode.BAD_VOTE, f"a measured loss of {ballot.measured} against a claim of {claimed} is another vote")
    if ballot.hidden != HiddenVote.VALUE and ballot.hidden_loss:
        raise Reject(JobCode.BAD_VOTE, "a hidden loss without a hidden value")
    if not hidden and ballot.hidden != HiddenVote.NONE:
        raise Reject(JobCode.BAD_VOTE, "this round has no hidden data")
    if hidden and measured and ballot.hidden == HiddenVote.NONE:
        raise Reject(JobCode.BAD_VOTE, "a measurement in this round needs its hidden value, or the word that the key is bad")


# --- guards --------------------------------------------------------------------------------------------------------------------


def _load(host: Host, job_id: bytes) -> JobContext:
    work = store.load(host, job_id)
    if work is None:
        text = f"there is no job {job_id.hex()} in the state: there never was, or it ended long ago and left (LC-JOB-45)"
        raise Reject(JobCode.NO_SUCH_JOB, text)
    return work


def _require(work: JobContext, state: JobState, what: str) -> None:
    """The job is in `state` and its deadline has not passed, even when the deadline event is still waiting its turn."""
    if work.job.state < state:
        raise Reject(JobCode.WRONG_STATE, f"the job does not take {what} yet: it is {JobState(work.job.state).name}")
    if work.job.state > state:
        raise Reject(JobCode.TOO_LATE, f"the job no longer takes {what}: it is {JobState(work.job.state).name}")
    if not is_open(work.host, work.job.deadline):
        raise Reject(JobCode.TOO_LATE, f"the time for {what} ended at {work.job.deadline} of the chain clock")


def _require_active(host: Host, sender: bytes) -> None:
    if not host.is_active(sender):
        raise Reject(JobCode.NOT_ACTIVE, "your identity is suspended, banned or unknown")


def _require_standing(host: Host, sender: bytes, what: str) -> None:
    """LC-JOB-13: three live strikes bar from posting and claiming."""
    _require_active(host, sender)
    strikes = host.service(STRIKES).live(sender)
    if strikes >= rules.STRIKE_LIMIT:
        raise Reject(JobCode.TOO_MANY_STRIKES, f"{strikes} live strikes: you may not {what} until one expires")


def _seat(work: JobContext, sender: bytes, audit: int, round_: int) -> Seat:
    if (audit, round_) != (work.job.audit, work.job.round):
        raise Reject(JobCode.WRONG_ROUND, f"the job is in round {work.job.round} of audit {work.job.audit}")
    seat = work.host.get(records.seat_key(work.id, audit, round_, sender), Seat)
    if seat is None:
        raise Reject(JobCode.NOT_IN_COMMITTEE, "you do not sit on this committee")
    return seat
