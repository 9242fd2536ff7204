"""Multicast DNS: what is said, what is believed, and what whoever is on the same network can make a node do."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from learningchain.chain.crypto import address, sha256
from learningchain.p2p import lan, mdns
from learningchain.p2p.address_book import LAN, MAX_RUMOURS
from learningchain.p2p.lan import ADDRESS_BURST, BATCH, HOST_BURST, READ_BURST, Interface, LanDiscovery, interfaces, open_socket
from learningchain.p2p.mdns import Announcement, Question, announcement, parse, question
from tests.unit.loops import in_its_own_time
from tests.unit.p2p_kit import CHAIN, Node, id_of, members_of, pair, running, until

OWN = Announcement(CHAIN, id_of(0), 7400)
OTHER = Announcement(CHAIN, id_of(1), 7401)
HERE = ipaddress.IPv4Address("192.168.1.5")
WIRE = Interface("wire", 1, HERE, ipaddress.IPv4Network("192.168.1.0/24"))
FROM = ("192.168.1.6", mdns.PORT)


# --- packets ------------------------------------------------------------------------------------------------------------------


def test_an_announcement_is_read_as_what_was_said_and_names_the_identity_alone() -> None:
    packet = announcement(OWN, HERE)
    assert parse(packet) == OWN and len(packet) < 600
    assert socket.gethostname().encode() not in packet and address(OWN.id).encode() in packet
    assert parse(question()) == Question()


def test_names_are_read_whatever_their_case_and_with_pointers() -> None:
    shouted = announcement(OWN, HERE).replace(b"_learningchain", b"_LearningChain")
    assert parse(shouted) == OWN
    service = mdns._name(mdns.SERVICE)
    own = address(OWN.id).encode()
    instance = bytes((len(own),)) + own + b"\xc0\x0c"
    text = b"".join(bytes((len(t),)) + t for t in (b"x", b"v=1", b"net=" + CHAIN.hex().encode()))
    packet = struct.pack(">6H", 0, 0x8400, 1, 0, 0, 2) + service + struct.pack(">HH", 12, 1)
    packet += instance + struct.pack(">HHIH", 33, 1, 9, 7) + struct.pack(">HHH", 0, 0, 7400) + b"\0"
    packet += instance + struct.pack(">HHIH", 16, 0x8001, 9, len(text)) + text
    assert parse(packet) == OWN


def _changed(old: bytes, new: bytes) -> bytes:
    packet = announcement(OWN, HERE)
    assert old in packet
    return packet.replace(old, new)


PORT_7400 = struct.pack(">HHH", 0, 0, 7400)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(12),
        announcement(OWN, HERE)[:-1],
        announcement(OWN, HERE)[:40],
        _changed(PORT_7400, bytes(6)),
        _changed(b"v=1", b"v=2"),
        _changed(b"net=", b"nat="),
        _changed(b"_tcp", b"_udp"),
        _changed(CHAIN.hex().encode(), b"zz" * 32),
        _changed(address(OWN.id).encode(), b"lc1" + b"q" * 38),
        _changed(struct.pack(">I", mdns.TTL), bytes(4)),
        _changed(b"\x84\x00\x00\x00\x00\x04", b"\x84\x00\x00\x00\x00\x02"),
        _changed(b"\x84\x00\x00\x00\x00\x04", b"\x84\x00\x00\x00\x00\x11"),
        _changed(b"\x84\x00\x00\x00", b"\xac\x00\x00\x00"),
        announcement(OWN, HERE) + bytes(mdns.MAX_PACKET),
        question().replace(b"_tcp", b"_udp"),
        question()[:-4] + struct.pack(">HH", 1, 1),
        struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c",
        struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + b"\x40" + bytes(80),
        struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + b"\x01a" * 41 + bytes(80),
    ],
    ids=range(20),
)
def test_whatever_is_neither_says_nothing(packet: bytes) -> None:
    assert parse(packet) is None


def test_random_bytes_say_nothing_and_raise_nothing() -> None:
    rng = random.Random(5)
    for _ in range(3_000):
        packet = bytearray(announcement(OWN, HERE))
        for _ in range(rng.randrange(1, 6)):
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        said = parse(bytes(packet[: rng.randrange(len(packet) + 1)]))
        assert said is None or isinstance(said, Announcement | Question)


# --- on the network -----------------------------------------------------------------------------------------------------------


class FakeSocket:
    """A socket of one interface: what is put in is heard, what is said is noted."""

    def __init__(self) -> None:
        self._wake, self._reader = socket.socketpair()
        self._reader.setblocking(False)
        self.heard: list[tuple[bytes, tuple[str, int]]] = []
        self.said: list[bytes] = []
        self.times: list[float] = []
        """When each was said, by the loop's clock."""
        self.fault: OSError | None = None
        self.taken = 0

    def put(self, packet: bytes, where: tuple[str, int] = FROM, times: int = 1) -> None:
        self.heard += [(packet, where)] * times
        self._wake.send(b"x")

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        if self.fault is not None:
            raise self.fault
        if not self.heard:
            self._reader.recv(4_096)
            raise BlockingIOError
        self.taken += 1
        packet, where = self.heard.pop(0)
        return packet[:size], where

    def sendto(self, packet: bytes, where: tuple[str, int]) -> None:
        assert where == ("224.0.0.251", 5353), "nothing is ever said to one host"
        if self.fault is not None:
            raise self.fault
        self.said.append(packet)
        self.times.append(asyncio.get_running_loop().time())

    def when(self, packet: bytes) -> list[float]:
        return [time for time, said in zip(self.times, self.said, strict=True) if said == packet]

    def fileno(self) -> int:
        return self._reader.fileno()

    def close(self) -> None:
        self._wake.close()
        self._reader.close()

    @property
    def closed(self) -> bool:
        return self._reader.fileno() < 0


