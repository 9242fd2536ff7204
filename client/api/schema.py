"""Requests, queries and answers of the HTTP API as types: what is parsed strictly, what the SDK takes and gives back, and what
openapi.json is made from. Each document is described here, or in the schema of its contract, and nowhere else.

A request is a `Strict` struct: a node refuses what it does not know. An answer is a typed dictionary, as it comes out of JSON: a
newer node may send more fields, and who reads them need not know.

Credits and losses are decimal text, ids hex, identities `lc1…`, times milliseconds, sizes bytes unless a name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from chain.params import MAX_INT, MAX_TX_BYTES

MAX_WAIT_S = 300
MAX_PAGE = 1_000
MAX_TEXT = 1_024
MAX_TXS = 1_000
"""Transactions in one request."""

Amount = Annotated[str, Meta(max_length=32, description="credits as decimal text with at most six digits behind the point")]
LossText = Annotated[str, Meta(max_length=40, description="a loss as decimal text")]
Address = Annotated[str, Meta(max_length=64, description="an identity, lc1…")]
Hex = Annotated[str, Meta(description="bytes in hex")]
CidText = Annotated[str, Meta(max_length=MAX_TEXT, description="a CIDv1 in base32, b…")]
Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Page = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown and misspelt fields are refused by name."""


# --- queries ------------------------------------------------------------------------------------------------------------------


class NoQuery(Strict, frozen=True, kw_only=True):
    pass


class WaitQuery(Strict, frozen=True, kw_only=True):
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_S, description="seconds to wait until the transaction is final")] = 0.0


class HistoryQuery(Strict, frozen=True, kw_only=True):
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the cursor after which to go on")] | None = None
    limit: Page = 100


class FileQuery(Strict, frozen=True, kw_only=True):
    max_size: Annotated[int, Meta(ge=1, le=2**46, description="refuse a larger file")] = 16 * 2**30
    timeout_s: Annotated[float, Meta(gt=0, le=24 * 3_600)] = 600.0


class EventsQuery(Strict, frozen=True, kw_only=True):
    kinds: Annotated[str, Meta(max_length=64, description="which of block, note, move, run; comma-separated")] = "block,note,run"


# --- requests -----------------------------------------------------------------------------------------------------------------


class RawTxRequest(Strict, frozen=True, kw_only=True):
    raw: Annotated[str, Meta(max_length=2 * MAX_TX_BYTES, description="a signed transaction in hex")]


class RawTxsRequest(Strict, frozen=True, kw_only=True):
    """Signed transactions, each in hex; of one account in the order of their sequences."""

    raws: Annotated[list[Annotated[str, Meta(max_length=2 * MAX_TX_BYTES)]], Meta(min_length=1, max_length=MAX_TXS)]


# --- answers: transactions and chain ------------------------------------------------------------------------------------------


class TransferEventView(Strict, frozen=True, kw_only=True, tag_field="type", tag="moved"):
    """`source` null: minted; `target` null: burned. An escrow is shown by its name and what it belongs to, such as bounty:…."""

    reason: str
    source: str | None
    target: str | None
    amount: Amount
    ref: str


class LogEventView(Strict, frozen=True, kw_only=True, tag_field="type", tag="noted"):
    topic: str
    ref: str
    data: dict[str, Any]


if TYPE_CHECKING:
    ReceiptEvent = dict[str, Any]
    """As it comes out of JSON."""
else:
    ReceiptEvent = TransferEventView | LogEventView


class TxAnswer(TypedDict):
    """`status` is pending until the transaction is final; then `height`, `index`, `code` (0) and `events` are there."""

    tx: Hex
    status: Literal["pending", "final"]
    height: NotRequired[int]
    index: NotRequired[int]
    code: NotRequired[int]
    code_name: NotRequired[str]
    events: NotRequired[list[ReceiptEvent]]


class TxRefused(TypedDict):
    """`index` is its place in the request."""

    index: int
    code: int
    name: str
    message: str


class TxsAnswer(TypedDict):
    """`txs` are the ids of those that were taken, in order; the others are in `refused`."""

    txs: list[Hex]
    refused: list[TxRefused]


class TxView(TypedDict):
    """`raw` are the signed bytes. `ops` have their type's name in `type` and the message's fields beside it."""

    tx: Hex
    raw: Hex
    height: int
    index: int
    sender: Address
    lane: int
    sequence: int
    valid_until: int
    ops: list[dict[str, Any]]
    code: int
    code_name: str
    events: list[ReceiptEvent]


class CertificateView(TypedDict):
    """`bytes` is the encoded certificate, with its signatures (LC-BLK-6)."""

    round: int
    signers: list[str]
    bytes: Hex


