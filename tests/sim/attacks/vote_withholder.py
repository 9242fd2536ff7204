"""Keeps its votes to itself: each goes to one peer alone, precommits only when it is nearly too late. It passes nothing on either,
and tells everybody that it has all votes already, so that nobody sends it any."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.node import messages as m
from learningchain.chain.types import PRECOMMIT
from tests.sim.attacks.base import Byzantine


class VoteWithholder(Byzantine):
    name = "vote withholder"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.VoteMessage(vote):
                chosen = vote.validator == self.id and peer == (vote.height + vote.round) % self.world.profile.validators
                if not chosen:
                    self.did("vote withheld")
                elif vote.type == PRECOMMIT:
                    self.after(self.params_vote - 10, lambda: self.tell(peer, payload))
                else:
                    return [payload]
                return []
            case m.StateMessage(state):
                full = b"\xff" * ((self.world.profile.validators + 7) // 8)
                return [encode(m.StateMessage(replace(state, own_votes=[], has_proposal=True, prevotes=full, precommits=full)))]
        return [payload]

    @property
    def params_vote(self) -> int:
        return self.world.params.timeout_vote
