"""What a node's work tells its operator, and whom of its peers it hears how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from learningchain.client.work import peers
from learningchain.client.work.events import Notice, PeerSaid
from learningchain.client.work.notices import Notices
from learningchain.client.work.peers import BURST, PeerChannels

A, B = b"a" * 20, b"b" * 20
REF = b"r" * 32


def test_a_notice_keeps_the_time_since_which_it_is_so_and_the_log_has_it_once() -> None:
    clock = [1_000]
    told = Notices(lambda: clock[0])
    with structlog.testing.capture_logs() as log:
        told.note([("verifier", [Notice("disk", REF, "it is full")])])
        clock[0] = 2_000
        told.note([("verifier", [Notice("disk", REF, "it is full")])])
        assert told.shown() == [{"topic": "disk", "ref": REF.hex(), "since": 1_000, "text": "it is full"}]
        assert len(log) == 1
        told.note([("verifier", [Notice("disk", REF, "it is nearly full")])])
        assert [(one["since"], one["text"]) for one in told.shown()] == [(1_000, "it is nearly full")] and len(log) == 2
        told.note([("verifier", [])])
        assert told.shown() == [] and log[-1]["event"] == "no longer so"
        clock[0] = 3_000
        told.note([("verifier", [Notice("disk", REF, "it is full")])])
        assert [one["since"] for one in told.shown()] == [3_000], "it is so anew"


def test_each_channel_of_a_peer_has_a_rate_and_of_strangers_without_end_few_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "MOST_PEERS", 3)
    heard: list[tuple[str, Any]] = []
    parts: Any = [
        SimpleNamespace(name=name, hears=SimpleNamespace(channel=channel, take=lambda *given: given[-1]))
        for channel, name in ((7, "one"), (8, "two"))
    ]
    reader: Any = SimpleNamespace()
    channels = PeerChannels(parts, lambda: reader, A, tell=lambda name, given: heard.append((name, given)), now_s=lambda: 0.0)
    for _ in range(int(BURST) + 5):
        channels.on_message(A, 7, b"x")
    assert len(heard) == BURST
    channels.on_message(A, 8, b"y")
    assert heard[-1] == ("two", PeerSaid(A, b"y")), "what it says on one channel takes nothing of another one"
    for n in range(50):
        channels.on_message(n.to_bytes(20, "big"), 7, b"z")
    assert len(channels._rates) == 3
    channels.on_message(B, 99, b"nobody hears it")
    assert len(heard) == BURST + 1 + 50
