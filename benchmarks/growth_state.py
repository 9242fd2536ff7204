"""A state of any size as years of use leave it: accounts with members, and jobs of which some are still on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from chain.codec import encode
from chain.contracts.job import records as r
from chain.contracts.job.messages import PostJob, size_of
from chain.contracts.job.params import JobParams
from chain.contracts.membership import Member, member_key
from chain.crypto import SigningKey, account_id
from chain.host import ACTIVE, Account, Due, Escrow, account_key, due_key, escrow_key
from chain.host.terms import Image, ImageKind, Limits
from chain.params import CREDIT, LANES

Record = tuple[bytes, Any]
EVERY = 4
"""One job in so many has not ended."""
MINUTE = 60_000
LIMITS = Limits(1_000, 512, 600, 60, 1_000_000, 64, 1)


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
        draws = [True] * (number % 4)
        yield member_key(identity), Member(number < verifiers, 0, [], draws)


def jobs(count: int, ids: list[bytes], clock: int, keep: int = JobParams().job_keep) -> Iterator[Record]:
    """Jobs with three claims each; one in `EVERY` is open or in its reveal window, with credits in escrow; the others ended
    within `keep` and wait to leave."""
    past: dict[bytes, r.ContractorRecord] = {}
    for number in range(count):
        for key, record in _job(number, ids, clock, keep):
            if isinstance(record, r.Posting):
                live, old = number % EVERY == 0, past.get(record.poster, r.ContractorRecord(0, 0, 0, 0, 0))
                size = old.live_bytes + (size_of(record.terms) if live else 0)
                past[record.poster] = r.ContractorRecord(old.posted + 1, old.paid + (not live), 0, 0, size)
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
        '{"epochs":3,"rate":"0.01"}',
        10 * CREDIT, CREDIT, 3, expiry, 0, 1_000, 0, 0, LIMITS, [],
    )  # fmt: skip
    yield r.posting_key(job), r.Posting(poster, number, max(0, expiry - MINUTE), terms)
    finalists = [] if live else [0, 1, 2]
    winner = [] if live else [1]
    deadline = expiry if live else ended + keep
    yield (
        r.job_key(job),
        r.Job(
            state,
            deadline,
            3,
            [],
            finalists,
            r.Hidden.NONE,
            b"",
            0,
            0 if live else 1,
            0,
            0,
            [],
            winner,
            0,
            0,
            0 if live else 3,
            ended,
        ),
    )
    yield due_key(poster, deadline, r.NUMBER, job), Due(r.NUMBER, job)
    yield r.NUMBERS.key(number), r.Numbered(job)
    for index, claimant in enumerate(claimants):
        position = number.to_bytes(8, "big") + _hash(b"position", number) + bytes(1)
        model = b"" if live else b"\x01\x55\x12\x20" + _hash(b"model", number * 3 + index)
        size, judged = (0, 0) if live else (50_000, int(index == 1))
        claim = r.ClaimRecord(
            claimant, 1, 250_000_000 + index, position, _hash(b"c", number), expiry // 2, CREDIT, model, size, judged, 0, []
        )
        yield r.claim_key(job, index), claim
        yield r.claimant_key(job, claimant), r.ClaimantIndex(index)
    if not live:
        yield r.round_key(job, 0, 1), r.AuditRound(_hash(b"b", number), 1, 2, False, [1], [5], [3], claimants)
        for voter in claimants:
            yield r.seat_key(job, 0, 1, voter), r.Seat([1], _hash(b"s", number), [], False, CREDIT // 3)
        return
    yield r.live_key(job), r.Live(number, expiry)
    yield escrow_key(r.bounty_escrow(job)), Escrow(10 * CREDIT)
    yield escrow_key(r.fee_escrow(job)), Escrow(CREDIT)


def grown(count: int, job_count: int, signing: int, verifiers: int, clock: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, encoded record) of all of them, in no order."""
    ids = []
    for identity, account in accounts(count, signing):
        ids.append(identity)
        yield account_key(identity), encode(account)
    for source in (members(ids, verifiers), jobs(job_count, ids, clock)):
        for key, record in source:
            yield key, encode(record)
