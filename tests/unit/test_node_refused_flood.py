"""LC-NODE-60: a flood of transactions that the rules refuse is bounded in each block, and its senders pay; nobody else waits."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from learningchain.chain import bandwidth
from learningchain.chain.codec import decode, encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.contracts.job.messages import Claim
from learningchain.chain.errors import Code, InvalidTx, TxCode
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.transition import MAX_ALL_REFUSED, MAX_REFUSED, chain_record
from learningchain.chain.ledger.tx import parse_tx, sign_tx
from learningchain.chain.params import LANES, MAX_BLOCK_BYTES, MAX_OPS
from learningchain.chain.types import Receipt, TxBody, decode_block, net_of
from tests.unit.node_kit import PARAMS, Net, ident, key_of, transfer

SENDERS = range(6, 38)
"""Behind validators and members: identities without credits that just came."""
TOO_MUCH = Transfer(ident(0), 1, b"")
ON_NOTHING = Claim(bytes(32), 0, bytes(32), True)


def newcomers() -> Net:
    """A network where they are as LC-TX-15 lets them in: each with 16,384 bytes that it may write."""
    net = Net(poor=len(SENDERS))
    for node in net.nodes:
        overlay, arrival = Overlay(node.state), bandwidth.of_newcomer(PARAMS, chain_record(node.state).clock)
        for key in map(account_key, map(ident, SENDERS)):
            account = node.state.get(key)
            assert isinstance(account, Account)
            overlay.put(key, msgspec.structs.replace(account, arrival=arrival))
        changes, _, tree = overlay.finish()
        node.state.commit(changes, tree)
    return net


class Flood:
    """So many identities that send nothing but what is refused, as much as they may, to every node again and again."""

    def __init__(self, net: Net, op: Transfer | Claim, messages: int, most: int) -> None:
        chain, packed = net.genesis.chain_id, [msgspec.Raw(encode(op))] * messages
        self.net, self.raws = net, list[bytes]()
        for sender in SENDERS:
            bodies = [TxBody(net_of(chain), ident(sender), i % LANES, i // LANES, 500, packed) for i in range(most)]
            self.raws += [sign_tx(key_of(sender), chain, body) for body in bodies]

    def send(self) -> set[int]:
        """Why nodes took no more of it."""
        why = set[int]()
        for node in self.net.nodes:
            for raw in self.raws:
                try:
                    node.pool.add(node.state, raw, node.height + 1, local=False)
                except InvalidTx as fault:
                    why.add(fault.code)
        return why

    def left(self, urgent: bool) -> int:
        """The most bytes that one of them may still send."""
        state, found = self.net.nodes[0].state, []
        for sender in SENDERS:
            account = state.get(account_key(ident(sender)))
            assert isinstance(account, Account) and account.balance == 0
            found.append(bandwidth.left(PARAMS, 0, account.arrival, chain_record(state).clock))
        return max(found) + bandwidth.RESERVE * urgent


def failed(net: Net, height: int) -> Counter[bytes]:
    """Refused transactions of a block, by sender."""
    commit = net.commits[0][height]
    receipts = [decode(Receipt, raw, MAX_BLOCK_BYTES) for raw in commit.receipts]
    refused = {receipt.tx for receipt in receipts if receipt.code != Code.OK}
    txs = [parse_tx(raw) for raw in decode_block(commit.block).txs]
    return Counter(tx.body.sender for tx in txs if tx.id in refused)


@pytest.mark.parametrize(
    ("op", "messages", "stated"),
    [(TOO_MUCH, 1, 17), (ON_NOTHING, MAX_OPS, 3)],
    ids=["small, behind others", "large, with a deadline"],
)
def test_a_flood_of_32_accounts_has_written_all_that_it_may_after_the_stated_blocks_and_nobody_waits(
    op: Transfer | Claim, messages: int, stated: int
) -> None:
    """Stated are all that they have bytes for, by 256, and one block before the flood is everywhere."""
    net = newcomers()
    flood = Flood(net, op, messages, 150 if messages == 1 else 15)
    counts, honest, why = list[int](), list[tuple[int, bytes]](), set[int]()
    for sequence in range(stated + 3):
        why = flood.send()
        honest.append((net.nodes[0].height, net.submit(0, transfer(0, sequence, chain=net.genesis.chain_id))))
        height = sequence + 1
        net.run(60_000, lambda height=height: min(node.height for node in net.nodes) >= height)  # type: ignore[misc]
    net.run(1_000)
    for height in range(1, net.nodes[0].height + 1):
        by_sender = failed(net, height)
        counts.append(by_sender.total())
        assert max(by_sender.values(), default=0) <= MAX_REFUSED
    assert max(counts) == MAX_ALL_REFUSED, "the flood is larger than its room"
    each = (bandwidth.NEWCOMER + bandwidth.RESERVE * (op is ON_NOTHING)) // min(map(len, flood.raws))
    assert stated == -(-len(SENDERS) * each // MAX_ALL_REFUSED) + 1
    assert sum(counts[:stated]) == sum(counts) < len(flood.raws)
    assert flood.left(op is ON_NOTHING) < max(map(len, flood.raws)) and TxCode.BANDWIDTH in why
    for height, tx in honest:
        assert any(tx in net.commits[0][at].tx_ids for at in (height + 1, height + 2) if at in net.commits[0]), "a payment waited"
    assert net.balance(0, 1) == 10**12 + 5 * len(honest)


def test_who_is_left_out_of_a_block_is_in_other_nodes_pools_and_pays_in_their_blocks() -> None:
    """Nobody sends it again: what a proposer left out, its pool forgets, and the others propose."""
    net = newcomers()
    flood = Flood(net, TOO_MUCH, 1, 12)
    flood.send()
    net.run(60_000)
    counts = [failed(net, height).total() for height in range(1, net.nodes[0].height + 1)]
    assert counts[:2] == [MAX_ALL_REFUSED, len(flood.raws) - MAX_ALL_REFUSED], "what the first proposer left out"
    first, second = (decode_block(net.commits[0][height].block).header.proposer for height in (1, 2))
    assert first != second and not net.nodes[4].pool
