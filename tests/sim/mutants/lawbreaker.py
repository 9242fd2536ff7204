"""Proposes blocks with what may not stand in them: transactions that were decided already, out of turn, too late, signed by
nobody, of another network; a secret that it did not commit to. It builds them with the code that everybody runs: where that lets
one in, the block fits; where it does not, it goes into the header's root all the same."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import msgspec
from msgspec.structs import replace

from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey, sha256
from learningchain.chain.errors import InvalidBlock
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.transition import due_reveal
from learningchain.chain.ledger.tx import parse_tx, sign_tx
from learningchain.chain.node import candidates
from learningchain.chain.node import messages as m
from learningchain.chain.types import NO_ROUND, SignedTx, TxBody, block_id, decode_block, net_of, tx_root
from tests.sim.attacks.base import Byzantine
from tests.sim.machine import beacon_key
from tests.sim.world import World

LANE = 3


class Lawbreaker(Byzantine):
    name = "lawbreaker"

    def __init__(self, world: World, index: int, key: SigningKey) -> None:
        super().__init__(world, index, key)
        self._made: dict[bytes, list[bytes]] = {}
        """What goes out instead of each of its proposals: the same to everybody."""

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        match message:
            case m.CompactProposal(proposal) if proposal.proposer == self.id and proposal.pol_round == NO_ROUND:
                if proposal.height == self.node.height + 1:
                    if proposal.block_id not in self._made:
                        lawful = self.whim.random() < 0.3
                        self._made[proposal.block_id] = [payload] if lawful else self._illegal(message)
                    return self._made[proposal.block_id]
        return [payload]

    def _illegal(self, message: m.CompactProposal) -> list[bytes]:
        node, proposal = self.node, message.proposal
        kind, raws, reveal = self._bad(proposal.height)
        given = [parse_tx(raw) for raw in raws]
        now, key = max(self.wall, message.header.time), beacon_key(self.index)
        try:
            with mock.patch.object(candidates, "due_reveal", reveal):
                made, _ = candidates.build(node.state, self.id, key, proposal.round, node.head_id, now, given)
        except InvalidBlock:
            made, _ = candidates.build(node.state, self.id, key, proposal.round, node.head_id, now, given)
        txs = [raw for raw in made.slots if raw is not None]
        if len(txs) < len(raws):
            made.header, made.slots, made._ids = replace(made.header, tx_root=tx_root(raws)), list(raws), []
        node._bodies.blocks.put(block_id(made.header), made, frozenset())
        self.did(kind)
        return [self.own_proposal(proposal, made.header, made.short)]

    def _bad(self, height: int) -> tuple[str, list[bytes], Callable[..., bytes]]:
        """What is wrong, the transactions, what it reveals."""
        account = self.node.state.get(account_key(self.id))
        sequence = account.sequences[LANE] if isinstance(account, Account) else 0
        good = self._signed(sequence, height + 9)
        other = decode(SignedTx, good, 65_536)
        kinds = {
            "out of turn": [self._signed(sequence + 1, height + 9)],
            "too late": [self._signed(sequence, height - 1)],
            "badly signed": [encode(SignedTx(other.body, other.signature[:32] + bytes(31) + b"\1"))],
            "of another network": [self._signed(sequence, height + 9, net=1)],
        }
        if self.node.state.get(b"gb/" + self.id) is not None:
            kinds["another secret"] = []
        done = [raw for block, _ in self.store.read(1, 64, 10**7) for raw in decode_block(block).txs]
        if done:
            kinds["decided already"] = [self.whim.choice(done)]
        kind = self.whim.choice(sorted(kinds))
        reveal = (lambda *_: sha256(b"another secret")) if kind == "another secret" else due_reveal
        return kind, kinds[kind], reveal

    def _signed(self, sequence: int, until: int, net: int | None = None) -> bytes:
        op = msgspec.Raw(encode(Transfer(self.world.ids[0], 1, b"")))
        net = net_of(self.chain_id) if net is None else net
        return sign_tx(self.key, self.chain_id, TxBody(net, self.id, LANE, sequence, until, [op]))
