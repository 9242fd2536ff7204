"""Real nodes are governed: every validator of the genesis is replaced while jobs run, a graph of nine shrinks to five, and an
upgrade that no program knows ends every node before its block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learningchain.client.sdk.types import ApiError
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, validators
from tests.processes.scripted import JUDGE, declare, post

CONTRACTOR = Person("contractor", "1000")


async def decide(nodes: list[NodeProcess], action: str, **details: Any) -> None:
    """The first of these validators proposes, the others say yes until it is decided. Each sees the chain through its own node."""
    first, *others = nodes
    before = {one["proposal"] for one in await first.api.proposals()}
    done = await first.api.propose(action, details, wait=30)
    assert done["code"] == 0
    new = [one["proposal"] for one in await first.api.proposals() if one["proposal"] not in before]
    for node in others:
        if not new or new[0] not in {one["proposal"] for one in await first.api.proposals()}:
            return
        await node.reaches(done["height"])
        late = ("NO_PROPOSAL", "DECIDED", "NOT_A_VALIDATOR")  # decided a moment ago; the last word is of one whom it voted out
        try:
            said = await node.api.vote(new[0], yes=True, wait=30)
        except ApiError as refused:
            assert refused.name in late, refused
        else:
            assert said["code"] == 0 or said["code_name"] in late, said
    assert not new or new[0] not in {one["proposal"] for one in await first.api.proposals()}


async def the_set_is(nodes: list[NodeProcess]) -> None:
    wanted = sorted(node.address for node in nodes)

    async def same() -> bool:
        return sorted((await nodes[0].api.status())["validators"]) == wanted

    await eventually(f"the set is {len(nodes)} validators", same)


async def test_every_validator_of_the_genesis_is_replaced_while_jobs_run_and_then_an_upgrade_ends_all(tmp_path: Path) -> None:
    roles = [*validators(4), *(Role(f"n{i}") for i in range(4))]
    async with ClockedGraph(tmp_path, roles, people=[JUDGE, CONTRACTOR]) as graph:
        await graph.start()
        present, jobs = [graph[f"v{i}"] for i in range(4)], list[str]()
        await declare(present[0], [JUDGE])
        for i in range(4):
            old, new = graph[f"v{i}"], graph[f"n{i}"]
            jobs.append(await post(CONTRACTOR, present[-1], open_ms=HOUR_MS))
            await decide(present, "add-validator", account=new.address)
            present.append(new)
            await the_set_is(present)
            present.remove(old)
            await decide([*present, old], "remove-validator", account=old.address)
            await the_set_is(present)
            assert await old.stop() == 0
            await present[0].grows(2)
        await graph.clock.advance(HOUR_MS)
        for job in jobs:
            await present[0].job_in(job, "EMPTY")
        await graph.agree()
        await graph.conserved()
        await _an_upgrade_that_nobody_knows_ends_all(present)


async def _an_upgrade_that_nobody_knows_ends_all(nodes: list[NodeProcess]) -> None:
    """LC-NODE-68: cleanly, before the block, with what to install; and a start says the same."""
    height = await nodes[0].height() + 40
    await decide(nodes, "upgrade", version=2, height=height)
    for node in nodes:
        assert await node.ended(120) == 1
        said = f"Block {height} begins version 2 of the protocol"
        assert said in node.tail(5) and "Install a LearningChain that knows version 2" in node.tail(5)
    code, said = await nodes[0].refuses()
    assert code == 1 and f"Block {height} begins version 2" in said


async def test_a_graph_of_nine_shrinks_to_five_by_votes(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(9)) as graph:
        await graph.start()
        present = [graph[f"v{i}"] for i in range(9)]
        for _ in range(4):
            gone = present.pop()
            await decide([*present, gone], "remove-validator", account=gone.address)
            await the_set_is(present)
            assert await gone.stop() == 0
        await present[0].grows(3)
        await graph.agree()
