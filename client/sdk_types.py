"""What the SDK gives back and raises. Plain typed dictionaries, as the HTTP API sends them: amounts are credits as decimal text,
losses decimal text, ids hex, identities `lc1…`, times milliseconds. A newer node may send more fields; nothing here refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

Json = dict[str, Any]


# --- errors --------------------------------------------------------------------------------------------------------------------


class ApiError(Exception):
    """Base of all errors of the SDK. `kind` is the API's word for it, `code` a stable number where there is one.

    `retry_after_s`: seconds until the same may be sent again, where the node knows them: the account's bandwidth is used up.
    """

    kind = "error"

    def __init__(self, message: str, *, code: int | None = None, name: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.name, self.retry_after_s = message, code, name, retry_after_s

    def as_json(self) -> Json:
        said = {"kind": self.kind, "code": self.code, "name": self.name, "message": self.message}
        return {"error": said | {"retry_after_s": self.retry_after_s}}


class Rejected(ApiError):
    """The ledger's rules refused the transaction: it stands in a block and changed nothing. `code` is the receipt's."""

    kind = "rejected"


class Invalid(ApiError):
    """The transaction can stand in no block (`code` is a `TxCode`): wrong signature, unknown or suspended sender, too late…"""

    kind = "invalid"


class Usage(ApiError):
    """The request makes no sense as it is: the text says what to change."""

    kind = "usage"


class NotFound(ApiError):
    """There is no such account, block, transaction, job, file or run."""

    kind = "not_found"


class Unauthorized(ApiError):
    """The node does not know this token."""

    kind = "unauthorized"


class Unreachable(ApiError):
    """Nobody answered, or the connection broke. Whether a submission arrived is then unknown: look before sending it again."""

    kind = "unreachable"


class Unavailable(ApiError):
    """The node answered, but cannot do this now: it is syncing, overloaded, or the graph did not decide in time."""

    kind = "unavailable"


class BadContent(ApiError):
    """The bytes received are not those that the CID names. Nothing was kept."""

    kind = "bad_content"


KINDS: dict[str, type[ApiError]] = {
    e.kind: e for e in (Rejected, Invalid, Usage, NotFound, Unauthorized, Unreachable, Unavailable, BadContent)
}


# --- documents -----------------------------------------------------------------------------------------------------------------


class ParkedReference(TypedDict):
    contract: str | int
    ref: str
    height: int
    fault: str
    retry: list[str]
    give_back: list[str]


class Failing(TypedDict):
    part: str
    since: int
    why: str


class NodeStatus(TypedDict, total=False):
    network: str
    chain_id: str
    height: int
    block_id: str
    state_root: str
    time: int
    clock: int
    """The chain clock of the last block."""
    clock_now: int
    """What the chain clock of a block made now would be."""
    id: str
    validator: bool
    validators: list[str]
    peers: int
    syncing: bool
    audited: int
    """Every block up to this height was executed by the node itself; later ones it took over by their certificates."""
    first_block: int
    """The first block that the node has: it began from a snapshot where this is not 1."""
    working: bool
    mempool: int
    """Transactions that wait for a block here."""
    mempool_room: dict[str, dict[str, int]]
    """How full each kind of room is: bytes, limit, accounts (LC-NODE-61)."""
    parked: list[ParkedReference]
    """References at which a program failed, the first 16: the validators release them."""
    failing: list[Failing]
    """Parts of the node's own work that fail at present."""
    supply: dict[str, str]
    version: str


class Bandwidth(TypedDict):
    """Bytes of transactions that an account may still have in blocks, and how many it earns in a second."""

    left: int
    per_s: int


class AccountInfo(TypedDict, total=False):
    id: str
    status: str
    balance: str
    frozen: str
    locked: str
    bandwidth: Bandwidth
    verifier: bool
    validator: bool
    strikes: list[int]
    sequences: list[int]
    case: Json | None


class HistoryEntry(TypedDict, total=False):
    cursor: int
    height: int
    time: int
    tx: str
    reason: str
    amount: str
    ref: str
    other: str
    looks_like: str
    """Put there by the command line alone: a known address that `other` begins and ends like, and is not."""


class JobEvent(TypedDict, total=False):
    """`time` is the block's, in milliseconds; `tx` is None where the block itself did it."""

    cursor: int
    height: int
    time: int
    tx: str | None
    topic: str
    data: Json


class Submitted(TypedDict, total=False):
    """`height`, `code` and `events` are there when the caller waited for the block."""

    tx: str
    job: str
    height: int
    index: int
    code: int
    code_name: str
    events: list[Any]


class StoredFile(TypedDict, total=False):
    cid: str
    size: int


class ArchiveImage(TypedDict):
    """A docker-archive in the graph's content store, and the one image in it that may run (`sha256:` and 64 hex digits)."""

    cid: str
    image_id: str
    size: int


class RegistryImage(TypedDict, total=False):
    """`name@sha256:…`; `image_id` is optional."""

    reference: str
    image_id: str


class JobLimits(TypedDict, total=False):
    """What one run may use; the node's defaults stand in for what is missing. `model_cap` is bytes."""

    cpus: float
    mem_mb: int
    train_s: int
    eval_s: int
    model_cap: int
    tmp_mb: int
    threads: int


class JobTerms(TypedDict, total=False):
    """What `submit_job` may say besides image, bounty and expiry. Amounts and losses are decimal text."""

    fee: str
    tol: str
    floor: str
    float_kind: str
    finalists: int
    on_cheat: str
    params: Json
    limits: JobLimits


Job = Json
"""A job as `views.describe` shows it: id, state, bounty, expiry, deadline, claims, rounds, payments, winner, model…"""


@dataclass(frozen=True)
class Event:
    """Something that happened on the node: `kind` is "block", "note" or "run"."""

    kind: str
    data: Json


@dataclass(frozen=True)
class Fetched:
    """A file whose bytes are what `cid` names; `sha256` is of the whole file."""

    path: Path
    cid: str
    size: int
    sha256: str
