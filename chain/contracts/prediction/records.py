"""State records, their keys and the escrows of the prediction contract. Spec: protocol_spec/predictions.md.

    pm/ model              what was registered            pr/ request                what was asked
    ps/ model              where a model stands           pb/ request                where a request stands
    pg/ model              who serves it                  pa/ request r account      a seat
    pk/ model account      a server                       pv/ request                what came of it
    po/ owner model        live models of an owner        pi/ model cid              how often that input was asked
    ph/ owner name         an owner's newest by name      pu/ model root             requests of a root that are kept
    pj/ account model      what an account serves         pw/ model requester        its requests that wait
    pq/ model v position   the queue                      pn/ number                 requests as they were posted
    pp/ policy             a policy                       pf/ number                 requests as they ended
    pd/ number             requests that ended unseated
    pz/ ref                what is not over               py/ request                requests that have not ended
    pe/, pt/               the subsidy's epoch, counters

Every record is bounded, and paid for by a deposit, a stake, a tip or a fee; `pe/` and `pt/` alone stay for good.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.prediction.formulas import APPEAL_ROWS, APPEAL_SEATS, MAX_ANSWERS, MAX_ROWS, NAMED_ROWS, Amounts
from learningchain.chain.contracts.prediction.histories import MODEL_ENTRIES, SERVER_ENTRIES
from learningchain.chain.contracts.prediction.messages import Int, Program, RegisterModel, RegisterPolicy, RequestPrediction
from learningchain.chain.contracts.prediction.tally import Answer
from learningchain.chain.host import ALL, EscrowShape, LiveIndex, Reader
from learningchain.chain.host.queues import Queue
from learningchain.chain.host.terms import Small
from learningchain.chain.types import AccountId, Hash, Height, Uint

NUMBER = 4
MOST_SERVERS = 256
MOST_LEFT = 64
"""Servers of a model that left, of which something is remembered."""
Row = Annotated[int, Meta(ge=0, le=MAX_ROWS - 1)]
Seats = Annotated[list[AccountId], Meta(max_length=APPEAL_SEATS)]
Root = AccountId

# --- models --------------------------------------------------------------------------------------------------------------------


class ModelState(IntEnum):
    LIVE = 1
    RETIRED = 2


class RetireReason(IntEnum):
    OWNER = 1
    RECORD = 2
    """Six bad of its last ten tallies (LC-PRE-12)."""
    BAN = 3
    """The owner was banned (LC-PRE-13)."""
    SLASHED = 4
    """An appeal took more than half of the deposit (LC-PRE-42)."""
    GIVEN_BACK = 5
    """The validators ended it when it was parked."""


class ModelRecord(Wire, frozen=True):
    """What was registered, by whom and when (chain clock). `program` is the message's, or that of the job's winner; `terms` are
    without it."""

    owner: AccountId
    number: Uint
    registered: Uint
    program: Program
    terms: RegisterModel


class TallyEntry(Wire, frozen=True):
    """The root of a requester, and whether its last tally of five seats or more was bad."""

    root: Root
    bad: bool


class ModelStanding(Wire, frozen=True):
    """Where a model stands.

    `royalty` and `floor` are in force until `coming_at`, from then on `coming_royalty` and `coming_floor` (0: nothing comes).
    `pump` is the time for which the pump is set, 0 where it is not. `open_seats` are those before the tally, `unfinal_seats`
    those of requests that have not ended (LC-PRE-21). `positions` counts its requests, `waiting` those that wait, `running` those
    that were drawn and have not ended, `kept` those of the state. `carried`: LC-PRE-14. `tallies`: LC-PRE-12, oldest first.
    """

    state: Small
    royalty: Uint
    floor: Uint
    coming_royalty: Uint
    coming_floor: Uint
    coming_at: Uint
    pump: Uint
    open_seats: Uint
    unfinal_seats: Uint
    positions: Uint
    waiting: Uint
    running: Uint
    kept: Uint
    carried: Uint
    tallies: Annotated[list[TallyEntry], Meta(max_length=MODEL_ENTRIES)]


def new_standing(royalty: int, floor: int) -> ModelStanding:
    """As a registration leaves it."""
    return ModelStanding(
        state=ModelState.LIVE,
        royalty=royalty,
        floor=floor,
        coming_royalty=0,
        coming_floor=0,
        coming_at=0,
        pump=0,
        open_seats=0,
        unfinal_seats=0,
        positions=0,
        waiting=0,
        running=0,
        kept=0,
        carried=0,
        tallies=[],
    )


class ModelServers(Wire, frozen=True):
    """Who serves a model or is leaving it, in the order in which they came."""

    servers: Annotated[list[AccountId], Meta(max_length=MOST_SERVERS)]


class ServedEntry(Wire, frozen=True):
    """The root of a requester, whether what the server did last for it was bad, and whether a quorum contradicted it."""

    root: Root
    bad: bool
    wrong: bool


class ServerRecord(Wire, frozen=True):
    """A server of a model. `since`: when it came, or was back, or will have rested (chain clock): who asks later may have it drawn.
    `unfinal`: its seats of requests that have not ended; `silent`: in which of its last 32 seats it was silent, the last one the
    lowest bit. `record`: LC-PRE-34, oldest first."""

    since: Uint
    awake: bool
    out: bool
    leaving: bool
    unfinal: Uint
    silent: Uint
    record: Annotated[list[ServedEntry], Meta(max_length=SERVER_ENTRIES)]


class LeftServer(Wire, frozen=True):
    """What stays of a server that left a live model: `since`, `silent` and `record` as they were."""

    account: AccountId
    since: Uint
    silent: Uint
    record: Annotated[list[ServedEntry], Meta(max_length=SERVER_ENTRIES)]


class LeftServers(Wire, frozen=True):
    """LC-PRE-59: those of a model, in the order in which they left."""

    servers: Annotated[list[LeftServer], Meta(max_length=MOST_LEFT)]


class OwnedModel(Wire, frozen=True):
    """A live model, under its owner: its number."""

    number: Uint


class OwnerRecord(Wire, frozen=True):
    """How many live models an owner has."""

    live: Uint


class NamedModel(Wire, frozen=True):
    """The newest model of an owner's name."""

    model: Hash


