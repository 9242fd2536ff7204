"""What people and clients read about jobs: plain dictionaries that JSON can carry. Nothing here changes anything.

Amounts are micro-credits, losses 1e-9 units, times milliseconds of the chain clock, sizes bytes, all integers; ids are hex,
identities `lc1…`, content ids the usual base32 text. Every function reads a bounded number of records.
"""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.messages import OnCheat, PostJob
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.job.records import (
    ENDED,
    NO_JOBS,
    AuditRound,
    CaseState,
    ClaimRecord,
    ContractorRecord,
    Hidden,
    Job,
    JobState,
    Line,
    Posting,
    Result,
    Seat,
)
from learningchain.chain.crypto import address
from learningchain.chain.host import K_VALIDATORS, Escrow, Listed, Reader, Validators, escrow_key, params_at
from learningchain.chain.host.terms import LIMITS, Arch, DeviceKind, ImageKind, Use, model_id
from learningchain.chain.losses import draw_probe
from learningchain.chain.types import cid_text, quorum
from learningchain.chain.verification import ranking, scale, windows
from learningchain.chain.verification.votes import BallotCode

MAX_LIST = 1_000
"""Most jobs that one call lists."""
USES = {Use.TRAIN: "train", Use.EVALUATE: "evaluate", Use.TRAIN | Use.EVALUATE: "both"}
WHOLE_METRIC = "the evaluation writes one number: this gives up the protection against partial runs"


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
        "draw_height": job.draw_height if job.state == JobState.DRAW else None,
        "claimants": job.claimants,
        "hidden": Hidden(job.hidden).name,
        "image": _image(terms),
        "limits": _limits(terms),
        "winner": address(store.read_claim(reader, job_id, job.winner[0]).claimant) if job.winner else None,
        "ended": job.ended or None,
    }


def contractor(reader: Reader, identity: bytes) -> dict[str, Any]:
    """How a contractor's jobs ended, in micro-credits and counts: workers choose by it.

    `refunded`: bounties that went back after a model had been shown; `undecided`: jobs with a candidate that nobody could decide;
    `unrepeatable`: verdicts for which more than a third of the votes were off.
    """
    record = reader.get(records.contractor_key(identity))
    record = record if isinstance(record, ContractorRecord) else NO_JOBS
    return {
        "posted": record.posted,
        "live": record.live,
        "paid": record.paid,
        "winners": len(record.winners) + record.older_winners,
        "last_winners": [address(one) for one in reversed(record.winners)],
        "refunded": record.refunded,
        "undecided": record.undecided,
        "unrepeatable": record.unrepeatable,
    }


def _deadline(job: Job) -> int | None:
    """None where no time ends the state: it is over, or a block does."""
    return None if job.state in ENDED or job.state == JobState.DRAW else job.deadline


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
    rounds = _rounds(reader, job_id, job, claims)
    examples = _examples(rounds)
    return summary | {
        "terms": _terms(posting.terms),
        "latest_end": _latest_end(posting.terms, params_at(reader, records.NUMBER, JobParams, posting.posted)),
        "latest_end_draw_blocks": _draw_blocks(reader, posting.terms),
        "contractor": contractor(reader, posting.poster),
        "key": job.key.hex(),
        "audit": job.audit,
        "round": job.round,
        "examples": examples,
        "warning": WHOLE_METRIC if examples == 1 else None,
        "claims": _claims(reader, job_id, posting.terms, job, claims),
        "must_reveal": [address(claims[index].claimant) for index in job.must],
        "finalists": [address(claims[index].claimant) for index in job.finalists],
        "rounds": rounds,
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
        "arch": Arch(terms.arch).name.lower(),
        "params": terms.params,
        "finalists": terms.finalists,
        "float_kind": scale.FloatKind(terms.float_kind).name.lower(),
        "tol": terms.tol,
        "floor": terms.floor,
        "on_cheat": OnCheat(terms.on_cheat).name.lower().replace("_", "-"),
        "stake": messages.full_stake(terms),
        "fees_locked": messages.fees_locked(terms),
        "bond": messages.bond(terms),
        "deposit": messages.deposit(terms),
        "hidden": hidden[0] if hidden else None,
        "devices": devices_of(terms),
        "earlier": earlier_of(terms),
        "data": [
            {"name": d.name, "cid": cid_text(d.cid), "size": d.size, "files": d.files, "use": USES[Use(d.use)]} for d in terms.data
        ],
    }


