"""A graph of real nodes: one ledger on all of them, whoever is asked, joins late or starts again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from learningchain.chain.codec import encode
from learningchain.chain.crypto import parse_address
from learningchain.chain.host import account_key
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.types import decode_block
from tests.conformance import genesis as stated
from tests.conformance import machine
from tests.conformance.light import verify_block
from tests.conformance.over_http import Follower
from tests.processes.harness import Graph, NodeProcess, Role, credits, eventually, micro, validators

ROLES = [*validators(4), Role("observer"), Role("late")]


async def test_one_ledger_on_every_node_for_ever(tmp_path: Path) -> None:
    async with Graph(tmp_path, ROLES) as graph:
        await graph.start("v0", "v1", "v2", "v3", "observer")
        await _transfers_through_every_node(graph)
        await _a_late_joiner_has_it_all(graph)
        await _a_restart_keeps_everything(graph)
        await _history_goes_back_to_genesis(graph)
        await graph.no_fork()
        await _a_stranger_is_convinced_over_http(graph)
        await _a_second_implementation_believes_it(graph)


async def _transfers_through_every_node(graph: Graph) -> None:
    senders = [node for node in graph if node.running]
    target = graph["late"].address

    async def send(node: NodeProcess, amount: int) -> None:
        done = await node.api.transfer(target, str(amount), wait=30)
        assert done["code"] == 0

    await asyncio.gather(*(send(node, 1 + i) for i, node in enumerate(senders)))
    block = await graph.agree()
    for node in graph:
        if node.running:
            assert micro(await node.api.balance(target)) == credits(1000 + 1 + 2 + 3 + 4 + 5)
    balances = await graph.balances(graph["observer"])
    assert sum(balances.values()) == await graph.conserved() == credits(6 * 1000)
    assert balances[graph["v3"].address] == credits(1000 - 4)
    assert block["height"] >= 1


async def _a_late_joiner_has_it_all(graph: Graph) -> None:
    late = await graph["late"].start()
    await late.reaches(await graph["v0"].height())
    await graph.agree()
    assert await graph.balances(late) == await graph.balances(graph["v0"])
    done = await late.api.transfer(graph["v0"].address, "2.5", wait=30)
    assert done["code"] == 0, "who came late takes part like anybody else"
    await graph.agree()


async def _a_restart_keeps_everything(graph: Graph) -> None:
    """A1, A6: identity, height and balances are the same after a restart, of a validator and of an observer."""
    for name in ("v1", "observer"):
        node = graph[name]
        await node.has_box_key()
        before, account = await node.api.status(), await node.api.account()
        assert await node.stop() == 0
        await node.start()
        after = await node.api.status()
        assert after["id"] == before["id"] == node.address
        assert after["height"] >= before["height"]
        assert await node.api.account() == account
        assert (await node.api.block(before["height"]))["block_id"] == before["block_id"]
    await graph.connected()
    await graph["v1"].grows(3)
    await graph.agree()

    async def proposed() -> bool:
        return bool((await graph["observer"].api.block("latest"))["proposer"] == graph["v1"].address)

    await eventually("the restarted validator proposes again", proposed)


async def _history_goes_back_to_genesis(graph: Graph) -> None:
    """A4: from the newest movement back to the first, the amounts lead from the grant to the balance."""
    for name in ("late", "v0"):
        node = graph[name]
        lines = await node.api.history()
        amounts = [str(line["amount"]) for line in lines if line["amount"]]  # a node's own box key moves nothing
        moved = sum((1 if amount.startswith("+") else -1) * micro(amount[1:]) for amount in amounts)
        assert micro(await node.api.balance()) == credits(1000) + moved
        for line in lines:
            assert (await node.api.tx(str(line["tx"])))["code"] == 0
    first = await graph["late"].api.block(1)
    assert first["parent"] == graph.genesis.chain_id.hex()
    assert first["time"] > graph.genesis.time


async def _a_stranger_is_convinced_over_http(graph: Graph) -> None:
    """Receipts and a balance, from the genesis and the answers of a node that is no validator."""
    node, follower = graph["observer"], Follower(encode(graph.genesis))
    follower.take(await node.api.handovers())
    for line in await node.api.history():
        shown = await node.api.tx(str(line["tx"]))
        receipt = follower.receipt(dict(await node.api.receipt(shown["height"], shown["index"] + 1)), bytes.fromhex(shown["tx"]))
        assert receipt[1] == shown["code"]
    key = account_key(parse_address(graph["late"].address))
    _, account = follower.record(dict(await node.api.proof(key)), key)
    assert account[2] == micro(await graph["late"].api.balance())


async def _a_second_implementation_believes_it(graph: Graph) -> None:
    """Every block in a stopped node's database, checked and executed by what was written from the specification alone."""
    node = graph["observer"]
    blocks = {height: await node.api.block(height) for height in (1, 2)}
    assert await node.stop() == 0
    start = encode(graph.genesis)
    chain_id, members = stated.chain_id(start), stated.first_validators(start)
    records = stated.first_state(start)
    store = BlockStore.open(str(node.data / "db"), chain_id=chain_id, create=False)
    try:
        head = store.head()
        assert head is not None and head.height > 5
        parent = chain_id
        for height in range(1, head.height + 1):
            stored = store.block(height)
            assert stored is not None
            block = decode_block(stored.block)
            header = verify_block(
                chain_id,
                encode(block.header),
                stored.certificate,
                members,
                txs=block.txs,
                receipts=store.receipts(height),
                next_validators_bytes=members,
                parent=parent,
            )
            done = machine.execute(records, parent, stored.block)
            assert done.receipts == store.receipts(height)
            records = {key: raw for key, raw in {**records, **done.put}.items() if key not in done.gone}
            parent = stored.block_id
            if height in blocks:
                assert parent.hex() == blocks[height]["block_id"]
                assert header.state_root.hex() == blocks[height]["state_root"]
    finally:
        store.close()


async def test_a_graph_that_stands_idle_goes_on_after_all_were_killed(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(4)) as graph:
        await graph.start()
        await graph["v2"].api.transfer(graph["v0"].address, "7", wait=30)
        await asyncio.gather(*(node.reaches(2) for node in graph))
        heights = [await node.height() for node in graph]
        await asyncio.gather(*(node.kill() for node in graph))
        await graph.start()
        for node, height in zip(graph, heights, strict=True):
            assert await node.height() >= height, "what was decided is not forgotten"
        await graph["v3"].grows(3)
        await graph.agree()
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)
        assert micro(await graph["v1"].api.balance(graph["v0"].address)) == credits(1007)
