"""A graph of its own for federated training: one validator, and members without machines that open, join, aggregate and cheat.

Everybody at once, and much beside: where a broken rule of the contract shows soon. Each has habits for the whole run, so liars lie
alike and who is bad for the screens is so for all honest aggregators.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import formulas, messages, records
from learningchain.chain.contracts.federation.duties import FederationDuty, OwedDuty
from learningchain.chain.contracts.federation.messages import FederationTerms, FileCode, MeasureCode, ModelMeasure, PaySplit
from learningchain.chain.contracts.federation.records import AttemptRecord, FederationPosting, FederationState
from learningchain.chain.contracts.governance import Ban, Propose
from learningchain.chain.contracts.membership.records import Member
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.host import ACTIVE, Account, account_key
from learningchain.chain.host.terms import HiddenSet
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.types import Evidence
from tests.network import genesis as network_genesis
from tests.sim.checks import EPOCH
from tests.sim.machine import Machine
from tests.sim.market import Market
from tests.sim.market.outsider import Desk
from tests.sim.profile import PARAMS, Profile
from tests.sim.training.people import FIRST, Trainer, live, named
from tests.sim.world import GRANT, World, _key

TICK = 150
"""Milliseconds between two looks of the members."""
HEAL = 2_500
PROFILE = Profile(validators=1, observers=0, transfers=0, job=False, heal_at=HEAL, federations=True)
SPONSORS, OWNERS, VERIFIERS = 2, 5, 6
HIDDEN = HiddenSet(named(b"hidden"), bytes(32), bytes(32), 1_000)


class RoughTrainer(Trainer):
    """`bad_files`: by account, how likely its files are turned away, for all alike. `late`: how likely one does not come.
    `fidgets`: how likely a look brings a word that nobody asked for. `joins`: whether it brings data."""

    joins = False
    late = fidgets = 0.0
    bad_files: Mapping[bytes, float] = {}

    def terms(self, clock: int) -> FederationTerms:
        rng, plain = self.rng, super().terms(clock)
        split = rng.choice((PaySplit.EQUAL, PaySplit.SAMPLES, PaySplit.ALIGNED))
        return replace(
            plain,
            rounds=rng.choice((2, 3, 4)),
            min_members=rng.choice((2, 3)),
            max_members=rng.choice((4, 8)),
            split=split,
            reference=split == PaySplit.ALIGNED or rng.random() < 0.3,
            hidden=[HIDDEN] if rng.random() < 0.5 else [],
            patience=rng.choice((1, 2, 3)),
            admit_open=rng.random() < 0.5,
            bounty=rng.choice((999, 10_000, 10**6)),
            target=FIRST - rng.choice((10**8, 3 * 10**8, 10**9)),
        )

    def say(self, state: State, clock: int) -> Any | None:
        if self.rng.random() < self.fidgets:
            return self._fidget(state, clock)
        return super().say(state, clock)

    def _come(self, state: State, member: Member, clock: int) -> Any | None:
        found = super()._come(state, member, clock)
        if isinstance(found, messages.JoinFederation):
            if not self.joins:
                return None
            posting: Any = state.get(records.posting_key(found.federation))
            return replace(found, n=self._samples() if posting.terms.split == PaySplit.SAMPLES else 0)
        return found or self._admit(state)

    def _samples(self) -> int:
        return self.rng.choice((10, 1_000, 2**31 - 1))

    def _admit(self, state: State) -> Any | None:
        for federation in live(state):
            posting: Any = state.get(records.posting_key(federation))
            if posting.sponsor == self.id:
                for key, one in state.scan(records.MEMBERS_OF + federation, 64):
                    if one.state == records.MemberState.PENDING:
                        return messages.AdmitMember(federation, key[-20:])
        return None

    def _fidget(self, state: State, clock: int) -> Any | None:
        """Something that it may say, or should not."""
        found = live(state)
        if not found:
            return None
        ref, rng = rng_choice(self.rng, found), self.rng
        now: Any = state.get(records.federation_key(ref))
        number, size = now.starts, 4 * 8 + 500
        return rng.choice(
            (
                messages.LeaveFederation(ref),
                messages.NewData(ref, sha256(rng.choice((self.id, b"same"))), 0),
                messages.VaultModel(ref, named(b"vault", self.id)),
                messages.JoinFederation(ref, sha256(b"same"), 0),
                messages.CommitUpdate(ref, number, named(b"file", self.id), size),
                messages.StartRound(ref, now.r),
                messages.ReadyKey(ref, number, sha256(self.id)),
                messages.SealKey(ref, [bytes(80)] * rng.randint(0, 2)),
                messages.CloseFederation(ref),
                messages.OpenMeasure(ref, now.r, now.again, ModelMeasure(MeasureCode.INVALID, []), [], bytes(32)),
            )
        )

    # --- duties -------------------------------------------------------------------------------------------------------------------

    def _duty(self, state: State, owed: OwedDuty) -> Any | None:
        ref, number, duty = owed.federation, owed.attempt, owed.duty
        if duty == FederationDuty.SEAL_KEY:
            now: Any = state.get(records.federation_key(ref))
            lacking = sum(not seat.box for seat in now.panel)
            return None if self._is(0.1, "no key", ref) else messages.SealKey(ref, [sha256(self.id)[:16] * 5] * lacking)
        if duty == FederationDuty.REFER:
            return None if self._is(0.1, "no reference", ref, number) else messages.ReferUpdate(ref, number, named(b"reference"))
        if duty == FederationDuty.COMMIT and self._is(self.late, "late", ref, number):
            return None
        if duty == FederationDuty.START_ROUND and self._is(0.03, "vanishes", ref):
            return None
        return super()._duty(state, owed)

    def _start(self, state: State, owed: OwedDuty) -> Any | None:
        active = [one for _, one in state.scan(records.MEMBERS_OF + owed.federation, 64) if one.state == records.MemberState.ACTIVE]
        return messages.StartRound(owed.federation, owed.r) if len(active) >= 3 or owed.r == 0 else None

    def _aggregate(self, state: State, owed: OwedDuty, attempt: AttemptRecord) -> Any | None:
        found = super()._aggregate(state, owed, attempt)
        if isinstance(found, messages.HaveUpdates):
            return self._have(owed, attempt)
        if isinstance(found, messages.ScreenUpdates):
            return self._screen(state, owed, attempt, found)
        return found

    def _have(self, owed: OwedDuty, attempt: AttemptRecord) -> messages.HaveUpdates:
        ref, number = owed.federation, owed.attempt
        every = 2**attempt.files - 1
        if self._is(self.lies / 2, "denies", ref, number):
            every &= ~(1 << self.rng.randrange(attempt.files)) if attempt.files else 0
        reference = bool(attempt.reference) and not self._is(self.lies / 2, "denies the reference", ref, number)
        return messages.HaveUpdates(ref, number, formulas.to_bitmap(every, attempt.files), reference)

    def _screen(self, state: State, owed: OwedDuty, attempt: AttemptRecord, found: Any) -> messages.ScreenUpdates:
        """Of the files of who is bad WRONG or LARGE, of a few others COPY: what everybody finds."""
        posting: Any = state.get(records.posting_key(owed.federation))
        codes, points = bytearray(found.codes), bytearray(attempt.files)
        for place in range(attempt.files):
            file: Any = state.get(records.file_key(owed.federation, place))
            drawn = sha256(b"code %d" % owed.attempt + file.account)[0]
            bad = self.bad_files.get(file.account, 0.0)
            if codes[place] == FileCode.USED and drawn < 256 * bad:
                codes[place] = (FileCode.WRONG, FileCode.LARGE, FileCode.OUTLIER)[drawn % 3]
            elif codes[place] == FileCode.USED and drawn % 23 == 5:
                codes[place] = FileCode.COPY
            points[place] = drawn % 17 if codes[place] == FileCode.USED else 0
        told = bytes(points) if posting.terms.split == PaySplit.ALIGNED else b""
        return replace(
            found, codes=bytes(codes), points=told, norm=1 + int.from_bytes(sha256(b"norm %d" % owed.attempt)[:3], "big") // 2
        )

    def _measure(self, state: State, owed: OwedDuty) -> Any | None:
        now, posting = state.get(records.federation_key(owed.federation)), state.get(records.posting_key(owed.federation))
        seat = next((one for one in now.panel if one.account == self.id), None)  # type: ignore[union-attr]
        if seat is not None and isinstance(posting, FederationPosting) and posting.terms.hidden and not seat.box:
            measure, key = ModelMeasure(MeasureCode.BADKEY, []), (owed.federation, owed.r, owed.again)
            if owed.duty == FederationDuty.OPEN and seat.commitment:
                return messages.OpenMeasure(*key, measure, [], bytes(32))
            sealed = messages.measure_commitment(chain_record(state).chain_id, *key, self.id, measure, bytes(32))
            lacking = now.state == FederationState.MEASURE and chain_record(state).clock < now.deadline - 400  # type: ignore[union-attr]
            return None if lacking else messages.CommitMeasure(*key, sealed)
        return super()._measure(state, owed)


def rng_choice(rng: random.Random, found: list[bytes]) -> bytes:
    return found[rng.randrange(len(found))]


class Validator(RoughTrainer):
    """Has a few members banned in the middle."""

    bans = 0
    among: tuple[bytes, ...] = ()

    def say(self, state: State, clock: int) -> Any | None:
        if not self.bans or self.rng.random() > 0.03 or not live(state):
            return None
        who = rng_choice(self.rng, list(self.among))
        account = state.get(account_key(who))
        if not isinstance(account, Account) or account.status != ACTIVE:
            return None
        self.bans -= 1
        return Propose(Ban(who), clock + 60_000)


class MemberTraining:
    """A member without a machine: its key, what it says, and how that gets into blocks."""

    def __init__(self, world: RoughTrainingWorld, name: str, number: int, kind: type[RoughTrainer] = RoughTrainer) -> None:
        self.world, self.name, self.number = world, name, number
        self.key = SigningKey(sha256(b"training " + name.encode() + b"%d" % number))
        self.id = account_id(self.key.public)
        self.rng = random.Random(f"{world.seed} {name} {number}")
        self.trainer = kind(self.id, self.rng)

    def tick(self, state: State, clock: int) -> None:
        if not any(identity == self.id for identity, _, _ in self.world.desk.offers):
            message = self.trainer.say(state, clock)
            if message is not None:
                self.world.desk.say(self, state, [message], type(message).__name__, 0)  # type: ignore[arg-type]


class RoughTrainingWorld(World):
    patience = 90_000
    kind: type[RoughTrainer] = RoughTrainer
    owner_count = OWNERS
    params = PARAMS

    def __init__(self, seed: int, profile: Profile | None = None, attacks: Mapping[str, type[Machine]] | None = None) -> None:
        self.seed, rng = seed, random.Random(f"training {seed}")
        self.sponsors = [MemberTraining(self, "sponsor", i, self.kind) for i in range(SPONSORS)]
        self.owners = [MemberTraining(self, "owner", i, self.kind) for i in range(self.owner_count)]
        verifiers = range(rng.choice((3, 4, VERIFIERS)))
        self.verifiers = [MemberTraining(self, "verifier", i, self.kind) for i in verifiers]
        self.members = [*self.sponsors, *self.owners, *self.verifiers]
        self.chair = MemberTraining(self, "chair", 0, Validator)
        self.chair.key = _key(0)
        self.chair.id = account_id(self.chair.key.public)
        self._moods(rng)
        self.acts: Counter[str] = Counter()
        """What members tried, and what came of it."""
        self.codes: dict[bytes, int] = {}
        super().__init__(seed, profile or PROFILE, attacks or {})
        self.desk = Desk(self)  # type: ignore[arg-type]
        self.names = {one.id: f"{one.name} {one.number}" for one in self.members}

    def _moods(self, rng: random.Random) -> None:
        bad = {one.id: rng.choice((0.0, 0.0, 0.0, 0.9)) for one in self.members}
        for one in self.members:
            one.trainer.bad_files = bad
        for one in self.sponsors:
            one.trainer.opens = 2
        for one in (*self.owners, *self.verifiers):
            one.trainer.joins = one in self.owners or rng.random() < 0.5
            one.trainer.fidgets = rng.choice((0.0, 0.02, 0.08))
            one.trainer.late = rng.choice((0.0, 0.0, 0.3))
        for one in self.verifiers:
            one.trainer.lies, one.trainer.silent = rng.choice((0.0, 0.0, 0.25)), rng.choice((0.0, 0.0, 0.3))
        chair = self.chair.trainer
        if isinstance(chair, Validator):
            chair.bans = rng.choice((0, 1, 2))
            chair.among = tuple(one.id for one in (*self.owners, *self.verifiers))

    def genesis(self) -> Genesis:
        flagged = {one.id for one in (*self.verifiers, *self.owners[:3])}
        accounts = [GenesisAccount(_key(i).public, GRANT, i < self.profile.validators, False) for i in range(self.profile.machines)]
        accounts += [GenesisAccount(one.key.public, GRANT, False, one.id in flagged) for one in self.members]
        return network_genesis("training", EPOCH, self.params, accounts)

    def clients(self) -> Market:
        return TrainingMembers(self)


class TrainingMembers(Market):
    """All members, as the clients of the world."""

    world: RoughTrainingWorld

    def tick(self) -> None:
        world = self.world
        world.later(TICK, self.tick)
        up = [m for m in world.machines if m.up and m.honest]
        if not up:
            return
        state = max(up, key=lambda m: m.node.height).node.state
        clock = chain_record(state).clock
        for one in (*world.members, world.chair):
            if world.healed:
                one.trainer.fidgets, one.trainer.opens = 0.0, 0
            one.tick(state, clock)
        world.desk.tick(state)
        self.federations = len(live(state))

    def report(self, machine: Machine, evidence: Evidence) -> None:
        raise AssertionError("nobody signs twice here")
