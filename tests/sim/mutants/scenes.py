"""Where mutants show soon: profiles and worlds with much of what a mutant breaks in them. The real node is good in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import permutations
from unittest import mock

from learningchain.chain.node.events import REQUESTS
from learningchain.chain.node.service import AnswerLimit
from learningchain.chain.node.space import MIN_CHARGE
from learningchain.chain.node.token_bucket import Rate
from tests.sim.asking.world import PROFILE as ASKING
from tests.sim.asking.world import LeftOverWorld, RoughAskingWorld
from tests.sim.attacks.table import BY_NAME, NAMES
from tests.sim.council import PROFILE as COUNCIL
from tests.sim.council import CouncilWorld
from tests.sim.fence import PATCH, FenceWorld
from tests.sim.machine import Machine
from tests.sim.market import Market
from tests.sim.mutants.impersonator import Impersonator
from tests.sim.mutants.lawbreaker import Lawbreaker
from tests.sim.mutants.rough import QUIET, OutcastWorld, RestlessWorld, RoughWorld
from tests.sim.profile import Link, Mishap, Partition, Profile, draw
from tests.sim.training.celled import PROFILE as CELLED
from tests.sim.training.celled import CelledTrainingWorld
from tests.sim.training.rough import PROFILE as TRAINING
from tests.sim.training.rough import RoughTrainingWorld
from tests.sim.world import World

_ATTACKS = BY_NAME | {attack.name: attack for attack in (Impersonator, Lawbreaker)}


class CrowdedWorld(World):
    """Honest clients alone send more than mempools hold here."""

    def __init__(self, seed: int, profile: Profile, attacks: Mapping[str, type[Machine]]) -> None:
        super().__init__(seed, profile, attacks)
        self.checks.roomy = False


class KeysWorld(World):
    """Keys change all the time."""

    def clients(self) -> Market:
        market = Market(self)
        market.rotations.force()
        return market


@dataclass(frozen=True)
class Scene:
    """`profile` None: the one drawn by the seed. `limits`: smaller ones, so that a short run reaches them."""

    profile: Profile | None = None
    world: type[World] = World
    limits: tuple[tuple[str, object], ...] = ()

    def make(self, seed: int) -> World:
        return self.world(seed, self.profile or draw(seed, NAMES), _ATTACKS)

    @contextmanager
    def tight(self) -> Iterator[None]:
        with ExitStack() as stack:
            for where, limit in self.limits:
                stack.enter_context(mock.patch(where, limit))
            yield


_EVERY = tuple((at, -1) for at in range(800, 9_000, 800))
_POWER = Profile(validators=1, heal_at=9_000, crashes=_EVERY, transfers=90, writer=(300, 900))
"""Whoever decides alone and commits late, and loses its power again and again."""
_STORM = Profile(heal_at=3_000, loss=0.15, crashes=tuple((at, at // 97 % 4) for at in range(100, 3_000, 97)), delay=30)
_RESTARTS = tuple((at, at // 150 % 4) for at in range(600, 8_000, 150))
_OLD = tuple(Mishap(when, "old log", when // 400 % 2, 300) for when in range(400, 4_000, 400))
"""The log of a machine is put back to what it was."""
_FALLING = ((400, 0), (900, 1), (1_500, 2))

_DEAF = tuple(Link(1_000, 6_000, victim, flooder, True) for victim in range(5) for flooder in (5, 6))
"""Flooders that take nothing for a while."""
_ASKED = Profile(validators=7, attacks=("flooder", "flooder"), transfers=60, heal_at=6_000, job=False, links=_DEAF)
_SCARCE = ("learningchain.chain.node.service.READS", AnswerLimit(Rate(2, 4), REQUESTS, 4_000))

_LATE = tuple((2_500, machine) for machine in (0, 4, 6))
"""Machines that catch up by certificates and roots."""

SCENES = {
    "": Scene(),
    "council": Scene(COUNCIL, CouncilWorld),
    "deaf": Scene(Profile(heal_at=8_000, loss=0.55, transfers=20, delay=60, job=False)),
    "stormy": Scene(_STORM),
    "power cuts": Scene(_POWER),
    "restarts": Scene(Profile(heal_at=8_000, crashes=_RESTARTS, transfers=90, writer=(900,), delay=40, job=False)),
    "old logs": Scene(Profile(heal_at=4_000, loss=0.2, mishaps=_OLD, delay=30)),
    "lossy": Scene(Profile(heal_at=4_000, loss=0.35, delay=60, transfers=10)),
    "slow": Scene(
        Profile(slow=tuple((a, b, 600) for a, b in permutations(range(5), 2)), job=False, transfers=2),
        limits=(("learningchain.chain.consensus.votes.KEEP_ROUNDS", 1),),
    ),
    "one that never speaks": Scene(Profile(attacks=("silent",), transfers=20, job=False)),
    "two votes": Scene(Profile(attacks=("double voter",), loss=0.05, job=False)),
    "flood": Scene(
        Profile(attacks=("flooder",), job=False),
        limits=(("learningchain.chain.node.relay.MAX_OF_PEER", 600), ("learningchain.chain.consensus.votes.KEEP_ROUNDS", 1)),
    ),
    "questions": Scene(_ASKED, limits=(_SCARCE, ("learningchain.chain.node.service.MAX_READS", 1))),
    "questions of two": Scene(_ASKED, limits=(_SCARCE, ("learningchain.chain.node.service.ALL_READS", Rate(3, 6)))),
    "false names": Scene(Profile(attacks=("impersonator",), transfers=20, job=False)),
    "false evidence": Scene(Profile(attacks=("evidence forger",), job=False)),
    "forged certificates": Scene(Profile(attacks=("certificate forger",), job=False)),
    "lying sync": Scene(Profile(attacks=("liar",), loss=0.2, crashes=_FALLING)),
    "lying outcomes": Scene(Profile(attacks=("liar",), observers=3, joins=_LATE, heal_at=4_000, transfers=60, job=False)),
    "lying snapshots": Scene(
        Profile(attacks=("liar",), observers=2, joins=((3_000, 2), (3_500, 5)), heal_at=5_000, transfers=40, job=False)
    ),
    "lying relay": Scene(Profile(attacks=("liar",), loss=0.3, transfers=20, job=False)),
    "bad proposer": Scene(Profile(attacks=("bad proposer",), transfers=60, job=False)),
    "illegal transactions": Scene(Profile(attacks=("lawbreaker",), transfers=60, job=False)),
    "crowd": Scene(
        Profile(transfers=40, job=False, partitions=(Partition(0, 3_000, frozenset({0, 1}), False),)),
        world=CrowdedWorld,
        limits=(("learningchain.chain.node.space.LIMITS", (2 * MIN_CHARGE, 4 * MIN_CHARGE, 5 * MIN_CHARGE, 6 * MIN_CHARGE)),),
    ),
    "hoarder": Scene(Profile(attacks=("hoarder",), transfers=40, job=False, loss=0.05)),
    "filler": Scene(Profile(attacks=("filler",), transfers=60, job=False)),
    "keys": Scene(Profile(transfers=60, job=False, heal_at=6_000, attacks=("silent",), eager=0.1), KeysWorld),
    "rough market": Scene(QUIET, RoughWorld),
    "comings and goings": Scene(QUIET, RestlessWorld),
    "outcasts": Scene(QUIET, OutcastWorld),
    "predictions": Scene(ASKING, RoughAskingWorld),
    "left over judges": Scene(ASKING, LeftOverWorld),
    "federations": Scene(TRAINING, RoughTrainingWorld),
    "cells": Scene(CELLED, CelledTrainingWorld),
    "broken contract": Scene(Profile(transfers=40), FenceWorld, (PATCH,)),
}
