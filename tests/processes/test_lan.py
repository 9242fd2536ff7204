"""Real nodes on one switch that know nobody: they find each other where their operators want it, and nowhere else.

A liar on the same switch announces ten thousand addresses in their names meanwhile: that costs them few dials, and no time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from learningchain.p2p.address_book import RUMOUR_TRIES
from learningchain.p2p.lan import ADDRESS_BURST
from tests.processes.harness import ROOT, Graph, NodeProcess, Role, credits, eventually, validators
from tests.processes.lan_liar import LIES
from tests.processes.netns import Lan, Refused

NAMES = ["v0", "v1", "v2", "off", "liar"]


@pytest.fixture
def lan() -> Iterator[Lan]:
    try:
        made = Lan(NAMES).__enter__()
    except Refused as reason:
        print(f"no network namespaces on this machine: {reason}")
        pytest.skip(f"this machine refuses network namespaces: {reason}")
    yield made
    made.__exit__(None, None, None)


async def test_nodes_that_know_nobody_find_each_other_where_their_operators_want_it(tmp_path: Path, lan: Lan) -> None:
    wanted = lan.roles([*validators(3, network__mdns=True), Role("off")])
    roles = [replace(role, settings={**role.settings, "network.peers": []}) for role in wanted]
    async with Graph(tmp_path, roles) as graph:
        lan.inhabit(graph)
        looking, off = [graph[f"v{i}"] for i in range(3)], graph["off"]
        with _liar(lan, graph, tmp_path / "liar.log") as liar:
            await asyncio.gather(*(node.start() for node in graph))
            await asyncio.gather(*(_connected(node, looking) for node in looking))
            await looking[0].grows(3)
            await _says(liar, f"lies {LIES}")
            for node in looking:
                await _says(liar, f"heard {lan.address(node.name)}")
                lied_to = [event for event in await node.api.connections() if event["address"].startswith(lan.address("liar"))]
                assert len(lied_to) <= RUMOUR_TRIES * (ADDRESS_BURST + 1), "a few new addresses of one host, three dials each"
            assert f"heard {lan.address(off.name)}" not in liar.read_text(), "by default a node says nothing"
        assert await off.api.peers() == [] and await off.api.connections() == [], "and believes nothing"
        assert await off.height() == 0 and not off.says("local network")
        assert await graph.conserved(*looking) == credits(4000)


@contextmanager
def _liar(lan: Lan, graph: Graph, log: Path) -> Iterator[Path]:
    names = [node.address for node in graph]
    arguments = [lan.address("liar"), graph.genesis.chain_id.hex(), *names]
    command = ["ip", "netns", "exec", lan.namespace("liar"), sys.executable, "-m", "tests.processes.lan_liar", *arguments]
    with log.open("wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out) as process:
        try:
            yield log
        finally:
            process.kill()


async def _connected(node: NodeProcess, others: list[NodeProcess]) -> None:
    async def to_all() -> bool:
        known = {peer["id"] for peer in await node.api.peers()}
        return {other.address for other in others if other is not node} <= known

    await eventually(f"{node.name} found the others", to_all)


async def _says(log: Path, line: str) -> None:
    async def said() -> bool:
        return line in log.read_text().splitlines()

    await eventually(f"the liar says {line!r}", said)