class ServedModel(Wire, frozen=True):
    """Where an account serves, under the account: since when (chain clock)."""

    since: Uint


# --- requests ------------------------------------------------------------------------------------------------------------------


class RequestState(IntEnum):
    """REDRAW and APPEAL last d blocks: what asks for a draw cannot choose it."""

    WAITING = 1
    KEYS = 2
    ANSWER = 3
    REDRAW = 4
    OPEN = 5
    APPEAL = 6
    AGREED = 7
    WEAK = 8
    FAILED = 9
    FINAL = 10


ENDED = (RequestState.FAILED, RequestState.FINAL)
ANSWERED = (RequestState.AGREED, RequestState.WEAK)


class Queued(Wire, frozen=True):
    """A request that waits. `until`: when its wait is over; `young_since`: the height of its posting or its last AddTip."""

    request: Hash
    until: Uint
    young_since: Height


class RequestTerms(Wire, frozen=True):
    """What was asked, by whom and when (chain clock). `root` is the requester's; `royalty`, `floor` and `row` (pred_row) are those
    of the posting. `ordinal`: requests for this model and content before it; `asked`: those of its root for this model, with it."""

    requester: AccountId
    root: Root
    number: Uint
    position: Uint
    posted: Uint
    royalty: Uint
    floor: Uint
    row: Uint
    ordinal: Uint
    asked: Uint
    terms: RequestPrediction


def amounts_of(asked: RequestTerms, tip: int) -> Amounts:
    """LC-PRE-1, with the tips that were added."""
    terms = asked.terms
    return Amounts(terms.answers, terms.rows, tip, asked.royalty, asked.floor, asked.row, len(terms.inline))


