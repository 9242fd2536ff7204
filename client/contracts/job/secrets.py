"""What a node keeps to itself about jobs, as it lies in the work database: claims, ballots, the keys of hidden data."""

from __future__ import annotations

from chain.codec import Wire, encode, read
from chain.contracts.job.messages import Ballots
from chain.crypto import sha256
from client.work.events import Model, Secret

KIND = "job"
"""Of the contract's messages and attempts; it begins the kinds of its secrets."""
CLAIM, VOTE, KEY = "job.claim", "job.vote", "job.key"
SALT = 32
"""Bytes of the salt in a commitment."""
Seat = tuple[bytes, int, int]
"""(job, audit, round): one duty of a verifier."""
KEEP_VOTES_MS = 60 * 24 * 3_600_000
"""Longer than strikes and cases live: a measurement decides how this node judges."""


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


def of_claim(commitment: bytes, job: bytes, loss: int, model: Model, salt: bytes) -> Secret:
    blob = encode(ClaimSecret(loss, model.cid, model.size, salt))
    return Secret(CLAIM, commitment, job, blob, model.path)


def claim_in(secret: Secret) -> ClaimSecret:
    return read(ClaimSecret, secret.blob)


def of_vote(seat: Seat, vote: VoteSecret) -> Secret:
    job, audit, round_ = seat
    key = job + audit.to_bytes(4, "big") + round_.to_bytes(4, "big")
    return Secret(VOTE, key, job, encode(vote), keep_ms=KEEP_VOTES_MS)


def vote_in(secret: Secret) -> VoteSecret:
    return read(VoteSecret, secret.blob)


def seat_in(secret: Secret) -> Seat:
    job = len(secret.ref)
    return secret.ref, int.from_bytes(secret.key[job : job + 4], "big"), int.from_bytes(secret.key[job + 4 :], "big")


def of_key(key: bytes) -> Secret:
    """The key (32 bytes) of hidden data, under its hash, as postings name it."""
    return Secret(KEY, sha256(key), b"", key)
