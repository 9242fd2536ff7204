"""A Byzantine machine: the real node, whose outgoing messages are twisted. It may sign anything with its own key."""

from __future__ import annotations

import random

from chain.codec import encode
from chain.consensus.messages import SignProposal, SignVote
from chain.crypto import SigningKey
from chain.errors import BrokenInvariant
from chain.node import events as e
from chain.node import messages as m
from chain.types import Header, Proposal, Vote, block_id, proposal_digest, vote_digest
from p2p.wire import NODE
from tests.sim.machine import Machine
from tests.sim.world import World


class Byzantine(Machine):
    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.honest = False
        self.whim = random.Random(world.seed * 13 + 1)

    def feed(self, event: e.Input) -> None:
        """Its own tricks may confuse it: then it starts again."""
        try:
            super().feed(event)
        except BrokenInvariant:
            self.crash()

    def emit(self, peer: int, payload: bytes, channel: int = NODE) -> None:
        if channel != NODE:
            super().emit(peer, payload, channel)
            return
        for twisted in self.twist(peer, m.decode_message(payload), payload):
            super().emit(peer, twisted)

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        """What goes out instead of a message."""
        return [payload]

    # --- forging with its own key -----------------------------------------------------------------------------------------------

    def own_vote(self, type_: int, height: int, round_: int, block: bytes) -> bytes:
        signature = self.key.sign(vote_digest(self.chain_id, type_, height, round_, block))
        return encode(m.VoteMessage(Vote(type_, height, round_, block, self.id, signature)))

    def own_proposal(self, of: Proposal, header: Header, ids: list[bytes]) -> bytes:
        key = block_id(header)
        signature = self.key.sign(proposal_digest(self.chain_id, of.height, of.round, of.pol_round, key))
        proposal = Proposal(of.height, of.round, of.pol_round, key, self.id, signature)
        return encode(m.CompactProposal(proposal, header, ids))

    def sign(self, request: SignVote | SignProposal) -> None:
        """Without the guard."""
        r = request
        if isinstance(r, SignVote):
            digest = vote_digest(self.chain_id, r.type, r.height, r.round, r.block_id)
        else:
            digest = proposal_digest(self.chain_id, r.height, r.round, r.pol_round, r.block_id)
        self.later(1, e.SignedMessage(self.message(r, self.key.sign(digest))))
