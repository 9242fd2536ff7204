"""The simulated graph as a market: real workers and verifiers on the machines, contractors and cheaters beside them."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.messages import OpenVote, Reveal
from learningchain.chain.contracts.job.records import ENDED, Job, Posting
from learningchain.chain.contracts.membership import Case, case_key
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.types import Evidence, decode_block
from learningchain.client.work import WorkConfig
from tests.network import genesis as network_genesis
from tests.sim.checks import EPOCH, Violation
from tests.sim.machine import Machine
from tests.sim.market import Market
from tests.sim.market.checks import MarketChecks
from tests.sim.market.content import Web
from tests.sim.market.contractor import Contractor
from tests.sim.market.node import WorkActor
from tests.sim.market.outsider import Desk, Outsider
from tests.sim.market.plan import PARAMS, Plan
from tests.sim.world import GRANT, World, _key

Attacks = Mapping[str, type[Machine]]
TICK = 250
"""Milliseconds between two looks of the outsiders."""


class MarketWorld(World):
    patience = 150_000

    def __init__(
        self, seed: int, plan: Plan, folder: Path, attacks: Mapping[str, type[Machine]], cheats: Mapping[str, type[Outsider]]
    ) -> None:
        self.seed, self.plan, self.folder = seed, plan, folder
        self.web = Web(self)
        self.acts: Counter[str] = Counter()
        """What outsiders tried, and what came of it."""
        self.codes: dict[bytes, int] = {}
        """Receipt codes of all transactions."""
        self.postings: dict[bytes, Posting] = {}
        """Every job that was posted."""
        self.actors: dict[int, WorkActor] = {}
        self.contractors = [Contractor(self, "contractor", number) for number in range(1 + max(job.by for job in plan.jobs))]
        n = plan.profile.machines
        self.cheats = [cheats[name](self, name, number) for name in plan.cheats for number in range(cheats[name].members(n))]
        self.reveals: dict[tuple[bytes, bytes], Reveal] = {}
        """By job and claimant: what those who listen heard."""
        self.opened: dict[tuple[bytes, int, int, bytes], OpenVote] = {}
        """By seat."""
        self.lied: dict[str, set[bytes]] = defaultdict(set)
        """Contractors whose programs lied about somebody's models, by its name."""
        self.outsiders: list[Outsider] = [*self.contractors, *self.cheats]
        super().__init__(seed, plan.profile, attacks)
        self.checks: MarketChecks = MarketChecks(self)
        self.desk = Desk(self)
        self.honest_ids = {m.id for m in self.machines if m.honest} | {o.id for o in self.outsiders if o.honest}
        self.names = {m.id: f"n{m.index}" for m in self.machines} | {o.id: f"{o.name} {o.number}" for o in self.outsiders}
        self.web.outsiders = [(outsider.gateway, outsider.serve) for outsider in self.outsiders]

    def genesis(self) -> Genesis:
        n = self.plan.profile.validators
        accounts = [GenesisAccount(_key(i).public, GRANT, i < n, True) for i in range(self.plan.profile.machines)]
        accounts += [GenesisAccount(o.key.public, GRANT, False, o.verifier) for o in self.outsiders]
        return _genesis(tuple(accounts))

    def _machine(self, index: int) -> Machine:
        machine = super()._machine(index)
        if machine.honest:
            works = index >= self.plan.profile.machines - self.plan.workers
            config = WorkConfig(enabled=works, min_time_left_s=1, attempts=self.plan.attempts, judge=self.plan.judge)
            self.actors[index] = WorkActor(machine, self, config)
            machine.actors.append(self.actors[index])
        return machine

    def clients(self) -> Market:
        return Outside(self)

    def name_of(self, identity: bytes) -> str:
        return self.names.get(identity, identity.hex())

    def lies(self, posting: Posting) -> bool:
        """Whether the evaluation that was posted does not say what it finds."""
        return posting.terms.image.reference.split("@")[0] in self.web.programs

    def logged(self, level: str, event: MutableMapping[str, Any]) -> None:
        """What the product logs goes into the trace; what it calls a fault of its own is one."""
        loop: Any = asyncio.events._get_running_loop()
        index = getattr(loop, "owner", -1)
        problem = event.pop("exc_info", None)
        shown = ", ".join(f"{name}={value}" for name, value in event.items() if name not in ("event", "path"))
        self.note(index, f"log: {event.get('event')} {shown}", b"")
        if problem is not None:
            raise_from = sys.exc_info()[1] if problem is True else problem
            raise Violation(f"n{index} at {self.now} ms: {event.get('event')}: {raise_from!r}") from raise_from

    def heard(self, block: bytes) -> None:
        """For those who read others' transactions."""
        if not any(outsider.listens for outsider in self.outsiders):
            return
        for tx in (parse_tx(raw) for raw in decode_block(block).txs):
            for op in tx.ops:
                if isinstance(op, Reveal):
                    self.reveals[op.job, tx.body.sender] = op
                elif isinstance(op, OpenVote) and op.ballots:
                    self.opened[op.job, op.audit, op.round, tx.body.sender] = op

    def work_fault(self, machine: Machine, text: str, problem: BaseException | None) -> None:
        """Something in worker, verifier or outbox went wrong that nobody expected."""
        raise Violation(f"n{machine.index} at {self.now} ms: {text}: {problem!r}")

    def close(self) -> None:
        for index in sorted(self.actors):
            self.actors[index].stop()
        super().close()


@cache
def _genesis(accounts: tuple[GenesisAccount, ...]) -> Genesis:
    return network_genesis("market", EPOCH, PARAMS, list(accounts))


class Outside(Market):
    """All outsiders, as the clients of the world."""

    world: MarketWorld

    def __init__(self, world: MarketWorld) -> None:
        super().__init__(world)
        self.best = world.genesis_state
        self._reporters: dict[int, Outsider] = {}

    def tick(self) -> None:
        world = self.world
        world.later(TICK, self.tick)
        up = [m for m in world.machines if m.up and m.honest]
        if not up:
            return
        best = max(up, key=lambda m: m.node.height)
        state, clock = best.node.state, best.node.clock(best.wall)
        for outsider in world.outsiders:
            if outsider.verifier:
                outsider.declare(state)
            outsider.tick(state, clock)
        world.desk.tick(state)

    def unfinished(self) -> str:
        """What is still to be done; empty when every job is settled and every worker has forgotten it."""
        world = self.world
        jobs = [job for contractor in world.contractors for job in contractor.jobs()]
        if len(jobs) < len(world.plan.jobs):
            return f"{len(jobs)} of {len(world.plan.jobs)} jobs are posted"
        up = [m for m in world.machines if m.up and m.honest]
        if not up:
            return "nobody is up"
        state = max(up, key=lambda m: m.node.height).node.state
        for job in world.postings:
            record = state.get(records.job_key(job))
            if not isinstance(record, Job) or record.state not in ENDED:
                return f"a job is in state {record.state if isinstance(record, Job) else None}"
        for identity in world.names:
            if isinstance(state.get(case_key(identity)), Case):
                return f"the case of {world.names[identity]} is open"
        for index in sorted(world.actors):
            if busy := world.actors[index].busy:
                return f"n{index} has not done with its work: {busy}"
            if left := world.actors[index].leftovers():
                return f"n{index} keeps of jobs that ended: {', '.join(left)}"
        return ""

    def report(self, machine: Machine, evidence: Evidence) -> None:
        self.world.note(machine.index, "evidence", b"")
        self.world.faults["evidence"] += 1
