"""tritonclient[http] with its defaults asks real nodes with real containers: binary tensors, a name that it percent-encodes, the
token in its header. Each inference is one paid request, to the last micro-credit. And clients that generators made of the API's
document read the status there, post a job and ask the model."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from learningchain.client import config
from learningchain.client.sdk.types import Json
from tests.clients.test_generated import traded
from tests.clients.test_tritonclient import HERE, REQUIREMENTS
from tests.environments import environment
from tests.processes import test_predictions
from tests.processes.harness import PATIENCE_S, Graph, NodeProcess, Role, micro, with_params
from tests.processes.test_predictions import SERVERS, SERVES, register, serve
from tests.slow import SLOW
from tests.unit.test_api_inference import SCHEMA

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(600)
ROLES = [
    Role("v0", validator=True, settings={"predict.n": 3}),
    *(Role(name, validator=True, verifier=True, settings=SERVES) for name in SERVERS),
]
PARAMS = with_params(pred_a0=60_000, pred_open=60_000)
ASKED = 4
"""Inferences of asks.py that are answered."""
ROWS, N = 2, 3


@pytest.mark.full("it installs a package; test_api_inference.py sends what it sends, test_predictions has real servers")
async def test_tritonclient_asks_real_nodes_and_pays_what_it_is_told(tmp_path: Path, archive: tuple[Path, str]) -> None:
    python = await asyncio.to_thread(environment, REQUIREMENTS, "tritonclient")
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner = graph["v0"]
        await graph.start()
        (tmp_path / "schema").write_text(json.dumps(SCHEMA))
        schema = await owner.api.upload(tmp_path / "schema")
        terms: Json = {"kind": "class", "classes": 2, "schema": schema, "params": {"classes": True}}
        model = await register(owner, archive, tmp_path, start_s=60, **terms)
        await serve(graph, model, *SERVERS)
        for name in (f"{owner.address}:sums", f"{owner.address}/sums"):
            before = await graph.balances(owner)
            found = await _asked(python, owner, name, tmp_path)
            after = await graph.balances(owner)
            assert found["live"] and found["ready"] and found["model_ready"]
            assert found["model"]["versions"] == [model]
            values = {"class": [1, 0], "score": [25.5, -26.25], "agree": [N, N]}
            assert found["defaults"] == found["gzip"] == found["deflate"] == values
            assert found["json"] == {"score": values["score"]}
            assert found["refusal"][0] == "400" and "row 1, x[0]: 500.0" in found["refusal"][1]
            assert found["stranger"] == "401"
            assert len(found["paid"]) == len({one["id"] for one in found["paid"]}) == ASKED
            tip = 100 * ROWS * N
            for one in found["paid"]:
                assert (await owner.api.prediction(one["id"]))["cost"] == one["cost"]
            spent = sum(micro(one["cost"]) - 1_000 * ROWS for one in found["paid"])  # the royalty is the asker's own
            assert before[owner.address] - after[owner.address] == spent
            for server in SERVERS:
                earned = after[graph[server].address] - before[graph[server].address]
                assert earned >= ASKED * tip // N, "and a subsidy"
        network = (await owner.api.status())["network"]
        answer = {"class": [1], "score": [25.5], "agree": [N]}
        found = await traded(owner.api.url, model, owner.data / "api.token", tmp_path)
        for way, one in found.items():
            job = ["final", "OPEN", "1", '{"epochs":5}']
            assert one == {"network": network, "job": job, "answer": answer, "asked": ["final", N, 1]}, way


async def _asked(python: Path, node: NodeProcess, name: str, folder: Path) -> Json:
    """What asks.py found, in an environment that has nothing of this one."""
    where = config.load(node.data, {}).config.api.listen
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(HERE / "asks.py"),
        where,
        name,
        str(node.data / "api.token"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        cwd=folder,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S * SLOW)
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))
