"""What the job contract's routes take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, field

from learningchain.chain.host.terms import LIMITS, MAX_DEVICE_MB
from learningchain.chain.params import MAX_INT
from learningchain.client.schema.bodies import (
    Count,
    Page,
    Strict,
    TxAnswer,
)
from learningchain.client.schema.choices import exactly_one
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


class JobsQuery(Strict, frozen=True, kw_only=True):
    live: bool = False
    id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$", description="the first characters of the id")] | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the job number below which to go on")] | None = None
    limit: Page = 100


class TrainersQuery(Strict, frozen=True, kw_only=True):
    arch: Annotated[str, Meta(pattern="^(amd64|arm64)$", description="the processor that the image is built for")]
    train_s: Annotated[int, Meta(ge=1, le=LIMITS["train_s"][1], description="seconds of the training")]


class TrainersView(TypedDict):
    """How many nodes of others declared that they take on such a training."""

    trainers: int


class ModelQuery(Strict, frozen=True, kw_only=True):
    timeout_s: Annotated[float, Meta(gt=0, le=24 * 3_600)] = 600.0


class ImageRequest(Strict, frozen=True, kw_only=True):
    """An archive in the content store (`cid`, `image_id`, `size`), or a registry image pinned by digest (`reference`)."""

    CHOICES = (exactly_one("cid", "reference", more={"cid": ("image_id", "size")}),)

    cid: CidText | None = None
    reference: ImageReference | None = None
    image_id: Digest | None = None
    size: ImageBytes | None = None


class LimitsRequest(Strict, frozen=True, kw_only=True):
    """What one run of the container may use. `train_s` defaults to half of the time until expiry, at most an hour."""

    cpus: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    mem_mb: Count = 1_024
    train_s: Count | None = None
    eval_s: Count = 60
    model_cap: Annotated[int, Meta(ge=0, le=MAX_INT, description="bytes of the largest model")] = 64 * 2**20
    tmp_mb: Count = 64
    threads: Annotated[int, Meta(ge=0, le=MAX_INT, description="defaults to cpus, rounded up")] | None = None


class HiddenRequest(Strict, frozen=True, kw_only=True):
    """Hidden evaluation data: the encrypted file in the content store, and the SHA-256 of its plaintext and of its key. Hand the
    key to the node (`POST /v1/hidden-keys`) before the job is posted: it reveals it by itself."""

    cid: CidText
    plain_hash: Digest
    key_hash: Digest
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes of the encrypted file")]


class SetRequest(Strict, frozen=True, kw_only=True):
    """A published data set (`GET /v1/sets/{cid}`): the job's program finds its files in /lc/in/sets/NAME."""

    cid: CidText
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes of its files")]
    files: Annotated[int, Meta(ge=1, le=MAX_INT)]
    name: Annotated[str, Meta(max_length=32, extra_json_schema={"pattern": "^[a-z0-9_-]{1,32}$"})]
    use: Literal["train", "evaluate", "both"] = "both"


class DevicesRequest(Strict, frozen=True, kw_only=True):
    """GPUs that a worker's training is given; evaluations run without any."""

    kind: Literal["cuda", "rocm"] = "cuda"
    count: Annotated[int, Meta(ge=1, le=8)] = 1
    mem_mb: Annotated[int, Meta(ge=0, le=MAX_DEVICE_MB, description="memory of each, at least; 0: any")] = 0


class EarlierRequest(Strict, frozen=True, kw_only=True):
    """A model that trainings begin with, which has to be to be had (`POST /v1/files`): claims must be better than its loss."""

    cid: CidText
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes")]
    loss: GivenLoss
    job: Annotated[Hash, Meta(description="the job that it came from, for people")] | None = None


class JobRequest(Strict, frozen=True, kw_only=True):
    """A job to post. One of `expires_in_s` and `expiry` is needed; what is not required may be left out.

    `fee` is paid per judged vote, and fee × 71 × finalists is locked while the job runs; left out it is a thousandth of the
    bounty, or the least that the network allows for the evaluation where that is more. `floor` is the lowest loss that is believed
    possible: claims below it are refused. `tol` is the tolerance between machines, kept by the rules between what rounding needs
    and ten times that. `arch` is the processor that the image is built for.
    """

    CHOICES = (exactly_one("expires_in_s", "expiry"),)

    image: ImageRequest
    bounty: GivenAmount
    expires_in_s: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    expiry: Annotated[int, Meta(ge=0, le=MAX_INT, description="milliseconds of the chain clock")] | None = None
    fee: GivenAmount | None = None
    tol: Tolerance = "0"
    floor: GivenLoss = "0"
    float_kind: Literal["f64", "f32"] = "f32"
    finalists: Count = 4
    on_cheat: Literal["refund", "next-best"] = "next-best"
    arch: Literal["amd64", "arm64"] = "amd64"
    hidden: HiddenRequest | None = None
    devices: DevicesRequest | None = None
    earlier: EarlierRequest | None = None
    data: Annotated[list[SetRequest], Meta(max_length=8)] = field(default_factory=list)
    params: Annotated[dict[str, Any], Meta(description="handed to the container as it is; at most 8192 bytes of JSON")] = field(
        default_factory=dict
    )
    limits: LimitsRequest = LimitsRequest()


