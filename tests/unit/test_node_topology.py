"""What a validator sends to others itself is not passed on to them; votes stay among validators, transactions go to them."""

from __future__ import annotations

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.node import Node
from learningchain.chain.node.topology import WAY_TICKS, WAYS, PeerTopology
from learningchain.chain.types import NIL, PREVOTE
from tests.unit.node_kit import T0, Net, fresh, ident, of_kind, receive, sent, transfer, vote

A, B, C, OUTSIDER = ident(1), ident(2), ident(3), ident(4)
VALIDATORS = frozenset({ident(0), A, B, C})
RAW = transfer(4, 0)
PUSH = m.Txs([RAW])


def passed_on(node: Node, voter: int, via: int, now: int = T0) -> frozenset[bytes]:
    """Whom a vote is not passed on to."""
    effects = receive(node, via, m.VoteMessage(vote(voter, PREVOTE, 1, 0, NIL)), now)
    (gossip,) = [g for g in of_kind(effects, e.Gossip) if isinstance(m.decode_message(g.payload), m.VoteMessage)]
    return gossip.exclude


def test_a_vote_is_not_passed_on_to_validators_that_are_connected_with_its_voter() -> None:
    node = fresh(0, peers=(1, 2, 3, 4))
    receive(node, 2, m.Links([A]))
    receive(node, 3, m.Links([B]))
    receive(node, 4, m.Links([A, B, C]))
    assert passed_on(node, 1, via=1) == {A, B}, "C is not connected with A; the observer is served by no validator for sure"
    assert passed_on(node, 2, via=1) == {A, B, C}


def test_the_word_of_a_peer_ends_with_its_connection() -> None:
    node = fresh(0, peers=(1, 2, 3, 4))
    receive(node, 2, m.Links([A]))
    node.handle(e.PeerDown(B), T0)
    receive(node, 2, m.Links([A]))
    assert passed_on(node, 1, via=1) == {A}, "not connected: not heard"


def test_a_new_peer_is_told_at_once_and_everybody_when_something_changes() -> None:
    node = fresh(0, peers=())
    effects = node.handle(e.PeerUp(OUTSIDER), T0)
    assert [m.decode_message(s.payload) for s in of_kind(effects, e.Send)][1:] == [m.Links([])]
    effects = node.handle(e.PeerUp(B), T0)
    assert [m.decode_message(s.payload) for s in of_kind(effects, e.Send)][1:] == [m.Links([B])]
    assert sent(node.handle(e.Fired(e.Tick()), T0 + 100), m.Links) == [m.Links([B])]
    assert sent(node.handle(e.Fired(e.Tick()), T0 + 200), m.Links) == []


def test_a_book_keeps_only_connected_peers() -> None:
    book = PeerTopology(ident(0))
    book.validators = VALIDATORS
    book.heard(A, m.Links([B]))
    assert book.reached_by(B) == frozenset(), "not connected: not heard"
    book.up(A)
    book.heard(A, m.Links([B]))
    assert book.reached_by(B) == {A}
    book.validators = frozenset({B})
    assert book.reached_by(B) == frozenset(), "no validator any more"
    book.validators = VALIDATORS
    book.down(A)
    assert book.reached_by(B) == frozenset()


# --- votes stay among validators --------------------------------------------------------------------------------------------------


def targets(effects: list[e.Effect], kind: type[m.Message]) -> tuple[set[e.Scope], set[bytes]]:
    """How messages of a kind go out: to whole scopes, and to single peers."""
    scopes = {g.scope for g in of_kind(effects, e.Gossip) if isinstance(m.decode_message(g.payload), kind)}
    return scopes, {s.peer for s in of_kind(effects, e.Send) if isinstance(m.decode_message(s.payload), kind)}


def tick(node: Node, now: int = T0 + 100) -> list[e.Effect]:
    return node.handle(e.Fired(e.Tick()), now)


