"""Four validators in four network namespaces on a switch that is cut: no fork, no progress without a quorum, progress after it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.harness import Graph, credits, eventually, micro, validators
from tests.processes.netns import Lan, Refused

NAMES = ["v0", "v1", "v2", "v3"]
LOOKS = 12
"""How often a graph without a quorum is asked for its height: at its heartbeat it would have made as many blocks."""


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(NAMES).__enter__()
    except Refused as reason:
        print(f"no network namespaces on this machine: {reason}")
        pytest.skip(f"this machine refuses network namespaces: {reason}")
    yield made
    made.__exit__(None, None, None)


async def test_a_partition_stops_a_graph_without_a_quorum_and_forks_none(tmp_path: Path, lan: Lan) -> None:
    async with Graph(tmp_path, lan.roles(validators(4))) as graph:
        lan.inhabit(graph)
        await graph.start()
        await graph["v0"].grows(3)
        await _two_and_two(graph, lan)
        await _three_and_one(graph, lan)
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)
        for node in graph:
            status = await node.api.status()
            assert len(status["validators"]) == 4, "nobody signed twice"
            assert not (await node.api.account(node.address))["strikes"]
            assert not node.says("signed twice") and not node.says("blocked")


async def _two_and_two(graph: Graph, lan: Lan) -> None:
    """Nobody has a quorum: what is under way may still end, then the height stands. After healing it grows, what waited is done."""
    lan.cut({"v2", "v3"})
    stood = await _stands_still(graph)
    waiting = asyncio.create_task(graph["v0"].api.transfer(graph["v3"].address, "7", wait=90))
    await asyncio.sleep(0)
    assert max(await _heights(graph)) == stood
    lan.heal()
    await asyncio.gather(*(node.reaches(stood + 3) for node in graph))
    assert (await waiting)["code"] == 0
    block = await graph.agree()
    assert block["height"] >= stood + 3
    assert micro(await graph["v3"].api.balance()) == credits(1007)


async def _three_and_one(graph: Graph, lan: Lan) -> None:
    """The three go on; the one stands still, says so, and has everything soon after healing."""
    alone = graph["v1"]
    lan.cut({"v1"})
    before = max(await _heights(graph))
    others = [node for node in graph if node is not alone]
    await asyncio.gather(*(node.reaches(before + 8) for node in others))
    assert (await graph["v2"].api.transfer(alone.address, "5", wait=60))["code"] == 0
    assert await alone.height() <= before + 1, "what one validator alone would decide is nothing"
    lan.heal()
    top = max(await _heights(graph))
    await alone.reaches(top)
    await graph.agree()
    assert micro(await alone.api.balance()) == credits(1005)

    async def votes_again() -> bool:
        return alone.address in (await others[0].certificate())["signers"]

    await eventually("the one that was cut off votes again", votes_again)


async def _heights(graph: Graph) -> list[int]:
    return list(await asyncio.gather(*(node.height() for node in graph)))


async def _stands_still(graph: Graph) -> int:
    """The height at which a graph stays that had a second's worth of blocks to make at every look."""
    await asyncio.sleep(1.0)  # votes that were sent before the cut may still decide a height
    top = max(await _heights(graph))
    for _ in range(LOOKS):
        await asyncio.sleep(0.4)
        assert max(await _heights(graph)) == top, "a height was decided without a quorum in reach"
    return top
