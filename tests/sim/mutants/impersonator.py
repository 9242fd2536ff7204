"""Votes in the names of all others, signed with its own key: for its own blocks and for nothing."""

from __future__ import annotations

from learningchain.chain.codec import encode
from learningchain.chain.node import messages as m
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Vote, vote_digest
from tests.sim.attacks.base import Byzantine


class Impersonator(Byzantine):
    name = "impersonator"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.VoteMessage) or message.vote.validator != self.id:
            return [payload]
        v, r = message.vote, self.whim
        victim = self.world.ids[r.randrange(self.world.profile.validators)]
        type_, block = r.choice([PREVOTE, PRECOMMIT]), r.choice([v.block_id, NIL])
        self.did("vote in another's name")
        signature = self.key.sign(vote_digest(self.chain_id, type_, v.height, v.round, block))
        return [payload, encode(m.VoteMessage(Vote(type_, v.height, v.round, block, victim, signature)))]
