"""Gets a lock on its proposal at one honest node alone, hides it, and goes on as if nothing had happened.

Its proposal goes to just as many honest validators as make a quorum together with itself; its prevote for it goes to one of them,
the victim, which alone sees a proof of lock. Nobody gets its precommit. It keeps no lock itself, so that the others could decide
something else with its help: only the rules about locks hold them together.
"""

from __future__ import annotations

from learningchain.chain.crypto import SigningKey
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.types import NIL, NO_ROUND, PREVOTE, quorum
from tests.sim.attacks.base import Byzantine
from tests.sim.world import World


class HiddenLock(Byzantine):
    name = "hidden lock"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.hidden: set[bytes] = set()
        """Its proposals of the height that were shown to some."""
        self._at = 0
        self._noted: set[bytes] = set()

    def told(self) -> list[int]:
        """Who gets the proposal; the first one gets the prevote, too."""
        honest = list(self.honest_validators())
        turn = self._at % len(honest)
        return (honest[turn:] + honest[:turn])[: quorum(self.world.profile.validators) - 1]

    def feed(self, event: e.Input) -> None:
        state = self.height_state
        if state is not None:
            if state.height != self._at:
                self._at = state.height
                self.hidden.clear()
            if state.locked_round != NO_ROUND and state.locked_round < state.round:
                state.locked_round, state.locked_id, state.valid_round, state.valid_id = NO_ROUND, NIL, NO_ROUND, NIL
            self._look()
        super().feed(event)

    def _look(self) -> None:
        """Did it come off?"""
        for block in sorted(self.hidden - self._noted):
            locked = [
                machine.index
                for machine in self.world.honest
                if machine.up and machine.node.height + 1 == self._at and machine.node.consensus.round_state().locked_id == block
            ]
            if len(locked) == 1:
                self._noted.add(block)
                self.did("lock on one node alone")

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.CompactProposal(proposal) if proposal.proposer == self.id and proposal.pol_round == NO_ROUND:
                self.hidden.add(proposal.block_id)
                if peer in self.told():
                    return [payload]
                self.did("proposal kept from somebody")
                return []
            case m.VoteMessage(vote) if vote.block_id in self.hidden:
                if vote.type == PREVOTE and vote.round == self.node.consensus.round and peer == self.told()[0]:
                    return [payload]
                return []
            case m.StateMessage() | m.CertificateMessage():
                return []
        return [payload]
