"""The one table of routes: the server serves it and openapi.json is made from it."""

from __future__ import annotations

from client.api import accounts, chain, events, files, jobs, ops, runs
from client.api.route import Route

THEMES = {
    "ops": ops,
    "accounts": accounts,
    "chain": chain,
    "jobs": jobs,
    "files": files,
    "runs": runs,
    "events": events,
}
ROUTES: tuple[tuple[str, Route], ...] = tuple((theme, route) for theme, module in THEMES.items() for route in module.ROUTES)
"""(theme, route)"""
