"""State records, their keys and the escrows of the federation contract. Spec: protocol_spec/federation.md.

    fp/ federation           what was opened                 fa/ federation           the attempt that runs
    fb/ federation           where it stands                 fo/ federation           its roster
    fm/ federation account   a member                        fg/ federation account   an aggregator of the attempt
    fs/ federation account   had a seat of the panel         fu/ federation place     a file of the attempt
    fc/ federation base      sets accepted on a base         fr/ federation r         a round
    f/  federation           has not ended                   fx/ account              serves
    fe/ federation account   is drawn where others are few   fl/ root                 how many of a root have not ended
    fn/ number               federations by number           ft/                      counters
    fh/ federation           its cell, and what is measured  fi/ federation account   seals and sum of an aggregator of cells
    fy/ account              serves federations with cells

Every record is bounded, and leaves with its attempt or its federation; `ft/` alone stays, and `fx/` and `fy/` while their accounts
serve.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation.formulas import READY_WINDOWS, most_starts
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    MOST_CELL_ROUNDS,
    MOST_CELLS,
    MOST_DIRECTIONS,
    MOST_MEMBERS,
    PANEL,
    STEPS,
    Bitmap,
    FederationTerms,
    Int,
    MaskDigest,
    ModelMeasure,
    ScreenUpdates,
    StepsMeasure,
    SumCells,
    SumUpdates,
)
from learningchain.chain.crypto import sha256
from learningchain.chain.host import ALL, EscrowShape, LiveIndex, Reader
from learningchain.chain.host.queues import Queue
from learningchain.chain.host.terms import Cid, Small
from learningchain.chain.types import AccountId, Hash, Height, Uint

NUMBER = 5
OptionalHash = Annotated[bytes, Meta(max_length=32)]


class FederationState(IntEnum):
    """DRAW and ROWS last d blocks: what asks for a draw cannot choose it."""

    IDLE = 1
    DRAW = 2
    KEY = 3
    READY = 4
    TRAIN = 5
    HAVE = 6
    ROWS = 7
    SCREEN = 8
    SUM = 9
    MEASURE = 10
    OPEN = 11
    END = 12


DRAWING = (FederationState.DRAW, FederationState.ROWS)


class VoidReason(IntEnum):
    """Why an attempt came to nothing."""

    NO_AGGREGATORS = 1
    TOO_FEW = 2
    NO_SET = 3
    NO_REFERENCE = 4
    DISPUTE = 5
    SPLIT = 6
    NOT_FINITE = 7


class EndReason(IntEnum):
    REACHED = 1
    ROUNDS = 2
    MET = 3
    BAD_MODEL = 4
    NOKEY = 5
    STALLED = 6
    CLOSED = 7
    ABANDONED = 8
    EXPIRED = 9
    GIVEN_BACK = 10
    """The validators ended it when it was parked, or a restart did."""


class RoundOutcome(IntEnum):
    """LC-FED-41, 42."""

    PROGRESS = 1
    NO_PROGRESS = 2
    REVERTED = 3


class MemberState(IntEnum):
    PENDING = 1
    ACTIVE = 2
    GONE = 3


# --- a federation ----------------------------------------------------------------------------------------------------------------


class FederationPosting(Wire, frozen=True):
    """What was opened, by whom and when (chain clock). `root` is the sponsor's."""

    sponsor: AccountId
    root: AccountId
    number: Uint
    opened: Uint
    terms: FederationTerms


class PanelSeat(Wire, frozen=True):
    """A seat of the panel. `box_key` is that of its draw, `box` what it was given; `silent`: how often in a row within one r."""

    account: AccountId
    box_key: OptionalHash
    box: Annotated[bytes, Meta(max_length=80)]
    silent: Small
    commitment: OptionalHash
    opened: Annotated[list[ModelMeasure], Meta(max_length=1)]
    holds: bool
    """Whether the leaves that it opened are those that it committed to."""