class Looking:
    def __init__(self, found: list[Interface]) -> None:
        self.sockets: list[FakeSocket] = []
        self.added: list[tuple[bytes, str]] = []
        self.known: set[tuple[bytes, str]] = set()
        self.discovery = LanDiscovery(
            OWN,
            HERE,
            lambda peer, where: (peer, where) not in self.known,
            lambda peer, where: self.added.append((peer, where)),
            rng=random.Random(1),
            found=lambda _: found,
            opened=self._open,  # type: ignore[arg-type]
        )

    def _open(self, _: Interface) -> FakeSocket:
        self.sockets.append(FakeSocket())
        return self.sockets[-1]

    async def drained(self, sock: FakeSocket) -> None:
        await until(lambda: not sock.heard)


@asynccontextmanager
async def looking(found: list[Interface] | None = None) -> AsyncIterator[tuple[Looking, FakeSocket]]:
    world = Looking([WIRE] if found is None else found)
    world.discovery.start()
    await until(lambda: world.sockets and world.sockets[0].said)
    yield world, world.sockets[0]
    await world.discovery.stop()
    assert world.sockets[-1].closed and not world.discovery._links


async def test_a_node_says_where_it_is_and_asks_when_an_interface_comes_up() -> None:
    async with looking() as (_, sock):
        await until(lambda: len(sock.said) >= 2)
        assert sock.said[:2] == [announcement(OWN, HERE), question()]


async def test_a_member_is_a_candidate_where_its_packet_came_from() -> None:
    async with looking() as (world, sock):
        sock.put(announcement(OTHER, ipaddress.IPv4Address("8.8.8.8")))
        await until(lambda: world.added == [(id_of(1), "192.168.1.6:7401")])
        world.known.add((id_of(1), "192.168.1.6:7401"))
        sock.put(announcement(OTHER, HERE), times=3)
        await world.drained(sock)
        assert len(world.added) == 1


@pytest.mark.parametrize(
    ("packet", "where"),
    [
        (announcement(OTHER, HERE), ("8.8.8.8", mdns.PORT)),
        (announcement(OTHER, HERE), ("192.168.1.6", 40_000)),
        (announcement(Announcement(sha256(b"another"), id_of(1), 7401), HERE), FROM),
    ],
    ids=["from outside of this network", "from another port", "of another graph"],
)
async def test_what_nobody_here_could_have_said_is_not_believed(packet: bytes, where: tuple[str, int]) -> None:
    async with looking() as (world, sock):
        sock.put(packet, where)
        await world.drained(sock)
        assert world.added == []


async def test_a_question_is_answered_to_all_and_once_in_a_while_however_many_ask() -> None:
    async with looking() as (world, sock):
        await until(lambda: len(sock.said) >= 2)
        before = len(sock.said)
        for i in range(50):
            sock.put(question(), (f"192.168.1.{i + 10}", mdns.PORT))
        await world.drained(sock)
        await until(lambda: len(sock.said) > before)
        assert sock.said[before] == announcement(OWN, HERE)
        assert len([timer for link in world.discovery._links.values() for timer in link.timers]) <= 2 + len(lan.REPEAT_S)


