"""What must hold in the market, looked at after every decided height, on top of what must hold in every run.

A height is looked at once, on the first honest machine that has it: equal state roots are checked elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.job import records, store
from learningchain.chain.contracts.job.messages import CommitVote, OpenVote, Reveal
from learningchain.chain.contracts.job.records import Job, Posting, Result
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.host import BANNED
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.node import events as e
from learningchain.chain.types import Event, Receipt, TransferEvent
from learningchain.client.contracts.job.roles.verifier import Verifier
from learningchain.client.contracts.job.roles.worker import Worker
from learningchain.client.work.engine import MAX_RUNS
from tests.sim.checks import Checks, Violation
from tests.sim.market.books import Books, holds
from tests.sim.market.losses import Losses
from tests.sim.market.verdicts import Verdicts
from tests.sim.world import GRANT
from tests.unit.work_kit import machine

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.market.graph import MarketWorld

PER_JOB = 12
"""Tasks or intents that a live job may cost a worker at a time."""
SPARE = 24
LIARS = frozenset(("liar at random", "liar by clock", "liar by machine", "liar exiting 75", "liar near"))
LOSERS = frozenset(("colluding contractors", "copier", "false loss", "puppeteer", "racer", "shills", "spammer")) | LIARS
"""Cheats that never do anything that is worth a credit."""


class MarketChecks(Checks):
    world: MarketWorld

    def __init__(self, world: MarketWorld) -> None:
        super().__init__(world)
        self.books = Books()
        self.verdicts = Verdicts(world)
        self.losses = Losses(world, self.verdicts)
        self._events: dict[int, list[Event]] = {}
        self._looked = 0
        self._banned: set[bytes] = set()
        self._said: dict[tuple[Any, ...], bytes] = {}

    def committed(self, machine: Machine, c: e.Commit) -> None:
        super().committed(machine, c)
        if c.height <= self._looked or c.height in self._events:
            return
        self.world.heard(c.block)
        receipts = [decode(Receipt, raw, 10**7) for raw in c.receipts]
        self._events[c.height] = [event for receipt in receipts for event in receipt.events]
        for receipt in receipts[1:]:
            self.world.codes[receipt.tx] = receipt.code

    def stepped(self, machine: Machine) -> None:
        super().stepped(machine)
        if machine.honest and machine.up and machine.node.height > self._looked:
            self._look(machine)

    def _look(self, machine: Machine) -> None:
        state = machine.node.state
        while self._looked < machine.node.height:
            self._looked += 1
            try:
                events = self._events.pop(self._looked)
                for event in events:
                    self._posted(event, state)
                for event in events:
                    self._event(event, state)
            except Violation as fault:
                self._fail(machine, f"height {self._looked}: {fault}")
        try:
            self.books.check(state)
            self.losses.check(state)
            self._deadlines(state)
            self._outcasts(state)
        except Violation as fault:
            self._fail(machine, f"after height {self._looked}: {fault}")
        self._bounded(len(state.keys(b"j/")))

    def said(self, machine: Machine, raw: bytes) -> None:
        """A worker offers a transaction: whatever it was through, it never says two things where one is asked for."""
        for op in parse_tx(raw).ops:
            if isinstance(op, CommitVote | OpenVote):
                column = (op.candidate, op.hidden) if isinstance(op, OpenVote) else ()
                place: tuple[Any, ...] = (machine.index, type(op), op.job, op.audit, op.round, *column)
                op = _without_head(op)
            elif isinstance(op, Reveal):
                place = (machine.index, type(op), op.job)
            else:
                continue
            if self._said.setdefault(place, encode(op)) != encode(op):
                self._fail(machine, f"it contradicts itself: another {type(op).__name__} on job {op.job.hex()[:8]}")

    # --- events -----------------------------------------------------------------------------------------------------------------

    def _posted(self, event: Event, state: State) -> None:
        """The credits of a new job move before the job is told of."""
        if isinstance(event, TransferEvent) or event.topic != "job.posted":
            return
        posting = state.get(records.posting_key(event.ref))
        if not isinstance(posting, Posting):
            raise Violation("a job that was posted is not there")
        self.world.postings[event.ref] = posting
        self.books.posted(event.ref, posting)

    def _event(self, event: Event, state: State) -> None:
        if isinstance(event, TransferEvent):
            self.books.moved(event, state)
            self.losses.moved(event)
            if event.reason == "fee" and event.target:
                self.world.acts[f"fee to {'honest' if event.target in self.world.honest_ids else 'dishonest'}"] += 1
            return
        if event.topic == "verdict":
            self.verdicts.judged(event, state)
        self.losses.told(event)
        if event.topic in ("strike", "suspended", "banned"):
            struck = event.topic == "strike"
            why, job = (str(event.data[0]), bytes(event.data[1])) if struck else ("", b"")
            self._punished(event.topic, event.ref, why, job)
        elif event.topic in ("paid", "refunded", "empty"):
            self.world.acts[f"job {event.topic}"] += 1

    def _punished(self, how: str, who: bytes, why: str, job: bytes) -> None:
        world = self.world
        honest = who in world.honest_ids
        world.acts[f"{how} {'honest' if honest else 'dishonest'} {why}".strip()] += 1
        if how == "banned":
            self._banned.add(who)
        self.losses.punished(how, who, why, job)

    # --- states -----------------------------------------------------------------------------------------------------------------

    def _deadlines(self, state: State) -> None:
        """Deadlines are dealt with before anything else of a block: none can be past, and now only where nothing is waited for."""
        clock, height = chain_record(state).clock, chain_record(state).height
        for job in self.books.jobs:
            record = state.get(records.job_key(job))
            if not isinstance(record, Job) or not record.deadline:
                continue
            if record.state == JobState.DRAW:
                if record.draw_height <= height:
                    raise Violation(f"job {job.hex()[:8]} was to be drawn at height {record.draw_height}, this is {height}")
            elif record.deadline < clock or (record.deadline == clock and not _all_spoke(state, job, record)):
                raise Violation(f"job {job.hex()[:8]} in state {JobState(record.state).name} is {clock - record.deadline} ms late")

    def _outcasts(self, state: State) -> None:
        for who in sorted(self._banned):
            status, credits = holds(state, who)
            if status != BANNED or credits:
                raise Violation(f"{self.world.name_of(who)} is banned and holds {credits}")

    def _bounded(self, live: int) -> None:
        """Queues and memory of every worker, in proportion to the jobs that live. Some that just ended are being forgotten."""
        world = self.world
        for index in sorted(world.actors):
            actor = world.actors[index]
            if actor.work is None or not actor.work._started or actor.loop is None:
                continue
            work = actor.work
            most = PER_JOB * live + SPARE
            bounds = (
                ("tasks", len(work._tasks.all), most),
                ("intents under way", work._outbox.waiting, most),
                ("remembered runs", len(work.run_log._runs), MAX_RUNS),
                ("tasks of the loop", actor.loop.pending, 2 * most),
                ("containers", actor.engine.running, actor.config.concurrent + 1),
                ("seats", len(work._tasks.scopes) + len(machine(work, Verifier)._duties), 2 * live + SPARE),
                ("races", len(machine(work, Worker)._progress_of), live + SPARE),
            )
            for name, size, limit in bounds:
                if size > limit:
                    raise Violation(f"n{index} at {world.now} ms: {size} {name}, at most {limit} allowed")

    def final(self) -> None:
        if not self.verdicts.outvoted and not self.losses.residual:  # beyond what the contract promises: see verdicts.py
            super().final()
        machine = self.world.honest[0]
        state = machine.node.state
        self.books.settled(state)
        self.losses.over(state)
        self._nobody_gained(machine, state)
        for job in self.books.jobs:
            record: Any = state.get(records.job_key(job))
            if record.winner and record.state != JobState.PAID:
                self._fail(machine, "a winner that was not paid")
            self.world.acts[f"ended {JobState(record.state).name}"] += 1
            for index in range(record.claimants):
                claim: Any = state.get(records.claim_key(job, index))
                self.world.acts[f"claim {Result(claim.result).name}"] += 1
                if claim.claimed >= self.world.postings[job].terms.expiry:
                    self._fail(machine, "a claim after the expiry stands")

    def _nobody_gained(self, machine: Machine, state: State) -> None:
        """Who only cheats ends with no more than it had, where no false claim passed."""
        world = self.world
        if world.acts["verdict on a false claim: OK"]:
            return
        for name in sorted(set(world.plan.cheats) & LOSERS):
            members = [cheat for cheat in world.cheats if cheat.name == name]
            wealth = sum(holds(state, cheat.id)[1] for cheat in members)
            if wealth > GRANT * len(members):
                self._fail(machine, f"{name} gained {wealth - GRANT * len(members)}")
            world.acts[f"{name}: lost credits"] += wealth < GRANT * len(members)


def _without_head(op: CommitVote | OpenVote) -> CommitVote | OpenVote:
    """Ballots and salt go with whichever column comes first."""
    return msgspec.structs.replace(op, ballots=[], salt=b"") if isinstance(op, OpenVote) else op


def _all_spoke(state: State, job: bytes, record: Job) -> bool:
    """LC-JOB-22, 24, 25: the last message makes the deadline now, and the next block carries it out."""
    if record.state == JobState.REVEAL:
        return record.revealed == record.claimants
    if record.state == JobState.COMMIT:
        return record.committed == len(store.read_round(state, job, record.audit, record.round).voters)
    return record.state == JobState.COUNT and record.opened == record.committed
