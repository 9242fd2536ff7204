"""Models with their servers, requests with their seats, policies."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import formulas
from .scenario import Answer, Ask, ModelTerms, RegisterPolicy
from .tally import Tally, Value

LIVE, RETIRED = "LIVE", "RETIRED"
WAITING, KEYS, ANSWER, REDRAW, OPEN, APPEALED = "WAITING", "KEYS", "ANSWER", "REDRAW", "OPEN", "APPEALED"
FAILED, FINAL = "FAILED", "FINAL"
"""States beside AGREED and WEAK. REDRAW waits for the draw of substitutes, APPEALED for that of an appeal."""

ROYALTY, DEPOSIT, CHARGE, BOND, POLICY = b"R", b"D", b"X", b"A", b"P"
"""Purposes of escrows; a stake's purpose is its server's id."""


@dataclass(slots=True, eq=False)
class Server:
    id: bytes
    since: int
    """Who asks later may have it drawn."""
    awake: bool = True
    out: bool = False
    leaving: bool = False
    pins: int = 0
    silent: list[bool] = field(default_factory=list)
    """Whether it was, in its last 32 seats."""
    record: list[tuple[bytes, bool, bool]] = field(default_factory=list)
    """Root of the requester, bad, wrong by a quorum; one entry a root, the last 32."""


@dataclass(slots=True, eq=False)
class Model:
    id: bytes
    owner: bytes
    terms: ModelTerms
    price: tuple[int, int]
    """p and w in force."""
    coming: tuple[int, int] | None = None
    coming_at: int = 0
    state: str = LIVE
    servers: dict[bytes, Server] = field(default_factory=dict)
    left: dict[bytes, Server] = field(default_factory=dict)
    """Those that left it while it was LIVE, and had something bad."""
    waiting: dict[bytes, Request] = field(default_factory=dict)
    pump_at: int | None = None
    open_seats: int = 0
    pins: int = 0
    positions: int = 0
    running: int = 0
    """Requests that were drawn and have not ended."""
    kept: int = 0
    """Requests in the state, in whatever state."""
    tallies: list[tuple[bytes, bool]] = field(default_factory=list)
    """Root of the requester, bad; one entry a root, the last ten."""
    ordinals: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """By CID: the next ordinal, and how many requests are kept."""
    earned: int = 0
    """Royalties that ever came for those who share it."""
    shared: int = 0
    """Of them, those that were shared."""
    askers: dict[bytes, int] = field(default_factory=dict)
    """By root: requests that are kept."""

    def price_at(self, clock: int) -> tuple[int, int]:
        return self.coming if self.coming is not None and clock >= self.coming_at else self.price

    def set_price(self) -> tuple[int, int]:
        """As last set, in force or not."""
        return self.coming or self.price

    def highest_w(self) -> int:
        return max(self.price[1], self.coming[1] if self.coming is not None else 0)


@dataclass(slots=True, eq=False)
class Seat:
    who: bytes
    r: int
    position: int = -1
    """Of its commitment."""
    committed: Answer | None = None
    opened: Answer | None = None
    paid: bool = False


@dataclass(slots=True, eq=False)
class Request:
    id: bytes
    model: Model
    requester: bytes
    root: bytes
    terms: Ask
    p: int
    w: int
    row: int
    """What burns at least for each row that is kept."""
    tip: int
    posted: int
    height: int
    """Of the posting."""
    young_since: int
    """Of the posting or the last AddTip."""
    position: int
    ordinal: int
    asked: int
    state: str = WAITING
    evictor: bool = False
    r: int = 0
    c: int = 0
    deadline: int = 0
    draw_height: int = 0
    commits: int = 0
    seats: list[Seat] = field(default_factory=list)
    outcome: str = ""
    result: Tally | None = None
    appellant: bytes | None = None
    named: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    """That r=3 answers."""
    values: dict[int, Value] = field(default_factory=dict)
    """New ones, of an appeal; beside the old."""
    decided: tuple[tuple[str, int, bool], ...] = ()
    """What its policy made of each row, the last time."""
    ended_at: int = 0
    lateness: int = 0
    """By how much blocks came after the deadlines that they ran, draws included."""
    answered_at: int = 0

    @property
    def kept(self) -> int:
        """F"""
        return formulas.kept_fee(self.row, self.terms.rows, self.terms.carried)

    @property
    def ended(self) -> bool:
        return self.state in (FAILED, FINAL)

    def of_round(self, r: int) -> list[Seat]:
        return [seat for seat in self.seats if seat.r == r]

    def seat(self, who: bytes, r: int) -> Seat | None:
        return next((seat for seat in self.seats if seat.who == who and seat.r == r), None)


@dataclass(slots=True, eq=False)
class Policy:
    terms: RegisterPolicy
    owner: bytes
    used: int
    """When it was registered, or the last request that named it ended."""
    live: int = 0
    """Requests that name it and have not ended."""
