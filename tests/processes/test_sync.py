"""Nodes that were away or stood still: they catch up by themselves, and never contradict what they said before."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.processes.harness import Graph, NodeProcess, Role, credits, micro, validators

AWAY = 110
"""Blocks: several requests' worth of block sync."""


async def test_who_was_away_catches_up_and_who_stood_still_goes_on(tmp_path: Path) -> None:
    async with Graph(tmp_path, [*validators(4), Role("observer")]) as graph:
        await graph.start()
        observer = graph["observer"]
        await observer.kill()
        moved = await _many_blocks(graph, await graph["v0"].height() + AWAY)
        await _it_catches_up(graph, observer, moved)
        await _a_paused_validator_comes_back(graph, graph["v2"])
        await graph.no_fork()
        assert await graph.conserved() == credits(5000)


async def _many_blocks(graph: Graph, top: int) -> int:
    """Transfers one after the other, each in a block of its own, until the graph is at `top`; how many there were."""
    sender, count = graph["v1"], 0
    while await sender.height() < top:
        done = await sender.api.transfer(graph["observer"].address, "0.000001", wait=60)
        assert done["code"] == 0
        count += 1
    return count


async def _it_catches_up(graph: Graph, observer: NodeProcess, moved: int) -> None:
    top = await graph["v0"].height()
    await observer.start()
    status = await observer.reaches(top)
    assert status["height"] >= top >= AWAY
    await graph.agree()
    assert micro(await observer.api.balance()) == credits(1000) + moved
    amounts = [line for line in await observer.api.history(limit=1_000) if line["amount"]]  # its own box key moves nothing
    assert len(amounts) == moved, "what happened meanwhile is in its books too"
    status = await observer.api.status()
    assert not status["syncing"]
    await _the_audit_holds(observer, status["audited"])


async def _the_audit_holds(node: NodeProcess, before: int) -> None:
    """Most of it was taken over by certificates; the audit executes that, beside the running node."""
    top = await node.height()
    assert before < top - AWAY // 2
    words = [sys.executable, "-m", "learningchain", "audit", "--json", "--data", str(node.data)]
    audit = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await audit.communicate()
    found = json.loads(out)
    assert (audit.returncode, found["holds"], found["first"]) == (0, True, before + 1)
    assert found["audited"] >= top
    assert (await node.api.status())["audited"] >= top


async def _a_paused_validator_comes_back(graph: Graph, paused: NodeProcess) -> None:
    """The others go on without it, its turns time out; then it votes and proposes again, and contradicts nothing."""
    others = [node for node in graph if node is not paused]
    before = await paused.height()
    paused.pause()
    try:
        await asyncio.gather(*(node.reaches(before + 6) for node in others))
        done = await graph["v0"].api.transfer(paused.address, "3", wait=60)
        assert done["code"] == 0
    finally:
        paused.resume()
    await graph.connected()
    await graph.agree()
    assert micro(await paused.api.balance()) == credits(1003)
    await _proposes_after(graph, paused, await paused.height())
    for node in graph:
        status = await node.api.status()
        assert paused.address in status["validators"]
        assert not node.says("signed twice")


async def _proposes_after(graph: Graph, node: NodeProcess, height: int) -> None:
    """Within two rounds of turns one of the blocks is its own."""
    observer = graph["observer"]
    await observer.reaches(height + 8)
    found = [(await observer.api.block(h))["proposer"] for h in range(height + 1, height + 9)]
    assert node.address in found
