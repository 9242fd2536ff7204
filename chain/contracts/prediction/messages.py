"""Messages, receipt codes, ids, commitments and bounds of the prediction contract: what clients write.
Spec: protocol_spec/predictions.md. `royalty` is p there, `floor` w, `answers` N, `agree` m, `rows` R, `tip` T."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire, encode
from learningchain.chain.contracts.prediction.formulas import APPEAL_SEATS, MAX_ROWS
from learningchain.chain.contracts.prediction.tally import Answer
from learningchain.chain.crypto import sha256
from learningchain.chain.host.terms import Cid, Image, Small
from learningchain.chain.tags import Tag
from learningchain.chain.types import AccountId, Hash, Uint

_MODEL, _REQUEST, _POLICY = Tag("lc/model", "models' ids"), Tag("lc/request", "requests' ids"), Tag("lc/policy", "policies' ids")
_ANSWER, _CHALLENGE = Tag("lc/answer", "answers' commitments"), Tag("lc/challenge", "challenges of predictions")
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""As wide as the encoding allows: the handler says with a code of its own what is out of bounds."""

# --- bounds (LC-PRE-1, LC-PRE-17, LC-PRE-25, LC-PRE-49) -----------------------------------------------------------------------

MAX_MODEL_PARAMS = 8_192
"""Bytes of a model's parameters: settings, not data."""
MAX_TOL = 10**15
MAX_ROYALTY = MAX_FLOOR = 10**12
MAX_SLOTS = 64
MAX_INPUT = 8 * 2**20
MAX_ROW_MS = 60_000
MAX_START_S = 600
MIN_CLASSES, MAX_CLASSES = 2, 65_536
MAX_SHARES = 128
MAX_WEIGHT = 2**32 - 1
MAX_STAKE = 10**15
"""Micro-credits."""
MAX_INLINE = 2_048
"""Bytes of an input that a request carries itself: nothing has to be fetched, nothing can be withheld."""
MIN_WAIT, MAX_WAIT = 1_000, 3_600_000
BOX_BYTES = 80
"""A request's key, sealed to a box key: an X25519 key of one use (32), the sealed key (32), its proof (16)."""


# --- messages ------------------------------------------------------------------------------------------------------------------


class Program(Wire, frozen=True):
    """What runs, and within which limits: an image, its settings, a model's content (`size` bytes), thousandths of a CPU, MiB."""

    image: Image
    arch: Small
    """An `Arch`."""
    params: Annotated[str, Meta(max_length=2 * MAX_MODEL_PARAMS)]
    model: Cid
    size: Uint
    cpus_milli: Uint
    mem_mb: Uint
    tmp_mb: Uint
    threads: Uint


class Share(Wire, frozen=True):
    """A part of a model's royalty: whose, by weight."""

    account: AccountId
    weight: Uint


class RegisterModel(Wire, frozen=True, tag=128):
    """Offer a trained model, against a deposit. It has the id `model_id_of`.

    Either `source`, a paid job of the sender whose winner becomes the model, or a federation whose best model does; or `program`.
    `previous` is an own model that this one replaces. `classes` is 0 for a NUMBER model; `tol` is flat, in score units. `slots`:
    requests that each server is taken to answer at once; `row_ms` and `start_s`: what a row and a start take at most. `schema`
    (JSON), `sample` (an input) and `sample_answers` are contents, each may be empty. `origin` is empty: nothing uses it yet.
    """

    name: Annotated[str, Meta(max_length=128)]
    source: Annotated[list[Hash], Meta(max_length=1)]
    previous: Annotated[list[Hash], Meta(max_length=1)]
    program: Annotated[list[Program], Meta(max_length=1)]
    kind: Uint
    """A `ModelKind`."""
    classes: Uint
    tol: Uint
    royalty: Uint
    floor: Uint
    slots: Uint
    max_rows: Uint
    input_cap: Uint
    row_ms: Uint
    start_s: Uint
    schema: Cid
    sample: Cid
    sample_answers: Cid
    origin: Annotated[list[Hash], Meta(max_length=0)]
    shares: Annotated[list[Share], Meta(max_length=MAX_SHARES)]


class SetPrice(Wire, frozen=True, tag=129):
    """The owner sets royalty and floor, where the price last set is the expected one."""

    model: Hash
    expected_royalty: Uint
    expected_floor: Uint
    royalty: Uint
    floor: Uint


class RetireModel(Wire, frozen=True, tag=130):
    """The owner ends a model: nobody asks it any more."""

    model: Hash


class ServeModel(Wire, frozen=True, tag=131):
    """Serve a model with `amount` more of stake; who was out or asleep is back."""

    model: Hash
    amount: Uint


class UnserveModel(Wire, frozen=True, tag=132):
    """Stop serving: the stake comes back when no seat is left that is not final."""

    model: Hash


class RequestPrediction(Wire, frozen=True, tag=133):
    """Ask a model: `rows` of the content `cid` (`size` bytes), which is `inline` where that is not empty.

    `answers` are wanted (odd), of which `agree` should agree; `tip` is paid for them. No more than `max_charge` is locked. It waits
    `wait` ms at most to be drawn. `key_hash`: SHA-256 of the key of a private request. `policy` decides each row.
    """

    model: Hash
    cid: Cid
    size: Uint
    inline: Annotated[bytes, Meta(max_length=2 * MAX_INLINE)]
    rows: Uint
    answers: Uint
    agree: Uint
    tip: Uint
    max_charge: Uint
    wait: Uint
    key_hash: Annotated[list[Hash], Meta(max_length=1)]
    policy: Annotated[list[Hash], Meta(max_length=1)]


