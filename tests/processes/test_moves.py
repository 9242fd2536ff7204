"""Real nodes that know one peer find all, and find each other again after two of them moved, while nobody else is restarted."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Sequence
from pathlib import Path

from learningchain.client import config
from tests.processes.harness import Graph, NodeProcess, Role, credits, eventually, free_port, validators


def reconfigure(node: NodeProcess, **values: object) -> None:
    """Other settings of [network], from its next start on."""
    path = node.data / config.FILE
    found = config.parse(path.read_text(), str(path))
    path.write_text(config.render(found | {f"network.{name}": value for name, value in values.items()}))


def listens(node: NodeProcess) -> str:
    return str(tomllib.loads((node.data / config.FILE).read_text())["network"]["listen"])


async def test_nodes_that_know_one_peer_find_all_and_those_that_move_are_found_again(tmp_path: Path) -> None:
    async with Graph(tmp_path, [*validators(3), Role("late")]) as graph:
        first = listens(graph["v0"])
        for node in graph:
            reconfigure(node, peers=[] if node.name == "v0" else [first])
        await graph.start("v0", "v1", "v2")  # each is connected with every other one
        await graph["v0"].grows(2)
        stayed, movers = graph["v0"], [graph["v1"], graph["v2"]]
        pid, before = stayed.pid, {listens(node) for node in movers}
        await asyncio.gather(*(node.stop() for node in movers))
        for node in movers:  # another address, and nobody is named to it any more
            reconfigure(node, listen=f"127.0.0.1:{free_port()}", peers=[])
        await asyncio.gather(*(node.start() for node in movers))
        await graph.connected()
        assert stayed.pid == pid and before.isdisjoint(listens(node) for node in movers)
        await graph["v2"].grows(3)
        await graph.start("late")
        await _nobody_is_looked_for_where_it_was(graph["late"], before, [node.address for node in movers])
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)


async def _nobody_is_looked_for_where_it_was(newcomer: NodeProcess, former: set[str], movers: Sequence[str]) -> None:
    """It knew one peer and is connected to all: it was told where those that moved are, and by nobody where they were."""

    async def seen() -> list[str] | None:
        events = await newcomer.api.connections()
        connected = {event["id"] for event in events if event["event"] == "peer connected"}
        return [str(event["address"]) for event in events] if connected.issuperset(movers) else None

    assert former.isdisjoint(await eventually("the newcomer found those that moved", seen))
