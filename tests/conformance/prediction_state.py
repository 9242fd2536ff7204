"""The records of predictions, as the others of this room read and change them (`protocol_spec/predictions.md`, *State*)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.conformance import judging, membership
from tests.conformance import prediction_rules as rules
from tests.conformance.ledger import BANNED, State, cancel, cancel_at_height, escrowed, schedule, schedule_at_height

CONTRACT = 4
LIVE, RETIRED = 1, 2
WAITING, KEYS, ANSWER, REDRAW, OPEN, APPEAL, AGREED, WEAK, FAILED, FINAL = range(1, 11)
NONE, IS_AGREED, IS_WEAK, TOO_FEW, NO_AGREEMENT, BAD_INPUT, NO_DATA, BAD_KEY, MODEL_FAULT, TOO_HEAVY = range(10)
NO_KEYS, CANCELLED, EXPIRED, EVICTED, NO_SERVERS, MODEL_RETIRED, GIVEN_BACK = range(10, 17)
"""What a request came to."""
ENDED = (FAILED, FINAL)
NO_APPEAL, VOID, UPHELD, OVERTURNED, KEYLESS = range(5)
OF_MODEL, OF_REQUEST, OF_POLICY = 1, 2, 3


class Params(NamedTuple):
    """LC-PRE-48, in the order of `constants.md`."""

    sub: int
    epoch: int
    epoch_sub: int
    stake: int
    deposit: int
    fee: int
    a0: int
    open: int
    keys: int
    appeal: int
    vote_base: int
    open_votes: int
    keep: int
    servers: int
    models: int
    waiting: int
    waiting_own: int
    row: int


def params(s: State) -> Params:
    return Params(*s.get(b"gp4/"))


class ModelTerms(NamedTuple):
    """RegisterModel, behind its tag."""

    name: str
    source: list[bytes]
    previous: list[bytes]
    program: list[list[Any]]
    kind: int
    classes: int
    tol: int
    royalty: int
    floor: int
    slots: int
    max_rows: int
    input_cap: int
    row_ms: int
    start_s: int
    schema: bytes
    sample: bytes
    sample_answers: bytes
    origin: list[bytes]
    shares: list[list[Any]]


class Program(NamedTuple):
    image: list[Any]
    arch: int
    params: str
    model: bytes
    size: int
    cpus_milli: int
    mem_mb: int
    tmp_mb: int
    threads: int


class Model(NamedTuple):
    owner: bytes
    number: int
    registered: int
    program: list[Any]
    terms: list[Any]


class Standing(NamedTuple):
    state: int
    royalty: int
    floor: int
    coming_royalty: int
    coming_floor: int
    coming_at: int
    pump: int
    open_seats: int
    unfinal_seats: int
    positions: int
    waiting: int
    running: int
    kept: int
    carried: int
    tallies: list[list[Any]]


class Server(NamedTuple):
    since: int
    awake: bool
    out: bool
    leaving: bool
    unfinal: int
    silent: int
    record: list[list[Any]]


class RequestTerms(NamedTuple):
    """RequestPrediction, behind its tag."""

    model: bytes
    cid: bytes
    size: int
    inline: bytes
    rows: int
    answers: int
    agree: int
    tip: int
    max_charge: int
    wait: int
    key_hash: list[bytes]
    policy: list[bytes]


class Asked(NamedTuple):
    requester: bytes
    root: bytes
    number: int
    position: int
    posted: int
    royalty: int
    floor: int
    row: int
    ordinal: int
    asked: int
    terms: list[Any]


class Round(NamedTuple):
    round: int
    beacon: bytes
    pool: int
    started: int
    seats: list[bytes]


class Request(NamedTuple):
    state: int
    round: int
    deadline: int
    draw_height: int
    tip: int
    rank: int
    young_since: int
    evictor: bool
    wanted: int
    rounds: list[list[Any]]
    committed: int
    before: int
    opened: int
    outcome: int
    answered: int
    appellant: bytes
    named: list[int]
    rows: list[int]
    appeal: int
    ended: int


class Seat(NamedTuple):
    box_key: bytes
    box: bytes
    commitment: bytes
    place: int
    answer: list[list[Any]]
    paid: int


class Policy(NamedTuple):
    owner: bytes
    number: int
    registered: int
    live: int
    due: int
    terms: list[Any]


class Result(NamedTuple):
    outcome: int
    agree: int
    values: list[list[int]]
    changed: list[list[int]]
    appealed: int
    decisions: list[list[Any]]
    seats: list[list[Any]]


class Totals(NamedTuple):
    models: int
    requests: int
    policies: int
    ended: int
    left: int
    unseated: int
    unseated_left: int


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def totals(s: State) -> Totals:
    return Totals(*(s.get(b"pt/") or [0] * 7))


def count(s: State, key: bytes, field: int, change: int) -> int:
    """Change one number of a record of counters; a record in which nothing is left goes. Its value before."""
    fields = list(s.get(key) or [])
    value: int = fields[field] if fields else 0
    if fields:
        fields[field] += change
    else:
        fields = [change]
    if any(fields):
        s.put(key, fields)
    else:
        s.drop(key)
    return value


# --- models ---------------------------------------------------------------------------------------------------------------------


class ModelWork:
    """One model while a message or a deadline of it, or of one of its requests, runs."""

    def __init__(self, s: State, model: bytes) -> None:
        self.s, self.id = s, model
        self.record = Model(*s.get(b"pm/" + model))
        self.owner = self.record.owner
        self.terms = ModelTerms(*self.record.terms[1:])
        self.program = Program(*self.record.program)

    @property
    def standing(self) -> Standing:
        return Standing(*self.s.get(b"ps/" + self.id))

    def set(self, **fields: Any) -> None:
        self.s.put(b"ps/" + self.id, self.standing._replace(**fields))

    def add(self, **changes: int) -> None:
        now = self.standing._asdict()
        self.set(**{name: now[name] + change for name, change in changes.items()})

    @property
    def price(self) -> tuple[int, int]:
        """Royalty and floor in force."""
        now = self.standing
        if now.coming_at and self.s.clock >= now.coming_at:
            return now.coming_royalty, now.coming_floor
        return now.royalty, now.floor

    @property
    def highest_floor(self) -> int:
        """In force or to come."""
        now = self.standing
        return max(self.price[1], now.coming_floor if now.coming_at else 0)

    # servers

    @property
    def servers(self) -> list[bytes]:
        found: list[bytes] = (self.s.get(b"pg/" + self.id) or [[]])[0]
        return found

    def set_servers(self, servers: list[bytes]) -> None:
        if servers:
            self.s.put(b"pg/" + self.id, [servers])
        else:
            self.s.drop(b"pg/" + self.id)

    def server(self, account: bytes) -> Server | None:
        found = self.s.get(b"pk/" + self.id + account)
        return None if found is None else Server(*found)

    def set_server(self, account: bytes, server: Server) -> None:
        self.s.put(b"pk/" + self.id + account, server)

    def change_server(self, account: bytes, **fields: Any) -> None:
        server = self.server(account)
        assert server is not None
        self.set_server(account, server._replace(**fields))

    def stake_of(self, account: bytes) -> int:
        return escrowed(self.s, self.stake(account))

    def stake(self, account: bytes) -> bytes:
        return self.id + account + b"pV"

    def pool(self, requester: bytes, posted: int, least: int) -> list[bytes]:
        """LC-PRE-16"""
        asked = []
        for account in self.servers:
            server = self.server(account)
            assert server is not None
            known = rules.Server(
                *(account, server.awake, server.out, server.leaving or self.standing.state != LIVE, server.since),
                *(membership.is_flagged(self.s, account), self.stake_of(account)),
            )
            asked.append(known)
        return [one.id for one in rules.pool(asked, self.owner, requester, posted, least)]

    # the pump: LC-PRE-20

    def wake_pump(self) -> None:
        """Due at now + 1, unless it is set already, or nothing waits for it."""
        now, at = self.standing, self.s.clock + 1
        if not now.pump and (now.state == RETIRED or now.waiting or escrowed(self.s, self.id + b"pR")):
            schedule(self.s, self.owner, at, CONTRACT, self.id)
            self.set(pump=at)

    def noted(self, topic: str, *data: Any) -> None:
        self.s.noted(topic, self.id, *data)


# --- requests -------------------------------------------------------------------------------------------------------------------


class Work:
    """One request while a message or a deadline of it runs."""

    def __init__(self, s: State, request: bytes) -> None:
        self.s, self.id = s, request
        self.asked = Asked(*s.get(b"pr/" + request))
        self.terms = RequestTerms(*self.asked.terms[1:])
        self.model = ModelWork(s, self.terms.model)
        self.requester, self.root = self.asked.requester, self.asked.root
        self.p = Params(*s.at(CONTRACT, self.asked.posted))

    @property
    def request(self) -> Request:
        return Request(*self.s.get(b"pb/" + self.id))

    def set(self, **fields: Any) -> None:
        self.s.put(b"pb/" + self.id, self.request._replace(**fields))

    def pool(self) -> list[bytes]:
        """LC-PRE-16"""
        least = rules.least_stake(self.p.stake, self.asked.floor)
        return self.model.pool(self.requester, self.asked.posted, least)

    # amounts: LC-PRE-1

    @property
    def n(self) -> int:
        return self.terms.answers

    @property
    def tip(self) -> int:
        return self.request.tip

    @property
    def burned(self) -> int:
        return rules.burned(self.tip, self.asked.royalty, self.terms.rows, self.kept)

    @property
    def kept(self) -> int:
        return rules.kept(self.asked.row, self.terms.rows, len(self.terms.inline))

    @property
    def share(self) -> int:
        return self.tip // self.n

    @property
    def q(self) -> int:
        return rules.least_agreeing(self.n)

    @property
    def u(self) -> int:
        return rules.appeal_fee(self.p.fee, self.asked.floor, self.terms.rows)

    def fine(self, account: bytes) -> int:
        return rules.fine(self.model.stake_of(account), self.share, self.asked.floor, self.terms.rows)

    @property
    def private(self) -> bool:
        return bool(self.terms.key_hash)

    # rounds and seats

    def rounds(self) -> list[Round]:
        return [Round(*one) for one in self.request.rounds]

    def round(self, which: int) -> Round:
        return next(one for one in self.rounds() if one.round == which)

    @property
    def seated(self) -> list[tuple[int, bytes]]:
        """Of r = 1 and 2, in the order of their draws."""
        return [(one.round, account) for one in self.rounds() if one.round < 3 for account in one.seats]

    @property
    def tallied(self) -> list[tuple[int, bytes]]:
        """The seats of the present tally: of r = 1 and 2, or of r = 3 alone."""
        if self.request.round == 3:
            return [(3, account) for account in self.round(3).seats]
        return self.seated

    def seat(self, round_: int, account: bytes) -> Seat | None:
        found = self.s.get(b"pa/" + self.id + bytes([round_]) + account)
        return None if found is None else Seat(*found)

    def the_seat(self, round_: int, account: bytes) -> Seat:
        found = self.seat(round_, account)
        assert found is not None
        return found

    def set_seat(self, round_: int, account: bytes, **fields: Any) -> None:
        before = self.seat(round_, account) or Seat(b"", b"", b"", 0, [], 0)
        self.s.put(b"pa/" + self.id + bytes([round_]) + account, before._replace(**fields))

    def is_banned(self, account: bytes) -> bool:
        found = self.s.account(account)
        return found is not None and found.status == BANNED

    # deadlines

    def stop(self) -> None:
        request = self.request
        if not request.deadline:
            return
        if request.state in (REDRAW, APPEAL):
            cancel_at_height(self.s, request.draw_height, self.requester, request.deadline, CONTRACT, self.id)
        else:
            cancel(self.s, self.requester, request.deadline, CONTRACT, self.id)
        self.set(deadline=0)

    def enter(self, state: int, window: int, **fields: Any) -> None:
        self.stop()
        at = self.s.clock + window
        schedule(self.s, self.requester, at, CONTRACT, self.id)
        self.set(state=state, deadline=at, **fields)

    def enter_draw(self, state: int, **fields: Any) -> None:
        """REDRAW, APPEAL: d blocks."""
        self.stop()
        height = self.s.height + judging.delay(len(self.s.validators))
        schedule_at_height(self.s, height, self.requester, CONTRACT, self.id)
        self.set(state=state, deadline=self.s.clock, draw_height=height, **fields)

    def end_window(self) -> None:
        """LC-PRE-23, 24: nobody is left to wait for."""
        cancel(self.s, self.requester, self.request.deadline, CONTRACT, self.id)
        schedule(self.s, self.requester, self.s.clock, CONTRACT, self.id)
        self.set(deadline=self.s.clock)

    def noted(self, topic: str, *data: Any) -> None:
        self.s.noted(topic, self.id, *data)

    @property
    def queue_key(self) -> bytes:
        return b"pq/" + self.model.id + number(self.request.rank) + number(self.asked.position)