class BlockView(TypedDict):
    """`txs` are ids. `header` is the encoded header, of which the id is a hash (LC-BLK-1, 2)."""

    height: int
    block_id: Hex
    version: int
    chain_id: Hex
    round: int
    proposer: Address
    time: int
    parent: Hex
    tx_root: Hex
    receipt_root: Hex
    state_root: Hex
    validators_hash: Hex
    next_validators_hash: Hex
    reveal: Hex
    commitment: Hex
    txs: list[Hex]
    header: Hex
    certificate: CertificateView | None


class ReceiptProof(TypedDict):
    """A receipt and its list proof under the header's `receipt_root` (LC-BLK-8), encoded. `tx` is null for the block's own."""

    height: int
    header: Hex
    certificate: Hex
    index: int
    tx: Hex | None
    receipt: Hex
    proof: Hex


class StateProofView(TypedDict):
    """A record, or null where there is none, and its proof under the header's `state_root` (LC-BLK-8), encoded, in hex."""

    height: int
    header: Hex
    certificate: Hex
    key: Hex
    record: Hex | None
    proof: Hex


class HandoversView(TypedDict):
    """Encoded validator set changes in hex, ascending by height (LC-BLK-18)."""

    handovers: list[Hex]


class HandoversQuery(Strict, frozen=True, kw_only=True):
    start: Annotated[int, Meta(ge=1, le=2**48)] = 1
    limit: Annotated[int, Meta(ge=1, le=64)] = 64


class SupplyPart(TypedDict):
    minted: Amount
    burned: Amount
    supply: Amount


class ParkedView(TypedDict):
    """A reference at which a deadline failed: nothing happens to it until more than two thirds of the validators agree how."""

    contract: str | int
    ref: str
    height: int
    fault: str
    retry: list[Address]
    give_back: list[Address]


class FailingView(TypedDict):
    """A part of this node's own work that fails since a time (wall clock, ms); it is asked again at every block."""

    part: str
    since: int
    why: str


class MempoolSpaceView(TypedDict):
    """One kind of space in the mempool: bytes that count against its limit, and accounts that hold some of that kind."""

    bytes: int
    limit: int
    accounts: int


class StatusView(TypedDict):
    """What a node says of itself.

    `time` and `clock` are those of the last block (LC-BLK-10). `clock_now` is what the chain clock of a block made now would be:
    `clock` and the time since that block, at most max_step. Deadlines are compared with the clock of a block, not with `clock_now`.
    Every block up to `audited` was executed by the node itself; later ones it took over by their certificates. `first_block` is not
    1 where it began from a snapshot. `mempool` transactions wait for a block here. `parked` are the first 16 references where a
    program failed: the validators release them. `failing` are parts of the node's own work that fail at present.
    """

    network: str
    chain_id: Hex
    height: int
    block_id: Hex
    state_root: Hex
    time: int
    clock: int
    clock_now: int
    id: Address
    validator: bool
    validators: list[Address]
    peers: int
    syncing: bool
    audited: int
    working: bool
    first_block: NotRequired[int]
    mempool: NotRequired[int]
    mempool_room: NotRequired[dict[str, MempoolSpaceView]]
    """By kind: `not ready`, `common`, `urgent`, `local` (LC-NODE-61)."""
    parked: NotRequired[list[ParkedView]]
    failing: NotRequired[list[FailingView]]
    supply: SupplyPart
    version: str


# --- answers: accounts --------------------------------------------------------------------------------------------------------


class BandwidthView(TypedDict):
    """Bytes of transactions: `left` may go into blocks now (below 0: urgent ones went beyond), `per_s` are earned in a second."""

    left: int
    per_s: int


class AccountBase(TypedDict):
    """`locked` lies in escrows of what is not over."""

    id: Address
    key: Hex
    status: Literal["active", "suspended", "banned"]
    balance: Amount
    frozen: Amount
    locked: Amount
    bandwidth: BandwidthView
    validator: bool
    sequences: list[int]


class ConnectionView(TypedDict):
    """`event` is "peer connected", "peer gone", "dial failed", "refused by peer", "connection refused" or "blocked"."""

    time: int
    event: str
    address: str
    id: str | None
    reason: str


class HistoryView(TypedDict):
    """`amount` is the change of the account's free credits, with its sign."""

    cursor: int
    height: int
    time: int
    tx: Hex | None
    reason: str
    amount: str | None
    ref: str
    other: str | None


class EventView(TypedDict):
    """`topic` happened; `time` is that of its block, `tx` null where the block itself did it; `data` are its values by name."""

    cursor: int
    height: int
    time: int
    tx: Hex | None
    topic: str
    data: dict[str, Any]


# --- answers: the rest --------------------------------------------------------------------------------------------------------


class FileStored(TypedDict):
    cid: CidText
    size: int


class RunCancelled(TypedDict):
    cancelled: bool


class Health(TypedDict):
    ok: bool


class Ready(TypedDict):
    ready: bool
    height: int
    sandbox: dict[str, Any] | None
