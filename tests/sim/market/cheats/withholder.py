"""Wins the race and keeps its model: it never reveals, reveals and serves nobody, serves one machine, or serves other bytes."""

from __future__ import annotations

from typing import Any

from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.engine import model_of

WAYS = ("silent", "unserved", "served to one", "other bytes")


class ModelWithholder(Cheat):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.way = WAYS[self.world.seed % len(WAYS)]

    def tick(self, state: State, clock: int) -> None:
        if not self.alive(state):
            return
        for job, _, _ in self.open_jobs(state, clock):
            if self.rng.random() < 0.3:
                loss = self.rng.randrange(10**6, 10**7)
                self.claim(state, job, loss, model_of(loss, self.name), label=f"claim, {self.way}")
        for job in list(self.made):
            if self.way != "silent":
                self.reveal(state, job, clock)

    def serve(self, asking: int, name: str) -> bytes | None:
        data = self.held.get(name)
        if data is None or (self.way == "served to one" and asking == 0):
            return data
        self.count(f"asked for its model, {self.way}")
        return b"other bytes" if self.way == "other bytes" else None
