"""The overview: what the owner has, how the node stands, what happened lately."""

from __future__ import annotations

from learningchain.client.dashboard.page import Drawn, Nav, Visit, or_none, page

LATEST = 10


@page("/dashboard")
async def overview(visit: Visit) -> Drawn:
    status = await visit.ask("GET /v1/status")
    own = {"account": status["id"]}
    account = await or_none(visit.ask("GET /v1/accounts/{account}", own), "UNKNOWN_ACCOUNT")
    rows = [] if account is None else await visit.ask("GET /v1/accounts/{account}/history", own, query={"limit": LATEST})
    values = {"status": status, "account": account, "rows": rows}
    return Drawn("home.html", "Overview", values, ("summary", "state", "history"))


PAGES = (overview,)
NAV = (Nav(0, "Overview", "/dashboard"),)
