"""A validator that drops old blocks, beside an archive node that keeps all: who asks which of them for what, and who can join."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.client.receipts.files import check_receipt
from learningchain.client.sdk.types import ApiError
from tests.network import NetworkParams
from tests.processes.harness import Graph, NodeProcess, Role, command, eventually

KEPT = 100
FAST = NetworkParams(heartbeat=20, evidence_age=KEPT, job_keep=1, appeal=1)
"""A single validator, so that a hundred blocks take a few seconds."""
OLD = 1
"""A height that the validator keeps no more."""


async def test_a_pruned_validator_beside_an_archive_node(tmp_path: Path) -> None:
    pruned = Role("pruned", validator=True, settings={"storage.keep_blocks": str(KEPT)})
    async with Graph(tmp_path, [pruned, Role("archive"), Role("late"), Role("last")], params=FAST) as graph:
        validator, archive = graph["pruned"], graph["archive"]
        await graph.start("pruned", "archive")
        paid = (await archive.api.transfer(validator.address, "3", wait=60))["tx"]
        old = (await archive.api.tx(paid))["height"] + 1
        await archive.reaches(KEPT + old)
        await eventually("old blocks are dropped", lambda: _keeps_from(validator, old))
        await _what_is_gone_is_refused_and_the_archive_has_it(validator, archive, paid, graph)

        await graph.start("late")
        await graph.agree(above=KEPT + old)
        assert (await graph["late"].api.status())["first_block"] == 1, "its blocks came from the archive node"
        for node in graph:
            assert not any("sync" in event["reason"] or "score" in event["reason"] for event in await _losses(node))

        await archive.stop()
        await graph["late"].stop()
        await graph.start("last")
        await eventually("with no archive node in reach it begins from a snapshot", lambda: _keeps_from(graph["last"], 2))
        await graph.connected()
        await graph.agree()
        await validator.grows(2)


async def _keeps_from(node: NodeProcess, first: int) -> bool:
    return (await node.api.status())["first_block"] >= first


async def _losses(node: NodeProcess) -> list[dict[str, str]]:
    if not node.running:
        return []
    return [{"reason": event["reason"] or ""} for event in await node.api.connections() if event["event"] == "peer gone"]


async def _what_is_gone_is_refused_and_the_archive_has_it(
    validator: NodeProcess, archive: NodeProcess, paid: str, graph: Graph
) -> None:
    for ask in (
        lambda node: node.api.block(OLD),
        lambda node: node.api.receipt_file(f"{OLD}-0"),
        lambda node: node.api.receipt_file(paid),
    ):
        with pytest.raises(ApiError, match="Ask an archive node") as refused:
            await ask(validator)
        assert refused.value.name == "NOT_KEPT"
        await ask(archive)
    raw = bytes.fromhex((await archive.api.receipt_file(paid))["file"])
    assert check_receipt(raw, graph.genesis).document["code"] == 0
    code, _, err = await command(validator, "audit", "chain")
    assert code == 1 and "archive node" in err
    assert (await command(archive, "audit", "chain"))[0] == 0
