"""What an operator looks at: status, peers, settings, health, readiness, metrics, the description of this API."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from learningchain.client.api.errors import forbidden, not_found, unavailable, usage
from learningchain.client.api.route import Call, Route
from learningchain.client.config import ConfigError, display
from learningchain.client.config_change import AFTER_RESTART, AT_ONCE, CHANGEABLE, NotChangeable, is_at_once
from learningchain.client.schema.bodies import (
    ConnectionView,
    Health,
    LoadQuery,
    LoadView,
    ProofQuery,
    Ready,
    SettingChanged,
    SettingRequest,
    StatusView,
    TokenProof,
)
from learningchain.client.schema.render import Json, render_supply


async def get_status(call: Call) -> Json:
    """The supply is rendered here, so that every number is text."""
    shown: Json = {"version": call.context.version}
    return shown | call.node.status() | {"supply": render_supply(call.node.ledger.state)}


async def get_peers(call: Call) -> list[Json]:
    return call.node.peers()


async def get_connections(call: Call) -> list[Json]:
    return call.node.connections()


async def get_config(call: Call) -> Json:
    try:
        later = await call.node.settings_after_restart()
    except ConfigError as e:
        raise unavailable(f"The settings cannot be read: {e}", name="CONFIG") from None
    return {
        name: setting | {"changeable": name in CHANGEABLE} | ({"after_restart": later[name]} if name in later else {})
        for name, setting in call.node.config().items()
    }


async def put_setting(call: Call) -> Json:
    """Only what `client.config_change` names: nothing that says what this node runs, whom it calls, or where it listens."""
    name = call.path("setting")
    try:
        value = await call.node.change_setting(name, call.body.value)
    except NotChangeable as e:
        raise forbidden("NOT_CHANGEABLE", str(e)) from None
    except ConfigError as e:
        raise usage(str(e), name="BAD_SETTING", status=422) from None
    return {"name": name, "value": display(name, value), "effective": AT_ONCE if is_at_once(name) else AFTER_RESTART}


async def get_load(call: Call) -> Json:
    load = call.context.load
    newest = [asdict(sample) for sample in islice(reversed(load.samples), call.query.limit)]
    return {"processors": load.processors, "memory": load.memory, "samples": newest[::-1]}


async def get_health(call: Call) -> Json:
    """The event loop that votes is the one that answers this."""
    return {"ok": True}


async def get_ready(call: Call) -> Json:
    status = call.node.status()
    if status.get("syncing"):
        raise unavailable(
            f"Not ready: the node is at height {status.get('height')} and still fetches blocks. Wait, or check its peers",
            name="SYNCING",
        )
    sandbox = call.node.work.report
    if sandbox is None and (status.get("working") or call.node.runs is not None):
        raise unavailable("Not ready: the sandbox's self-test has not ended. Wait, or check the container engine", name="SANDBOX")
    if sandbox is not None and not sandbox.get("ok", False):
        failed = [str(c.get("name")) for c in sandbox.get("checks", ()) if isinstance(c, dict) and not c.get("ok")]
        why = (
            f"the sandbox's self-test failed ({', '.join(failed)})"
            if failed
            else str(sandbox.get("reason") or "see the node's log")
        )
        raise unavailable(f"Not ready: this node runs no jobs, for {why}", name="SANDBOX")
    return {"ready": True, "height": call.node.ledger.height, "sandbox": sandbox}


async def get_metrics(call: Call) -> web.Response:
    """Whoever asks without a token waits in the line of strangers."""
    encode: Callable[..., bytes] = generate_latest
    kind = CONTENT_TYPE_PLAIN_0_0_4
    if "application/openmetrics-text" in call.request.headers.get("Accept", "").lower():
        encode, kind = openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST
    body = call.context.metrics.expose(call.node.work.report, encode=encode)
    return web.Response(body=body, headers={"Content-Type": kind, "Vary": "Accept"})


async def get_proof_of_token(call: Call) -> Json:
    transport = call.request.transport
    if transport is None:
        raise unavailable("The connection is gone")
    proof = call.context.prove(call.query.token, bytes.fromhex(call.query.nonce), transport.get_extra_info("sockname")[0])
    if proof is None:
        raise not_found("This node knows no such token: it is another node's, was revoked, or has expired", name="NO_SUCH_TOKEN")
    return {"proof": proof}


async def get_openapi(call: Call) -> web.Response:
    tag, packed = _packed(body := call.context.openapi())
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if tag in (one.strip().removeprefix("W/") for one in call.request.headers.get("If-None-Match", "").split(",")):
        return web.Response(status=304, headers=headers)
    if takes_gzip(call.request.headers.get("Accept-Encoding", "")):
        return web.Response(body=packed, content_type="application/json", headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=body, content_type="application/json", headers=headers)


@lru_cache(1)
def _packed(body: bytes) -> tuple[str, bytes]:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"', gzip.compress(body, mtime=0)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding names gzip, and does not rule it out."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() == "gzip":
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight) is None
    return False


ROUTES = (
    Route("GET", "/v1/status", "What this node knows and does", get_status, StatusView),
    Route("GET", "/v1/peers", "Connected peers", get_peers, list[dict[str, Any]]),
    Route(
        "GET",
        "/v1/connections",
        "Connections that came, went or were refused lately, and why",
        get_connections,
        list[ConnectionView],
    ),
    Route("GET", "/v1/load", "The load of the node's machine, sampled from its start on", get_load, LoadView, query=LoadQuery),
    Route(
        "GET",
        "/v1/config",
        "The settings in force, which of them may be changed here, and what is written for the next start",
        get_config,
        dict[str, Any],
    ),
    Route(
        "PUT",
        "/v1/config/{setting}",
        "Write a setting: it counts within seconds where it is policy about work, else from the next start of this node on",
        put_setting,
        SettingChanged,
        SettingRequest,
        owner=True,
        failures=(422,),
    ),
    Route(
        "GET",
        "/v1/proof",
        "That this API knows a token, before the token is sent",
        get_proof_of_token,
        TokenProof,
        query=ProofQuery,
        public=True,
        failures=(404,),
    ),
    Route("GET", "/v1/openapi.json", "This description", get_openapi, dict[str, Any], public=True),
    Route("GET", "/healthz", "Whether the node's loop is alive", get_health, Health, public=True),
    Route("GET", "/readyz", "Whether the node is in step with the graph and its sandbox holds", get_ready, Ready, public=True),
    Route("GET", "/metrics", "Metrics for Prometheus", get_metrics, public=True, media="text/plain"),
)
