"""Messages, receipt codes, commitments and bounds of the job contract: what clients write. Spec: protocol_spec/job.md."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from chain.codec import Wire, encode
from chain.contracts.job import rules
from chain.host.terms import (
    Cid,
    Image,
    Limits,
    Small,
)
from chain.tags import Tag
from chain.types import Hash, Uint
from chain.verification import scale

_JOB, _CLAIM, _BALLOTS = Tag("lc/job", "job ids"), Tag("lc/claim", "claim commitments"), Tag("lc/ballots", "vote commitments")
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""As wide as the encoding allows: the handler says with a code of its own what is out of bounds."""
Loss = Annotated[int, Meta(ge=-rules.MAX_LOSS, le=rules.MAX_LOSS)]

# --- bounds of a posting (LC-JOB-15) --------------------------------------------------------------------------------------------

MAX_PARAMS_BYTES = 8_192
"""Parameters are settings, not data: data belongs into the image."""
MAX_HIDDEN_BYTES = 16 * 2**30
"""Held by every claimant and verifier: bounded like a model."""
# --- messages ------------------------------------------------------------------------------------------------------------------


class HiddenSet(Wire, frozen=True):
    """An encrypted evaluation file: what everybody holds, and what its plaintext and its key (32 bytes) hash to (SHA-256)."""

    cid: Cid
    plain_hash: Hash
    key_hash: Hash
    size: Uint


class PostJob(Wire, frozen=True, tag=96):
    """Post a job and escrow bounty, fees and deposit. `expiry` is T0, a time of the chain clock; `finalists` is K.

    `params` is JSON text for the container, opaque to the ledger. `floor` is the lowest loss the contractor believes possible.
    """

    image: Image
    params: Annotated[str, Meta(max_length=2 * MAX_PARAMS_BYTES)]
    bounty: Uint
    fee: Uint
    finalists: Uint
    expiry: Uint
    float_kind: Uint
    tol: Uint
    floor: Int
    on_cheat: Uint
    limits: Limits
    hidden: Annotated[list[HiddenSet], Meta(max_length=1)]
    """One for a job with hidden evaluation data, none otherwise."""


class Claim(Wire, frozen=True, tag=97):
    """Announce a loss; `commitment` is `claim_commitment(...)`. Replaces the sender's own claim."""

    job: Hash
    loss: Int
    commitment: Hash


class Reveal(Wire, frozen=True, tag=98):
    """Open the sender's standing claim. `claim` counts the sender's claims on the job from 1: only the last one stands."""

    job: Hash
    claim: Uint
    model: Cid
    size: Uint
    salt: Hash


class RevealKey(Wire, frozen=True, tag=99):
    """The contractor opens the hidden evaluation data."""

    job: Hash
    key: Hash


class CommitVote(Wire, frozen=True, tag=100):
    """`commitment` is `vote_commitment(...)` over the ballots that the sender will open."""

    job: Hash
    audit: Small
    round: Small
    commitment: Hash


class Ballot(Wire, frozen=True):
    """A vote on one candidate. Fields that a code does not have are zero."""

    code: Small
    measured: Loss
    probe: Loss
    hidden: Small
    """A `HiddenVote`."""
    hidden_loss: Loss


Ballots = Annotated[list[Ballot], Meta(max_length=rules.MAX_FINALISTS)]


class OpenVote(Wire, frozen=True, tag=101):
    """One ballot for each candidate of the sender's seat, in the seat's order."""

    job: Hash
    audit: Small
    round: Small
    ballots: Annotated[list[Ballot], Meta(min_length=1, max_length=rules.MAX_FINALISTS)]
    salt: Hash


def claim_commitment(chain_id: bytes, job: bytes, claimant: bytes, model: bytes, salt: bytes) -> bytes:
    """Binds a claim to job, claimant, model and a salt of 32 bytes. `model` is the digest inside its CID (LC-JOB-16)."""
    return _CLAIM.hash(chain_id, job, claimant, model, salt)


def vote_commitment(
    chain_id: bytes, job: bytes, audit: int, round_: int, voter: bytes, ballots: list[Ballot], salt: bytes
) -> bytes:
    """H(job, j, r, voter, votes, salt32): nobody can copy a vote before it counts (LC-JOB-16)."""
    return _BALLOTS.hash(chain_id, job, bytes((audit, round_)), voter, salt, encode(ballots))


def job_id_of(tx: bytes, op_index: int) -> bytes:
    return _JOB.hash(tx, bytes((op_index,)))


# --- what a posting means in numbers --------------------------------------------------------------------------------------------


def size_of(terms: PostJob) -> int:
    """Bytes of a posting, as its contractor's standing ones are counted (LC-JOB-43)."""
    return len(encode(terms))


def deposit(terms: PostJob) -> int:
    """D: as large as the bounty when there is hidden data."""
    return terms.bounty if terms.hidden else 0


def tolerance(terms: PostJob, loss: int) -> int:
    """tol(L) of a job, in loss units."""
    return scale.tolerance(terms.float_kind, terms.tol, loss)


def bound(terms: PostJob, loss: int) -> int:
    """bound(L) of a job, in loss units."""
    return scale.bound(terms.float_kind, loss)


def vote_code(terms: PostJob, claimed: int, measured: int) -> rules.VoteCode:
    """OK, NEAR or FALSE for a loss that a verifier measured."""
    return rules.vote_code(claimed, measured, tolerance(terms, claimed), bound(terms, claimed))


def improved(terms: PostJob, loss: int) -> int:
    """The largest loss with which the claimant of `loss` may replace its claim."""
    return loss - 2 * tolerance(terms, loss)


# --- receipt codes -------------------------------------------------------------------------------------------------------------


class JobCode(IntEnum):
    """Why a message of this contract was refused. Stable numbers."""

    NO_SUCH_JOB = 300
    BAD_EXPIRY = 301
    IMPOSSIBLE_LIMIT = 302
    BAD_IMAGE = 303
    BAD_TERMS = 304
    BAD_HIDDEN = 305
    BAD_PARAMS = 306
    NOT_ACTIVE = 307
    TOO_MANY_STRIKES = 308
    WRONG_STATE = 309
    TOO_LATE = 310
    OWN_JOB = 311
    BAD_LOSS = 312
    NOT_BETTER = 313
    TOO_MANY_CLAIMS = 314
    JOB_FULL = 315
    NO_CLAIM = 316
    CLAIM_REPLACED = 317
    ALREADY_REVEALED = 318
    REVEAL_MISMATCH = 319
    BAD_MODEL = 320
    NOT_POSTER = 321
    WRONG_KEY = 322
    NOT_IN_COMMITTEE = 323
    WRONG_ROUND = 324
    ALREADY_COMMITTED = 325
    NOT_COMMITTED = 326
    ALREADY_OPENED = 327
    VOTE_MISMATCH = 328
    BAD_VOTE = 329
    TOO_MANY_LIVE = 330
