"""Clients: they transfer credits and carry a job through its life, honestly, through whatever node answers.

A client looks at the most advanced node's state, signs one message at a time per lane, and offers it again to a random node until
its sequence is used. Transfers come in bursts whose parts enter at different nodes, so gaps have to close.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job import records
from learningchain.chain.contracts.job.duties import DueBallots, DueOpening, DueReveal, duties_in
from learningchain.chain.contracts.job.messages import Claim, CommitVote, OpenVote, Reveal, claim_commitment, job_id_of
from learningchain.chain.contracts.job.records import Job
from learningchain.chain.contracts.job.records import JobState as JobState
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.contracts.membership.messages import SetCapacity
from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.crypto import SigningKey, account_id
from learningchain.chain.errors import InvalidTx
from learningchain.chain.host import Account, account_key
from learningchain.chain.host.terms import Arch, Capacity
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import Evidence, TxBody, net_of, tx_id
from tests.sim.asking.machines import Machines
from tests.sim.comings import Comings, Decisions
from tests.sim.market.rotations import Rotations
from tests.sim.market.sealed import Sealed
from tests.sim.training.machines import TrainingMachines
from tests.unit.job_kit import cid_of, posting, sha

if TYPE_CHECKING:
    from tests.sim.machine import Machine
    from tests.sim.world import World

TICK = 60
OPEN_FOR = 900
TRANSFERS, JOBS, REPORTS, COMINGS = 0, 1, 2, 3
"""Lanes."""
SALT = sha("salt")
EXAMPLES = 20
CAPACITY = Capacity(int(Arch.AMD64), 64_000, 65_536, 2**32, 2**32, 3_600)
"""What everybody's machine takes: more than any job asks for."""


@dataclass
class Offer:
    raw: bytes
    until: int
    message: Any
    again: int
    """When to offer it again."""
    key: bytes = b""
    """Public: whose signature it has."""