class FederationRecord(Wire, frozen=True):
    """Where a federation stands. `deadline` (chain clock) ends the state.

    In DRAW and ROWS `deadline` is the clock of the block that entered it, and `draw_height` the block that draws. `indexes`:
    how many were given. `base` is trained on, `model` measured. `again`: measurements of this r that came to nothing. `pair`: who
    made the measured sum, where two did. `last`: indexes of the last sum. `kept`: records of seats, exclusions and accepted sets.
    """

    state: Small
    deadline: Uint
    draw_height: Height
    r: Uint
    starts: Uint
    clip: Uint
    indexes: Uint
    base: Cid
    model: Cid
    initial: Int
    best: Int
    best_model: Cid
    best_r: Uint
    paid: Uint
    streak: Small
    last: Bitmap
    again: Small
    panel: Annotated[list[PanelSeat], Meta(max_length=PANEL)]
    panel_beacon: OptionalHash
    probe: OptionalHash
    """The beacon of the block in which openings began: it says which leaves are shown."""
    pair: Annotated[list[AccountId], Meta(max_length=2)]
    kept: Uint
    end: Small
    """An `EndReason`; 0 before."""
    ended: Uint
    left: Uint
    """Records that are still to leave the state."""
    named: Bitmap = b""
    """Indexes that an accepted set has: they never go over."""


class FederationMember(Wire, frozen=True):
    """A member, or who asked or left. `index`: from its first ACTIVE on (0: none; i + 1). `since`: when it asked.

    `bad`: agreed Screens in a row that turned its file away; up to start `benched_until` it is not in. `points` are of this
    streak, `data_r` and `vault_r` one more than the r of its last NewData and VaultModel.
    """

    state: Small
    digest: Hash
    n: Uint
    since: Uint
    index: Small
    bad: Small
    benched_until: Uint
    points: Uint
    paid: Uint
    data_r: Uint
    vault_r: Uint
    vault: Cid


class PanelSat(Wire, frozen=True):
    """Who had a seat of the panel, since when (chain clock)."""

    since: Uint


class ExcludedAggregator(Wire, frozen=True):
    """LC-FED-17: who is drawn only where others are too few, since which start."""

    start: Uint


class RoundRecord(Wire, frozen=True):
    """A round that was summed, and what was measured. `by` made the sum; `accepted` are indexes. `outcome`: a `RoundOutcome`, 0
    before; `invalid`: the panel says that the model is none, and then there is no loss."""

    attempt: Uint
    base: Cid
    model: Cid
    delta: Cid
    clip: Uint
    by: Annotated[list[AccountId], Meta(max_length=AGGREGATORS)]
    accepted: Bitmap
    invalid: bool
    loss: Int
    pot: Uint
    outcome: Small
    settled: Uint


MOST_SETS = MOST_CELLS * most_starts(MOST_CELL_ROUNDS)
"""As many as cells in all attempts; without cells one more than members."""


class AcceptedSets(Wire, frozen=True):
    """LC-FED-30: the sets of indexes that were accepted on a base, each within the next; LC-FED-59: of cells, as they came."""

    base: Cid
    sets: Annotated[list[Bitmap], Meta(max_length=MOST_SETS)]


# --- an attempt ------------------------------------------------------------------------------------------------------------------


class RosterEntry(Wire, frozen=True):
    account: AccountId
    index: Small
    vetted: bool


class AttemptRoster(Wire, frozen=True):
    """LC-FED-16: who is in, and who of them is flagged."""

    members: Annotated[list[RosterEntry], Meta(max_length=MOST_MEMBERS)]


Seats = Annotated[list[AccountId], Meta(max_length=AGGREGATORS)]


class AttemptRecord(Wire, frozen=True):
    """The attempt that runs. `seats` in the order of their places, `tried` were drawn, whether they sit or not.

    `committed`: indexes of those whose file stands; `reference`: CID of the sponsor's update. From HAVE on `deciding` are those
    whose bitmaps decide, then whose Screens agree; `shared` the files that all of them have, by the order of the commitments.
    """

    number: Uint
    beacon: OptionalHash
    seats: Seats
    tried: Annotated[list[AccountId], Meta(max_length=AGGREGATORS * READY_WINDOWS)]
    windows: Small
    ready: Small
    files: Small
    committed: Bitmap
    reference: Cid
    deciding: Seats
    shared: Bitmap
    with_reference: bool
    rows: OptionalHash
    """The beacon that makes the rows."""
    codes: Annotated[bytes, Meta(max_length=MOST_MEMBERS)]
    points: Annotated[bytes, Meta(max_length=MOST_MEMBERS)]
    norm: Uint
    accepted: Bitmap


