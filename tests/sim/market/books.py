"""Whose the escrowed credits are: kept a second time from the events, and a third time from the jobs' records.

Every escrow that the ledger holds must be what the events put into it less what they took out, and what the job's record says it
owes; and every credit that leaves an escrow must go to whom it is owed, or be burned for a reason that the contract names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from learningchain.chain.contracts.job import messages, records, store
from learningchain.chain.contracts.job.records import ENDED, Hidden, Job, Posting, Result, Seat
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.host import BANNED, Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.types import TransferEvent
from tests.sim.checks import Violation

ID = 20
JOB = 32


@dataclass
class JobBook:
    """What one job took in and gave away."""

    posting: Posting
    held: dict[bytes, int] = field(default_factory=dict)
    locked: int = 0
    out: int = 0
    bounties: list[tuple[bytes, int]] = field(default_factory=list)
    fees: dict[bytes, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


class Books:
    def __init__(self) -> None:
        self.jobs: dict[bytes, JobBook] = {}

    # --- from the events --------------------------------------------------------------------------------------------------------

    def posted(self, job: bytes, posting: Posting) -> None:
        self.jobs[job] = JobBook(posting)

    def moved(self, m: TransferEvent, state: State) -> None:
        if len(m.target) > ID:
            self._into(m)
        if len(m.source) > ID:
            self._out_of(m, state)

    def _into(self, m: TransferEvent) -> None:
        book, kind = self.jobs[m.target[:JOB]], m.target[JOB:]
        owner = book.posting.poster if len(kind) == 1 else kind
        if m.source != owner:
            raise Violation(f"{m.reason}: locked by another than who owes it")
        book.held[m.target] = book.held.get(m.target, 0) + m.amount
        book.locked += m.amount

    def _out_of(self, m: TransferEvent, state: State) -> None:
        job, kind = m.source[:JOB], m.source[JOB:]
        book = self.jobs[job]
        left = book.held.get(m.source, 0) - m.amount
        if left < 0 or m.amount <= 0:
            raise Violation(f"{m.reason}: {m.amount} left an escrow that held {left + m.amount}")
        book.held[m.source] = left
        book.out += m.amount
        reason = m.reason.removesuffix(":banned")
        if reason != m.reason and m.target:
            raise Violation(f"{m.reason}: burned and paid at once")
        book.reasons[reason] = book.reasons.get(reason, 0) + m.amount
        self._rightful(book, job, kind, reason, m, state)

    def _rightful(self, book: JobBook, job: bytes, kind: bytes, reason: str, m: TransferEvent, state: State) -> None:
        poster, bounty = book.posting.poster, book.posting.terms.bounty
        record: Any = state.get(records.job_key(job))
        burned, lost = not m.target, reason != m.reason
        """`lost`: the receiver is banned."""
        if kind == b"B" and reason == "bounty":
            winner = store.read_claim(state, job, record.winner[0])
            book.bounties.append((winner.claimant, m.amount))
            good = record.state == JobState.PAID and m.amount == bounty and (lost or m.target == winner.claimant)
            good = good and winner.result == Result.OK and len(book.bounties) == 1
        elif kind == b"B":
            good = reason == "bounty.returned" and record.state in (JobState.EMPTY, JobState.REFUNDED)
            good = good and m.amount == bounty and (lost or m.target == poster)
        elif kind == b"F" and reason == "fee":
            good = self._fee(book, job, m, state)
        elif kind in (b"F", b"G", b"D"):
            what = {b"F": "fees", b"G": "bond", b"D": "deposit"}[kind]
            good = (reason == f"{what}.burned" and burned and not lost) or (
                reason == f"{what}.returned" and (lost or m.target == poster)
            )
        else:
            good = (reason == "stake.burned" and burned and not lost) or (reason == "stake" and (lost or m.target == kind))
        if not good:
            raise Violation(f"{m.reason}: {m.amount} went to {m.target.hex()[:8]}, to whom it is not owed")

    def _fee(self, book: JobBook, job: bytes, m: TransferEvent, state: State) -> bool:
        if not m.target:
            return m.reason.endswith(":banned")
        book.fees[m.target] = book.fees.get(m.target, 0) + m.amount
        audits = range(messages.MAX_FINALISTS)
        seats = [state.get(records.seat_key(job, audit, round_, m.target)) for audit in audits for round_ in (1, 2)]
        opened = sum(len(seat.ballots) for seat in seats if isinstance(seat, Seat))
        return 0 < book.fees[m.target] <= opened * book.posting.terms.fee

    # --- from the records -------------------------------------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """Ledger, events and records agree about every escrow."""
        known: dict[bytes, int] = {}
        for job, book in self.jobs.items():
            owed = owes(state, job)
            held = {escrow: amount for escrow, amount in book.held.items() if amount}
            if owed != held:
                raise Violation(f"job {job.hex()[:8]} owes {shown(owed)}, its escrows hold {shown(held)}")
            known |= held
        found = {key[2:]: record.amount for key, record in state.records(b"e/")}
        if found != known:
            raise Violation(f"escrows hold {shown(found)}, owed are {shown(known)}")

    def settled(self, state: State) -> None:
        """Every job has ended and given away all that it took in."""
        for job, book in self.jobs.items():
            record: Any = state.get(records.job_key(job))
            if record.state not in ENDED or book.out != book.locked:
                raise Violation(f"job {job.hex()[:8]} in state {record.state} keeps {book.locked - book.out} of {book.locked}")


def owes(state: State, job: bytes) -> dict[bytes, int]:
    """What a job's record says that its escrows must hold."""
    posting, record = state.get(records.posting_key(job)), state.get(records.job_key(job))
    if not isinstance(posting, Posting) or not isinstance(record, Job):
        raise Violation(f"job {job.hex()[:8]} vanished")
    terms, over = posting.terms, record.state in ENDED
    owed = {
        records.bounty_escrow(job): terms.bounty,
        records.fee_escrow(job): messages.fees_locked(terms) - record.fees_paid - record.fees_burned,
        records.bond_escrow(job): messages.bond(terms),
        records.deposit_escrow(job): messages.deposit(terms) if record.hidden == Hidden.ON else 0,
    }
    if over:
        owed = dict.fromkeys(owed, 0)
    for index in range(record.claimants):
        claim = store.read_claim(state, job, index)
        kept = claim.result in (Result.NONE, Result.OK, Result.DROPPED) and index >= record.released
        owed[records.stake_escrow(job, claim.claimant)] = claim.stake if kept else 0
    return {escrow: amount for escrow, amount in owed.items() if amount}


def shown(escrows: dict[bytes, int]) -> str:
    return ", ".join(f"{key[:4].hex()}/{key[JOB:].hex()[:8]}={amount}" for key, amount in sorted(escrows.items())) or "nothing"


def holds(state: State, identity: bytes) -> tuple[int, int]:
    """(status, free and frozen credits)"""
    account: Any = state.get(account_key(identity))
    return (account.status, account.balance + account.frozen) if isinstance(account, Account) else (BANNED, 0)
