"""Proposes blocks with one thing wrong in the header, good ones under another validator's name, good ones from the future, or ones
of more work than the network allows."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts import MESSAGES
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.crypto import SigningKey
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger import transition
from learningchain.chain.ledger.transition import validators_of
from learningchain.chain.ledger.tx import parse_tx, sign_tx
from learningchain.chain.node import candidates
from learningchain.chain.node import messages as m
from learningchain.chain.types import NO_ROUND, Proposal, TxBody, block_id, net_of
from tests.sim.attacks.base import Byzantine
from tests.sim.machine import beacon_key
from tests.sim.world import World

HASHES = ("parent", "tx_root", "receipt_root", "state_root", "validators_hash", "next_validators_hash", "reveal", "chain_id")


LANE = 3


class BadProposer(Byzantine):
    name = "bad proposer"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self._heavy: dict[bytes, bytes] = {}
        """What goes out instead of one of its proposals: the same to everybody."""

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.CompactProposal(proposal, header, ids) if proposal.proposer == self.id and proposal.pol_round == NO_ROUND:
                kind = header.height + self.world.seed
                if kind % 3 == 0 and proposal.height == self.node.height + 1:
                    self.did("block from the future")
                    return [self.early(proposal)]
                if kind % 7 == 1 and proposal.height == self.node.height + 1:
                    self.did("another's name")
                    return [self.named(proposal)]
                if proposal.block_id in self._heavy:
                    return [self._heavy[proposal.block_id]]
                if not self._heavy and proposal.height == self.node.height + 1:
                    self._heavy[proposal.block_id] = self.heavy(proposal)
                    self.did("heavy block")
                    return [self._heavy[proposal.block_id]]
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

    def named(self, proposal: Proposal) -> bytes:
        """Valid in everything but the name: the block that another validator would make, without its secret."""
        node = self.node
        others = sorted(v.id for v in validators_of(node.state) if v.id != self.id)
        other = others[proposal.height % len(others)] if others else self.id
        made, _ = candidates.build(node.state, other, beacon_key(self.index), proposal.round, node.head_id, max(self.wall, 1), [])
        node._bodies.blocks.put(block_id(made.header), made, frozenset())
        return self.own_proposal(proposal, made.header, [])

    def heavy(self, proposal: Proposal) -> bytes:
        """Valid in everything but its work: refused messages, one more than the network allows."""
        node, lawful = self.node, self.world.params
        account = node.state.get(account_key(self.id))
        first = account.sequences[LANE] if isinstance(account, Account) else 0
        op = msgspec.Raw(encode(Claim(bytes(32), 0, bytes(32), True)))
        count = lawful.block_work // MESSAGES[Claim][1].heaviest + 1
        bodies = [TxBody(net_of(self.chain_id), self.id, LANE, first + i, proposal.height, [op]) for i in range(count)]
        txs = [parse_tx(sign_tx(self.key, self.chain_id, body)) for body in bodies]
        lawless = replace(lawful, block_work=2 * lawful.block_work)
        with patch.multiple(transition, params_of=lambda state: lawless, MAX_REFUSED=count, MAX_ALL_REFUSED=count):
            made, _ = candidates.build(node.state, self.id, beacon_key(self.index), proposal.round, node.head_id, self.wall, txs)
        node._bodies.blocks.put(block_id(made.header), made, frozenset())
        return self.own_proposal(proposal, made.header, made.short)
