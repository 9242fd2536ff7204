"""The state of one graph, and what the parts of the model share."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

from . import formulas
from .accounts import Account
from .events import Event, Struck
from .money import Money
from .records import Model, Policy, Request, Server
from .rows import ROWS
from .scenario import Member, Params


class Graph:
    def __init__(self, params: Params, members: tuple[Member, ...], validators: int, paid: tuple[tuple[bytes, bytes], ...]) -> None:
        self.params = params
        self.validators = validators
        self.paid = dict(paid)
        self.accounts: dict[bytes, Account] = {}
        for one in members:
            root = one.id if one.inviter is None else self.accounts[one.inviter].root
            self.accounts[one.id] = Account(one.id, root, -1 if one.flag else None, one.box, one.able)
        self.models: dict[bytes, Model] = {}
        self.names: dict[tuple[bytes, str], bytes] = {}
        self.requests: dict[bytes, Request] = {}
        self.live: dict[bytes, Request] = {}
        """Those that have not ended."""
        self.policies: dict[bytes, Policy] = {}
        self.results: list[tuple[int, bytes]] = []
        """Time of the end, request; in that order."""
        self.unseated: list[tuple[int, bytes]] = []
        """The same of those that never had seats."""
        self.bans: dict[bytes, int] = {}
        """When an account was banned whose models and stakes are still to be gone through."""
        self.epoch = (0, 0)
        """Its number, and what was minted in it."""
        self.clock = 0
        self.height = 0
        self.beacon = bytes(32)
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

    def delay(self) -> int:
        return formulas.draw_delay(self.validators)

    def stands(self, who: bytes) -> bool:
        return self.accounts[who].stands(self.clock, self.params.month)

    def active(self, who: bytes) -> bool:
        account = self.accounts[who]
        return not account.banned and not account.suspended

    def strike(self, who: bytes, origin: bytes, why: str) -> None:
        account = self.accounts[who]
        if not account.banned:
            account.strike(origin, self.clock)
            self.tell(Struck(who, origin, why))

    def stake(self, model: Model, server: bytes) -> int:
        return self.money.held(model.id, server)

    def server(self, request: Request, who: bytes) -> Server | None:
        return request.model.servers.get(who)

    def ticket(self, request: bytes, r: int, who: bytes) -> bytes:
        return sha256(self.beacon + request + bytes([r]) + who).digest()

    def minted_now(self) -> int:
        """In this epoch."""
        number = self.clock // self.params.epoch
        if self.epoch[0] != number:
            self.epoch = (number, 0)
        return self.epoch[1]