class PredictionRound(Wire, frozen=True):
    """A draw: 1 the first seats, 2 substitutes, 3 an appeal's. `pool` is among how many, `seats` in draw order."""

    round: Small
    beacon: Hash
    pool: Uint
    started: Uint
    seats: Seats


class RequestRecord(Wire, frozen=True):
    """Where a request stands. `deadline` (chain clock) ends the state, 0 when none does.

    In REDRAW and APPEAL `deadline` is the clock of the block that entered it, and `draw_height` the block that draws. `rank` is v.
    `wanted`: the seats c of the first draw. `committed` counts the commitments of the present tally (rounds 1 and 2 together),
    `before` those of them before this round, `opened` what was opened of them.
    """

    state: Small
    round: Small
    deadline: Uint
    draw_height: Height
    tip: Uint
    rank: Uint
    young_since: Height
    evictor: bool
    """It evicted another one: it burns b however it ends."""
    wanted: Small
    rounds: Annotated[list[PredictionRound], Meta(max_length=3)]
    committed: Small
    before: Small
    opened: Small
    outcome: Small
    """A `PredictionOutcome`; 0 before there is one, and of one that was given back (LC-PRE-54)."""
    answered: Uint
    """When there was an outcome."""
    appellant: Annotated[bytes, Meta(max_length=20)]
    named: Annotated[list[Row], Meta(max_length=NAMED_ROWS)]
    rows: Annotated[list[Row], Meta(max_length=APPEAL_ROWS)]
    """Those that an appeal answers, ascending."""
    appeal: Small
    """An `AppealVerdict`; 0 without one, and where the appellant gave no keys."""
    ended: Uint


def new_request(terms: RequestPrediction, rank: int, deadline: int, height: int) -> RequestRecord:
    """As a posting leaves it."""
    return RequestRecord(
        state=RequestState.WAITING,
        round=0,
        deadline=deadline,
        draw_height=0,
        tip=terms.tip,
        rank=rank,
        young_since=height,
        evictor=False,
        wanted=0,
        rounds=[],
        committed=0,
        before=0,
        opened=0,
        outcome=0,
        answered=0,
        appellant=b"",
        named=[],
        rows=[],
        appeal=0,
        ended=0,
    )


class PredictionSeat(Wire, frozen=True):
    """A seat of a round. `place`: of its commitment among those of its tally. `box_key` is that of the draw, for a private request,
    `box` what it was given. `paid`: micro-credits."""

    box_key: Annotated[bytes, Meta(max_length=32)]
    box: Annotated[bytes, Meta(max_length=80)]
    commitment: Annotated[bytes, Meta(max_length=32)]
    place: Small
    answer: Annotated[list[Answer], Meta(max_length=1)]
    paid: Uint


class ValueRecord(Wire, frozen=True):
    """Of one row: class (0 of a NUMBER model), score, and how many support it: 0, and there is no value."""

    label: Uint
    score: Int
    support: Small


class ChangedValue(Wire, frozen=True):
    """What an appeal says of a row that it answered."""

    row: Row
    label: Uint
    score: Int
    support: Small


class DecisionRecord(Wire, frozen=True):
    """What a policy makes of a row: a `Decision`, its rate (ppm), and whether the value is near the threshold."""

    decision: Small
    rate: Uint
    borderline: bool


class SeatResult(Wire, frozen=True):
    """What became of a seat: the code that it opened, 0 where it did not, and what it was paid."""

    account: AccountId
    round: Small
    code: Small
    paid: Uint


class PredictionResult(Wire, frozen=True):
    """What came of a request: its values, what an appeal says of some, what the policy decides, and what became of each seat.

    `agree` is the least support of a row. `appealed` is the outcome of an appeal's tally (a `PredictionOutcome`, 0 without one);
    where it is a code and the appeal was won, all values fall. `decisions` are the last ones.
    """

    outcome: Small
    agree: Small
    values: Annotated[list[ValueRecord], Meta(max_length=MAX_ROWS)]
    changed: Annotated[list[ChangedValue], Meta(max_length=APPEAL_ROWS)]
    appealed: Small
    decisions: Annotated[list[DecisionRecord], Meta(max_length=MAX_ROWS)]
    seats: Annotated[list[SeatResult], Meta(max_length=2 * MAX_ANSWERS + APPEAL_SEATS)]