def devices_of(terms: PostJob) -> dict[str, Any] | None:
    """What a training asks for; None where it does with processors."""
    for one in terms.devices:
        return {"kind": DeviceKind(one.kind).name.lower(), "count": one.count, "mem_mb": one.mem_mb}
    return None


def earlier_of(terms: PostJob) -> dict[str, Any] | None:
    """The model that trainings may begin with, and the largest loss of a claim that is better; None where they begin anew."""
    for one in terms.earlier:
        job, most = one.job.hex() if any(one.job) else None, messages.improved(terms, one.loss)
        return {"job": job, "cid": cid_text(one.cid), "size": one.size, "loss": one.loss, "next_at_most": most}
    return None


def _latest_end(terms: PostJob, params: JobParams) -> int:
    """By the chain clock, but for the blocks of the draws and those by which a full block postpones a deadline."""
    return windows.latest_end(
        terms.expiry,
        params.job_reveal,
        params.job_key if terms.hidden else 0,
        params.job_open_votes,
        params.job_vote_base,
        eval_s=terms.limits.eval_s,
        model_cap=terms.limits.model_cap,
        finalists=terms.finalists,
        hidden=bool(terms.hidden),
        data=messages.evaluated_bytes(terms),
    )


def _draw_blocks(reader: Reader, terms: PostJob) -> int:
    """What the draws add to the latest end, in blocks of today's validator set: 2K+1 draws of d blocks."""
    record = reader.get(K_VALIDATORS)
    validators = len(record.members) if isinstance(record, Validators) else 1
    return (2 * terms.finalists + 1) * windows.draw_delay(validators)


def _claims(reader: Reader, job_id: bytes, terms: PostJob, job: Job, claims: list[ClaimRecord]) -> list[dict[str, Any]]:
    """In rank order as far as a rank decides anything (the first K), the others behind by loss and their order.

    While claims come their order inside one block is not drawn yet.
    """
    everybody = store.ranked_claims(job, enumerate(claims))
    ranked = [e.claim for e in ranking.rank(everybody, lambda loss: messages.tolerance(terms, loss), terms.finalists)]
    ahead = job.finalists + [index for index in ranked if index not in job.finalists]
    behind = [e.claim for e in sorted(everybody, key=lambda e: (e.loss, e.position)) if e.claim not in ahead]
    secret = _hidden_ranks(terms, job, claims)
    return [_claim(reader, job_id, terms, job, claims[index], index, secret.get(index)) for index in ahead + behind]


def _hidden_ranks(terms: PostJob, job: Job, claims: list[ClaimRecord]) -> dict[int, int]:
    """Rank by hidden loss, from 1, of those that were judged OK and whose hidden losses agree."""
    entries = [
        entry._replace(loss=claims[entry.claim].hidden_loss[0])
        for entry in store.ranked_claims(job, ((index, claims[index]) for index in job.finalists))
        if claims[entry.claim].hidden_loss
    ]
    ranked = ranking.rank(entries, lambda loss: messages.tolerance(terms, loss), len(entries))
    return {entry.claim: place for place, entry in enumerate(ranked, 1)}


def _claim(
    reader: Reader, job_id: bytes, terms: PostJob, job: Job, claim: ClaimRecord, index: int, hidden_rank: int | None
) -> dict[str, Any]:
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
        "rank": job.finalists.index(index) + 1 if index in job.finalists else None,
        "hidden_rank": hidden_rank,
        "revealed": bool(claim.model),
        "model": _model(claim) if claim.model else None,
        "result": Result(claim.result).name if claim.result else None,
        "line": Line(claim.line).name if claim.line else None,
        "hidden_loss": claim.hidden_loss[0] if claim.hidden_loss else None,
        "full": claim.full,
        "stake": claim.stake,
        "stake_is": "locked" if locked else "none" if not claim.stake else "burned" if burned else "released",
    }


def _model(claim: ClaimRecord) -> dict[str, Any]:
    return {"cid": cid_text(claim.model), "sha256": model_id(claim.model).hex(), "size": claim.size}


def _rounds(reader: Reader, job_id: bytes, job: Job, claims: list[ClaimRecord]) -> list[dict[str, Any]]:
    shown = []
    for audit in range(job.audit + 1):
        for round_ in (1, 2):
            found = store.read_seats(reader, job_id, audit, round_)
            if found is not None:
                shown.append(_round(job_id, audit, round_, found, job, claims))
    return shown


