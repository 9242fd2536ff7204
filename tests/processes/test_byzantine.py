"""Nodes that break the rules on purpose: the others agree all the same, and say who it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.errors import TxCode
from learningchain.client.sdk.types import InvalidError
from tests.processes import scripted
from tests.processes.clocked import ClockedGraph
from tests.processes.harness import Graph, NodeProcess, Person, Role, credits, eventually, validators


def broken(node: NodeProcess, fault: str) -> Path:
    """Let `node` run with a fault from its next start on; the file that sets it off."""
    flag = node.data.with_suffix(".flag")
    node.program = [sys.executable, "-m", "tests.processes.broken_node", fault, str(flag)]
    return flag


async def test_one_of_four_validators_signs_twice_while_another_is_down(tmp_path: Path) -> None:
    """No fork, the evidence stands on the ledger, the offender leaves the validator set, the chain goes on."""
    async with Graph(tmp_path, validators(4)) as graph:
        honest, down, evil = [graph["v0"], graph["v1"]], graph["v2"], graph["v3"]
        flag = broken(evil, "equivocate")
        await graph.start()
        await graph.agree(above=4)

        await down.kill()
        flag.touch()
        for node in honest:
            await eventually(f"{evil.name} has left the validators of {node.name}", lambda n=node: _left(n, evil))  # type: ignore[misc]
        assert not flag.exists()
        ejected = await _height_of_ejection(honest[0], evil)

        await down.start()
        await down.reaches(ejected + 2)  # three validators are a quorum of three again
        done = await honest[0].api.transfer(down.address, "5", wait=60)
        assert done["code"] == 0
        block = await graph.agree(above=ejected + 3)
        assert await graph.no_fork() >= ejected
        assert {v.address for v in [*honest, down]} == set((await honest[0].api.status())["validators"])
        assert block["proposer"] != evil.address
        assert await graph.conserved() == credits(4000), "a double signing costs the seat, no credits"
        for node in [*honest, down]:
            assert node.running and not node.says("broken invariant")
            assert (await node.api.account(evil.address))["status"] == "active"
            assert not (await node.api.account(node.address))["strikes"]


async def _left(node: NodeProcess, evil: NodeProcess) -> bool:
    return evil.address not in (await node.api.status())["validators"]


async def _height_of_ejection(node: NodeProcess, evil: NodeProcess) -> int:
    """The block that holds the evidence: a report that was applied, naming the offender."""
    for height in range(1, await node.height() + 1):
        for tx in (await node.api.block(height))["txs"]:
            found = await node.api.tx(tx)
            topics = {event.get("topic"): event for event in found["events"]}
            if found["ops"][0]["type"] == "ReportDouble" and "validator.ejected" in topics:
                assert found["code"] == 0
                assert evil.address in str(topics["validator.ejected"])
                return height
    raise AssertionError("no block holds the evidence")


CONTRACTOR = Person("contractor")
JURY = [Person(f"juror {i}", "1", verifier=True) for i in range(3)]


async def test_outsiders_and_banned_members_are_refused(tmp_path: Path) -> None:
    roles = [Role("v0", validator=True), Role("member"), Role("outsider", member=False)]
    async with ClockedGraph(tmp_path, roles, people=[CONTRACTOR, *JURY]) as graph:
        v0, member, outsider = graph["v0"], graph["member"], graph["outsider"]
        await graph.start("v0", "member")
        await outsider.start()
        await v0.logs(f"{outsider.address} is not an active member (unknown, banned or removed)")
        await _is_alone(outsider, v0)

        liar = Person.behind(member)
        await scripted.ban(graph, v0, CONTRACTOR, liar, JURY)
        await v0.logs("no longer an active member of this network")
        account = await v0.api.account(member.address)
        assert (account["balance"], account["frozen"]) == ("0", "0"), "a ban burns what the cheater holds"
        assert await graph.conserved(v0) == credits(1000 + 100 + 3 - 1), "and its contractor's bond burned as much as its stake"
        with pytest.raises(InvalidError, match="banned") as refused:
            await liar.send(v0, Transfer(v0.id, 1, b""))
        assert refused.value.code == TxCode.BANNED

        await member.kill()
        await member.start()
        await v0.logs(f"{member.address} is not an active member (unknown, banned or removed)")
        await _is_alone(member, v0)
        await v0.grows(2)
        assert (await v0.api.peers()) == []


async def _is_alone(node: NodeProcess, other: NodeProcess) -> None:
    """It was told why, it learns nothing, and the other has no peer of its name."""
    await node.logs("is not an active member (unknown, banned or removed)")
    assert await node.api.peers() == []
    assert node.address not in {peer["id"] for peer in await other.api.peers()}
