"""The live stream's reader: what it renders, whom it tells, what a listener may lag behind. No network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.client.api import hub as module
from learningchain.client.api.hub import KINDS, MAX_MESSAGE, Hub, Subscriber, message
from tests.unit.api_kit import FakeNode, a_run

ALL = frozenset(KINDS)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    return FakeNode(tmp_path)


@asynccontextmanager
async def reading(node: FakeNode, queue_bytes: int = 10**6) -> AsyncIterator[Hub]:
    made = Hub(node, queue_bytes=queue_bytes, run_poll_s=0.001)
    made.start()
    await asyncio.sleep(0)  # its reader of blocks is there
    try:
        yield made
    finally:
        await made.stop()


def told(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for part in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in part.split("\n"))
        found.append((fields["event"], msgspec.json.decode(fields["data"])))
    return found


async def heard(listener: Subscriber) -> list[tuple[str, dict[str, Any]]]:
    async with asyncio.timeout(20):
        return told(await listener.take())


# --- one listener ---------------------------------------------------------------------------------------------------------------


def listener_of(most: int) -> tuple[Subscriber, list[str]]:
    drops: list[str] = []
    return Subscriber(ALL, most, lambda: drops.append("dropped")), drops


async def test_what_waits_is_bounded_all_together_and_room_comes_back_with_what_is_taken() -> None:
    listener, drops = listener_of(10)
    for _ in range(3):
        listener.offer(b"12345")
        listener.offer(b"67890")
        assert await listener.take() == b"1234567890"
    listener.offer(b"1234567890")
    assert drops == [] and listener.waiting_bytes == 10
    listener.offer(b"1")
    assert drops == ["dropped"] and listener.dropped


# --- blocks ---------------------------------------------------------------------------------------------------------------------


async def test_each_hears_its_kinds_with_ids(node: FakeNode) -> None:
    async with reading(node) as hub:
        blocks, moves = (hub.subscribe(frozenset({kind}), lambda: None) for kind in ("block", "move"))
        node.ledger.block(boss=Transfer(node.ledger.ids["n1"], 5, b""))
        assert [kind for kind, _ in await heard(moves)] == ["move"]
        raw = await blocks.take()
        assert raw.startswith(f"id: {hub.replay.last.split('-')[0]}-1\nevent: block\ndata: {{".encode()) and raw.endswith(b"}\n\n")
        assert [kind for kind, _ in told(raw)] == ["block"]


async def test_what_nobody_asked_for_is_not_rendered(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[object] = []
    render: Any = vars(module)["render_event"]
    monkeypatch.setattr(module, "render_event", lambda event: (rendered.append(event), render(event))[1])
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"block"}), lambda: None)
        node.ledger.block(boss=Transfer(node.ledger.ids["n1"], 5, b""))
        await heard(listener)
        assert rendered == []
        both = [hub.subscribe(frozenset({"move"}), lambda: None) for _ in range(2)]
        node.ledger.block(boss=Transfer(node.ledger.ids["n1"], 5, b""))
        assert await heard(both[0]) == await heard(both[1])
        assert len(rendered) == 1, "once for all"


async def test_an_event_that_is_too_large_is_a_gap_and_the_others_are_told(node: FakeNode) -> None:
    assert node.runs is not None
    empty = len(message("run", a_run("large") | {"progress": None, "reason": ""})) - len('"log":"a long log",')
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        node.runs.all = [
            a_run("larger") | {"progress": [], "reason": "x" * (MAX_MESSAGE - empty)},
            a_run("large") | {"progress": [], "reason": "x" * (MAX_MESSAGE - empty)},
        ]
        (gap, found), (kind, run) = await heard(listener)
        assert (gap, "too large" in found["reason"], kind, run["id"]) == ("gap", True, "run", "large")


# --- coming back ----------------------------------------------------------------------------------------------------------------


def ids(data: bytes) -> list[str]:
    return [line.removeprefix("id: ") for line in data.decode().split("\n") if line.startswith("id: ")]


async def blocks(node: FakeNode, hub: Hub, count: int) -> None:
    """Decided, and told where somebody listens or may come back."""
    before = int(hub.replay.last.split("-")[1])
    for _ in range(count):
        node.ledger.block()
    async with asyncio.timeout(20):
        while int(hub.replay.last.split("-")[1]) < before + count:
            await asyncio.sleep(0)


BLOCK = frozenset({"block"})


async def test_who_comes_back_hears_what_it_missed_once_and_in_order(node: FakeNode) -> None:
    async with reading(node) as hub:
        begins = hub.replay.last
        first = hub.subscribe(BLOCK, lambda: None)
        await blocks(node, hub, 2)
        (last, _) = ids(await first.take())
        hub.unsubscribe(first)
        await blocks(node, hub, 3)  # nobody listens
        for after, heights in ((begins, [1, 2, 3, 4, 5]), (last, [2, 3, 4, 5])):
            again = hub.subscribe(BLOCK, lambda: None, after=after)
            assert [data["height"] for _, data in await heard(again)] == heights
        newest = hub.subscribe(BLOCK, lambda: None, after=hub.replay.last)
        assert newest.pending.empty()
        await blocks(node, hub, 1)
        assert [data["height"] for _, data in await heard(newest)] == [6]


@pytest.mark.parametrize(
    "after", ["", "8", "00000000-1", "{stream}-99", "{stream}-", "{stream}-1x", "{stream}-\u0661", "{stream}--1"]
)
async def test_who_comes_back_from_elsewhere_is_told_of_a_gap_and_goes_on_from_there(node: FakeNode, after: str) -> None:
    async with reading(node) as hub:
        first = hub.subscribe(BLOCK, lambda: None)
        await blocks(node, hub, 2)
        again = hub.subscribe(BLOCK, lambda: None, after=after.format(stream=hub.replay.last.split("-")[0]))
        data = await again.take()
        assert [kind for kind, _ in told(data)] == ["gap"]
        assert ids(data) == [hub.replay.last]
        hub.unsubscribe(first)


async def test_what_was_pushed_out_or_not_told_meanwhile_is_a_gap(node: FakeNode) -> None:
    async with reading(node, queue_bytes=4_000) as hub:
        begins = hub.replay.last
        first = hub.subscribe(BLOCK, lambda: None)
        await blocks(node, hub, 1)
        moves = hub.subscribe(frozenset({"block", "move"}), lambda: None, after=begins)
        assert [kind for kind, _ in await heard(moves)] == ["gap"], "movements were not told then"
        hub.unsubscribe(first)
        for _ in range(40):
            await blocks(node, hub, 1)
            await moves.take()
        late = hub.subscribe(BLOCK, lambda: None, after=begins)
        assert [kind for kind, _ in await heard(late)] == ["gap"], "2,000 bytes are kept"
        (reader,) = node.ledger.readers
        before = hub.replay.last
        reader.put_nowait(LookupError("1,000 blocks behind"))
        await heard(late)
        again = hub.subscribe(BLOCK, lambda: None, after=before)
        assert [kind for kind, _ in await heard(again)] == ["gap"], "a gap is told to who was away, too"


@pytest.mark.parametrize(
    "moved",
    [
        {"phase": "verify"},
        {"state": "done"},
        {"attempt": 2},
        {"ended": 9},
        {"progress": [{"step": 1, "of": 9, "loss": "0.2"}]},
        {"log": "a longer log"},
    ],
)
async def test_a_run_is_told_again_when_it_moved_and_only_then(node: FakeNode, moved: dict[str, Any]) -> None:
    assert node.runs is not None
    run, other = a_run("moves"), a_run("stands")
    node.runs.all = [run, other]
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        assert [run["id"] for _, run in await heard(listener)] == ["moves", "stands"]
        run |= moved
        ((_, shown),) = await heard(listener)
        assert shown == {k: v for k, v in run.items() if k != "log"} | {"progress": run["progress"][-1]}
        assert listener.pending.empty()
