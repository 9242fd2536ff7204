"""Packets of multicast DNS with which nodes of one network find each other on a local network (LC-P2P-43, 44 and 46). Pure.

    question:      who offers _learningchain._tcp.local?
    announcement:  PTR  the service        -> the instance, named by its identity
                   SRV  the instance       -> port and host name
                   TXT  the instance       -> v=1, net=<chain id>
                   A    the host name      -> the sender's address

Both are as RFC 6762 and 6763 have them, so that common tools show them. What comes in is anybody's: it is read with bounds, and
whatever is neither is None. The address of an announcement is not read at all: a node is where its packet came from.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Final

from learningchain.chain.crypto import address, parse_address
from learningchain.chain.errors import Malformed

GROUP: Final = "224.0.0.251"
PORT: Final = 5353
SERVICE: Final = (b"_learningchain", b"_tcp", b"local")
MAX_PACKET: Final = 1_472
"""LC-P2P-44: longer packets are not read; an Ethernet frame has no more."""
MAX_RECORDS: Final = 16
"""LC-P2P-44: questions and records that are looked at in one packet."""
MAX_NAME, MAX_LABELS, MAX_JUMPS = 255, 40, 8
"""LC-P2P-44: bytes and labels of a name, and pointers that are followed in one."""
TTL: Final = 120
_A, _PTR, _TXT, _SRV, _ANY = 1, 12, 16, 33, 255
_IN, _FLUSH = 1, 0x8000
_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_AUTHORITATIVE: Final = 0x0400
_HEADER: Final = struct.Struct(">6H")
_RECORD: Final = struct.Struct(">HHIH")

_CHAIN_ID: Final = re.compile(rb"[0-9a-f]{64}")

Name = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A node of the network `chain_id` listens on `port` of the host that says so."""

    chain_id: bytes
    id: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody asks who is there."""


# --- what a node sends ----------------------------------------------------------------------------------------------------------


def _name(name: Name) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in name) + b"\0"


def _record(name: Name, kind: int, data: bytes, *, unique: bool) -> bytes:
    return _name(name) + _RECORD.pack(kind, _IN | (_FLUSH if unique else 0), TTL, len(data)) + data


def question() -> bytes:
    """LC-P2P-43."""
    return _HEADER.pack(0, 0, 1, 0, 0, 0) + _name(SERVICE) + struct.pack(">HH", _PTR, _IN)


def announcement(of: Announcement, host: ipaddress.IPv4Address) -> bytes:
    """LC-P2P-44. It names no host but by its identity."""
    own = address(of.id).encode("ascii")
    instance, target = (own, *SERVICE), (own, b"local")
    texts = (b"v=1", b"net=" + of.chain_id.hex().encode("ascii"))
    records = (
        _record(SERVICE, _PTR, _name(instance), unique=False),
        _record(instance, _SRV, struct.pack(">HHH", 0, 0, of.port) + _name(target), unique=True),
        _record(instance, _TXT, b"".join(bytes((len(text),)) + text for text in texts), unique=True),
        _record(target, _A, host.packed, unique=True),
    )
    return _HEADER.pack(0, _RESPONSE | _AUTHORITATIVE, 0, len(records), 0, 0) + b"".join(records)


# --- what a node reads ----------------------------------------------------------------------------------------------------------


class _PacketReader:
    """The bytes of one packet, from front to back. Raises `Malformed`."""

    def __init__(self, packet: bytes) -> None:
        self._packet, self._at = packet, 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._packet):
            raise Malformed("cut off")
        taken, self._at = self._packet[self._at : end], end
        return taken

    def name(self) -> Name:
        """A name in lower case, with the pointers of RFC 1035."""
        labels, length, jumps, end = list[bytes](), 0, 0, 0
        while (size := self.take(1)[0]) != 0:
            if size >= 0xC0:
                to = (size & 0x3F) << 8 | self.take(1)[0]
                end, jumps, self._at = end or self._at, jumps + 1, to
                if jumps > MAX_JUMPS:
                    raise Malformed("a name that leads nowhere")
                continue
            length += size + 1
            if size > 63 or length > MAX_NAME or len(labels) == MAX_LABELS:
                raise Malformed("a name that is too long")
            labels.append(self.take(size).lower())
        self._at = end or self._at
        return tuple(labels)


def parse(packet: bytes) -> Announcement | Question | None:
    """What a packet says to a node, None where that is nothing (LC-P2P-43, 44)."""
    if len(packet) > MAX_PACKET:
        return None
    try:
        return _parse(_PacketReader(packet))
    except (Malformed, ValueError):
        return None


def _parse(reader: _PacketReader) -> Announcement | Question | None:
    _, flags, questions, *records = _HEADER.unpack(reader.take(_HEADER.size))
    if flags & _OPCODE or questions + sum(records) > MAX_RECORDS:
        return None
    asked = [(reader.name(), *struct.unpack(">HH", reader.take(4))) for _ in range(questions)]
    if not flags & _RESPONSE:
        wanted = any(name == SERVICE and kind in (_PTR, _ANY) and of & ~_FLUSH == _IN for name, kind, of in asked)
        return Question() if wanted else None
    return _announced(reader, sum(records))


def _announced(reader: _PacketReader, records: int) -> Announcement | None:
    """The first instance of the service whose port and text are both in the packet."""
    ports: dict[Name, int] = {}
    networks: dict[Name, bytes] = {}
    for _ in range(records):
        name = reader.name()
        kind, of, ttl, size = _RECORD.unpack(reader.take(_RECORD.size))
        data = reader.take(size)
        if len(name) != 4 or name[1:] != SERVICE or of & ~_FLUSH != _IN or not ttl:
            continue
        if kind == _SRV and len(data) > 6:
            ports.setdefault(name, int.from_bytes(data[4:6], "big"))
        elif kind == _TXT and (network := _network(data)) is not None:
            networks.setdefault(name, network)
    for name, port in ports.items():
        if port and name in networks:
            return Announcement(networks[name], parse_address(name[0].decode("ascii")), port)
    return None


def _network(data: bytes) -> bytes | None:
    """The chain id of a TXT record of version 1. Raises `Malformed`, ValueError."""
    reader, texts = _PacketReader(data), dict[bytes, bytes]()
    left = len(data)
    while left:
        size = reader.take(1)[0]
        key, _, value = reader.take(size).partition(b"=")
        texts.setdefault(key.lower(), value)
        left -= size + 1
    if texts.get(b"v") != b"1" or not _CHAIN_ID.fullmatch(texts.get(b"net", b"")):
        return None
    return bytes.fromhex(texts[b"net"].decode("ascii"))
