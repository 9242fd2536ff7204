"""Packets of multicast DNS, record by record: each limit of LC-P2P-44 to the byte, and which of several records counts."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from learningchain.chain.crypto import address
from learningchain.p2p import mdns
from learningchain.p2p.mdns import Announcement, Question, announcement, parse, question
from tests.unit.p2p_kit import CHAIN, id_of

OWN = Announcement(CHAIN, id_of(0), 7400)
HERE = ipaddress.IPv4Address("192.168.1.5")
IN, FLUSH = 1, 0x8001
PTR, TXT, SRV = 12, 16, 33


def name(*labels: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def instance(i: int = 0) -> bytes:
    return name(address(id_of(i)).encode(), *mdns.SERVICE)


def record(of: bytes, kind: int, data: bytes, *, class_: int = FLUSH, ttl: int = 120) -> bytes:
    return of + struct.pack(">HHIH", kind, class_, ttl, len(data)) + data


def srv(i: int = 0, port: int = 7400, **settings: int) -> bytes:
    return record(instance(i), SRV, struct.pack(">HHH", 0, 0, port) + b"\0", **settings)


def txt(i: int = 0, *texts: bytes, **settings: int) -> bytes:
    held = texts or (b"v=1", b"net=" + CHAIN.hex().encode())
    return record(instance(i), TXT, b"".join(bytes((len(text),)) + text for text in held), **settings)


def packet(*records: bytes, flags: int = 0x8400, sections: tuple[int, int, int] | None = None) -> bytes:
    return struct.pack(">6H", 0, flags, 0, *(sections or (len(records), 0, 0))) + b"".join(records)


def noise(of: bytes = b"\0") -> bytes:
    return record(of, PTR, b"")


def test_a_port_and_a_text_of_one_name_are_an_announcement() -> None:
    assert parse(packet(srv(), txt())) == parse(packet(txt(), srv())) == OWN
    assert parse(packet(srv(), txt(), sections=(0, 1, 1))) == OWN, "whatever section they are in"
    assert parse(packet(srv(class_=IN), txt(class_=IN))) == OWN
    assert parse(packet(srv())) is parse(packet(txt())) is parse(packet(srv(0), txt(1))) is None


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        (packet(*[noise()] * 14, srv(), txt()), packet(*[noise()] * 15, srv(), txt())),
        (packet(noise(name(b"a" * 63)), srv(), txt()), packet(noise(b"\x40" + b"a" * 64 + b"\0"), srv(), txt())),
        (packet(noise(name(*[b"a"] * 40)), srv(), txt()), packet(noise(name(*[b"a"] * 41)), srv(), txt())),
        (
            packet(noise(name(*[b"a" * 63] * 3, b"a" * 62)), srv(), txt()),
            packet(noise(name(*[b"a" * 63] * 4)), srv(), txt()),
        ),
    ],
    ids=["records", "a label", "labels", "a name"],
)
def test_a_packet_is_read_up_to_its_limits_and_says_nothing_beyond(fits: bytes, exceeds: bytes) -> None:
    assert len(exceeds) <= mdns.MAX_PACKET
    assert parse(fits) == OWN and parse(exceeds) is None


def test_the_longest_packet_is_read_and_one_byte_more_is_not() -> None:
    said = packet(srv(), txt())
    assert parse(said + bytes(1_472 - len(said))) == OWN and parse(said + bytes(1_473 - len(said))) is None


def test_questions_and_records_count_together() -> None:
    ask = name(*mdns.SERVICE) + struct.pack(">HH", PTR, IN)
    for questions, said in ((14, OWN), (15, None)):
        whole = struct.pack(">6H", 0, 0x8400, questions, 2, 0, 0) + ask * questions + srv() + txt()
        assert parse(whole) == said
    asked = struct.pack(">6H", 0, 0, 2, 0, 0, 0) + name(b"other") + struct.pack(">HH", PTR, IN) + ask
    assert parse(asked) == Question(), "one of several is enough"


@pytest.mark.parametrize(("jumps", "read"), [(8, True), (9, False)])
def test_so_many_pointers_are_followed_in_one_name(jumps: int, read: bool) -> None:
    """The first record's name leads through pointers that lie in its own data."""
    data_at = 12 + 2 + 10
    chain = b"".join(struct.pack(">H", 0xC000 | data_at + 2 * i) for i in range(1, jumps)) + b"\0"
    first = record(struct.pack(">H", 0xC000 | data_at), PTR, chain)
    assert (parse(packet(first, srv(), txt())) == OWN) is read


@pytest.mark.parametrize("kind", [PTR, 255])
@pytest.mark.parametrize("class_", [IN, FLUSH])
def test_who_asks_for_the_service_asks(kind: int, class_: int) -> None:
    asked = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name(*mdns.SERVICE) + struct.pack(">HH", kind, class_)
    assert parse(asked) == Question()
    for flags in (0x0800, 0x7800):
        assert parse(struct.pack(">6H", 0, flags, 1, 0, 0, 0) + asked[12:]) is None, "another operation"
    assert parse(asked[:-2] + struct.pack(">H", 3)) is None, "another class"


@pytest.mark.parametrize(
    "records",
    [
        (srv(ttl=0), txt()),
        (srv(), txt(ttl=0)),
        (srv(class_=3), txt()),
        (srv(), txt(class_=0x8003)),
        (srv(), txt(0, b"v=1", b"net=" + CHAIN.hex().encode().upper())),
        (srv(), txt(0, b"v=1", b"net=" + CHAIN.hex().encode()[:-2])),
        (srv(), txt(0, b"v=1", b"net=" + CHAIN.hex().encode() + b"00")),
        (srv(), record(instance(), TXT, b"\x03v=1\x60net=")),
        (record(instance(), SRV, struct.pack(">HHH", 0, 0, 7400)), txt()),
        (
            record(name(b"sub", address(id_of(0)).encode(), *mdns.SERVICE), SRV, struct.pack(">HHH", 0, 0, 7400) + b"\0"),
            txt(),
        ),
    ],
    ids=["port gone", "text gone", "class of port", "class of text", "capitals", "short", "long", "cut", "no target", "below"],
)
def test_records_that_do_not_count(records: tuple[bytes, ...]) -> None:
    assert parse(packet(*records)) is None


def test_what_a_node_announces_is_to_the_byte_what_the_specification_says() -> None:
    own = address(OWN.id).encode()
    texts = b"".join(bytes((len(text),)) + text for text in (b"v=1", b"net=" + CHAIN.hex().encode()))
    assert announcement(OWN, HERE) == packet(
        record(name(*mdns.SERVICE), PTR, instance(), class_=IN),  # shared by many: nobody's cache is flushed by it
        record(instance(), SRV, struct.pack(">HHH", 0, 0, 7400) + name(own, b"local")),
        record(instance(), TXT, texts),
        record(name(own, b"local"), 1, bytes((192, 168, 1, 5))),
    )
    assert question() == struct.pack(">6H", 0, 0, 1, 0, 0, 0) + name(*mdns.SERVICE) + struct.pack(">HH", PTR, IN)