async def test_a_liar_with_ten_thousand_addresses_has_a_few_taken_and_few_packets_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def counted(packet: bytes) -> object:
        nonlocal read
        read += 1
        return parse(packet)

    monkeypatch.setattr(mdns, "parse", counted)
    async with looking() as (world, sock):
        for i in range(2_000):
            sock.heard.append((announcement(Announcement(CHAIN, id_of(1 + i % 5), 1 + i), HERE), FROM))
        sock.put(announcement(OTHER, HERE), ("192.168.1.7", mdns.PORT))
        await world.drained(sock)
        assert [where for _, where in world.added if where.startswith("192.168.1.6:")][int(ADDRESS_BURST) :] == []
        assert (id_of(1), "192.168.1.7:7401") in world.added, "it does not speak for the others"
        assert read < 1 + 3 * HOST_BURST


async def test_liars_with_many_hosts_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with looking() as (world, sock):
        for i in range(2_000):
            where = (f"192.168.1.{i % 250 + 1}", mdns.PORT)
            sock.heard.append((announcement(Announcement(CHAIN, id_of(1), 1 + i), HERE), where))
        sock.put(b"")
        await world.drained(sock)
        assert len(world.added) <= 3 * READ_BURST and len(world.discovery._hosts) <= lan.MAX_HOSTS


async def test_one_turn_of_the_loop_takes_few_packets() -> None:
    async with looking() as (world, sock):
        sock.heard = [(b"noise", FROM)] * 100
        world.discovery._readable(world.discovery._links[WIRE])
        assert sock.taken == BATCH


async def test_an_interface_that_goes_or_fails_is_left_and_looked_for_again() -> None:
    found = [WIRE]
    async with looking(found) as (world, first):
        first.fault = OSError(100, "the network is down")
        first.put(b"")
        await until(lambda: first.closed)
        world.discovery._refresh()
        assert len(world.sockets) == 2 and WIRE in world.discovery._links
        found.clear()
        world.discovery._refresh()
        assert world.sockets[1].closed and not world.discovery._links
        found.append(WIRE)
        world.discovery._refresh()
        assert len(world.sockets) == 3


async def test_a_socket_that_cannot_be_had_is_said_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(lan.log, "warning", lambda _text, **why: said.append(why["why"]))

    def refused(_: Interface) -> socket.socket:
        raise OSError(98, "address already in use")

    discovery = LanDiscovery(OWN, HERE, lambda *_: True, lambda *_: None, found=lambda _: [WIRE], opened=refused)
    for _ in range(3):
        discovery._refresh()
    assert len(said) == 1 and "in use" in said[0] and not discovery._links


# --- how often ----------------------------------------------------------------------------------------------------------------


@in_its_own_time
async def test_a_node_speaks_three_times_and_then_once_a_minute() -> None:
    async with looking() as (_, sock):
        await asyncio.sleep(185)
        assert sock.when(question()) == pytest.approx([0, 1, 3])
        assert sock.when(announcement(OWN, HERE)) == pytest.approx([0, 1, 3, 60, 120, 180])
    spoken = len(sock.said)
    await asyncio.sleep(600)
    assert len(sock.said) == spoken, "nothing after the stop"


@in_its_own_time
async def test_an_answer_comes_after_a_moment_and_at_most_once_in_a_second() -> None:
    async with looking() as (_, sock):
        await asyncio.sleep(10)
        for _ in range(9):  # at 10 s, 10.25 s, … 12 s
            sock.put(question())
            await asyncio.sleep(0.25)
        await asyncio.sleep(1)
        first, second, third = [at for at in sock.when(announcement(OWN, HERE)) if 9 < at < 20]
        assert 10.02 <= first <= 10.12 and 11.02 <= second <= 11.12 and 12.02 <= third <= 12.12


@in_its_own_time
async def test_of_one_host_and_of_all_so_many_packets_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(mdns, "parse", lambda _: read.append(loop.time()))
    async with looking() as (world, sock):
        for seconds, allowed in ((0, 8), (1, 4), (10, 8)):
            await asyncio.sleep(seconds)
            sock.put(b"of one host", times=30)
            before = len(read)
            await world.drained(sock)
            assert len(read) - before == allowed
        await asyncio.sleep(10)
        for seconds in (0, 1):
            await asyncio.sleep(seconds)
            for host in range(200):
                sock.put(b"of many", (f"192.168.1.{host + 10}", mdns.PORT))
            before = len(read)
            await world.drained(sock)
            assert len(read) - before == 64


@in_its_own_time
async def test_a_packet_that_is_too_long_is_not_read_as_its_beginning() -> None:
    async with looking() as (world, sock):
        said = announcement(OTHER, HERE)
        sock.put(said + bytes(mdns.MAX_PACKET + 1 - len(said)))
        await world.drained(sock)
        assert world.added == []
        sock.put(said + bytes(mdns.MAX_PACKET - len(said)))
        await world.drained(sock)
        assert len(world.added) == 1


