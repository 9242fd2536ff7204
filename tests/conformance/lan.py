"""What nodes say on a local network, after `protocol_spec/p2p.md`: questions and announcements of multicast DNS."""

from __future__ import annotations

import re

from tests.conformance.checks import Refused, check
from tests.conformance.keys import address, parse_address

SERVICE = ["_learningchain", "_tcp", "local"]
A, PTR, TXT, SRV, ANY = 1, 12, 16, 33, 255
Says = tuple[bytes, bytes, int]
"""Chain id, identity, port."""


# --- LC-P2P-43, 44: what is sent ----------------------------------------------------------------------------------------------


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def _named(labels: list[str]) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def _record(labels: list[str], kind: int, of: int, data: bytes) -> bytes:
    return _named(labels) + number(kind) + number(of) + number(120, 4) + number(len(data)) + data


def question() -> bytes:
    return bytes(4) + number(1) + bytes(6) + _named(SERVICE) + number(PTR) + number(1)


def announcement(chain_id: bytes, identity: bytes, port: int, host: str) -> bytes:
    own = address(identity)
    texts = b"".join(bytes([len(text)]) + text.encode() for text in ("v=1", f"net={chain_id.hex()}"))
    records = [
        _record(SERVICE, PTR, 1, _named([own, *SERVICE])),
        _record([own, *SERVICE], SRV, 0x8001, bytes(4) + number(port) + _named([own, "local"])),
        _record([own, *SERVICE], TXT, 0x8001, texts),
        _record([own, "local"], A, 0x8001, bytes(int(part) for part in host.split("."))),
    ]
    return bytes(2) + number(0x8400) + bytes(2) + number(4) + bytes(4) + b"".join(records)


# --- what is read -------------------------------------------------------------------------------------------------------------


@check("LC-P2P-44")
def a_packet_has_at_most_1_472_bytes(packet: bytes) -> bool:
    return len(packet) <= 1_472


@check("LC-P2P-44")
def a_packet_has_at_most_16_questions_and_records(count: int) -> bool:
    return count <= 16


@check("LC-P2P-43")
def the_opcode_is_0(flags: int) -> bool:
    return flags >> 11 & 15 == 0


@check("LC-P2P-44")
def a_label_has_at_most_63_bytes(size: int) -> bool:
    return size <= 63


@check("LC-P2P-44")
def a_name_has_at_most_255_bytes(labels: list[str]) -> bool:
    return sum(len(label) + 1 for label in labels) <= 255


@check("LC-P2P-44")
def a_name_has_at_most_40_labels(labels: list[str]) -> bool:
    return len(labels) <= 40


@check("LC-P2P-44")
def a_name_follows_at_most_8_pointers(jumps: int) -> bool:
    return jumps <= 8


@check("LC-P2P-43")
def somebody_asks_for_the_service(asked: list[tuple[list[str], int, int]]) -> bool:
    return any(labels == SERVICE and kind in (PTR, ANY) and of & 0x7FFF == 1 for labels, kind, of in asked)


@check("LC-P2P-44")
def there_is_an_instance_with_port_and_text(found: list[Says]) -> bool:
    return bool(found)


class Packet:
    def __init__(self, packet: bytes) -> None:
        self.packet, self.at = packet, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.packet):
            raise Refused("cut off")
        self.at += size
        return self.packet[self.at - size : self.at]

    def integer(self, size: int = 2) -> int:
        return int.from_bytes(self.take(size), "big")

    def name(self) -> list[str]:
        labels: list[str] = []
        back, jumps = None, 0
        while size := self.integer(1):
            if size >= 192:
                to = (size & 63) * 256 + self.integer(1)
                back = self.at if back is None else back
                self.at, jumps = to, jumps + 1
                a_name_follows_at_most_8_pointers(jumps)
                continue
            a_label_has_at_most_63_bytes(size)
            labels.append(self.take(size).decode("latin-1").lower())
            a_name_has_at_most_255_bytes(labels)
            a_name_has_at_most_40_labels(labels)
        self.at = self.at if back is None else back
        return labels


def read(packet: bytes) -> Says | None:
    """LC-P2P-43, 44: what an announcement says, None for a question. Raises `Refused` where the packet says nothing."""
    a_packet_has_at_most_1_472_bytes(packet)
    reader = Packet(packet)
    _, flags, questions, *rest = (reader.integer() for _ in range(6))
    the_opcode_is_0(flags)
    a_packet_has_at_most_16_questions_and_records(questions + sum(rest))
    asked = [(reader.name(), reader.integer(), reader.integer()) for _ in range(questions)]
    if flags < 0x8000:
        somebody_asks_for_the_service(asked)
        return None
    return _announced(reader, sum(rest))


def _announced(reader: Packet, records: int) -> Says:
    ports: dict[str, int] = {}
    chains: dict[str, str] = {}
    for _ in range(records):
        labels, kind, of, ttl = reader.name(), reader.integer(), reader.integer(), reader.integer(4)
        data = reader.take(reader.integer())
        if labels[1:] != SERVICE or of & 0x7FFF != 1 or ttl == 0:
            continue
        if kind == SRV and len(data) >= 7:
            ports.setdefault(labels[0], int.from_bytes(data[4:6], "big"))
        if kind == TXT and (chain_id := _text(data)):
            chains.setdefault(labels[0], chain_id)
    both = [name for name, port in ports.items() if port and name in chains]
    found = [(bytes.fromhex(chains[name]), parse_address(name), ports[name]) for name in both[:1]]
    there_is_an_instance_with_port_and_text(found)
    return found[0]


def _text(data: bytes) -> str | None:
    reader, texts = Packet(data), dict[str, str]()
    while reader.at < len(data):
        key, _, value = reader.take(reader.integer(1)).decode("latin-1").partition("=")
        texts.setdefault(key.lower(), value)
    chain_id = texts.get("net", "")
    return chain_id if texts.get("v") == "1" and re.fullmatch("[0-9a-f]{64}", chain_id) else None
