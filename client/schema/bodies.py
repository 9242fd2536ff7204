"""Requests, queries and answers of the HTTP API as types: what is parsed strictly, what the SDK takes and gives back, and what
openapi.json is made from. Each document is described here, or in the schema of its contract, and nowhere else.

A request is a `Strict` struct: a node refuses what it does not know. An answer is a typed dictionary, as it comes out of JSON: a
newer node may send more fields, and who reads them need not know.

Credits and losses are decimal text, ids hex, identities `lc1…`, times milliseconds, sizes bytes unless a name says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from learningchain.chain.params import MAX_INT, MAX_TX_BYTES
from learningchain.client.schema.choices import Schema
from learningchain.client.schema.texts import ENDPOINT, Address, Amount, CidText, Hash, Hex, form, hex_form

ALIVE = "alive"
"""The event of a stream that has nothing to tell: its id says how far the stream is."""
MAX_WAIT_S = 300
MAX_PAGE = 1_000
MAX_TXS = 1_000
"""Transactions in one request."""

Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Page = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


_KEY = "([0-9a-f]{2}){1,255}"
_HASH = "[0-9a-f]{64}"
_KIND = "(block|note|move|run|notice)"


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Unknown and misspelt fields are refused by name."""

    CHOICES: ClassVar[tuple[Schema, ...]] = ()
    """What the fields say only together."""


class StoredFile(Strict, frozen=True, kw_only=True):
    """A file in the content store."""

    cid: CidText
    size: Annotated[int, Meta(ge=1, le=MAX_INT, description="bytes")]


# --- queries ------------------------------------------------------------------------------------------------------------------


class NoQuery(Strict, frozen=True, kw_only=True):
    pass


class WaitQuery(Strict, frozen=True, kw_only=True):
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_S, description="seconds to wait until the transaction is final")] = 0.0
    receipt: Annotated[bool, Meta(description="answer with the receipt file (LC-LIGHT-1) once it is final")] = False


class HistoryQuery(Strict, frozen=True, kw_only=True):
    before: Annotated[int, Meta(ge=0, le=MAX_INT, description="the cursor after which to go on")] | None = None
    limit: Page = 100


class LoadQuery(Strict, frozen=True, kw_only=True):
    limit: Page = 60


class TrustedQuery(Strict, frozen=True, kw_only=True):
    trusted: (
        Annotated[int, Meta(ge=1, le=2**48, description="begin at the block of this height, which the reader trusts")] | None
    ) = None


class RecordsQuery(TrustedQuery, frozen=True, kw_only=True):
    keys: Annotated[
        str,
        Meta(
            min_length=2,
            max_length=8_192,
            description="at most 16 keys of the state in hex; comma-separated",
            extra_json_schema=form(f"{_KEY}(,{_KEY}){{0,15}}"),
        ),
    ]


class FileQuery(Strict, frozen=True, kw_only=True):
    max_size: Annotated[int, Meta(ge=1, le=2**46, description="refuse a larger file")] = 16 * 2**30
    timeout_s: Annotated[float, Meta(gt=0, le=24 * 3_600)] = 600.0


class UploadQuery(Strict, frozen=True, kw_only=True):
    """`set`: the CID of the manifest of the published set that the file belongs to, or that it is: it is kept with that."""

    set: CidText | None = None


class SetQuery(Strict, frozen=True, kw_only=True):
    timeout_s: Annotated[float, Meta(gt=0, le=300, description="seconds in which its manifest may be fetched")] = 30.0


class EventsQuery(Strict, frozen=True, kw_only=True):
    kinds: Annotated[
        str,
        Meta(
            max_length=64,
            description="which of block, note, move, run, notice; comma-separated",
            extra_json_schema=form(f"{_KIND}(,{_KIND}){{0,4}}"),
        ),
    ] = "block,note,run,notice"
    ticket: (
        Annotated[str, Meta(max_length=128, description="of POST /v1/events/tickets, for the token: good once, for half a minute")]
        | None
    ) = None
    last_event_id: (
        Annotated[
            str,
            Meta(
                max_length=64,
                description="the id of the last event that the reader has, where it can send no header Last-Event-ID: what came"
                " since then comes first, or an event gap: then read the state again",
            ),
        ]
        | None
    ) = None


