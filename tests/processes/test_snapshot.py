"""A fresh node far behind begins from a snapshot: killed on the way it goes on, and it says what it does not have."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from learningchain.chain.ledger.genesis import Genesis
from learningchain.client.receipts.files import check_receipt
from learningchain.client.sdk.types import ApiError
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, credits, eventually, micro, validators

FAR = 20
PEOPLE = 400
"""Accounts: as many pages, so that they are not all here at once."""


async def test_a_fresh_node_begins_from_a_snapshot(tmp_path: Path) -> None:
    late = Role("late", settings={"sync.mode": "snapshot", "sync.snapshot_after": FAR})
    people = [Person(f"p{i}", credits="1") for i in range(PEOPLE)]
    async with Graph(tmp_path, [*validators(4), late], people=people) as graph:
        await graph.start("v0", "v1", "v2", "v3")
        while await graph["v0"].height() < 2 * FAR:
            assert (await graph["v1"].api.transfer(graph["late"].address, "0.000001", wait=60))["code"] == 0
        node = graph["late"]
        await node.start()
        await node.logs("taking a snapshot")
        await node.kill()
        await node.start()
        # The kill may come on the way, or when all is here and the node begins its next life: it goes on from either.
        await eventually("late begins from a snapshot", lambda: _began(node))
        await graph.connected()
        await graph.agree(above=2 * FAR)
        assert (await graph["v1"].api.transfer(node.address, "3", wait=60))["code"] == 0
        await graph.agree()
        assert micro(await node.api.balance()) == micro(await graph["v0"].api.balance(node.address)) > credits(1003)
        await _it_says_what_it_has(node, graph.genesis)
        await node.kill()
        await node.start()
        await graph.connected()
        await graph.agree()
        await graph.conserved()


async def _began(node: NodeProcess) -> bool:
    return (await node.api.status())["first_block"] > 1


async def _it_says_what_it_has(node: NodeProcess, genesis: Genesis) -> None:
    status = await node.api.status()
    first = status["first_block"]
    assert FAR <= first <= status["height"] and status["audited"] >= first - 1
    with pytest.raises(ApiError, match=f"keeps the blocks from {first} on"):
        await node.api.block(first - 1)
    assert (await node.api.block(first))["height"] == first
    words = [sys.executable, "-m", "learningchain", "audit", "--json", "--data", str(node.data)]
    audit = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await audit.communicate()
    assert (audit.returncode, json.loads(out)["transactions"]) == (0, 0)
    for more in (["chain"], ["job", "00" * 32]):
        code, _, err = await command(node, "audit", *more)
        assert code == 1 and f"blocks 1 to {first - 1} are not kept here" in err
    mine = await node.api.receipt_file((await node.api.history(limit=1))[0]["tx"] or "")
    assert check_receipt(bytes.fromhex(mine["file"]), genesis).document["code"] == 0
    with pytest.raises(ApiError, match="is not kept here"):
        await node.api.receipt_file(f"{first - 1}-0")
