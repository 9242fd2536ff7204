"""What an account carries from job to job: strikes, marks, the draw record, verdicts, a contractor's record.

Posters are told apart by their root everywhere here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .scenario import FALSE, OK, Limits, Member

BARRED_BY = 3
STRIKES = 16
DRAWS = 10
BAD_DRAWS = 5
MARK_VOTES = 10
MARKED_BY = 2
KEPT = 64


@dataclass(slots=True, eq=False)
class Draw:
    """An entry of the draw record."""

    poster: bytes
    bad: bool
    silent: bool


@dataclass(slots=True, eq=False)
class Verdict:
    """A verdict on a claim of this account; `case` is the number of the case that a FALSE belongs to."""

    poster: bytes
    verdict: str
    time: int
    case: int = 0
    lifted: bool = False


@dataclass(slots=True)
class ContractorRecord:
    """Public, used by policies. Of the winners the last 64 different ones are known, older ones counted."""

    paid: int = 0
    refunded_after_reveal: int = 0
    undecided: int = 0
    unrepeatable: int = 0
    winners: list[bytes] = field(default_factory=list)
    older_winners: int = 0

    def won(self, winner: bytes) -> None:
        if winner in self.winners:
            self.winners.remove(winner)
        self.winners.append(winner)
        if len(self.winners) > KEPT:
            del self.winners[0]
            self.older_winners += 1


@dataclass(slots=True, eq=False)
class Case:
    number: int
    start: int
    until: int
    jobs: list[bytes]
    posters: list[bytes]
    """Roots, in the order in which they came."""
    confirms: set[bytes] = field(default_factory=set)
    lifts: set[bytes] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Account:
    id: bytes
    root: bytes
    validator: bool
    flag_since: int | None
    capacity: Limits | None
    capacity_since: int = -1
    banned: bool = False
    case: Case | None = None
    strikes: dict[bytes, int] = field(default_factory=dict)
    """Time of the last strike for jobs of each poster."""
    votes: dict[bytes, list[tuple[int, bool]]] = field(default_factory=dict)
    """The last ten decided votes in jobs of each poster: time, and whether off or on the losing side."""
    draws: list[Draw] = field(default_factory=list)
    rests_until: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    older_verdicts: int = 0
    contractor: ContractorRecord = field(default_factory=ContractorRecord)

    def live_strikes(self, clock: int, month: int) -> list[bytes]:
        return sorted(poster for poster, time in self.strikes.items() if clock - time < month)

    def stands(self, clock: int, month: int) -> bool:
        return len(self.strikes) < BARRED_BY or sum(1 for time in self.strikes.values() if clock - time < month) < BARRED_BY

    def strike(self, poster: bytes, clock: int) -> None:
        """LC-MEM-1: of each origin the last one, of all these the 16 that are latest."""
        self.strikes.pop(poster, None)
        self.strikes[poster] = clock
        while len(self.strikes) > STRIKES:
            del self.strikes[next(iter(self.strikes))]

    def vote_counted(self, poster: bytes, clock: int, bad: bool) -> None:
        votes = self.votes.setdefault(poster, [])
        votes.append((clock, bad))
        del votes[:-MARK_VOTES]

    def marked(self, poster: bytes, clock: int, month: int) -> bool:
        bad = [time for time, bad in self.votes.get(poster, ()) if bad]
        return len(bad) >= MARKED_BY and clock - bad[-1] < month

    def rests(self, clock: int) -> bool:
        return clock < self.rests_until

    def drawn(self, entry: Draw, clock: int, month: int) -> bool:
        """Enter a draw; whether the flag rests from now on. Nothing is recorded during a rest."""
        if self.rests(clock):
            return False
        if not entry.silent:
            self.draws = [old for old in self.draws if old.silent or old.poster != entry.poster]
        self.draws.append(entry)
        del self.draws[:-DRAWS]
        if sum(draw.bad for draw in self.draws) <= BAD_DRAWS:
            return False
        self.draws = []
        self.rests_until = clock + month
        return True

    def judged(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if len(self.verdicts) > KEPT:
            del self.verdicts[0]
            self.older_verdicts += 1

    def corroborated(self, clock: int, month: int) -> bool:
        """FALSE in jobs of two different posters, and no OK in a job of a third, within the month before `clock`."""
        recent = [v for v in self.verdicts if clock - v.time < month]
        accusers = {v.poster for v in recent if v.verdict == FALSE and not v.lifted}
        return len(accusers) >= 2 and not any(v.verdict == OK and v.poster not in accusers for v in recent)


def of_genesis(members: Iterable[Member]) -> dict[bytes, Account]:
    """Accounts by id in byte order; an invited one has its inviter's root."""
    accounts: dict[bytes, Account] = {}
    for member in members:
        root = member.id if member.inviter is None else accounts[member.inviter].root
        flag = -1 if member.flag else None
        accounts[member.id] = Account(member.id, root, member.validator, flag, member.capacity)
    return dict(sorted(accounts.items()))
