"""Keys of real nodes: a validator rotates while the graph decides, kills in between; who lost its machine comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from learningchain.client import config
from learningchain.client.keys.keyring import CURRENT, NEXT, before
from learningchain.client.keys.keystore import Keystore
from tests.processes.harness import (
    PASSPHRASE,
    Graph,
    NodeProcess,
    Role,
    command,
    credits,
    eventually,
    free_port,
    micro,
    validators,
    with_params,
)

QUICK_KEYS = with_params(key_rest=1_000, recovery_delay_min=3_000, recovery_gather=3_600_000)


async def of(node: NodeProcess, *arguments: str) -> Any:
    """What a command says in JSON."""
    code, out, err = await command(node, *arguments, "--json", environment={"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE})
    assert code == 0, err
    return json.loads(out)


async def _has_key(node: NodeProcess, of: str, key: str) -> None:
    async def there() -> bool:
        return (await node.api.account(of))["key"] == key

    await eventually(f"{node.name} knows the key", there)


async def _signs(graph: Graph, node: NodeProcess, witness: NodeProcess) -> None:
    """Its own votes stand in a certificate again: the others take what its new key signs."""

    async def stands() -> bool:
        return node.address in (await witness.certificate())["signers"]

    await eventually(f"{node.name} signs", stands)


async def test_a_validator_rotates_while_the_graph_decides(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(4), params=QUICK_KEYS) as graph:
        await graph.start()
        await graph.connected()
        v0, v1 = graph["v0"], graph["v1"]
        old = Keystore.public(v0.data / CURRENT).public_key
        done = await of(v0, "key", "rotate")
        assert done["status"] == "final"
        for node in graph:
            await _has_key(node, v0.address, done["key"])
        await _signs(graph, v0, v1)
        await graph.connected()
        await v0.api.transfer(v1.address, "1", wait=30)
        await _its_files_are_in_their_places(v0, old, done["key"])
        await _it_comes_back_after_a_kill(graph, v0, done["key"])
        await _the_old_key_is_nobody(graph, v1, old)
        await graph.no_fork()
        await graph.conserved()


async def _box_key(node: NodeProcess, *before: str) -> str:
    """The account's box key once it is another one than before; the node opens what is sealed to it and to those."""

    async def other() -> Any:
        found = await of(node, "key", "box")
        return found if found["key"] not in (None, *before) and found["here"] else None

    found = await eventually(f"{node.name} has a box key that is new", other)
    assert [one["key"] for one in found["kept"]] == [*before, found["key"]]
    assert (await node.api.account(node.address))["box_key"] == found["key"]
    return str(found["key"])


async def _its_files_are_in_their_places(node: NodeProcess, old: bytes, key: str) -> None:
    async def settled() -> bool:
        return Keystore.public(node.data / CURRENT).public_key.hex() == key

    await eventually("the new key's file is in its place", settled)
    assert not (node.data / NEXT).exists() and Keystore.public(node.data / before(old)).public_key == old


async def _it_comes_back_after_a_kill(graph: Graph, node: NodeProcess, key: str) -> None:
    await node.kill()
    others = [one for one in graph if one is not node]
    await others[0].grows(2)
    await node.start()
    await node.reaches(await others[0].height())
    await _signs(graph, node, others[0])


async def _the_old_key_is_nobody(graph: Graph, node: NodeProcess, old: bytes) -> None:
    """A node with a copy of the old keystore is talked to by nobody."""
    assert all(old.hex() != account["key"] for account in await node.api.accounts())


async def test_a_kill_before_the_block_leaves_a_node_that_signs_with_what_the_ledger_says(tmp_path: Path) -> None:
    """The next key is on the disk and nobody has heard of it: the node goes on with the old one, a rotation takes that key."""
    async with Graph(tmp_path, validators(4), params=QUICK_KEYS) as graph:
        await graph.start()
        await graph.connected()
        v0, v1 = graph["v0"], graph["v1"]
        boxed = await _box_key(v0)
        made = Keystore.create_for(v0.data / NEXT, v0.id, PASSPHRASE)
        await v0.kill()
        await v0.start()
        await _signs(graph, v0, v1)
        done = await of(v0, "key", "rotate")
        assert done["key"] == made.key.public.hex()
        await v0.kill()  # at once: the file may not be in its place
        await v0.start()
        await _has_key(v1, v0.address, done["key"])
        await _signs(graph, v0, v1)
        await _box_key(v0, boxed)
        await graph.no_fork()


async def test_a_member_that_lost_its_machine_comes_back_by_its_guardians_with_its_balance(tmp_path: Path) -> None:
    roles = [*validators(4), Role("alice", credits="77")]
    async with Graph(tmp_path, roles, params=QUICK_KEYS) as graph:
        await graph.start()
        alice, v0, v1 = graph["alice"], graph["v0"], graph["v1"]
        await of(alice, "guardians", "set", *(graph[f"v{n}"].address for n in range(3)), "--threshold", "2", "--delay", "3s")
        await alice.kill()
        new = NodeProcess("alice again", tmp_path / "new machine", alice.identity)
        seed = config.load(v0.data).config.network.listen
        listen = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        options = ["--genesis", str(v0.data / "genesis.json"), "--peer", seed, "--listen", listen[0], "--api-listen", listen[1]]
        started = await of(new, "recover", "start", alice.address, *options)
        said = await of(v0, "recover", "approve", started["request"])
        assert said["recovery"]["words"] == [{"guardian": v0.address, "key": started["key"]}]
        shown = await of(v1, "recover", "status", alice.address)
        assert shown["recovery"]["key"] is None, "one of two"
        await of(v1, "recover", "approve", started["request"])
        await _has_key(v0, alice.address, started["key"])
        await new.start()
        await new.reaches(await v0.height())
        done = await new.api.transfer(v0.address, "7", wait=30)
        assert done["code"] == 0
        assert micro(await v1.api.balance(alice.address)) == credits(70)
        await new.close()
