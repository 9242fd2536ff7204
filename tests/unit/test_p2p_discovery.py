"""Whom a node dials, when it asks for more addresses, and what of the answers it keeps. LC-P2P-30 to LC-P2P-33."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import replace

import pytest

from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.discovery import Dial, Wanted, absorb, choose_dials
from learningchain.p2p.transport import MAX_SOUGHT
from learningchain.p2p.wire import PeerAddresses, Peers
from tests.unit.p2p_kit import FAST, Node, members_of, running, until

NOW = 1_800_000_000.0


def member(i: int) -> bytes:
    return i.to_bytes(20, "big")


def chosen(
    book: AddressBook, wanted: Wanted, *, seed: int = 0, connected: Collection[bytes] = (), dialling: Collection[Dial] = ()
) -> list[Dial]:
    return choose_dials(book, NOW, wanted, own_id=bytes(20), connected=connected, dialling=dialling, rng=random.Random(seed))


def test_an_address_is_dialled_once_at_a_time_whoever_is_said_to_be_there() -> None:
    book = AddressBook()
    for i in (1, 2):
        book.succeeded(member(i), "h:1", NOW)
    wanted = Wanted(frozenset(), 9, 9)
    assert [dial.address for dial in chosen(book, wanted)] == ["h:1"]
    assert chosen(book, wanted, dialling=(Dial("h:1", None),)) == []
    book.learn(member(2), ["other:1"], teller=member(2))
    assert {(dial.peer, dial.address) for dial in chosen(book, wanted, dialling=(Dial("h:1", member(1)),))} == {
        (member(2), "other:1")
    }
    book.add_seed("h:1")
    assert [dial.address for dial in chosen(book, wanted)].count("h:1") == 1


def test_whoever_is_sought_is_dialled_though_there_are_enough_others() -> None:
    book, wanted = AddressBook(), Wanted(frozenset(), 1, 8)
    for i in (1, 2, 3):
        book.succeeded(member(i), f"h:{i}", NOW)
    have, rng = [member(1)], random.Random(0)
    assert chosen(book, wanted, connected=have) == []
    for sought, blocked in (((member(3), member(9)), ()), ((member(2), member(3)), (member(2),))):
        dials = choose_dials(
            book, NOW, wanted, own_id=bytes(20), connected=have, dialling=[], rng=rng, blocked=blocked, sought=sought
        )
        assert dials == [Dial("h:3", member(3))]


async def test_a_member_that_is_no_peer_becomes_one_when_it_is_sought_and_few_are() -> None:
    few, members = replace(FAST, other_peers=1), members_of(0, 1, 2)
    between = Node(0, members)
    async with running(between):
        near = Node(1, members, seeds=[between.address], config=few)
        far = Node(2, members, seeds=[between.address], config=few)
        async with running(near, far):
            await until(lambda: len(between.connected()) == 2)
            for i in range(3, 3 + 2 * MAX_SOUGHT):
                near.net.seek(member(i))
            assert near.connected() == {between.id} and len(near.net._sought) == MAX_SOUGHT
            near.net.seek(far.id)
            await until(lambda: far.id in near.connected())
            await until(lambda: near.id in far.connected())


def test_a_member_is_dialled_at_one_address_at_a_time() -> None:
    book, wanted = AddressBook(), Wanted(frozenset(), 8, 8)
    for port in (1, 2):
        book.succeeded(member(1), f"h:{port}", NOW)
    book.add_seed("h:3")
    book.succeeded(member(1), "h:3", NOW)
    for dialling in (Dial("h:1", member(1)), Dial("h:3", member(1))):
        assert chosen(book, wanted, dialling=[dialling]) == []
    assert len(chosen(book, wanted)) == 1
    assert chosen(book, wanted, connected=[member(1)]) == []
    assert (
        choose_dials(book, NOW, wanted, own_id=bytes(20), connected=[], dialling=[], rng=random.Random(0), blocked=[member(1)])
        == []
    ), "nor one that is blocked here, as a seed either"
    assert choose_dials(book, NOW, wanted, own_id=member(1), connected=[], dialling=[], rng=random.Random(0)) == []


def test_a_validator_dials_validators_that_refused_it_and_another_member_does_not_insist() -> None:
    """For who votes nothing replaces a connection with another validator; others have members to go to."""
    book = AddressBook()
    for i in (1, 2):
        book.succeeded(member(i), f"h{i}:1", NOW)
    book.failed(member(1), "h1:1", NOW - 900, random.Random(1))
    votes = Wanted(frozenset({bytes(20), member(1)}), 0, 8)
    assert [dial.peer for dial in chosen(book, votes)] == [member(1)]
    outside = Wanted(frozenset({member(1)}), 1, 8)
    first = {chosen(book, outside, seed=seed)[0].peer for seed in range(30)}
    assert first == {member(1), member(2)}, "a member like others"


def test_dials_under_way_and_connections_fill_what_is_wanted() -> None:
    book = AddressBook()
    for i in range(1, 30):
        book.succeeded(member(i), f"h{i}:1", NOW)
    wanted = Wanted(frozenset(), 6, 4)
    dialling = [Dial("h1:1", member(1)), Dial("h2:1", member(2))]
    assert len(chosen(book, wanted)) == 4, "so many dials at once"
    assert len(chosen(book, wanted, dialling=dialling)) == 2
    assert len(chosen(book, wanted, connected=map_of(3, 6), dialling=dialling)) == 1, "three and two of six"
    assert chosen(book, wanted, connected=map_of(3, 7), dialling=dialling) == []
    book.add_seed("seed:1")
    assert [dial.address for dial in chosen(book, wanted, connected=map_of(3, 9))] == ["seed:1"], "seeds are kept up in any case"
    book.failed(None, "seed:1", NOW, random.Random(1))
    assert chosen(book, wanted, connected=map_of(3, 9)) == [], "when they are due"


def map_of(first: int, end: int) -> list[bytes]:
    return [member(i) for i in range(first, end)]


@pytest.mark.parametrize(
    ("votes", "connected", "lacks"),
    [
        (True, [1, 2], False),
        (True, [1], True),
        (True, [1, 2, 7, 8], False),
        (False, [1, 2], False),
        (False, [7], True),
        (False, [1, 7], False),
    ],
)
def test_who_lacks_connections_asks_for_addresses(votes: bool, connected: list[int], lacks: bool) -> None:
    """A validator lacks any other validator, and as many others as are wanted; who is none lacks connections of any kind."""
    own = member(9)
    wanted = Wanted(frozenset({member(1), member(2), *([own] if votes else [])}), 0 if votes else 2, 8)
    assert wanted.lacks(own, [member(i) for i in connected]) is lacks
    assert Wanted(wanted.validators, 2, 8).lacks(own, [member(1), member(2)]) is votes, "validators do not count among the others"


def test_what_peers_say_of_the_node_itself_and_of_strangers_is_not_kept() -> None:
    book, own = AddressBook(), member(9)
    said = Peers([PeerAddresses(member(i), ["10.0.0.1:1", "8.8.8.8:1"]) for i in (1, 2, 9)])
    new = absorb(book, said, member(3), own, lambda peer: peer != member(2), NOW, lambda text: text.startswith("8."))
    assert new == 1 and book.members() == [member(1)]
    assert [place.address for place in book.places(member(1))] == ["8.8.8.8:1"] and book.places(member(1))[0].teller == member(3)
