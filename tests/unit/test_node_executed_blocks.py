"""Catching up by certificates and roots: what blocks did is taken over, every lie about it is refused and costs who tells it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import decode, encode
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state_diff import MAX_RECEIPT, Record, StateDiff, changes_of
from learningchain.chain.node import candidates, decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.batches import WORTH
from learningchain.chain.node.checks import hash_blocks
from learningchain.chain.types import Block, Certificate, Receipt, decode_block
from tests.unit.node_kit import Net, fresh, ident, of_kind, receive, sent, transfer
from tests.unit.test_node_sync import certified, chain_of, forge, items

HEIGHTS = 5


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


def told(net: Net) -> list[m.ExecutedBlock]:
    commits = [net.commits[0][h] for h in range(1, HEIGHTS + 1)]
    return [m.ExecutedBlock(c.block, m.decode_certificate(c.certificate), c.receipts, changes_of(c.state)) for c in commits]


def test_blocks_are_taken_over_without_being_executed(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    node = fresh(4, trusting=1)
    assert sent(receive(node, 1, m.Status(HEIGHTS, 1)), m.GetExecutedBlocks) == [m.GetExecutedBlocks(1, m.MAX_SYNC_BLOCKS)]
    monkeypatch.setattr(candidates, "apply_block", lambda *_, **__: pytest.fail("a block was executed"))
    monkeypatch.setattr("learningchain.chain.ledger.tx.verify", lambda *_: pytest.fail("a transaction's signature was checked"))
    effects = receive(node, 1, m.ExecutedBlocks(told(net)))
    assert node.height == HEIGHTS
    assert node.state.root == net.nodes[0].state.root
    for commit in of_kind(effects, e.Commit):
        assert replace_executed(commit) == replace_executed(net.commits[0][commit.height]), "the database gets the same"
        assert not commit.executed
    assert node.consensus.height == HEIGHTS + 1
    assert of_kind(effects, e.Penalize) == []


def replace_executed(commit: e.Commit) -> tuple[object, ...]:
    c = commit
    return c.height, c.block_id, c.block, c.tx_ids, c.receipts, c.account_index, c.state


def test_a_node_that_executes_everything_neither_asks_for_outcomes_nor_takes_them(net: Net) -> None:
    node = fresh(4)
    asked = receive(node, 1, m.Status(HEIGHTS, 1))
    assert sent(asked, m.GetExecutedBlocks) == []
    assert receive(node, 1, m.ExecutedBlocks(told(net))) == []
    assert node.height == 0


def test_where_a_peer_has_only_the_blocks_they_are_executed(net: Net) -> None:
    node = fresh(4, trusting=1)
    receive(node, 1, m.Status(HEIGHTS, 1))
    effects = receive(node, 1, m.Blocks(items(net)))
    assert node.height == HEIGHTS
    assert all(commit.executed for commit in of_kind(effects, e.Commit))


def with_changes(
    change: Callable[[list[Record], list[bytes]], tuple[list[Record], list[bytes]]],
) -> Callable[[m.ExecutedBlock], m.ExecutedBlock]:
    return lambda told: replace(told, changes=StateDiff(*change(list(told.changes.put), list(told.changes.gone))))


def richer(record: Record) -> Record:
    if not record.key.startswith(b"a/"):
        return record
    account = decode(Account, record.value, 1_000)
    return Record(record.key, encode(replace(account, balance=account.balance + 1)))


def refused(told: m.ExecutedBlock) -> m.ExecutedBlock:
    last = decode(Receipt, told.receipts[-1], 10_000)
    return replace(told, receipts=[*told.receipts[:-1], encode(replace(last, code=1, events=[]))])


def certified_by(what: str) -> Callable[[m.ExecutedBlock], m.ExecutedBlock]:
    def lie(told: m.ExecutedBlock) -> m.ExecutedBlock:
        wrong = forge(m.SyncBlock(told.block, told.certificate), what)
        return replace(told, block=wrong.block, certificate=wrong.certificate)

    return lie


IDLE = account_key(ident(3))
LIES: dict[str, Callable[[m.ExecutedBlock], m.ExecutedBlock]] = {
    "too few signatures": certified_by("too few"),
    "a wrong signature": certified_by("signature"),
    "another block": certified_by("block"),
    "another header": certified_by("header"),
    "another body": certified_by("body"),
    "no block": certified_by("bytes"),
    "another receipt": refused,
    "a receipt too many": lambda told: replace(told, receipts=[*told.receipts, told.receipts[-1]]),
    "a receipt too few": lambda told: replace(told, receipts=told.receipts[:-1]),
    "richer": with_changes(lambda put, gone: ([richer(r) for r in put], gone)),
    "a change too few": with_changes(lambda put, gone: (put[:-1], gone)),
    "nothing changed": with_changes(lambda put, gone: ([], [])),
    "what was not there removed": with_changes(lambda put, gone: (put, [*gone, b"a/" + bytes(20)])),
    "what is there removed": with_changes(lambda put, gone: (put, [*gone, IDLE])),
    "out of order": with_changes(lambda put, gone: (put[::-1], gone)),
    "twice": with_changes(lambda put, gone: ([*put, put[-1]], gone)),
    "no kind of record": with_changes(lambda put, gone: ([*put, Record(b"zz/1", b"\x01")], gone)),
    "no record": with_changes(lambda put, gone: ([*put[:-1], Record(put[-1].key, b"\x91\x01")], gone)),
}


def test_blocks_are_hashed_elsewhere_while_the_next_are_asked_for(net: Net) -> None:
    node = fresh(4, trusting=1)
    node._batches.worth = 1
    receive(node, 1, m.Status(HEIGHTS, 1))
    effects = receive(node, 1, m.ExecutedBlocks(told(net)[:2]))
    (work,) = of_kind(effects, e.HashBlocks)
    assert sent(effects, m.GetExecutedBlocks) == [m.GetExecutedBlocks(3, m.MAX_SYNC_BLOCKS)]
    assert node.height == 0
    (more,) = of_kind(receive(node, 1, m.ExecutedBlocks(told(net)[2:])), e.HashBlocks)
    node.handle(e.BlocksHashed(work.ticket, hash_blocks(work.blocks)[:1]), 0)
    assert node.height == 2, "what was not answered was hashed here"
    node.handle(e.BlocksHashed(more.ticket, []), 0)
    assert node.state.root == net.nodes[0].state.root
    assert node.handle(e.BlocksHashed(more.ticket, []), 0) == [], "an answer counts once"


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("what", LIES)
def test_a_lie_costs_its_sender_and_what_stood_before_it_stays(net: Net, what: str, eager: bool) -> None:
    node = fresh(4, trusting=1)
    node._batches.worth = 1 if eager else WORTH
    receive(node, 1, m.Status(HEIGHTS, 1))
    good = told(net)
    effects = receive(node, 1, m.ExecutedBlocks([*good[:2], LIES[what](good[2]), *good[3:]]))
    for work in of_kind(effects, e.HashBlocks):
        effects = node.handle(e.BlocksHashed(work.ticket, hash_blocks(work.blocks)), 0)
    node._batches.worth = WORTH
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)]
    assert node.height == 2
    receive(node, 2, m.Status(HEIGHTS, 1))
    receive(node, 2, m.ExecutedBlocks(good[2:]))
    assert node.state.root == net.nodes[0].state.root


@pytest.mark.parametrize("field", ["version", "chain_id", "parent", "validators_hash", "proposer"])
def test_a_decided_header_that_our_rules_forbid_stops_who_takes_over_what_blocks_did(net: Net, field: str) -> None:
    """More than two thirds signed it: a node that went on would follow validators who left the rules, or not its own chain."""
    first = told(net)[0]
    block = decode_block(first.block)
    before = getattr(block.header, field)
    after = before + 1 if isinstance(before, int) else before[:-1] + bytes([before[-1] ^ 1])
    header = replace(block.header, **{field: after})
    node = fresh(4, trusting=1)
    receive(node, 1, m.Status(HEIGHTS, 1))
    with pytest.raises(BrokenInvariant, match="block 1 was decided, but here it is invalid"):
        receive(
            node,
            1,
            m.ExecutedBlocks(
                [replace(first, block=encode(Block(header, block.txs)), certificate=certified(header, first.certificate))]
            ),
        )
    assert node.height == 0


def test_what_no_message_can_hold_ends_what_is_told() -> None:
    """LC-NODE-32: whichever of its receipts it is."""
    certificate, nothing = encode(Certificate(1, 0, bytes(32), [0], [bytes(64)])), encode(StateDiff([], []))
    largest, larger = bytes(MAX_RECEIPT), bytes(MAX_RECEIPT + 1)
    for receipts, count in (([largest, largest], 2), ([larger, b""], 0), ([b"", larger], 0)):
        found = [(b"block", certificate, receipts, nothing)] * 2
        assert len(decided.executed_blocks(found).blocks) == count


def test_a_record_named_as_it_was_is_refused(net: Net) -> None:
    """Whoever keeps and serves the changes keeps what changed, and nothing that a peer put beside it."""
    node = fresh(4, trusting=1)
    receive(node, 1, m.Status(HEIGHTS, 1))
    good = told(net)
    state = node.state
    idle = Record(IDLE, encode(state.get(IDLE)))
    padded = sorted([*good[0].changes.put, idle], key=lambda record: record.key)
    effects = receive(node, 1, m.ExecutedBlocks([replace(good[0], changes=StateDiff(padded, good[0].changes.gone))]))
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)]
    assert node.height == 0


def test_what_waited_here_leaves_the_pool_when_it_or_its_sequence_was_used(net: Net) -> None:
    node = fresh(4, trusting=1)
    used, overtaken, later = transfer(0, 0), transfer(0, 1, amount=77), transfer(0, HEIGHTS)
    ids = [node.submit(raw, 0) for raw in (used, overtaken, later)]
    receive(node, 1, m.Status(HEIGHTS, 1))
    effects = receive(node, 1, m.ExecutedBlocks(told(net)))
    assert [drop.tx for drop in of_kind(effects, e.TxDropped)] == [ids[1]]
    assert [key in node.pool for key in ids] == [False, False, True]


def test_a_request_is_answered_from_the_store(net: Net) -> None:
    node = net.nodes[0]
    (read,) = of_kind(receive(node, 1, m.GetExecutedBlocks(4, 64), net.now), e.ReadBlocks)
    assert (read.peer, read.start, read.count, read.size, read.executed_blocks) == (ident(1), 4, 2, m.MAX_SYNC_BYTES, True)
    stored = [(t.block, encode(t.certificate), t.receipts, encode(t.changes)) for t in told(net)]
    assert sent(node.handle(e.Answered(ident(1), encode(decided.executed_blocks(stored))), net.now), m.ExecutedBlocks) == [
        m.ExecutedBlocks(told(net))
    ]
    for start in (0, 99):
        assert sent(receive(node, 1, m.GetExecutedBlocks(start, 9), net.now), m.Blocks) == [m.Blocks([])]
