"""Messages, receipt codes, ids and bounds of the federation contract: what clients write. Spec: protocol_spec/federation.md.

In the page `bounty` is B, `fee` u, `target` the target, `rounds` R, `round_ms` T_r, `attempt` the number of a start.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, encode
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Cid, HiddenSet, Image, Limits, Small
from learningchain.chain.losses import Measurement, Opening
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, Hash, Uint

_FEDERATION, _MEASURE = Tag("lc/federation", "federations' ids"), Tag("lc/measure", "commitments of measurements")
_SEAL = Tag("lc/fed-seal", "seals of parts")
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""As wide as the encoding allows: the handler says with a code of its own what is out of bounds."""

# --- bounds (LC-FED-1, 7, 8) ----------------------------------------------------------------------------------------------------

MOST_MEMBERS = 128
"""Indexes that a federation gives, ever."""
AGGREGATORS, PANEL = 3, 5
MAX_BOUNTY, MAX_FEE = 10**15, 10**9
MAX_ROUNDS = 1_000
MAX_TOL = 10**18
MIN_ROUND_MS = 10_000
MIN_CLIP, MAX_CLIP = 10, 2**50
MAX_PATIENCE = 5
MAX_DP_MILLI = 8_000
MAX_DIMS, MASKED_DIMS = 2**28, 1_024
"""Parameters of a model; below the second one rows would open an update: sums are of cells (LC-FED-55)."""
MIN_HEADER, MAX_HEADER = 9, 256 * 1_024 + 8
"""Bytes of a safetensors file besides its values."""
MAX_EXAMPLES_CLAIMED = 2**31 - 1
MAX_FEDERATION_PARAMS = 8_192
"""Bytes of the container's parameters: settings, not data."""
CQ = 2**22
MAX_POINTS = 16
BOX_BYTES = 80
"""The key of the hidden file, sealed to a box key."""
BITMAP = MOST_MEMBERS // 8
STEPS = (2_000, 1_000, 500, 250)
"""LC-FILE-63: a direction is tried at four lengths, in thousandths of the radius."""
MOST_CELLS, MOST_CELL_ROUNDS = 10, 20
MOST_DIRECTIONS = MOST_CELLS + 3


class Secrecy(IntEnum):
    SUM = 1
    OPEN = 2


class AggregationRule(IntEnum):
    MEAN = 1
    KRUM = 2
    TRIMMED = 3
    MEDIAN = 4


class PaySplit(IntEnum):
    """Who earns which part of progress."""

    EQUAL = 1
    SAMPLES = 2
    ALIGNED = 3
    HALF = 4
    """With cells: half by what each cell reached alone, half equally (LC-FED-62)."""


class FileCode(IntEnum):
    """LC-FED-26: what the aggregators say of a member's file."""

    USED = 1
    AWAY = 2
    LARGE = 3
    EMPTY = 4
    WRONG = 5
    STALE = 6
    COPY = 7
    OUTLIER = 8
    UNPROVED = 9
    IDLE = 10


class MeasureCode(IntEnum):
    """LC-FED-35: what a seat of the panel says of a model."""

    OK = 1
    INVALID = 2
    NOMODEL = 3
    BADKEY = 4
    ABSTAIN = 5


class PartStage(IntEnum):
    ROWS = 1
    SUMS = 2


# --- messages ------------------------------------------------------------------------------------------------------------------


class FederationTerms(Wire, frozen=True):
    """What a sponsor posts. `model` is the initial one, a safetensors file of `size` bytes and `dims` values of F32.

    `limits`: `train_s` is the budget of `local`. `schema` says what the data have to look like; it may be empty. `ends` is a time
    of the chain clock. `vetted`: only members with the verifier flag count towards `min_sum`. `clip` is in units of 1e-9.
    """

    image: Image
    arch: Small
    """An `Arch`."""
    params: Annotated[str, Meta(max_length=2 * MAX_FEDERATION_PARAMS)]
    limits: Limits
    model: Cid
    size: Uint
    dims: Uint
    hidden: Annotated[list[HiddenSet], Meta(max_length=1)]
    schema: Cid
    bounty: Uint
    fee: Uint
    target: Int
    float_kind: Uint
    tol: Uint
    rounds: Uint
    round_ms: Uint
    pace_ms: Uint
    ends: Uint
    min_members: Uint
    max_members: Uint
    min_sum: Uint
    vetted: bool
    secrecy: Uint
    """A `Secrecy`."""
    rule: Uint
    """An `AggregationRule`."""
    split: Uint
    """A `PaySplit`."""
    reference: bool
    clip: Uint
    patience: Uint
    admit_open: bool
    outside: bool
    """No member ever sits on the panel."""
    dp_milli: Uint


class OpenFederation(Wire, frozen=True, tag=160):
    """Open a federation, against bounty and fees. It has the id `federation_id_of`."""

    terms: FederationTerms


