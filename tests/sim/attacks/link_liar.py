"""Claims to be connected with every validator, so that nobody passes votes on to it, and passes none on itself. Where not everybody
is connected with everybody, the others must get along without it."""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.chain.node import messages as m
from tests.sim.attacks.base import Byzantine


class LinkLiar(Byzantine):
    name = "link liar"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.Links():
                self.did("false links")
                return [encode(m.Links(sorted(self.world.ids[: self.world.profile.validators])))]
            case m.VoteMessage(vote) if vote.validator != self.id:
                self.did("not passed on")
                return []
            case m.CompactProposal(proposal) if proposal.proposer != self.id:
                self.did("not passed on")
                return []
        return [payload]

    def act(self) -> None:
        """Again and again, to whoever forgot it."""
        if self.whim.random() < 0.2:
            self.tell_all(encode(m.Links(sorted(self.world.ids[: self.world.profile.validators]))))