class ProofQuery(Strict, frozen=True, kw_only=True):
    token: Annotated[str, Meta(pattern="^(full|[0-9a-f]{8})$", description="the token's id, or full: that in api.token")]
    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="32 bytes that nobody knew before, in hex")]


class DashboardLinkQuery(Strict, frozen=True, kw_only=True):
    plain: Annotated[bool, Meta(description="for a browser that finds no names below localhost: at this API's own address")] = False


# --- requests -----------------------------------------------------------------------------------------------------------------


class RawTxRequest(Strict, frozen=True, kw_only=True):
    raw: Annotated[
        str, Meta(max_length=2 * MAX_TX_BYTES, description="a signed transaction in hex", extra_json_schema=hex_form(MAX_TX_BYTES))
    ]


class RawTxsRequest(Strict, frozen=True, kw_only=True):
    """Signed transactions, each in hex; of one account in the order of their sequences."""

    raws: Annotated[
        list[Annotated[str, Meta(max_length=2 * MAX_TX_BYTES, extra_json_schema=hex_form(MAX_TX_BYTES))]],
        Meta(min_length=1, max_length=MAX_TXS),
    ]


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
    """`status` is pending until the transaction is final; then `height`, `index`, `code` (0) and `events` are there, and `receipt`,
    the receipt file, where it was asked for."""

    tx: Hex
    status: Literal["pending", "final"]
    height: NotRequired[int]
    index: NotRequired[int]
    code: NotRequired[int]
    code_name: NotRequired[str]
    events: NotRequired[list[ReceiptEvent]]
    receipt: NotRequired[Hex]


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


class RawBlockView(TypedDict):
    """A block with all its transactions, and its certificate with the signatures, encoded, in hex (LC-BLK-2, 6)."""

    height: int
    block: Hex
    certificate: Hex


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


class ReceiptFileView(TypedDict):
    """`file` is a receipt file (LC-LIGHT-1) in hex. It begins at genesis, or at the block whose id is `trusted`. `tx` is null for
    the block's own receipt; `index` and `tx` are there where the file shows a receipt."""

    height: int
    block_id: Hex
    trusted: Hex | None
    file: Hex
    index: NotRequired[int]
    tx: NotRequired[Hex | None]


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


class NoticeView(TypedDict):
    """What the operator should know, as long as it is so: `topic` names its kind, `ref` (hex) what it is about; `since` is of the
    wall clock (ms). `text` says what, why and what to do."""

    topic: str
    ref: str
    since: int
    text: str


class ServingView(TypedDict):
    """A model that this node serves: how many of its containers start, wait for a request, and answer one."""

    model: str
    starting: int
    ready: int
    answering: int


class MempoolSpaceView(TypedDict):
    """One kind of space in the mempool: bytes that count against its limit, and accounts that hold some of that kind."""

    bytes: int
    limit: int
    accounts: int


class StatusView(TypedDict):
    """What a node says of itself.

    `time` and `clock` are those of the last block (LC-BLK-10). `clock_now` is what the chain clock of a block made now would be:
    `clock` and the time since that block, at most max_step. Deadlines are compared with the clock of a block, not with `clock_now`.
    Every block up to `audited` was executed by the node itself; later ones it took over by their certificates. `first_block` is the
    first one that it keeps: not 1 where it began from a snapshot, or drops old blocks (storage.keep_blocks). `mempool` transactions
    wait for a block here. `parked` are the first 16 references where a program failed: the validators release them. `failing` are
    parts of the node's own work that fail at present. `notices` are for its operator: a case against this node, cases that wait for
    its word, a capacity that is not declared, a key that is not opened. `serving` are the models for
    which it keeps containers ready. `round` is that of the consensus on the next block. `clock_offset_ms`: how far this machine's
    clock is before those of `clock_peers` other validators, by the times in blocks that became final lately, the time of a round
    included; null where too few came. Validators bear `clock_drift_ms`.
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
    notices: NotRequired[list[NoticeView]]
    serving: NotRequired[list[ServingView]]
    round: NotRequired[int]
    clock_offset_ms: NotRequired[int | None]
    clock_drift_ms: NotRequired[int]
    clock_peers: NotRequired[int]
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


class FileKept(FileStored):
    """`by`: the id of the token whose holder gave it; null: the owner, by the token in api.token or on the dashboard."""

    by: str | None


class FileRemoved(TypedDict):
    cid: CidText


class ContentsQuery(Strict, frozen=True, kw_only=True):
    """`after`: `next` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    after: Annotated[str, Meta(pattern="^[0-9]{1,15}-baf[ky][a-z2-7]{55}$")] | None = None


