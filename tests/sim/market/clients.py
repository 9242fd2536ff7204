"""Clients: they transfer credits and carry a job through its life, honestly, through whatever node answers.

A client looks at the most advanced node's state, signs one message at a time per lane, and offers it again to a random node until
its sequence is used. Transfers come in bursts whose parts enter at different nodes, so gaps have to close.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from chain.codec import encode
from chain.contracts.credits import Transfer
from chain.contracts.job import records
from chain.contracts.job.duties import DueBallots, DueOpening, DueReveal, duties_in
from chain.contracts.job.messages import (
    Ballot,
    Claim,
    CommitVote,
    OpenVote,
    Reveal,
    claim_commitment,
    job_id_of,
    vote_commitment,
)
from chain.contracts.job.records import Job
from chain.contracts.job.records import JobState as JobState
from chain.contracts.job.rules import VoteCode
from chain.contracts.membership import ReportDouble
from chain.errors import InvalidTx
from chain.host import Account, account_key
from chain.ledger.state import State
from chain.ledger.transition import chain_record
from chain.ledger.tx import sign_tx
from chain.types import Evidence, TxBody, net_of, tx_id
from tests.unit.job_kit import cid_of, posting, sha

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

TICK = 60
OPEN_FOR = 900
TRANSFERS, JOBS, REPORTS = 0, 1, 2
"""Lanes."""
SALT = sha("salt")


@dataclass
class Offer:
    raw: bytes
    until: int
    message: Any
    again: int
    """When to offer it again."""


class Market:
    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(world.seed * 11 + 5)
        self.offers: dict[tuple[int, int, int], Offer] = {}
        """By machine, lane and sequence."""
        self.transfers = world.profile.transfers
        self.job = b""
        self.job_state: int | None = None if world.profile.job else JobState.EMPTY
        self.evidence: dict[int, list[Evidence]] = {}

    def unfinished(self) -> str:
        """What is still to be done; empty when the clients are content."""
        if self.transfers or any(lane == TRANSFERS for _, lane, _ in self.offers):
            return f"{self.transfers} transfers to come, {len(self.offers)} messages under way"
        if self.job_state not in records.ENDED:
            return f"the job is in state {self.job_state}"
        return ""

    def honest_offers(self) -> set[bytes]:
        """Ids of what clients of honest machines have under way."""
        return {tx_id(offer.raw) for (machine, _, _), offer in self.offers.items() if self.world.machines[machine].honest}

    # --- time -----------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.world.later(TICK, self.tick)
        up = [m for m in self.world.machines if m.up and m.honest]
        if not up:
            return
        best = max(up, key=lambda m: m.node.height)
        state = best.node.state
        self._forget(state)
        self._transfer(state)
        self._work(state)
        self._report(state)
        for key in sorted(self.offers):
            offer = self.offers[key]
            if offer.again <= self.world.now:
                offer.again = self.world.now + self.rng.randint(150, 500)
                self._offer(self.rng.choice(up), offer.raw, honest=self.world.machines[key[0]].honest)

    def _offer(self, machine: Machine, raw: bytes, *, honest: bool = False) -> None:
        self.world.note(machine.index, "submit", tx_id(raw))
        try:
            machine.submit(raw)
        except InvalidTx as fault:
            if honest:
                self.world.checks.client_refused(machine, fault)
            self.world.note(machine.index, f"refused {fault.code.name}", b"")

    def _forget(self, state: State) -> None:
        """Drop what is in the chain, sign again what ran out of time."""
        height = chain_record(state).height
        for key in sorted(self.offers):
            machine, lane, sequence = key
            offer = self.offers[key]
            if self._sequence(state, machine, lane) > sequence:
                del self.offers[key]
            elif offer.until <= height:
                self._sign(state, machine, lane, sequence, offer.message)

    def _sequence(self, state: State, machine: int, lane: int) -> int:
        account: Any = state.get(account_key(self.world.ids[machine]))
        return account.sequences[lane] if isinstance(account, Account) else 0

    def _busy(self, machine: int, lane: int) -> bool:
        return any(m == machine and at == lane for m, at, _ in self.offers)

    def _sign(self, state: State, machine: int, lane: int, sequence: int, message: Any) -> bytes:
        until = chain_record(state).height + 60
        body = TxBody(net_of(self.world.chain_id), self.world.ids[machine], lane, sequence, until, [msgspec.Raw(encode(message))])
        raw = sign_tx(self.world.machines[machine].key, self.world.chain_id, body)
        self.offers[machine, lane, sequence] = Offer(raw, until, message, self.world.now)
        return raw

    def _send(self, state: State, machine: int, lane: int, message: Any) -> bytes:
        return self._sign(state, machine, lane, self._sequence(state, machine, lane), message)

    # --- what clients do --------------------------------------------------------------------------------------------------------

    def _transfer(self, state: State) -> None:
        """A burst of a few transfers from one account."""
        if not self.transfers or self.rng.random() > self.world.profile.eager:
            return
        machine = self.rng.randrange(len(self.world.ids))
        if self._busy(machine, TRANSFERS):
            return
        first = self._sequence(state, machine, TRANSFERS)
        count = min(self.transfers, self.rng.randint(1, 4))
        self.transfers -= count
        target = self.world.ids[(machine + 1) % len(self.world.ids)]
        for sequence in range(first, first + count):
            self._sign(state, machine, TRANSFERS, sequence, Transfer(target, self.rng.randint(1, 99), b""))

    def _report(self, state: State) -> None:
        for machine in sorted(self.evidence):
            if self.evidence[machine] and not self._busy(machine, REPORTS):
                self._send(state, machine, REPORTS, ReportDouble(self.evidence[machine].pop(0)))

    def report(self, machine: Machine, evidence: Evidence) -> None:
        self.world.note(machine.index, "evidence", b"")
        self.world.faults["evidence"] += 1
        if machine.honest:
            self.evidence.setdefault(machine.index, []).append(evidence)

    # --- the job ----------------------------------------------------------------------------------------------------------------

    def _work(self, state: State) -> None:
        if self.job_state in records.ENDED:
            return
        contractor = self.world.profile.validators
        job = state.get(records.job_key(self.job)) if self.job else None
        if not isinstance(job, Job):
            if not self._busy(contractor, JOBS):
                clock = chain_record(state).clock
                raw = self._send(state, contractor, JOBS, posting(expiry=clock + OPEN_FOR + 400, eval_s=1, finalists=2))
                self.job = job_id_of(tx_id(raw), 0)
            return
        self.job_state = job.state
        clock = chain_record(state).clock
        for machine in range(self.world.profile.validators):
            if not self._busy(machine, JOBS):
                message = self._duty(state, job, machine, clock)
                if message is not None:
                    self._send(state, machine, JOBS, message)

    def _duty(self, state: State, job: Job, machine: int, clock: int) -> Any | None:
        identity = self.world.ids[machine]
        if job.state == JobState.OPEN:
            known = state.get(records.claimant_key(self.job, identity))
            return None if known is not None or machine > 2 else self._claim(machine)
        for duty in duties_in(state, self.job, identity, clock):
            if isinstance(duty, DueReveal):
                return Reveal(self.job, duty.claim, cid_of(machine), 1_000, SALT)
            if isinstance(duty, DueBallots | DueOpening):
                ballots = self._ballots(state, duty, identity)
                if isinstance(duty, DueOpening):
                    return OpenVote(self.job, duty.audit, duty.round, ballots, SALT)
                sealed = vote_commitment(self.world.chain_id, self.job, duty.audit, duty.round, identity, ballots, SALT)
                return CommitVote(self.job, duty.audit, duty.round, sealed)
        return None

    def _claim(self, machine: int) -> Claim:
        sealed = claim_commitment(self.world.chain_id, self.job, self.world.ids[machine], cid_of(machine)[4:], SALT)
        return Claim(self.job, self._loss(machine), sealed)

    def _ballots(self, state: State, duty: DueBallots | DueOpening, identity: bytes) -> list[Ballot]:
        seat: Any = state.get(records.seat_key(self.job, duty.audit, duty.round, identity))
        found = []
        for index in seat.candidates:
            claim: Any = state.get(records.claim_key(self.job, index))
            found.append(Ballot(VoteCode.OK, claim.loss, 77, 0, 0))
        return found

    @staticmethod
    def _loss(machine: int) -> int:
        return 1_000_000 - 10_000 * machine