def test_a_validator_out_of_reach_gets_votes_through_two_members_that_lead_to_it_and_no_more() -> None:
    node = fresh(0, peers=(1, 2, 4, 5, 6))
    for member in (4, 5, 6):
        receive(node, member, m.Links([C]))
    tick(node)
    _, through = targets(receive(node, 1, m.VoteMessage(vote(1, PREVOTE, 1, 0, NIL))), m.VoteMessage)
    assert len(through) == 2 and through < {ident(4), ident(5), ident(6)}
    receive(node, 2, m.Links([C]))
    tick(node)
    assert targets(receive(node, 1, m.VoteMessage(vote(2, PREVOTE, 1, 0, NIL))), m.VoteMessage) == ({e.Scope.CONSENSUS}, set())


def test_who_follows_tells_the_others_and_serves_them_from_memory() -> None:
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    news = [g for g in of_kind(net.effects[4], e.Gossip) if g.payload == encode(m.Status(1, 1)) and g.scope is e.Scope.MESH]
    assert len(news) == 1
    (answer,) = of_kind(net.nodes[4].handle(e.Received(A, encode(m.GetBlocks(1, 1))), net.now), e.Send)
    assert isinstance(found := m.decode_message(answer.payload), m.Blocks) and len(found.blocks) == 1


def test_a_height_is_told_every_second_to_a_bounded_number_and_every_ten_to_all() -> None:
    def told(node: Node) -> list[set[e.Scope]]:
        return [
            {g.scope for g in of_kind(tick(node, T0 + 100 * i), e.Gossip) if g.payload == encode(m.Status(0, 1))}
            for i in range(1, 101)
        ]

    both = {e.Scope.CONSENSUS, e.Scope.MESH}
    seen = told(fresh(0, peers=(1, 4)))
    assert [seen[i] for i in (8, 9, 19, 99)] == [set(), both, both, {e.Scope.ALL}]
    seen = told(fresh(4, peers=(0, 5)))
    assert [seen[i] for i in (9, 99)] == [{e.Scope.MESH}, {e.Scope.ALL}]
    assert told(fresh(4, peers=(0, 1)))[9] == both, "without other members it tells the validators"


# --- transactions go to validators ------------------------------------------------------------------------------------------------


def test_a_validator_s_transaction_goes_to_all_validators_and_is_announced_to_those_it_does_not_reach() -> None:
    node = fresh(0, peers=(1, 2, 3, 4))
    node.submit(RAW, T0)
    assert targets(node.flush(T0), m.Txs) == ({e.Scope.CONSENSUS}, set())
    node = fresh(0, peers=(1, 2, 3, 4))
    receive(node, 2, m.Links([ident(0), A]))
    receive(node, 1, PUSH)
    assert targets(node.flush(T0), m.Txs) == (set(), set())
    assert targets(tick(node), m.TxIds) == (set(), {C}), "B is linked with A; who does not vote gets it in a block"


def test_a_member_s_transaction_goes_in_through_one_validator_which_sends_it_to_the_others() -> None:
    member = fresh(4, peers=(1, 2, 5))
    member.submit(RAW, T0)
    scopes, entry = targets(member.flush(T0), m.Txs)
    assert not scopes and len(entry) == 1 and entry < {A, B}
    validator = fresh(0, peers=(1, 2, 3, 4))
    receive(validator, 4, PUSH)
    assert targets(validator.flush(T0), m.Txs) == ({e.Scope.CONSENSUS}, set())


def test_a_member_without_validators_uses_two_peers_that_have_some_and_otherwise_its_mesh() -> None:
    member = fresh(4, peers=(5, 6, 7, 8))
    member.submit(RAW, T0)
    assert targets(member.flush(T0), m.Txs) == ({e.Scope.MESH}, set())
    for peer in (5, 6, 7):
        receive(member, peer, m.Links([A]))
    member.submit(transfer(4, 1), T0)
    scopes, ways = targets(member.flush(T0), m.Txs)
    assert not scopes and len(ways) == 2 and ways < {ident(5), ident(6), ident(7)}
    way = fresh(5, peers=(4, 1))
    receive(way, 4, PUSH)
    assert targets(way.flush(T0), m.Txs) == (set(), {A})


