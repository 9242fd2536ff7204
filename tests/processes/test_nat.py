"""Two networks behind NAT of which one node can be reached: four validators in them are one graph, over the connections that those
behind the routers make. What nobody can reach is tried a few times; what many behind one address do shuts out none of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from learningchain.p2p.address_book import RUMOUR_TRIES
from tests.processes.harness import Graph, NodeProcess, Role, credits, eventually, micro
from tests.processes.nat import ROUTERS, TwoNats
from tests.processes.netns import Refused

NAMES = ["a0", "a1", "a2", "b0", "b1"]
NODES = ["a0", "a1", "b0", "b1"]
OPEN = f"{ROUTERS['b']}:7400"
SETTINGS: dict[str, dict[str, Any]] = {
    "a0": {"network.peers": [OPEN], "network.mdns": True},
    "a1": {"network.peers": [OPEN], "network.mdns": True},
    "b0": {"network.peers": [], "network.advertise": [OPEN], "network.listen": "0.0.0.0:7400"},
    "b1": {"network.peers": ["192.168.1.10:7400"]},
}
SILENT = """
import socket, time
held = []
while True:
    held = held[-64:] + [socket.create_connection(("44.0.0.2", 7400))]
    time.sleep(0.1)
"""


@pytest.fixture
def lan() -> Iterator[TwoNats]:
    try:
        made = TwoNats(NAMES).__enter__()
    except Refused as reason:
        print(f"no networks behind NAT on this machine: {reason}")
        pytest.skip(f"this machine refuses NAT in network namespaces: {reason}")
    yield made
    made.__exit__(None, None, None)


async def test_networks_behind_nat_are_one_graph_where_one_node_can_be_reached(tmp_path: Path, lan: TwoNats) -> None:
    roles = lan.roles([Role(name, validator=True) for name in NODES])
    roles = [replace(role, settings={**role.settings, **SETTINGS[role.name]}) for role in roles]
    async with Graph(tmp_path, roles) as graph:
        lan.inhabit(graph)
        a0, a1, b0, b1 = (graph[name] for name in NODES)
        await asyncio.gather(*(node.start() for node in graph))
        links = [(a0, a1), (a0, b0), (a1, b0), (b0, b1)]
        await asyncio.gather(*(_connected(*pair) for pair in links))
        await asyncio.gather(a0.grows(3), b1.grows(3))
        await _both_ways(a0, b1)
        await _everybody_proposes(graph, a1)
        with _silent_neighbour(lan):
            await a0.stop()
            await a0.start()
            await asyncio.gather(_connected(a0, b0), _connected(a0, a1))
            await a0.grows(2)
        await _what_leads_nowhere_is_tried_a_few_times(graph)
        await graph.agree()
        assert await graph.conserved() == credits(4000)


async def _everybody_proposes(graph: Graph, seen_by: NodeProcess) -> None:
    """What each validator proposes reaches the others in time, on whichever side they are."""

    async def all_did() -> bool:
        top = await seen_by.height()
        found = {(await seen_by.api.block(height))["proposer"] for height in range(max(1, top - 12), top)}
        return found == {node.address for node in graph}

    await eventually("each of the four has proposed a block that was decided", all_did)


async def _both_ways(one: NodeProcess, other: NodeProcess) -> None:
    """Neither is connected with the other."""
    for sender, target in ((one, other), (other, one)):
        before = micro(await target.api.balance(target.address))
        assert (await sender.api.transfer(target.address, "1", wait=60))["code"] == 0

        async def arrived(target: NodeProcess = target, before: int = before) -> bool:
            return micro(await target.api.balance(target.address)) == before + credits(1)

        await eventually(f"{target.name} has what {sender.name} sent", arrived)
        assert target.address not in {peer["id"] for peer in await sender.api.peers()}


async def _what_leads_nowhere_is_tried_a_few_times(graph: Graph) -> None:
    for node in graph:
        tried = [event for event in await node.api.connections() if event["event"] in ("dial failed", "refused by peer")]
        at_routers = [event for event in tried if event["address"] == f"{ROUTERS['a']}:7400"]
        # Of two members, once more for the one that came back and said so itself, and after each rest, on a slow machine.
        assert len(at_routers) <= 2 * (RUMOUR_TRIES + 4), at_routers
        strange = [event for event in tried if "answered" in event["reason"] or "itself" in event["reason"]]
        assert not strange, f"{node.name} was told an address of the other private network: {strange}"


@contextmanager
def _silent_neighbour(lan: TwoNats) -> Iterator[None]:
    """Another machine behind the same router, which holds more connections than one address may and says nothing on them."""
    command = ["ip", "netns", "exec", lan.namespace("a2"), sys.executable, "-c", SILENT]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


async def _connected(node: NodeProcess, other: NodeProcess) -> None:
    async def there() -> bool:
        return other.address in {peer["id"] for peer in await node.api.peers()}

    await eventually(f"{node.name} is connected with {other.name}", there)
