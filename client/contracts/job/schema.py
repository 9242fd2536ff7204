"""What the job contract's routes take and answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta, field

from chain.params import MAX_INT
from client.api.schema import MAX_TEXT, Address, Amount, CidText, Count, Hex, LossText, Page, Strict, TxAnswer


class JobsQuery(Strict, frozen=True, kw_only=True):
    live: bool = False
    id: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$", description="the first characters of the id")] | None = None
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the job number below which to go on")] | None = None
    limit: Page = 100


class ModelQuery(Strict, frozen=True, kw_only=True):
    timeout_s: Annotated[float, Meta(gt=0, le=24 * 3_600)] = 600.0


class ImageRequest(Strict, frozen=True, kw_only=True):
    """An archive in the content store (`cid`, `image_id`, `size`), or a registry image pinned by digest (`reference`)."""

    cid: CidText | None = None
    reference: Annotated[str, Meta(max_length=MAX_TEXT, description="name@sha256:<64 hex>")] | None = None
    image_id: Annotated[str, Meta(max_length=80, description="64 hex digits, with or without sha256:")] | None = None
    size: (
        Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes; needed for an archive, 1 when left out for a registry image")]
        | None
    ) = None


class LimitsRequest(Strict, frozen=True, kw_only=True):
    """What one run of the container may use. `train_s` defaults to half of the time until expiry, at most an hour."""

    cpus: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    mem_mb: Count = 1_024
    train_s: Count | None = None
    eval_s: Count = 60
    model_cap: Annotated[int, Meta(ge=0, le=MAX_INT, description="bytes of the largest model")] = 64 * 2**20
    tmp_mb: Count = 64
    threads: Annotated[int, Meta(ge=0, le=MAX_INT, description="defaults to cpus, rounded up")] | None = None


class JobRequest(Strict, frozen=True, kw_only=True):
    """A job to post. One of `expires_in_s` and `expiry` is needed; everything that has a default may be left out.

    `fee` is paid per judged vote, and fee × 13 × finalists is locked while the job runs; left out it is a thousandth of the
    bounty (at least 0.000001). `floor` is the lowest loss that is believed possible: claims below it are refused. `tol` is the
    tolerance between machines, kept by the rules between what rounding needs and ten times that.
    """

    image: ImageRequest
    bounty: Amount
    expires_in_s: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    expiry: Annotated[int, Meta(ge=0, le=MAX_INT, description="milliseconds of the chain clock")] | None = None
    fee: Amount | None = None
    tol: LossText = "0"
    floor: LossText = "0"
    float_kind: Literal["f64", "f32"] = "f32"
    finalists: Count = 3
    on_cheat: Literal["refund", "next-best"] = "refund"
    params: Annotated[dict[str, Any], Meta(description="handed to the container as it is; at most 8192 bytes of JSON")] = field(
        default_factory=dict
    )
    limits: LimitsRequest = LimitsRequest()


class JobPosted(TxAnswer):
    job: Hex
    expiry: int


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
    claimants: int
    hidden: str
    image: ImageView
    limits: LimitsView
    winner: Address | None
    ended: int | None
    left: Annotated[
        int | None, Meta(description="block in which its records left the state; what is told is this node's history of it")
    ]


class JobView(JobSummary):
    """Everything about a job: terms, claims in rank order, audits with their votes, verdicts, payments."""

    terms: dict[str, Any]
    latest_end: int | None
    contractor: dict[str, int]
    key: Hex
    audit: int
    round: int
    claims: list[dict[str, Any]]
    must_reveal: list[Address]
    finalists: list[Address]
    rounds: list[dict[str, Any]]
    cases: list[dict[str, Any]]
    payments: dict[str, Any]
    model: ModelView | None
