"""How the records of a job that ended leave the state: all of them, in pages, some time after its end (LC-JOB-44 to 46).

    ended, stakes back, cases closed --job_keep--> posting, job, number --> claims, a page an event --> rounds with their seats

Blocks and receipts tell of it for good, and a node keeps what left beside its blocks (`Contract.archive`). What a rule may ask
of a job that is gone has to stand elsewhere: the contractor's record does, and strikes and cases are the membership contract's.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from learningchain.chain.contracts.job import records, store
from learningchain.chain.contracts.job.records import AuditRound, CaseState, Job, Leaving
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import SUSPENSIONS, Host, Reader

PAGE = 128
"""Claims and seats that one event removes, but for the last round of votes among them, which goes whole."""


@dataclass(frozen=True)
class Page:
    """What the next event removes: claims from index `first` on, rounds of votes; and the last round that is left after it."""

    first: int
    rounds: list[tuple[int, int, AuditRound]]
    audit: int
    round: int
    size: int
    """Records of claims, rounds and seats."""


def next_page(reader: Reader, job_id: bytes, claimants: int, audit: int, round_: int) -> Page:
    """LC-JOB-45: the last claims first, then the rounds from the last one down."""
    first = max(0, claimants - PAGE)
    size, rounds = claimants - first, []
    while round_:
        record = reader.get(records.round_key(job_id, audit, round_))
        if isinstance(record, AuditRound):
            if size >= PAGE:
                break
            rounds.append((audit, round_, record))
            size += 1 + len(record.voters)
        audit, round_ = (audit, 1) if round_ == 2 else (audit - 1, 2) if audit else (0, 0)
    return Page(first, rounds, audit, round_, size)


def page_size(reader: Reader, job_id: bytes, record: Job | Leaving) -> int:
    """LC-BLK-31: the records of the next page of a job that ended, or is leaving."""
    return next_page(reader, job_id, record.claimants, record.audit, record.round).size


def await_leaving(work: JobContext) -> None:
    """LC-JOB-44: once nothing else is to come of a job that ended, its last deadline is set."""
    if not work.job.deadline:
        _set_last_deadline(work)


def put_off(work: JobContext) -> None:
    """A job that changed just now does not leave in this block: whoever archives it reads it as the block before left it."""
    if work.job.released == work.job.claimants:
        _set_last_deadline(work)


def _set_last_deadline(work: JobContext) -> None:
    work.move_to(work.job.state, max(1, work.job.ended + work.params.job_keep - work.host.clock))


def try_to_leave(work: JobContext, before: Job) -> None:
    """A deadline came; `before` is the job as it found it. A verdict that is open holds the job: it is looked at again later."""
    if work.job.deadline:
        return
    if any(case.state == CaseState.PENDING for case in work.job.cases):
        work.move_to(work.job.state, work.host.service(SUSPENSIONS).longest_ms() + 1)
    elif work.job != before or work.host.clock < work.job.ended + work.params.job_keep:
        _set_last_deadline(work)
    else:
        _leave(work)


def _leave(work: JobContext) -> None:
    """LC-JOB-45: from here on nobody finds the job in the state."""
    host, job = work.host, work.job
    for escrow in (records.bounty_escrow, records.fee_escrow, records.bond_escrow, records.deposit_escrow):
        _require_empty(host, work.id, escrow(work.id))
    host.emit("job.left", work.id, job.state, job.ended)
    for key in (records.posting_key(work.id), records.job_key(work.id), records.NUMBERS.key(work.posting.number)):
        host.delete(key)
    _remove_page(host, work.id, Leaving(work.posting.poster, job.claimants, job.audit, job.round, given_back=False))


def go_on(host: Host, job_id: bytes) -> None:
    """The next page of a job that is leaving, if it is."""
    leaving = host.get(records.leaving_key(job_id), Leaving)
    if leaving is not None:
        _remove_page(host, job_id, leaving)


def give_back(host: Host, job_id: bytes) -> bool:
    """LC-JOB-46: a job that was parked while it left goes on, and stakes that are still there return. False where none leaves."""
    leaving = host.get(records.leaving_key(job_id), Leaving)
    if leaving is None:
        return False
    host.put(records.leaving_key(job_id), msgspec.structs.replace(leaving, given_back=True))
    host.schedule(host.clock + 1, records.NUMBER, job_id, leaving.poster)
    return True


def _remove_page(host: Host, job_id: bytes, leaving: Leaving) -> None:
    page = next_page(host.store, job_id, leaving.claimants, leaving.audit, leaving.round)
    for index in range(page.first, leaving.claimants):
        _remove_claim(host, job_id, index, leaving.given_back)
    for audit, round_, record in page.rounds:
        for voter in record.voters:
            host.delete(records.seat_key(job_id, audit, round_, voter))
        host.delete(records.round_key(job_id, audit, round_))
    if page.first or page.round:
        rest = Leaving(leaving.poster, page.first, page.audit, page.round, leaving.given_back)
        host.put(records.leaving_key(job_id), rest)
        host.schedule(host.clock + 1, records.NUMBER, job_id, leaving.poster)
    else:
        host.delete(records.leaving_key(job_id))


def _remove_claim(host: Host, job_id: bytes, index: int, given_back: bool) -> None:
    claimant = store.read_claim(host.store, job_id, index).claimant
    stake = records.stake_escrow(job_id, claimant)
    if given_back:
        host.pay(stake, claimant, host.escrowed(stake), "stake", job_id)
    _require_empty(host, job_id, stake)
    host.delete(records.claim_key(job_id, index))
    host.delete(records.claimant_key(job_id, claimant))


def _require_empty(host: Host, job_id: bytes, escrow: bytes) -> None:
    """What leaves holds nothing: credits of an escrow that nobody knows would be lost."""
    if amount := host.escrowed(escrow):
        raise BrokenInvariant(f"job {job_id.hex()} would leave the state with {amount} in the escrow {escrow.hex()}")
