"""The validator's hand: it has servers banned while they sit: stakes burn and seats fall silent in the middle of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from learningchain.chain.contracts.governance import Ban, Propose
from learningchain.chain.contracts.prediction import records
from learningchain.chain.crypto import account_id
from learningchain.chain.host import BANNED, Account, account_key
from learningchain.chain.ledger.state import State
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import Asker, models, requests
from tests.sim.world import _key

if TYPE_CHECKING:
    from tests.sim.asking.world import AskingWorld

OPEN_MS = 60_000
LEFT = 4
"""So many servers of each model stay: a committee of three can be drawn."""


class Banner(Asker):
    serves = False
    declares = False
    bans = 0
    """How many it has banned, at most."""
    servers: tuple[bytes, ...] = ()
    """Those who may be."""

    def say(self, state: State, clock: int) -> Any | None:
        if not self.bans or self.rng.random() < 0.7:
            return None
        who = next(self._bannable(state), None)
        if who is None:
            return None
        self.bans -= 1
        return Propose(Ban(who), clock + OPEN_MS)

    def _bannable(self, state: State) -> Iterator[bytes]:
        """Who has a seat of a request that goes on, where enough others serve."""
        there = [one for one in self.servers if not self._is_banned(state, one)]
        if len(there) <= LEFT or not any(True for _ in models(state)):
            return
        for one in requests(state):
            if one.record.state not in records.ENDED:
                yield from (who for drawn in one.record.rounds for who in drawn.seats if who in there)

    @staticmethod
    def _is_banned(state: State, identity: bytes) -> bool:
        account = state.get(account_key(identity))
        return isinstance(account, Account) and account.status == BANNED


class Chair(MemberAsking):
    """The only validator of a run: what it proposes is decided by its own vote."""

    asker: Banner
    kind = Banner

    def __init__(self, world: AskingWorld, bans: int) -> None:
        super().__init__(world, "chair", 0)
        self.key = _key(0)
        self.id = self.asker.id = account_id(self.key.public)
        self.asker.bans, self.asker.servers = bans, tuple(one.id for one in world.servers)