def new_attempt(number: int) -> AttemptRecord:
    return AttemptRecord(
        number=number,
        beacon=b"",
        seats=[],
        tried=[],
        windows=1,
        ready=0,
        files=0,
        committed=b"",
        reference=b"",
        deciding=[],
        shared=b"",
        with_reference=False,
        rows=b"",
        codes=b"",
        points=b"",
        norm=0,
        accepted=b"",
    )


Parts = Annotated[list[MaskDigest], Meta(max_length=AGGREGATORS)]


class AggregatorSeat(Wire, frozen=True):
    """A drawn aggregator: its key of this attempt (empty: not ready), and what it said."""

    key: OptionalHash
    said_have: bool
    have: Bitmap
    have_reference: bool
    rows: Parts
    sums: Parts
    screen: Annotated[list[ScreenUpdates], Meta(max_length=1)]
    sum: Annotated[list[SumUpdates], Meta(max_length=1)]


NEW_AGGREGATOR = AggregatorSeat(b"", False, b"", False, [], [], [], [])


class UpdateFile(Wire, frozen=True):
    """A member's file of the attempt."""

    account: AccountId
    index: Small
    cid: Cid


# --- cells (LC-FED-55) -----------------------------------------------------------------------------------------------------------

MOST_LACKED = 64


class CellMember(Wire, frozen=True):
    """Who has or had a cell, by its index. `attempts`: its last ones, a bit each, the latest the lowest: 1 is a miss (LC-FED-58).
    `gained`: by how much its cell's sums were better than their bases, in this streak (LC-FED-62)."""

    index: Small
    attempts: Uint
    gained: Uint


class Cell(Wire, frozen=True):
    """Its number, from 1 on, and the indexes of its members."""

    number: Small
    members: Bitmap


Cells = Annotated[list[Cell], Meta(max_length=MOST_CELLS)]


class FoundDirection(Wire, frozen=True):
    """What the panel agreed on of a direction: the step that loses least, and the loss. INVALID: step 0, and none."""

    step: Uint
    loss: Annotated[list[Int], Meta(max_length=1)]


class OpenedSteps(Wire, frozen=True):
    """What a seat of the panel opened."""

    account: AccountId
    measure: StepsMeasure


class CellRecord(Wire, frozen=True):
    """Of a federation with cells. `numbered`: how many were ever drawn; `cells` are those that live, with who is left of each.
    `members`, by index. `lacked`: who alone lacked a file that two had, the latest last. `inside` are the cells of the attempt as
    its DRAW left them, then those of the last sum; `models` are its candidates, `found` is what the panel said of its directions,
    of which the round's model has the one that is `chosen`."""

    numbered: Small
    cells: Cells
    members: Annotated[list[CellMember], Meta(max_length=MOST_MEMBERS)]
    lacked: Annotated[list[AccountId], Meta(max_length=MOST_LACKED)]
    inside: Cells
    models: Annotated[list[Cid], Meta(max_length=len(STEPS) * MOST_DIRECTIONS)]
    found: Annotated[list[FoundDirection], Meta(max_length=MOST_DIRECTIONS)]
    chosen: Small
    opened: Annotated[list[OpenedSteps], Meta(max_length=PANEL)]


NEW_CELLS = CellRecord(0, [], [], [], [], [], [], 0, [])


class CellSeat(Wire, frozen=True):
    """What an aggregator said of cells: a seal for each stage that it has sealed, and its sum."""

    seals: Annotated[list[Hash], Meta(max_length=2)]
    sum: Annotated[list[SumCells], Meta(max_length=1)]


class CellServer(Wire, frozen=True):
    """Who may be drawn for federations with cells, since when (chain clock)."""

    since: Uint


# --- beside --------------------------------------------------------------------------------------------------------------------


class LiveFederation(Wire, frozen=True):
    """It has not ended."""

    number: Uint


class NumberedFederation(Wire, frozen=True):
    federation: Hash


class FederationsOf(Wire, frozen=True):
    """How many of a root have not ended."""

    live: Uint


