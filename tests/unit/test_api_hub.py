"""The live stream's reader: what it renders, whom it tells, what a listener may lag behind. No network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.contracts.credits import Transfer
from client.api import hub as module
from client.api.hub import KINDS, MAX_MESSAGE, Hub, Subscriber, message
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


async def test_who_was_dropped_costs_nothing_more() -> None:
    listener, drops = listener_of(1)
    for _ in range(5):
        listener.offer(b"12")
    listener.offer(b"1")
    assert drops == ["dropped"] and listener.pending.empty()


async def test_who_gives_up_waiting_misses_nothing() -> None:
    """A heartbeat ends the wait again and again."""
    listener, _ = listener_of(10)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await listener.take()
    listener.offer(b"x")
    assert (await listener.take(), listener.waiting_bytes) == (b"x", 0)


# --- blocks ---------------------------------------------------------------------------------------------------------------------


async def test_each_hears_its_kinds_and_a_block_carries_its_height_as_id(node: FakeNode) -> None:
    async with reading(node) as hub:
        blocks, moves = (hub.subscribe(frozenset({kind}), lambda: None) for kind in ("block", "move"))
        node.ledger.block(boss=Transfer(node.ledger.ids["n1"], 5, b""))
        assert [kind for kind, _ in await heard(moves)] == ["move"]
        raw = await blocks.take()
        assert raw.startswith(b"event: block\nid: 1\ndata: {") and raw.endswith(b"}\n\n")
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


async def test_who_left_is_told_nothing(node: FakeNode) -> None:
    async with reading(node) as hub:
        gone, stays = (hub.subscribe(ALL, lambda: None) for _ in range(2))
        hub.unsubscribe(gone)
        hub.unsubscribe(gone)
        node.ledger.block()
        await heard(stays)
        assert gone.pending.empty() and len(hub.listeners) == 1


async def test_an_event_that_is_too_large_is_left_out_and_the_others_are_not(node: FakeNode) -> None:
    assert node.runs is not None
    empty = len(message("run", a_run("large") | {"progress": None, "reason": ""})) - len('"log":"a long log",')
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        node.runs.all = [
            a_run("larger") | {"progress": [], "reason": "x" * (MAX_MESSAGE - empty)},
            a_run("large") | {"progress": [], "reason": "x" * (MAX_MESSAGE - empty)},
        ]
        assert [run["id"] for _, run in await heard(listener)] == ["large"]


async def test_blocks_go_on_where_their_reader_ended(node: FakeNode) -> None:
    """Another one takes its place, from then on."""
    followed: list[int] = []
    committed = node.ledger.committed

    async def short() -> AsyncIterator[Any]:
        followed.append(1)
        async for block in committed():
            yield block
            return

    node.ledger.committed = short  # type: ignore[method-assign]
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"block"}), lambda: None)
        for height in (1, 2, 3):
            async with asyncio.timeout(20):
                while len(node.ledger.readers) < height:
                    await asyncio.sleep(0)
            node.ledger.block()
            assert [block["height"] for _, block in await heard(listener)] == [height]


async def test_everybody_hears_of_a_gap_whatever_they_asked_for(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reading(node) as hub:
        listeners = [hub.subscribe(frozenset({kind}), lambda: None) for kind in KINDS]
        (reader,) = node.ledger.readers
        reader.put_nowait(LookupError("1,000 blocks behind"))
        for listener in listeners:
            assert await heard(listener) == [("gap", {"reason": "1,000 blocks behind"})]
        monkeypatch.setattr(module, "block_data", lambda block: 1 // 0)
        async with asyncio.timeout(20):
            while not node.ledger.readers:
                await asyncio.sleep(0)
        node.ledger.block()
        for listener in listeners:
            ((kind, data),) = await heard(listener)
            assert (kind, data["reason"]) == ("gap", "block 1 could not be shown: ZeroDivisionError")


async def test_the_end_drops_all_and_leaves_no_task(node: FakeNode) -> None:
    dropped: list[int] = []
    async with reading(node) as hub:
        for number in range(3):
            hub.subscribe(ALL, lambda number=number: dropped.append(number))  # type: ignore[misc]
        tasks = list(hub._tasks)
    assert sorted(dropped) == [0, 1, 2]
    assert len(tasks) == 2 and all(task.done() for task in tasks)


# --- runs -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved",
    [{"phase": "verify"}, {"state": "done"}, {"attempt": 2}, {"ended": 9}, {"progress": [{"step": 1, "of": 9, "loss": "0.2"}]}],
)
async def test_a_run_is_told_again_when_it_moved_and_only_then(node: FakeNode, moved: dict[str, Any]) -> None:
    assert node.runs is not None
    run, other = a_run("moves"), a_run("stands")
    node.runs.all = [run, other]
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        assert [run["id"] for _, run in await heard(listener)] == ["moves", "stands"]
        run |= {"log": "a longer log"}  # stays out of the stream, so it moves nothing
        run |= moved
        ((_, shown),) = await heard(listener)
        assert shown == {k: v for k, v in run.items() if k != "log"} | {"progress": run["progress"][-1]}
        assert listener.pending.empty()


async def test_a_run_that_was_forgotten_and_comes_again_is_told_again(node: FakeNode) -> None:
    """And what is no longer listed is not remembered: a node runs for years."""
    assert node.runs is not None
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        for _ in range(3):
            node.runs.all = [a_run("r1")]
            await heard(listener)
            node.runs.all = []
            async with asyncio.timeout(20):
                while hub._runs:
                    await asyncio.sleep(0)


async def test_runs_that_cannot_be_listed_once_are_shown_at_the_next_look(node: FakeNode) -> None:
    assert node.runs is not None
    looks: list[int] = []

    def list_runs() -> list[dict[str, Any]]:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("the book is locked")
        return [a_run("r1")]

    node.runs.list_runs = list_runs  # type: ignore[method-assign]
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run"}), lambda: None)
        assert [run["id"] for _, run in await heard(listener)] == ["r1"]
        assert len(looks) >= 2


async def test_a_node_without_a_worker_has_no_runs_and_goes_on(node: FakeNode) -> None:
    node.runs = None
    async with reading(node) as hub:
        listener = hub.subscribe(frozenset({"run", "block"}), lambda: None)
        node.ledger.block()
        assert [kind for kind, _ in await heard(listener)] == ["block"]
        assert not any(task.done() for task in hub._tasks)
