"""What peers may ask of a node (LC-NODE-50, 51): how much of one, how much of all, whose turn it is, and what is not answered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from learningchain.chain.consensus.messages import RoundState
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.node import STATE_EVERY
from learningchain.chain.node.relay import MAX_ANSWER, Relay
from learningchain.chain.node.service import (
    ALL_READS,
    BODIES,
    FORGERIES,
    HEIGHTS,
    MAX_OPEN,
    MAX_READS,
    OFFERS,
    POOL,
    READS,
    PeerService,
)
from learningchain.chain.params import MAX_TX_BYTES
from tests.unit.node_kit import T0, Net, fresh, ident, of_kind, receive, sent, transfer

QUESTION = m.GetBlocks(1, 64)


def names(count: int) -> list[bytes]:
    return [b"peer %03d" % i for i in range(count)]


def run(service: PeerService, peers: list[bytes], ms: int, *, per_ms: int = 5) -> dict[bytes, int]:
    """Everybody asks all the time, and the disk is quick: how often each one was served."""
    served = dict.fromkeys(peers, 0)
    for now in range(ms):
        for peer in peers:
            for _ in range(per_ms):
                service.ask(peer, QUESTION)
        while (turn := service.next(now)) is not None:
            served[turn[0]] += 1
            service.done(turn[0])
    return served


def test_few_questions_of_a_peer_are_open_and_the_others_are_dropped() -> None:
    service = PeerService()
    (a,) = names(1)
    assert [service.ask(a, QUESTION) for _ in range(MAX_OPEN + 2)] == [True] * MAX_OPEN + [False, False]
    assert service.next(0) == (a, QUESTION)
    assert not service.ask(a, QUESTION), "what is being read is open, too"
    service.done(a)
    assert service.ask(a, QUESTION)


def test_one_question_of_a_peer_is_read_at_a_time_and_few_of_all() -> None:
    service = PeerService()
    peers = names(MAX_READS + 3)
    for peer in peers:
        service.ask(peer, QUESTION)
        service.ask(peer, QUESTION)
    assert [service.next(0) for _ in range(MAX_READS + 1)] == [*((p, QUESTION) for p in peers[:MAX_READS]), None]
    service.done(peers[0])
    assert service.next(0) == (peers[MAX_READS], QUESTION), "who was served goes to the end of the line"


def test_a_peer_is_served_at_its_rate() -> None:
    (a,) = names(1)
    assert run(PeerService(), [a], 5_000)[a] == READS.rate.burst + 5 * READS.rate.per_s - 1


def test_all_peers_together_are_served_at_the_rate_over_all_and_each_alike() -> None:
    served = run(PeerService(), names(20), 5_000, per_ms=1)
    assert ALL_READS.burst + 5 * ALL_READS.per_s - 1 == sum(served.values())
    assert max(served.values()) - min(served.values()) <= 1


def test_nothing_is_read_for_a_peer_whose_queue_is_not_near_empty() -> None:
    service = PeerService()
    slow, quick = names(2)
    waits = {slow: READS.max_queued, quick: READS.max_queued - 1}
    service.queued = lambda peer, lane: waits[peer] if lane == e.REQUESTS else 0
    service.ask(slow, QUESTION)
    service.ask(quick, QUESTION)
    assert service.next(0) == (quick, QUESTION)
    assert service.next(0) is None
    waits[slow] -= 1
    assert service.next(0) == (slow, QUESTION)


def test_who_connects_again_has_no_more_than_before() -> None:
    service = PeerService()
    (a,) = names(1)
    assert run(service, [a], 22)[a] == READS.rate.burst
    service.down(a)
    assert service.open(a) == 0
    service.ask(a, QUESTION)
    assert service.next(22) is None


def test_what_is_read_for_a_peer_counts_until_it_is_read_wherever_the_peer_is() -> None:
    """Else who connects again while its answer is made has another one made beside it, and so on."""
    service = PeerService()
    (a,) = names(1)
    service.ask(a, QUESTION)
    assert service.next(0) == (a, QUESTION)
    service.down(a)
    assert (service.open(a), service.reading) == (1, 1)
    service.ask(a, QUESTION)
    assert service.next(0) is None
    service.done(a)
    assert service.next(0) == (a, QUESTION)


def test_what_is_answered_from_memory_counts_for_its_peer_alone() -> None:
    """Many may follow the chain block by block."""
    service = PeerService()
    peers = names(20)
    for peer in peers:
        for _ in range(READS.rate.burst):
            service.ask(peer, QUESTION)
            assert service.next(0) == (peer, QUESTION)
            service.done(peer, unread=True)
        service.ask(peer, QUESTION)
        assert service.next(0) is None
        service.down(peer)


def test_of_the_rates_that_are_known_the_one_longest_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a peer buys itself new ones with a few others' names."""
    monkeypatch.setattr("learningchain.chain.node.service.MAX_KNOWN", 3)
    service = PeerService()
    greedy, *others = names(9)
    assert sum(service.allows(greedy, BODIES, 0) for _ in range(99)) == BODIES.rate.burst
    for other in others:
        assert service.allows(other, BODIES, 0)
        assert not service.allows(greedy, BODIES, 0)


# --- in a node ----------------------------------------------------------------------------------------------------------------


