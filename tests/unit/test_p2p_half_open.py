"""Connections that have not said hello: bounded by host and network; the oldest makes room; members' hosts have places."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from learningchain.p2p import listener
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.half_open import MAX_HALF_OPEN, MAX_HALF_OPEN_PER_HOST, MAX_HALF_OPEN_PER_NETWORK, HalfOpen
from learningchain.p2p.hosts import host_of_address, network_of_address
from tests.descriptors import sockets_at
from tests.slow import SLOW
from tests.unit.loops import as_nodes_run
from tests.unit.p2p_kit import FAST, Node, id_of, members_of, raw, running, until

PATIENT = replace(FAST, hello_timeout=600.0, dial_timeout=5.0)


def test_an_ipv6_customer_is_one_host_and_one_network() -> None:
    assert host_of_address("10.1.2.3") == "10.1.2.3/32"
    assert host_of_address("::ffff:10.1.2.3") == "10.1.2.3/32", "the same machine, heard on a socket for both"
    assert network_of_address("10.1.2.3") == "10.1.2.0/24"
    assert host_of_address("2001:db8:1:2:3:4:5:6") == host_of_address("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert host_of_address("2001:db8:1:2::1") != host_of_address("2001:db8:1:3::1")
    assert network_of_address("2001:db8:1:2::1") == network_of_address("2001:db8:1:ffff::1") == "2001:db8:1::/48"
    assert host_of_address("fe80::1%eth0") == "fe80::/64"
    assert host_of_address("no address") == "no address"


class Knocks:
    """Places under test, with a name for each connection: its address and a number."""

    def __init__(self, known: frozenset[str] = frozenset()) -> None:
        self.places: HalfOpen[tuple[str, int]] = HalfOpen()
        self.known = known
        self.number = 0

    def knock(self, address: str, count: int = 1) -> list[tuple[str, int]]:
        """The connections that lost their place for `count` new ones."""
        gone = []
        for _ in range(count):
            self.number += 1
            gone += self.places.enter((address, self.number), address, known=address in self.known)
        return gone


def test_of_one_host_the_oldest_goes() -> None:
    knocks = Knocks()
    assert knocks.knock("10.0.0.1", MAX_HALF_OPEN_PER_HOST) == []
    assert knocks.knock("10.0.0.1") == [("10.0.0.1", 1)]
    assert knocks.knock("10.0.0.2") == [], "another host has its own"
    assert knocks.places.leave(("10.0.0.1", 7))
    assert knocks.knock("10.0.0.1") == [], "one that said hello no longer counts"
    assert len(knocks.places) == MAX_HALF_OPEN_PER_HOST + 1


@pytest.mark.parametrize("address", ["10.7.7.{}", "2001:db8:5:{}::1"])
def test_of_one_network_the_oldest_goes_however_many_hosts_it_has(address: str) -> None:
    knocks = Knocks()
    for n in range(1, MAX_HALF_OPEN_PER_NETWORK + 1):
        assert knocks.knock(address.format(n)) == []
    assert knocks.knock(address.format(200)) == [(address.format(1), 1)]


def test_whoever_fills_all_places_pushes_out_its_own() -> None:
    """Eight hosts filled the door before; the newcomer from elsewhere comes in, and stays however long they go on."""
    knocks = Knocks()
    for host in range(8):
        knocks.knock(f"10.{host}.0.1", MAX_HALF_OPEN_PER_HOST)
    gone = knocks.knock("192.0.2.1")
    assert len(gone) == 1 and gone[0][0] != "192.0.2.1"
    for _ in range(100):
        for host in range(8):
            assert knocks.knock(f"10.{host}.0.1")[0][0] != "192.0.2.1"
    assert knocks.places.leave(("192.0.2.1", 8 * MAX_HALF_OPEN_PER_HOST + 1))


def test_hosts_where_members_were_reached_have_places_of_their_own() -> None:
    knocks = Knocks(frozenset({"192.0.2.1", "198.51.100.1", "203.0.113.1"}))
    strangers = MAX_HALF_OPEN - MAX_HALF_OPEN // 4
    for number in range(3 * MAX_HALF_OPEN):
        knocks.knock(f"10.{number % 250}.0.1")
    assert len(knocks.places) == strangers
    assert knocks.knock("192.0.2.1", 32) == knocks.knock("198.51.100.1", 32) == [], "the rest is theirs"
    assert len(knocks.places) == MAX_HALF_OPEN
    gone = knocks.knock("203.0.113.1", 32) + [g for n in range(300) for g in knocks.knock(f"10.{n % 250}.1.1")]
    assert not {host for host, _ in gone} & knocks.known, "strangers go before them"


@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_ever_passed_and_every_newcomer_comes_in(seed: int) -> None:
    rng = random.Random(seed)
    hosts = [f"10.{rng.randrange(12)}.0.{rng.randrange(1, 6)}" for _ in range(40)] + [f"2001:db8:{n}::{n}" for n in range(9)]
    knocks = Knocks(frozenset(rng.sample(hosts, 6)))
    inside: dict[tuple[str, int], None] = {}
    host_of, network_of = ({h: of(h) for h in hosts} for of in (host_of_address, network_of_address))
    for _ in range(1_500):
        if inside and rng.random() < 0.2:
            left = rng.choice(list(inside))
            assert knocks.places.leave(left) and not knocks.places.leave(left)
            del inside[left]
            continue
        host = rng.choice(hosts)
        for gone in knocks.knock(host):
            del inside[gone]
        inside[host, knocks.number] = None
        assert len(knocks.places) == len(inside) <= MAX_HALF_OPEN
        assert max(Counter(host_of[h] for h, _ in inside).values()) <= MAX_HALF_OPEN_PER_HOST
        assert max(Counter(network_of[h] for h, _ in inside).values()) <= MAX_HALF_OPEN_PER_NETWORK
        assert sum(h not in knocks.known for h, _ in inside) <= MAX_HALF_OPEN - MAX_HALF_OPEN // 4


def test_the_book_names_hosts_of_verified_addresses_and_of_configured_peers() -> None:
    book = AddressBook()
    book.add_seed("192.0.2.1:7400")
    book.succeeded(id_of(1), "[2001:db8::1]:7400", 1.0)
    book.learn(id_of(2), ["203.0.113.9:7400"], id_of(3))
    assert book.hosts() == {"192.0.2.1", "2001:db8::1"}, "what a peer tells is no proof"


# --- with sockets --------------------------------------------------------------------------------------------------------------


class Silent:
    """Connections of strangers who say nothing."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.socks: list[socket.socket] = []

    async def knock(self, source: str, count: int = 1, sent: bytes = b"") -> None:
        for _ in range(count):
            sock = socket.socket()
            self.socks.append(sock)
            sock.setblocking(False)
            sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.node.net.port()))
            if sent:
                await asyncio.get_running_loop().sock_sendall(sock, sent)

    def half_open(self) -> int:
        assert self.node.net._listener is not None
        return len(self.node.net._listener._half_open)


