"""What a validator sends to others itself is not passed on to them; everybody else gets it passed on."""

from __future__ import annotations

from chain.node import events as e
from chain.node import messages as m
from chain.node.links import LinkBook
from chain.node.node import Node
from chain.types import NIL, PREVOTE
from tests.unit.node_kit import T0, fresh, ident, of_kind, receive, sent, vote

A, B, C, OUTSIDER = ident(1), ident(2), ident(3), ident(4)
VALIDATORS = frozenset({ident(0), A, B, C})


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
    book = LinkBook()
    book.heard(A, m.Links([B]))
    assert book.served(B, VALIDATORS) == {A}
    assert book.served(B, frozenset({B})) == frozenset(), "no validator any more"
    book.down(A)
    assert book.served(B, VALIDATORS) == frozenset()
