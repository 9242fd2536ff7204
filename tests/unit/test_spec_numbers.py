"""The numbers of the chapters on nodes, content and the remote signer are those that run: a bound twice as large refuses nothing
wrong in any other test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from learningchain.chain.node import (
    ancestry,
    answer_budget,
    batches,
    bodies,
    candidates,
    double_sign_check,
    events,
    mempool,
    messages,
    node,
    relay,
    service,
    snapshot,
    space,
    sync,
    topology,
)
from learningchain.chain.params import MAX_VALIDATORS
from learningchain.client import config
from learningchain.client.keys.statements import MAX_DOMAIN, MAX_STATEMENT
from learningchain.client.signer import messages as signer_messages
from learningchain.client.signer import remote
from learningchain.client.signer import server as signer_server
from learningchain.p2p.content import cid, dag, exchange, moves, serving
from learningchain.p2p.content import messages as content_messages
from learningchain.p2p.content import service as content_service
from learningchain.p2p.mover import mover, places, sending

FOLDER: Final = Path(__file__).parents[2] / "protocol_spec"
Row = tuple[str, str, Any, Any]

NODE: Final[list[Row]] = [
    ("LC-NODE-1", "1 to 512, about 1,000,000 bytes", (messages.MAX_BATCH, relay.BATCH_BYTES), (512, 1_000_000)),
    ("LC-NODE-3", "at most 4 messages", relay.MAX_ANSWER, 4),
    ("LC-NODE-8", "every second", node.STATUS_TICKS * events.TICK_MS, 1_000),
    ("LC-NODE-12", "1 to 64", messages.MAX_SYNC_BLOCKS, 64),
    (
        "LC-NODE-13",
        "reaches 2,000,000 bytes, and before the one that would exceed 4,200,000",
        (messages.MAX_SYNC_BYTES, messages.MAX_SYNC_ANSWER),
        (2_000_000, 4_200_000),
    ),
    ("LC-NODE-14", "at most 128", MAX_VALIDATORS, 128),
    ("LC-NODE-14", "through two other peers", topology.WAYS, 2),
    ("LC-NODE-14", "after every 10 ticks", topology.WAY_TICKS, 10),
    ("LC-NODE-15", "up to 8,192 above", mempool.MAX_PER_LANE, 8_192),
    ("LC-NODE-17", "at its next tick of 100 ms", events.TICK_MS, 100),
    ("LC-NODE-17", "Every 2 seconds", node.REMIND_TICKS * events.TICK_MS, 2_000),
    ("LC-NODE-18", "60 ms after", relay.GRACE, 60),
    ("LC-NODE-18", "16,384 announcements wait, 4,096 of one peer", (relay.MAX_ANNOUNCED, relay.MAX_OF_PEER), (16_384, 4_096)),
    ("LC-NODE-19", "at most 1,024 at one height", mempool.MAX_EXPIRED, 1_024),
    ("LC-NODE-20", "waits 20 ms after the proposal", events.LATE_MS, 20),
    ("LC-NODE-21", "At most 16 blocks are kept", candidates.MAX_CANDIDATES, 16),
    ("LC-NODE-21", "At most 64 are waited for", bodies.MAX_WANTED, 64),
    ("LC-NODE-22", "600 ms after the height began, or 2,000 ms", (sync.PATIENCE, sync.HELD), (600, 2_000)),
    ("LC-NODE-22", "(at most 2,000 ms)", sync.MAX_PACE, 2_000),
    ("LC-NODE-22", "for 5 seconds", sync.DEADLINE, 5_000),
    ("LC-NODE-22", "at most 3 answers wait", batches.MAX_BATCHES, 3),
    ("LC-NODE-22", "while it is 32 heights or more behind", batches.TRUST_FROM, 32),
    (
        "LC-NODE-30",
        "for two ticks of 100 ms",
        (double_sign_check.STABLE_TICKS, events.TICK_MS),
        (2, 100),
    ),
    ("LC-NODE-30", "After 3,000 ms", double_sign_check.FALLBACK_MS, 3_000),
    ("LC-NODE-31", "nothing up to 2 above", double_sign_check.ABSTAIN_MARGIN, 2),
    ("LC-NODE-37", "at most 64", messages.MAX_VALIDATOR_CHANGES, 64),
    ("LC-NODE-38", "1 to 256 numbers", messages.MAX_BUCKETS, 256),
    ("LC-NODE-39", "reaches 1,000,000 bytes", messages.MAX_BUCKETS_BYTES, 1_000_000),
    ("LC-NODE-40", "10,000 by default", config.SETTINGS["sync.snapshot_after"].default, 10_000),
    ("LC-NODE-40", "up to 4 of those peers", snapshot.MAX_SOURCES, 4),
    ("LC-NODE-40", "after 1,000 ms, for at most 120,000 ms", (snapshot.AGAIN, snapshot.PATIENCE), (1_000, 120_000)),
    ("LC-NODE-40", "for 600,000 ms", snapshot.REST, 600_000),
    ("LC-NODE-40", "two questions at a time for each peer, 5,000 ms", (snapshot.MAX_ASKED, sync.DEADLINE), (2, 5_000)),
    ("LC-NODE-74", "every 16,384th id", ancestry.SEGMENT, 16_384),
    ("LC-NODE-76", "`count` 1 to 512", messages.MAX_HEADERS, 512),
    ("LC-NODE-77", "again for 10,000 ms", ancestry.REST, 10_000),
    ("LC-NODE-50", "At most 4 questions of one peer", service.MAX_OPEN, 4),
    ("LC-NODE-50", "At most 2 are read at a time", service.MAX_READS, 2),
    (
        "LC-NODE-50",
        "32 times in a second (40 at once after a rest), and not while 2,000,000 bytes",
        (tuple(service.READS.rate), service.READS.max_queued),
        ((32, 40), 2_000_000),
    ),
    ("LC-NODE-50", "40 are read in a second (80 at once)", tuple(service.ALL_READS), (40, 80)),
    (
        "LC-NODE-51",
        "more than 10 in a second (16 at once after a rest), or one while 1,000,000 bytes",
        (tuple(service.POOL.rate), service.POOL.max_queued),
        ((10, 16), 1_000_000),
    ),
    (
        "LC-NODE-51",
        "more than 20 in a second (40 at once), or one while 4,000,000 bytes",
        (tuple(service.BODIES.rate), service.BODIES.max_queued),
        ((20, 40), 4_000_000),
    ),
    ("LC-NODE-51", "an answer: more than 10 in a second", tuple(service.HEIGHTS.rate), (10, 10)),
    ("LC-NODE-61", "at least 1,280", space.MIN_CHARGE, 1_280),
    ("LC-NODE-61", "8,000,000, of one account 1,000,000", (space.LIMITS[space.GAP], space.GAP_SHARE), (8_000_000, 1_000_000)),
    ("LC-NODE-61", "not urgent | 40,000,000", space.LIMITS[space.COMMON], 40_000_000),
    ("LC-NODE-61", "56,000,000", space.LIMITS[space.URGENT], 56_000_000),
    ("LC-NODE-61", "64,000,000", space.LIMITS[space.LOCAL], 64_000_000),
    ("LC-NODE-62", "more than 64,000 bytes", space.GAP_BURST, 64_000),
    ("LC-NODE-63", "16 heights, at most 32", mempool.LEFT_HEIGHTS, 16),
    ("LC-NODE-63", "up to 16,384 short ids", mempool.MAX_LEFT, 16_384),
    ("LC-NODE-65", "more than 16,384 of them were refused, each second taking 2,000", tuple(service.OFFERS.rate), (2_000, 16_384)),
    ("LC-NODE-66", "120,000 ms after", snapshot.PATIENCE, 120_000),
    ("LC-NODE-66", "less than 500,000 bytes", snapshot.LITTLE, 500_000),
    ("LC-NODE-67", "grew by 10,000 ms", mempool.REST_MS, 10_000),
    ("LC-NODE-70", "excused 1,024 times of a peer, and 50 times", tuple(service.FORGERIES.rate), (50, 1_024)),
    ("LC-NODE-71", "after 5,000 ms", snapshot.PRUNED, 5_000),
    (
        "LC-NODE-72",
        "20,000,000 bytes in a second over all peers, 20,000,000 at once",
        tuple(answer_budget.ANSWERS),
        (20_000_000,) * 2,
    ),
    ("LC-NODE-72", "of 8,000,000 bytes in a second, as many at once", tuple(answer_budget.VALIDATORS), (8_000_000,) * 2),
    ("LC-NODE-72", "So have 4,000,000 all questions", tuple(answer_budget.KIND), (4_000_000,) * 2),
    ("LC-NODE-73", "64 of the questions", service.QUESTIONS.rate.per_s, 64),
    ("LC-NODE-73", "(96 at once after a rest)", service.QUESTIONS.rate.burst, 96),
]
CONTENT: Final[list[Row]] = [
    ("LC-CONTENT-1", "36 bytes", cid.CID_BYTES, 36),
    ("LC-CONTENT-2", "262,144 bytes", dag.CHUNK, 262_144),
    ("LC-CONTENT-2", "by 174", dag.LINKS, 174),
    ("LC-CONTENT-3", "At most 16,384 bytes and three levels", (dag.MAX_NODE, dag.MAX_DEPTH), (16_384, 3)),
    ("LC-CONTENT-8", "at most 1,048,576 bytes", content_messages.MAX_FRAME, 1_048_576),
    ("LC-CONTENT-8", "1 to 32", content_messages.MAX_WANTS, 32),
    ("LC-CONTENT-10", "every 1,000", exchange.ASK_AGAIN_MS, 1_000),
    ("LC-CONTENT-11", "At most 64 blocks of one fetch", exchange.MAX_UNDER_WAY, 64),
    ("LC-CONTENT-11", "delivers nothing for 8,000", exchange.STALL_MS, 8_000),
    ("LC-CONTENT-11", "the third time in a row", exchange.MAX_STALLS, 3),
    ("LC-CONTENT-11", "has owed for 1,000", exchange.ENDGAME_MS, 1_000),
    ("LC-CONTENT-12", "ends after 20,000", exchange.NOBODY_MS, 20_000),
    ("LC-CONTENT-12", "up to 64", exchange.MAX_OWED, 64),
    ("LC-CONTENT-16", "at least 4,194,304 bytes", moves.MIN_MOVED, 4_194_304),
    ("LC-CONTENT-16", "within 60,000", moves.TICKET_MS, 60_000),
    ("LC-CONTENT-16", "64 tickets of a peer and 1,024", (sending.MAX_TICKETS_OF_PEER, sending.MAX_TICKETS), (64, 1_024)),
    ("LC-CONTENT-16", "the same within 5,000", mover.SAME_S * 1_000, 5_000),
    ("LC-CONTENT-16", "at most 16 new ones", mover.MAX_NEW_OF_PEER, 16),
    ("LC-CONTENT-17", "1 to 4,096", sending.MAX_LEAVES, 4_096),
    ("LC-CONTENT-17", "within 5,000", sending.TICKET_S * 1_000, 5_000),
    ("LC-CONTENT-17", "for 30,000", sending.SILENCE_S * 1_000, 30_000),
    ("LC-CONTENT-17", "slower than 100,000 bytes", sending.MIN_RATE, 100_000),
    ("LC-CONTENT-17", "32, 8 of one host", (places.MAX_STRANGERS, places.MAX_STRANGERS_OF_HOST), (32, 8)),
    ("LC-CONTENT-17", "16, 4 of one peer", (places.MAX_SENDING, places.MAX_SENDING_TO_PEER), (16, 4)),
    ("LC-CONTENT-17", "there for 30,000", places.TURN_S * 1_000, 30_000),
    ("LC-CONTENT-18", "16 leaves or more", moves.MIN_MOVED // dag.CHUNK, 16),
    (
        "LC-CONTENT-18",
        "4 of one fetch, 4 with one peer and 16 in all",
        (moves.MAX_OF_FETCH, moves.MAX_OF_PEER, moves.MAX_MOVES),
        (4, 4, 16),
    ),
    ("LC-CONTENT-18", "next 256 leaves", moves.RUN, 256),
    ("LC-CONTENT-18", "at most two such", moves.RUNS_AHEAD, 2),
    ("LC-CONTENT-19", "the second other fault", moves.MAX_FAULTS, 2),
    ("LC-CONTENT-19", "nothing for 30,000", moves.FORGIVE_MS, 30_000),
    ("LC-CONTENT-20", "within the last 2,000", moves.REST_MS, 2_000),
    ("LC-CONTENT-20", "nothing for 8,000", moves.MOVE_STALL_MS, 8_000),
    ("LC-CONTENT-13", "At most 64 wants of a peer", serving.MAX_QUEUED, 64),
    ("LC-CONTENT-13", "4 blocks of one peer and 16 of all", (serving.MAX_PER_PEER, serving.MAX_ACTIVE), (4, 16)),
    ("LC-CONTENT-13", "while 4,194,304 bytes", serving.MAX_UNSENT, 4_194_304),
    ("LC-CONTENT-13", "At most 16 frames of a peer", content_service.MAX_WAITING, 16),
]
SIGNER: Final[list[Row]] = [
    ("LC-SIG-3", "hello | version (1)", signer_messages.PROTOCOL, 1),
    ("LC-SIG-3", "at most 512 bytes | signature", signer_messages.MAX_SPKI, 512),
    ("LC-SIG-3", "count 1..64", signer_messages.MAX_SECRETS, 64),
    ("LC-SIG-3", "text 1..32, body: 1 to 8,192 bytes", (MAX_DOMAIN, MAX_STATEMENT), (32, 8_192)),
    ("LC-SIG-3", "text of at most 512 bytes", signer_messages.MAX_TEXT, 512),
    ("LC-SIG-6", "for 10 s loses its place", signer_server.IDLE_S, 10.0),
    (
        "LC-SIG-6",
        "At most 16 connections may be before their hello, which has 5 s",
        (signer_server.MAX_WAITING, signer_server.HELLO_S),
        (16, 5.0),
    ),
    ("LC-SIG-9", "after 0.1 s, doubled up to 2 s", (remote.FIRST_PAUSE_S, remote.MAX_PAUSE_S), (0.1, 2.0)),
    ("LC-SIG-9", "pings after 2 s", remote.PING_S, 2.0),
    ("LC-SIG-9", "within 5 s for lost", remote.ANSWER_S, 5.0),
    ("LC-SIG-10", "the newest 8", remote.MAX_HELD, 8),
]
ROWS: Final = [
    (chapter, *row) for chapter, rows in (("node", NODE), ("content", CONTENT), ("remote-signer", SIGNER)) for row in rows
]


@pytest.mark.parametrize(("chapter", "rule", "words", "runs", "meant"), ROWS, ids=[f"{row[1]} {row[2][:24]}" for row in ROWS])
def test_a_number_of_the_specification_runs(chapter: str, rule: str, words: str, runs: Any, meant: Any) -> None:
    spec = (FOLDER / f"{chapter}.md").read_text(encoding="utf-8")
    found = re.search(rf"\*\*{rule}\*\*.*?(?=\n- \*\*LC-|\n## |\Z)", spec, re.DOTALL)
    assert found is not None
    assert words in re.sub(r"\s+", " ", found[0]), "the rule says something else now"
    assert runs == meant
