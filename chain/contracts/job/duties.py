"""What an identity is to do on a job before its present deadline: typed records, for machines and whoever shows them. Pure.

    state            who                                  duty
    REVEAL           has a claim, not revealed            DueReveal
    KEY              the contractor                       DueKey
    COMMIT           sits, has not committed              DueBallots
    COUNT            sits, committed, columns are left    DueOpening
    COMMIT or COUNT  its model is under audit             DueService

In DRAW nobody has anything to do but to keep what it claimed. `may_have_model` says to whom a model under audit is given. Every
function reads a bounded number of records.
"""

from __future__ import annotations

from dataclasses import dataclass

from learningchain.chain.contracts.job import records, store
from learningchain.chain.contracts.job.messages import PostJob
from learningchain.chain.contracts.job.records import (
    ENDED,
    AuditRound,
    CaseState,
    ClaimantIndex,
    ClaimRecord,
    Job,
    JobState,
    Posting,
    Seat,
)
from learningchain.chain.host import K_VALIDATORS, Reader, Validators
from learningchain.chain.host.terms import HiddenSet


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
    hidden: HiddenSet | None
    key: bytes


@dataclass(frozen=True)
class DueOpening:
    """Open the committed ballots, column by column. `probe` is the beacon from which the probe of each column is drawn.

    `first`: the next opening carries ballots and salt. `shown`: the columns that are open already, each the index of a candidate
    of the seat and whether the hidden one.
    """

    job: bytes
    deadline: int
    audit: int
    round: int
    commitment: bytes
    probe: bytes
    first: bool
    shown: frozenset[tuple[int, bool]]


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
            hidden=terms.hidden[0] if record.hidden else None,
            key=job.key if record.hidden else b"",
        )
        return [ballots]
    if job.state == JobState.COUNT and seat.commitment and not seat.complete:
        shown = frozenset((column.candidate, column.hidden) for column in seat.shown)
        where = (job_id, job.deadline, job.audit, job.round)
        return [DueOpening(*where, seat.commitment, record.probe, not seat.ballots, shown)]
    return []


def may_have_model(reader: Reader, job_id: bytes, model: bytes, identity: bytes) -> bool:
    """LC-JOB-59: whether who has a model (binary CID) for its part in a job may give it to this identity now."""
    job = reader.get(records.job_key(job_id))
    if not isinstance(job, Job):
        return False
    if job.state == JobState.PAID and _has_model(reader, job_id, job.winner, model):
        return True
    if job.state in (JobState.COMMIT, JobState.COUNT):
        seat = reader.get(records.seat_key(job_id, job.audit, job.round, identity))
        if isinstance(seat, Seat) and _has_model(reader, job_id, seat.candidates, model):
            return True
    accused = [case.account for case in job.cases if case.state == CaseState.PENDING]
    own = [found[0] for who in accused if (found := _own_claim(reader, job_id, who)) is not None]
    return _has_model(reader, job_id, own, model) and _is_validator(reader, identity)


def _has_model(reader: Reader, job_id: bytes, claims: list[int], model: bytes) -> bool:
    return any(store.read_claim(reader, job_id, index).model == model for index in claims)


def _is_validator(reader: Reader, identity: bytes) -> bool:
    validators = reader.get(K_VALIDATORS)
    return isinstance(validators, Validators) and any(one.id == identity for one in validators.members)
