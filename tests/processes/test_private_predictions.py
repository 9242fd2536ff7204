"""A private request on real nodes and in real containers: only its seats read the rows, only its requester the values; its callback
is told of all that happens though the node is killed between the decision and the delivery; and the decision is checked offline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learningchain.chain.types import parse_loss
from learningchain.client.callbacks.signatures import parse_secret, signature
from tests.processes import test_predictions
from tests.processes.harness import Graph, Role, command, eventually
from tests.processes.test_predictions import PARAMS, SERVERS, SERVES, SLOW_S, register, serve
from tests.unit.callbacks_kit import HttpServer, status

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(300)
ROLES = [
    Role("v0", validator=True, settings={"callback.allow": ["loopback"]}),
    *(Role(name, validator=True, verifier=True, settings=SERVES) for name in SERVERS),
]
POLICY = {"accept": "below", "threshold": "10", "rates": [{"start": "-999999999", "ppm": 20_000}, {"start": "5", "ppm": 45_000}]}
ROW = "[1, 2]"


@pytest.mark.full("test_callbacks has kill -9, test_predictions containers, test_prediction_proven the decision offline")
async def test_its_values_and_its_decision_are_its_requesters_alone(tmp_path: Path, archive: tuple[Path, str]) -> None:
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph, HttpServer(status(503)) as server:
        owner = graph["v0"]
        await graph.start()
        model = await register(owner, archive, tmp_path)
        await serve(graph, model, *SERVERS)
        policy = (await owner.api.create_policy(POLICY | {"model": model}, wait=30))["policy"]
        words = ("--n", "3", "--private", "--policy", policy, "--callback", server.url("/told"), "--json")
        code, out, err = await command(owner, "predict", "sums", ROW, *words)
        assert code == 0, err
        found = json.loads(out)
        assert (found["outcome"], found["private"], found["agree"]) == ("AGREED", True, 3)
        assert parse_loss(found["values"][0]["score"]) != 9 * 10**9 and found["decisions"][0]["decision"] == "refer"
        assert found["plain"]["values"][0]["score"] == "9.000000000" and found["plain"]["decisions"][0]["decision"] == "accept"
        told = await graph["v1"].api.prediction(found["id"])
        assert told["plain"] is None and told["callback"] is None
        await server.until(1)
        await owner.kill()
        server.answers = [status(204)]
        await owner.start()
        secret = parse_secret(found["callback_secret"])
        taken = len(server.posts)
        await eventually("all is told", lambda: _ended(owner, found["id"]), SLOW_S)  # type: ignore[arg-type]
        said = [post.id.rpartition(":")[2] for post in server.posts]
        assert set(said[:taken]) <= {"agreed"} and said[-2:] == ["agreed", "final"] and said.count("final") == 1
        for post in server.posts:
            then = int(post.headers["webhook-timestamp"])
            assert post.headers["webhook-signature"] == signature(secret, post.id, then, post.body)
            data = post.said["data"]
            assert (data["values"][0]["score"], data["blinded"], data["decisions"][0]["decision"]) == (
                "9.000000000",
                False,
                "accept",
            )
        await _checked_offline(graph, tmp_path, found["id"])


async def _ended(owner, request: str) -> bool:  # type: ignore[no-untyped-def]
    return bool((await owner.api.callback(request))["state"] == "ended")


async def _checked_offline(graph: Graph, folder: Path, request: str) -> None:
    """By somebody who has three files and no node."""
    owner, file, key = graph["v0"], folder / "decision.lcr", folder / "decision.key"
    code, _, err = await command(owner, "prediction", "receipt", request, "--out", str(file), "--key-out", str(key))
    assert code == 0, err
    assert key.stat().st_mode & 0o077 == 0
    genesis = owner.data / "genesis.json"
    code, out, err = await command(owner, "receipt", "check", str(file), "--genesis", str(genesis), "--key", str(key))
    assert code == 0, err
    assert "9.000000000, said by 3" in out and "row 0: ACCEPT at 4.5 %" in out and "It is final since" in out
    key.write_text("00" * 32)
    code, _, err = await command(owner, "receipt", "check", str(file), "--genesis", str(genesis), "--key", str(key))
    assert code == 1 and "belong to no private request" in err
