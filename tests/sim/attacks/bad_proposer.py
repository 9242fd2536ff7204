"""Proposes blocks with one thing wrong in the header, or good ones from the future."""

from __future__ import annotations

from msgspec.structs import replace

from chain.node import candidates
from chain.node import messages as m
from chain.types import NO_ROUND, Proposal, block_id
from tests.sim.attacks.base import Byzantine
from tests.sim.machine import beacon_key

HASHES = ("parent", "tx_root", "receipt_root", "state_root", "validators_hash", "next_validators_hash", "reveal", "chain_id")


class BadProposer(Byzantine):
    name = "bad proposer"

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.CompactProposal(proposal, header, ids) if proposal.proposer == self.id and proposal.pol_round == NO_ROUND:
                kind = header.height + self.world.seed
                if kind % 3 == 0 and proposal.height == self.node.height + 1:
                    self.did("block from the future")
                    return [self.early(proposal)]
                wrong = HASHES[kind % len(HASHES)]
                self.did(f"wrong {wrong}")
                return [self.own_proposal(proposal, replace(header, **{wrong: bytes(31) + b"\1"}), ids)]
            case m.CompactProposal() | m.VoteMessage() if self.whim.random() < 0.1:
                return []
        return [payload]

    def early(self, proposal: Proposal) -> bytes:
        """Valid in everything but its time: a minute ahead."""
        node = self.node
        ahead = self.wall + 60_000
        made, _ = candidates.build(node.state, self.id, beacon_key(self.index), proposal.round, node.head_id, ahead, [])
        node._bodies.blocks.put(block_id(made.header), made, frozenset())
        return self.own_proposal(proposal, made.header, [])