class ExtensionRequest(Strict, frozen=True, kw_only=True):
    """The new end of the claims, later than the present one: seconds from now, or the chain clock."""

    CHOICES = (exactly_one("expires_in_s", "expiry"),)

    expires_in_s: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    expiry: Annotated[int, Meta(ge=0, le=MAX_INT, description="milliseconds of the chain clock")] | None = None


class HiddenKeyRequest(Strict, frozen=True, kw_only=True):
    key: Digest


class HiddenKept(TypedDict):
    key_hash: Hex


class JobPosted(TxAnswer):
    job: Hex
    expiry: int


class JobExtended(TxAnswer):
    job: Hex
    expiry: int


class JobCancelled(TxAnswer):
    job: Hex


class EndView(TypedDict):
    """What a contractor has paid where the job ends so: usually, and at most; the rest of what was locked comes back."""

    state: str
    usual: Amount
    most: Amount


class ComparableView(TypedDict):
    """What ended jobs with similar limits paid; `how` says which. `without_winner` paid nobody; `claimants` is the median."""

    jobs: int
    paid: int
    without_winner: int
    bounty_lowest: Amount | None
    bounty_median: Amount | None
    bounty_highest: Amount | None
    claimants: int | None
    how: str


class RefusalView(TypedDict):
    code: int
    name: str
    message: str


class JobQuote(TypedDict):
    """What a posting locks (`total` = bounty + fees + bond + deposit) and how its ends differ.

    `stake` is what a full claim locks, `least_fee` the least for a judged vote. `verifiers` have the flag, `judges` of
    them declared a machine that covers the limits; `conspirators`: how many of these can have a false claim paid, null where a
    whole committee of seven can judge. `trainers`: nodes of others that declared to take on a training of `train_s` seconds, the
    longest that this job allows from now on. `refusal`: why the ledger would refuse the posting now.
    """

    bounty: Amount
    fees: Amount
    bond: Amount
    deposit: Amount
    total: Amount
    free: Amount
    stake: Amount
    fee: Amount
    least_fee: Amount
    finalists: int
    expiry: int
    ends: list[EndView]
    verifiers: int
    judges: int
    train_s: int
    trainers: int
    conspirators: int | None
    refusal: RefusalView | None
    comparable: ComparableView


class ImageView(TypedDict):
    kind: str
    reference: str
    cid: str
    image_id: Hex
    size: int


class LimitsView(TypedDict):
    cpus_milli: int
    mem_mb: int
    train_s: int
    eval_s: int
    model_cap: int
    tmp_mb: int
    threads: int


class ModelView(TypedDict):
    """`sha256` is the digest inside the CID: of the file itself when it fits one block, else of its tree's root."""

    cid: CidText
    sha256: Hex
    size: int


class JobSummary(TypedDict):
    id: Hex
    number: int
    state: str
    poster: Address
    bounty: Amount
    fee: Amount
    posted: int
    expiry: int
    deadline: int | None
    draw_height: Annotated[int | None, Meta(description="in DRAW: the block that draws the committee")]
    claimants: int
    hidden: str
    image: ImageView
    limits: LimitsView
    winner: Address | None
    ended: int | None
    left: Annotated[
        int | None, Meta(description="block in which its records left the state; what is told is this node's history of it")
    ]


class HiddenView(TypedDict):
    cid: CidText
    plain_hash: Hex
    key_hash: Hex
    size: int


class SetInUse(TypedDict):
    """A job's data set. `use`: train, evaluate or both; `here`: bytes of it on this node's disk."""

    name: str
    cid: CidText
    size: int
    files: int
    use: str
    here: int


class DevicesView(TypedDict):
    """GPUs that a training is given: `kind` is cuda or rocm, `mem_mb` what each has at least."""

    kind: str
    count: int
    mem_mb: int


class EarlierView(TypedDict):
    """The model that trainings begin with. `next_at_most`: the largest loss of a claim that is better."""

    job: Hex | None
    cid: CidText
    size: int
    loss: LossText
    next_at_most: LossText


