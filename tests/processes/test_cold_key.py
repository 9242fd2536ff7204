"""A key that is on no network pays over a real node, and a program with a token of its own spends what it may and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.processes.harness import PASSPHRASE, Graph, NodeProcess, Person, command, credits, micro, new_identity, validators

WORD = {"LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}


async def _done(node: NodeProcess, *words: str) -> Any:
    code, out, err = await command(node, *words, "--json", environment=WORD)
    assert code == 0, err
    return json.loads(out)


async def _refused(node: NodeProcess, *words: str) -> dict[str, Any]:
    code, _, err = await command(node, *words, "--json", environment=WORD)
    assert code != 0
    error: dict[str, Any] = json.loads(err)["error"]
    return error


async def test_signed_without_network_and_paid_over_a_node(tmp_path: Path) -> None:
    (tmp_path / "cold").mkdir(mode=0o700)
    cold = NodeProcess("cold", tmp_path / "cold", new_identity(tmp_path / "cold"))
    owner = Person("owner", "100", own_key=cold.identity.key)
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", validators(1), people=[owner]) as graph:
        node = await graph["v0"].start()
        path, ready = tmp_path / "pay.json", tmp_path / "pay.signed.json"
        words = ["Transfer", f"target={node.address}", "amount=2.5", "memo=for lunch", "--from", owner.address]
        await _done(node, "tx", "make", str(path), *words)
        signed = await _done(cold, "tx", "sign", str(path), "--yes")
        assert signed["messages"][0]["amount"] == "2.5"
        assert (await _done(node, "tx", "submit", str(ready), "--wait", "60"))["code"] == 0
        assert micro(await node.api.balance(owner.address)) == credits(100) - 2_500_000
        assert (await _refused(node, "tx", "submit", str(ready), "--wait", "60"))["name"] == "SEQUENCE_USED"
        assert micro(await node.api.balance(owner.address)) == credits(100) - 2_500_000
        assert await graph.conserved() == credits(1100)


async def test_a_token_s_limit_outlives_the_node(tmp_path: Path) -> None:
    payee = Person("payee", "0")
    async with Graph(tmp_path, validators(1), people=[payee]) as graph:
        node = await graph["v0"].start()
        made = await _done(node, "token", "new", "--can", "all", "--max", "3")
        (tmp_path / "token").write_text(made["token"])
        (tmp_path / "token").chmod(0o600)
        pay = ["transfer", payee.address, "2", "--token-file", str(tmp_path / "token"), "--wait", "60"]
        await _done(node, *pay)
        await node.kill()
        await node.start()
        assert (await _refused(node, *pay))["name"] == "TOKEN_LIMIT"
        (tmp_path / "reader").write_text((await _done(node, "token", "new", "--can", "read"))["token"])
        reader = ["--token-file", str(tmp_path / "reader")]
        assert (await _refused(node, "transfer", payee.address, "1", *reader))["name"] == "TOKEN_SCOPE"
        assert (await _done(node, "balance", payee.address, *reader))["balance"] == "2"
        await _done(node, "token", "revoke", made["id"])
        assert (await _refused(node, *pay))["name"] == "UNAUTHORIZED"
        assert micro(await node.api.balance(payee.address)) == credits(2)
