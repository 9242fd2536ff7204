"""The one table of routes: the server serves it and openapi.json is made from it. Each contract's part comes from its slice."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from learningchain.client import contracts
from learningchain.client.api import (
    accounts,
    callbacks,
    chain,
    contents,
    dashboard,
    data,
    events,
    files,
    machines,
    ops,
    receipts,
    runs,
    sets,
)
from learningchain.client.api.following import Follower
from learningchain.client.api.locked import Locked
from learningchain.client.api.route import API, ApiPart, Route
from learningchain.client.schema.texts import ADDRESS, form

_SLICES = contracts.parts(API)
_OWN: dict[str, ModuleType] = {
    "ops": ops,
    "accounts": accounts,
    "chain": chain,
    "receipts": receipts,
    "files": files,
    "contents": contents,
    "runs": runs,
    "data": data,
    "sets": sets,
    "machines": machines,
    "callbacks": callbacks,
    "events": events,
    "dashboard": dashboard,
}
THEMES: dict[str, ApiPart] = {name: ApiPart(module.__doc__, module.ROUTES) for name, module in _OWN.items()} | _SLICES
ROUTES: tuple[tuple[str, Route], ...] = tuple((theme, route) for theme, part in THEMES.items() for route in part.routes)
"""(theme, route)"""
FOLLOWERS: tuple[type[Follower], ...] = (Locked, *(kind for part in _SLICES.values() for kind in part.followers))
PATH: dict[str, Mapping[str, Any]] = {
    "setting": {"type": "string", "description": "a setting's dotted name", "pattern": "^[a-z_.]{1,64}$"},
    "account": {"type": "string", "description": "an identity, lc1…"} | form(ADDRESS, "lc-address"),
    "height": {"type": "string", "description": "a height, or latest", "pattern": "^(latest|0|[1-9][0-9]*)$"},
    "block": {"type": "string", "description": "a height", "pattern": "^(0|[1-9][0-9]*)$"},
    "index": {"type": "string", "description": "0, or one more than a transaction's place", "pattern": "^(0|[1-9][0-9]*)$"},
    "key": {"type": "string", "description": "a state key in hex", "pattern": "^([0-9a-f]{2}){1,255}$"},
    "ref": {
        "type": "string",
        "description": "a transaction's id, or HEIGHT-INDEX; index 0 is the block's own",
        "pattern": "^([0-9a-f]{64}|[0-9]{1,15}-[0-9]{1,5})$",
    },
    "tx": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "cid": {"type": "string", "description": "a CIDv1 in base32"} | form("baf[ky][a-z2-7]{55}", "cid"),
    "run": {"type": "string"},
    "name": {"type": "string", "description": "of own data", "pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"},
    "callback": {"type": "string", "description": "what it is about, such as the id of a request", "pattern": "^[0-9a-f]{64}$"},
} | {name: schema for part in _SLICES.values() for name, schema in part.path.items()}
"""What the variable parts of paths are."""


def _check() -> None:
    """Two routes of one request or one name would hide each other: a program that has them does not start."""
    taken: dict[str, str] = {}
    for theme, route in ROUTES:
        for claim in (f"{route.method} {route.path}", f"the operation {route.handler.__name__}"):
            if (other := taken.setdefault(claim, theme)) != theme:
                raise RuntimeError(f"The API of {theme} claims {claim}, which is that of {other}. Rename one")


_check()
