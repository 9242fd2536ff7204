"""What a node keeps to itself about jobs, as it lies in the work database: claims, what it measured, ballots, the keys of hidden
data, and whose claims it found false."""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.codec import Wire, encode, read
from learningchain.chain.contracts.job.messages import Ballots
from learningchain.chain.crypto import sha256
from learningchain.chain.losses import Measurement
from learningchain.chain.types import AccountId, Hash, Uint
from learningchain.client.work.events import Model, Secret

KIND = "job"
"""Of the contract's messages and attempts; it begins the kinds of its secrets."""
CLAIM, COLUMN, VOTE, KEY, FALSE = "job.claim", "job.column", "job.vote", "job.key", "job.false"
SALT = 32
"""Bytes of the salt in a commitment."""
Seat = tuple[bytes, int, int]
"""(job, audit, round): one duty of a verifier."""
KEEP_FALSE_MS = 366 * 24 * 3_600_000
"""Wall clock: as long as a vote may let a case look back (`standing_life`). What this node measured decides how it judges."""


class ClaimSecret(Wire, frozen=True):
    """What opens a claim. Its record is under the commitment; the model's file is the record's."""

    loss: int
    cid: bytes
    size: int
    salt: bytes


class VoteSecret(Wire, frozen=True):
    """What opens a seat's commitment. `claimants` in the order of the ballots."""

    commitment: bytes
    salt: bytes
    ballots: Ballots
    claimants: list[bytes]


class FalseClaim(Wire, frozen=True):
    """A claim that this node's own sandbox found false: whose, in which job, of which contractor (`origin` is the root of its
    account), and when (chain clock)."""

    account: AccountId
    job: Hash
    origin: AccountId
    time: Uint


class KeptColumn(Wire, frozen=True):
    """A measurement, and the run whose losses lie on this disk."""

    measurement: Measurement
    run: str


class ColumnId(NamedTuple):
    """What one evaluation of a verifier measured: the public or the hidden losses of a claimant's model, for a seat."""

    seat: Seat
    claimant: bytes
    hidden: bool


def of_claim(commitment: bytes, job: bytes, loss: int, model: Model, salt: bytes) -> Secret:
    blob = encode(ClaimSecret(loss, model.cid, model.size, salt))
    return Secret(CLAIM, commitment, job, blob, model.path)


def claim_in(secret: Secret) -> ClaimSecret:
    return read(ClaimSecret, secret.blob)


def _seat_key(seat: Seat) -> bytes:
    job, audit, round_ = seat
    return job + audit.to_bytes(4, "big") + round_.to_bytes(4, "big")


def of_vote(seat: Seat, vote: VoteSecret) -> Secret:
    return Secret(VOTE, _seat_key(seat), seat[0], encode(vote))


def vote_in(secret: Secret) -> VoteSecret:
    return read(VoteSecret, secret.blob)


def seat_in(secret: Secret) -> Seat:
    """The seat of a vote or of a column."""
    job = len(secret.ref)
    return secret.ref, int.from_bytes(secret.key[job : job + 4], "big"), int.from_bytes(secret.key[job + 4 : job + 8], "big")


def of_column(column: ColumnId, kept: KeptColumn) -> Secret:
    """What was measured: its losses are on this disk already, and this is before a commitment to them leaves it."""
    return Secret(COLUMN, column_key(column), column.seat[0], encode(kept))


def column_in(secret: Secret) -> tuple[ColumnId, KeptColumn]:
    column = ColumnId(seat_in(secret), secret.key[len(secret.ref) + 8 : -1], bool(secret.key[-1]))
    return column, read(KeptColumn, secret.blob)


def column_key(column: ColumnId) -> bytes:
    return _seat_key(column.seat) + column.claimant + bytes((column.hidden,))


def of_key(key: bytes) -> Secret:
    """The key (32 bytes) of hidden data, under its hash, as postings name it."""
    return Secret(KEY, sha256(key), b"", key)


def of_false(found: FalseClaim) -> Secret:
    """Stays though the job is over."""
    return Secret(FALSE, found.account + found.job, found.job, encode(found), keep_ms=KEEP_FALSE_MS)


def false_in(secret: Secret) -> FalseClaim:
    return read(FalseClaim, secret.blob)