# --- counters, lists, policies ---------------------------------------------------------------------------------------------------


class AskedContent(Wire, frozen=True):
    """How often a content was asked of a model since one of those requests is kept, and how many are kept."""

    asked: Uint
    kept: Uint


class AskedBy(Wire, frozen=True):
    """How many requests of a root for a model are kept."""

    kept: Uint


class WaitingOf(Wire, frozen=True):
    """How many requests of an account wait for a model."""

    waiting: Uint


class NumberedRequest(Wire, frozen=True):
    request: Hash


class EndedRequest(Wire, frozen=True):
    """A request that ended, and when."""

    request: Hash
    at: Uint


class PolicyRecord(Wire, frozen=True):
    """A policy: whose it is, its number, since when; `live`: requests that name it and have not ended; `due`: when it is dropped, 0
    while there are some."""

    owner: AccountId
    number: Uint
    registered: Uint
    live: Uint
    due: Uint
    terms: RegisterPolicy


class SubsidyEpoch(Wire, frozen=True):
    """What was minted in the last epoch in which something was."""

    number: Uint
    minted: Uint


class PredictionTotals(Wire, frozen=True):
    """How many there ever were: models, requests, policies; requests that ended after they had seats, and those of them that left;
    the same of those that never had any."""

    models: Uint
    requests: Uint
    policies: Uint
    ended: Uint
    left: Uint
    unseated: Uint
    unseated_left: Uint


class LiveKind(IntEnum):
    MODEL = 1
    REQUEST = 2
    POLICY = 3


class LiveReference(Wire, frozen=True):
    """What is not over: a model until it left, a request until it ended, a policy until it was dropped. `number`: of its kind."""

    kind: Small
    number: Uint


class OpenRequest(Wire, frozen=True):
    """A request that has not ended: its number. A restart ends what stands here (LC-BLK-38)."""

    number: Uint


# --- keys ----------------------------------------------------------------------------------------------------------------------

K_EPOCH, K_TOTALS = b"pe/", b"pt/"
REQUESTS = Queue(b"pn/", NumberedRequest)
"""Every request of the state in the order of posting."""
ENDS = Queue(b"pf/", EndedRequest)
"""Those that ended after they had seats, in that order; the first ones leave first."""
UNSEATED = Queue(b"pd/", EndedRequest)
"""Those that ended without: there is nothing to be kept of them."""
LIVE, OPEN = b"pz/", b"py/"
QUEUE = b"pq/"
STATE: dict[bytes, type] = {
    b"pa/": PredictionSeat,
    b"pb/": RequestRecord,
    K_EPOCH: SubsidyEpoch,
    ENDS.prefix: EndedRequest,
    UNSEATED.prefix: EndedRequest,
    b"pg/": ModelServers,
    b"ph/": NamedModel,
    b"pi/": AskedContent,
    b"pj/": ServedModel,
    b"pk/": ServerRecord,
    b"pl/": LeftServers,
    b"pm/": ModelRecord,
    REQUESTS.prefix: NumberedRequest,
    b"po/": OwnedModel,
    b"pp/": PolicyRecord,
    QUEUE: Queued,
    b"pr/": RequestTerms,
    b"ps/": ModelStanding,
    K_TOTALS: PredictionTotals,
    b"pu/": AskedBy,
    b"pv/": PredictionResult,
    b"pw/": WaitingOf,
    b"px/": OwnerRecord,
    OPEN: OpenRequest,
    LIVE: LiveReference,
}


LISTED = dict.fromkeys((LIVE, OPEN, QUEUE, REQUESTS.prefix, b"po/", b"pj/"), ALL)


def model_key(model: bytes) -> bytes:
    return b"pm/" + model


def standing_key(model: bytes) -> bytes:
    return b"ps/" + model


