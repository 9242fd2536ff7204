"""Former validators with their old keys sign another past, on real nodes: who has a trusted block tells it from the true one."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from learningchain.client import config
from tests.processes.harness import Graph, NodeProcess, Role, credits, eventually, micro, validators

COMMON, LATER, FURTHER = 5, 25, 10
"""Payments, each at least a block. The forged past ends between the trusted block and the end of the true one: the four keys are
those of the validators to this day, so a forged block beyond the true past would be decided by them, and every node would halt."""


async def test_a_forged_history_is_not_taken_by_who_was_told_a_block(tmp_path: Path) -> None:
    roles = [*validators(4), Role("told"), Role("untold")]
    async with Graph(tmp_path, roles) as graph:
        four = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in four))
        await _pays(graph, "1", COMMON)
        await _stop(four)
        _keep(four, tmp_path / "common")
        trusted, end = await _goes_on(graph, four, "95", 3 * FURTHER)
        _keep(four, tmp_path / "true")
        _bring(four, tmp_path / "common")
        _, forged = await _goes_on(graph, four, "877", FURTHER)
        height, _, block = trusted.partition("-")
        assert int(height) < forged < end, "blocks without payments came between"

        # v0 lives in the forged past, the others in the true one.
        _bring(four[1:], tmp_path / "true")
        forger = await four[0].start()
        untold = await _reads_from(graph["untold"], [forger], "")
        await eventually("who trusts genesis alone takes the forged past", lambda: _has(untold, graph["v1"], "877"))
        told = await _reads_from(graph["told"], [forger], trusted)
        await eventually("who was told a block refuses it", lambda: _is_stranded(told))
        assert await told.height() == 0, "and takes nothing of it"
        await told.kill()

        await asyncio.gather(*(node.start() for node in four[1:]))
        told = await _reads_from(told, [forger, *four[1:]], trusted)
        await eventually("beside honest peers it has the true one", lambda: _has(told, graph["v1"], "95"))
        assert (await told.api.block(int(height)))["block_id"] == block


async def _pays(graph: Graph, amount: str, count: int) -> None:
    for _ in range(count):
        assert (await graph["v0"].api.transfer(graph["v1"].address, amount, wait=60))["code"] == 0
        amount = "0.000001"


async def _goes_on(graph: Graph, four: list[NodeProcess], amount: str, further: int) -> tuple[str, int]:
    """From the common past, with this payment and `further` ones: the block before those, as `sync.trusted` names one, and the
    last block's height."""
    await graph.start(*(node.name for node in four))
    await _pays(graph, amount, LATER)
    status = await four[0].api.status()
    await _pays(graph, "0.000001", further)
    end = int((await four[0].api.status())["height"])
    await _stop(four)
    return f"{status['height']}-{status['block_id']}", end


async def _stop(nodes: list[NodeProcess]) -> None:
    await asyncio.gather(*(node.kill() for node in nodes))


def _keep(nodes: list[NodeProcess], where: Path) -> None:
    for node in nodes:
        shutil.copytree(node.data, where / node.name)


def _bring(nodes: list[NodeProcess], where: Path) -> None:
    for node in nodes:
        shutil.rmtree(node.data)
        shutil.copytree(where / node.name, node.data)


async def _reads_from(node: NodeProcess, peers: list[NodeProcess], trusted: str) -> NodeProcess:
    listens = [config.load(peer.data, {}).config.network.listen for peer in peers]
    config.change(node.data, {"network.peers": listens, "sync.trusted": trusted})
    return await node.start()


async def _has(node: NodeProcess, payee: NodeProcess, amount: str) -> bool:
    """What the payee has beyond what genesis gave it, without the dust."""
    got = micro(await node.api.balance(payee.address)) - credits(1_000)
    return abs(got - credits(1) - micro(amount)) < micro("0.5")


async def _is_stranded(node: NodeProcess) -> bool:
    return any(one["part"] == "sync" and "showed another block" in one["why"] for one in (await node.api.status())["failing"])
