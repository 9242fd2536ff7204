"""What people and clients read about jobs: plain dictionaries that JSON can carry. Nothing here changes anything.

Amounts are micro-credits, losses 1e-9 units, times milliseconds of the chain clock, sizes bytes, all integers; ids are hex,
identities `lc1…`, content ids the usual base32 text. Every function reads a bounded number of records.
"""

from __future__ import annotations

from base64 import b32encode
from typing import Any

from chain.contracts.job import messages, records, rules, store
from chain.contracts.job.messages import PostJob
from chain.contracts.job.params import JobParams
from chain.contracts.job.records import (
    ENDED,
    AuditRound,
    CaseState,
    ClaimRecord,
    ContractorRecord,
    Hidden,
    Holdback,
    Job,
    JobState,
    Posting,
    Seat,
)
from chain.contracts.job.rules import HiddenVote, Result, Rule, VoteCode
from chain.crypto import address
from chain.host import Escrow, Listed, Reader, escrow_key, read_params
from chain.host.terms import LIMITS, ImageKind, model_id
from chain.types import quorum
from chain.verification import ranking, scale

MAX_LIST = 1_000
"""Most jobs that one call lists."""


def cid_text(cid: bytes) -> str:
    """The base32 text of a binary CID, empty for none."""
    return "b" + b32encode(cid).decode("ascii").rstrip("=").lower() if cid else ""


def _read(reader: Reader, job_id: bytes) -> tuple[Posting, Job] | None:
    posting, job = reader.get(records.posting_key(job_id)), reader.get(records.job_key(job_id))
    return (posting, job) if isinstance(posting, Posting) and isinstance(job, Job) else None


def _escrowed(reader: Reader, escrow: bytes) -> int:
    record = reader.get(escrow_key(escrow))
    return record.amount if isinstance(record, Escrow) else 0


# --- lists ---------------------------------------------------------------------------------------------------------------------


def newest(reader: Listed, before: int | None, limit: int) -> list[tuple[int, bytes]]:
    """Jobs in the state and their numbers in descending order of these, below `before`; `limit` is at most `MAX_LIST`."""
    return [(number, entry.job) for number, entry in records.NUMBERS.newest(reader, before, max(0, min(limit, MAX_LIST)))]


def summarise(reader: Reader, job_id: bytes) -> dict[str, Any] | None:
    """One line about a job, or None when there is no such job."""
    found = _read(reader, job_id)
    if found is None:
        return None
    posting, job = found
    terms = posting.terms
    return {
        "id": job_id.hex(),
        "number": posting.number,
        "state": JobState(job.state).name,
        "poster": address(posting.poster),
        "bounty": terms.bounty,
        "fee": terms.fee,
        "posted": posting.posted,
        "expiry": terms.expiry,
        "deadline": _deadline(job),
        "claimants": job.claimants,
        "hidden": Hidden(job.hidden).name,
        "image": _image(terms),
        "limits": _limits(terms),
        "winner": address(store.read_claim(reader, job_id, job.winner[0]).claimant) if job.winner else None,
        "ended": job.ended or None,
    }


def contractor(reader: Reader, identity: bytes) -> dict[str, int]:
    """How a contractor's jobs ended: workers choose by it. `refunded` counts refunds after models were shown."""
    record = reader.get(records.contractor_key(identity))
    record = record if isinstance(record, ContractorRecord) else ContractorRecord(0, 0, 0, 0, 0)
    return {"posted": record.posted, "paid": record.paid, "refunded": record.refunded, "empty": record.empty}


def _deadline(job: Job) -> int | None:
    return None if job.state in ENDED else job.deadline


def _image(terms: PostJob) -> dict[str, Any]:
    image = terms.image
    return {
        "kind": ImageKind(image.kind).name.lower(),
        "reference": image.reference,
        "cid": cid_text(image.cid),
        "image_id": image.image_id.hex(),
        "size": image.size,
    }


def _limits(terms: PostJob) -> dict[str, int]:
    return {name: getattr(terms.limits, name) for name in LIMITS}


# --- one job -------------------------------------------------------------------------------------------------------------------