def servers_key(model: bytes) -> bytes:
    return b"pg/" + model


def left_key(model: bytes) -> bytes:
    return b"pl/" + model


def server_key(model: bytes, server: bytes) -> bytes:
    return b"pk/" + model + server


def owned_key(owner: bytes, model: bytes) -> bytes:
    return b"po/" + owner + model


def owner_key(owner: bytes) -> bytes:
    return b"px/" + owner


def name_key(owner: bytes, name: str) -> bytes:
    return b"ph/" + owner + name.encode()


def served_key(server: bytes, model: bytes) -> bytes:
    return b"pj/" + server + model


def queue_key(model: bytes, rank: int, position: int) -> bytes:
    """They sort like v, then the order of posting (LC-PRE-4)."""
    return QUEUE + model + rank.to_bytes(8, "big") + position.to_bytes(8, "big")


def terms_key(request: bytes) -> bytes:
    return b"pr/" + request


def request_key(request: bytes) -> bytes:
    return b"pb/" + request


def seat_key(request: bytes, round_: int, account: bytes) -> bytes:
    return b"pa/" + request + bytes((round_,)) + account


def result_key(request: bytes) -> bytes:
    return b"pv/" + request


def content_key(model: bytes, cid: bytes) -> bytes:
    return b"pi/" + model + cid


def asker_key(model: bytes, root: bytes) -> bytes:
    return b"pu/" + model + root


def waiting_key(model: bytes, requester: bytes) -> bytes:
    return b"pw/" + model + requester


def policy_key(policy: bytes) -> bytes:
    return b"pp/" + policy


def open_key(request: bytes) -> bytes:
    return OPEN + request


def live_key(ref: bytes) -> bytes:
    return LIVE + ref


# --- escrows -------------------------------------------------------------------------------------------------------------------


def owner_of(reader: Reader, model: bytes) -> bytes | None:
    found = reader.get(model_key(model))
    return found.owner if isinstance(found, ModelRecord) else None


def requester_of(reader: Reader, request: bytes) -> bytes | None:
    found = reader.get(terms_key(request))
    return found.requester if isinstance(found, RequestTerms) else None


def appellant_of(reader: Reader, request: bytes) -> bytes | None:
    found = reader.get(request_key(request))
    return found.appellant or None if isinstance(found, RequestRecord) else None


def policy_owner(reader: Reader, policy: bytes) -> bytes | None:
    found = reader.get(policy_key(policy))
    return found.owner if isinstance(found, PolicyRecord) else None


def servers_of(reader: Reader, model: bytes, start: int, count: int) -> list[bytes]:
    """A page of the accounts that serve a model: their stakes are escrows of their own."""
    found = reader.get(servers_key(model))
    return found.servers[start : start + count] if isinstance(found, ModelServers) else []


ESCROWS = (
    EscrowShape("charge", b"pX", owner=requester_of),
    EscrowShape("bond", b"pA", owner=appellant_of),
    EscrowShape("deposit", b"pM", owner=owner_of),
    EscrowShape("royalty", b"pR"),
    EscrowShape("slashed", b"pS"),
    EscrowShape("policy", b"pP", owner=policy_owner),
    EscrowShape("stake", b"pV", account=True),
)
"""A royalty belongs to those who share it, when the pump has run; what was slashed lies in its escrow within one event."""
LIVE_INDEX = LiveIndex(LIVE, servers_of)


def charge_escrow(request: bytes) -> bytes:
    return request + b"pX"


def bond_escrow(request: bytes) -> bytes:
    return request + b"pA"


def slashed_escrow(request: bytes) -> bytes:
    return request + b"pS"


def deposit_escrow(model: bytes) -> bytes:
    return model + b"pM"


def royalty_escrow(model: bytes) -> bytes:
    return model + b"pR"


def policy_escrow(policy: bytes) -> bytes:
    return policy + b"pP"


def stake_escrow(model: bytes, server: bytes) -> bytes:
    return model + server + b"pV"
