"""Messages, receipt codes, commitments and bounds of the job contract: what clients write. Spec: protocol_spec/job.md."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, encode
from learningchain.chain.host.terms import (
    MAX_SETS,
    Arch,
    Capacity,
    Cid,
    DataRef,
    DeviceAsk,
    Earlier,
    HiddenSet,
    Image,
    Int,
    Limits,
    Small,
    Use,
)
from learningchain.chain.losses import MAX_LEAVES, MAX_LOSS, MAX_SIBLINGS, Measurement, Opening, opening_hashes
from learningchain.chain.tags import Tag
from learningchain.chain.types import Hash, Uint
from learningchain.chain.verification import scale, votes, windows
from learningchain.chain.verification.scale import ceil_div
from learningchain.chain.verification.votes import BallotCode

_JOB, _CLAIM, _BALLOTS = Tag("lc/job", "job ids"), Tag("lc/claim", "claim commitments"), Tag("lc/ballots", "vote commitments")
Loss = Annotated[int, Meta(ge=-MAX_LOSS, le=MAX_LOSS)]

# --- bounds (LC-JOB-1, LC-JOB-15) -----------------------------------------------------------------------------------------------

MIN_FINALISTS, MAX_FINALISTS, DEFAULT_FINALISTS = 2, 8, 4
"""K, which a contractor chooses: bounds the rounds, so also the latest end."""
MAX_CLAIMS = 16
"""Claims of one claimant on one job."""
MAX_PARAMS_BYTES = 8_192
"""Parameters are settings, not data: data belongs into the image."""
MAX_HIDDEN_BYTES = 16 * 2**30
"""Held by every claimant and verifier: bounded like a model."""


class OnCheat(IntEnum):
    """What follows a FALSE verdict on a claim with a full stake."""

    REFUND = 0
    NEXT_BEST = 1


# --- messages ------------------------------------------------------------------------------------------------------------------


class PostJob(Wire, frozen=True, tag=96):
    """Post a job and escrow bounty, fees, bond and deposit. `expiry` is T0, a time of the chain clock; `finalists` is K.

    `params` is JSON text for the container, opaque to the ledger. `floor` is the lowest loss the contractor believes possible.
    `devices` and `earlier` are for trainings alone: an evaluation has no device, on no machine, and no other model than its own.
    """

    image: Image
    arch: Small
    """An `Arch`."""
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
    devices: Annotated[list[DeviceAsk], Meta(max_length=1)]
    data: Annotated[list[DataRef], Meta(max_length=MAX_SETS)]
    earlier: Annotated[list[Earlier], Meta(max_length=1)]
    """One where trainings may begin with a model: claims must be better than it is."""


class Claim(Wire, frozen=True, tag=97):
    """Announce a loss; `commitment` is `claim_commitment(...)`. Replaces the sender's own claim.

    `stake`: lock the full stake, where it is free (a first claim only). A claim without one can win, it cannot end a job.
    """

    job: Hash
    loss: Int
    commitment: Hash
    stake: bool


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
    """A vote on one candidate. OK, NEAR and FALSE carry what was measured, the other codes nothing."""

    code: Small
    """A `BallotCode`."""
    public: Annotated[list[Measurement], Meta(max_length=1)]
    hidden: Annotated[list[Measurement], Meta(max_length=1)]
    """The hidden column: while hidden data is on, a measured ballot has either this or `badkey`."""
    badkey: bool
    """The key opens nothing that has the posted hash."""


Ballots = Annotated[list[Ballot], Meta(max_length=MAX_FINALISTS)]


class OpenVote(Wire, frozen=True, tag=101):
    """Show one column of the committed vote: the public or the hidden losses of one candidate.

    The first one of a seat carries the ballots with their salt, later ones neither. A seat that measured nothing opens with its
    first one, which then has no `opening`. `candidate` is an index into the seat's candidates.
    """

    job: Hash
    audit: Small
    round: Small
    ballots: Ballots
    salt: Annotated[bytes, Meta(max_length=32)]
    candidate: Small
    hidden: bool
    opening: Annotated[list[Opening], Meta(max_length=1)]


class CancelJob(Wire, frozen=True, tag=102):
    """The contractor takes back a job that nobody has claimed on."""

    job: Hash


class ExtendJob(Wire, frozen=True, tag=103):
    """The contractor gives a job that nobody has claimed on a later expiry."""

    job: Hash
    expiry: Uint


def claim_commitment(chain_id: bytes, job: bytes, claimant: bytes, model: bytes, salt: bytes) -> bytes:
    """Binds a claim to job, claimant, model and a salt of 32 bytes. `model` is the digest inside its CID (LC-JOB-16)."""
    return _CLAIM.hash(chain_id, job, claimant, model, salt)


def vote_commitment(
    chain_id: bytes, job: bytes, audit: int, round_: int, voter: bytes, ballots: list[Ballot], salt: bytes
) -> bytes:
    """H(job, j, r, voter, ballots, salt32): nobody can copy a vote before it counts (LC-JOB-16)."""
    return _BALLOTS.hash(chain_id, job, bytes((audit, round_)), voter, salt, encode(ballots))


def job_id_of(tx: bytes, op_index: int) -> bytes:
    return _JOB.hash(tx, bytes((op_index,)))


WORK = 32
"""LC-JOB-25: what a message takes, in transfers of a batch: a posting writes nine records, a claim four, each with its place in the
state's tree."""
DRAW_HASHES, HASHES_AT_ONCE = 20, 10
"""Hashes that drawing a probe takes, and those that take about a transfer's time."""
MOST_HASHES = 2 * MAX_LEAVES + MAX_SIBLINGS - 1
OPEN_VOTE_MOST = WORK + ceil_div(MOST_HASHES + DRAW_HASHES, HASHES_AT_ONCE)


