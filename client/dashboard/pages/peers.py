"""Who this node is connected to, as a picture and as a table, and what happened to connections."""

from __future__ import annotations

import math
from typing import Any

from learningchain.client.dashboard.page import ROWS, Drawn, Nav, PagesPart, Visit, page
from learningchain.client.dashboard.text import short
from learningchain.client.keys.names import Names

DRAWN = 24
WIDTH, HEIGHT = 640, 380


@page("/dashboard/peers")
async def peers(visit: Visit) -> Drawn:
    found = await visit.ask("GET /v1/peers")
    status, connections = await visit.ask("GET /v1/status"), await visit.ask("GET /v1/connections")
    drawn = around(found[:DRAWN], set(status["validators"]), visit.names)
    values = {"peers": found, "drawn": drawn, "connections": connections[:ROWS], "height_px": HEIGHT}
    return Drawn("peers.html", "Peers", values, ("graph", "peers", "connections"))


def around(found: list[Any], validators: set[str], names: Names) -> list[dict[str, Any]]:
    """Places on an ellipse around the node, in the order of the ids, so that the picture stands still while peers stay."""
    placed = []
    for at, peer in enumerate(sorted(found, key=lambda one: str(one["id"]))):
        angle = 2 * math.pi * at / len(found) - math.pi / 2
        placed.append(
            {
                "x": round(WIDTH / 2 + 0.4 * WIDTH * math.cos(angle)),
                "y": round(HEIGHT / 2 + 0.38 * HEIGHT * math.sin(angle)) - 6,
                "label": names.of(peer["id"]) or short(peer["id"]),
                "validator": peer["id"] in validators,
            }
        )
    return placed


PART = PagesPart((peers,), (Nav(80, "Peers", "/dashboard/peers"),))
