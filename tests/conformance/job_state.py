"""A job's records, as the others of this room read and change them (`protocol_spec/job.md`, *State*)."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.conformance import judging
from tests.conformance.ledger import JobParams, State, cancel, cancel_at_height, schedule

OPEN, REVEAL, KEY, DRAW, COMMIT, COUNT, PAID, REFUNDED, EMPTY = range(1, 10)
ENDED = (PAID, REFUNDED, EMPTY)
NO_DATA, ON, OFF = 0, 1, 2
UNJUDGED, DROPPED, SILENT = 0, 5, 6
LARGEST_LOSS, PAGE, KEPT_WINNERS = 10**18, 128, 64
PENDING, DISMISSED, BECAME_A_BAN = 0, 1, 2


class Terms(NamedTuple):
    """PostJob, behind its tag."""

    image: list[Any]
    arch: int
    params: str
    bounty: int
    fee: int
    finalists: int
    expiry: int
    float_kind: int
    tol: int
    floor: int
    on_cheat: int
    limits: list[int]
    hidden: list[list[Any]]
    devices: list[list[int]]
    data: list[list[Any]]
    earlier: list[list[Any]]

    @property
    def raw(self) -> list[Any]:
        return [96, *self]

    @property
    def e(self) -> int:
        return self.limits[3] * (2 if self.hidden else 1)

    @property
    def fees(self) -> int:
        return self.fee * (judging.C + judging.SECOND) * self.finalists

    @property
    def stake(self) -> int:
        return self.bounty // 10

    @property
    def bond(self) -> int:
        return self.finalists * self.stake

    @property
    def deposit(self) -> int:
        return self.bounty if self.hidden else 0

    @property
    def needed(self) -> list[int]:
        """LC-JOB-52"""
        cpus, mem, _, eval_s, model_cap, _, _ = self.limits
        return [self.arch, cpus, mem, self.image[4] + self.evaluated, model_cap, eval_s]

    @property
    def evaluated(self) -> int:
        """E of LC-JOB-4."""
        return sum(size + 200_000 * files for _, size, files, _, use in self.data if use // 2)

    def tolerance(self, loss: int) -> int:
        return judging.tol(self.float_kind, self.tol, loss)

    def scale(self, claim: int) -> judging.Scale:
        return judging.Scale(self.float_kind, self.tol, claim)


class Job(NamedTuple):
    state: int
    deadline: int
    draw_height: int
    claimants: int
    revealed: int
    closing: bytes
    must: list[int]
    finalists: list[int]
    hidden: int
    key: bytes
    audit: int
    round: int
    again: list[int]
    committed: int
    opened: int
    cases: list[list[Any]]
    winner: list[int]
    fees_paid: int
    fees_burned: int
    burned: int
    bond_burned: int
    released: int
    ended: int


class Claim(NamedTuple):
    claimant: bytes
    made: int
    loss: int
    height: int
    tx: bytes
    op: int
    commitment: bytes
    claimed: int
    full: bool
    stake: int
    model: bytes
    size: int
    result: int
    line: int
    hidden_loss: list[int]


class Round(NamedTuple):
    beacon: bytes
    probe: bytes
    started: int
    deadline: int
    hidden: bool
    batch: list[int]
    pools: list[int]
    seats: list[int]
    voters: list[bytes]


class Seat(NamedTuple):
    candidates: list[int]
    commitment: bytes
    ballots: list[list[Any]]
    shown: list[list[Any]]
    complete: bool
    struck: str
    fee: int


class Contractor(NamedTuple):
    posted: int
    live: int
    live_bytes: int
    paid: int
    refunded: int
    undecided: int
    unrepeatable: int
    winners: list[bytes]
    older_winners: int


class Work:
    """One job while a message or a deadline of it runs."""

    def __init__(self, s: State, job: bytes) -> None:
        self.s, self.id = s, job
        self.poster, self.number, self.posted, terms = s.get(b"jp/" + job)
        self.terms = Terms(*terms[1:])
        self.p = JobParams(*s.at(3, self.posted))

    @property
    def job(self) -> Job:
        return Job(*self.s.get(b"jb/" + self.id))

    def set(self, **fields: Any) -> None:
        self.s.put(b"jb/" + self.id, self.job._replace(**fields))

    def claim(self, index: int) -> Claim:
        return Claim(*self.s.get(self._claim_key(index)))

    def set_claim(self, index: int, **fields: Any) -> None:
        self.s.put(self._claim_key(index), self.claim(index)._replace(**fields))

    def put_claim(self, index: int, claim: Claim) -> None:
        self.s.put(self._claim_key(index), claim)

    def _claim_key(self, index: int) -> bytes:
        return b"jc/" + self.id + index.to_bytes(4, "big")

    def round(self, audit: int, round_: int) -> Round | None:
        found = self.s.get(b"jr/" + self.id + bytes([audit, round_]))
        return None if found is None else Round(*found)

    def set_round(self, audit: int, round_: int, record: Round) -> None:
        self.s.put(b"jr/" + self.id + bytes([audit, round_]), record)

    def seat(self, audit: int, round_: int, voter: bytes) -> Seat | None:
        found = self.s.get(b"js/" + self.id + bytes([audit, round_]) + voter)
        return None if found is None else Seat(*found)

    def set_seat(self, audit: int, round_: int, voter: bytes, seat: Seat) -> None:
        self.s.put(b"js/" + self.id + bytes([audit, round_]) + voter, seat)

    def contractor(self) -> Contractor:
        return Contractor(*(self.s.get(b"ja/" + self.poster) or [0, 0, 0, 0, 0, 0, 0, [], 0]))

    def set_contractor(self, record: Contractor) -> None:
        self.s.put(b"ja/" + self.poster, record)

    def noted(self, topic: str, *data: Any) -> None:
        self.s.noted(topic, self.id, *data)

    # deadlines: LC-JOB-30

    def stop(self) -> None:
        job = self.job
        if not job.deadline:
            return
        if job.state == DRAW:
            cancel_at_height(self.s, job.draw_height, self.poster, job.deadline, 3, self.id)
        else:
            cancel(self.s, self.poster, job.deadline, 3, self.id)
        self.set(deadline=0)

    def enter(self, state: int, window: int, **fields: Any) -> None:
        self.stop()
        schedule(self.s, self.poster, self.s.clock + window, 3, self.id)
        self.set(state=state, deadline=self.s.clock + window, **fields)

    def end_window(self) -> None:
        """LC-JOB-22, 24, 25: nobody is left to wait for."""
        cancel(self.s, self.poster, self.job.deadline, 3, self.id)
        schedule(self.s, self.poster, self.s.clock, 3, self.id)
        self.set(deadline=self.s.clock)

    # claims in their order: LC-JOB-5

    def in_order(self, indices: list[int]) -> list[int]:
        closing = self.job.closing

        def place(index: int) -> bytes:
            claim = self.claim(index)
            return judging.place(claim.height, closing, claim.tx, claim.op)

        return sorted(indices, key=place)

    def ranked(self, indices: list[int]) -> list[int]:
        order = self.in_order(indices)
        return [order[at] for at in judging.rank([self.claim(index).loss for index in order], self.terms.tolerance)]

    def unjudged(self) -> list[int]:
        return [index for index in self.job.finalists if self.claim(index).result == UNJUDGED]

    def first_ok(self) -> int | None:
        return next((index for index in self.job.finalists if self.claim(index).result == judging.IS_OK), None)