def open_vote_work(m: OpenVote) -> int:
    """Checking a proof takes hashes (LC-JOB-25)."""
    return WORK + sum(ceil_div(opening_hashes(opening) + DRAW_HASHES, HASHES_AT_ONCE) for opening in m.opening)


# --- what a posting means in numbers --------------------------------------------------------------------------------------------


def size_of(terms: PostJob) -> int:
    """Bytes of a posting, as its contractor's standing ones are counted (LC-JOB-43)."""
    return len(encode(terms))


def needed_capacity(terms: PostJob) -> Capacity:
    """What a machine must offer to judge this job."""
    limits, image = terms.limits, terms.image.size + evaluated_bytes(terms)
    return Capacity(terms.arch, limits.cpus_milli, limits.mem_mb, image, limits.model_cap, limits.eval_s)


def evaluated_bytes(terms: PostJob) -> int:
    """E: what the data sets that whoever evaluates needs weigh, in bytes: they count with the image."""
    return sum(one.weight for one in terms.data if one.use & Use.EVALUATE)


def evaluation_s(terms: PostJob) -> int:
    """e: seconds of one evaluation; with hidden data there are two."""
    return windows.evaluation(terms.limits.eval_s, bool(terms.hidden))


def judging_work(terms: PostJob) -> int:
    """w: thousandths of CPU seconds that a judged vote takes."""
    limits = terms.limits
    fetched = evaluated_bytes(terms)
    return windows.judging_work(evaluation_s(terms), limits.cpus_milli, limits.model_cap, bool(terms.hidden), fetched)


def fees_locked(terms: PostJob) -> int:
    """F"""
    return windows.fees_locked(terms.fee, terms.finalists)


def bond(terms: PostJob) -> int:
    """G: what verdicts burn of stakes, they burn of this."""
    return windows.bond(terms.bounty, terms.finalists)


def deposit(terms: PostJob) -> int:
    """D: as large as the bounty when there is hidden data."""
    return windows.deposit(terms.bounty, bool(terms.hidden))


def full_stake(terms: PostJob) -> int:
    return windows.full_stake(terms.bounty)


def tolerance(terms: PostJob, loss: int) -> int:
    """tol(L) of a job, in loss units."""
    return scale.tolerance(terms.float_kind, terms.tol, loss)


def bound(terms: PostJob, loss: int) -> int:
    """bound(L) of a job, in loss units."""
    return scale.bound(terms.float_kind, loss)


def scale_of(terms: PostJob, claimed: int) -> votes.Scale:
    """What measurements of a claim are compared by."""
    return votes.Scale(terms.float_kind, terms.tol, claimed)


def ballot_code(terms: PostJob, claimed: int, measured: int) -> BallotCode:
    """OK, NEAR or FALSE for a loss that a verifier measured."""
    return votes.code_of(claimed, measured, tolerance(terms, claimed), bound(terms, claimed))


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
    SUSPENDED = 307
    NO_STANDING = 308
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
    LOW_BOUNTY = 331
    LOW_FEE = 332
    FEW_VERIFIERS = 333
    NO_COLUMN = 334
    BAD_OPENING = 335
    HAS_CLAIMS = 336
    BAD_DATA = 337
    BAD_DEVICES = 338
    BAD_EARLIER = 339


ARCHITECTURES = frozenset(Arch)
