"""A job while it lives: its claims, its finalists, the round under way."""

from __future__ import annotations

from dataclasses import dataclass, field

from .scenario import MEASURED, Ballot, Terms

OPEN, REVEAL, KEY, DRAW, COMMIT, COUNT = "OPEN", "REVEAL", "KEY", "DRAW", "COMMIT", "COUNT"
PAID, REFUNDED, EMPTY = "PAID", "REFUNDED", "EMPTY"
ENDED = (PAID, REFUNDED, EMPTY)


@dataclass(frozen=True, slots=True)
class Committee:
    """The seats that judge one candidate in one round."""

    seats: tuple[bytes, ...]
    neutral: frozenset[bytes]
    """The seats that are not finalists."""
    whole: int
    """|P| before marked ones are left out: all that a second round could draw."""

    @property
    def c(self) -> int:
        return len(self.seats)


@dataclass(frozen=True, slots=True)
class Vote:
    seat: bytes
    ballot: Ballot
    neutral: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """The opened votes on a candidate in one round."""

    r: int
    committee: Committee
    votes: tuple[Vote, ...]
    places: dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
    """The probe for each number of examples."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A claim, which may become a finalist and be judged."""

    who: bytes
    loss: int
    model: int
    stake: int
    full: bool
    height: int
    tx: bytes
    op: int
    count: int = 1
    revealed: bool = False
    dropped: bool = False
    verdict: str | None = None
    line: int = 0
    rounds: list[Judged] = field(default_factory=list)
    hidden_loss: int | None = None
    """Lower median of the hidden losses of OK votes, where more than half of the committee agree on it."""


@dataclass(slots=True, eq=False)
class Round:
    j: int
    r: int
    batch: list[Candidate]
    committees: dict[bytes, Committee]
    """By candidate."""
    seats: dict[bytes, list[Candidate]]
    """What each seat judges, in the batch's order."""
    hidden: bool
    committed: dict[bytes, tuple[Ballot, ...]] = field(default_factory=dict)
    measured: dict[bytes, list[tuple[int, bool]]] = field(default_factory=dict)
    """The columns that each seat which committed has to open."""
    opened: dict[bytes, set[tuple[int, bool]]] = field(default_factory=dict)
    """By seat, once its ballots and salt came: the columns that it opened."""
    beacon: bytes = b""
    """Of the probe."""

    def has_opened(self, seat: bytes) -> bool:
        return seat in self.opened and len(self.opened[seat]) == len(self.measured[seat])


def columns(ballots: tuple[Ballot, ...]) -> list[tuple[int, bool]]:
    """The measured columns of a seat: index of the candidate, and whether the hidden one."""
    found: list[tuple[int, bool]] = []
    for i, ballot in enumerate(ballots):
        if ballot.code in MEASURED:
            found.append((i, False))
            if ballot.hidden is not None and not isinstance(ballot.hidden, str):
                found.append((i, True))
    return found


@dataclass(slots=True, eq=False)
class Job:
    id: bytes
    poster: bytes
    root: bytes
    terms: Terms
    deadline: int
    """Chain clock; in DRAW that of the block which set it."""
    state: str = OPEN
    claims: dict[bytes, Candidate] = field(default_factory=dict)
    must: list[Candidate] = field(default_factory=list)
    finalists: list[Candidate] = field(default_factory=list)
    """In rank order."""
    hidden: bool = False
    """The hidden data counts."""
    key: bool = False
    j: int = 0
    r: int = 1
    second: list[Candidate] = field(default_factory=list)
    """The candidates that line 4 sent into round two."""
    draw_height: int = 0
    draws: int = 0
    round: Round | None = None
    burned: int = 0
    """Stakes that verdicts of this job burned."""
    bond_burned: int = 0
    winner: bytes | None = None
    ended_at: int = 0
    lateness: int = 0
    """By how much blocks came after the deadlines that they ran, draws included."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def unjudged(self) -> list[Candidate]:
        return [c for c in self.finalists if c.verdict is None and not c.dropped]
