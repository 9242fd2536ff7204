"""A federation as the others of this room read and change it (`protocol_spec/federation.md`, *State*).

`Work` reads all records of one federation into plain objects; `save` writes those back that changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.conformance import federation_rules as rules
from tests.conformance import judging, membership
from tests.conformance.checks import part, register
from tests.conformance.keys import sha
from tests.conformance.ledger import (
    BANNED,
    State,
    cancel,
    cancel_at_height,
    escrowed,
    pay,
    schedule,
    schedule_at_height,
)

CONTRACT = 5
IDLE, DRAW, KEY, READY, TRAIN, HAVE, ROWS, SCREEN, SUM, MEASURE, OPEN, END = range(1, 13)
PENDING, IS_ACTIVE, GONE = 1, 2, 3
OF_ROWS, OF_SUMS = 1, 2
SECRET_SUMS, OPEN_SUMS = 1, 2
MEAN, KRUM, TRIMMED, MEDIAN = range(1, 5)
MOST_INDEXES, KEPT_ROUNDS = 128, 16
SERVES_CELLS = register("LC-FED-57: able is who serves cells")
CELL_HOOKS: dict[str, Callable[..., Any]] = {}
"""What `federation_cells` does in the place of the others: it stands above them."""


class Params(NamedTuple):
    """LC-FED-6, in the order of `constants.md`."""

    base: int
    ready: int
    open: int
    pending: int
    keep: int
    least: int
    longest: int
    rate: int
    live: int
    dropped: int


class Terms(NamedTuple):
    """FederationTerms"""

    image: list[Any]
    arch: int
    params: str
    limits: list[int]
    model: bytes
    size: int
    dims: int
    hidden: list[list[Any]]
    schema: bytes
    bounty: int
    u: int
    target: int
    float_kind: int
    tol: int
    rounds: int
    round_ms: int
    pace_ms: int
    ends: int
    min_members: int
    max_members: int
    min_sum: int
    vetted: bool
    secrecy: int
    rule: int
    split: int
    reference: bool
    clip: int
    patience: int
    open_admission: bool
    outside: bool
    dp_milli: int

    @property
    def has_cells(self) -> bool:
        """LC-FED-55"""
        return self.dims < 1_024 and self.secrecy == SECRET_SUMS

    @property
    def measured_size(self) -> int:
        """Bytes that a seat evaluates at once."""
        return 52 * self.size if self.has_cells else self.size

    @property
    def eval_s(self) -> int:
        return self.limits[3]

    @property
    def cpus_milli(self) -> int:
        return self.limits[0]

    @property
    def needed(self) -> list[int]:
        """LC-FED-17"""
        return [self.arch, self.cpus_milli, self.limits[1], self.image[4], self.max_members * self.size, self.eval_s]


def bitmap(places: set[int] | frozenset[int] | list[int]) -> bytes:
    """As short as it can be."""
    return sum(1 << place for place in places).to_bytes((max(places, default=-1) + 8) // 8, "little")


def places(raw: bytes) -> list[int]:
    value = int.from_bytes(raw, "little")
    return [at for at in range(value.bit_length()) if value >> at & 1]


@dataclass
class Member:
    """`index` is one more than the index, 0 where it has none; so are `data_r` and `vault_r` of an r."""

    id: bytes
    state: int
    digest: bytes
    n: int
    since: int
    index: int = 0
    bad: int = 0
    benched_until: int = 0
    points: int = 0
    paid: int = 0
    data_r: int = 0
    vault_r: int = 0
    vault: bytes = b""

    @property
    def place(self) -> int | None:
        return self.index - 1 if self.index else None

    def told(self) -> list[Any]:
        return list(vars(self).values())[1:]


@dataclass
class File:
    """What a member committed in the running attempt."""

    account: bytes
    index: int
    cid: bytes


@dataclass
class Aggregator:
    id: bytes
    key: bytes = b""
    said_have: bool = False
    have: bytes = b""
    have_reference: bool = False
    rows: list[list[Any]] = field(default_factory=list)
    sums: list[list[Any]] = field(default_factory=list)
    screen: list[list[Any]] = field(default_factory=list)
    sum: list[list[Any]] = field(default_factory=list)

    def pins(self, stage: int) -> list[list[Any]]:
        return self.rows if stage == OF_ROWS else self.sums

    def said(self, stage: int) -> tuple[Any, ...] | None:
        """Behind tag, federation and attempt."""
        found = self.screen if stage == OF_ROWS else self.sum
        return tuple(found[0][3:]) if found else None


@dataclass
class Cell:
    """CellRecord. A cell is its number and a bitmap, a member its index, attempts and gain, what was found a step and a loss."""

    numbered: int
    living: list[list[Any]]
    members: list[list[int]]
    lacked: list[bytes]
    inside: list[list[Any]]
    models: list[bytes]
    found: list[list[Any]]
    chosen: int
    opened: list[list[Any]]

    def of(self, place: int | None) -> list[Any] | None:
        """The living cell that has an index."""
        return next((one for one in self.living if place in places(one[1])), None)


@dataclass
class CellSeat:
    seals: list[bytes] = field(default_factory=list)
    sum: list[list[Any]] = field(default_factory=list)


@dataclass
class Seat:
    account: bytes
    box_key: bytes = b""
    box: bytes = b""
    silent: int = 0
    commitment: bytes = b""
    opened: list[list[Any]] = field(default_factory=list)
    holds: bool = False


@dataclass
class Attempt:
    """AttemptRecord, and what stands beside it."""

    number: int
    beacon: bytes = b""
    seats: list[bytes] = field(default_factory=list)
    tried: list[bytes] = field(default_factory=list)
    windows: int = 1
    ready: int = 0
    files: int = 0
    committed: bytes = b""
    reference: bytes = b""
    deciding: list[bytes] = field(default_factory=list)
    shared: bytes = b""
    with_reference: bool = False
    rows: bytes = b""
    codes: bytes = b""
    points: bytes = b""
    norm: int = 0
    accepted: bytes = b""


@dataclass
class Now:
    """FederationRecord"""

    state: int
    deadline: int
    draw_height: int
    r: int
    starts: int
    clip: int
    indexes: int
    base: bytes
    model: bytes
    initial: int
    best: int
    best_model: bytes
    best_r: int
    paid: int
    streak: int
    last: bytes
    again: int
    panel: list[Seat]
    panel_beacon: bytes
    probe: bytes
    pair: list[bytes]
    kept: int
    end: int
    ended: int
    left: int
    named: bytes = b""

    def told(self) -> list[Any]:
        found = dict(vars(self))
        return list((found | {"panel": [list(vars(seat).values()) for seat in self.panel]}).values())


class Work:
    """One federation while a message or a deadline of it runs."""

    def __init__(self, s: State, federation: bytes) -> None:
        self.s, self.id = s, federation
        self.sponsor, self.root, self.number, self.opened, terms = s.get(b"fp/" + federation)
        self.terms = Terms(*terms)
        self.p = Params(*s.at(CONTRACT, self.opened))
        told = s.get(b"fb/" + federation)
        self.now = Now(*told)
        self.now.panel = [Seat(*seat) for seat in told[17]]
        self.members = {one.id: one for one in (Member(who, *record) for who, record in self._all(b"fm/"))}
        self.sat = dict(self._all(b"fs/"))
        self.excluded = dict(self._all(b"fe/"))
        self.chains = {base: [frozenset(places(one)) for one in sets] for base, sets in (r for _, r in self._all(b"fc/"))}
        cell = s.get(b"fh/" + federation)
        self.cells = [] if cell is None else [Cell(*cell)]
        self.cell_seats = {who: CellSeat(*record) for who, record in self._all(b"fi/")}
        self.attempt: Attempt | None = None
        self.roster: list[list[Any]] = []
        self.drawn: dict[bytes, Aggregator] = {}
        self.files: list[File] = []
        attempt = s.get(b"fa/" + federation)
        if attempt is not None:
            self.attempt = Attempt(*attempt)
            self.roster = s.get(b"fo/" + federation)[0]
            self.drawn = {who: Aggregator(who, *record) for who, record in self._all(b"fg/")}
            self.files = [File(*record) for _, record in self._all(b"fu/")]

    def _all(self, prefix: bytes) -> list[tuple[bytes, Any]]:
        """What stands behind the federation in the key, and the record."""
        start = prefix + self.id
        return [(key[len(start) :], self.s.get(key)) for key in sorted(self.s.records) if key.startswith(start)]

    def save(self) -> None:
        s = self.s
        if s.get(b"fb/" + self.id) is None:
            return
        found = {b"fb/" + self.id: self.now.told()}
        found |= {b"fm/" + self.id + one.id: one.told() for one in self.members.values()}
        found |= {b"fs/" + self.id + who: record for who, record in self.sat.items()}
        found |= {b"fe/" + self.id + who: record for who, record in self.excluded.items()}
        for base, sets in self.chains.items():
            if sets:
                order = sets if self.terms.has_cells else sorted(sets, key=len)
                found[b"fc/" + self.id + sha(base)] = [base, [bitmap(one) for one in order]]
        if self.cells:
            found[b"fh/" + self.id] = list(vars(self.cell).values())
        if self.attempt is not None:
            found[b"fa/" + self.id] = list(vars(self.attempt).values())
            found[b"fo/" + self.id] = [self.roster]
            found |= {b"fg/" + self.id + who: list(vars(one).values())[1:] for who, one in self.drawn.items()}
            found |= {b"fi/" + self.id + who: list(vars(one).values()) for who, one in self.cell_seats.items() if one.seals}
            found |= {b"fu/" + self.id + bytes([at]): list(vars(one).values()) for at, one in enumerate(self.files)}
        for prefix in (b"fm/", b"fs/", b"fe/", b"fc/", b"fa/", b"fo/", b"fg/", b"fu/", b"fh/", b"fi/"):
            start = prefix + self.id
            for key in [key for key in s.records if key.startswith(start) and key not in found]:
                s.drop(key)
        for key, record in found.items():
            s.put(key, record)

    # rounds

    def round(self) -> list[Any]:
        found: list[Any] = self.s.get(self._round_key(self.now.r))
        return found

    def put_round(self, record: list[Any]) -> None:
        self.s.put(self._round_key(self.now.r), record)
        if self.now.r >= KEPT_ROUNDS:
            self.s.drop(self._round_key(self.now.r - KEPT_ROUNDS))

    def _round_key(self, r: int) -> bytes:
        return b"fr/" + self.id + r.to_bytes(2, "big")

    @property
    def cell(self) -> Cell:
        return self.cells[0]

    def cell_seat(self, who: bytes) -> CellSeat:
        """What it said of cells: nothing yet, where it has no record."""
        return self.cell_seats.get(who) or self.cell_seats.setdefault(who, CellSeat())

    @property
    def asks_lists(self) -> bool:
        """LC-FED-61"""
        return self.terms.has_cells and self.now.r > 0

    @property
    def running(self) -> Attempt:
        assert self.attempt is not None
        return self.attempt

    def begin_attempt(self, number: int, roster: list[rules.Candidate]) -> None:
        self.attempt = Attempt(number)
        self.roster = [[self.of(one.number).id, one.number, one.vetted] for one in roster]
        self.drawn, self.files, self.cell_seats = {}, [], {}

    def set_roster(self, roster: list[rules.Candidate]) -> None:
        self.roster = [[self.of(one.number).id, one.number, one.vetted] for one in roster]

    def end_attempt(self) -> None:
        self.attempt, self.roster, self.drawn, self.files, self.cell_seats = None, [], {}, [], {}

    @property
    def aggregators(self) -> list[Aggregator]:
        """In the order of their places."""
        return [self.drawn[who] for who in self.running.seats]

    def sits(self, account: bytes) -> Seat:
        """Takes a seat of the panel."""
        self.sat[account] = [self.s.clock]
        self.now.kept += 1
        return Seat(account, membership.member_of(self.s, account).box_key)

    def exclude(self, account: bytes) -> None:
        if account not in self.excluded:
            self.excluded[account] = [self.now.starts]
            self.now.kept += 1
        self.noted("fed.excluded", account)

    def noted(self, topic: str, *data: Any) -> None:
        self.s.noted(topic, self.id, *data)

    # members

    def member(self, account: bytes) -> Member | None:
        return self.members.get(account)

    def of(self, place: int) -> Member:
        return next(one for one in self.members.values() if one.place == place)

    @property
    def active(self) -> list[Member]:
        """ACTIVE ones that are not banned."""
        return [one for one in self.members.values() if one.state == IS_ACTIVE and not membership.is_banned(self.s, one.id)]

    def candidates(self) -> list[rules.Candidate]:
        found = []
        for one in sorted(self.active, key=lambda one: one.id):
            assert one.place is not None
            found.append(rules.Candidate(one.place, membership.is_flagged(self.s, one.id), one.benched_until))
        return found

    def next_roster(self) -> list[rules.Candidate] | None:
        t = self.terms
        return rules.roster(self.candidates(), self.now.starts + 1, t.vetted, t.min_members, t.min_sum)

    @property
    def counted(self) -> frozenset[int]:
        return frozenset(
            one.number for one in rules.counted([rules.Candidate(at, ok, 0) for _, at, ok in self.roster], self.terms.vetted)
        )

    # who serves: LC-FED-17, 18

    def servers(self) -> list[rules.Server]:
        found = []
        for account in able(self.s, self.sponsor, self.terms):
            member = self.member(account)
            belongs = member is not None and member.state in (PENDING, IS_ACTIVE)
            found.append(rules.Server(account, belongs, account in self.excluded, account in self.sat))
        return found

    def least_able(self) -> int:
        return least_able(self.s, self.sponsor, self.terms)

    def aggregator_pool(self) -> list[bytes]:
        return rules.aggregators(self.servers(), self.least_able())

    def tickets(self, ids: list[bytes], beacon: bytes, r: int, attempt: int) -> list[bytes]:
        return rules.by_tickets(ids, beacon, self.id, r, attempt)

    def panel_pool(self, taken: int = 0) -> list[bytes]:
        """Who would sit besides those that stay, in the order of the panel's draw."""

        def order(ids: list[bytes]) -> list[bytes]:
            return self.tickets(ids, self.now.panel_beacon or bytes(32), 0, 0)

        return rules.panel(self.servers(), self.secret, taken, order)

    @property
    def by_samples(self) -> bool:
        return bool(self.terms.split == rules.SAMPLES)

    @property
    def secret(self) -> bool:
        """Where members never sit: LC-FED-18."""
        return bool(self.terms.hidden) or bool(self.terms.outside)

    # amounts, windows

    @property
    def scale(self) -> rules.Scale:
        return rules.Scale(self.terms.float_kind, self.terms.tol)

    def windows(self) -> rules.Windows:
        p, t = self.p, self.terms
        return rules.windows(p.base, p.ready, p.open, t.size, len(self.files), t.eval_s, t.measured_size)

    def fee(self, account: bytes, reason: str) -> None:
        pay(self.s, self.id + b"fF", account, self.terms.u, reason, self.id)

    def is_banned(self, account: bytes) -> bool:
        found = self.s.account(account)
        return found is not None and found.status == BANNED

    # what others carry on

    def strike(self, account: bytes, reason: str) -> None:
        membership.strike(self.s, account, self.sponsor, reason, self.id)

    def draw_record(self, account: bytes, bad: bool, silent: bool) -> None:
        membership.record_draw(self.s, account, self.sponsor, bad, silent)

    # deadlines

    def stop(self) -> None:
        if not self.now.deadline:
            return
        if self.now.state in (DRAW, ROWS):
            cancel_at_height(self.s, self.now.draw_height, self.sponsor, self.now.deadline, CONTRACT, self.id)
        else:
            cancel(self.s, self.sponsor, self.now.deadline, CONTRACT, self.id)
        self.now.deadline = 0

    def enter(self, state: int, window: int) -> None:
        self.enter_until(state, self.s.clock + window)

    def enter_until(self, state: int, at: int) -> None:
        self.stop()
        schedule(self.s, self.sponsor, at, CONTRACT, self.id)
        self.now.state, self.now.deadline, self.now.draw_height = state, at, 0

    def enter_draw(self, state: int) -> None:
        """DRAW, ROWS: d blocks."""
        self.stop()
        height = self.s.height + judging.delay(len(self.s.validators))
        schedule_at_height(self.s, height, self.sponsor, CONTRACT, self.id)
        self.now.state, self.now.deadline, self.now.draw_height = state, self.s.clock, height


def able(s: State, sponsor: bytes, terms: Terms) -> list[bytes]:
    """LC-FED-17"""
    found = []
    for key in sorted(key for key in s.records if key.startswith(b"fx/")):
        of = membership.member_of(s, key[3:])
        room = bool(of.capacity) and judging.covers(of.capacity[0], terms.needed)
        if terms.has_cells and s.get(b"fy/" + key[3:]) is None and part(SERVES_CELLS):
            continue
        if key[3:] != sponsor and of.box_key and room and membership.is_flagged(s, key[3:]):
            found.append(key[3:])
    return found


def least_able(s: State, sponsor: bytes, terms: Terms) -> int:
    return rules.least_able(membership.flagged(s, sponsor, terms.needed)[0])


def rest_of(work: Work, escrow: bytes, reason: str) -> None:
    """What is left in an escrow of a federation goes to the sponsor; `pay` burns it where that one is banned."""
    pay(work.s, work.id + escrow, work.sponsor, escrowed(work.s, work.id + escrow), reason, work.id)