def test_interfaces_are_those_that_the_node_is_reached_on() -> None:
    everywhere = interfaces(ipaddress.IPv4Address("0.0.0.0"))
    assert all(not one.address.is_loopback and one.address in one.network for one in everywhere)
    assert interfaces(ipaddress.IPv4Address("127.0.0.1")) == [], "others reach nobody there"
    for one in everywhere:
        assert one in interfaces(one.address)


def test_nothing_but_the_group_reaches_the_socket() -> None:
    found = interfaces(ipaddress.IPv4Address("0.0.0.0"))
    if not found:
        pytest.skip("this machine has no interface that can multicast")
    with open_socket(found[0]) as sock, open_socket(found[0]):  # two programs may have it at once
        assert sock.getsockname() == ("224.0.0.251", 5353) and not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 255, "as RFC 6762 has it"
        assert sock.getsockopt(socket.IPPROTO_IP, 49) == 0, "IP_MULTICAST_ALL: what others joined is not heard"
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP) == 1, "two nodes of one machine find each other"


def test_a_socket_that_cannot_be_had_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    make = socket.socket
    monkeypatch.setattr(socket, "socket", lambda *kind: (opened.append(make(*kind)), opened[0])[1])
    with pytest.raises(OSError):
        open_socket(Interface("none", 2**31 - 1, ipaddress.IPv4Address("240.0.0.1"), ipaddress.IPv4Network("240.0.0.0/8")))
    assert len(opened) == 1 and opened[0].fileno() == -1


# --- what a node makes of it --------------------------------------------------------------------------------------------------


async def test_only_members_that_are_not_connected_are_news_and_they_are_rumours() -> None:
    async with pair() as (a, b):
        assert not a.net.is_news(b.id, "192.168.1.6:1") and not a.net.is_news(a.id, "192.168.1.6:1")
        assert not a.net.is_news(id_of(7), "192.168.1.6:1"), "no member"
        a.net.add_candidate(id_of(7), "192.168.1.6:1")
        assert id_of(7) not in a.book.members()
    members = members_of(0, *range(1, 9))
    node = Node(0, members)
    for i in range(10_000):
        node.net.add_candidate(id_of(1 + i % 8), f"192.168.1.6:{i + 1}")
    places = [place for member in node.book.members() for place in node.book.places(member)]
    assert len(places) <= MAX_RUMOURS and {place.teller for place in places} == {LAN}
    assert not node.net.is_news(id_of(1), node.book.places(id_of(1))[0].address)
    assert node.book.share(random.Random(1), b"", set(members)) == [], "nobody is told of them"


async def test_a_candidate_is_dialled_and_proves_itself() -> None:
    members = members_of(0, 1)
    a, b = Node(0, members), Node(1, members)
    async with running(a, b):
        assert not a.connected()
        a.net.add_candidate(b.id, b.address)
        await until(lambda: a.connected() == {b.id})
        assert a.book.places(b.id)[0].verified
    await asyncio.sleep(0)


@in_its_own_time
async def test_the_kernel_keeps_what_does_not_fit_into_a_second() -> None:
    async with looking() as (_, sock):
        sock.put(b"noise", times=20_000)
        await asyncio.sleep(0.01)
        assert 1_024 <= sock.taken <= 1_024 + 2 * BATCH, "at once"
        await asyncio.sleep(4)
        assert 4.8 * 1_024 <= sock.taken <= 5 * 1_024 + 2 * BATCH


@in_its_own_time
async def test_of_one_host_four_addresses_are_taken_and_one_more_in_a_minute() -> None:
    async with looking() as (world, sock):
        for second in range(100):
            sock.put(announcement(Announcement(CHAIN, id_of(1), second + 1), HERE))
            await asyncio.sleep(1)
        assert [where for _, where in world.added[:4]] == [f"192.168.1.6:{port}" for port in (1, 2, 3, 4)]
        assert len(world.added) == 5
        known = len(world.added)
        world.known.update((id_of(1), f"192.168.1.6:{port}") for port in range(1, 200))
        for second in range(60):
            sock.put(announcement(Announcement(CHAIN, id_of(1), second + 1), HERE))
            await asyncio.sleep(1)
        assert len(world.added) == known
        sock.put(announcement(Announcement(CHAIN, id_of(1), 900), HERE))
        await asyncio.sleep(1)
        assert len(world.added) == known + 1, "what is known already uses up nothing"
