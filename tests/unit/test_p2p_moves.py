"""Addresses that change, that lead nowhere and that mean nothing elsewhere: what the address book keeps, tries and tells."""

from __future__ import annotations

import random

import pytest

from learningchain.chain.crypto import sha256
from learningchain.p2p.address_book import (
    FIRST_REST,
    FORMER_S,
    LAN,
    LAST_REST,
    MAX_RESTING,
    MAX_RUMOURS,
    RUMOUR_TRIES,
    AddressBook,
)
from learningchain.p2p.discovery import LAN_DIALS, Dial, Wanted, absorb, choose_dials
from learningchain.p2p.hosts import Reach, is_told, reach_of
from learningchain.p2p.wire import PeerAddresses, Peers
from tests.unit.p2p_kit import Node, id_of, members_of, running, until

NOW = 1_800_000_000.0


def peer(i: int) -> bytes:
    return sha256(b"peer %d" % i)[:20]


def rng() -> random.Random:
    return random.Random(7)


def known(book: AddressBook, who: bytes) -> list[str]:
    return [place.address for place in book.places(who)]


def told(book: AddressBook, connected: set[bytes], whom: bytes = peer(99)) -> dict[bytes, list[str]]:
    return {e.id: e.addresses for e in book.share(rng(), exclude=whom, connected=connected)}


def in_vain(book: AddressBook, who: bytes, address: str, times: int, now: float = NOW) -> None:
    for _ in range(times):
        book.failed(who, address, now, rng())


# --- LC-P2P-41: a member that moved -------------------------------------------------------------------------------------------


def test_a_member_that_names_another_address_is_told_of_and_dialled_there_first() -> None:
    book = AddressBook()
    book.succeeded(peer(1), "10.0.0.1:1", NOW)
    book.learn(peer(1), ["10.0.0.2:1"], peer(1), NOW)
    book.named(peer(1), ["10.0.0.2:1"], NOW)
    assert known(book, peer(1)) == ["10.0.0.2:1", "10.0.0.1:1"] and told(book, {peer(1)}) == {peer(1): ["10.0.0.2:1"]}
    book.named(peer(1), ["10.0.0.1:1", "10.0.0.2:1"], NOW)
    assert known(book, peer(1))[0] == "10.0.0.1:1" and len(told(book, {peer(1)})[peer(1)]) == 2, "it is back"


def test_what_a_member_said_before_of_itself_is_void_and_what_others_say_waits_for_a_dial() -> None:
    book = AddressBook()
    book.learn(peer(1), ["10.0.0.1:1"], peer(1), NOW)
    book.learn(peer(1), ["10.0.0.9:1"], peer(2), NOW)
    book.learn(peer(1), ["10.0.0.2:1"], peer(1), NOW)
    book.named(peer(1), ["10.0.0.2:1"], NOW)
    assert set(known(book, peer(1))) == {"10.0.0.2:1", "10.0.0.9:1"}


def test_a_former_address_is_forgotten_once_the_member_is_reached_elsewhere() -> None:
    book = AddressBook()
    book.succeeded(peer(1), "10.0.0.1:1", NOW)
    book.named(peer(1), ["10.0.0.2:1"], NOW)
    book.succeeded(peer(1), "10.0.0.2:1", NOW + 1)
    assert known(book, peer(1)) == ["10.0.0.2:1"]
    assert book.learn(peer(1), ["10.0.0.1:1"], peer(2), NOW + 2) == 0, "nor taken from others again for a while"


def test_a_former_address_is_forgotten_after_failed_dials_and_after_a_day() -> None:
    for how in ("dials", "time", "a clock that was set back"):
        book = AddressBook()
        book.succeeded(peer(1), "10.0.0.1:1", NOW)
        book.named(peer(1), ["10.0.0.2:1"], NOW)
        book.expire(NOW + FORMER_S - 1)
        in_vain(book, peer(1), "10.0.0.1:1", RUMOUR_TRIES - 1)
        assert known(book, peer(1)) == ["10.0.0.1:1"]
        if how == "dials":
            in_vain(book, peer(1), "10.0.0.1:1", 1)
        else:
            book.expire(NOW + (FORMER_S if how == "time" else -FORMER_S))
        assert book.members() == []
        if how == "time":
            assert book.learn(peer(1), ["10.0.0.1:1"], peer(2), NOW + FORMER_S) == 0, "it rests"