def test_a_node_asked_for_blocks_again_and_again_reads_one_answer_at_a_time() -> None:
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    net.submit(0, transfer(0, 1))
    net.reach(2)
    node = net.nodes[0]
    effects = [x for i in range(5_000) for x in receive(node, 4, (m.GetBlocks, m.GetExecutedBlocks)[i % 2](1, 64), net.now)]
    assert len(of_kind(effects, e.ReadBlocks)) == 1 and not of_kind(effects, e.Penalize)
    rest = [x for _ in range(50) for x in node.handle(e.Answered(ident(4), None), net.now)]
    assert len(of_kind(rest, e.ReadBlocks)) == MAX_OPEN - 1


def test_questions_of_a_peer_that_has_gone_are_forgotten() -> None:
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    node, waits = net.nodes[0], READS.max_queued
    node.service.queued = lambda peer, lane: waits
    receive(node, 3, QUESTION, net.now)
    node.handle(e.PeerDown(ident(3)), net.now)
    waits = 0
    effects = node.handle(e.Fired(e.Tick()), net.now + 100)
    assert not [s for s in of_kind(effects, e.Send) if s.peer == ident(3)]


def test_transactions_bodies_and_heights_are_not_sent_more_often_than_allowed() -> None:
    node = fresh(0)
    raw = transfer(0, 0)
    short = node.submit(raw, T0)[:8]
    effects = [x for _ in range(500) for x in receive(node, 1, m.GetTxs([short]))]
    assert sent(effects, m.Txs) == [m.Txs([raw])] * POOL.rate.burst
    node.height = 9
    effects = [x for _ in range(500) for x in receive(node, 1, m.Status(3, 1))]
    assert sent(effects, m.Status) == [m.Status(9, 1)] * HEIGHTS.rate.burst
    assert sent(receive(node, 2, m.Status(3, 1)), m.Status) == [m.Status(9, 1)], "another peer's rate is another one"


def test_a_member_whose_transactions_are_refused_is_not_heard_for_long_and_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rightly signed, and refused for nothing but their sequence, so that sending them is no fault."""
    node, looked = fresh(0, peers=(1, 2, 3, 4, 5)), list[bytes]()
    add = node.pool.add

    def count(state: State, raw: bytes, height: int, *, local: bool) -> ParsedTx | None:
        looked.append(raw)
        return add(state, raw, height, local=local)

    monkeypatch.setattr(node.pool, "add", count)
    flood = m.Txs([transfer(4, 9_000 + i) for i in range(m.MAX_BATCH)])
    for _ in range(200):
        assert not of_kind(receive(node, 4, flood), e.Penalize)
    assert len(looked) == OFFERS.rate.burst
    looked.clear()
    for turn in range(1, 101):
        for _ in range(10):
            receive(node, 4, flood, T0 + 100 * turn)
    assert len(looked) <= 10 * OFFERS.rate.per_s + m.MAX_BATCH
    late = T0 + 10_000
    looked.clear()
    receive(node, 4, flood, late)
    assert not looked, "it is still too much"
    receive(node, 5, m.Txs([transfer(5, 0)]), late)
    receive(node, 1, m.Txs([transfer(1, 0)]), late)
    assert len(node.pool) == 2, "others' are taken"
    for n in range(100):
        receive(node, 1, flood, late + n)
    receive(node, 1, m.Txs([transfer(2, 0)]), late + 100)
    assert len(node.pool) == 3, "a validator passes on what others offer it"
    receive(node, 4, m.Txs([transfer(4, 0)]), late + 2_000)
    assert len(node.pool) == 4, "and after a while the member is heard again"


def behind(height: int) -> RoundState:
    """A peer that decides this height and has nothing of it."""
    return RoundState(height, 0, 0, -1, b"", -1, b"", [], False, b"", b"")


def test_round_states_of_a_peer_are_answered_once_in_a_while() -> None:
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    node, now = net.nodes[0], net.now + 10_000
    told = [sent(receive(node, 3, m.StateMessage(behind(1)), now + at), m.Status) for at in (0, 0, STATE_EVERY - 1, STATE_EVERY)]
    assert told == [[m.Status(1, 1)], [], [], [m.Status(1, 1)]]
    assert sent(receive(node, 2, m.StateMessage(behind(1)), now + STATE_EVERY), m.Status) == [m.Status(1, 1)]


def test_a_question_for_transactions_gets_four_messages_at_most() -> None:
    """512 ids of the largest transactions are 33 MB."""
    raws = {number.to_bytes(8, "big"): number.to_bytes(2, "big") * (MAX_TX_BYTES // 2) for number in range(m.MAX_BATCH)}
    pool = SimpleNamespace(by_short=lambda short: SimpleNamespace(raw=raws[short]))
    answers = [m.decode_message(s.payload) for s in Relay().answer(list(raws), b"peer", cast(Any, pool))]
    assert len(answers) == MAX_ANSWER == 4
    found = [raw for answer in answers if isinstance(answer, m.Txs) for raw in answer.txs]
    assert found == list(raws.values())[: len(found)] and 0 < len(found) < m.MAX_BATCH


def test_bad_signatures_are_excused_for_a_while_and_then_cost_the_peer() -> None:
    """LC-NODE-70: a peer that knows of a new key already is honest; one that forges and forges is not."""
    node = fresh(0)
    good = transfer(1, 0)
    wrong = m.Txs([good[:-1] + bytes((good[-1] ^ 1,))])
    excused = [of_kind(receive(node, 2, wrong, T0), e.Penalize) for _ in range(FORGERIES.rate.burst)]
    assert excused == [[]] * FORGERIES.rate.burst
    assert of_kind(receive(node, 2, wrong, T0), e.Penalize)
    assert not of_kind(receive(node, 3, wrong, T0), e.Penalize), "each peer has its own"
