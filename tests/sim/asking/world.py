"""A graph of its own for predictions: one or two validators, and members without machines that own, serve, ask and cheat."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from learningchain.chain.ledger.genesis import Genesis, GenesisAccount
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.types import Evidence
from tests.network import genesis as network_genesis
from tests.sim.asking.chair import Chair
from tests.sim.asking.cheats.table import CHEATS
from tests.sim.asking.checks import AskingChecks
from tests.sim.asking.member import MemberAsking
from tests.sim.asking.people import models, unfinished
from tests.sim.checks import EPOCH
from tests.sim.machine import Machine
from tests.sim.market import Market
from tests.sim.market.outsider import Desk
from tests.sim.profile import PARAMS, Profile
from tests.sim.world import GRANT, World, _key

TICK = 120
"""Milliseconds between two looks of the members."""
HEAL = 2_500
PROFILE = Profile(validators=1, observers=0, transfers=0, job=False, heal_at=HEAL)


@dataclass(frozen=True)
class AskingPlan:
    servers: int = 6
    requesters: int = 2
    requests: int = 3
    """Of each requester."""
    judges: int = 0
    """Members that are verifiers and serve nothing."""
    cheats: tuple[str, ...] = ()
    mixed: bool = False
    """Requesters serve, too."""
    bans: int = 0
    """Servers that the validator has banned while they sit, at most."""
    quiet: bool = False
    """Honest members make no mistakes and change nothing beside."""


def draw(seed: int) -> AskingPlan:
    r = random.Random(f"asking {seed}")
    chosen = tuple(r.sample(sorted(CHEATS), r.choice((0, 1, 1, 2))))
    drawn = (r.choice((3, 5, 6, 9)), r.choice((1, 2, 3)), r.choice((2, 4)), r.choice((0, 4, 16)))
    return AskingPlan(*drawn, chosen, bans=r.choice((0, 0, 1, 2)))


class AskingWorld(World):
    patience = 40_000

    def __init__(
        self,
        seed: int,
        profile: Profile | None = None,
        attacks: Mapping[str, type[Machine]] | None = None,
        plan: AskingPlan | None = None,
    ) -> None:
        self.seed, self.plan = seed, plan or draw(seed)
        self.acts: Counter[str] = Counter()
        """What members tried, and what came of it."""
        self.codes: dict[bytes, int] = {}
        self.owner = MemberAsking(self, "owner", 0)
        self.owner.asker.owns, self.owner.asker.serves = True, False
        self.servers = [self._honest("server", i) for i in range(self.plan.servers)]
        self.requesters = [self._honest("requester", i) for i in range(self.plan.requesters)]
        self.judges = [self._honest("judge", i) for i in range(self.plan.judges)]
        for one in (*self.requesters, *self.judges):
            one.asker.serves = self.plan.mixed and one in self.requesters
        for one in self.requesters:
            one.asker.asks = self.plan.requests
        self.cheats = [CHEATS[name](self, name, number) for name in self.plan.cheats for number in range(CHEATS[name].count)]
        self.members: list[MemberAsking] = [self.owner, *self.servers, *self.requesters, *self.judges, *self.cheats]
        self.chair = Chair(self, self.plan.bans)
        super().__init__(seed, profile or PROFILE, attacks or {})
        self.checks: AskingChecks = AskingChecks(self)
        self.desk = Desk(self)  # type: ignore[arg-type]
        self.names = {one.id: f"{one.name} {one.number}" for one in self.members}

    def _honest(self, name: str, number: int) -> MemberAsking:
        found = MemberAsking(self, name, number)
        found.asker.fidgets = 0.0 if self.plan.quiet else 0.15 if self.plan.mixed else 0.05
        return found

    def genesis(self) -> Genesis:
        able = [*self.servers, *self.judges, *(self.requesters if self.plan.mixed else ())]
        flagged = {one.id for one in (*able, *(one for one in self.cheats if one.verifier))}
        accounts = [GenesisAccount(_key(i).public, GRANT, i < self.profile.validators, False) for i in range(self.profile.machines)]
        accounts += [GenesisAccount(one.key.public, GRANT, False, one.id in flagged) for one in self.members]
        return _genesis(tuple(accounts))

    def clients(self) -> Market:
        return Members(self)


@cache
def _genesis(accounts: tuple[GenesisAccount, ...]) -> Genesis:
    return network_genesis("asking", EPOCH, PARAMS, list(accounts))


ROUGH = AskingPlan(
    servers=4,
    requesters=3,
    requests=6,
    judges=3,
    cheats=("colluding servers", "copying server", "flooding requester", "withholding server"),
    mixed=True,
)


class RoughAskingWorld(AskingWorld):
    """Everybody at once, and much beside: where a broken rule shows soon."""

    def __init__(self, seed: int, profile: Profile | None = None, attacks: Mapping[str, type[Machine]] | None = None) -> None:
        super().__init__(seed, profile, attacks, ROUGH)


class LeftOverWorld(AskingWorld):
    """Six serve, four others judge with one lie: most of the judges of a small draw, and less than half of all who answer."""

    def __init__(self, seed: int, profile: Profile | None = None, attacks: Mapping[str, type[Machine]] | None = None) -> None:
        super().__init__(seed, profile, attacks, AskingPlan(requests=6, cheats=("left over judges",), quiet=True))


class Members(Market):
    """All members, as the clients of the world."""

    world: AskingWorld

    def tick(self) -> None:
        world = self.world
        world.later(TICK, self.tick)
        up = [m for m in world.machines if m.up and m.honest]
        if not up:
            return
        best = max(up, key=lambda m: m.node.height)
        state = best.node.state
        for one in world.members:
            if world.healed:
                one.asker.fidgets = 0.0
            one.tick(state, chain_record(state).clock)
        world.chair.tick(state, chain_record(state).clock)
        world.desk.tick(state)
        self.requests = unfinished(state)

    def unfinished(self) -> str:
        """Every requester has asked what it wanted, and every request has ended."""
        world = self.world
        for one in world.requesters:
            state = max(world.machines, key=lambda m: m.node.height if m.up else -1).node.state
            if one.asker.asked < one.asker.asks and any(True for _ in models(state)):
                return f"{one.name} {one.number} has asked {one.asker.asked} of {one.asker.asks}"
        return f"{self.requests} requests have not ended" if self.requests or world.desk.offers else ""

    def report(self, machine: Machine, evidence: Evidence) -> None:
        raise AssertionError("nobody signs twice here")
