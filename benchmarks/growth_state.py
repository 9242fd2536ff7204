"""A state of any size as years of use leave it: accounts with members, and jobs of which some are still on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import records as r
from learningchain.chain.contracts.job.messages import Ballot, OnCheat, PostJob, bond, fees_locked, size_of
from learningchain.chain.contracts.job.params import JobParams
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.host import ACTIVE, Account, Due, Escrow, account_key, due_key, escrow_key
from learningchain.chain.host.terms import Arch, Capacity, Image, ImageKind, Limits
from learningchain.chain.losses import PLACES, Measurement
from learningchain.chain.params import CREDIT, LANES
from learningchain.chain.verification.scale import FloatKind
from learningchain.chain.verification.standing import Draw
from learningchain.chain.verification.votes import BallotCode

Record = tuple[bytes, Any]
EVERY = 4
"""One job in so many has not ended."""
MINUTE = 60_000
LIMITS = Limits(1_000, 512, 600, 60, 1_000_000, 64, 1)
CAPACITY = Capacity(Arch.AMD64, 4_000, 8_192, 2**34, 2**30, 600)
FEE = 660
"""Sixty-six seconds of a CPU at ten micro-credits each."""


def payer(number: int) -> SigningKey:
    """The key of the account `number`, for those accounts that can sign."""
    return SigningKey(_hash(b"payer", number))


def _hash(what: bytes, number: int) -> bytes:
    return hashlib.sha256(what + number.to_bytes(8, "big")).digest()


def accounts(count: int, signing: int) -> Iterator[tuple[bytes, Account]]:
    """(id, account): the first `signing` of them have keys that can sign, of the others nobody knows one."""
    for number in range(count):
        key = payer(number).public if number < signing else b"\x02" + _hash(b"account", number)
        identity = account_id(key) if number < signing else _hash(b"id", number)[:20]
        spent = [number * 7 % 50_000, number % 300, 0, 0][:LANES]
        yield identity, Account(key, ACTIVE, (1_000 + number % 5_000) * CREDIT, 0, spent, 0)


def members(ids: list[bytes], verifiers: int) -> Iterator[Record]:
    """Every account's membership; the first `verifiers` may judge models."""
    for number, identity in enumerate(ids):
        draws = [Draw(ids[at], False, False) for at in range(number % 4)]
        yield member_key(identity), Member(identity, number < verifiers, 0, 0, [CAPACITY], 0, [], draws)


def jobs(count: int, ids: list[bytes], clock: int, keep: int = JobParams().job_keep) -> Iterator[Record]:
    """Jobs with three claims each; one in `EVERY` is open or in its reveal window, with credits in escrow; the others ended
    within `keep` and wait to leave."""
    past: dict[bytes, r.ContractorRecord] = {}
    for number in range(count):
        for key, record in _job(number, ids, clock, keep):
            if isinstance(record, r.Posting):
                live, old = number % EVERY == 0, past.get(record.poster, r.NO_JOBS)
                size = old.live_bytes + (size_of(record.terms) if live else 0)
                paid = old.paid + (0 if live else record.terms.bounty)
                past[record.poster] = replace(old, posted=old.posted + 1, live=old.live + live, live_bytes=size, paid=paid)
            yield key, record
    for poster, contractor in past.items():
        yield r.contractor_key(poster), contractor
    yield r.K_TOTALS, r.Totals(count)


def _job(number: int, ids: list[bytes], clock: int, keep: int) -> Iterator[Record]:
    job, live = _hash(b"job", number), number % EVERY == 0
    poster, claimants = ids[number % len(ids)], [ids[(number * 3 + i) % len(ids)] for i in range(3)]
    expiry = clock + (1 + number % 40_000) * MINUTE if live else max(1, clock - MINUTE)
    # Those that ended did so one after the other in the last `keep`, and leave in as long.
    state, ended = (r.JobState.OPEN, 0) if live else (r.JobState.PAID, max(1, clock - number * 7_919 % keep))
    cid = b"\x01\x55\x12\x20" + _hash(b"image", number % 1_000)
    terms = PostJob(
        Image(ImageKind.ARCHIVE, "", cid, _hash(b"id", number % 1_000), 5_000_000),
        Arch.AMD64, '{"epochs":3,"rate":"0.01"}',
        10 * CREDIT, FEE, 3, expiry, FloatKind.F64, 1_000, 0, OnCheat.REFUND, LIMITS, [], [], [], [],
    )  # fmt: skip
    yield r.posting_key(job), r.Posting(poster, number, max(0, expiry - MINUTE), terms)
    deadline = expiry if live else ended + keep
    first = replace(r.new_job(terms), claimants=3)
    over = {"revealed": 3, "closing": _hash(b"closing", number), "finalists": [0, 1, 2], "round": 1, "winner": [1], "released": 3}
    yield r.job_key(job), first if live else replace(first, state=state, deadline=deadline, ended=ended, **over)
    yield due_key(poster, deadline, r.NUMBER, job), Due(r.NUMBER, job)
    yield r.NUMBERS.key(number), r.Numbered(job)
    for index, claimant in enumerate(claimants):
        model = b"" if live else b"\x01\x55\x12\x20" + _hash(b"model", number * 3 + index)
        size, judged = (0, 0) if live else (50_000, int(index == 1))
        sealed, tx = _hash(b"c", number), _hash(b"tx", number)
        claim = r.ClaimRecord(
            claimant, 1, 250_000_000 + index, 1 + number, tx, 0, sealed, expiry // 2, True, CREDIT, model, size, judged, judged, []
        )
        yield r.claim_key(job, index), claim
        yield r.claimant_key(job, claimant), r.ClaimantIndex(index)
    if not live:
        beacon, probe = _hash(b"b", number), _hash(b"probe", number)
        yield r.round_key(job, 0, 1), r.AuditRound(beacon, probe, 1, 2, False, [1], [5], [3], claimants)
        ballots = [Ballot(BallotCode.OK, [Measurement(_hash(b"root", number), 360 * 250_000_001, 360)], [], False)]
        shown = [r.ShownColumn(0, False, [250_000_001] * PLACES)]
        for voter in claimants:
            yield r.seat_key(job, 0, 1, voter), r.Seat([1], _hash(b"s", number), ballots, shown, True, "", FEE)
        return
    yield r.live_key(job), r.Live(number, expiry)
    yield escrow_key(r.bounty_escrow(job)), Escrow(10 * CREDIT)
    yield escrow_key(r.fee_escrow(job)), Escrow(fees_locked(terms))
    yield escrow_key(r.bond_escrow(job)), Escrow(bond(terms))


def grown(count: int, job_count: int, signing: int, verifiers: int, clock: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, encoded record) of all of them, in no order."""
    ids = []
    for identity, account in accounts(count, signing):
        ids.append(identity)
        yield account_key(identity), encode(account)
    for source in (members(ids, verifiers), jobs(job_count, ids, clock)):
        for key, record in source:
            yield key, encode(record)
