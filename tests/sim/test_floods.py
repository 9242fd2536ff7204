"""PEERS and CONTENT flooded, in virtual time: what is answered and kept stays bounded, and the honest ones are served."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from structlog.testing import capture_logs

from learningchain.chain.node import answer_budget
from learningchain.chain.node.answer_budget import AnswerBudget
from learningchain.chain.node.token_bucket import Rate
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.content.messages import ContentBlock, Message
from learningchain.p2p.content.serving import MAX_QUEUED
from learningchain.p2p.wire import Hello, PeersMessage
from tests.sim.attacks.content_flooder import FLOODERS
from tests.sim.attacks.peers_flooder import PeersFlood
from tests.sim.checks import Violation
from tests.sim.content import Faults, Graph
from tests.sim.test_content import MEMORY

SECONDS = 8.0
SMALL = Rate(300_000, 300_000)
FLOOD = Faults(honest=3, liars=("floods", "floods"), sizes=(700_000, 262_145), heal_at=1.0)


# --- PEERS ------------------------------------------------------------------------------------------------------------------------


async def test_a_flood_of_what_is_ignored_gets_an_answer_a_second_and_few_addresses_in() -> None:
    flood = PeersFlood(1)
    flood.run(SECONDS)
    sent = {name.removeprefix("sent ") for name in flood.counts if name.startswith("sent ")}
    assert sent == {kind.__name__ for kind in PeersMessage.__args__} - {Hello.__name__}  # type: ignore[attr-defined]
    assert flood.closed is None and flood.counts["honest questions"] >= SECONDS / 5 + SECONDS / 2 - 2
    assert flood.counts["addresses kept"] > 0 and flood.counts["got Peers"] > 1 < flood.counts["got Pong"]


async def test_who_sends_what_is_refused_besides_is_blocked_after_ten_of_them() -> None:
    flood = PeersFlood(1, refused=True)
    flood.run(SECONDS)
    assert flood.closed is not None and "a second hello" in flood.closed
    assert flood.counts["sent Hello"] >= 10


@pytest.mark.parametrize("interval", [0.0, 0.9])
async def test_an_answer_too_many_is_seen(interval: float) -> None:
    flood = PeersFlood(1, replace(TransportConfig(), answer_interval=interval))
    with pytest.raises(Violation, match=r"\d+ times (Peers|Pong) in"):
        flood.run(SECONDS)


# --- CONTENT ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY) as made, capture_logs():
        yield Path(made)


def flooded(folder: Path, faults: Faults = FLOOD) -> Graph:
    """A run to its end: every honest machine has every file. Bounds are looked at with every message."""
    world = Graph(1, faults, folder / "flood", FLOODERS)
    try:
        world.run()
    finally:
        shutil.rmtree(world.folder, ignore_errors=True)
    return world


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bytes of answers, so that these files reach the bound over all peers (LC-NODE-72)."""
    for name in ("ANSWERS", "KIND"):
        monkeypatch.setattr(answer_budget, name, SMALL)


@pytest.mark.usefixtures("little")
def test_everybody_gets_every_file_while_two_flood_and_nobody_pays_for_what_is_ignored(folder: Path) -> None:
    world = flooded(folder)
    sent = {name.removeprefix("floods: sent ") for name in world.counts if name.startswith("floods: sent ")}
    assert sent == {kind.__name__ for kind in Message.__args__} - {ContentBlock.__name__}  # type: ignore[attr-defined]
    assert world.counts["floods: sent WantBlocks"] > MAX_QUEUED and world.counts["floods: got bytes"] > SMALL.burst
    assert not [text for text in world.counts if text.startswith("penalty")]


def test_blocks_that_nobody_asked_for_cost_who_sends_them(folder: Path) -> None:
    world = flooded(folder, replace(FLOOD, liars=("hurls",)))
    assert world.counts["hurls: sent ContentBlock"] > 10
    assert world.counts["penalty: sends blocks that nobody asked for"] > 0


@pytest.mark.usefixtures("little")
def test_without_the_bound_over_all_peers_they_get_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnswerBudget, "allows", lambda self, peer, kind, now: True)
    with pytest.raises(Violation, match="bytes served"):
        flooded(folder)
