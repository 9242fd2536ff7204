"""A real node tells its operator of a payment by a webhook and a command, and its log has one id from the call to the block."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import aiohttp
import msgspec
import pytest

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, net_of
from learningchain.client.callbacks.signatures import parse_secret, signature
from learningchain.client.sdk.types import Json
from tests.processes.harness import Graph, Person, Role, eventually
from tests.unit.callbacks_kit import HttpServer

pytestmark = pytest.mark.timeout(180)
PROGRAM = (
    "import os,sys\nname = sys.argv[1]\nopen(name + '.new', 'wb').write(sys.stdin.buffer.read())\nos.rename(name + '.new', name)\n"
)


async def test_a_payment_is_told_and_its_call_is_found_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "tell.py").write_text(PROGRAM)
    payer = Person("payer")
    async with HttpServer() as server:
        settings = {
            "callback.allow": ["loopback"],
            "notify.url": server.url("/operator"),
            "notify.command": [sys.executable, str(tmp_path / "tell.py"), str(tmp_path / "told")],
            "notify.kinds": ["payments"],
            "log.format": "json",
        }
        async with Graph(tmp_path, [Role("v0", validator=True, settings=settings)], people=[payer]) as graph:
            await graph.start()
            node = graph["v0"]
            await _pay(graph, payer, "order-4711")
            await server.until(1)
            post = server.posts[0]
            assert (post.said["type"], post.said["data"]["amount"]) == ("notify.payments", "2.5")
            secret = parse_secret((node.data / "notify.secret").read_text())
            made = signature(secret, post.id, int(post.headers["webhook-timestamp"]), post.body)
            assert post.headers["webhook-signature"] == made

            async def ran() -> bool:
                return (tmp_path / "told").exists()

            await eventually("the command has run", ran)
            assert json.loads((tmp_path / "told").read_bytes()) == post.said
            await node.logs("transaction in a block")
            lines: list[Json] = [json.loads(line) for line in node.log.read_text().splitlines() if line.startswith("{")]
            told = [line for line in lines if line.get("request") == "order-4711"]
            assert {line["event"] for line in told} >= {"transaction in the pool", "transaction in a block"}
            assert len({line["tx"] for line in told if "tx" in line}) == 1
            assert next(line for line in told if line["event"] == "transaction in a block")["height"] == post.said["height"]


async def _pay(graph: Graph, payer: Person, request: str) -> None:
    """2.5 credits to the node, by a call that brings its own id."""
    node = graph["v0"]
    ops = [msgspec.Raw(encode(Transfer(node.id, 2_500_000, b"")))]
    body = TxBody(net_of(graph.genesis.chain_id), payer.id, 0, 0, await node.height() + 1_000, ops)
    raw = sign_tx(payer.key, graph.genesis.chain_id, body)
    token = (node.data / "api.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": request}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{node.api.url}/v1/tx", json={"raw": raw.hex()}, headers=headers) as answer,
    ):
        assert answer.status in (200, 202), await answer.text()
        assert answer.headers["X-Request-ID"] == request
