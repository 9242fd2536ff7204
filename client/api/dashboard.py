"""The way into the dashboard: a link for whoever holds the full token."""

from __future__ import annotations

import time

from learningchain.client.api.route import Call, Route
from learningchain.client.api.sessions import LINK_S
from learningchain.client.schema.bodies import DashboardLink, DashboardLinkQuery
from learningchain.client.schema.render import Json


async def post_dashboard_link(call: Call) -> Json:
    sessions, query = call.context.sessions, call.query
    plain = query.plain or not sessions.host
    code = sessions.new_link(time.monotonic(), plain=plain)
    return {"path": f"/dashboard/login?code={code}", "host": "" if plain else sessions.host, "good_for_s": int(LINK_S)}


ROUTES = (
    Route(
        "POST",
        "/v1/dashboard/links",
        "A link that opens the dashboard once",
        post_dashboard_link,
        DashboardLink,
        query=DashboardLinkQuery,
        owner=True,
    ),
)
