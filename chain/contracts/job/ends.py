"""The three ends of a job: every escrow is emptied, and the contractor's record counts. Spec: LC-JOB-39, 40, 41, 53."""

from __future__ import annotations

import msgspec

from learningchain.chain.contracts.job import leaving, messages, records, store
from learningchain.chain.contracts.job.records import ENDED, WINNERS_KEPT, ContractorRecord, JobState
from learningchain.chain.contracts.job.store import JobContext
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import Host
from learningchain.chain.params import MAX_INT

RELEASE_PAGE = 128
"""Stakes given back in one event: a thousand claimants must not make one slow block. The rest follow in further events."""
NAMES = {JobState.REFUNDED: "refunded", JobState.EMPTY: "empty"}


def finish(work: JobContext, state: JobState, winner: int | None = None) -> None:
    """The bounty goes to the winner or back, the bond burns as much as verdicts burned of stakes, the rest returns."""
    host, terms, poster = work.host, work.terms, work.posting.poster
    work.stop()
    host.delete(records.live_key(work.id))
    work.change(state=state, ended=host.clock, winner=[] if winner is None else [winner])
    if winner is None:
        host.pay(records.bounty_escrow(work.id), poster, terms.bounty, "bounty.returned", work.id)
        host.emit(NAMES[state], work.id, poster, terms.bounty)
    else:
        claim = work.claim(winner)
        host.pay(records.bounty_escrow(work.id), claim.claimant, terms.bounty, "bounty", work.id)
        host.emit("paid", work.id, claim.claimant, terms.bounty, claim.model, claim.loss)
    _settle_bond(work)
    _return_rest(work)
    _count_end(work, winner)
    release_stakes(work)
    leaving.await_leaving(work)


def _settle_bond(work: JobContext) -> None:
    """LC-JOB-40: a verdict costs the contractor what it costs the worker, whoever wins."""
    host, escrow = work.host, records.bond_escrow(work.id)
    burned = min(work.job.burned, host.escrowed(escrow))
    host.burn(escrow, burned, "bond.burned", work.id)
    work.change(bond_burned=burned)
    host.emit("bond", work.id, burned, host.escrowed(escrow))


def _return_rest(work: JobContext) -> None:
    """Bond, fees and deposit, as far as they are there."""
    for what, escrow in (
        ("bond", records.bond_escrow(work.id)),
        ("fees", records.fee_escrow(work.id)),
        ("deposit", records.deposit_escrow(work.id)),
    ):
        work.host.pay(escrow, work.posting.poster, work.host.escrowed(escrow), f"{what}.returned", work.id)


def give_back(host: Host, job_id: bytes) -> None:
    """LC-JOB-41: a parked job ends: all that it holds goes back to whom it came from, and nobody is judged."""
    work = store.load(host, job_id)
    if work is None:
        if not leaving.give_back(host, job_id):
            raise BrokenInvariant(f"job {job_id.hex()} has no records")
        return
    poster = work.posting.poster
    work.stop()
    escrow = records.bounty_escrow(job_id)
    host.pay(escrow, poster, host.escrowed(escrow), "bounty.returned", job_id)
    _return_rest(work)
    if work.job.state not in ENDED:
        host.delete(records.live_key(job_id))
        work.change(state=JobState.EMPTY, ended=host.clock)
        host.emit("empty", job_id, poster, work.terms.bounty)
        _count_end(work, None)
    release_stakes(work)
    leaving.await_leaving(work)


# --- stakes --------------------------------------------------------------------------------------------------------------------


def release_stakes(work: JobContext) -> None:
    """Give back the next page of the stakes that are still locked; another event does the rest (LC-JOB-39)."""
    end = min(work.job.released + RELEASE_PAGE, work.job.claimants)
    for index in range(work.job.released, end):
        release_stake(work, work.claim(index).claimant)
    work.change(released=end)
    if end < work.job.claimants:
        work.move_to(work.job.state, 1)


def burn_stake(work: JobContext, claimant: bytes) -> int:
    """What was burned."""
    escrow = records.stake_escrow(work.id, claimant)
    amount = work.host.escrowed(escrow)
    work.host.burn(escrow, amount, "stake.burned", work.id)
    return amount


def release_stake(work: JobContext, claimant: bytes) -> None:
    escrow = records.stake_escrow(work.id, claimant)
    work.host.pay(escrow, claimant, work.host.escrowed(escrow), "stake", work.id)


# --- the contractor's record ---------------------------------------------------------------------------------------------------


def _record_of(work: JobContext) -> ContractorRecord:
    record = work.host.get(records.contractor_key(work.posting.poster), ContractorRecord)
    if record is None:
        raise BrokenInvariant(f"job {work.id.hex()} is live, and its contractor has no record")
    return record


def _put(work: JobContext, record: ContractorRecord) -> None:
    work.host.put(records.contractor_key(work.posting.poster), record)


def count_bytes(work: JobContext, more: int) -> None:
    """The posting changed its size."""
    old = _record_of(work)
    _put(work, msgspec.structs.replace(old, live_bytes=old.live_bytes + more))


def count_unrepeatable(work: JobContext) -> None:
    old = _record_of(work)
    _put(work, msgspec.structs.replace(old, unrepeatable=old.unrepeatable + 1))


def _count_end(work: JobContext, winner: int | None) -> None:
    """LC-JOB-53: the published record of a contractor, and what it has standing: one job less (LC-JOB-43)."""
    old, bounty = _record_of(work), work.terms.bounty
    results = [work.claim(index).result for index in work.job.finalists]
    new = msgspec.structs.replace(
        old,
        live=old.live - 1,
        live_bytes=old.live_bytes - messages.size_of(work.terms),
        undecided=old.undecided + (records.Result.UNDECIDED in results),
    )
    if winner is not None:
        new = _won(msgspec.structs.replace(new, paid=_sum(old.paid, bounty)), work.claim(winner).claimant)
    elif work.job.revealed:
        new = msgspec.structs.replace(new, refunded=_sum(old.refunded, bounty))
    _put(work, new)


def _sum(counted: int, more: int) -> int:
    """Stops at the largest integer: the same credits are posted again and again, and no job may stand still for its record."""
    return min(counted + more, MAX_INT)


def _won(record: ContractorRecord, winner: bytes) -> ContractorRecord:
    """The last different winners are known by name, those before are counted."""
    winners = [*(one for one in record.winners if one != winner), winner]
    older = record.older_winners + max(0, len(winners) - WINNERS_KEPT)
    return msgspec.structs.replace(record, winners=winners[-WINNERS_KEPT:], older_winners=older)
