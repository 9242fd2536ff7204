"""A restart: what the log holds beyond the database comes back, and nothing in it is forgotten before its height is done."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.consensus.wal import Polka
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.node import events as e
from learningchain.chain.node.candidates import MAX_CANDIDATES
from learningchain.chain.node.node import Node
from learningchain.chain.node.recovery import BLOCK, CONSENSUS, DECIDED, read_log
from learningchain.chain.types import PRECOMMIT, Block, decode_block
from tests.unit.node_kit import PARAMS, T0, Net, genesis, ident, of_kind, state_of, transfer


def restarted(log: list[bytes], validators: int = 4) -> tuple[Node, list[e.Effect]]:
    """A node whose database is at height 0, with this log."""
    g = genesis(validators, PARAMS)
    node = Node(ident(0), sha256(b"b0"), state_of(g), g.chain_id)
    return node, node.start(T0 + 10_000, log)


def written(net: Net, index: int = 0) -> list[bytes]:
    """Everything that a node ever logged."""
    return [f.record for f in net.effects[index] if isinstance(f, e.Log)]


@pytest.fixture(scope="module")
def net() -> Net:
    net = Net()
    for n in range(3):
        net.submit(0, transfer(0, n))
        net.reach(n + 1)
    return net


def test_decided_blocks_in_the_log_are_applied_again(net: Net) -> None:
    node, effects = restarted(written(net))
    assert node.height == 3
    assert node.state.root == net.nodes[0].state.root
    assert [(c.height, c.durable) for c in of_kind(effects, e.Commit)] == [(1, True), (2, True), (3, True)]
    assert node.consensus.height == 4


def test_what_the_database_has_already_is_left_alone(net: Net) -> None:
    log = written(net)
    node = Node(ident(0), sha256(b"b0"), net.nodes[0].state, net.nodes[0].head_id)
    assert of_kind(node.start(T0 + 10_000, log), e.Commit) == []
    assert node.height == 3


def half_way() -> Net:
    """Height 1 is decided; in height 2 the first node precommitted, and then its link failed."""
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    net.lost = lambda source, target, message: target == 0 and getattr(getattr(message, "vote", None), "type", 0) == PRECOMMIT
    net.submit(0, transfer(0, 1))
    net.run(60_000, lambda: bool(net.nodes[0].consensus.round_state().locked_id))
    return net


def test_a_lock_of_the_height_after_the_one_redone_stays_in_the_log_and_in_force() -> None:
    """Emptying the log after the redone height would forget the lock at the next crash."""
    net = half_way()
    locked = net.nodes[0].consensus.round_state().locked_id
    log = written(net)
    node, effects = restarted(log)
    assert node.height == 1
    assert of_kind(effects, e.TruncateLog) == []
    assert node.consensus.round_state().locked_id == locked
    asked = [s.request for s in of_kind(effects, e.SignRequest)]
    assert SignVote(PRECOMMIT, 2, 0, locked) in asked
    again, _ = restarted(log)
    assert again.consensus.round_state().locked_id == locked


def test_the_locked_block_is_there_whatever_else_the_log_holds() -> None:
    net = half_way()
    log = written(net)
    locked = net.nodes[0].consensus.round_state().locked_id
    mine = next(decode_block(r[1:]) for r in log if r[:1] == BLOCK and decode_block(r[1:]).header.height == 2)
    others = [BLOCK + encode(Block(replace(mine.header, time=mine.header.time + n), mine.txs)) for n in range(1, 40)]
    node, _ = restarted([*log, *others])
    candidate = node._bodies.blocks.get(locked)
    assert candidate is not None
    assert candidate.complete
    assert len(node._bodies.blocks) <= MAX_CANDIDATES


def test_a_lonely_validator_decides_its_block_again() -> None:
    """Its precommit is logged, the decision is not: the same signatures give the same decision."""
    net = Net(validators=1, observers=0)
    net.submit(0, transfer(0, 0, chain=net.genesis.chain_id))
    net.reach(1)
    log = [r for r in written(net) if r[:1] != DECIDED]
    g = net.genesis
    node = Node(ident(0), sha256(b"b0"), state_of(g), g.chain_id)
    effects = node.start(net.now, log)
    while requests := of_kind(effects, e.SignRequest):
        effects = [f for r in requests for f in node.handle(e.SignedMessage(net.signature(0, r.request)), net.now)]
    assert node.height == 1
    assert node.head_id == net.nodes[0].head_id


def test_a_decision_without_its_block_or_on_another_state_is_told_and_stops_the_node(net: Net) -> None:
    log = written(net)
    with pytest.raises(BrokenInvariant, match="without its bytes"):
        restarted([r for r in log if r[:1] != BLOCK])
    g = genesis(4, replace(PARAMS, block_reward=5))
    other = Node(ident(0), sha256(b"b0"), state_of(g), g.chain_id)
    with pytest.raises(BrokenInvariant, match="invalid"):
        other.start(T0, log)


@pytest.mark.parametrize("record", [b"", b"X123", BLOCK + b"junk", CONSENSUS + b"\x90", DECIDED + b"\x00"])
def test_a_damaged_record_is_refused(record: bytes) -> None:
    with pytest.raises(Malformed):
        restarted([record])


def test_records_are_sorted_by_kind_and_height(net: Net) -> None:
    found = read_log(written(net))
    assert sorted(found.certificates) == [1, 2, 3]
    assert len(found.blocks) == 3
    assert {r.height for r in found.of_height(2)} == {2}
    assert any(isinstance(r, Polka) for r in found.of_height(3))
