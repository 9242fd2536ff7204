"""The numbers of the pages for people are those that run: a bound twice as large refuses nothing wrong in any other test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from chain.contracts.prediction.params import PredictionParams
from chain.types import parse_credits
from client import config, tokens
from client.api import http_listener, route
from client.api.route import ServerLimits
from client.callbacks import database, posting, schedule
from client.callbacks.service import RetryTimes
from client.cli import callbacks as cli_callbacks
from client.contracts.membership import box
from client.contracts.prediction import asked_once, model_schema
from p2p import half_open, listener, transport
from p2p.config import TransportConfig
from sandbox import data

FOLDER: Final = Path(__file__).parents[2] / "docs"
API: Final = ServerLimits()
PEERS: Final = TransportConfig()
TIMES: Final = RetryTimes()
DAY_MS: Final = 24 * 3_600_000

ROWS: Final[list[tuple[str, str, Any, Any]]] = [
    ("callbacks", "none within 15 s", posting.ANSWER_S, 15.0),
    (
        "callbacks",
        "again after 1 s, 2 s, 4 s … 1 h, for 3 days",
        (TIMES.first, TIMES.most, TIMES.until),
        (1_000, 3_600_000, 3 * DAY_MS),
    ),
    ("callbacks", "at most 16 attempts run, 4 of one host", (schedule.ALL, schedule.HOST), (16, 4)),
    ("callbacks", "and 8 of all that failed last", schedule.FAILING, 8),
    (
        "callbacks",
        "At most 10,000 references are kept, 1,000 open ones of one token (or of the node's owner), 16 events of each",
        (database.MAX_TARGETS, database.MAX_OPEN, database.MAX_ROWS),
        (10_000, 1_000, 16),
    ),
    ("callbacks", "What ended is shown for 30 days", database.KEEP_MS, 30 * DAY_MS),
    ("callbacks", "the newest 100", cli_callbacks.PAGE, 100),
    ("data", "At most 100,000 files; names of at most 512 bytes", (data.MAX_DATA_FILES, data.NAME_CAP), (100_000, 512)),
    ("operating", "from 100 on", config.LEAST_KEPT, 100),
    ("operating", "stay 30 days, 64 at most", (box.KEEP_MS, box.MOST), (30 * DAY_MS, 64)),
    ("operating", "(10,000, unless you set it)", config.SETTINGS["sync.snapshot_after"].default, 10_000),
    ("operating", "512, of one IPv4 address or IPv6 /64 at most 384", (API.connections, API.connections_per_address), (512, 384)),
    (
        "operating",
        "256 that have not said hello, 32 of a host, 64 of an IPv4 /24",
        (half_open.MAX_HALF_OPEN, half_open.MAX_HALF_OPEN_PER_HOST, half_open.MAX_HALF_OPEN_PER_NETWORK),
        (256, 32, 64),
    ),
    ("operating", "then 128 peers", PEERS.max_peers, 128),
    ("operating", "64 places are for hosts where members were reached", half_open.MAX_HALF_OPEN // half_open.KEPT, 64),
    (
        "operating",
        "50 a second of all strangers together, 100 at once",
        (API.strangers_per_s, API.strangers_at_once),
        (50.0, 100.0),
    ),
    ("operating", "20 connections of a member at once", PEERS.connections, 20.0),
    (
        "operating",
        "32 header fields, 4 KiB for a name or a value",
        (http_listener.MAX_HEADERS, http_listener.MAX_FIELD),
        (32, 4_096),
    ),
    (
        "operating",
        "32 header fields, 2 KiB |",
        (listener._HTTP_LIMITS["max_headers"], listener._HTTP_LIMITS["max_field_size"]),
        (32, 2_048),
    ),
    (
        "operating",
        "10 s for a header, 75 s without a question, 30 s in which less than 16 KiB of an answer are taken",
        (API.header_s, API.idle_s, API.stall_s, http_listener.STALL_BYTES),
        (10.0, 75.0, 30.0, 16 * 1_024),
    ),
    (
        "operating",
        "a body of JSON 30 s, an upload 256 KiB in 60 s",
        (route.BODY_TIMEOUT_S, API.slowest_bytes, API.read_idle_s),
        (30.0, 256 * 1_024, 60.0),
    ),
    ("operating", "10 s until the hello", 2 * PEERS.hello_timeout, 10.0),
    (
        "operating",
        "at most five lines a minute for what is no request",
        (http_listener.LOG_LINES, http_listener.LOG_WINDOW_S),
        (5, 60.0),
    ),
    ("operating", "`peers` lists 32 of them", transport.MAX_OUTSIDERS, 32),
    ("operating", "within a heartbeat (15 s)", API.heartbeat_s, 15.0),
    ("networks", "everybody else with 16 others", PEERS.other_peers, 16),
    ("networks", "32 places for connections of one address", half_open.MAX_HALF_OPEN_PER_HOST, 32),
    ("networks", "after 30 seconds of silence at most", PEERS.silence_timeout, 30.0),
    ("predictions", "JSON of at most 64 KiB", model_schema.MAX_SCHEMA_BYTES, 64 * 1_024),
    ("predictions", "20,000 at most (503, TOO_MANY_KEYS)", asked_once.MOST, 20_000),
    ("predictions", "a week longer than results", asked_once.LONGER_MS, 7 * DAY_MS),
    ("predictions", "`pred_row` (5 micro-credits)", PredictionParams().pred_row, 5),
    (
        "predictions",
        "`predict.daily` (10 credits in 24 hours",
        parse_credits(config.SETTINGS["predict.daily"].default),
        10_000_000,
    ),
]

BOUNDS: Final[list[tuple[Any, Any]]] = [
    ((API.waits, API.streams, API.uploads, API.downloads, API.requests), (256, 32, 4, 16, 512)),
    ((API.upload_bytes, API.spare_bytes, API.queue_bytes), (64 * 2**30, 256 * 2**20, 4 * 2**20)),
    (route.MAX_JSON, 256 * 1_024),
    (config.MOST_DAYS, 36_500),
    (config.MAX_FILE, 262_144),
    ((tokens.MAX_TOKENS, tokens.MAX_LABEL, tokens.MAX_DAYS), (256, 64, 3_650)),
    (tokens.KEEP_MS, 90 * DAY_MS),
    (database.MAX_BODY, 65_536),
    (database.SILENT_MS, 60 * DAY_MS),
    ((posting.CONNECT_S, posting.MAX_LINE), (5.0, 8_190)),
]
"""Sizes of this node alone, which no page names: memory, the disk and patience are planned with them."""


@pytest.mark.parametrize(("page", "words", "runs", "meant"), ROWS, ids=[f"{row[0]} {row[1][:32]}" for row in ROWS])
def test_a_number_of_a_page_runs(page: str, words: str, runs: Any, meant: Any) -> None:
    text = re.sub(r"\s+", " ", (FOLDER / f"{page}.md").read_text(encoding="utf-8"))
    assert words in text, "the page says something else now"
    assert runs == meant


@pytest.mark.parametrize(("runs", "meant"), BOUNDS)
def test_what_a_node_allows_is_as_much_as_it_was_planned(runs: Any, meant: Any) -> None:
    assert runs == meant