class TermsView(TypedDict):
    """`stake` is a full one; `fees_locked`, `bond` and `deposit` are locked beside the bounty."""

    arch: str
    params: str
    finalists: int
    float_kind: str
    tol: LossText
    floor: LossText
    on_cheat: str
    stake: Amount
    fees_locked: Amount
    bond: Amount
    deposit: Amount
    hidden: HiddenView | None
    devices: DevicesView | None
    earlier: EarlierView | None
    data: list[SetInUse]


class ContractorView(TypedDict):
    """How a contractor's jobs ended. `refunded`: bounties that went back after a model had been shown; `undecided`: jobs with a
    candidate that nobody could decide; `unrepeatable`: verdicts for which more than a third of the votes were off."""

    posted: int
    live: int
    paid: Amount
    winners: int
    last_winners: list[Address]
    refunded: Amount
    undecided: int
    unrepeatable: int


class ClaimView(TypedDict):
    """A claimant's standing claim. `rank` and `hidden_rank` count from 1: among the finalists, and of those whose hidden losses
    agree. `line` is that of the verdict which held. `full`: it locked the full stake, which is locked, released, burned or none."""

    index: int
    claimant: Address
    claim: int
    loss: LossText
    tolerance: LossText
    bound: LossText
    next_at_most: LossText
    claimed: int
    commitment: Hex
    must_reveal: bool
    finalist: bool
    rank: int | None
    hidden_rank: int | None
    revealed: bool
    model: ModelView | None
    result: str | None
    line: str | None
    hidden_loss: LossText | None
    full: bool
    stake: Amount
    stake_is: str


class BallotView(TypedDict):
    """A vote on one candidate: means, numbers of examples, and the losses that openings showed, in the order of the probe."""

    candidate: Address
    vote: str
    measured: LossText | None
    examples: int | None
    shown: list[LossText] | None
    hidden_loss: LossText | None
    hidden_examples: int | None
    hidden_shown: list[LossText] | None
    bad_key: bool


class VoterView(TypedDict):
    """`opened`: all that it measured is open, so that its votes count. `neutral`: it is no finalist itself."""

    voter: Address
    neutral: bool
    committed: bool
    opened: bool
    votes: list[BallotView]
    struck: str | None
    fee: Amount


class CandidateView(TypedDict):
    """`pool`: how many could have been drawn; `quorum`: how many seats decide."""

    claimant: Address
    seats: int
    pool: int
    quorum: int


class ProbeView(TypedDict):
    """Of an evaluation of so many examples: the places that are shown, and the subtrees whose greatest losses are."""

    examples: int
    positions: list[int]
    subtrees: list[int]


class RoundView(TypedDict):
    """`beacon` drew the committee, `probe` is the beacon of the probes; empty before the votes are in."""

    audit: int
    round: int
    beacon: Hex
    probe: str
    probes: list[ProbeView]
    started: int
    commit_deadline: int
    hidden: bool
    candidates: list[CandidateView]
    committee: list[VoterView]


class JobCaseView(TypedDict):
    """A FALSE verdict of this job: whose, and whether its case is PENDING, DISMISSED or became a ban."""

    account: Address
    state: str


class EscrowView(TypedDict):
    bounty: Amount
    fees: Amount
    bond: Amount
    deposit: Amount
    stakes: Amount


class PaymentsView(TypedDict):
    """Where the escrows went. What verdicts burn of stakes, they burn of the contractor's bond, up to all of it."""

    bounty_to: Address | None
    bounty_paid: Amount
    bounty_returned: Amount
    stakes_burned_by_verdicts: Amount
    bond_burned: Amount
    bond_returned: Amount
    fees_paid: Amount
    fees_burned: Amount
    fees_returned: Amount
    deposit_burned: Amount
    deposit_returned: Amount
    in_escrow: EscrowView


class CouldJudge(TypedDict):
    """Verifiers for this contractor's jobs, and how many of them declared a machine that covers this one's limits."""

    verifiers: int
    judges: int


class JobView(JobSummary):
    """Everything about a job: terms, claims in rank order, audits with their votes, verdicts, payments.

    `latest_end` is of the chain clock. `warning` says what a contractor gives up with its metric. `could_judge` is of now, null
    for a job that has ended.
    """

    terms: TermsView
    latest_end: int
    latest_end_draw_blocks: Annotated[int, Meta(description="blocks that the draws add to it")]
    contractor: ContractorView
    key: Hex
    audit: int
    round: int
    examples: Annotated[int | None, Meta(description="losses of one evaluation, as most votes have it; null before the first")]
    warning: str | None
    could_judge: CouldJudge | None
    claims: list[ClaimView]
    must_reveal: list[Address]
    finalists: list[Address]
    rounds: list[RoundView]
    cases: list[JobCaseView]
    payments: PaymentsView
    model: ModelView | None
