"""Votes for two things at once: half of the peers see one vote, half the other, some both."""

from __future__ import annotations

from chain.crypto import sha256
from chain.node import messages as m
from chain.types import NIL
from tests.sim.attacks.base import Byzantine


class DoubleVoter(Byzantine):
    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.VoteMessage) or message.vote.validator != self.id:
            return [payload]
        v = message.vote
        other = NIL if v.block_id else sha256(b"a block that is not")
        twin = self.own_vote(v.type, v.height, v.round, other)
        return self.whim.choice([[payload, twin], [twin]]) if peer % 2 else [payload]