class AddTip(Wire, frozen=True, tag=134):
    """The requester adds to the tip of a request that waits."""

    request: Hash
    amount: Uint


class CancelRequest(Wire, frozen=True, tag=135):
    """The requester takes back a request that waits."""

    request: Hash


Box = Annotated[bytes, Meta(min_length=BOX_BYTES, max_length=BOX_BYTES)]


class GiveKeys(Wire, frozen=True, tag=136):
    """Open a private request to the seats of a round: a box for each of them, in the order of the seats."""

    request: Hash
    round: Small
    boxes: Annotated[list[Box], Meta(max_length=APPEAL_SEATS)]


class CommitAnswer(Wire, frozen=True, tag=137):
    """`commitment` is `answer_commitment(...)` of the answer that the sender will open."""

    request: Hash
    round: Small
    commitment: Hash


class OpenAnswer(Wire, frozen=True, tag=138):
    """Open the sender's commitment. `round` is that of its seat."""

    request: Hash
    round: Small
    answer: Answer
    salt: Hash


class AppealAnswer(Wire, frozen=True, tag=139):
    """Have verifiers answer again: the rows that are named, ascending, and others by lot."""

    request: Hash
    rows: Annotated[list[Uint], Meta(max_length=MAX_ROWS)]


class PolicyRate(Wire, frozen=True):
    """The rate (parts per million) of accepted values from `start` on, in score units."""

    start: Int
    ppm: Uint


class RegisterPolicy(Wire, frozen=True, tag=140):
    """A rule that decides values of a NUMBER model: accept those at most (`below`) or at least `threshold`.

    `least`: support that a decision needs. `most`: requests of one root for this model, among those that are kept, beyond which all
    is referred; 0: any number.
    """

    model: Hash
    below: bool
    threshold: Int
    rates: Annotated[list[PolicyRate], Meta(max_length=64)]
    least: Uint
    most: Uint


# --- ids, commitments, draws ---------------------------------------------------------------------------------------------------


def model_id_of(tx: bytes, op_index: int) -> bytes:
    """LC-PRE-50"""
    return _MODEL.hash(tx, bytes((op_index,)))


def request_id_of(tx: bytes, op_index: int) -> bytes:
    """LC-PRE-50"""
    return _REQUEST.hash(tx, bytes((op_index,)))


def policy_id_of(tx: bytes, op_index: int) -> bytes:
    """LC-PRE-50"""
    return _POLICY.hash(tx, bytes((op_index,)))


def answer_commitment(chain_id: bytes, request: bytes, round_: int, server: bytes, answer: Answer, salt: bytes) -> bytes:
    """LC-PRE-50: nobody can copy an answer before it counts."""
    return _ANSWER.hash(chain_id, request, bytes((round_,)), server, salt, encode(answer))


def challenge(beacon: bytes, request: bytes, round_: int) -> int:
    """LC-PRE-51: 31 bits that ask for the check: of an appeal by the beacon of its draw and 3, else by that of the first and 1.

    Substitutes have the challenge of those they stand in for: their checks are compared.
    """
    return int.from_bytes(_CHALLENGE.hash(beacon, request, bytes((3 if round_ == 3 else 1,)))[:4], "big") >> 1


def seed_of(ref: bytes) -> int:
    """LC-PRE-51: of a model for its container's start, of a request for its run: the first eight bytes of the id."""
    return int.from_bytes(ref[:8], "big")


def ticket(beacon: bytes, request: bytes, round_: int, what: bytes) -> bytes:
    """LC-PRE-21: the lowest are drawn: of accounts, and of rows by their number in two bytes."""
    return sha256(beacon + request + bytes((round_,)) + what)


def inline_cid(content: bytes) -> bytes:
    """The name of a content of one chunk (LC-CONTENT-2)."""
    return b"\x01\x55\x12\x20" + sha256(content)


# --- receipt codes -------------------------------------------------------------------------------------------------------------


class PredictionCode(IntEnum):
    """Why a message of this contract was refused. Stable numbers."""

    NO_SUCH_MODEL = 400
    NO_SUCH_REQUEST = 401
    NO_SUCH_POLICY = 402
    BAD_MODEL_TERMS = 403
    BAD_NAME = 404
    BAD_SOURCE = 405
    NOT_OWNER = 406
    NOT_LIVE = 407
    PRICE_CHANGED = 408
    TOO_MANY_MODELS = 409
    NOT_ACTIVE = 410
    TOO_MANY_STRIKES = 411
    NOT_A_VERIFIER = 412
    STAKE_TOO_SMALL = 413
    SERVERS_FULL = 414
    NOT_SERVING = 415
    BAD_REQUEST = 416
    BAD_DATA_POINT = 417
    TIP_TOO_SMALL = 418
    CHARGE_TOO_HIGH = 419
    NO_SERVERS = 420
    QUEUE_FULL = 421
    TOO_MANY_WAITING = 422
    NOT_REQUESTER = 423
    WRONG_STATE = 424
    TOO_LATE = 425
    NOT_SEATED = 426
    WRONG_ROUND = 427
    ALREADY_COMMITTED = 428
    NOT_COMMITTED = 429
    ALREADY_OPENED = 430
    ANSWER_MISMATCH = 431
    BAD_ANSWER = 432
    BAD_KEYS = 433
    NOT_APPEALABLE = 434
    NO_COMMITTEE = 435
    BAD_POLICY = 436
    NO_BOX_KEY = 437
