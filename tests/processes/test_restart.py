"""A chain that lost its quorum for good is restarted by its people from a state that everybody can check."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.ledger.genesis import from_json
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, net_of
from learningchain.client import config
from learningchain.client.sdk.types import ApiError
from tests.processes.harness import Graph, NodeProcess, Person, Role, command, credits, free_port, micro, validators
from tests.processes.scripted import JUDGE, announcement, declare, post
from tests.processes.test_joining import Newcomer, token_of

ALICE, AWAY = Person("alice"), Person("away", credits="7")


async def test_two_of_four_are_gone_and_the_rest_go_on_in_a_network_that_all_can_check(tmp_path: Path) -> None:
    roles = [*validators(4), Role("m0"), Role("m1")]
    async with Graph(tmp_path, roles, people=[ALICE, AWAY, JUDGE]) as graph:
        await graph.start("v0", "v1", "v2", "v3", "m0")  # m1 is away until the new network needs it
        before, waiting = await _busy(graph)
        for name in ("v2", "v3"):  # for good: nobody will start them again
            await graph[name].kill()
        await _halts(graph)
        stay = [graph[name] for name in ("v0", "v1", "m0", "m1")]
        made = await _agree(graph, stay, tmp_path)
        await asyncio.gather(*(node.stop() for node in stay if node.running))
        new = _folders(stay, made, tmp_path)
        try:
            await asyncio.gather(*(node.start() for node in new))
            await _goes_on(new, before, waiting)
        finally:
            await asyncio.gather(*(node.close() for node in new))


async def _busy(graph: Graph) -> tuple[dict[str, int], bytes]:
    """Payments, a job that somebody claimed, an invitation. What everybody is to have then, and a transaction that nobody sent."""
    v0, m0 = graph["v0"], graph["m0"]
    await v0.api.transfer(graph["v3"].address, "3", wait=60)
    await ALICE.send(v0, Transfer(AWAY.id, credits(2), b"rent"))
    free = await graph.balances(v0)
    await declare(v0, [JUDGE])
    job, worker = await post(ALICE, v0, open_ms=600_000), Person.behind(m0)
    await worker.send(v0, announcement(graph.genesis.chain_id, job, worker, "0.5").claim)
    await graph["v1"].api.invite(credits="5", wait=60)
    assert (await graph.balances(v0)) != free
    assert micro((await v0.api.supply())["escrows"]) > credits(15)
    await graph.agree()
    ops = [msgspec.Raw(encode(Transfer(v0.id, credits(1), b"replayed")))]
    chain_id = graph.genesis.chain_id
    body = TxBody(net_of(chain_id), AWAY.id, 0, 0, 10_000, ops)
    return free, sign_tx(AWAY.key, chain_id, body)


async def _halts(graph: Graph) -> None:
    """Two of four decide nothing, whatever is asked of them."""
    done = await graph["v0"].api.transfer(graph["v1"].address, "1", wait=1)
    assert done["status"] != "final"
    await graph.agree()  # a block whose last votes were on their way is everybody's


async def _say(node: NodeProcess, *words: str) -> tuple[int, Any, str]:
    code, out, err = await command(node, "restart", *words, "--json")
    return code, json.loads(out) if out else None, err


async def _agree(graph: Graph, stay: list[NodeProcess], folder: Path) -> Path:
    """Everybody looks, two make the file, everybody checks it; a forged one is named."""
    _, plan, _ = await _say(stay[0], "plan")
    assert plan["quorum"] == 3 and len(plan["validators"]) == 4 and plan["height"] == await stay[1].height()
    chosen = [word for node in stay for word in ("--validator", node.address)]
    files = [folder / f"new{n}.json" for n in range(2)]
    for node, file in zip(stay, files, strict=False):
        code, _, err = await _say(node, "make", str(file), "--name", "test again", *chosen)
        assert code == 0, err
    assert files[0].read_bytes() == files[1].read_bytes()
    code, found, _ = await _say(stay[2], "check", str(files[0]), *chosen)
    assert code == 0 and found["holds"]
    code, found, _ = await _say(stay[1], "check", str(files[1]), *chosen[2:])
    assert code == 1 and stay[0].address in found["differences"][0]
    assert found["base"]["chain_id"] == graph.genesis.chain_id.hex()
    return files[0]


def _folders(stay: list[NodeProcess], made: Path, folder: Path) -> list[NodeProcess]:
    """New data folders with the old identities and the new network's file."""
    new = []
    listens = [f"127.0.0.1:{free_port()}" for _ in stay]
    for node, listen in zip(stay, listens, strict=True):
        data = folder / f"new-{node.name}"
        data.mkdir(mode=0o700)
        shutil.copy2(node.data / "keystore.json", data)
        shutil.copy2(made, data / "genesis.json")
        peers = [one for one in listens if one != listen]
        values = {"name": node.name, "network.listen": listen, "network.peers": peers, "work.verify": False}
        (data / config.FILE).write_text(config.render(values | {"api.listen": f"127.0.0.1:{free_port()}"}))
        new.append(NodeProcess(node.name, data, node.identity))
    return new


async def _goes_on(new: list[NodeProcess], before: dict[str, int], waiting: bytes) -> None:
    v0, _, m0, m1 = new
    genesis = from_json((v0.data / "genesis.json").read_bytes())
    assert (await v0.api.status())["chain_id"] == genesis.chain_id.hex()
    supply = await v0.api.supply()
    assert {a["id"]: micro(a["balance"]) for a in await v0.api.accounts()} == before
    assert micro(supply["escrows"]) == 0 and micro(supply["accounts"]) == micro(supply["supply"]) == sum(before.values())
    with pytest.raises(ApiError, match="another network"):
        await v0.api.submit_raw(waiting)
    assert (await m0.api.transfer(m1.address, "2", wait=60))["code"] == 0
    await AWAY.send(m1, Transfer(ALICE.id, credits(1), b"here again"))
    height = await m1.grows(1)
    await asyncio.gather(*(node.reaches(height) for node in new))
    assert len({(await node.api.block(height))["block_id"] for node in new}) == 1
    signers = (await v0.certificate(height))["signers"]
    assert len(signers) >= 3 and set(signers) <= {node.address for node in new}
    code, out, _ = await command(m1, "audit", "chain", "--json")
    assert code == 0 and json.loads(out)["holds"]


@pytest.mark.full("test_joining has the way in, the test above a restarted network")
async def test_a_newcomer_joins_a_restarted_network(tmp_path: Path) -> None:
    """The token names the new network, its members hand out its file with all that it carries."""
    newcomer = Newcomer(tmp_path, "newcomer")
    async with Graph(tmp_path, validators(1), people=[AWAY]) as graph:
        await graph.start()
        await graph["v0"].grows(1)
        await graph["v0"].stop()
        file = tmp_path / "new.json"
        code, _, err = await _say(graph["v0"], "make", str(file), "--name", "again", "--validator", graph["v0"].address)
        assert code == 0, err
        (node,) = _folders([graph["v0"]], file, tmp_path)
        try:
            await node.start()
            newcomer.start(await token_of(node, credits="3"))
            async with await newcomer.running() as api:
                assert (await api.status())["chain_id"] == from_json(file.read_bytes()).chain_id.hex()
                assert (await api.account())["balance"] == "3"
                assert await api.balance(AWAY.address) == await node.api.balance(AWAY.address)
        finally:
            newcomer.kill()
            await node.close()
