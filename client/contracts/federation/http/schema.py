"""What the routes about federations take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, field

from learningchain.chain.contracts.federation.messages import MAX_EXAMPLES_CLAIMED, MAX_ROUNDS, MOST_MEMBERS
from learningchain.chain.params import MAX_INT
from learningchain.client.schema.bodies import (
    Count,
    Page,
    StoredFile,
    Strict,
    TxAnswer,
)
from learningchain.client.schema.choices import exactly_one, given, needs
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
    Tolerance,
)

OwnDataName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$", description="of own data, as GET /v1/data lists them")]
MAX_ATTEMPTS = 50
"""Attempts or measurements of one answer."""

CLASSES = {"oneOf": [given("classes", kind="class"), given(kind="number")]}
"""A model of classes says how many there are."""

# --- reading: queries -------------------------------------------------------------------------------------------------------------


class FederationsQuery(Strict, frozen=True, kw_only=True):
    live: Annotated[bool, Meta(description="only those that have not ended")] = False
    sponsor: Annotated[Address, Meta(description="only federations that this identity opened")] | None = None
    member: Annotated[Address, Meta(description="only federations that this identity joined, or asked to join")] | None = None
    id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$", description="the first characters of the id")] | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the federation's number below which to go on")] | None = None
    limit: Page = 100


class FederationRoundsQuery(Strict, frozen=True, kw_only=True):
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the round below which to go on")] | None = None
    limit: Page = 100


class FederationStepsQuery(Strict, frozen=True, kw_only=True):
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the cursor after which to go on")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] = 20


class FederationPayQuery(Strict, frozen=True, kw_only=True):
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the cursor after which to look for the round")] | None = None


class FederationModelQuery(Strict, frozen=True, kw_only=True):
    """`round`: the model that this round summed; left out, the best one."""

    round: Annotated[int, Meta(ge=0, le=MAX_ROUNDS)] | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=24 * 3_600)] = 600.0


# --- opening ----------------------------------------------------------------------------------------------------------------------


class FederationImage(Strict, frozen=True, kw_only=True):
    """An archive in the content store (`cid`, `image_id`, `size`), or a registry image pinned by digest (`reference`)."""

    CHOICES = (exactly_one("cid", "reference", more={"cid": ("image_id", "size")}),)

    cid: CidText | None = None
    reference: ImageReference | None = None
    image_id: Digest | None = None
    size: ImageBytes | None = None


class FederationLimits(Strict, frozen=True, kw_only=True):
    """What one run of `local` or `evaluate` may use. `train_s` is the budget of `local`."""

    cpus: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    mem_mb: Count = 1_024
    train_s: Count = 600
    eval_s: Count = 60
    tmp_mb: Count = 64
    threads: Annotated[int, Meta(ge=0, le=MAX_INT, description="defaults to cpus, rounded up")] | None = None


class InitialModel(Strict, frozen=True, kw_only=True):
    """A safetensors file in the content store: its bytes, and the number of its F32 values."""

    cid: CidText
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes")]
    dims: Annotated[int, Meta(ge=1, le=MAX_INT, description="values")]


class HiddenTest(Strict, frozen=True, kw_only=True):
    """The encrypted test file in the content store, and the SHA-256 of its plaintext and of its key."""

    cid: CidText
    plain_hash: Digest
    key_hash: Digest
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes of the encrypted file")]


class LookAfterRequest(Strict, frozen=True, kw_only=True):
    """What this node does by itself for a federation that it opened. `auto`: start rounds. `reference`: own data, on which it
    trains the reference update. `hidden_key`: what opens the hidden test file, for the panel."""

    auto: bool = True
    reference: OwnDataName | None = None
    hidden_key: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


class FederationRequest(Strict, frozen=True, kw_only=True):
    """A federation to open. One of `ends_in_s` and `ends` is needed; what is not required may be left out.

    `target`: the measured loss at which all of the bounty is paid. `fee`: of an aggregator's attempt and of a seat's measurement,
    left out the least that the network allows. `round_s`: how long members may train; `pace_s`: how long the sponsor may rest
    between rounds. `min_sum`: of so many members at least is any sum that becomes known, `vetted` ones where `vetted` says so.
    `clip` is the first bound of an update's norm. `split` defaults to aligned with a reference, else to equal. `schema`: the CID of
    what members' tables should look like. `dp_milli`: thousandths of the noise that is added to sums. `look_after`: what this node
    does for it by itself.
    """

    CHOICES = (exactly_one("ends_in_s", "ends"),)

    image: FederationImage
    model: InitialModel
    bounty: GivenAmount
    target: GivenLoss
    rounds: Annotated[int, Meta(ge=0, le=MAX_INT)]
    ends_in_s: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    ends: Annotated[int, Meta(ge=0, le=MAX_INT, description="milliseconds of the chain clock")] | None = None
    round_s: Annotated[float, Meta(gt=0, le=10**9)] = 600.0
    pace_s: Annotated[float, Meta(gt=0, le=10**9)] = 24 * 3_600.0
    fee: GivenAmount | None = None
    params: Annotated[dict[str, Any], Meta(description="handed to the container as it is; at most 8192 bytes of JSON")] = field(
        default_factory=dict
    )
    arch: Literal["amd64", "arm64"] = "amd64"
    limits: FederationLimits = FederationLimits()
    hidden: HiddenTest | None = None
    schema: CidText | None = None
    float_kind: Literal["f64", "f32"] = "f32"
    tol: Tolerance = "0.000001"
    min_members: Count = 3
    max_members: Count = 20
    min_sum: Count | None = None
    vetted: bool = True
    secrecy: Literal["sum", "open"] | None = None
    rule: Literal["mean", "krum", "trimmed", "median"] = "mean"
    split: Literal["equal", "samples", "aligned", "half"] | None = None
    reference: bool = False
    clip: Tolerance = "1"
    patience: Count = 3
    admit: Literal["approve", "open"] = "approve"
    outside: bool = False
    dp_milli: Count = 0
    look_after: LookAfterRequest | None = None


class FederationPosted(TxAnswer):
    federation: Hex
    ends: int


class FederationQuote(TypedDict):
    """What opening would lock, and burn for what it keeps (`price`), who could measure and aggregate, and why the ledger would
    refuse it now, if it would. `panel` and `aggregators` are those who serve federations and whose machines take this model."""

    secrecy: Literal["sum", "open"]
    bounty: Amount
    fees: Amount
    price: Amount
    fee: Amount
    least_fee: Amount
    free: Amount
    ends: int
    latest_end: int
    panel: int
    aggregators: int
    refusal: dict[str, Any] | None


# --- joining and governing --------------------------------------------------------------------------------------------------------


class JoinRequest(Strict, frozen=True, kw_only=True):
    """`data`: own data of this node, on which it trains by itself from then on; or `digest`, of data that something else trains on.
    Their digest is published salted with the federation alone. `n`: examples, where the split is by samples, otherwise 0.
    `min_vetted`: the node trains only where so many other members carry the verifier flag; left out, as before, at first 2.
    `vault`: after each fifth round the local model is kept, sealed, by two members; it counts when joining. `again`: data that were
    used in another federation of a small model are used in this one, too. `data` takes a token that may everything."""

    CHOICES = (exactly_one("data", "digest"),)

    data: OwnDataName | None = None
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    n: Annotated[int, Meta(ge=0, le=MAX_EXAMPLES_CLAIMED)] = 0
    min_vetted: Annotated[int, Meta(ge=0, le=MOST_MEMBERS)] | None = None
    vault: bool = True
    again: bool = False


class DemandRequest(Strict, frozen=True, kw_only=True):
    """`min_vetted`: the node trains, from the next start on, only where so many other members carry the verifier flag."""

    min_vetted: Annotated[int, Meta(ge=0, le=MOST_MEMBERS)]


class VaultRequest(Strict, frozen=True, kw_only=True):
    """`on`: the node keeps a vault from now on, or no more. `holders`: accounts of four or five vetted members that get a share of
    each key, three of which open it; left out: the account's own secret alone does."""

    on: bool = True
    holders: Annotated[list[Address], Meta(max_length=5)] = field(default_factory=list)


