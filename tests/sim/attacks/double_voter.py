"""Votes for two things at once, prevotes and precommits: half of the peers see one vote, half the other, some both."""

from __future__ import annotations

from learningchain.chain.crypto import sha256
from learningchain.chain.node import messages as m
from learningchain.chain.types import NIL, PREVOTE
from tests.sim.attacks.base import Byzantine


class DoubleVoter(Byzantine):
    name = "double voter"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.VoteMessage) or message.vote.validator != self.id or not peer % 2:
            return [payload]
        v = message.vote
        twin = self.own_vote(v.type, v.height, v.round, NIL if v.block_id else self._something())
        self.did("two prevotes" if v.type == PREVOTE else "two precommits")
        return self.whim.choice([[payload, twin], [twin]])

    def _something(self) -> bytes:
        """A block that is under discussion, where there is one: the worst it can name."""
        state = self.height_state
        wanted = sorted(state.wanted()) if state is not None else []
        return wanted[0] if wanted else sha256(b"a block that is not")
