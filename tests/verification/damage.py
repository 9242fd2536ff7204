"""What verdicts take from claimants, and what they take from the contractor meanwhile: counted in random graphs.

The graphs are the second settlement's (`tests.settlement`), which the product's handlers are compared with: evaluators that lie,
scatter, accuse or cannot be repeated, colluding and silent seats, small pools, hidden data, suspensions and bans under way.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.settlement.generate import Player
from tests.settlement.properties import Checker


@dataclass(slots=True)
class Damage:
    """Micro-credits; `most` is the greatest of what one job's verdicts took beyond what they cost its contractor."""

    jobs: int = 0
    against: int = 0
    """Jobs with a verdict that took a stake."""
    taken: int = 0
    burned: int = 0
    fees: int = 0
    """Paid in those jobs, or burned."""
    most: int = 0

    def add(self, player: Player, checker: Checker) -> None:
        graph = player.graph
        for job in graph.jobs.values():
            self.jobs += 1
            claims = [claim for claim in job.claims.values() if (job.id, claim.who) in checker.against]
            if not claims or graph.accounts[job.poster].banned:
                continue
            flows = checker.flows.get(job.id, [])
            taken = sum(claim.stake for claim in claims)
            burned = sum(flow.amount for flow in flows if flow.purpose == b"G" and flow.to is None)
            self.against += 1
            self.taken += taken
            self.burned += burned
            self.fees += sum(flow.amount for flow in flows if flow.purpose == b"F" and flow.to != job.poster)
            self.most = max(self.most, taken - burned)


def play(first: int, seeds: int) -> Damage:
    """The seeds from `first` on; every property of the second settlement is looked at after every block."""
    damage = Damage()
    for seed in range(first, first + seeds):
        checker = Checker()
        player = Player(seed, watch=checker)
        player.run()
        damage.add(player, checker)
    return damage