class RecoverRequest(Strict, frozen=True, kw_only=True):
    """`data`: own data of this node to train on; left out where the federation has ended. `n` and `min_vetted` as when joining."""

    data: OwnDataName | None = None
    n: Annotated[int, Meta(ge=0, le=MAX_EXAMPLES_CLAIMED)] = 0
    min_vetted: Annotated[int, Meta(ge=0, le=MOST_MEMBERS)] | None = None


class DemandKept(TypedDict):
    federation: Hex
    data: str
    min_vetted: int


class VaultKept(TypedDict):
    federation: Hex
    on: bool
    holders: list[Address]


class FederationRecovering(TypedDict):
    """`vault`: the ledger names one, which this node fetches and opens; how far it is says `own`. `tx`: what says that the data are
    others than before; None where they are the same."""

    federation: Hex
    vault: bool
    tx: Hex | None


class PreviewRequest(Strict, frozen=True, kw_only=True):
    """`data`: own data of this node; `number` instead: a preview that was begun, to wait for."""

    CHOICES = (exactly_one("data", "number"),)

    data: OwnDataName | None = None
    number: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


class LookedAfter(TypedDict):
    federation: Hex
    auto: bool


class MemberRequest(Strict, frozen=True, kw_only=True):
    member: Address


class StartRequest(Strict, frozen=True, kw_only=True):
    """The round to start; left out, the one that is next."""

    round: Annotated[int, Meta(ge=0, le=MAX_ROUNDS)] | None = None


