"""What becomes of a request is posted though its node is killed between the decision and the delivery. No containers are needed:
servers that stay silent fail it."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.client.callbacks.signatures import parse_secret, signature
from learningchain.client.sdk.types import Json
from learningchain.p2p.content.cid import Codec, cid_of
from tests.processes.harness import Graph, NodeProcess, Role, eventually, with_params
from tests.unit.callbacks_kit import HttpServer, status

pytestmark = pytest.mark.timeout(120)
SERVERS = ("v1", "v2", "v3")
ROLES = [
    Role("v0", validator=True, settings={"callback.allow": ["loopback"]}),
    *(Role(name, validator=True, verifier=True, settings={"work.verify": False}) for name in SERVERS),
]
PARAMS = with_params(pred_a0=1_000)
CID = str(cid_of(Codec.RAW, b"nobody runs it"))
MODEL: Json = {
    "name": "silent",
    "kind": "number",
    "price": "0.001",
    "floor": "0.0001",
    "image": {"cid": CID, "image_id": "sha256:" + "ab" * 32, "size": 1_000},
    "model": {"cid": CID, "size": 14},
    "limits": {"cpus": 0.5, "mem_mb": 64, "tmp_mb": 8},
    "start_s": 1,
    "row_ms": 1,
}


async def test_a_callback_outlives_kill_9_between_decision_and_delivery(tmp_path: Path) -> None:
    async with Graph(tmp_path, ROLES, params=PARAMS) as graph, HttpServer(status(503)) as server:
        owner = graph["v0"]
        await graph.start()
        model = (await owner.api.register_model(MODEL, wait=30))["model"]
        for name in SERVERS:
            await graph[name].has_box_key()
            await graph[name].api.serve(model, wait=30)
        asked = {"model": model, "rows": [[1]], "n": 3, "callback": server.url("/told")}
        posted = await owner.api.request_prediction(asked, wait=30)
        request, secret = posted["request"], parse_secret(posted["callback_secret"])
        assert (await owner.api.callback(request))["state"] == "open"
        await server.until(1)
        await owner.kill()
        before = len(server.posts)
        server.answers = [status(204)]
        await owner.start()
        await server.until(before + 1)
        await eventually("it is told", lambda: _ended(owner, request))
        found = await owner.api.prediction(request)
        assert (found["outcome"], found["callback"]["state"]) == ("TOO_FEW", "ended")  # type: ignore[index]
        assert {post.id for post in server.posts} == {f"{request}:failed"} and len({post.body for post in server.posts}) == 1
        said = server.posts[-1]
        assert (said.said["type"], said.said["data"]["outcome"]) == ("prediction.failed", "TOO_FEW")
        made = signature(secret, said.id, int(said.headers["webhook-timestamp"]), said.body)
        assert said.headers["webhook-signature"] == made


@pytest.mark.full("the test above is a node's, test_callbacks_delivery has blocks that were missed")
async def test_a_node_that_was_killed_before_anything_happened_tells_it_when_it_is_back(tmp_path: Path) -> None:
    """It was away when the request failed: the blocks that it fetches say so."""
    async with Graph(tmp_path, ROLES, params=PARAMS) as graph, HttpServer() as server:
        owner = graph["v0"]
        await graph.start()
        model = (await owner.api.register_model(MODEL, wait=30))["model"]
        for name in SERVERS:
            await graph[name].has_box_key()
            await graph[name].api.serve(model, wait=30)
        posted = await owner.api.request_prediction({"model": model, "rows": [[1]], "n": 3, "callback": server.url()}, wait=30)
        await owner.kill()
        other = graph["v1"]
        await eventually("it failed", lambda: _failed(other, posted["request"]))
        assert server.posts == []
        await owner.start()
        await server.until(1)
        assert server.posts[0].id == f"{posted['request']}:failed"


async def _ended(node: NodeProcess, request: str) -> bool:
    return (await node.api.callback(request))["state"] == "ended"


async def _failed(node: NodeProcess, request: str) -> bool:
    return (await node.api.prediction(request))["state"] == "FAILED"
