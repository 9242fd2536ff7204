"""The overview: what runs now, what the owner has, how the node stands, what happened lately; and what to do first.

Contracts add to it: `PagesPart.overview` is asked for a part, and `first` is something to do on a node with nothing yet.
"""

from __future__ import annotations

from typing import Any

from learningchain.client import contracts
from learningchain.client.dashboard.page import PAGES, Drawn, Nav, PagesPart, Visit, or_none, page
from learningchain.client.dashboard.pages.runs import last_step, points

LATEST = 10
RUNNING = 5
"""Runs that the overview shows."""


@page("/dashboard")
async def overview(visit: Visit) -> Drawn:
    status = await visit.ask("GET /v1/status")
    own = {"account": status["id"]}
    account = await or_none(visit.ask("GET /v1/accounts/{account}", own), "UNKNOWN_ACCOUNT")
    rows = [] if account is None else await visit.ask("GET /v1/accounts/{account}/history", own, query={"limit": LATEST})
    slices = contracts.parts(PAGES).values()
    parts = [await part.overview(visit, own["account"], rows) for part in slices if part.overview is not None]
    runs, curve = await _running(visit)
    first = sorted(part.first for part in slices if part.first is not None)
    busy = runs or any(values["busy"] for _, values in parts)
    values = {"status": status, "account": account, "rows": rows, "runs": runs, "curve": curve, "parts": parts}
    live = ("now", *(values["id"] for _, values in parts), "summary", "state", "history")
    return Drawn("home.html", "Overview", values | {"first": [] if busy else first}, live)


async def _running(visit: Visit) -> tuple[list[dict[str, Any]], list[list[float]]]:
    """What is computed now, the newest first, and the curve of the newest that has one."""
    found = [run for run in await visit.ask("GET /v1/runs") if run.get("state") == "running"]
    newest = sorted(found, key=lambda run: -(run.get("started") or 0))[:RUNNING]
    curves = (points([step for step in run.get("progress") or [] if isinstance(step, dict)]) for run in newest)
    return [run | {"last": last_step(run)} for run in newest], next((curve for curve in curves if curve), [])


PART = PagesPart((overview,), (Nav(0, "Overview", "/dashboard"),))
