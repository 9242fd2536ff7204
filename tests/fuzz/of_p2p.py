"""Targets: frames, the PEERS channel, packets of the local network, TLS certificates, endpoints, the peer book's file, names and
blocks of content."""

from __future__ import annotations

import ipaddress

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.p2p import mdns, wire
from learningchain.p2p.address_book import AddressBook, normal, parse_endpoint, parse_seed
from learningchain.p2p.content import cid, dag
from learningchain.p2p.content.messages import decode_message
from learningchain.p2p.tls import NotAuthenticated, certificate_identity
from tests.fuzz.of_chain import split
from tests.fuzz.targets import Target, check, scratch, text_of

CHAIN = b"\7" * 32
NOW = 1_700_000_000.0
MAX_FILE = 10 * dag.CHUNK


def peers_message(data: bytes) -> None:
    message = wire.parse_peers(data)
    check(wire.peers_message(message)[1:] == data, "not canonical")


def hello(data: bytes) -> None:
    check(wire.check_hello(data, CHAIN).chain_id == CHAIN, "another network")


def frames(data: bytes) -> None:
    """The frames of one connection, each behind its length."""
    reader = wire.Reassembler()
    for frame in split(data):
        for channel, payload in reader.feed(frame):
            check(len(payload) <= wire.CHANNEL_LIMITS[channel], "longer than its channel allows")
    check(sum(reader._sizes) <= wire.QUEUES * max(wire.CHANNEL_LIMITS) + wire.QUEUES, "parts without bound")


def tls_certificate(data: bytes) -> None:
    check(len(certificate_identity(data, CHAIN, NOW).id) == 20, "no identity")


def lan_packet(data: bytes) -> None:
    said = mdns.parse(data)
    if isinstance(said, mdns.Announcement):
        check(mdns.parse(mdns.announcement(said, ipaddress.IPv4Address(0))) == said, "not what was said")
        check(len(said.chain_id) == 32 and len(said.id) == 20 and 0 < said.port < 65_536, "no announcement")


def endpoint(data: bytes) -> None:
    text = text_of(data)
    host, port = parse_endpoint(text)
    check(parse_endpoint(wire_text := f"[{host}]:{port}" if ":" in host else f"{host}:{port}") == (host, port), wire_text)
    form = normal(text)
    check(form is not None and normal(form) == form, "no one form")


def seed(data: bytes) -> None:
    peer, address = parse_seed(text_of(data))
    check(normal(address) == address and (peer is None or len(peer) == 20), "not in its one form")


def peer_book(data: bytes) -> None:
    path = scratch() / "peers.json"
    path.write_bytes(data)
    book = AddressBook(path)
    book.load()
    members = book.members()
    check(all(len(member) == 20 for member in members), "no ids")
    check((book.damaged is None) == path.exists(), "neither read nor put aside")


def cid_bytes(data: bytes) -> None:
    check(cid.from_bytes(data).to_bytes() == data, "not canonical")


def cid_text(data: bytes) -> None:
    text = text_of(data)
    check(str(cid.parse(text)) == text, "not canonical")


def content_message(data: bytes) -> None:
    check(encode(decode_message(data)) == data, "not canonical")


def content_node(data: bytes) -> None:
    node = dag.parse_node(data)
    check(dag.encode_node(*node) == data, "not canonical")
    check(node.size <= dag.MAX_FILE and node.depth <= dag.MAX_DEPTH, "larger than any tree")
    assembly = dag.Assembly(root := cid.cid_of(cid.Codec.DAG_PB, data), MAX_FILE)
    wanted = assembly.add_node(root, data)
    check(len(wanted) <= dag.LINKS and assembly.size == node.size <= MAX_FILE, "more than was wanted")


TARGETS = {
    "peers-message": Target(peers_message, (Malformed,)),
    "hello": Target(hello, (Malformed,)),
    "frames": Target(frames, (Malformed,), 16_384),
    "tls-certificate": Target(tls_certificate, (NotAuthenticated,)),
    "lan-packet": Target(lan_packet, (), 1_500),
    "endpoint": Target(endpoint, (ValueError,), 300),
    "seed": Target(seed, (ValueError,), 400),
    "peer-book-file": Target(peer_book, ()),
    "cid-bytes": Target(cid_bytes, (Malformed,), 64),
    "cid-text": Target(cid_text, (Malformed,), 96),
    "content-message": Target(content_message, (Malformed,)),
    "content-node": Target(content_node, (Malformed,), 16_500),
}