class FederationServer(Wire, frozen=True):
    """Who may be drawn, since when (chain clock). `unready`: when it last failed a draw by not being ready; 0: not yet."""

    since: Uint
    unready: Uint


class FederationTotals(Wire, frozen=True):
    """How many there ever were, ended, and left the state."""

    opened: Uint
    ended: Uint
    left: Uint


# --- keys ----------------------------------------------------------------------------------------------------------------------

LIVE, MEMBERS_OF, AGGREGATORS_OF, SAT, FILES, SETS, ROUNDS = b"f/", b"fm/", b"fg/", b"fs/", b"fu/", b"fc/", b"fr/"
POSTINGS, EXCLUDED, SERVING, K_FEDERATION_TOTALS = b"fp/", b"fe/", b"fx/", b"ft/"
CELLS, CELL_SEATS, CELL_SERVING = b"fh/", b"fi/", b"fy/"
FEDERATIONS = Queue(b"fn/", NumberedFederation)
"""Every federation of the state in the order of opening."""
STATE: dict[bytes, type] = {
    LIVE: LiveFederation,
    b"fa/": AttemptRecord,
    b"fb/": FederationRecord,
    EXCLUDED: ExcludedAggregator,
    SETS: AcceptedSets,
    AGGREGATORS_OF: AggregatorSeat,
    b"fl/": FederationsOf,
    MEMBERS_OF: FederationMember,
    FEDERATIONS.prefix: NumberedFederation,
    b"fo/": AttemptRoster,
    POSTINGS: FederationPosting,
    ROUNDS: RoundRecord,
    SAT: PanelSat,
    K_FEDERATION_TOTALS: FederationTotals,
    FILES: UpdateFile,
    SERVING: FederationServer,
    CELLS: CellRecord,
    CELL_SEATS: CellSeat,
    CELL_SERVING: CellServer,
}
LISTED = dict.fromkeys((LIVE, FEDERATIONS.prefix, POSTINGS, MEMBERS_OF, AGGREGATORS_OF, SAT, EXCLUDED, SETS, FILES, ROUNDS), ALL)


def live_key(federation: bytes) -> bytes:
    return LIVE + federation


def posting_key(federation: bytes) -> bytes:
    return POSTINGS + federation


def federation_key(federation: bytes) -> bytes:
    return b"fb/" + federation


def attempt_key(federation: bytes) -> bytes:
    return b"fa/" + federation


def roster_key(federation: bytes) -> bytes:
    return b"fo/" + federation


def member_key(federation: bytes, account: bytes) -> bytes:
    return MEMBERS_OF + federation + account


def aggregator_key(federation: bytes, account: bytes) -> bytes:
    return AGGREGATORS_OF + federation + account


def cell_key(federation: bytes) -> bytes:
    return CELLS + federation


def cell_seat_key(federation: bytes, account: bytes) -> bytes:
    return CELL_SEATS + federation + account


def cell_serving_key(account: bytes) -> bytes:
    return CELL_SERVING + account


def sat_key(federation: bytes, account: bytes) -> bytes:
    return SAT + federation + account


def excluded_key(federation: bytes, account: bytes) -> bytes:
    return EXCLUDED + federation + account


def file_key(federation: bytes, place: int) -> bytes:
    return FILES + federation + bytes((place,))


def sets_key(federation: bytes, base: bytes) -> bytes:
    return SETS + federation + sha256(base)


def round_key(federation: bytes, r: int) -> bytes:
    return ROUNDS + federation + r.to_bytes(2, "big")


def root_key(root: bytes) -> bytes:
    return b"fl/" + root


def serving_key(account: bytes) -> bytes:
    return SERVING + account


# --- escrows -------------------------------------------------------------------------------------------------------------------


def sponsor_of(reader: Reader, federation: bytes) -> bytes | None:
    found = reader.get(posting_key(federation))
    return found.sponsor if isinstance(found, FederationPosting) else None


ESCROWS = (EscrowShape("bounty", b"fB", owner=sponsor_of), EscrowShape("fees", b"fF", owner=sponsor_of))
LIVE_INDEX = LiveIndex(LIVE)


def bounty_escrow(federation: bytes) -> bytes:
    return federation + b"fB"


def fee_escrow(federation: bytes) -> bytes:
    return federation + b"fF"