class KeptForView(TypedDict):
    """One reason for which content is kept. `of`: what `ref` is (job, set, token, …). `until`: when the reason ends by itself; null
    where it ends with what `ref` names, or at its owner's word."""

    what: str
    of: str | None
    ref: str | None
    until: int | None


class ContentView(TypedDict):
    """Content on the node's disk, or on its way (not `complete`; `size` is the whole). `since`: when its last bytes came. `goes`:
    its place among what is removed when room is needed, from 1; null while it stays. `kept_for`: at most 8 of `reasons`."""

    cid: CidText
    size: int
    complete: bool
    since: int | None
    goes: int | None
    reasons: int
    kept_for: list[KeptForView]


class ContentsView(TypedDict):
    """`used` of `quota` bytes, of which `stays` do not go when room is needed. `contents`: the largest first. `next` asks for the
    next page; null at the end."""

    used: int
    stays: int
    quota: int
    contents: list[ContentView]
    next: str | None


class TransferView(TypedDict):
    """Content that the node fetches. `size` is null until it is known; `rate` is bytes per second of the last ten seconds, and
    `left_s` the seconds until the end at this rate: null while nobody can say."""

    cid: CidText
    done: int
    size: int | None
    rate: int | None
    left_s: int | None
    since: int
    kept_for: list[KeptForView]


class ReasonsQuery(Strict, frozen=True, kw_only=True):
    refs: Annotated[
        str,
        Meta(
            min_length=64,
            max_length=2_079,
            description="at most 32 ids of jobs in hex; comma-separated",
            extra_json_schema=form(f"{_HASH}(,{_HASH}){{0,31}}"),
        ),
    ]


class ReasonView(TypedDict):
    """`why` is null where this node does the work, will, or has none of it."""

    ref: Hex
    why: str | None


class RunCancelled(TypedDict):
    cancelled: bool


class SettingRequest(Strict, frozen=True, kw_only=True):
    value: Annotated[
        str, Meta(max_length=65_536, description="as `learningchain config set` takes it: text, true or false, lists with commas")
    ]


class SettingChanged(TypedDict):
    name: str
    value: Annotated[Any, Meta(description="as it was written")]
    effective: Annotated[str, Meta(description="from when on it counts")]


class Health(TypedDict):
    ok: bool


class Ready(TypedDict):
    ready: bool
    height: int
    sandbox: dict[str, Any] | None


# --- callbacks ----------------------------------------------------------------------------------------------------------------

CallbackUrlText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2_048,
        description="https://…, or http://… for an address that callback.allow names",
        extra_json_schema=form(
            "https?://[a-z][a-z0-9]{0,30}([.][a-z][a-z0-9]{0,30}){1,3}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{1,64})*"
        ),
    ),
]
CallbackSecretText = Annotated[
    str,
    Meta(
        max_length=128,
        description="whsec_ and base64 of 24 to 64 bytes, which sign every event (Standard Webhooks)",
        extra_json_schema=form("whsec_([A-Za-z0-9+/]{4}){8,21}"),
    ),
]


class CallbackRequest(Strict, frozen=True, kw_only=True):
    """`source`: the contract that `ref` is of. Without `secret` the node makes one and answers with it, this once."""

    source: Annotated[str, Meta(min_length=1, max_length=64)]
    ref: Annotated[Hash, Meta(description="what it is about, such as the id of a request")]
    url: CallbackUrlText
    secret: CallbackSecretText | None = None


