"""A federation with its members, its panel and the attempt that runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from .scenario import Lists, Measure, ScreenUpdates, SumCells, SumUpdates, Terms

IDLE, DRAW, KEY, READY, TRAIN, HAVE, ROWS, SCREEN, SUMMING, MEASURE, OPENING, END = (
    "IDLE",
    "DRAW",
    "KEY",
    "READY",
    "TRAIN",
    "HAVE",
    "ROWS",
    "SCREEN",
    "SUM",
    "MEASURE",
    "OPEN",
    "END",
)
DRAWING = (DRAW, ROWS)
"""What waits for a height."""
PENDING, ACTIVE, GONE = "PENDING", "ACTIVE", "GONE"
BOUNTY, FEES = b"B", b"F"
"""Purposes of escrows."""


@dataclass(slots=True, eq=False)
class Joined:
    """A member, or one that asked or left."""

    id: bytes
    state: str
    digest: bytes
    n: int
    since: int
    index: int | None = None
    """From the first time that it was ACTIVE."""
    bad: int = 0
    """Agreed attempts in a row that turned its file away."""
    benched_until: int = 0
    """Number of a start: up to it, it is not in."""
    data_r: int = -1
    vault_r: int = -1


@dataclass(slots=True, eq=False)
class Seat:
    """An aggregator of an attempt."""

    who: bytes
    ready: bool = False
    have: tuple[int, bool] | None = None
    """Bits of the files, and whether the reference."""
    parts: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """By stage and mask."""
    seals: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    """By stage; where there are cells."""
    screen: ScreenUpdates | None = None
    sum: SumUpdates | SumCells | None = None


@dataclass(slots=True, eq=False)
class Attempt:
    number: int
    """The federation's running number of starts."""
    roster: dict[bytes, bool]
    """ACTIVE at the start and not benched; whether it counts as vetted."""
    beacon: bytes = b""
    """Of the draw."""
    seats: list[Seat] = field(default_factory=list)
    tried: set[bytes] = field(default_factory=set)
    """Drawn, whether they sit or not."""
    windows: int = 1
    ready: int = 0
    """Seats that were ready at the end of READY."""
    files: list[bytes] = field(default_factory=list)
    """Members in the order of their commitments."""
    referred: bool = False
    deciding: list[Seat] = field(default_factory=list)
    """Whose bitmaps decide, then whose Screens agree."""
    both: int = 0
    """The files that all of them have."""
    reference: bool = False
    rows: bytes = b""
    """Beacon of the rows."""
    codes: dict[bytes, str] = field(default_factory=dict)
    points: dict[bytes, int] = field(default_factory=dict)
    norm: int = 0
    accepted: frozenset[bytes] = frozenset()
    screeners: list[Seat] = field(default_factory=list)
    """Of cells: who agreed on the Screen."""
    summing: list[int] = field(default_factory=list)
    """Cells that sum."""

    def seat(self, who: bytes) -> Seat | None:
        return next((seat for seat in self.seats if seat.who == who), None)

    def place(self, seat: Seat) -> int:
        """Of the masks: 1 to 3."""
        return self.seats.index(seat) + 1


@dataclass(slots=True, eq=False)
class PanelSeat:
    who: bytes
    box: bool = False
    """Of the hidden file's key."""
    silent: int = 0
    """In a row, within one r."""
    committed: Measure | Lists | None = None
    opened: Measure | Lists | None = None


@dataclass(slots=True, eq=False)
class Cells:
    """Of a federation that has them; members by their indexes."""

    numbered: int = 0
    """How many were ever dealt."""
    living: dict[int, frozenset[int]] = field(default_factory=dict)
    """By number: who is left of each."""
    rows: dict[int, int] = field(default_factory=dict)
    """Of whoever was dealt: its last 16 attempts, a bit each, the latest the lowest; 1 is a miss."""
    gained: dict[int, int] = field(default_factory=dict)
    """The same: since points were last cleared."""
    lacked: list[bytes] = field(default_factory=list)
    """Aggregators that alone lacked what two had, the latest last."""
    inside: dict[int, frozenset[int]] = field(default_factory=dict)
    """As the end of the last DRAW left them; from a sum on those that it is of."""
    models: tuple[bytes, ...] = ()
    """The candidates of the last sum."""
    found: tuple[tuple[int, int | None], ...] = ()
    """Step and loss of each direction."""
    chosen: int = 0

    def of(self, index: int | None) -> int | None:
        """The number of its cell."""
        return next((number for number, members in self.living.items() if index in members), None)


@dataclass(slots=True, eq=False)
class Federation:
    id: bytes
    sponsor: bytes
    root: bytes
    terms: Terms
    clip: int
    base: bytes
    """CID of the model that is trained on."""
    state: str = IDLE
    deadline: int = 0
    draw_height: int = 0
    r: int = 0
    starts: int = 0
    members: dict[bytes, Joined] = field(default_factory=dict)
    indexes: int = 0
    panel: list[PanelSeat] = field(default_factory=list)
    panel_beacon: bytes = b""
    sat: set[bytes] = field(default_factory=set)
    """Whoever had a seat of the panel."""
    again: int = 0
    """Measurements of this r that came to nothing."""
    attempt: Attempt | None = None
    excluded: set[bytes] = field(default_factory=set)
    """Aggregators that are not drawn while two others remain."""
    pair: tuple[bytes, ...] = ()
    """Who made the sum that is measured, where two did."""
    model: bytes = b""
    """That is measured."""
    initial: int = 0
    """m0."""
    best: int = 0
    best_model: bytes = b""
    best_r: int = 0
    paid: int = 0
    points: dict[bytes, int] = field(default_factory=dict)
    last: tuple[bytes, ...] = ()
    """Who was in the last sum."""
    streak: int = 0
    chains: dict[bytes, list[frozenset[bytes]]] = field(default_factory=dict)
    """By base: the accepted sets, each within the next; where there are cells, the cells that were summed."""
    cells: Cells | None = None
    loss: int | None = None
    """That was measured last."""
    end: str = ""
    records: int = 0
    """Left in the state after the end."""
    lateness: int = 0
    """By how much blocks came after the deadlines that they ran, draws included."""

    def named(self, who: bytes) -> bool:
        """Whether a set that was accepted has it."""
        return any(who in one for sets in self.chains.values() for one in sets)

    def active(self) -> list[Joined]:
        return [one for one in self.members.values() if one.state == ACTIVE]

    def joined(self, who: bytes) -> bool:
        return who in self.members and self.members[who].state != GONE
