"""A validator behind a link of 1 MB/s and 200 ms each way: the graph goes at the others' speed, and the slow one follows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.contracts.credits import Transfer
from tests.processes.harness import Graph, NodeProcess, Person, Role, credits, micro, validators, with_params
from tests.processes.netns import Lan, Refused
from tests.processes.slow_link import SlowLink

NAMES = ["v0", "v1", "v2", "slow"]
RATE, DELAY = 1e6, 0.2
CROWD = [Person(f"p{i}", "50") for i in range(8)]
BLOCKS = 16


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(NAMES).__enter__()
    except Refused as reason:
        print(f"no network namespaces on this machine: {reason}")
        pytest.skip(f"this machine refuses network namespaces: {reason}")
    yield made
    made.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("propose_ms", "in_time"), [(1_000, True), (150, False)], ids=["its proposals are in time", "its proposals come too late"]
)
async def test_a_validator_behind_a_slow_link(tmp_path: Path, lan: Lan, propose_ms: int, in_time: bool) -> None:
    roles, params = [*validators(3), Role("slow", validator=True)], with_params(timeout_propose=propose_ms)
    async with (
        SlowLink(lan, "slow", rate=RATE, delay=DELAY) as link,
        Graph(tmp_path, lan.roles(roles), people=CROWD, params=params) as graph,
    ):
        lan.inhabit(graph)
        await graph.start()
        slow, fast = graph["slow"], [graph[f"v{i}"] for i in range(3)]
        start = await fast[0].height()
        began = time.monotonic()
        load = [_keep_sending(fast[i % 3], slow, person, start + BLOCKS) for i, person in enumerate(CROWD)]
        moved = sum(await asyncio.gather(*load))
        print(f"{BLOCKS} blocks in {time.monotonic() - began:.1f} s, {moved} transfers, {link.carried} bytes over the slow link")
        await slow.reaches(await fast[0].height())
        await graph.agree()
        assert micro(await slow.api.balance(slow.address)) == credits(1000) + moved
        await _its_turns(graph, slow, start, in_time)
        assert (await slow.api.transfer(fast[1].address, "3", wait=60))["code"] == 0
        await graph.no_fork()
        assert await graph.conserved() == credits(4000 + 50 * len(CROWD))
        assert len((await fast[0].api.status())["validators"]) == 4
        assert link.carried > 100_000, "the node's traffic really went over the slow link"
        print(f"lost on the way: {link.lost} frames")


async def _keep_sending(node: NodeProcess, target: NodeProcess, who: Person, top: int) -> int:
    """One transfer after the other until `node` is at `top`; how many there were."""
    count = 0
    while await node.height() < top:
        done = await who.send(node, Transfer(target.id, 1, b""))
        assert done["code"] == 0
        count += 1
    return count


async def _its_turns(graph: Graph, slow: NodeProcess, start: int, in_time: bool) -> None:
    """The first turn of every fourth height is its own: either its block is taken, or the next proposer's in a later round."""
    order = sorted(node.id for node in graph)
    own = order.index(slow.id)
    top = await graph["v0"].height()
    turns = [await graph["v0"].api.block(height) for height in range(start + 1, top + 1) if height % len(order) == own]
    taken = [block for block in turns if block["proposer"] == slow.address]
    print(f"its turns: {len(turns)}, its blocks: {len(taken)}")
    assert len(turns) >= BLOCKS // 4 - 1
    if in_time:
        assert len(taken) > len(turns) // 2, "who is slow, but in time, proposes like anybody else"
    else:
        assert not taken
        assert all(block["round"] > 0 for block in turns), "the others go on without it"