class JoinFederation(Wire, frozen=True, tag=161):
    """Become a member with data of this digest; `n` examples where the split is by samples, otherwise 0."""

    federation: Hash
    digest: Hash
    n: Uint


class AdmitMember(Wire, frozen=True, tag=162):
    federation: Hash
    member: AccountId


class RemoveMember(Wire, frozen=True, tag=163):
    federation: Hash
    member: AccountId


class LeaveFederation(Wire, frozen=True, tag=164):
    federation: Hash


class NewData(Wire, frozen=True, tag=165):
    """The member trains on other data from now on."""

    federation: Hash
    digest: Hash
    n: Uint


class StartRound(Wire, frozen=True, tag=166):
    """The sponsor starts round `r`; 0 measures the initial model."""

    federation: Hash
    r: Uint


SealedKey = Annotated[bytes, Meta(min_length=BOX_BYTES, max_length=BOX_BYTES)]


class SealKey(Wire, frozen=True, tag=167):
    """The sponsor opens the hidden file to the panel: a box for each seat, in the order of the seats."""

    federation: Hash
    boxes: Annotated[list[SealedKey], Meta(max_length=2 * PANEL)]


class ReadyKey(Wire, frozen=True, tag=168):
    """A drawn aggregator is ready: its X25519 key of this attempt."""

    federation: Hash
    attempt: Uint
    key: Hash


class CommitUpdate(Wire, frozen=True, tag=169):
    """A member's file of this attempt."""

    federation: Hash
    attempt: Uint
    cid: Cid
    size: Uint


class ReferUpdate(Wire, frozen=True, tag=170):
    """The sponsor's reference update."""

    federation: Hash
    attempt: Uint
    cid: Cid


Bitmap = Annotated[bytes, Meta(max_length=BITMAP)]
"""Bit i is bit i % 8 of byte i // 8."""


class HaveUpdates(Wire, frozen=True, tag=171):
    """Which files an aggregator has and can open: a bit for each in the order of the commitments."""

    federation: Hash
    attempt: Uint
    files: Bitmap
    reference: bool


class MaskDigest(Wire, frozen=True):
    """What an aggregator makes of a mask: its number (1 to 3), and the SHA-256 of its part."""

    mask: Small
    digest: Hash


class PinParts(Wire, frozen=True, tag=172):
    """The digests of the sender's two masks, rows (stage 1) or sums (stage 2)."""

    federation: Hash
    attempt: Uint
    stage: Small
    parts: Annotated[list[MaskDigest], Meta(max_length=AGGREGATORS)]


class ScreenUpdates(Wire, frozen=True, tag=173):
    """`codes` has a byte, a `FileCode`, for each file in the order of the commitments, `points` one where the split is aligned,
    and is empty otherwise. `norm` is the lower median of the norms, `digest` of all rows and points."""

    federation: Hash
    attempt: Uint
    codes: Annotated[bytes, Meta(max_length=MOST_MEMBERS)]
    points: Annotated[bytes, Meta(max_length=MOST_MEMBERS)]
    norm: Uint
    digest: Hash


class SumUpdates(Wire, frozen=True, tag=174):
    """The new model and what it adds to the base; both are empty where a value is not finite."""

    federation: Hash
    attempt: Uint
    model: Cid
    delta: Cid


class CommitMeasure(Wire, frozen=True, tag=175):
    """`commitment` is `measure_commitment(...)` of what the sender will open."""

    federation: Hash
    r: Uint
    again: Small
    commitment: Hash


class ModelMeasure(Wire, frozen=True):
    """What a seat says of a model: OK carries what was measured, the other codes nothing."""

    code: Small
    """A `MeasureCode`."""
    measured: Annotated[list[Measurement], Meta(max_length=1)]


class OpenMeasure(Wire, frozen=True, tag=176):
    """Open the sender's commitment; `opening` shows the leaves that the probe asks for, of OK."""

    federation: Hash
    r: Uint
    again: Small
    measure: ModelMeasure
    opening: Annotated[list[Opening], Meta(max_length=1)]
    salt: Hash


class CloseFederation(Wire, frozen=True, tag=177):
    """The sponsor ends it between rounds."""

    federation: Hash


class ServeFederation(Wire, frozen=True, tag=178):
    """The sender may be drawn, as an aggregator and for panels, or not any more."""

    on: bool


class VaultModel(Wire, frozen=True, tag=179):
    """Where the sender's encrypted local model is kept."""

    federation: Hash
    cid: Cid


# --- messages of federations with cells (LC-FED-55) -------------------------------------------------------------------------------


class SealParts(Wire, frozen=True, tag=180):
    """An aggregator's parts of a stage are fixed before anybody sees another's: `seal` is `parts_seal(...)` of them."""

    federation: Hash
    attempt: Uint
    stage: Small
    seal: Hash


