"""Proposes two good blocks in its round, one to each half of the peers, and votes for both."""

from __future__ import annotations

from learningchain.chain.crypto import SigningKey
from learningchain.chain.node import candidates
from learningchain.chain.node import messages as m
from learningchain.chain.node.candidates import Candidate
from learningchain.chain.types import NO_ROUND, Proposal, block_id
from tests.sim.attacks.base import Byzantine
from tests.sim.machine import beacon_key
from tests.sim.world import World


class Equivocator(Byzantine):
    name = "equivocator"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self.twins: dict[bytes, Candidate] = {}

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not peer % 2:
            return [payload]
        match message:
            case m.CompactProposal(proposal) if proposal.proposer == self.id and proposal.pol_round == NO_ROUND:
                twin = self.twin(proposal)
                if twin is not None:
                    self.did("second proposal")
                    return [self.own_proposal(proposal, twin.header, twin.short)]
            case m.VoteMessage(vote) if vote.validator == self.id and vote.block_id:
                mine = self.twins.get(vote.block_id)
                if mine is not None:
                    self.did("vote for the second one")
                    return [self.own_vote(vote.type, vote.height, vote.round, block_id(mine.header))]
        return [payload]

    def twin(self, proposal: Proposal) -> Candidate | None:
        """Another block for the same place, empty and a moment later; this machine hands it out to whoever asks."""
        known = self.twins.get(proposal.block_id)
        if known is not None or proposal.height != self.node.height + 1:
            return known
        node = self.node
        secret, later = beacon_key(self.index), self.wall + 1
        made, _ = candidates.build(node.state, self.id, secret, proposal.round, node.head_id, later, [])
        node._bodies.blocks.put(block_id(made.header), made, frozenset({proposal.block_id}))
        self.twins[proposal.block_id] = made
        return made
