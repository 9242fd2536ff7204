"""Vectors of what nodes say on a local network: packets of multicast DNS, and what is read in others' packets."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from learningchain.chain.crypto import address
from learningchain.p2p import mdns
from learningchain.p2p.mdns import Announcement
from tests.vectors.base_vectors import CHAIN
from tests.vectors.kit import id_of

HERE = ipaddress.IPv4Address("192.168.1.5")
SAID = Announcement(CHAIN, id_of("a"), 7400)
OWN = address(SAID.id).encode()
PACKET = mdns.announcement(SAID, HERE)
SERVICE = mdns._name(mdns.SERVICE)
INSTANCE = bytes((len(OWN),)) + OWN
PORT = struct.pack(">HHH", 0, 0, 7400)
SRV, TXT, PTR = 33, 16, 12


def _head(flags: int, questions: int, *records: int) -> bytes:
    return struct.pack(">6H", 0, flags, questions, *records)


def _record(name: bytes, kind: int, data: bytes, of: int = 1, ttl: int = 120) -> bytes:
    return name + struct.pack(">HHIH", kind, of, ttl, len(data)) + data


def _texts(*texts: bytes) -> bytes:
    return b"".join(bytes((len(text),)) + text for text in texts)


NET = b"net=" + CHAIN.hex().encode()
WHOLE = INSTANCE + SERVICE
SHORT = INSTANCE + b"\xc0\x0c"
TEXT = _record(WHOLE, TXT, _texts(b"v=1", NET))


def _asked(name: bytes = SERVICE, kind: int = PTR, of: int = 1, flags: int = 0) -> bytes:
    return _head(flags, 1, 0, 0, 0) + name + struct.pack(">HH", kind, of)


def _said(*records: bytes, flags: int = 0x8400) -> bytes:
    return _head(flags, 0, len(records), 0, 0) + b"".join(records)


def _pointed(jumps: int) -> bytes:
    """The service once, then pointers to pointers to it, and an instance whose name follows so many of them."""
    pad, at = b"", 12 + len(SERVICE) + 10
    target = 12
    for _ in range(jumps - 1):
        pad, target, at = pad + struct.pack(">H", 0xC000 | target), at, at + 2
    name = INSTANCE + struct.pack(">H", 0xC000 | target)
    return _said(_record(SERVICE, 99, pad), _record(name, SRV, PORT + b"\0"), TEXT)


def _labels(count: int, length: int = 1) -> bytes:
    """A name of so many labels before an announcement."""
    return _said(_record((bytes((length,)) + b"x" * length) * count + b"\0", 99, b""), _record(WHOLE, SRV, PORT + b"\0"), TEXT)


def _packets() -> list[tuple[str, str, bytes]]:
    """(rule, what it shows, packet)"""
    good = _record(WHOLE, SRV, PORT + b"\0")
    filler = _record(b"\0", 99, b"")
    longest = _said(good, TEXT, _record(b"\0", 99, bytes(mdns.MAX_PACKET - len(_said(good, TEXT)) - 11)))
    return [
        ("LC-P2P-43", "a question", mdns.question()),
        ("LC-P2P-43", "a question for everything, with the top bit of its class", _asked(kind=255, of=0x8001)),
        ("LC-P2P-43", "the second of two questions", _head(0, 2, 0, 0, 0) + _asked(b"\x01x\0")[12:] + _asked()[12:]),
        ("LC-P2P-43", "a question for another service", _asked(SERVICE.replace(b"_tcp", b"_udp"))),
        ("LC-P2P-43", "a question for another type", _asked(kind=1)),
        ("LC-P2P-43", "a question of another class", _asked(of=3)),
        ("LC-P2P-43", "a question of another opcode", _asked(flags=0x2800)),
        ("LC-P2P-43", "a question that is cut off", _asked()[:-1]),
        ("LC-P2P-44", "an announcement", PACKET),
        ("LC-P2P-44", "an announcement cut off", PACKET[:-1]),
        ("LC-P2P-44", "port and text alone, in other sections, with pointers and capitals",
         _head(0x8000, 1, 0, 1, 1) + SERVICE.upper() + struct.pack(">HH", PTR, 1)
         + _record(SHORT, SRV, PORT + b"\0") + _record(SHORT, TXT, _texts(b"x", b"V=1", NET, b"v=2"), 0x8001)),
        ("LC-P2P-44", "another opcode", _said(good, TEXT, flags=0xAC00)),
        ("LC-P2P-44", "no text", _said(good)),
        ("LC-P2P-44", "no port", _said(TEXT)),
        ("LC-P2P-44", "the port 0", _said(_record(WHOLE, SRV, bytes(7)), TEXT)),
        ("LC-P2P-44", "the port of another type", _said(_record(WHOLE, 99, PORT + b"\0"), TEXT)),
        ("LC-P2P-44", "a port record that is too short", _said(_record(WHOLE, SRV, PORT), TEXT)),
        ("LC-P2P-44", "the first of two ports", _said(good, _record(WHOLE, SRV, bytes(4) + b"\0\x01\0"), TEXT)),
        ("LC-P2P-44", "the text of a name without a port",
         _said(good, _record(bytes((len(OWN),)) + OWN[::-1] + SERVICE, TXT, _texts(b"v=1", NET)))),
        ("LC-P2P-44", "a record that ends", _said(_record(WHOLE, SRV, PORT + b"\0", ttl=0), TEXT)),
        ("LC-P2P-44", "a record of another class", _said(_record(WHOLE, SRV, PORT + b"\0", of=3), TEXT)),
        ("LC-P2P-44", "another service", _said(*(r.replace(b"_tcp", b"_udp") for r in (good, TEXT)))),
        ("LC-P2P-44", "a name with a label more", _said(*(b"\x01x" + r for r in (good, TEXT)))),
        ("LC-P2P-44", "another version", _said(good, _record(WHOLE, TXT, _texts(b"v=2", NET)))),
        ("LC-P2P-44", "no chain id", _said(good, _record(WHOLE, TXT, _texts(b"v=1")))),
        ("LC-P2P-44", "a chain id in capitals", _said(good, _record(WHOLE, TXT, _texts(b"v=1", b"net=" + NET[4:].upper())))),
        ("LC-P2P-44", "a chain id that is too short", _said(good, _record(WHOLE, TXT, _texts(b"v=1", NET[:-2])))),
        ("LC-P2P-44", "texts that do not fit", _said(good, _record(WHOLE, TXT, _texts(b"v=1", NET) + b"\x05x"))),
        ("LC-P2P-44", "a name that is no address", _said(*(r.replace(OWN, b"lc1" + b"q" * 38) for r in (good, TEXT)))),
        ("LC-P2P-44", "as many records as may be", _said(*[filler] * 14, good, TEXT)),
        ("LC-P2P-44", "a record too many", _said(*[filler] * 15, good, TEXT)),
        ("LC-P2P-44", "as long as may be", longest),
        ("LC-P2P-44", "a byte too long", longest + b"\0"),
        ("LC-P2P-44", "as many labels as may be", _labels(40)),
        ("LC-P2P-44", "a label too many", _labels(41)),
        ("LC-P2P-44", "a name as long as may be", _labels(5, 50)),
        ("LC-P2P-44", "a name that is too long", _labels(4, 63)),
        ("LC-P2P-44", "a label of a kind that does not exist", _said(_record(b"\x40" + bytes(64) + b"\0", 99, b""), good, TEXT)),
        ("LC-P2P-44", "as many pointers as may be", _pointed(8)),
        ("LC-P2P-44", "a pointer too many", _pointed(9)),
    ]  # fmt: skip


def lan() -> dict[str, Any]:
    cases = []
    for rule, why, packet in _packets():
        case: dict[str, Any] = {"rule": rule, "why": why, "packet": packet.hex()}
        said = mdns.parse(packet)
        if said is None:
            case["refused"] = True
        elif isinstance(said, Announcement):
            case["says"] = {"chain_id": said.chain_id.hex(), "id": said.id.hex(), "port": said.port}
        cases.append(case)
    made = {"chain_id": CHAIN.hex(), "id": SAID.id.hex(), "port": SAID.port, "host": str(HERE), "packet": PACKET.hex()}
    return {
        "question": {"rule": "LC-P2P-43", "packet": mdns.question().hex()},
        "announcement": {"rule": "LC-P2P-44"} | made,
        "packets": cases,
    }