@asynccontextmanager
async def besieged(*, seeds: Callable[[], list[str]] = list) -> AsyncIterator[tuple[Node, Silent]]:
    node = Node(0, members_of(0, 1, 2), config=PATIENT, seeds=seeds())
    async with running(node):
        silent = Silent(node)
        try:
            yield node, silent
        finally:
            for sock in silent.socks:
                sock.close()


async def is_ended(sock: socket.socket) -> None:
    async with asyncio.timeout(10 * SLOW):
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(sock, 4_096):
                pass


HELLO_OF_TLS = bytes.fromhex("160301")
"""The first bytes of a handshake whose rest never comes."""


@pytest.mark.parametrize("sent", [b"", HELLO_OF_TLS])
@as_nodes_run
async def test_of_33_silent_connections_the_first_is_cut_off_at_once(sent: bytes) -> None:
    async with besieged() as (node, silent):
        await silent.knock("127.0.0.1", MAX_HALF_OPEN_PER_HOST, sent)
        await until(lambda: silent.half_open() == MAX_HALF_OPEN_PER_HOST)
        for number in range(20):
            await silent.knock("127.0.0.1", 1, sent)
            await is_ended(silent.socks[number])
        assert silent.half_open() == MAX_HALF_OPEN_PER_HOST
        # What is cut off is closed: there are those that wait, and the one that listens.
        await until(lambda: sockets_at(node.net.port()) == MAX_HALF_OPEN_PER_HOST + 1)


@as_nodes_run
async def test_a_member_is_admitted_while_strangers_hold_every_place() -> None:
    async with besieged() as (node, silent):
        for host in range(1, 12):
            await silent.knock(f"127.0.{host}.1", MAX_HALF_OPEN_PER_HOST)
        strangers = MAX_HALF_OPEN - MAX_HALF_OPEN // 4
        await until(lambda: silent.half_open() == strangers)
        async with raw(node):
            await until(lambda: id_of(1) in node.connected())
            assert silent.half_open() == strangers - 1, "one made room, and the member said hello"


@as_nodes_run
async def test_a_configured_peer_finds_a_place_that_no_stranger_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is cut off for it."""
    monkeypatch.setattr(listener, "KNOWN_S", 0.0)
    async with besieged(seeds=lambda: ["127.0.0.1:1"]) as (_, silent):
        for host in range(1, 12):
            await silent.knock(f"127.0.{host}.1", MAX_HALF_OPEN_PER_HOST)
        strangers = MAX_HALF_OPEN - MAX_HALF_OPEN // 4
        await until(lambda: silent.half_open() == strangers)
        await silent.knock("127.0.0.1", 3)
        await until(lambda: silent.half_open() == strangers + 3)


@as_nodes_run
async def test_a_place_ends_with_its_connection() -> None:
    """Not at the end of the time in which to say hello: refused members would hold places for nothing."""
    async with besieged() as (node, silent):
        async with raw(node, hello=b"nonsense") as refused:
            await refused.reason()
        outsider = Node(3, members_of(0, 3), seeds=[node.address], config=PATIENT)
        async with running(outsider):
            await until(lambda: "not an active member" in node.reasons("connection refused"))
        await until(lambda: silent.half_open() == 0)


def test_known_hosts_that_knock_cost_strangers_none_of_their_places() -> None:
    door: HalfOpen[int] = HalfOpen(8)
    for i in range(6):
        assert door.enter(i, f"10.{i}.0.1", known=True) == []
    assert door.enter(6, "11.0.0.1", known=False) == door.enter(7, "12.0.0.1", known=False) == []
    assert door.enter(8, "13.0.0.1", known=False) == [6], "a stranger gives way to a stranger"
