"""What an identity is to do on a job before its present deadline: typed records, for machines and whoever shows them. Pure.

    state            who                        duty
    REVEAL           has a claim, not revealed  DueReveal
    KEY              the contractor             DueKey
    COMMIT           sits, has not committed    DueBallots
    COUNT            sits, has not opened       DueOpening
    COMMIT or COUNT  its model is under audit   DueService

Every function reads a bounded number of records.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.contracts.job import records, rules, store
from chain.contracts.job.messages import HiddenSet, PostJob
from chain.contracts.job.records import ENDED, AuditRound, ClaimantIndex, ClaimRecord, Job, JobState, Posting, Seat
from chain.host import Reader


@dataclass(frozen=True)
class DueReveal:
    """Open the standing claim. `must`: silence burns the stake and costs a strike."""

    job: bytes
    deadline: int
    must: bool
    claim: int
    """Its number on the ledger."""
    loss: int
    commitment: bytes


@dataclass(frozen=True)
class DueKey:
    """Reveal the key of the hidden data."""

    job: bytes
    deadline: int


@dataclass(frozen=True)
class DueService:
    """Keep the revealed model (binary CID, bytes) available to the committee."""

    job: bytes
    deadline: int
    model: bytes
    size: int


@dataclass(frozen=True)
class Audited:
    """One candidate of a seat: who claims which loss with which model (binary CID, bytes)."""

    claimant: bytes
    loss: int
    model: bytes
    size: int


@dataclass(frozen=True)
class DueBallots:
    """Evaluate the candidates, in the order of the ballots, and commit the ballots. `hidden` and `key`: for the second column."""

    job: bytes
    deadline: int
    audit: int
    round: int
    candidates: tuple[Audited, ...]
    seed: int
    probe: int
    hidden: HiddenSet | None
    key: bytes


@dataclass(frozen=True)
class DueOpening:
    """Open the committed ballots."""

    job: bytes
    deadline: int
    audit: int
    round: int
    commitment: bytes


Duty = DueReveal | DueKey | DueService | DueBallots | DueOpening


def duties_in(reader: Reader, job_id: bytes, identity: bytes, clock: int) -> list[Duty]:
    """The duties of `identity` on one job before the current deadline."""
    posting, job = reader.get(records.posting_key(job_id)), reader.get(records.job_key(job_id))
    if not isinstance(posting, Posting) or not isinstance(job, Job) or job.state in ENDED or clock >= job.deadline:
        return []
    if job.state == JobState.REVEAL:
        return _reveal(reader, job_id, job, identity)
    if job.state == JobState.KEY and identity == posting.poster:
        return [DueKey(job_id, job.deadline)]
    if job.state in (JobState.COMMIT, JobState.COUNT):
        record = store.read_round(reader, job_id, job.audit, job.round)
        return [
            *_service(reader, job_id, job, record, identity),
            *_seat(reader, job_id, posting.terms, job, record, identity),
        ]
    return []


def _own_claim(reader: Reader, job_id: bytes, identity: bytes) -> tuple[int, ClaimRecord] | None:
    known = reader.get(records.claimant_key(job_id, identity))
    if not isinstance(known, ClaimantIndex):
        return None
    return known.index, store.read_claim(reader, job_id, known.index)


def _reveal(reader: Reader, job_id: bytes, job: Job, identity: bytes) -> list[Duty]:
    own = _own_claim(reader, job_id, identity)
    if own is None or own[1].model:
        return []
    index, claim = own
    return [DueReveal(job_id, job.deadline, index in job.must, claim.count, claim.loss, claim.commitment)]


def _service(reader: Reader, job_id: bytes, job: Job, record: AuditRound, identity: bytes) -> list[Duty]:
    own = _own_claim(reader, job_id, identity)
    if own is None or own[0] not in record.batch:
        return []
    return [DueService(job_id, job.deadline, own[1].model, own[1].size)]


def _seat(reader: Reader, job_id: bytes, terms: PostJob, job: Job, record: AuditRound, identity: bytes) -> list[Duty]:
    seat = reader.get(records.seat_key(job_id, job.audit, job.round, identity))
    if not isinstance(seat, Seat):
        return []
    if job.state == JobState.COMMIT and not seat.commitment:
        claims = [store.read_claim(reader, job_id, index) for index in seat.candidates]
        ballots = DueBallots(
            job=job_id,
            deadline=job.deadline,
            audit=job.audit,
            round=job.round,
            candidates=tuple(Audited(claim.claimant, claim.loss, claim.model, claim.size) for claim in claims),
            seed=int.from_bytes(job_id[:8], "big"),
            probe=rules.probe_of(record.beacon, job_id, job.audit, job.round),
            hidden=terms.hidden[0] if record.hidden else None,
            key=job.key if record.hidden else b"",
        )
        return [ballots]
    if job.state == JobState.COUNT and seat.commitment and not seat.ballots:
        return [DueOpening(job_id, job.deadline, job.audit, job.round, seat.commitment)]
    return []
