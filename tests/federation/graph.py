"""The state of one graph, and what the parts of the model share."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from . import formulas
from .accounts import Account, DrawEntry
from .events import Event, Failed, Struck
from .money import Money
from .records import Federation
from .rows import CELLS, ROWS
from .scenario import Member, Params


class Graph:
    def __init__(self, params: Params, members: tuple[Member, ...], validators: int) -> None:
        self.params = params
        self.validators = validators
        self.accounts: dict[bytes, Account] = {}
        for one in members:
            root = one.id if one.inviter is None else self.accounts[one.inviter].root
            self.accounts[one.id] = Account(one.id, root, one.flag, one.box, one.able)
        self.federations: dict[bytes, Federation] = {}
        self.clock = 0
        self.height = 0
        self.beacon = bytes(32)
        self.reached: Counter[str] = Counter()
        self.events: list[Event] = []
        """Of this block."""
        self.money = Money({member.id: member.balance for member in members}, self.tell)

    def reach(self, row: str) -> None:
        if row not in ROWS and row not in CELLS:
            raise KeyError(row)
        self.reached[row] += 1

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def delay(self) -> int:
        return formulas.delay(self.validators)

    def stands(self, who: bytes) -> bool:
        return self.accounts[who].stands(self.clock, self.params.month)

    def active(self, who: bytes) -> bool:
        account = self.accounts[who]
        return not account.banned and not account.suspended

    def flagged(self, who: bytes) -> bool:
        return self.accounts[who].flagged(self.clock, self.params.month)

    def strike(self, who: bytes, origin: bytes, why: str) -> None:
        account = self.accounts[who]
        if not account.banned:
            account.strike(origin, self.clock)
            self.tell(Struck(who, origin, why))

    def failed(self, federation: Federation, who: bytes, silent: bool) -> None:
        """A failed draw of an aggregator; it carries the sponsor's root."""
        self.tell(Failed(federation.id, who, silent))
        self.accounts[who].drawn(DrawEntry(federation.root, True, silent), self.clock, self.params.month)

    def served(self, federation: Federation, who: bytes) -> None:
        self.accounts[who].drawn(DrawEntry(federation.root, False, False), self.clock, self.params.month)


def ticket(beacon: bytes, federation: bytes, r: int, attempt: int, who: bytes) -> bytes:
    return sha256(beacon + federation + r.to_bytes(2, "big") + attempt.to_bytes(2, "big") + who).digest()