class ServeFederationsRequest(Strict, frozen=True, kw_only=True):
    on: bool


class FederationJoined(TxAnswer):
    """`published`: the digest that stands on the ledger."""

    published: Hex


class RoundStarted(TxAnswer):
    round: int


class FederationServing(TypedDict):
    """Whether this node may be drawn as aggregator and for panels, since when, and how many duties it has in federations now."""

    on: bool
    since: int | None
    duties: int


class JoiningVerifier(TypedDict):
    """A verifier that could be drawn to add up (`aggregates`) or to measure (`measures`). `inviter`: null of who was there from the
    beginning or was let in by the validators; `member`: it trains, or asks to."""

    account: Address
    inviter: Address | None
    aggregates: bool
    measures: bool
    member: bool


class JoiningView(TypedDict):
    """What joining means before anybody agrees, from the ledger alone.

    `bytes_each_round` leave the machine, masked where `secrecy` is sum; `sketch_numbers` of `dims` are seen by the aggregators.
    `readable_from`: of so many members at least is a sum that anybody can read; `opens_alone`: so many others, together, open
    this one's update. `worst_share`: the rest of the bounty by as many members as there may be; `pays_at_zero`: what of it a model
    without any loss would still be paid, for all members together. `refusal`: why the ledger would refuse this node now. `program`:
    the digest that pins what runs on own data; `allowed`: whether it is on this node's list (null: it has none, and any may run).
    `sent_in`: another federation in which this node sent an update on the present model, so that it sends none on it here.
    `aggregators` and `panel`: of so many verifiers those are drawn who add up and who measure; `verifiers`: who they are, where
    these are fewer than seven; `min_verifiers`: where fewer could be drawn to add up, this node does not train.
    """

    federation: Hex
    sponsor: Address
    state: str
    image: dict[str, Any]
    secrecy: str
    dims: int
    bytes_each_round: int
    rounds_left: int
    sketch_numbers: int
    readable_from: int
    opens_alone: int
    split: str
    claims_examples: bool
    dp_milli: int
    epsilon: float | None
    schema: CidText | None
    hidden: bool
    members: int
    vetted: int
    min_members: int
    max_members: int
    approved_by_sponsor: bool
    bounty: Amount
    paid: Amount
    worst_share: Amount
    pays_at_zero: Amount
    best: LossText | None
    target: LossText
    train_s: int
    cpus_milli: int
    mem_mb: int
    warnings: list[str]
    refusal: dict[str, Any] | None
    program: str
    allowed: bool | None
    sent_in: Hex | None
    aggregators: int
    panel: int
    verifiers: list[JoiningVerifier]
    min_verifiers: int


# --- deployment -------------------------------------------------------------------------------------------------------------------


