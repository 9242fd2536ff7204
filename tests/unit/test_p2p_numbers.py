"""The numbers of the network's specification are those that run: a bound twice as large refuses nothing wrong in any test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from learningchain.p2p import (
    address_book,
    connection,
    discovery,
    half_open,
    lan,
    listener,
    mdns,
    outsiders,
    send_queues,
    transport,
    wire,
)
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.content import exchange, serving

SPEC: Final = (Path(__file__).parents[2] / "protocol_spec" / "p2p.md").read_text()
CONFIG: Final = TransportConfig()
MB: Final = 1_000_000

NUMBERS: Final[list[tuple[str, str, Any, Any]]] = [
    ("LC-P2P-10", "at most 131,088 bytes", wire.MAX_FRAME, 131_088),
    ("LC-P2P-12", "4,500,000", wire.CHANNEL_LIMITS[wire.NODE], 4_500_000),
    ("LC-P2P-12", "32,768", wire.CHANNEL_LIMITS[wire.PEERS], 32_768),
    ("LC-P2P-12", "2,200,000", wire.CHANNEL_LIMITS[wire.CONTENT], 2_200_000),
    ("LC-P2P-13", "parts of at most 65,536", wire.PIECE_BYTES, 65_536),
    ("LC-P2P-14", "1 to 1,024 messages", wire.BATCH_MESSAGES, 1_024),
    ("LC-P2P-15", "up to 4 addresses", wire.MAX_ADDRESSES, 4),
    ("LC-P2P-16", "none within 5 seconds", CONFIG.hello_timeout, 5.0),
    ("LC-P2P-17", "than 5 seconds", CONFIG.cross_window, 5.0),
    (
        "LC-P2P-20",
        "(8,192 / 256 / 1,024 / 8,192 / 256 messages, 8 / 16 / 16 / 8 / 16 MB)",
        [tuple(limit) for limit in send_queues.QUEUE_LIMITS],
        [(8_192, 8 * MB), (256, 16 * MB), (1_024, 16 * MB), (8_192, 8 * MB), (256, 16 * MB)],
    ),
    ("LC-P2P-21", "takes nothing for 10 seconds", CONFIG.drain_timeout, 10.0),
    ("LC-P2P-21", "silent for 30", CONFIG.silence_timeout, 30.0),
    ("LC-P2P-21", "every 5 seconds", CONFIG.ping_interval, 5.0),
    ("LC-P2P-21", "at most once in a second", CONFIG.answer_interval, 1.0),
    ("LC-P2P-22", "100 MB/s or 2,500 messages/s", (CONFIG.bytes_per_s, CONFIG.messages_per_s), (100 * MB, 2_500.0)),
    ("LC-P2P-22", "bursts of two seconds", CONFIG.burst_s, 2.0),
    ("LC-P2P-23", "ten in a short time", CONFIG.score_limit // CONFIG.penalty + 1, 10),
    ("LC-P2P-23", "halves every five minutes", CONFIG.score_half_life, 300.0),
    ("LC-P2P-23", "block it for a minute", CONFIG.block, 60.0),
    ("LC-P2P-23", "up to an hour", CONFIG.longest_block, 3_600.0),
    ("LC-P2P-24", "at most 32 messages", connection.SLICE, 32),
    ("LC-P2P-27", "20 connections of one member", CONFIG.connections, 20.0),
    ("LC-P2P-28", "Over 2,097,152 bytes", connection.MAX_OPEN, 2_097_152),
    ("LC-P2P-30", "at most 64 members, 4 addresses each", (wire.MAX_ENTRIES, wire.MAX_ADDRESSES), (64, 4)),
    ("LC-P2P-32", "At most 64 addresses of one teller", address_book.MAX_RUMOURS, 64),
    ("LC-P2P-32", "three failed dials", address_book.RUMOUR_TRIES, 3),
    ("LC-P2P-33", "until it has 16 connections in all", CONFIG.other_peers, 16),
    ("LC-P2P-33", "up to 4 of them to validators", discovery.NEAR, 4),
    ("LC-P2P-33", "At most 8 dials run at once", CONFIG.max_dials, 8),
    ("LC-P2P-33", "ended within 10 seconds", CONFIG.settled_after, 10.0),
    ("LC-P2P-33", "again after 0.5 s", address_book.FIRST_RETRY, 0.5),
    ("LC-P2P-33", "up to 120 s", address_book.LAST_RETRY, 120.0),
    ("LC-P2P-37", "Answers above 65,536 bytes", outsiders.SMALL, 65_536),
    ("LC-P2P-37", "at most four keys", outsiders.MAX_LARGE, 4),
    ("LC-P2P-37", "at most 60 seconds", outsiders.LARGE_S, 60.0),
    ("LC-P2P-36", "at most 1,024 bytes", outsiders.MAX_ASK, 1_024),
    ("LC-P2P-39", "for a minute at first", address_book.FIRST_REST, 60.0),
    ("LC-P2P-39", "at most a day", address_book.LAST_REST, 86_400.0),
    ("LC-P2P-39", "4,096 of them", address_book.MAX_RESTING, 4_096),
    ("LC-P2P-41", "or after a day", address_book.FORMER_S, 86_400.0),
    ("LC-P2P-46", "with 224.0.0.251 at port 5353", (mdns.GROUP, mdns.PORT), ("224.0.0.251", 5_353)),
    ("LC-P2P-43", "and every minute", lan.REFRESH_S, 60.0),
    ("LC-P2P-43", "one and three seconds later", lan.REPEAT_S, (0.0, 1.0, 3.0)),
    ("LC-P2P-43", "once in a second", lan.ANSWER_S, 1.0),
    ("LC-P2P-42", "after 30 seconds", CONFIG.trial, 30.0),
    ("LC-P2P-8", "at most 256 connections", half_open.MAX_HALF_OPEN, 256),
    ("LC-P2P-8", "each for at most 10 seconds", 2 * CONFIG.hello_timeout, 10.0),
    ("LC-P2P-44", "TTL 120", mdns.TTL, 120),
    ("LC-P2P-44", "over 1,472 bytes, over 16 questions and records", (mdns.MAX_PACKET, mdns.MAX_RECORDS), (1_472, 16)),
    ("LC-P2P-44", "over 255 bytes", mdns.MAX_NAME, 255),
    ("LC-P2P-44", "40 labels or 8 pointers", (mdns.MAX_LABELS, mdns.MAX_JUMPS), (40, 8)),
    ("LC-P2P-45", "1,024 packets", lan.PACKETS, 1_024.0),
    ("LC-P2P-45", "of which 64 are read", lan.READ_RATE, 64.0),
    ("LC-P2P-45", "4 of one host", lan.HOST_RATE, 4.0),
    ("LC-P2P-45", "64 and 8 at once", (lan.READ_BURST, lan.HOST_BURST), (64.0, 8.0)),
    ("LC-P2P-45", "4 new addresses of one host", lan.ADDRESS_BURST, 4.0),
    ("LC-P2P-45", "one a minute after that", lan.ADDRESS_RATE, 1 / 60),
    ("LC-P2P-45", "two dials at once", discovery.LAN_DIALS, 2),
]
"""Rule, its words, what runs, what the words mean."""

BOUNDS: Final[list[tuple[Any, Any]]] = [
    (address_book.MAX_MEMBERS, 1_024),
    (address_book.MAX_SEEDS, 64),
    (CONFIG.max_peers, 128),
    (CONFIG.half_open, half_open.MAX_HALF_OPEN),
    (half_open.MAX_HALF_OPEN, 256),
    (half_open.MAX_HALF_OPEN_PER_HOST, 32),
    (half_open.MAX_HALF_OPEN_PER_NETWORK, 64),
    (half_open.KEPT, 4),
    (lan.MAX_HOSTS, 256),
    (lan.MAX_INTERFACES, 16),
    (listener.KNOWN_S, 5.0),
    (transport.MAX_EVENTS, 128),
    (transport.MAX_OUTSIDERS, 32),
    (transport.MAX_METERS, 4_096),
    (transport.EXPIRE_S, 60.0),
    (outsiders.MAX_KEYS, 256),
    (outsiders.MAX_ANSWER, 16 * MB),
    (exchange.MAX_SESSIONS, 64),
    (exchange.MAX_UNDER_WAY, 64),
    (exchange.MAX_UNWRITTEN, 16),
    (exchange.MAX_OWED, 64),
    (serving.MAX_QUEUED, 64),
    (serving.MAX_PER_PEER, 4),
    (serving.MAX_ACTIVE, 16),
    (serving.MAX_UNSENT, 4 * 2**20),
]
"""Sizes of this node alone, which no rule of the protocol names: memory and sockets are planned with them."""


@pytest.mark.parametrize(("rule", "words", "runs", "meant"), NUMBERS, ids=[f"{row[0]} {row[1][:24]}" for row in NUMBERS])
def test_a_number_of_the_specification_runs(rule: str, words: str, runs: Any, meant: Any) -> None:
    found = re.search(rf"\*\*{rule}\*\*.*?(?=\n- \*\*LC-|\n## |\Z)", SPEC, re.DOTALL)
    assert found is not None
    assert words in re.sub(r"\s+", " ", found[0]), "the rule says something else now"
    assert runs == meant


def test_bounds_of_this_node_are_as_planned() -> None:
    assert [runs for runs, _ in BOUNDS] == [planned for _, planned in BOUNDS]
