"""What the routes about models, predictions and policies take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta, field

from learningchain.chain.params import MAX_INT
from learningchain.client.schema.bodies import (
    CallbackSecretText,
    CallbackUrlText,
    CallbackView,
    Count,
    Page,
    StoredFile,
    Strict,
    TxAnswer,
)
from learningchain.client.schema.choices import at_least_one, exactly_one, given, needs
from learningchain.client.schema.texts import (
    Address,
    Amount,
    CidText,
    Digest,
    GivenAmount,
    GivenLoss,
    Hash,
    Hex,
    ImageBytes,
    ImageReference,
    LossText,
    ModelText,
    Tolerance,
)

MAX_ROWS = 256
"""Of one request."""
MAX_WATCH_S = 300.0
RowText = Annotated[str, Meta(max_length=2**20, extra_json_schema={"minLength": 1})]
ModelName = Annotated[str, Meta(pattern="^[a-z0-9._-]{1,64}$", description="the owner's name for it")]


# --- models: requests -----------------------------------------------------------------------------------------------------------


class ModelsQuery(Strict, frozen=True, kw_only=True):
    owner: Annotated[Address, Meta(description="only models of this identity")] | None = None
    name: ModelName | None = None
    live: bool = False
    id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$", description="the first characters of the id")] | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the model's number below which to go on")] | None = None
    limit: Page = 100


class ModelImage(Strict, frozen=True, kw_only=True):
    """An archive in the content store (`cid`, `image_id`, `size`), or a registry image pinned by digest (`reference`)."""

    CHOICES = (exactly_one("cid", "reference", more={"cid": ("image_id", "size")}),)

    cid: CidText | None = None
    reference: ImageReference | None = None
    image_id: Digest | None = None
    size: ImageBytes | None = None


class PredictLimits(Strict, frozen=True, kw_only=True):
    """What one run of `predict` may use, and the processor that its image is built for."""

    arch: Literal["amd64", "arm64"] = "amd64"

    cpus: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    mem_mb: Count = 512
    tmp_mb: Count = 64
    threads: Annotated[int, Meta(ge=0, le=MAX_INT, description="defaults to cpus, rounded up")] | None = None


class RoyaltyShare(Strict, frozen=True, kw_only=True):
    account: Address
    weight: Annotated[int, Meta(ge=1, le=2**32 - 1)]


class ModelRequest(Strict, frozen=True, kw_only=True):
    """A model to register. `job`: a paid job of this node, whose image, parameters, limits and winning model it is; without one,
    `image` and `model` are needed. `price` is the owner's royalty a row, `floor` the least tip a row and answer. `tol`: by how much
    the same score may differ between machines. `start_s` and `row_ms`: how long a server may take to start, and for a row."""

    CHOICES = (
        {"oneOf": [given("classes", kind="class"), given(kind="number")]},
        {
            "oneOf": [
                {**given("job", null=("image", "model", "limits")), "not": given("params")},
                given("image", "model", null=("job",)),
            ]
        },
    )

    name: ModelName
    kind: Literal["class", "number"]
    price: GivenAmount = "0"
    floor: GivenAmount = "0.00001"
    classes: Annotated[int, Meta(ge=2, le=65_536)] | None = None
    tol: Tolerance = "0.000001"
    job: Hash | None = None
    previous: Hash | None = None
    image: ModelImage | None = None
    model: StoredFile | None = None
    params: Annotated[dict[str, Any], Meta(description="handed to the container as it is; at most 8192 bytes of JSON")] = field(
        default_factory=dict
    )
    limits: PredictLimits | None = None
    slots: Annotated[int, Meta(ge=1, le=64, description="open seats for each server, in the mean")] = 4
    max_rows: Annotated[int, Meta(ge=1, le=MAX_ROWS)] = MAX_ROWS
    input_cap: Annotated[int, Meta(ge=1, le=8 * 2**20, description="bytes of the largest input")] = 2**20
    row_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    start_s: Annotated[int, Meta(ge=1, le=600)] = 5
    schema: StoredFile | None = None
    sample: CidText | None = None
    sample_answers: CidText | None = None
    shares: Annotated[list[RoyaltyShare], Meta(max_length=128)] = field(default_factory=list)


class PriceRequest(Strict, frozen=True, kw_only=True):
    """New prices. What the caller believes to be in force may stand beside them: a change that came between is refused then."""

    CHOICES = (at_least_one("price", "floor"),)

    price: GivenAmount | None = None
    floor: GivenAmount | None = None
    expected_price: GivenAmount | None = None
    expected_floor: GivenAmount | None = None


class ServeRequest(Strict, frozen=True, kw_only=True):
    """`stake` is added to what this node has staked on the model; left out, as much as is needed. A model with a sample is tried
    first, two runs on this machine, unless `untried`; TRIAL_RUNNING (503) says that the trial goes on: ask again."""

    stake: GivenAmount | None = None
    untried: bool = False


class ServePosted(TxAnswer):
    """`tried`: its sample was run twice on this machine, with the same answers."""

    tried: bool


class ModelTrial(TypedDict):
    """A trial of a model on this machine. `step` says in words where it is, `why` what is wrong with it (empty: nothing), `runs`
    names its runs; `since` is of the wall clock, ms."""

    model: Hex
    state: Literal["waiting", "fetching", "running", "passed", "failed"]
    step: str
    why: str
    runs: list[str]
    since: int


# --- requests -------------------------------------------------------------------------------------------------------------------


class PredictionRequest(Strict, frozen=True, kw_only=True):
    """Rows to ask a model for: `rows` as JSON values, `input` as the text of the rows, a line each, or `data`, a file in the
    content store with `count` rows.

    `private`: this node encrypts the rows, and blinds what comes back to everybody else; `key` says that `data` is such a file
    already, encrypted under it. `callback`: a URL that is told what becomes of it (docs/callbacks.md).

    `n`: answers that are asked for, odd; `agree`: how many of them should agree; `tip`: what the servers share if all agree, left
    out the model's floor; `max_charge`: the most that this request may lock, left out what it takes now.
    """

    CHOICES = (
        exactly_one("rows", "input", "data", more={"data": ("count",)}),
        needs("key", "data"),
        needs("callback_secret", "callback"),
    )

    model: ModelText
    rows: Annotated[list[Any], Meta(min_length=1, max_length=MAX_ROWS)] | None = None
    input: RowText | None = None
    data: StoredFile | None = None
    count: Annotated[int, Meta(ge=1, le=MAX_ROWS)] | None = None
    n: Annotated[int, Meta(ge=1, le=15)] = 5
    agree: Annotated[int, Meta(ge=1, le=15)] | None = None
    tip: GivenAmount | None = None
    max_charge: GivenAmount | None = None
    within_s: Annotated[float, Meta(ge=1, le=3_600, description="how long it may wait for its seats")] = 30.0
    policy: Hash | None = None
    unchecked: Annotated[bool, Meta(description="send the rows as they are, and not by the model's schema")] = False
    private: bool = False
    key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    callback: CallbackUrlText | None = None
    callback_secret: CallbackSecretText | None = None
    idempotency_key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                extra_json_schema={"pattern": "^[ -~]{1,128}$"},
                description="one key, one request: asked again under it, the request that exists is the answer, paid once; "
                "also as the header Idempotency-Key",
            ),
        ]
        | None
    ) = None


class TipRequest(Strict, frozen=True, kw_only=True):
    amount: GivenAmount


class StepsQuery(Strict, frozen=True, kw_only=True):
    tip: Annotated[GivenAmount, Meta(description="what would be added to the tip")] = "0.000001"


class StepCost(TypedDict):
    """`credits`: what it would lock, of a cancellation what would burn; null where the ledger would refuse it now, by `refusal`."""

    credits: Amount | None
    refusal: dict[str, Any] | None


class PredictionSteps(TypedDict):
    """What this node could do about a request now. `appeal`: its bond, which comes back where the answer is overturned; refused as
    NO_COMMITTEE where too few verifiers are left for an appeal to win."""

    tip: StepCost
    cancel: StepCost
    appeal: StepCost


class AppealRequest(Strict, frozen=True, kw_only=True):
    """At most eight rows, counted from 0, that the judges are to answer; the others are drawn."""

    rows: Annotated[list[Annotated[int, Meta(ge=0, lt=MAX_ROWS)]], Meta(max_length=8)] = field(default_factory=list)


class PredictionsQuery(Strict, frozen=True, kw_only=True):
    requester: Annotated[Address, Meta(description="only requests of this identity")] | None = None
    model: ModelText | None = None
    live: bool = False
    id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$", description="the first characters of the id")] | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the request's number below which to go on")] | None = None
    limit: Page = 100


class PredictionQuery(Strict, frozen=True, kw_only=True):
    wait: Annotated[float, Meta(ge=0, le=MAX_WATCH_S, description="seconds to wait until it is answered or failed")] = 0.0
    final: Annotated[bool, Meta(description="wait until it is final instead")] = False
    changed: Annotated[bool, Meta(description="wait until anything of it changed instead")] = False


# --- policies -------------------------------------------------------------------------------------------------------------------


class RateStep(Strict, frozen=True, kw_only=True):
    """From this value on, the rate in millionths. The first one of a policy begins at -999999999: at the least value of all."""

    start: GivenLoss
    ppm: Annotated[int, Meta(ge=0, le=2**32 - 1)]


class PolicyRequest(Strict, frozen=True, kw_only=True):
    """`accept` values below or above the threshold (or at it). A row is referred to people where fewer than `least` answers support
    its value, or the requester asked this model more than `most` times among the requests that are kept."""

    model: ModelText
    accept: Literal["below", "above"]
    threshold: GivenLoss
    rates: Annotated[list[RateStep], Meta(min_length=1, max_length=32)]
    least: Annotated[int, Meta(ge=1, le=15)] = 3
    most: Annotated[int, Meta(ge=0, le=MAX_INT)] = 0


class PoliciesQuery(Strict, frozen=True, kw_only=True):
    model: ModelText | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the policy's number below which to go on")] | None = None
    limit: Page = 100


# --- answers --------------------------------------------------------------------------------------------------------------------


class ModelPosted(TxAnswer):
    model: Hex


class PredictionPosted(TxAnswer):
    """`charge` is locked until the request has ended; what is not due to anybody comes back."""

    request: Hex
    charge: Amount
    tip: Amount
    callback_secret: NotRequired[str]
    """Where the node made it: it is not shown again."""


class PredictionKey(TypedDict):
    """The key of a private request of this node: who has it reads the rows and the values."""

    request: Hex
    key: Hex


class PolicyPosted(TxAnswer):
    policy: Hex


class PredictionQuote(TypedDict):
    """What a request would lock, who could be drawn for it, and why the ledger would refuse it now, if it would. `judges` verifiers
    are left, about, whose machines could judge an appeal; it takes `judges_needed` where all answers agree, and with fewer
    their word is final."""

    charge: Amount
    tip: Amount
    least_tip: Amount
    royalty: Amount
    burned: Amount
    rows: int
    seats: int
    pool: int
    judges: int
    judges_needed: int
    waiting: int
    latest_answer_s: float
    refusal: dict[str, Any] | None


class PriceView(TypedDict):
    price: Amount
    floor: Amount


class ModelServerView(TypedDict):
    """A server of a model, and what it did in its last seats: good and bad ones, and how often in a row it was silent."""

    server: Address
    state: str
    since: int
    stake: Amount
    unfinal: int
    good: int
    bad: int
    silent: int


class ModelDigest(TypedDict):
    cid: CidText
    size: int


class RecentAnswersView(TypedDict):
    """Of the newest requests to a model that its servers answered, 128 at most: how many there are, how many of them agreed, or
    have values with fewer behind them than were asked for, and the share that agreed. `p50_ms` and `p95_ms`: from the posting to
    the values, the wait for seats too, of those that have values. `since`: the chain clock of the oldest answer, ms. Null: none."""

    counted: int
    agreed: int
    weak: int
    agreement: float | None
    p50_ms: int | None
    p95_ms: int | None
    since: int | None


class RegisteredModelSummary(TypedDict):
    id: Hex
    number: int
    name: str
    owner: Address
    state: str
    kind: str
    classes: int | None
    price: Amount
    floor: Amount
    servers: int
    awake: int
    waiting: int
    registered: int
    answers: RecentAnswersView


class RegisteredModelView(RegisteredModelSummary):
    """Everything about a model. `next` is a price that was set and is not in force yet, at `next_from` of the chain clock.

    `royalties`: of a model with shares, what came and the next block pays, and what roundings leave until the model ends."""

    next: PriceView | None
    next_from: int | None
    tol: LossText
    slots: int
    max_rows: int
    input_cap: int
    row_ms: int
    start_s: int
    cpus_milli: int
    mem_mb: int
    tmp_mb: int
    threads: int
    arch: str
    image: dict[str, Any]
    params: str
    model: ModelDigest
    schema: CidText | None
    sample: CidText | None
    sample_answers: CidText | None
    source: Hex | None
    previous: Hex | None
    shares: list[dict[str, Any]]
    deposit: Amount
    royalties: Amount
    stake_needed: Amount
    members: list[ModelServerView]


class SeatView(TypedDict):
    """A seat of a request: what its server did, and what it got. `unfit`: until the request is final, the row that its BAD_INPUT
    names, from 0; a judge counts the rows of the appeal."""

    server: Address
    round: int
    committed: bool
    opened: bool
    code: str | None
    unfit: int | None
    paid: Amount


ValueView = TypedDict(
    "ValueView",
    {
        "row": int,
        "class": int | None,
        "score": LossText | None,
        "support": int,
        "new_class": int | None,
        "new_score": LossText | None,
    },
)
"""The agreed value of a row: its class is null where the model predicts numbers, all where too few agreed. `new`: what an appeal
made of it, where it overturned."""


class DecisionView(TypedDict):
    row: int
    decision: str
    rate_ppm: int
    borderline: bool


class AppealView(TypedDict):
    appellant: Address
    bond: Amount
    rows: list[int]
    judges: int
    verdict: str | None


class PredictionSummary(TypedDict):
    """`cost` is what the requester has paid for it, once it is answered or failed."""

    id: Hex
    number: int
    model: Hex
    requester: Address
    state: str
    outcome: str | None
    rows: int
    n: int
    agree_asked: int
    tip: Amount
    locked: Amount
    cost: Amount | None
    posted: int
    deadline: int | None
    ended: int | None


class PredictionView(PredictionSummary):
    """Everything about a request. `place` counts from 1 while it waits; `seats` are those of all rounds."""

    place: int | None
    queue: int
    wait_until: int
    royalty: Amount
    burned: Amount
    input: dict[str, Any]
    private: bool
    policy: Hex | None
    round: int
    asked: int
    seats: list[SeatView]
    votes: dict[str, int]
    values: list[ValueView]
    valued: int
    agree: int | None
    decisions: list[DecisionView]
    ordinal: int | None
    appeal: AppealView | None
    left: int | None
    callback: CallbackView | None
    plain: dict[str, Any] | None
    """Of a private request of this node that has values: what they are, for a token that may predict."""


class PolicyView(TypedDict):
    """`live`: requests that name it and have not ended; `dropped`: when it leaves the state unless one does, on the chain clock."""

    id: Hex
    number: int
    model: Hex
    owner: Address
    accept: str
    threshold: LossText
    rates: list[dict[str, Any]]
    least: int
    most: int
    live: int
    dropped: int | None


# --- the Open Inference Protocol ------------------------------------------------------------------------------------------------


class ServerMetadata(TypedDict):
    name: str
    version: str
    extensions: list[str]


class TensorMetadata(TypedDict):
    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(TypedDict):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerLive(TypedDict):
    live: bool


class InferenceReady(TypedDict):
    ready: bool