class DeployRequest(Strict, frozen=True, kw_only=True):
    """How the best model is offered to who asks: what a registration of a model takes, without what the federation brings along.
    `schema` says what a row looks like; a sample and its answers stand together."""

    CHOICES = (CLASSES, needs("sample", "sample_answers"), needs("sample_answers", "sample"))

    name: Annotated[str, Meta(pattern="^[a-z0-9._-]{1,64}$", description="the owner's name for it")]
    kind: Literal["class", "number"]
    price: GivenAmount = "0"
    floor: GivenAmount = "0.00001"
    classes: Annotated[int, Meta(ge=2, le=65_536)] | None = None
    tol: Tolerance = "0.000001"
    max_rows: Annotated[int, Meta(ge=1, le=256)] = 256
    row_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    start_s: Annotated[int, Meta(ge=1, le=600)] = 5
    slots: Annotated[int, Meta(ge=1, le=64)] = 4
    previous: Hash | None = None
    schema: StoredFile | None = None
    sample: CidText | None = None
    sample_answers: CidText | None = None


class FederationDeployed(TxAnswer):
    """`shares`: whose the royalty is, by weight; empty where nobody was paid: then it is the registrant's."""

    model: Hex
    shares: list[dict[str, Any]]


# --- answers ----------------------------------------------------------------------------------------------------------------------


class FederationSummary(TypedDict):
    """`best` is null until the initial model was measured; `joined` counts who ever was a member. `deadline` ends the state."""

    id: Hex
    number: int
    sponsor: Address
    state: str
    end: str | None
    round: int
    rounds: int
    starts: int
    bounty: Amount
    paid: Amount
    target: LossText
    initial: LossText | None
    best: LossText | None
    joined: int
    max_members: int
    secrecy: str
    admit: str
    opened: int
    ends: int
    deadline: int | None
    ended: int | None
    left: int | None


class FederationModel(TypedDict):
    cid: CidText
    size: int


class FederationSeatView(TypedDict):
    """A seat of the panel and what it did in the present measurement."""

    account: Address
    committed: bool
    code: str | None
    holds: bool
    silent: int


class AggregatorView(TypedDict):
    """A drawn aggregator and what it did in the present attempt."""

    account: Address
    ready: bool
    have: bool
    screened: bool
    summed: bool


class RunningAttempt(TypedDict):
    attempt: int
    aggregators: list[AggregatorView]
    roster: int
    vetted: int
    files: list[Address]
    reference: bool


class FederationCellView(TypedDict):
    """A cell of a small model's owners, and who is left of it: they are summed together or not at all."""

    number: int
    members: list[Address]


class FederationDirectionView(TypedDict):
    """What the panel said of a direction of the last sum of cells: `of` all cells, one of them, the sponsor's reference, or both.
    `step_milli`: thousandths of the radius at which it loses least. `loss` is null where it is no model; the chosen one is the
    round's."""

    of: str
    step_milli: int
    loss: LossText | None
    chosen: bool


class FederationView(FederationSummary):
    """Everything about a federation. `best_round` 0 is the initial model. `attempt` is null while none runs. `cells` and
    `directions` are of small models; both are empty elsewhere."""

    terms: dict[str, Any]
    fee: Amount
    bounty_left: Amount
    fees_left: Amount
    most_starts: int
    latest_end: int
    members: dict[str, int]
    clip: LossText
    streak: int
    base: CidText
    best_model: FederationModel | None
    best_round: int
    again: int
    panel: list[FederationSeatView]
    attempt: RunningAttempt | None
    cells: list[FederationCellView]
    directions: list[FederationDirectionView]


class FederationMemberView(TypedDict):
    """`index` counts from 0, null for who was never admitted. `benched` is the start up to which it is out; `share_ppm` of the
    bounty was paid to it."""

    account: Address
    state: str
    index: int | None
    since: int
    digest: Hex
    n: int
    bad: int
    benched: int | None
    points: int
    paid: Amount
    share_ppm: int
    vault: CidText | None


class FederationRoundView(TypedDict):
    """A round that was summed. `outcome` and `loss` are null until it was measured, the loss also where the model is none."""

    round: int
    attempt: int
    base: CidText
    model: CidText
    delta: CidText
    clip: LossText
    aggregators: list[Address]
    accepted: list[Address]
    invalid: bool
    loss: LossText | None
    pot: Amount
    outcome: str | None
    settled: int | None


