"""Catching up: whom a node asks for decided blocks, when, and what liars and silence cost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.node import batches, decided, sync
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.batches import MAX_BATCHES, open_block
from learningchain.chain.node.candidates import MAX_CANDIDATES
from learningchain.chain.node.checks import are_signed
from learningchain.chain.node.node import Node
from learningchain.chain.node.sync import BACKOFF_MS, DEADLINE, HELD, MAX_PEERS, PATIENCE, Sync
from learningchain.chain.types import PRECOMMIT, Block, Certificate, Header, block_id, decode_block
from tests.unit.node_kit import PARAMS, T0, Net, fresh, genesis, ident, of_kind, receive, sent, state_of, transfer, vote

A, B = ident(1), ident(2)


def at(height: int, **peers: int) -> Sync:
    s = Sync()
    s.at(height, 0)
    for name, told in peers.items():
        s.peer(name.encode(), told)
    return s


def test_a_larger_gap_is_closed_at_once_a_gap_of_one_after_a_while() -> None:
    assert at(5, a=7).next_request(0) == (b"a", 6, m.MAX_SYNC_BLOCKS)
    s = at(5, a=6)
    assert s.next_request(PATIENCE - 1) is None
    assert s.next_request(PATIENCE) == (b"a", 6, m.MAX_SYNC_BLOCKS)
    assert at(5, a=5, b=3).next_request(9_999) is None


def test_who_holds_the_block_waits_longer_for_its_votes_and_who_does_not_vote_waits_for_nothing() -> None:
    s = Sync()
    s.at(5, 0)
    s.peer(b"a", 6)
    s.hold()
    assert s.next_request(HELD - 1) is None
    assert s.next_request(HELD) == (b"a", 6, m.MAX_SYNC_BLOCKS)
    s = Sync()
    s.at(5, 0)
    s.patience = 0
    s.peer(b"a", 6)
    s.hold()
    assert s.next_request(0) == (b"a", 6, m.MAX_SYNC_BLOCKS)


@pytest.mark.parametrize(("took", "more"), [(0, 0), (900, 900), (60_000, 2_000)])
def test_under_load_a_gap_of_one_gets_the_time_that_the_last_height_took(took: int, more: int) -> None:
    s = Sync()
    s.at(5, 1_000)
    s.at(6, 1_000 + took)
    s.peer(b"a", 7)
    assert s.next_request(1_000 + took + more + PATIENCE - 1) is None
    assert s.next_request(1_000 + took + more + PATIENCE) == (b"a", 7, m.MAX_SYNC_BLOCKS)
    s.at(9, 100_000)
    s.peer(b"a", 10)
    s.answered(b"a")
    assert s.next_request(100_000 + PATIENCE) is not None, "heights that were fetched together took no time"
    s = Sync()
    s.patience = 0
    s.at(5, 0)
    s.at(6, took)
    s.peer(b"a", 7)
    assert s.next_request(took) is not None, "who does not vote waits for nothing"


def test_one_request_is_out_at_a_time_and_a_silent_peer_is_passed_over() -> None:
    s = at(0, a=9, b=9)
    first = s.next_request(0)
    assert first is not None
    assert s.next_request(DEADLINE - 1) is None
    second = s.next_request(DEADLINE)
    assert second is not None
    assert {first[0], second[0]} == {b"a", b"b"}


def asked(s: Sync, now: int) -> bytes:
    request = s.next_request(now)
    assert request is not None
    s.answered(request[0])
    return request[0]


def test_every_useless_answer_doubles_the_time_for_which_others_are_asked_instead() -> None:
    s, now = at(0, a=9, b=9), 0
    assert asked(s, now) == b"a"
    for n in range(5):
        s.failed(b"a", now)
        s.peer(b"a", 2**40)
        assert asked(s, now + BACKOFF_MS * 2**n - 1) == b"b"
        now += BACKOFF_MS * 2**n
        assert asked(s, now) == b"a"
    s.failed(b"a", now)
    s.useful(b"a")
    s.peer(b"a", 9)
    assert asked(s, now) == b"a"


def test_only_the_peer_that_was_asked_can_answer() -> None:
    s = at(0, a=9)
    assert s.answered(b"a") is None
    s.next_request(0)
    assert s.answered(b"b") is None
    assert s.answered(b"a", 3) is None, "the answer to something that an earlier life of this node asked"
    assert s.answered(b"a", 1) == 1
    assert s.answered(b"a", 1) is None


def test_the_peers_remembered_are_bounded() -> None:
    s = Sync()
    s.at(4, 0)
    for n in range(MAX_PEERS + 20):
        s.peer(b"%d" % n, 5)
        s.next_request(n * DEADLINE)
        s.failed(b"x%d" % n, 0)
    assert len(s._heights) <= MAX_PEERS
    assert len(s._backed_off) <= MAX_PEERS
    assert len(s._waited) <= MAX_PEERS


# --- peers that take their time -------------------------------------------------------------------------------------------------

HONEST = [bytes([n]) * 20 for n in (0x51, 0xA3)]
LIARS = [bytes([n]) * 20 for n in (0x11, 0x42, 0x77, 0x93, 0xC8, 0xE0)]
PROMPT = 50
"""Milliseconds until an honest answer."""


def catch_up(liars: list[bytes], top: int, *, blocks: int, delay: int) -> int:
    """Milliseconds until a node that has nothing is at the top. Honest peers answer at once with all that was asked for; liars say
    at every moment that they are far ahead and answer late, with few blocks or (0) none. The node executes what comes at once."""
    s, now, height = Sync(), 0, 0
    s.at(0, 0)
    due: tuple[int, bytes, int] | None = None
    while height < top:
        for peer in HONEST:
            s.peer(peer, top)
        for liar in liars:
            s.peer(liar, 2**40)
        if (request := s.next_request(now)) is not None:
            peer, start, count = request
            lies = peer in liars
            found = min(blocks if lies else count, top - start + 1)
            due = (now + (delay if lies else PROMPT), peer, found) if found else None
        now += 10
        if due is not None and now >= due[0]:
            _, peer, found = due
            assert s.answered(peer, now=now) == height + 1
            height, due = height + found, None
            s.at(height, now)
            s.useful(peer)
        assert now < 3_600_000, f"at height {height} after an hour"
    return now


@pytest.mark.parametrize(("blocks", "delay"), [(1, DEADLINE - 10), (1, 1_000), (0, 0)])
def test_peers_that_answer_little_by_little_take_no_more_than_their_part_of_the_time(blocks: int, delay: int) -> None:
    """An answer of one block just before the deadline is a useful one, so its sender may be asked again; with two honest peers and
    six such members all may take the same time, after one answer of each."""
    alone = catch_up([], 12_800, blocks=0, delay=0)
    for liars in (LIARS[:1], LIARS):
        took = catch_up(liars, 12_800, blocks=blocks, delay=delay)
        assert took <= alone * (1 + len(liars) / len(HONEST)) + 2 * len(liars) * DEADLINE


def test_who_says_that_it_is_ahead_and_brings_nothing_new_holds_up_the_next_blocks_only_once() -> None:
    """A node that only follows asks for every block. A liar that nobody outbids is asked whenever there is nothing else to ask for;
    it answers what it can, so that its word holds again and again."""
    s, top, waits = Sync(), 5, list[int]()
    s.patience, liar, honest = 0, LIARS[0], HONEST[0]
    s.at(5, 0)
    s.next_request(0)
    for n in range(200):
        top, told = top + 1, n * 300
        s.peer(liar, 2**40)
        s.next_request(told)
        s.peer(honest, top)
        for now in range(told, told + DEADLINE + 10, 10):
            request = s.next_request(now)
            if request is not None and request[0] == honest:
                break
            if request is not None:
                s.answered(liar, now=now)
                s.useful(liar)
        waits.append(now - told)
        assert s.answered(honest, now=now + 10) == top
        s.useful(honest)
        s.at(top, now + 10)
    assert sum(waits) <= 2 * DEADLINE, "not once for every block"


# --- between nodes ----------------------------------------------------------------------------------------------------------------


def chain_of(heights: int) -> Net:
    net = Net()
    for n in range(heights):
        net.submit(0, transfer(0, n))
        net.reach(n + 1)
    return net


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(5)


def items(net: Net) -> list[m.SyncBlock]:
    commits = [net.commits[0][h] for h in range(1, 6)]
    return [m.SyncBlock(c.block, m.decode_certificate(c.certificate)) for c in commits]


def test_a_node_that_was_away_catches_up_by_certificates_alone(net: Net) -> None:
    node = fresh(4)
    (request,) = sent(receive(node, 1, m.Status(5, 1)), m.GetBlocks)
    assert request == m.GetBlocks(1, m.MAX_SYNC_BLOCKS)
    effects = receive(node, 1, m.Blocks(items(net)))
    assert node.height == 5
    assert node.state.root == net.nodes[0].state.root
    kinds = [effect.height for effect in effects if isinstance(effect, e.Commit | e.Decided)]
    assert kinds == [*range(1, 6), *range(1, 6)], "nobody is told of a height before all of them are on disk"
    assert [c.durable for c in of_kind(effects, e.Commit)] == [False] * 4 + [True]
    assert [d.height for d in of_kind(effects, e.Decided)] == [1, 2, 3, 4, 5]
    assert node.consensus.height == 6


def eager(index: int = 4) -> Node:
    """A node that has every signature of a batch checked elsewhere."""
    node = fresh(index)
    node._batches.worth = 1
    receive(node, 1, m.Status(5, 1))
    return node


def checked(work: e.CheckSignatures) -> e.SignaturesChecked:
    return e.SignaturesChecked(work.ticket, work.checks, are_signed(genesis().chain_id, work.checks))


def test_signatures_are_checked_elsewhere_while_the_next_blocks_are_asked_for(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    node = eager()
    first = receive(node, 1, m.Blocks(items(net)[:2]))
    (work,) = of_kind(first, e.CheckSignatures)
    assert sent(first, m.GetBlocks) == [m.GetBlocks(3, m.MAX_SYNC_BLOCKS)]
    assert len(work.checks) == 2
    assert node.height == 0
    (second,) = of_kind(receive(node, 1, m.Blocks(items(net)[2:])), e.CheckSignatures)
    assert node.handle(checked(second), T0) == [], "the blocks before these wait still"
    answers = checked(work)
    monkeypatch.setattr("learningchain.chain.ledger.tx.verify", lambda *_: pytest.fail("a signature was checked twice"))
    node.handle(answers, T0)
    assert node.height == 5


def test_the_first_blocks_of_an_answer_are_executed_while_the_last_are_checked(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PIECE", 2)
    node = eager()
    works = of_kind(receive(node, 1, m.Blocks(items(net))), e.CheckSignatures)
    assert [len(work.checks) for work in works] == [2, 2, 1]
    assert len(node._batches) == 1, "one answer"
    heights = []
    for work in works:
        node.handle(checked(work), T0)
        heights.append(node.height)
    assert heights == [2, 4, 5]


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_bad_block_in_a_long_answer_keeps_what_stood_before_it(net: Net, monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    monkeypatch.setattr(batches, "PIECE", 2)
    node, found = eager(), items(net)
    found[bad] = forge(found[bad], "signature")
    effects = []
    for work in of_kind(receive(node, 1, m.Blocks(found)), e.CheckSignatures):
        effects += node.handle(checked(work), T0)
    assert node.height == bad
    assert [penalty.peer for penalty in of_kind(effects, e.Penalize)] == [A], "once"
    assert len(node._batches) == 0


@pytest.mark.parametrize("good", [b"", bytes(9)])
def test_what_nobody_found_good_is_checked_in_its_block(net: Net, good: bytes) -> None:
    node = eager()
    (work,) = of_kind(receive(node, 1, m.Blocks(items(net))), e.CheckSignatures)
    node.handle(e.SignaturesChecked(work.ticket, work.checks, good), T0)
    assert node.height == 5
    assert node.handle(checked(work), T0) == [], "an answer counts once"


def test_only_so_many_answers_wait_to_be_executed(net: Net) -> None:
    node = eager()
    receive(node, 1, m.Status(99, 1))
    blocks = items(net)
    asked = [sent(receive(node, 1, m.Blocks([block])), m.GetBlocks) for block in blocks[: MAX_BATCHES + 1]]
    assert [len(a) for a in asked] == [1] * (MAX_BATCHES - 1) + [0, 0]
    assert len(node._batches) == MAX_BATCHES


def test_what_follows_on_a_forged_batch_is_dropped_and_costs_nobody_else(net: Net) -> None:
    node = eager()
    good = items(net)
    (work,) = of_kind(receive(node, 1, m.Blocks([good[0], forge(good[1], "signature")])), e.CheckSignatures)
    receive(node, 2, m.Status(5, 1))
    node.sync._asked = sync.Asked(B, 3, T0 + DEADLINE, T0)
    (later,) = of_kind(receive(node, 2, m.Blocks(good[2:])), e.CheckSignatures)
    effects = node.handle(checked(work), T0)
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [A]
    assert node.height == 1
    assert len(node._batches) == 0
    assert sent(effects, m.GetBlocks) == [m.GetBlocks(2, m.MAX_SYNC_BLOCKS)]
    node.handle(checked(later), T0)
    assert node.height == 1


def test_without_having_asked_nothing_is_taken(net: Net) -> None:
    node = fresh(4)
    assert receive(node, 1, m.Blocks(items(net))) == []
    assert node.height == 0


def certified(header: Header, like: Certificate) -> Certificate:
    """By the signers and in the round of another certificate."""
    return signed_for(header.height, block_id(header), like)


def signed_for(height: int, key: bytes, like: Certificate) -> Certificate:
    members, keys = genesis().validators, {ident(i): i for i in range(4)}
    votes = [vote(keys[members[i].id], PRECOMMIT, height, like.round, key) for i in like.signers]
    return Certificate(height, like.round, key, like.signers, [v.signature for v in votes])


def forge(item: m.SyncBlock, what: str) -> m.SyncBlock:
    block, cert = decode_block(item.block), item.certificate
    if what == "signature":
        return m.SyncBlock(item.block, replace(cert, signatures=[bytes(64), *cert.signatures[1:]]))
    if what == "too few":
        return m.SyncBlock(item.block, replace(cert, signers=cert.signers[:2], signatures=cert.signatures[:2]))
    if what == "block":
        header = replace(block.header, time=block.header.time + 1)
        return m.SyncBlock(encode(Block(header, block.txs)), replace(cert, block_id=block_id(header)))
    if what == "header":  # the certificate of the block that it was made from
        return m.SyncBlock(encode(Block(replace(block.header, time=block.header.time + 1), block.txs)), cert)
    if what == "round":
        header = replace(block.header, round=cert.round + 4)  # of four validators it is the same one's turn
        return m.SyncBlock(encode(Block(header, block.txs)), certified(header, cert))
    if what == "height":
        return m.SyncBlock(item.block, signed_for(cert.height + 1, cert.block_id, cert))
    if what == "body":
        return m.SyncBlock(encode(Block(block.header, [])), cert)
    return m.SyncBlock(b"junk", cert)


@pytest.mark.parametrize("what", ["signature", "too few", "block", "header", "round", "height", "body", "bytes"])
def test_a_forged_block_costs_its_sender_and_the_good_ones_before_it_stay(net: Net, what: str) -> None:
    node = fresh(4)
    receive(node, 1, m.Status(5, 1))
    good = items(net)
    effects = receive(node, 1, m.Blocks([*good[:2], forge(good[2], what), *good[3:]]))
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [A]
    assert node.height == 2
    receive(node, 2, m.Status(5, 1), T0 + 1)
    receive(node, 2, m.Blocks(good[2:]), T0 + 2)
    assert node.height == 5


def test_an_empty_or_late_answer_is_no_crime(net: Net) -> None:
    node = fresh(4)
    receive(node, 1, m.Status(5, 1))
    assert of_kind(receive(node, 1, m.Blocks([])), e.Penalize) == []
    receive(node, 2, m.Status(5, 1))
    receive(node, 2, m.Blocks(items(net)))
    node.sync._asked = sync.Asked(A, 3, T0 + DEADLINE, T0)
    assert of_kind(receive(node, 1, m.Blocks(items(net)[2:])), e.Penalize) == []
    assert A not in node.sync._backed_off


def test_a_decided_block_that_our_rules_forbid_stops_the_node(net: Net) -> None:
    """Two thirds of the validators run other rules, or this machine is damaged: going on would mean another state."""
    item = items(net)[0]
    with pytest.raises(BrokenInvariant):
        decided.redo(net.nodes[0].state, bytes(32), decode_block(item.block), None)


def test_blocks_are_consecutive(net: Net) -> None:
    state = state_of(genesis())
    with pytest.raises(Malformed):
        decided.check(state, genesis().chain_id, open_block(items(net)[1], fresh().pool), fresh().pool)


def test_an_answer_stays_a_peer_message() -> None:
    cert = encode(Certificate(1, 0, bytes(32), [0], [bytes(64)]))
    assert len(decided.answer([(bytes(2_000_000), cert)] * 5).blocks) == 2
    assert len(decided.answer([(bytes(4_060_000), cert)] * 2).blocks) == 1
    assert len(decided.answer([(bytes(m.MAX_SYNC_ANSWER + 1), cert)] * 2).blocks) == 1, "the first goes whatever its size"


def test_a_request_for_what_is_not_here_gets_an_empty_answer() -> None:
    node = fresh()
    for start in (0, 1, 99):
        assert sent(receive(node, 1, m.GetBlocks(start, 9)), m.Blocks) == [m.Blocks([])]


def test_a_request_is_answered_from_the_store(net: Net) -> None:
    (read,) = of_kind(receive(net.nodes[0], 1, m.GetBlocks(4, 64), net.now), e.ReadBlocks)
    assert (read.peer, read.start, read.count, read.size) == (A, 4, 2, m.MAX_SYNC_BYTES)


def test_somebody_who_claims_to_be_far_ahead_stops_nobody() -> None:
    net = Net()
    net.run(10)
    for node in net.nodes[:4]:
        receive(node, 4, m.Status(2**48, 1), net.now)
    net.submit(0, transfer(0, 0))
    net.run(200)
    assert [node.height for node in net.nodes] == [1] * 5


def test_a_peer_that_has_gone_is_nobody_to_ask() -> None:
    node = fresh()
    node.handle(e.PeerDown(A), T0)
    assert sent(receive(node, 1, m.Status(9, 1)), m.GetBlocks) == []
    assert A not in node._peers


def test_floods_of_heights_states_and_unknown_blocks_leave_no_trace() -> None:
    node = fresh()
    for n in range(300):
        receive(node, 1, m.Status(n * 1_000, 1), T0 + n)
        state = RoundState(2**40 + n, 0, 0, -1, b"", -1, b"", [], False, b"", b"")
        receive(node, 2, m.StateMessage(state), T0 + n)
        receive(node, 3, m.GetBlock(n, n.to_bytes(32, "big"), []), T0 + n)
        receive(node, 3, m.BlockTxs(n.to_bytes(32, "big"), [0], [b"x"]), T0 + n)
    assert len(node._bodies.blocks) <= MAX_CANDIDATES
    assert len(node._bodies.wanted) == 0
    assert len(node._inputs) == 0
    assert len(node.sync._heights) <= 3
    assert node.params == PARAMS


# --- peers that keep no old blocks (LC-NODE-71) ----------------------------------------------------------------------------------


def test_who_keeps_the_next_block_no_more_is_not_asked_and_nothing_is_held_against_it() -> None:
    sync = Sync()
    sync.patience = 0
    sync.at(0, 0)
    sync.peer(b"p", 900, 500)
    assert sync.next_request(0) is None
    assert sync.next_is_pruned
    assert sync.trusted_height(0) == 900, "its word on its height holds"
    sync.peer(b"a", 700, 1)
    assert not sync.next_is_pruned
    request = sync.next_request(1)
    assert request is not None and request[:2] == (b"a", 1)
    sync.answered(b"a", 1, 2)
    sync.at(499, 2)
    found = {(sync.next_request(3, arrived) or (b"",))[0] for arrived in (499,)}
    assert found <= {b"a", b"p"}, "both keep block 500"
    sync.peer(b"a", None)
    sync.peer(b"p", 950)
    sync.at(498, 4)
    assert sync.next_is_pruned, "a height alone takes nothing back"
    sync.peer(b"p", None)
    assert not sync.next_is_pruned, "who has gone is nobody to ask"


def test_a_node_tells_from_where_on_it_keeps_blocks_and_answers_nothing_about_older_ones(net: Net) -> None:
    node = fresh(4)
    receive(node, 1, m.Status(5, 1))
    receive(node, 1, m.Blocks(items(net)))
    node.first_block = 3
    effects = node.handle(e.PeerUp(ident(3)), T0)
    assert sent(effects, m.Status) == [m.Status(5, 3)]
    assert sent(receive(node, 3, m.GetBlocks(2, 5)), m.Blocks) == [m.Blocks([])]
    assert of_kind(receive(node, 3, m.GetBlocks(3, 5)), e.ReadBlocks)