def test_a_transaction_that_its_entry_kept_to_itself_is_announced_to_the_next_one() -> None:
    member = fresh(4, peers=(1, 2, 5))
    member.submit(RAW, T0)
    _, first = targets(member.flush(T0), m.Txs)
    reminders = [targets(tick(member, T0 + 100 * i), m.TxIds)[1] for i in range(1, 41)]
    assert [r for r in reminders if r] == [{A, B} - first]


def test_members_that_only_say_they_lead_to_a_validator_do_not_keep_its_votes_from_it_for_ever() -> None:
    """Four liars whose ids come first, and one member that leads to the validator that nobody else is connected with."""
    book = PeerTopology(ident(0))
    book.validators = frozenset(ident(i) for i in range(4))
    lost, honest, liars = ident(3), b"\xff" * 20, [bytes([n]) * 20 for n in range(4)]
    for peer in (ident(1), ident(2), honest, *liars):
        book.up(peer)
    for peer in (honest, *liars):
        book.heard(peer, m.Links([lost]))
    used: list[frozenset[bytes]] = []
    for _ in range(3 * WAY_TICKS):
        book.changed()
        used.append(frozenset(f.peer for f in of_kind(book.to_validators(b"vote", e.VOTES), e.Send)))
    assert all(len(ways) == WAYS for ways in used)
    assert sum(honest in ways for ways in used) >= WAY_TICKS
    assert len(set(used)) == 3, "not another one at every tick: answers come the same way"


def test_who_knows_a_message_is_no_way_for_it_and_who_has_gone_is_none_any_more() -> None:
    """It would get every vote twice that it passed on itself."""
    links = PeerTopology(ident(0))
    links.validators = VALIDATORS
    for peer, reaches in ((A, [B]), (OUTSIDER, [C])):
        links.up(peer)
        links.heard(peer, m.Links(reaches))
    links.changed()

    def ways(known: frozenset[bytes] = frozenset()) -> list[bytes]:
        return [send.peer for send in of_kind(links.to_validators(b"vote", e.VOTES, known), e.Send)]

    assert ways() == [OUTSIDER], "to C alone there is no shorter way"
    assert ways(frozenset({OUTSIDER, A})) == []
    links.down(OUTSIDER)
    links.changed()
    assert ways() == []


# --- whoever lacks a vote gets it, whatever links there are ----------------------------------------------------------------------

DOWN = {(3, one) for one in range(3)}
"""One of four is silent: no vote of the three others can be missed."""
MISSING: dict[str, set[tuple[int, int]]] = {
    "one sends to one only": DOWN | {(2, 1)},
    "and hears it only": DOWN | {(2, 1), (1, 2)},
    "a ring of votes": DOWN | {(1, 0), (2, 1), (0, 2)},
    "a line of four": {(a, b) for a in range(4) for b in range(4) if abs(a - b) > 1},
}
"""Who does not send to whom, though all say that they are connected with all: so nobody passes on what another says it sends."""


@pytest.mark.parametrize("name", MISSING)
def test_who_lacks_a_vote_gets_it_from_whoever_has_it(name: str) -> None:
    missing = MISSING[name]
    votes = name == "a ring of votes"

    def lost(source: int, target: int, message: m.Message) -> bool:
        return (source, target) in missing and (isinstance(message, m.VoteMessage) if votes else not isinstance(message, m.Links))

    net = Net(observers=0, lost=lost)
    alive = [node for index, node in enumerate(net.nodes) if DOWN - missing or index != 3]
    for turn in range(4):
        net.submit(turn % 3, transfer(turn % 3, turn // 3))
        before = min(node.height for node in alive)
        net.run(60_000, lambda: all(node.height > before for node in alive))  # noqa: B023
        assert min(node.height for node in alive) > before, [node.height for node in net.nodes]