class OwnerPay(TypedDict):
    """What a round paid to one owner. `code`: the rule that its file met, null without a file; `points`: of the split aligned;
    `why`: PAID, or the first reason that holds why it was not: NOT_IN (joined later), NO_FILE, REFUSED (by `code`), NOT_ADDED,
    NOT_MEASURED, NO_PROGRESS, REVERTED, NO_POINTS."""

    member: Address
    paid: Amount
    code: str | None
    points: int
    accepted: bool
    why: str


class RoundPayView(FederationRoundView):
    """One round and its pay. `counts`: the rounds whose points the pot was split by, this one among them; `measurement`: the one
    that counted, null until then; `shared`: what the owners got of the pot, without shares of banned accounts. `before`: the
    round's events were not all among those that one call reads: ask again with it; null: they were."""

    counts: list[int]
    measurement: MeasurementView | None
    owners: list[OwnerPay]
    shared: Amount
    before: int | None


class FileVerdict(TypedDict):
    """What the aggregators agreed on about a member's file."""

    member: Address
    code: str
    points: int
    accepted: bool


class AttemptView(TypedDict):
    """An attempt that was screened, or came to nothing: `void` says why."""

    cursor: int
    round: int
    attempt: int
    height: int
    time: int
    files: list[FileVerdict]
    used: int
    accepted: int
    norm: int | None
    void: str | None


class FederationAttempts(TypedDict):
    """The newest first. `before` goes on with older ones; null where there are none."""

    attempts: list[AttemptView]
    before: int | None


class SeatMeasure(TypedDict):
    seat: Address
    code: str
    loss: LossText | None
    holds: bool


class MeasurementView(TypedDict):
    """A measurement of a round's model: `loss` null where it came to nothing, or the model is none."""

    cursor: int
    round: int
    again: int
    height: int
    time: int
    votes: list[SeatMeasure]
    silent: list[Address]
    invalid: bool
    loss: LossText | None
    counted: list[Address]


class FederationMeasurements(TypedDict):
    """The newest first. `before` goes on with older ones; null where there are none."""

    measurements: list[MeasurementView]
    before: int | None


# --- this node's own part --------------------------------------------------------------------------------------------------------


class OwnLossView(TypedDict):
    """The mean loss of a model on own data, as text, and of how many examples."""

    loss: str
    examples: int


class OwnAttemptView(TypedDict):
    """An attempt whose roster had this node. `sent`: its update stood on the ledger. `code`: what the aggregators agreed of it,
    "USED" or the rule that refused it (`FileCode`); empty where nothing was agreed. `loss`: of the model that the attempt began
    from, on own data; None where `local` was not run for it. `why`: why nothing was sent."""

    attempt: int
    round: int
    sent: bool
    code: str
    points: int
    bytes_out: int
    bytes_in: int
    loss: OwnLossView | None
    why: str


class PreviewView(TypedDict):
    """A `local` run that sent nothing. `state`: "running", "ok", or how it failed; `reason` says why. `loss`: of the present model
    on own data. `model_bytes`: of what it left, which is deleted; masked, so much would leave each round, and 500 bytes more."""

    number: str
    federation: str
    data: str
    state: str
    reason: str
    loss: OwnLossView | None
    model_bytes: int


class VaultView(TypedDict):
    """This node's vault. `holders`: who get a share of each key. `rounds`: of which rounds a vault's file is here, the newest
    last. `state`: of one that a lost node of this account left: "" (none), "fetching", "asking", "opening", "opened", "failed";
    `why`: what keeps it from being made or opened. `recovered`: the round of the local model that came back, `path` its file on
    the node. `keeps`: vaults of other members that this node keeps."""

    on: bool
    holders: list[Address]
    rounds: list[int]
    state: str
    why: str
    recovered: int | None
    path: str
    keeps: int


class OwnPartView(TypedDict):
    """`data`, `min_vetted`: what was agreed to when joining; empty and 0 where this node does not train. `waits`: of a small model,
    why it is in no cell that is summed, what it waits for and what it can do. `sponsors`: it looks after the federation, `auto`
    rounds started by itself. `final`: the best model on own data, after the end."""

    federation: str
    trains: bool
    data: str
    min_vetted: int
    waits: str
    sponsors: bool
    auto: bool
    attempts: list[OwnAttemptView]
    bytes_out: int
    bytes_in: int
    final: OwnLossView | None
    previews: list[PreviewView]
    vault: VaultView
