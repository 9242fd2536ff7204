"""Status, peers, settings, health, readiness, metrics, runs, and the description of the API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.crypto import address
from learningchain.chain.host import Form, OneOf
from learningchain.chain.types import LogEvent
from learningchain.client.api.event_schemas import OWNERS
from learningchain.client.api.openapi import build, document
from learningchain.client.api.table import ROUTES
from learningchain.client.schema.render import render_event
from tests.unit.api_kit import GRANT, Api, a_run, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as api:
        yield api


async def test_status_peers_and_settings(api: Api) -> None:
    api.node.ledger.block()
    status = await api.get("/v1/status")
    assert (status["height"], status["state_root"]) == (1, api.node.ledger.state.root.hex())
    assert (status["id"], status["version"]) == (address(api.node.ledger.own_id), "9.9")
    total = str(5 * GRANT // 10**6)
    assert status["supply"] == {"minted": total, "burned": "0", "supply": total}
    assert (await api.get("/v1/peers"))[0]["address"] == "127.0.0.1:1"
    (seen,) = await api.get("/v1/connections")
    assert (seen["event"], seen["address"], seen["reason"]) == ("dial failed", "127.0.0.1:2", "no answer")
    assert (await api.get("/v1/config"))["name"]["source"] == "default"


async def test_health_and_readiness(api: Api) -> None:
    assert await api.get("/healthz", token=None) == {"ok": True}
    assert (await api.get("/readyz", token=None))["ready"] is True
    api.node.extra = {"syncing": True}
    error = await api.refused("GET", "/readyz", 503, token=None)
    assert (error["kind"], error["name"]) == ("unavailable", "SYNCING")


@pytest.mark.parametrize(
    ("sandbox", "ready", "named"),
    [
        (None, False, "not ended"),
        ({"ok": True, "runtime": "runc", "checks": []}, True, ""),
        ({"ok": False, "runtime": "runsc", "checks": [{"name": "memory", "ok": False, "detail": ""}]}, False, "memory"),
        ({"ok": False, "reason": "no engine"}, False, "no engine"),
    ],
)
async def test_a_working_node_is_ready_once_its_sandbox_holds(
    api: Api, sandbox: dict[str, Any] | None, ready: bool, named: str
) -> None:
    api.node.extra, api.node.work.report = {"working": True}, sandbox
    if ready:
        assert (await api.get("/readyz"))["sandbox"] == sandbox
    else:
        error = await api.refused("GET", "/readyz", 503)
        assert error["name"] == "SANDBOX"
        assert named in error["message"]


async def test_metrics_tell_height_peers_runs_and_requests_by_route(api: Api) -> None:
    runs = api.node.runs
    assert runs is not None
    runs.all += [a_run("r1"), a_run("r2"), a_run("r3", "done")]
    api.node.extra = {"mempool": 7, "parked": [{}, {}], "failing": [{}]}
    api.node.extra["notices"] = [{"topic": "case.waits"}, {"topic": "case.waits"}, {"topic": "case.own"}]
    api.node.ledger.block()
    await api.get("/v1/blocks/1")
    await api.call("GET", "/v1/blocks/99")
    await api.call("GET", "/v1/whatever/a/client/writes")
    lines = (await api.get("/metrics", token=None)).decode().splitlines()
    for line in (
        "lc_height 1.0",
        "lc_peers 3.0",
        "lc_mempool 7.0",
        "lc_parked 2.0",
        "lc_failing 1.0",
        'lc_notices{topic="case.own"} 1.0',
        'lc_notices{topic="case.waits"} 2.0',
        "lc_syncing 0.0",
        'lc_file_bytes_total{direction="in",way="connections"} 7.0',
        "lc_file_refusals_total 5.0",
        'lc_runs{phase="train",state="running"} 2.0',
        'lc_http_requests_total{route="GET /v1/blocks/{height}",status="200"} 1.0',
        'lc_http_requests_total{route="GET /v1/blocks/{height}",status="404"} 1.0',
        'lc_http_requests_total{route="none",status="404"} 1.0',
    ):
        assert line in lines


# --- the description ------------------------------------------------------------------------------------------------------------


async def test_the_node_serves_that_description(api: Api) -> None:
    assert msgspec.json.encode(await api.get("/v1/openapi.json", token=None)) == msgspec.json.encode(
        msgspec.json.decode(document())
    )


def test_every_route_is_described_with_its_parameters_and_refusals() -> None:
    described = build()
    for theme, route in ROUTES:
        operation = described["paths"][route.path][route.method.lower()]
        assert operation["tags"] == [theme]
        assert {"200", "400", "503"} <= set(operation["responses"])
        assert ("401" in operation["responses"]) is not route.public
        assert len(route.summary) > 5
        names = {parameter["name"] for parameter in operation["parameters"]}
        assert set(route.query.__struct_fields__) <= names
        of_protocol = {name for name, _ in route.headers}
        assert of_protocol <= names and of_protocol == set(operation["responses"]["200"].get("headers", {}))
        assert all("{" + name + "}" in route.path or name in route.query.__struct_fields__ for name in names - of_protocol)
    identifiers = [op["operationId"] for path in described["paths"].values() for op in path.values()]
    assert len(set(identifiers)) == len(identifiers) == len(ROUTES)


_SAMPLES: dict[Form, Any] = {Form.TEXT: "Ulm", Form.ID: bytes(20), Form.HASH: bytes(32), Form.MEMO: b"for you"}
_KINDS: dict[str, type] = {"integer": int, "string": str, "array": list}


def _fits(schema: Any, value: Any) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(type(value) is _KINDS[kind] for kind in kinds):
        return False
    return "items" not in schema or (value != [] and all(_fits(schema["items"], item) for item in value))


@pytest.mark.parametrize("topic", sorted(OWNERS))
def test_the_data_of_every_topic_are_described_as_they_are_shown(topic: str) -> None:
    schemas = build()["components"]["schemas"]
    described, declared = schemas[f"event.{topic}"], OWNERS[topic][1]
    data = [int(next(iter(d.form.kind))) if isinstance(d.form, OneOf) else _SAMPLES.get(d.form, 1) for d in declared]
    shown = render_event(LogEvent(topic, bytes(32), data))["data"]
    assert [*shown] == [*described["properties"]] == described["required"]
    assert not [name for name, value in shown.items() if not _fits(described["properties"][name], value)]
    pairs = [pair["properties"] for pair in schemas["EventOfTopic"]["oneOf"]]
    assert {"topic": {"const": topic}, "data": {"$ref": f"#/components/schemas/event.{topic}"}} in pairs
    for view in ("LogEventView", "EventView"):
        assert schemas[view]["allOf"] == [{"$ref": "#/components/schemas/EventOfTopic"}]


SPEC = Path(__file__).parents[2] / "protocol_spec" / "openapi.json"


async def test_a_node_that_only_verifies_is_ready_once_its_sandbox_holds(api: Api) -> None:
    """It may be drawn at any moment; a node that does neither needs no sandbox."""
    api.node.work.report = None
    assert (await api.refused("GET", "/readyz", 503))["name"] == "SANDBOX"
    api.node.runs = None
    assert (await api.get("/readyz"))["ready"] is True


async def test_runs_are_shown_and_stopped(api: Api) -> None:
    runs = api.node.runs
    assert runs is not None
    runs.all += [a_run("r1"), a_run("r2", "done")]
    assert [run["id"] for run in await api.get("/v1/runs")] == ["r1", "r2"]
    assert (await api.get("/v1/runs/r1"))["log"] == "a long log"
    assert (await api.call("DELETE", "/v1/runs/r1")) == (200, {"cancelled": True})
    assert (await api.get("/v1/runs/r1"))["state"] == "cancelled"
    for ended in ("r1", "r2"):
        assert (await api.refused("DELETE", f"/v1/runs/{ended}", 409))["name"] == "RUN_ENDED"
    for method in ("GET", "DELETE"):
        assert (await api.refused(method, "/v1/runs/none", 404))["name"] == "NO_SUCH_RUN"


def test_the_published_description_is_the_one_that_the_routes_make() -> None:
    if os.environ.get("LC_WRITE_SPEC") == "1":
        SPEC.write_bytes(document())
    assert SPEC.read_bytes() == document(), "protocol_spec/openapi.json is old: run this test with LC_WRITE_SPEC=1"
    words = [one.get("description", "") for one in json.loads(document())["components"]["schemas"].values()]
    assert not [text for text in words if "\n " in text], "Python 3.13 takes a docstring's indentation away, and 3.11 does not"