def describe(reader: Reader, job_id: bytes) -> dict[str, Any] | None:
    """Everything about a job: terms, deadlines, claims in rank order, audits with votes, verdicts, payments, its latest end."""
    found = _read(reader, job_id)
    summary = summarise(reader, job_id)
    if found is None or summary is None:
        return None
    posting, job = found
    claims = [store.read_claim(reader, job_id, index) for index in range(job.claimants)]
    return summary | {
        "terms": _terms(posting.terms),
        "latest_end": _latest_end(posting.terms, read_params(reader, records.NUMBER, JobParams)),
        "contractor": contractor(reader, posting.poster),
        "key": job.key.hex(),
        "audit": job.audit,
        "round": job.round,
        "claims": _claims(reader, job_id, posting.terms, job, claims),
        "must_reveal": [address(claims[index].claimant) for index in job.must],
        "finalists": [address(claims[index].claimant) for index in job.finalists],
        "rounds": _rounds(reader, job_id, job, claims),
        "cases": [{"account": address(c.account), "state": CaseState(c.state).name} for c in job.cases],
        "payments": _payments(reader, job_id, posting, job, claims),
        "model": _model(claims[job.winner[0]]) if job.winner else None,
    }


def _terms(terms: PostJob) -> dict[str, Any]:
    hidden = [
        {"cid": cid_text(h.cid), "plain_hash": h.plain_hash.hex(), "key_hash": h.key_hash.hex(), "size": h.size}
        for h in terms.hidden
    ]
    return {
        "params": terms.params,
        "finalists": terms.finalists,
        "float_kind": scale.FloatKind(terms.float_kind).name.lower(),
        "tol": terms.tol,
        "floor": terms.floor,
        "on_cheat": rules.OnCheat(terms.on_cheat).name.lower().replace("_", "-"),
        "fees_locked": rules.fees_locked(terms.fee, terms.finalists),
        "deposit": messages.deposit(terms),
        "hidden": hidden[0] if hidden else None,
    }


def _latest_end(terms: PostJob, params: JobParams) -> int:
    return rules.latest_end(
        terms.expiry,
        params.job_reveal,
        params.job_key if terms.hidden else 0,
        params.job_open_votes,
        finalists=terms.finalists,
        vote_base=params.job_vote_base,
        eval_s=terms.limits.eval_s,
        model_cap=terms.limits.model_cap,
    )


def _claims(reader: Reader, job_id: bytes, terms: PostJob, job: Job, claims: list[ClaimRecord]) -> list[dict[str, Any]]:
    """In rank order as far as a rank decides anything (the first K), the others behind by loss and chain order."""
    everybody = [ranking.RankedClaim(claim.position, claim.loss, index) for index, claim in enumerate(claims)]
    ranked = [e.claim for e in ranking.rank(everybody, lambda loss: messages.tolerance(terms, loss), terms.finalists)]
    ahead = job.finalists + [index for index in ranked if index not in job.finalists]
    behind = [e.claim for e in sorted(everybody, key=lambda e: (e.loss, e.position)) if e.claim not in ahead]
    return [_claim(reader, job_id, terms, job, claims[index], index) for index in ahead + behind]


def _claim(reader: Reader, job_id: bytes, terms: PostJob, job: Job, claim: ClaimRecord, index: int) -> dict[str, Any]:
    locked = _escrowed(reader, records.stake_escrow(job_id, claim.claimant))
    burned = claim.result in (Result.SILENT, Result.REFUSED, Result.FALSE)
    return {
        "index": index,
        "claimant": address(claim.claimant),
        "claim": claim.count,
        "loss": claim.loss,
        "tolerance": messages.tolerance(terms, claim.loss),
        "bound": messages.bound(terms, claim.loss),
        "next_at_most": messages.improved(terms, claim.loss),
        "claimed": claim.claimed,
        "commitment": claim.commitment.hex(),
        "must_reveal": index in job.must,
        "finalist": index in job.finalists,
        "revealed": bool(claim.model),
        "model": _model(claim) if claim.model else None,
        "result": Result(claim.result).name if claim.result else None,
        "rule": Rule(claim.rule).name if claim.rule else None,
        "hidden_loss": claim.hidden_loss[0] if claim.hidden_loss else None,
        "stake": claim.stake,
        "stake_is": "locked" if locked else "none" if not claim.stake else "burned" if burned else "released",
    }