def test_stale_tales_of_others_take_nothing_from_what_a_member_said_itself() -> None:
    """Even where the new address failed once: rumours fill what is left and stop there."""
    book = AddressBook()
    book.learn(peer(1), ["10.0.0.2:1"], peer(1), NOW)
    in_vain(book, peer(1), "10.0.0.2:1", 1)
    for i in range(50):
        book.learn(peer(1), [f"10.9.0.{i}:1"], peer(2 + i), NOW)
    assert "10.0.0.2:1" in known(book, peer(1)) and told(book, {peer(1)}) == {peer(1): ["10.0.0.2:1"]}


# --- LC-P2P-39: what was tried in vain ----------------------------------------------------------------------------------------


def test_an_address_that_leads_nowhere_is_dialled_ever_more_rarely_however_often_it_is_told() -> None:
    """Nodes behind NAT tell addresses at which nobody finds them, for as long as they live."""
    book, now, dials = AddressBook(), NOW, 0
    while now < NOW + 5 * LAST_REST:
        book.learn(peer(1), ["192.168.1.5:7400"], peer(2), now)
        for place in book.places(peer(1)):
            if place.due(now):
                dials += 1
                book.failed(peer(1), place.address, now, rng())
        now += 30
    assert dials < 25
    book = AddressBook()
    in_vain(book, peer(1), "h:1", 1)  # somebody else answered there: it was taken out at once
    assert book.learn(peer(1), ["h:1"], peer(2), NOW + FIRST_REST - 1) == 0
    assert book.learn(peer(1), ["h:1"], peer(2), NOW + FIRST_REST) == 1
    assert book.places(peer(1))[0].failures == RUMOUR_TRIES - 1, "one more dial"


def test_the_word_of_the_member_itself_is_worth_one_dial_at_once() -> None:
    book = AddressBook()
    book.learn(peer(1), ["h:1"], peer(2), NOW)
    in_vain(book, peer(1), "h:1", RUMOUR_TRIES)
    assert book.learn(peer(1), ["h:1"], peer(2), NOW) == 0 and book.learn(peer(1), ["h:1"], peer(1), NOW) == 1
    in_vain(book, peer(1), "h:1", 1)
    assert book.members() == []
    assert book.learn(peer(1), ["h:1"], peer(2), NOW + FIRST_REST) == 0, "longer each time"
    book.succeeded(peer(1), "h:1", NOW)
    book.forget(peer(1))
    assert book.learn(peer(1), ["h:1"], peer(2), NOW) == 1 and not book.places(peer(1))[0].failures, "it was there: a clean slate"


def test_few_of_those_that_rest_are_remembered() -> None:
    book = AddressBook()
    for i in range(MAX_RESTING + 1):
        in_vain(book, peer(1), f"h:{i + 1}", 1)
    assert book.learn(peer(1), ["h:1"], peer(2), NOW) == 1 and book.learn(peer(1), ["h:2"], peer(2), NOW) == 0
    assert len(book._resting) == MAX_RESTING


# --- LC-P2P-40: how far an address reaches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("0.0.0.0", Reach.NONE),
        ("::", Reach.NONE),
        ("224.0.0.251", Reach.NONE),
        ("255.255.255.255", Reach.NONE),
        ("127.0.0.1", Reach.MACHINE),
        ("127.9.9.9", Reach.MACHINE),
        ("::1", Reach.MACHINE),
        ("::ffff:127.0.0.1", Reach.MACHINE),
        ("localhost", Reach.MACHINE),
        ("a.localhost.", Reach.MACHINE),
        ("10.1.2.3", Reach.PRIVATE),
        ("192.168.1.5", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("169.254.169.254", Reach.PRIVATE),
        ("fe80::1", Reach.PRIVATE),
        ("fd00::1", Reach.PRIVATE),
        ("router", Reach.PRIVATE),
        ("nas.local", Reach.PRIVATE),
        ("db.corp.internal", Reach.PRIVATE),
        ("44.0.0.1", Reach.GLOBAL),
        ("2a00::1", Reach.GLOBAL),
        ("node.example.org", Reach.GLOBAL),
    ],
)
def test_how_far_an_address_reaches(host: str, reach: Reach) -> None:
    assert reach_of(host) == reach