class ServeCells(Wire, frozen=True, tag=181):
    """The sender, who serves federations, may be drawn for those with cells, or not any more."""

    on: bool


class PinSealed(Wire, frozen=True, tag=182):
    """The parts that the sender sealed: in stage 1 share 0, which is the masked numbers, and its two masks; in stage 2 these."""

    federation: Hash
    attempt: Uint
    stage: Small
    parts: Annotated[list[MaskDigest], Meta(max_length=AGGREGATORS)]
    salt: Hash


class SumCells(Wire, frozen=True, tag=183):
    """The file of the sums, and the candidates, four of each direction; a candidate that is not finite is empty, and all are, with
    the sums, where none is."""

    federation: Hash
    attempt: Uint
    sums: Cid
    models: Annotated[list[Cid], Meta(max_length=len(STEPS) * MOST_DIRECTIONS)]


class DirectionMeasure(Wire, frozen=True):
    """The best of a direction's candidates: its step, and what was measured of it. INVALID: step 0, and nothing."""

    step: Uint
    measured: Annotated[list[Measurement], Meta(max_length=1)]


class StepsMeasure(Wire, frozen=True):
    """What a seat says of the candidates: OK carries an entry for each direction, the other codes none."""

    code: Small
    """A `MeasureCode`."""
    directions: Annotated[list[DirectionMeasure], Meta(max_length=MOST_DIRECTIONS)]


class OpenSteps(Wire, frozen=True, tag=184):
    """Open the sender's commitment; `opening` shows leaves of the direction that the beacon names, of OK."""

    federation: Hash
    r: Uint
    again: Small
    measure: StepsMeasure
    opening: Annotated[list[Opening], Meta(max_length=1)]
    salt: Hash


# --- ids, commitments, draws ---------------------------------------------------------------------------------------------------


def federation_id_of(tx: bytes, op_index: int) -> bytes:
    """LC-FED-49"""
    return _FEDERATION.hash(tx, bytes((op_index,)))


def measure_commitment(
    chain_id: bytes, federation: bytes, r: int, again: int, seat: bytes, measure: ModelMeasure | StepsMeasure, salt: bytes
) -> bytes:
    """LC-FED-49: nobody can copy a measurement before it counts."""
    return _MEASURE.hash(chain_id, federation, r.to_bytes(2, "big"), bytes((again,)), seat, salt, encode(measure))


def parts_seal(
    chain_id: bytes, federation: bytes, r: int, attempt: int, account: bytes, stage: int, digests: Sequence[bytes], salt: bytes
) -> bytes:
    """LC-FED-60: nobody can copy parts before they count."""
    place = chain_id + federation + r.to_bytes(4, "big") + attempt.to_bytes(4, "big")
    return _SEAL.hash(place, account, bytes((stage,)), salt, b"".join(digests))


def ticket(beacon: bytes, federation: bytes, r: int, attempt: int, account: bytes) -> bytes:
    """LC-FED-5: the lowest are drawn; r and attempt take two bytes each."""
    return sha256(beacon + federation + r.to_bytes(2, "big") + attempt.to_bytes(2, "big") + account)


# --- receipt codes -------------------------------------------------------------------------------------------------------------


class FederationCode(IntEnum):
    """Why a message of this contract was refused. Stable numbers."""

    NO_SUCH_FEDERATION = 500
    BAD_TERMS = 501
    BAD_MODEL = 502
    BAD_TARGET = 503
    NOT_SPONSOR = 504
    OWN_FEDERATION = 505
    ALREADY_MEMBER = 506
    NOT_A_MEMBER = 507
    FULL = 508
    DUPLICATE_DATA = 509
    BENCHED = 510
    WRONG_STATE = 511
    TOO_LATE = 512
    WRONG_ROUND = 513
    TOO_FEW_MEMBERS = 514
    NO_PANEL = 515
    NO_AGGREGATORS = 516
    NOT_DRAWN = 517
    ALREADY_READY = 518
    KEYS_MISSING = 519
    ALREADY_COMMITTED = 520
    BAD_FILE = 521
    NO_REFERENCE = 522
    ALREADY_SCREENED = 523
    BAD_SCREEN = 524
    OUT_OF_ATTEMPT = 525
    ALREADY_SUMMED = 526
    BAD_BOXES = 527
    NO_SEAT = 528
    ALREADY_MEASURED = 529
    MEASURE_MISMATCH = 530
    BAD_VOTE = 531
    TOO_MANY_FEDERATIONS = 532
    TOO_OFTEN = 533
    NO_STANDING = 534
    NOT_ACTIVE = 535
    PARTS_MISSING = 536
    ALREADY_SAID = 537
    FEW_VERIFIERS = 538
    IN_A_CELL = 539
