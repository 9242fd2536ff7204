"""The state of one graph, and what the parts of the model share: clock, beacon, accounts, money, jobs, coverage, events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from . import accounts, formulas
from .accounts import Account
from .events import Event, Struck
from .hashing import Hashing
from .jobs import Job
from .money import Money
from .rows import ROWS
from .scenario import Member, Params


class Graph:
    def __init__(self, params: Params, members: Sequence[Member], hashing: Hashing | None = None) -> None:
        self.params = params
        self.hashing = hashing or Hashing()
        self.accounts = accounts.of_genesis(members)
        self.jobs: dict[bytes, Job] = {}
        self.live: dict[bytes, Job] = {}
        """Those that have not ended."""
        self.clock = 0
        self.height = 0
        self.beacon = bytes(32)
        self.cases = 0
        self.reached: Counter[str] = Counter()
        self.events: list[Event] = []
        """Of this block."""
        self.money = Money({member.id: member.balance for member in members}, self.tell)

    def reach(self, row: str) -> None:
        if row not in ROWS:
            raise KeyError(row)
        self.reached[row] += 1

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def stands(self, account: Account) -> bool:
        return account.stands(self.clock, self.params.month)

    def strike(self, account: Account, poster: bytes, why: str) -> None:
        """A strike with its origin; a banned account takes none."""
        if account.banned:
            return
        stood = self.stands(account)
        account.strike(poster, self.clock)
        self.tell(Struck(account.id, poster, why))
        if stood and not self.stands(account):
            self.reach("barred")

    def validators(self) -> list[Account]:
        return [account for account in self.accounts.values() if account.validator]

    def draw_delay(self) -> int:
        return formulas.draw_delay(len(self.validators()))