def _round(job_id: bytes, audit: int, round_: int, found: store.RoundSeats, job: Job, claims: list[ClaimRecord]) -> dict[str, Any]:
    """`probes`: by number of examples, which losses each opening shows: eight positions, and the subtrees whose greatest ones."""
    record = found.record
    counts = {column.count for seat in found.seats.values() for b in seat.ballots for column in (*b.public, *b.hidden)}
    drawn = [draw_probe(record.probe, job_id, audit, round_, count) for count in sorted(counts)] if record.probe else []
    finalists = {claims[index].claimant for index in job.finalists}
    return {
        "audit": audit,
        "round": round_,
        "beacon": record.beacon.hex(),
        "probe": record.probe.hex(),
        "probes": [{"examples": p.examples, "positions": list(p.positions), "subtrees": list(p.subtrees)} for p in drawn],
        "started": record.started,
        "commit_deadline": record.deadline,
        "hidden": record.hidden,
        "candidates": _candidates(record, claims),
        "committee": [_voter(seat, voter, voter not in finalists, claims) for voter, seat in found.seats.items()],
    }


def _candidates(record: AuditRound, claims: list[ClaimRecord]) -> list[dict[str, Any]]:
    """`pool`: how many could have been drawn; `quorum`: how many seats decide."""
    return [
        {"claimant": address(claims[index].claimant), "seats": seats, "pool": pool, "quorum": quorum(seats)}
        for index, seats, pool in zip(record.batch, record.seats, record.pools, strict=True)
    ]


def _voter(seat: Seat, voter: bytes, neutral: bool, claims: list[ClaimRecord]) -> dict[str, Any]:
    """`opened`: all that it measured is open, so that its votes count. `neutral`: it is no finalist itself."""
    return {
        "voter": address(voter),
        "neutral": neutral,
        "committed": bool(seat.commitment),
        "opened": seat.complete,
        "votes": [_ballot(seat, place, claims) for place in range(len(seat.ballots))],
        "struck": seat.struck or None,
        "fee": seat.fee,
    }


def _ballot(seat: Seat, place: int, claims: list[ClaimRecord]) -> dict[str, Any]:
    """Means and numbers of examples, and the losses that the openings showed so far, in the order of the probe."""
    ballot = seat.ballots[place]
    shown = {column.hidden: column.losses for column in seat.shown if column.candidate == place}
    public, hidden = next(iter(ballot.public), None), next(iter(ballot.hidden), None)
    return {
        "candidate": address(claims[seat.candidates[place]].claimant),
        "vote": BallotCode(ballot.code).name,
        "measured": public.mean if public else None,
        "examples": public.count if public else None,
        "shown": shown.get(False),
        "hidden_loss": hidden.mean if hidden else None,
        "hidden_examples": hidden.count if hidden else None,
        "hidden_shown": shown.get(True),
        "bad_key": ballot.badkey,
    }


def _examples(rounds: list[dict[str, Any]]) -> int | None:
    """n, as most of the votes so far have it, the smaller of equals; None before the first."""
    said = [b["examples"] for r in rounds for v in r["committee"] for b in v["votes"] if b["examples"]]
    return min(said, key=lambda n: (-said.count(n), n)) if said else None


def _payments(reader: Reader, job_id: bytes, posting: Posting, job: Job, claims: list[ClaimRecord]) -> dict[str, Any]:
    """Where the escrows are or went. What a banned payee would get is burned."""
    terms, ended = posting.terms, job.state in ENDED
    return {
        "bounty_to": address(claims[job.winner[0]].claimant) if job.winner else None,
        "bounty_paid": terms.bounty if job.winner else 0,
        "bounty_returned": terms.bounty if ended and not job.winner else 0,
        "stakes_burned_by_verdicts": job.burned,
        "bond_burned": job.bond_burned,
        "bond_returned": messages.bond(terms) - job.bond_burned if ended else 0,
        "fees_paid": job.fees_paid,
        "fees_burned": job.fees_burned,
        "fees_returned": messages.fees_locked(terms) - job.fees_paid - job.fees_burned if ended else 0,
        "deposit_burned": messages.deposit(terms) if job.hidden == Hidden.OFF else 0,
        "deposit_returned": messages.deposit(terms) if ended and job.hidden == Hidden.ON else 0,
        "in_escrow": {
            "bounty": _escrowed(reader, records.bounty_escrow(job_id)),
            "fees": _escrowed(reader, records.fee_escrow(job_id)),
            "bond": _escrowed(reader, records.bond_escrow(job_id)),
            "deposit": _escrowed(reader, records.deposit_escrow(job_id)),
            "stakes": sum(_escrowed(reader, records.stake_escrow(job_id, claim.claimant)) for claim in claims),
        },
    }