class Market:
    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = random.Random(world.seed * 11 + 5)
        self.offers: dict[tuple[int, int, int], Offer] = {}
        """By machine, lane and sequence."""
        self.transfers = world.profile.transfers
        self.job = b""
        self.job_state: int | None = None if world.profile.job else JobState.EMPTY
        self.asking = Machines(self, COMINGS) if world.profile.predictions else None
        self.training = TrainingMachines(self, COMINGS) if world.profile.federations else None
        self.federations = 0
        """That have not ended, at the last look."""
        self.requests = 0
        """That have not ended, at the last look."""
        self.evidence: dict[int, list[Evidence]] = {}
        self.rotations = Rotations(self)
        self.comings = Comings(world.seed, world.chain_id) if world.profile.comings else None
        self.gone: set[int] = set()
        """Machines whose accounts left, at the last look."""
        self.decisions = Decisions(world.seed) if world.profile.comings else None

    def unfinished(self) -> str:
        """What is still to be done; empty when the clients are content."""
        if self.transfers or any(lane == TRANSFERS for _, lane, _ in self.offers):
            return f"{self.transfers} transfers to come, {len(self.offers)} messages under way"
        if self.job_state not in records.ENDED:
            return f"the job is in state {self.job_state}"
        if self.requests:
            return f"{self.requests} requests have not ended"
        if self.federations:
            return f"{self.federations} federations have not ended"
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
        self.rotations.tick(state)
        self._come(state)
        if self.asking is not None:
            self.asking.tick(state)
            self.requests = self.asking.unfinished(state)
        if self.training is not None:
            self.training.tick(state)
            self.federations = self.training.unfinished(state)
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
            elif offer.until <= height or offer.key != self._public(state, machine):
                self._sign(state, machine, lane, sequence, offer.message)

    def _public(self, state: State, machine: int) -> bytes:
        """The key under which this one signs now."""
        return self.rotations.present(state, machine).public

    def _sequence(self, state: State, machine: int, lane: int) -> int:
        account: Any = state.get(account_key(self.world.ids[machine]))
        return account.sequences[lane] if isinstance(account, Account) else 0

    def _busy(self, machine: int, lane: int) -> bool:
        return any(m == machine and at == lane for m, at, _ in self.offers)

    def _sign(self, state: State, machine: int, lane: int, sequence: int, message: Any) -> bytes:
        until = chain_record(state).height + 60
        body = TxBody(net_of(self.world.chain_id), self.world.ids[machine], lane, sequence, until, [msgspec.Raw(encode(message))])
        key = self.rotations.present(state, machine)
        raw = sign_tx(key, self.world.chain_id, body)
        self.offers[machine, lane, sequence] = Offer(raw, until, message, self.world.now, key.public)
        return raw

    def _send(self, state: State, machine: int, lane: int, message: Any) -> bytes:
        return self._sign(state, machine, lane, self._sequence(state, machine, lane), message)

    def send(self, state: State, machine: int, lane: int, message: Any) -> None:
        self._send(state, machine, lane, message)

    def is_busy(self, machine: int, lane: int) -> bool:
        return self._busy(machine, lane)

    def forge(self, state: State, machine: int, lane: int, message: Any, key: SigningKey, *, after: int) -> None:
        """What somebody who has that key sends later, with the sequence that comes then."""
        until, identity = chain_record(state).height + 60, self.world.ids[machine]
        sequence = self._sequence(state, machine, lane) + 1
        body = TxBody(net_of(self.world.chain_id), identity, lane, sequence, until, [msgspec.Raw(encode(message))])
        raw = sign_tx(key, self.world.chain_id, body)

        def offer() -> None:
            for other in self.world.machines:
                if other.up and other.honest:
                    self._offer(other, raw)

        self.world.later(after, offer)

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

    def _come(self, state: State) -> None:
        """Members invite, let newcomers in, revoke, go and come back; validators decide on flags, admissions and spans."""
        if self.comings is None or self.decisions is None:
            return
        clock, gone = chain_record(state).clock, [i for i in self._leavers(state) if self._is_gone(state, i)]
        self.world.faults["membership: came back"] += len(self.gone - {*gone})
        self.gone = {*gone}
        back = 4 * [self.rotations.present(state, i) for i in gone]
        for machine, identity in enumerate(self.world.ids):
            if self._busy(machine, COMINGS):
                continue
            message = self.comings.drawn(identity, clock, back)
            if message is None and machine in self._leavers(state):
                message = self.comings.leaving(0.02)
            if message is None and machine < self.world.profile.validators and self.world.machines[machine].honest:
                outside = [account_id(key.public) for key in self.comings.newcomers]
                about = [*(self.world.ids[i] for i in self._leavers(state)), *outside]
                message = self.decisions.word(state, identity, about, self.comings.newcomers)
            if message is not None:
                self.world.faults[f"membership: {type(message).__name__}"] += 1
                self._send(state, machine, COMINGS, message)

    def _leavers(self, state: State) -> list[int]:
        """Who may go: no validator, and the contractor once its job is posted."""
        first = self.world.profile.validators
        posted = self.job_state in records.ENDED or (self.job and state.get(records.job_key(self.job)) is not None)
        return [i for i in range(first, len(self.world.ids)) if i > first or posted]

    def _is_gone(self, state: State, machine: int) -> bool:
        member = state.get(member_key(self.world.ids[machine]))
        return isinstance(member, Member) and member.left > 0

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
        posted = self.job_state not in records.ENDED
        if (posted or "poster" in self.world.profile.attacks) and self._declare(state):
            return
        if not posted:
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

    def _declare(self, state: State) -> bool:
        """Who may be drawn says first what its machine takes. Whether somebody has still to."""
        missing = [
            machine
            for machine, identity in enumerate(self.world.ids)
            if isinstance(member := state.get(member_key(identity)), Member) and member.verifier and not member.capacity
        ]
        for machine in missing:
            if not self._busy(machine, JOBS):
                self._send(state, machine, JOBS, SetCapacity(CAPACITY))
        return bool(missing)

    def _duty(self, state: State, job: Job, machine: int, clock: int) -> Any | None:
        identity = self.world.ids[machine]
        if job.state == JobState.OPEN:
            known = state.get(records.claimant_key(self.job, identity))
            return None if known is not None or machine > 2 else self._claim(machine)
        for duty in duties_in(state, self.job, identity, clock):
            if isinstance(duty, DueReveal):
                return Reveal(self.job, duty.claim, cid_of(machine), 1_000, SALT)
            if isinstance(duty, DueBallots | DueOpening):
                return self._voting(state, job, identity)
        return None

    def _claim(self, machine: int) -> Claim:
        sealed = claim_commitment(self.world.chain_id, self.job, self.world.ids[machine], cid_of(machine)[4:], SALT)
        return Claim(self.job, self._loss(machine), sealed, True)

    def _voting(self, state: State, job: Job, identity: bytes) -> CommitVote | OpenVote | None:
        """Everybody measures what was claimed."""
        place = (self.job, job.audit, job.round)
        seat: Any = state.get(records.seat_key(*place, identity))
        current: Any = state.get(records.round_key(*place))
        posted: Any = state.get(records.posting_key(self.job))
        sealed = Sealed(SALT)
        for index in seat.candidates:
            claim: Any = state.get(records.claim_key(self.job, index))
            sealed.measured(posted.terms, claim.loss, [claim.loss] * EXAMPLES, None, False)
        if not seat.commitment:
            return sealed.commit(self.world.chain_id, place, identity)
        return sealed.opening(place, seat, current.probe)

    @staticmethod
    def _loss(machine: int) -> int:
        return 1_000_000 - 10_000 * machine
