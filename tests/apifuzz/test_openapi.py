"""The HTTP API under a fuzzer of OpenAPI documents, schemathesis, in an environment of its own: a real node is asked what the
document that it serves allows, and what it does not, with every check on. Whatever is left out stands in a table, with its reason.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from learningchain.chain.crypto import SigningKey, account_id, address, sha256
from tests.environments import environment
from tests.processes.harness import Graph, NodeProcess, validators
from tests.slow import SLOW

HERE = Path(__file__).parent
MINUTES = 4
EXAMPLES = 8
"""Requests that are drawn for an operation and a phase; what the document's edges ask for comes beside them."""
ACCEPTED = ("2xx", "401", "403", "404", "409", "429", "503")
"""What may answer a request that fits the document: 409 is what the rules refuse, 503 what is not possible on this node now."""


@dataclass(frozen=True)
class LeftOut:
    """An operation that is not asked."""

    operation: str
    why: str


@dataclass(frozen=True)
class MayRefuse:
    """`status` may answer what fits the document of this operation: no schema can say what is wrong."""

    operation: str
    status: int
    why: str


LEFT_OUT = (LeftOut("get_events", "its answer never ends: tests/unit/test_api_events.py reads it"),)
MAY_REFUSE = (
    MayRefuse("get_file", 413, "how large the file is that a client wants no larger"),
    MayRefuse("put_setting", 422, "which values a setting takes: GET /v1/config shows them"),
    MayRefuse("post_tx", 422, "that bytes are a transaction is seen by decoding them"),
    MayRefuse("post_key", 400, "the secret must be sealed under the key that the node has open"),
    MayRefuse("post_recovery", 400, "the line's signature is for one account on one network"),
    MayRefuse("post_proposal", 400, "which parameters one contract has: GET /v1/parameters lists them"),
    MayRefuse("post_model", 400, "what is in the file of the schema"),
    MayRefuse("post_inference", 400, "which tensors a model has: GET /v2/models/MODEL shows them"),
    MayRefuse("post_version_inference", 400, "which tensors a model has: GET /v2/models/MODEL shows them"),
    MayRefuse("get_set", 400, "that a file is a data set is seen by reading it"),
    MayRefuse("post_policy", 400, "the first rate begins at the least value of all"),
)


def texts(chain_id: bytes, stored: list[str]) -> dict[str, list[str]]:
    """For each format of the document: some that are what they say; `stored` are files of the node."""
    keys = [SigningKey(sha256(b"fuzzed %d" % i)) for i in range(4)]
    ids = [sha256(b"id %d" % i).hex() for i in range(4)]
    return {
        "lc-address": [address(account_id(key.public)) for key in keys],
        "lc-public-key": [key.public.hex() for key in keys],
        "lc-model": ids,
        "lc-reference": ids,
        "lc-recovery": [f"{address(account_id(key.public))}.{key.public.hex()}.{chain_id.hex() * 2}" for key in keys],
        "cid": stored,
    }


def with_texts(document: Any, texts: dict[str, list[str]]) -> Any:
    """A text with one of these formats is one of those that the test made: no pattern makes a good checksum."""
    if isinstance(document, list):
        return [with_texts(one, texts) for one in document]
    if not isinstance(document, dict):
        return document
    if document.get("format") in texts:
        return {"type": "string", "enum": texts[document["format"]]}
    return {name: with_texts(one, texts) for name, one in document.items()}


def asked_with_texts(document: Any, texts: dict[str, list[str]]) -> Any:
    """The document whose requests alone are drawn so: answers have other texts of the same formats."""
    schemas = document["components"]["schemas"]
    asked = set[str]()
    parts = [part for methods in document["paths"].values() for part in methods.values() if isinstance(part, dict)]
    new = [part.get("requestBody") for part in parts]
    while new:
        found = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(new))) - asked
        asked |= found
        new = [schemas[name] for name in found]
    for part in parts:
        part |= {name: with_texts(part[name], texts) for name in ("parameters", "requestBody") if name in part}
    schemas |= {name: with_texts(schemas[name], texts) for name in asked}
    return document


def settings() -> str:
    """The exceptions in the fuzzer's own words."""
    lines = []
    for one in MAY_REFUSE:
        lines += [
            "[[operations]]",
            f'include-operation-id = "{one.operation}"',
            f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*ACCEPTED, str(one.status)])}",
        ]
    refused = ["400", "401", "403", "404", "405", "409", "415", "422", "429", "431", "5xx"]
    lines += ["[checks.negative_data_rejection]", f"expected-statuses = {json.dumps(refused)}"]
    return "\n".join(["[checks.positive_data_acceptance]", f"expected-statuses = {json.dumps(ACCEPTED)}", *lines, ""])


def served(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        found: bytes = answer.read()
    return found


async def fuzz(python: Path, folder: Path, node: NodeProcess, *chosen: str) -> None:
    document = msgspec.json.decode(await asyncio.to_thread(served, f"{node.api.url}/v1/openapi.json"))
    identifiers = {one["operationId"] for methods in document["paths"].values() for one in methods.values()}
    assert {one.operation for one in (*LEFT_OUT, *MAY_REFUSE)} <= identifiers
    stored = []
    for i in range(4):
        (folder / "file").write_bytes(b"file %d" % i)
        stored.append((await node.api.upload(folder / "file"))["cid"])
    made = texts(bytes.fromhex((await node.api.status())["chain_id"]), stored)
    (folder / "openapi.json").write_bytes(msgspec.json.encode(asked_with_texts(document, made)))
    (folder / "schemathesis.toml").write_text(settings())
    token = (node.data / "api.token").read_text().strip()
    left_out = [word for one in LEFT_OUT for word in ("--exclude-operation-id", one.operation)]
    command = [
        str(python.with_name("schemathesis")),
        *("--config-file", str(folder / "schemathesis.toml"), "--no-color", "run", str(folder / "openapi.json")),
        *("--url", node.api.url, "--header", f"Authorization: Bearer {token}", "--request-timeout", "30"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES)),
        *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
        *(left_out if not chosen else [word for one in chosen for word in ("--include-operation-id", one)]),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    more = {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "hooks"}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=kept | more, cwd=folder
    )
    try:
        async with asyncio.timeout(MINUTES * 60 * SLOW):
            said = (await process.communicate())[0].decode("utf-8", "replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    (folder / "said.txt").write_text(said)
    assert process.returncode == 0, said[-20_000:]
    tested = re.search(r"Tested: (\d+)", said)
    assert tested is not None and int(tested[1]) == (len(chosen) or len(identifiers) - len(LEFT_OUT)), said[-3_000:]


@pytest.mark.full("it installs a package, and asks each operation for minutes")
@pytest.mark.timeout(600)
async def test_the_api_is_as_its_document_says(tmp_path: Path) -> None:
    python = await asyncio.to_thread(environment, HERE / "requirements.txt", "schemathesis")
    # The second one votes on blocks and on no proposal: what is asked for here changes no set of validators and no parameter.
    async with Graph(tmp_path, validators(2)) as graph:
        await graph.start()
        await fuzz(python, tmp_path, graph["v0"])
        assert await graph["v1"].grows(), "the graph goes on"