class CallbackTestRequest(Strict, frozen=True, kw_only=True):
    url: CallbackUrlText
    secret: CallbackSecretText | None = None


class CallbacksQuery(Strict, frozen=True, kw_only=True):
    """`before`: CREATED-REF of the last callback of the page before, as it stands there."""

    limit: Page = 100
    before: Annotated[str, Meta(pattern="^[0-9]{1,15}-[0-9a-f]{64}$")] | None = None


class CallbackEventView(TypedDict):
    """`due`: the next attempt, of one that waits. `status` and `note` are of the last attempt."""

    event: str
    state: Literal["waiting", "delivered", "given_up"]
    attempts: int
    due: int | None
    status: int | None
    note: str
    changed: int


class CallbackView(TypedDict):
    """`gone`: whoever is called answered 410, or nothing happened for long. `revoked`: the token that asked for it was revoked or
    has expired. `token`: its id, empty for the node's owner. `secret` only where the node made it just now."""

    ref: str
    source: str
    url: str
    state: Literal["open", "ended", "gone", "revoked"]
    token: str
    created: int
    events: list[CallbackEventView]
    secret: NotRequired[str]


class CallbackTested(TypedDict):
    """`status`: of the answer; null: none came."""

    taken: bool
    status: int | None
    note: str
    secret: NotRequired[str]


class CallbackRetried(TypedDict):
    """How many events are tried now."""

    events: int


class CallbackRemoved(TypedDict):
    removed: bool


class SetView(TypedDict):
    """A published data set: the CID of its manifest, number and bytes of its files, and how many bytes are on this node's disk."""

    cid: CidText
    files: int
    size: int
    here: int


class SetRemoved(TypedDict):
    cid: CidText
    removed: bool


class MachineRequest(Strict, frozen=True, kw_only=True):
    """`address`: where the machine reaches the node, if that is not the one that the node listens on."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
    address: Annotated[str, Meta(max_length=256, extra_json_schema=form(f"({ENDPOINT})?"))] = ""


class MachineToken(TypedDict):
    """`token`: good for one machine until `until`; told this once."""

    name: str
    token: str
    until: int


class MachineView(TypedDict):
    """`state`: invited, queued, away, failing, draining or ready; `why`: not ready. `drains`: it takes no further run, also once it
    is back. `heard`: when it said something last; null: never since the node's start. Memory in MiB, processors in thousandths.
    `version`: of its program; empty: not known."""

    name: str
    state: str
    why: str
    cpus_milli: int
    mem_mb: int
    engine: str
    version: str
    drains: bool
    runs: list[str]
    heard: int | None


class DrainRequest(Strict, frozen=True, kw_only=True):
    drain: bool


class MachineDrained(TypedDict):
    name: str
    drain: bool


class MachineRemoved(TypedDict):
    name: str
    removed: bool


class OwnDataView(TypedDict):
    """`digest`: of the contents, whatever the files are called, told to tokens that may do everything alone; `schema`: SHA-256 of
    what they were held against when added."""

    name: str
    digest: Hex | None
    files: int
    bytes: int
    schema: Hex | None


class DataRemoved(TypedDict):
    name: str
    removed: bool


class TokenProof(TypedDict):
    """`proof` is HMAC-SHA256, by the SHA-256 of the token, over `learningchain: the API at a port knows a token`, a zero byte, the
    port that this API listens at in two bytes, and the nonce."""

    proof: Hex


class StreamTicket(TypedDict):
    """`ticket` opens one stream of events, once, in place of the token that asked for it."""

    ticket: str
    good_for_s: int


class LoadSample(TypedDict):
    """`cpu` and `memory` in percent of the machine's; `own`: the node's memory in MiB; `disk_free` in bytes."""

    time: int
    cpu: int
    memory: int
    own: int
    disk_free: int


class LoadView(TypedDict):
    """Samples are taken every ten seconds from the node's start on, for six hours; oldest first. `memory` in bytes."""

    processors: int
    memory: int
    samples: list[LoadSample]


class DashboardLink(TypedDict):
    """`path` logs one browser in, once: at this API's port, under the name `host`, or at its own address where that is empty."""

    path: str
    host: str
    good_for_s: int
