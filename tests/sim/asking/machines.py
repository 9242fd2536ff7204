"""The accounts of a run's machines register a model, serve it and ask it, in the seeds that draw it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from tests.sim.asking.people import Asker, unfinished

if TYPE_CHECKING:
    from tests.sim.market.clients import Market

REQUESTS = 3
"""Of a run, with luck: an account that does not come to it asks nothing."""
PATIENT_MS = 3_000
"""Of the time after healing in which new requests are still posted."""


class Machines:
    """`lane` is the one that they speak in."""

    def __init__(self, market: Market, lane: int) -> None:
        self.market, self.lane = market, lane
        rng = random.Random(market.world.seed * 13 + 1)
        ids = market.world.ids
        self.people = [Asker(identity, random.Random(f"{market.world.seed} asker {i}")) for i, identity in enumerate(ids)]
        self.people[0].owns = True
        for one in self.people:
            one.lies, one.silent = rng.choice((0.0, 0.0, 0.5)), rng.choice((0.0, 0.0, 0.3))
        for _ in range(REQUESTS):
            rng.choice(self.people[1:] or self.people).asks += 1

    def tick(self, state: State) -> None:
        market, clock = self.market, chain_record(state).clock
        if market.world.healed:
            for one in self.people:
                one.asks = min(one.asks, one.asked)
                one.fidgets = 0.0
        for machine, one in enumerate(self.people):
            if market.is_busy(machine, self.lane):
                continue
            message = one.say(state, clock)
            if message is not None:
                market.world.faults[f"prediction: {type(message).__name__}"] += 1
                market.send(state, machine, self.lane, message)

    def unfinished(self, state: State) -> int:
        return unfinished(state)
