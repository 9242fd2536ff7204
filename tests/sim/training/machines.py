"""The accounts of a run's machines train together, in the seeds that draw it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from tests.sim.training.people import Trainer, live

if TYPE_CHECKING:
    from tests.sim.market.clients import Market


class TrainingMachines:
    """`lane` is the one that they speak in."""

    def __init__(self, market: Market, lane: int) -> None:
        self.market, self.lane = market, lane
        rng = random.Random(market.world.seed * 17 + 3)
        ids = market.world.ids
        self.people = [Trainer(identity, random.Random(f"{market.world.seed} trainer {i}")) for i, identity in enumerate(ids)]
        self.people[0].opens = rng.choice((1, 1, 2))
        for one in self.people:
            one.lies, one.silent = rng.choice((0.0, 0.0, 0.5)), rng.choice((0.0, 0.0, 0.3))

    def tick(self, state: State) -> None:
        market, clock = self.market, chain_record(state).clock
        for machine, one in enumerate(self.people):
            if market.world.healed:
                one.opens = 0
            if market.is_busy(machine, self.lane):
                continue
            message = one.say(state, clock)
            if message is not None:
                market.world.faults[f"federation: {type(message).__name__}"] += 1
                market.send(state, machine, self.lane, message)

    def unfinished(self, state: State) -> int:
        return len(live(state))
