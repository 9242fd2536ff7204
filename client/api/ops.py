"""What an operator looks at: status, peers, settings, health, readiness, metrics, the description of this API."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from client.api.errors import unavailable
from client.api.render import Json, render_supply
from client.api.route import Call, Route
from client.api.schema import ConnectionView, Health, Ready, StatusView


async def get_status(call: Call) -> Json:
    """The supply is rendered here, so that every number is text."""
    shown: Json = {"version": call.context.version}
    return shown | call.node.status() | {"supply": render_supply(call.node.ledger.state)}


async def get_peers(call: Call) -> list[Json]:
    return call.node.peers()


async def get_connections(call: Call) -> list[Json]:
    return call.node.connections()


async def get_config(call: Call) -> Json:
    return call.node.config()


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
    sandbox = await call.node.sandbox_ready()
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
    body = call.context.metrics.expose()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def get_openapi(call: Call) -> web.Response:
    return web.Response(body=call.context.openapi(), content_type="application/json")


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
    Route("GET", "/v1/config", "The settings in force", get_config, dict[str, Any]),
    Route("GET", "/v1/openapi.json", "This description", get_openapi, dict[str, Any], public=True),
    Route("GET", "/healthz", "Whether the node's loop is alive", get_health, Health, public=True),
    Route("GET", "/readyz", "Whether the node is in step with the graph and its sandbox holds", get_ready, Ready, public=True),
    Route("GET", "/metrics", "Metrics for Prometheus", get_metrics, public=True, media="text/plain"),
)