def _model(claim: ClaimRecord) -> dict[str, Any]:
    return {"cid": cid_text(claim.model), "sha256": model_id(claim.model).hex(), "size": claim.size}


def _rounds(reader: Reader, job_id: bytes, job: Job, claims: list[ClaimRecord]) -> list[dict[str, Any]]:
    shown = []
    for audit in range(job.audit + 1):
        for round_ in (1, 2):
            record = reader.get(records.round_key(job_id, audit, round_))
            if isinstance(record, AuditRound):
                shown.append(_round(reader, job_id, audit, round_, record, claims))
    return shown


def _round(reader: Reader, job_id: bytes, audit: int, round_: int, record: AuditRound, claims: list[ClaimRecord]) -> dict[str, Any]:
    return {
        "audit": audit,
        "round": round_,
        "beacon": record.beacon.hex(),
        "probe": rules.probe_of(record.beacon, job_id, audit, round_),
        "started": record.started,
        "commit_deadline": record.deadline,
        "hidden": record.hidden,
        "candidates": [
            {"claimant": address(claims[index].claimant), "seats": seats, "pool": pool, "quorum": quorum(seats)}
            for index, seats, pool in zip(record.batch, record.seats, record.pools, strict=True)
        ],
        "committee": [_voter(store.read_seat(reader, job_id, audit, round_, voter), voter, claims) for voter in record.voters],
    }


def _voter(seat: Seat, voter: bytes, claims: list[ClaimRecord]) -> dict[str, Any]:
    votes = [
        {
            "candidate": address(claims[index].claimant),
            "vote": VoteCode(ballot.code).name,
            "measured": ballot.measured if ballot.code in rules.MEASURED else None,
            "probe_loss": ballot.probe if ballot.code in rules.MEASURED else None,
            "hidden_loss": ballot.hidden_loss if ballot.hidden == HiddenVote.VALUE else None,
            "bad_key": ballot.hidden == HiddenVote.BADKEY,
        }
        for index, ballot in zip(seat.candidates, seat.ballots, strict=False)
    ]
    return {
        "voter": address(voter),
        "committed": bool(seat.commitment),
        "opened": bool(seat.ballots),
        "votes": votes,
        "struck": seat.struck,
        "fee": seat.fee,
    }


def _payments(reader: Reader, job_id: bytes, posting: Posting, job: Job, claims: list[ClaimRecord]) -> dict[str, Any]:
    """Where the escrows are or went. What a suspended payee gets is frozen, what a banned one would get is burned."""
    terms = posting.terms
    holdback = terms.bounty // 10 if job.state == JobState.REFUNDED else 0
    returned = job.state == JobState.EMPTY or (job.state == JobState.REFUNDED and job.holdback == Holdback.RETURNED)
    return {
        "bounty_to": address(claims[job.winner[0]].claimant) if job.winner else None,
        "bounty_paid": terms.bounty if job.winner else 0,
        "bounty_returned": terms.bounty if returned else terms.bounty - holdback if job.state == JobState.REFUNDED else 0,
        "last_tenth": Holdback(job.holdback).name.lower(),
        "last_tenth_amount": holdback,
        "fees_paid": job.fees_paid,
        "fees_returned": rules.fees_locked(terms.fee, terms.finalists) - job.fees_paid if job.state in ENDED else 0,
        "deposit_burned": messages.deposit(terms) if job.hidden == Hidden.OFF else 0,
        "deposit_returned": messages.deposit(terms) if job.state in ENDED and job.hidden == Hidden.ON else 0,
        "in_escrow": {
            "bounty": _escrowed(reader, records.bounty_escrow(job_id)),
            "fees": _escrowed(reader, records.fee_escrow(job_id)),
            "deposit": _escrowed(reader, records.deposit_escrow(job_id)),
            "stakes": sum(_escrowed(reader, records.stake_escrow(job_id, claim.claimant)) for claim in claims),
        },
    }
