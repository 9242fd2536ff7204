"""A node follows what the validators decide: parameters from the state after each block, and a protocol that it knows or not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.governance import (
    Action,
    AddValidator,
    ParamValue,
    Propose,
    RemoveValidator,
    SetParameters,
    Upgrade,
    VoteProposal,
    proposals,
)
from learningchain.chain.ledger.transition import chain_record, validators_of, version_of
from learningchain.chain.node import events as e
from learningchain.chain.node.node import Node
from learningchain.chain.types import decode_block
from tests.unit.node_kit import Net, ident, signed, transfer


def decide(net: Net, action: Action, first: int) -> None:
    """Proposed by member 0 and decided by 1 and 2, each with its own sequence from `first` on."""
    clock = chain_record(net.nodes[0].state).clock
    net.submit(0, signed(0, first, msgspec.Raw(encode(Propose(action, clock + 600_000)))))
    net.run(3_000, lambda: all(proposals(node.state) for node in net.nodes))
    ref = proposals(net.nodes[0].state)[0][0]
    for member in (1, 2):
        net.submit(0, signed(member, first, msgspec.Raw(encode(VoteProposal(ref, True)))))
    net.run(5_000, lambda: not any(proposals(node.state) for node in net.nodes))
    assert not any(proposals(node.state) for node in net.nodes)


def grow(net: Net, blocks: int) -> None:
    """So many blocks more at node 0, one transfer each."""
    for _ in range(blocks):
        before = net.nodes[0].height
        net.submit(0, transfer(4, net.nodes[0].pool.next_sequence(net.nodes[0].state, ident(4), 0)))
        net.run(20_000, lambda before=before: net.nodes[0].height > before)  # type: ignore[misc]
    net.run(500)


def ended(net: Net, index: int) -> list[e.Outdated]:
    return [effect for effect in net.effects[index] if isinstance(effect, e.Outdated)]


def test_node_pool_and_consensus_take_parameters_from_the_state_after_the_block() -> None:
    """LC-BLK-35"""
    net = Net()
    decide(net, SetParameters(0, [ParamValue("quota", 77), ParamValue("timeout_vote", 321)]), 0)
    for node in net.nodes:
        assert (node.params.quota, node.consensus.params.timeout_vote, node.pool.params.quota) == (77, 321, 77)
    before = net.nodes[0].height
    grow(net, 2)
    assert net.nodes[0].height >= before + 2


def test_a_new_validator_signs_and_one_that_left_does_not() -> None:
    """LC-GOV-6, 7: from the next height on; the chain goes on through both."""
    net = Net(validators=4, observers=0)
    decide(net, RemoveValidator(ident(3)), 0)
    net.run(4_000)
    assert ident(3) not in {v.id for v in validators_of(net.nodes[0].state)}
    left = net.nodes[0].height
    decide(net, AddValidator(ident(3)), 1)
    net.run(8_000)
    assert ident(3) in {v.id for v in validators_of(net.nodes[0].state)}
    grow(net, 8)
    blocks = [decode_block(c.block).header.proposer for h, c in sorted(net.commits[0].items()) if h > left]
    assert ident(3) in blocks


@pytest.fixture
def upgraded() -> Net:
    """All decided on version 2; members 0 to 2 run a program that knows it, the others do not."""
    net = Net()
    for node in net.nodes[:3]:
        node._known_versions = range(1, 3)
    decide(net, Upgrade(2, net.nodes[0].height + 7), 0)
    return net


def test_a_node_ends_before_a_protocol_that_it_does_not_know_and_the_others_go_on(upgraded: Net) -> None:
    """LC-NODE-68, LC-BLK-36"""
    net = upgraded
    grow(net, 8)
    first = next(h for h, c in sorted(net.commits[0].items()) if decode_block(c.block).header.version == 2)
    assert net.nodes[0].height > first
    for index in (3, 4):
        assert net.nodes[index].height == first - 1
        assert [(effect.height, effect.version) for effect in ended(net, index)] == [(first, 2)]
        assert net.nodes[index].flush(net.now) == []
    assert not ended(net, 0)


def test_a_node_that_starts_behind_the_upgrade_ends_at_once_and_asks_for_nothing(upgraded: Net) -> None:
    """LC-NODE-68"""
    net = upgraded
    grow(net, 8)
    assert net.nodes[3]._ended
    old: Any = net.nodes[3]
    again = Node(ident(3), b"b" * 32, old.state, old.head_id)
    assert version_of(old.state) == 2
    assert [type(effect) for effect in again.start(net.now, [])] == [e.Outdated]
    assert again.handle(e.Fired(e.Tick()), net.now) == []
