"""Claims without a stake that nobody can beat, and that are false: they would crowd out everybody who has something to lose."""

from __future__ import annotations

from learningchain.chain.ledger.state import State
from tests.sim.market.cheats.base import Cheat
from tests.sim.market.engine import model_of


class Shill(Cheat):
    @staticmethod
    def members(machines: int) -> int:
        return 4

    def tick(self, state: State, clock: int) -> None:
        for job, _, _ in self.open_jobs(state, clock):
            if self.alive(state) and self.rng.random() < 0.4:
                loss = 10**6 * (1 + self.number) + self.rng.randrange(10**5)
                data = model_of(900_000_000, f"{self.name} {self.number}")
                self.claim(state, job, loss, data, label="stakeless claim", stake=False)
        for job in list(self.made):
            self.reveal(state, job, clock)
