"""Members that ask for far more than anybody can use: they are answered as far as there is room, nobody else is held up and
nobody is blamed. What it costs the others is measured by `python -m benchmarks --only askers`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.node.messages import MAX_SYNC_BLOCKS, GetBlocks
from learningchain.p2p.content.messages import MAX_WANTS, WantBlocks
from learningchain.p2p.wire import CONTENT, NODE, QUEUE_VOTES
from tests.processes.asker import HISTORY, STEP_S, Asker, askers, make_history
from tests.processes.harness import PATIENCE_S, Graph, NodeProcess, Person, Role, eventually, validators, with_params
from tests.unit.content_kit import pattern, root_of

QUESTIONS = 20_000
LASTS_S = 10.0
FILLER = Person("filler")
FILE_BYTES = 40 * 2**20


async def pay_at_each(nodes: list[NodeProcess]) -> None:
    """A lane for each node: the next sequence is asked of it, and it may be a block behind the others."""
    for lane, node in enumerate(nodes):
        done = await node.api.submit_tx([Transfer(nodes[0].id, 1, b"")], FILLER.key, lane=lane, wait=PATIENCE_S)
        assert done["code"] == 0


async def nobody_was_blamed(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        assert {peer["score"] for peer in await node.api.peers()} <= {0.0}
        assert not node.says("blocked")


@pytest.mark.full("who sends as much as it can stands for who asks for too much")
@pytest.mark.parametrize("members", [1, 3])
async def test_who_asks_for_too_much_holds_up_nobody(tmp_path: Path, members: int) -> None:
    """20,000 questions in ten seconds for 64 blocks each, from one member and from three at once. Without a bound for the questions
    of a peer a validator reads and encodes 20,000 answers, and decides nothing meanwhile."""
    names = [f"m{i}" for i in range(members)]
    async with Graph(tmp_path, [*validators(4), *map(Role, names)], people=[FILLER], params=with_params(heartbeat=100)) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        await make_history(nodes[0], FILLER)
        await asyncio.gather(*(node.reaches(HISTORY) for node in nodes))
        async with askers(graph, names, nodes) as asking:
            asked = asyncio.gather(*(asker.ask(QUESTIONS, LASTS_S) for asker in asking))
            await pay_at_each(nodes)
            assert min(await asked) > 0
            assert all(asker.answered > 0 for asker in asking), "who asks is answered"
            assert sum(asker.answered for asker in asking) < members * QUESTIONS, "but not with all that it asks for"
        await nobody_was_blamed(nodes)
        await graph.agree()


async def test_who_sends_as_much_as_it_can_holds_up_nobody(tmp_path: Path) -> None:
    """Small messages of all channels, none of them refused, as fast as a member can send them to all validators."""
    params = with_params(heartbeat=100)
    async with Graph(tmp_path, [*validators(4), Role("m0")], people=[FILLER], params=params) as graph:
        nodes = [graph[f"v{i}"] for i in range(4)]
        await graph.start(*(node.name for node in nodes))
        async with askers(graph, ["m0"], nodes) as (flooder,):
            sending = asyncio.create_task(flooder.flood(5 * QUESTIONS))
            await pay_at_each(nodes)
            assert await sending >= 5 * QUESTIONS
        await nobody_was_blamed(nodes)
        await graph.agree()


async def test_for_who_reads_nothing_nothing_is_read(tmp_path: Path) -> None:
    """A member asks on and on for blocks and files and takes no answer: the node reads until a little waits for it, and nothing
    that it would have to throw away. When the member takes what waits, it is served on."""
    async with Graph(tmp_path, [*validators(1), Role("m0")], people=[FILLER], params=with_params(heartbeat=100)) as graph:
        node = graph["v0"]
        await graph.start("v0")
        await make_history(node, FILLER)
        data = pattern(FILE_BYTES)
        (tmp_path / "file").write_bytes(data)
        root, blocks = root_of(data)
        assert (await node.api.upload(tmp_path / "file"))["cid"] == str(root)
        leaves = [cid.to_bytes() for cid in blocks if cid.raw]
        async with askers(graph, ["m0"], [node]) as (asker,):
            connection = asker.network._peers[node.id]
            connection.link.transport.pause_reading()
            for number in range(200):
                at = number * MAX_WANTS % len(leaves)
                wants = WantBlocks(root.to_bytes(), leaves[at : at + MAX_WANTS])
                asker.network.send(node.id, NODE, encode(GetBlocks(1, MAX_SYNC_BLOCKS)), QUEUE_VOTES)
                asker.network.send(node.id, CONTENT, encode(wants), QUEUE_VOTES)
                await asyncio.sleep(STEP_S / 2)
            (seen,) = [peer for peer in await node.api.peers() if peer["id"] == graph["m0"].address]
            assert seen["queued"] > 0, "the member is slow enough"
            assert seen["dropped"] == 0, "nothing is read that has no room"
            before = asker.answered
            connection.link.transport.resume_reading()
            await eventually("the member is served on", lambda: served_on(asker, before))
        await nobody_was_blamed([node])


async def served_on(asker: Asker, before: int) -> bool:
    """More came than can have waited on the way."""
    asker.network.send(asker.nodes[0].id, NODE, encode(GetBlocks(1, MAX_SYNC_BLOCKS)), QUEUE_VOTES)
    return asker.answered > before + 64
