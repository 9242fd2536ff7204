"""Pages of federations: the list, one as its sponsor and everybody sees it, and the part that this node's own data have in it.

`opening_pages` has the form that opens one.
"""

from __future__ import annotations

from typing import Any

from client.api.errors import RequestError
from client.contracts.federation import opening_pages
from client.dashboard.page import ROWS, WAIT_S, Answer, Done, Drawn, Nav, Visit, change, or_none, outcome, page

STATES = {"IDLE": "", "END": ""}


@page("/dashboard/federations")
async def federations(visit: Visit) -> Drawn:
    own = (await visit.ask("GET /v1/status"))["id"]
    which = visit.request.query.get("which", "all")
    before = visit.number("before")
    of = {"sponsor": own} if which == "sponsored" else {"member": own} if which == "joined" else {}
    rows = await visit.ask("GET /v1/federations", query={"limit": ROWS + 1, "before": before} | of)
    older = rows[ROWS - 1]["number"] if len(rows) > ROWS else None
    shown = which if which in ("sponsored", "joined") else "all"
    return Drawn("federation/list.html", "Federations", {"rows": rows[:ROWS], "older": older, "which": shown, "states": STATES})


@page("/dashboard/federations/{federation}")
async def one_federation(visit: Visit) -> Drawn:
    """As its sponsor looks at it: rounds with their loss and pay, and what the screening said of each file."""
    view = await visit.ask("GET /v1/federations/{federation}", visit.match)
    rounds = await visit.ask("GET /v1/federations/{federation}/rounds", visit.match, query={"limit": ROWS})
    members = await visit.ask("GET /v1/federations/{federation}/members", visit.match)
    attempts = await visit.ask("GET /v1/federations/{federation}/attempts", visit.match, query={"limit": 10})
    own = (await visit.ask("GET /v1/status"))["id"]
    values = {
        "fed": view,
        "rounds": rounds,
        "members": members[:ROWS],
        "all_members": len(members),
        "attempts": attempts["attempts"],
        "curve": curve(view, rounds),
        "sponsors": view["sponsor"] == own,
        "states": STATES,
    }
    return Drawn(
        "federation/one.html", f"Federation {view['id'][:12]}", values, ("state", "curve", "rounds", "members", "attempts")
    )


def curve(view: dict[str, Any], rounds: list[Any]) -> list[list[float]]:
    """The measured loss by round, oldest first."""
    points = [(0.0, view["initial"])] + [(float(one["round"]), one["loss"]) for one in reversed(rounds)]
    known = [(x, float(y)) for x, y in points if y is not None]
    return [[x for x, _ in known], [y for _, y in known]] if len(known) > 1 else []


@change("/dashboard/federations/{federation}/start")
async def start(visit: Visit) -> Answer:
    done = await visit.ask("POST /v1/federations/{federation}/start", visit.match, body={}, query={"wait": WAIT_S})
    return Done(f"/dashboard/federations/{visit.match['federation']}", outcome(done, f"Round {done['round']} is started"))


@change("/dashboard/federations/{federation}/close")
async def close(visit: Visit) -> Answer:
    done = await visit.ask("POST /v1/federations/{federation}/close", visit.match, query={"wait": WAIT_S})
    return Done(f"/dashboard/federations/{visit.match['federation']}", outcome(done, "The federation is closed"))


@change("/dashboard/federations/{federation}/admit")
async def admit(visit: Visit) -> Answer:
    body = {"member": visit.form.get("member", "")}
    done = await visit.ask("POST /v1/federations/{federation}/admit", visit.match, body=body, query={"wait": WAIT_S})
    return Done(f"/dashboard/federations/{visit.match['federation']}", outcome(done, "The member is admitted"))


@page("/dashboard/federations/{federation}/own")
async def own_part(visit: Visit) -> Drawn:
    """As an owner of data looks at it: what joining means, what left this machine, what came in, what was refused and why."""
    return await _own(visit, None)


async def _own(visit: Visit, refused: RequestError | None) -> Drawn:
    part = await visit.ask("GET /v1/federations/{federation}/own", visit.match)
    joining = await or_none(visit.ask("GET /v1/federations/{federation}/joining", visit.match), "NO_SUCH_FEDERATION", "NOT_FOUND")
    data = await or_none(visit.ask("GET /v1/data"), "DISK", "UNAVAILABLE")
    values = {
        "part": part,
        "joining": joining,
        "data": data or [],
        "refused": refused.body if refused else None,
        "federation": visit.match["federation"],
    }
    live = ("sent",) if part["trains"] else ()
    return Drawn("federation/own.html", "Your part", values, live, refused.status if refused else 200)


@change("/dashboard/federations/{federation}/join")
async def join(visit: Visit) -> Answer:
    body = {"data": visit.form.get("data", "")}
    try:
        done = await visit.ask("POST /v1/federations/{federation}/join", visit.match, body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return await _own(visit, e)
    return Done(f"/dashboard/federations/{visit.match['federation']}/own", outcome(done, "You have joined, or asked to"))


@change("/dashboard/federations/{federation}/leave")
async def leave(visit: Visit) -> Answer:
    done = await visit.ask("POST /v1/federations/{federation}/leave", visit.match, query={"wait": WAIT_S})
    return Done(f"/dashboard/federations/{visit.match['federation']}/own", outcome(done, "You have left"))


PAGES = (federations, *opening_pages.PAGES, one_federation, start, close, admit, own_part, join, leave)
ABOUT = {"federation": "/dashboard/federations/"}
NAV = (Nav(40, "Federations", "/dashboard/federations"),)
