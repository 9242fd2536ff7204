"""A validator behind a link of 1 MB/s and 200 ms each way: the others go on, and the slow one follows. How much it costs them, and
how many of its turns it keeps, is measured by `python -m benchmarks --only slow_link`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.chain.contracts.credits import Transfer
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


@pytest.mark.parametrize("propose_ms", [1_000, 150], ids=["its proposals are in time", "its proposals come too late"])
async def test_a_validator_behind_a_slow_link(tmp_path: Path, lan: Lan, propose_ms: int) -> None:
    roles, params = [*validators(3), Role("slow", validator=True)], with_params(timeout_propose=propose_ms)
    async with (
        SlowLink(lan, "slow", rate=RATE, delay=DELAY) as link,
        Graph(tmp_path, lan.roles(roles), people=CROWD, params=params) as graph,
    ):
        lan.inhabit(graph)
        await graph.start()
        slow, fast = graph["slow"], [graph[f"v{i}"] for i in range(3)]
        start = await fast[0].height()
        load = [_keep_sending(fast[i % 3], slow, person, start + BLOCKS) for i, person in enumerate(CROWD)]
        moved = sum(await asyncio.gather(*load))
        await slow.reaches(await fast[0].height())
        await graph.agree()
        assert micro(await slow.api.balance(slow.address)) == credits(1000) + moved
        assert (await slow.api.transfer(fast[1].address, "3", wait=60))["code"] == 0
        await graph.no_fork()
        assert await graph.conserved() == credits(4000 + 50 * len(CROWD))
        assert len((await fast[0].api.status())["validators"]) == 4
        assert link.carried > 100_000, "the node's traffic really went over the slow link"


async def _keep_sending(node: NodeProcess, target: NodeProcess, who: Person, top: int) -> int:
    """One transfer after the other until `node` is at `top`; how many there were."""
    count = 0
    while await node.height() < top:
        done = await who.send(node, Transfer(target.id, 1, b""))
        assert done["code"] == 0
        count += 1
    return count