@pytest.mark.parametrize(
    ("over", "told_"),
    [
        ("127.0.0.1", ["127.0.0.1", "192.168.1.5", "44.0.0.1"]),
        ("192.168.1.9", ["192.168.1.5", "44.0.0.1"]),
        ("44.0.0.9", ["44.0.0.1"]),
    ],
)
def test_what_means_nothing_on_the_other_side_is_neither_told_nor_believed(over: str, told_: list[str]) -> None:
    every = ["0.0.0.0", "127.0.0.1", "192.168.1.5", "44.0.0.1"]
    assert [host for host in every if is_told(host, over)] == told_
    book = AddressBook()
    for i, host in enumerate(every):
        book.succeeded(peer(i), f"{host}:1", NOW)
    shared = book.share(rng(), peer(9), set(), lambda a: is_told(a.partition(":")[0], over))
    assert sorted(a.partition(":")[0] for e in shared for a in e.addresses) == sorted(told_)
    answer = Peers([PeerAddresses(peer(1), [f"{host}:1" for host in every])])
    believed = AddressBook()
    absorb(believed, answer, peer(2), peer(3), lambda _: True, NOW, lambda a: is_told(a.partition(":")[0], over))
    assert {a.partition(":")[0] for a in known(believed, peer(1))} == set(told_)


# --- LC-P2P-45: what was heard on the local network ---------------------------------------------------------------------------


def test_few_dials_at_once_go_where_only_the_local_network_said() -> None:
    book = AddressBook()
    for i in range(8):
        book.learn(peer(i), ["192.168.1.66:1"], LAN, NOW)
        book.learn(peer(i), [f"192.168.1.{i}:2"], LAN, NOW)
    book.succeeded(peer(20), "good:1", NOW)
    wanted = Wanted(frozenset(peer(i) for i in range(30)), 16, 8)
    under_way: set[Dial] = set()
    for _ in range(5):
        under_way |= set(
            choose_dials(book, NOW, wanted, own_id=peer(29), connected=(), dialling=under_way, rng=rng()),
        )
    assert len(under_way) == LAN_DIALS + 1 and Dial("good:1", peer(20)) in under_way


def test_the_local_network_has_no_more_places_than_any_teller() -> None:
    book = AddressBook()
    for i in range(10_000):
        book.learn(peer(i % 1_000), [f"192.168.1.{i % 250}:{i + 1}"], LAN, NOW)
    assert sum(len(book.places(m)) for m in book.members()) == MAX_RUMOURS


# --- on real connections ------------------------------------------------------------------------------------------------------


async def test_members_that_both_move_find_each_other_through_one_that_stayed() -> None:
    members = members_of(0, 1, 2)
    everybody = [id_of(i) for i in range(3)]
    stayed = Node(0, members)
    async with running(stayed):
        first = [Node(i, members, seeds=[stayed.address]) for i in (1, 2)]
        for node in (stayed, *first):
            node.net.set_validators(everybody)
        async with running(*first):
            await until(lambda: all(len(n.connected()) == 2 for n in (stayed, *first)))
            before = {node.id: node.address for node in first}
        again = [Node(i, members, seeds=[stayed.address]) for i in (1, 2)]
        for node, was in zip(again, first, strict=True):
            node.net.set_validators(everybody)
            node.book = node.net._address_book = was.book  # what it had on its disk
        async with running(*again):
            assert all(node.address != before[node.id] for node in again)
            await until(lambda: all(len(n.connected()) == 2 for n in (stayed, *again)))
