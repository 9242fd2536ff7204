"""A graph whose validators propose and vote while it runs: the set grows and shrinks, parameters change, and some words come late.

Every machine, also one that is no validator any more or not yet, may say a word at any time: the rules refuse what does not count.
What is proposed lies at the edges: the set shrinks to two and grows to all, several proposals stand within one vote of the quorum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec.structs import fields
from msgspec.structs import replace as changed

from learningchain.chain.contracts import BY_NUMBER
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.governance import (
    Action,
    AddValidator,
    Admit,
    Ban,
    LiftBan,
    OpenProposal,
    ParamValue,
    Propose,
    Remove,
    RemoveValidator,
    SetParameters,
    SetVerifier,
    VoteProposal,
    Withdraw,
    proposals,
)
from learningchain.chain.contracts.membership.records import Member, member_key
from learningchain.chain.crypto import account_id
from learningchain.chain.host import BANNED, K_PARAMS, Account, account_key
from learningchain.chain.host.records import params_key
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.params import Votable, votable
from tests.sim.market import Market
from tests.sim.market.clients import REPORTS
from tests.sim.profile import Profile
from tests.sim.world import World

FEWEST = 2
PROFILE = Profile(validators=5, observers=2, transfers=60, heal_at=6_000, job=False)
RANGES = {"heartbeat": (1_000, 3_000), "timeout_propose": (100, 600), "timeout_vote": (50, 300), "quota": (16, 4_096)}
WILD = {"bandwidth_window": (1, 9), "drift": (1, 400), "no_such": (1, 2)}
"""What is refused: fixed, out of bounds, unknown."""


class CouncilMarket(Market):
    left = 24
    """Proposals to come."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.newcomers = self.comings.newcomers if self.comings is not None else []

    def _work(self, state: State) -> None:
        super()._work(state)
        present = {v.id for v in validators_of(state)}
        for machine, identity in enumerate(self.world.ids):
            # A stranger's word now and then: of one that left the set, or is not in it yet.
            if self._busy(machine, REPORTS) or (identity not in present and self.rng.random() < 0.95):
                continue
            message = self._word(state, machine)
            if message is not None:
                self._send(state, machine, REPORTS, message)

    def _word(self, state: State, machine: int) -> Any:
        found = proposals(state)
        own = self.world.ids[machine]
        if found and self.rng.random() < 0.7:
            ref, record = self.rng.choice(found)
            return self._vote(ref, record, own)
        if self.newcomers and self.rng.random() < 0.15:
            # Also to one that is banned: that burns.
            return Transfer(account_id(self.rng.choice(self.newcomers).public), self.rng.choice((1, 500, 2_000_000)), b"")
        if self.left and self.rng.random() < 0.2:
            self.left -= 1
            return Propose(self._action(state), chain_record(state).clock + self.rng.choice((1, 900, 4_000, 60_000)))
        return None

    def _vote(self, ref: bytes, record: OpenProposal, own: bytes) -> Any:
        if record.proposer == own and self.rng.random() < 0.05:
            return Withdraw(ref)
        yes = self.rng.random() < 0.85
        return None if own in (record.yes if yes else record.no) and self.rng.random() < 0.8 else VoteProposal(ref, yes)

    def _member_action(self, state: State) -> Action:
        """Of newcomers, who have no machine: what is done to them stops nobody's work. Of a machine it is refused, or nothing."""
        key = self.rng.choice(self.newcomers[:3]).public
        account = account_id(key)
        if self.rng.random() < 0.1:
            machine = self.rng.choice(self.world.ids)
            return self.rng.choice((SetVerifier(machine, True), LiftBan(machine), Admit(self.world.machines[0].key.public)))
        member, known = state.get(member_key(account)), state.get(account_key(account))
        fitting: list[type] = [Admit] if not isinstance(member, Member) or member.left else [Ban, Ban, SetVerifier, Remove]
        if isinstance(known, Account) and known.status == BANNED:
            fitting = [LiftBan]
        kind = self.rng.choice(fitting if self.rng.random() < 0.85 else [Admit, Remove, SetVerifier, Ban, LiftBan])
        if kind is Admit:
            return Admit(key)
        action: Action = SetVerifier(account, self.rng.random() < 0.7) if kind is SetVerifier else kind(account)
        return action

    def _any_parameters(self, state: State) -> SetParameters:
        """Of any contract, any that may change, within its bounds or one beyond; what a machine's pace hangs on is in RANGES."""
        contract = self.rng.choice([0, *(number for number in sorted(BY_NUMBER) if BY_NUMBER[number].params is not None)])
        record: Any = state.get(params_key(contract) if contract else K_PARAMS)
        found = {f.name: bounds for f in fields(record) if (bounds := votable(f)) is not None and f.name not in RANGES}
        names = sorted(self.rng.sample(sorted(found), min(len(found), self.rng.randint(1, 3))))
        return SetParameters(contract, [ParamValue(name, self._drawn(found[name])) for name in names])

    def _drawn(self, bounds: Votable) -> int:
        edges = (bounds.low, bounds.high, max(0, bounds.low - 1), bounds.high + 1)
        return self.rng.choice((*edges[:2], self.rng.choice(edges), self.rng.randint(bounds.low, bounds.high)))

    def _action(self, state: State) -> Action:
        if self.newcomers and self.rng.random() < 0.45:
            return self._member_action(state)
        if not self.world.profile.job and self.rng.random() < 0.25:
            return self._any_parameters(state)
        present = [v.id for v in validators_of(state)]
        kind = self.rng.random()
        outside = [i for i in self.world.ids if i not in present]
        if kind < 0.35 and len(present) > FEWEST:
            return RemoveValidator(self.rng.choice(present))
        if kind < 0.75:
            return AddValidator(self.rng.choice(outside or present))
        ranges = RANGES if kind < 0.95 else WILD
        names = sorted(self.rng.sample(sorted(ranges), self.rng.randint(1, 2)))
        return SetParameters(0, [ParamValue(name, self.rng.randint(*ranges[name])) for name in names])

    def unfinished(self) -> str:
        return super().unfinished() or (f"{self.left} proposals to come" if self.left else "")


class CouncilWorld(World):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.voted_out = frozenset(self.ids)

    def genesis(self) -> Genesis:
        """Its deadlines go together with its work, or no change of the ledger's parameters would."""
        made = super().genesis()
        return changed(made, params=changed(made.params, max_due=800, max_due_work=800))

    def clients(self) -> Market:
        return CouncilMarket(self)


def profile_of(seed: int, drawn: Profile) -> Profile:
    """A job runs in part of the seeds, members come and go in most. What else goes wrong: a bad network and crashes; nobody lies,
    or a quorum could not be had at two."""
    crashes = drawn.crashes if seed % 2 else ()
    return replace(PROFILE, validators=4 + seed % 4, loss=drawn.loss, crashes=crashes, job=seed % 3 == 1, comings=seed % 4 != 3)
