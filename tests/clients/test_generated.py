"""Clients that generators make from `protocol_spec/openapi.json` with default flags compile, read, post and ask: Python by
openapi-python-client, TypeScript by openapi-typescript and by hey-api; and a linter of such documents finds nothing wrong. Each in
an environment of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import address
from tests.environments import environment, node_modules
from tests.unit.api_kit import TOKEN, serving
from tests.unit.test_api_inference import Graph, playing
from tests.unit.test_api_jobs import OK

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "protocol_spec" / "openapi.json"
RUN_S = 120.0


async def run(*command: object, folder: Path, **environ: str) -> str:
    """What it prints; its errors where it fails."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    pipe = asyncio.subprocess.PIPE
    words = [str(word) for word in command]
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=known | environ, cwd=folder)
    out, err = await asyncio.wait_for(process.communicate(), RUN_S)
    assert process.returncode == 0, f"{words[0]} ended with {process.returncode}\n{out.decode()}{err.decode()}"
    return out.decode() + err.decode()


def holds(found: Any, winner: str) -> None:
    assert (found["state"], found["winner"], found["bounty"], found["loss"]) == ("PAID", winner, "10", "0.000005000")
    assert set(found["votes"]) == {"OK"}


async def python_client(folder: Path) -> Path:
    """The interpreter that has what a generated client needs; the package `generated` lies in the folder."""
    python = await asyncio.to_thread(environment, HERE / "generator.txt", "openapi-python-client")
    (folder / "how.yaml").write_text("post_hooks: []\n")
    how = ["generate", "--path", DOCUMENT, "--config", folder / "how.yaml", "--meta", "none", "--fail-on-warning"]
    said = await run(python.parent / "openapi-python-client", *how, "--output-path", folder / "generated", folder=folder)
    assert not re.search("(?i)warning|error|unable", said), said
    return python


async def typescript_programs() -> Path:
    """The folder where what typed/ has is compiled, against types and a client of the document."""
    made = await asyncio.to_thread(node_modules, HERE / "typed", "openapi-typescript")
    programs = made / "node_modules" / ".bin"
    await run(programs / "openapi-typescript", DOCUMENT, "--output", made / "api.ts", folder=made)
    await run(programs / "tsc", "--project", made / "tsconfig.json", folder=made)
    await run(programs / "openapi-ts", "--input", DOCUMENT, "--output", made / "client", folder=made)
    await run(programs / "tsc", "--project", made / "tsconfig.called.json", folder=made)
    return made


async def traded(url: str, model: str, token: Path, folder: Path) -> dict[str, Any]:
    """What each client found that read the status, posted a job, and asked a model both ways."""
    python, made = await python_client(folder), await typescript_programs()
    ways: dict[str, list[object]] = {
        "openapi-python-client": [python, HERE / "trades.py", url, model, token, folder],
        "openapi-typescript": ["node", made / "trade_typed.js", url, model],
        "hey-api": ["node", made / "trade.js", url, model],
    }
    secret = token.read_text().strip()
    return {way: json.loads(await run(*words, folder=folder, TOKEN=secret)) for way, words in ways.items()}


GENERATED = "it installs a generator; schemathesis and the tests of the API hold the document against the answers"


@pytest.mark.full(GENERATED)
async def test_a_python_client_reads_a_job(tmp_path: Path) -> None:
    python = await python_client(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    async with serving(tmp_path) as api:
        job, winner = api.node.ledger.judged_job(OK).hex(), address(api.node.ledger.ids["n1"])
        words = [f"http://127.0.0.1:{api.port}", job, winner, tmp_path / "token", tmp_path]
        found = json.loads(await run(python, HERE / "reads.py", *words, folder=tmp_path))
        account = await api.get(f"/v1/accounts/{winner}")
    holds(found, winner)
    assert found["operations"] == len(json_operations())
    assert found["balance"] == account["balance"]
    assert found["missing"] == [404, "NO_SUCH_JOB"]
    assert found["refused"][0] in (400, 409, 422)


@pytest.mark.full(GENERATED)
async def test_a_typescript_client_reads_a_job(tmp_path: Path) -> None:
    made = await typescript_programs()
    async with serving(tmp_path) as api:
        job, winner = api.node.ledger.judged_job(OK).hex(), address(api.node.ledger.ids["n1"])
        words = [f"http://127.0.0.1:{api.port}", job, winner]
        found = json.loads(await run("node", made / "read.js", *words, folder=made, TOKEN=TOKEN))
        account = await api.get(f"/v1/accounts/{winner}")
    holds(found, winner)
    assert found["balance"] == account["balance"]
    assert found["refusal"].startswith("404 NO_SUCH_JOB at /v1/jobs/{job}: ")


@pytest.mark.full(GENERATED)
@pytest.mark.timeout(600)
async def test_clients_of_three_generators_read_the_status_post_a_job_and_ask_a_model(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with serving(tmp_path) as api:
        graph = Graph(api)
        name = await graph.register()
        network = (await api.get("/v1/status"))["network"]
        async with playing(graph):
            found = await traded(f"http://127.0.0.1:{api.port}", name.replace(":", "/"), tmp_path / "token", tmp_path)
    answer = {"class": [1], "score": [1.500000007], "agree": [3]}
    job = ["final", "OPEN", "1", '{"epochs":5}']
    for way, one in found.items():
        assert one == {"network": network, "job": job, "answer": answer, "asked": ["final", 3, 1]}, way


@pytest.mark.full("it installs a linter; tests/unit/test_api_document.py holds the document against the answers")
async def test_a_linter_finds_no_error_and_no_event_that_could_be_two(tmp_path: Path) -> None:
    made = await asyncio.to_thread(node_modules, HERE / "linted", "redocly")
    command = [made / "node_modules" / ".bin" / "redocly", "lint", "--extends=recommended", "--format=json", DOCUMENT]
    said = await run(*command, folder=tmp_path, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true")
    found = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert found["totals"]["errors"] == 0
    # Three ways to say a prediction's input, one of which is needed: they share their fields.
    assert {one["location"][0]["pointer"] for one in found["problems"]} <= {"#/components/schemas/PredictionRequest/allOf/0/oneOf"}


def json_operations() -> list[str]:
    document = json.loads(DOCUMENT.read_text())
    return [one["operationId"] for path in document["paths"].values() for one in path.values() if "operationId" in one]
