"""A member without a machine: its key, what it says (`people.Asker`), and how that gets into blocks (the market's `Desk`)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.ledger.state import State
from tests.sim.asking.people import Asker

if TYPE_CHECKING:
    from tests.sim.asking.world import AskingWorld


class MemberAsking:
    """`number` tells several of a kind apart."""

    verifier = False
    """Whether genesis gives it the verifier flag; honest servers and judges have it anyway."""
    count = 1
    """How many of a kind a run gets."""
    kind: type[Asker] = Asker
    never_gains = True
    """Whether it may end with no more than it began with, all of its kind together."""

    def __init__(self, world: AskingWorld, name: str, number: int) -> None:
        self.world, self.name, self.number = world, name, number
        self.key = SigningKey(sha256(b"asking " + name.encode() + b"%d" % number))
        self.id = account_id(self.key.public)
        self.rng = random.Random(f"{world.seed} {name} {number}")
        self.asker = self.kind(self.id, self.rng)

    def tick(self, state: State, clock: int) -> None:
        """One look at the chain: nothing new while something is under way."""
        if not any(identity == self.id for identity, _, _ in self.world.desk.offers):
            message = self.asker.say(state, clock)
            if message is not None:
                self.offer(state, message)

    def offer(self, state: State, message: Any) -> None:
        self.world.desk.say(self, state, [message], type(message).__name__, 0)  # type: ignore[arg-type]
