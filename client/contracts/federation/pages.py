"""Pages of federations: the list, one as its sponsor and everybody sees it, and the part that this node's own data have in it.

`opening_pages` has the form that opens one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learningchain.client.api.errors import RequestError, not_found, usage
from learningchain.client.contracts.federation.web import opening_pages
from learningchain.client.contracts.federation.web.phrases import (
    CODES,
    ENDS,
    OUTCOMES,
    agreement,
    became,
    held_against,
    pay_text,
    vault_text,
)
from learningchain.client.contracts.federation.web.phrases import STATES as STAGES
from learningchain.client.dashboard.page import (
    ROWS,
    WAIT_S,
    Answer,
    Done,
    Drawn,
    Nav,
    PagesPart,
    Visit,
    change,
    or_none,
    outcome,
    page,
)

STATES = {"IDLE": "", "END": ""}
PAID_ROUNDS = 3
"""Rounds whose pay one page reads: each is looked for among the federation's events."""
_GONE = ("NO_SUCH_FEDERATION", "NOT_FOUND")


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
        "codes": CODES,
        "curve": curve(view, rounds),
        "sponsors": view["sponsor"] == own,
        "states": STATES,
        "stages": STAGES,
        "ends": ENDS,
    }
    return Drawn(
        "federation/one.html",
        f"Federation {visit.names.of(view['id']) or view['id'][:12]}",
        values,
        ("state", "curve", "rounds", "members", "attempts"),
    )


def curve(view: dict[str, Any], rounds: list[Any]) -> list[list[float]]:
    """The measured loss by round, oldest first."""
    points = [(0.0, view["initial"])] + [(float(one["round"]), one["loss"]) for one in reversed(rounds)]
    known = [(x, float(y)) for x, y in points if y is not None]
    return [[x for x, _ in known], [y for _, y in known]] if len(known) > 1 else []


@page("/dashboard/federations/{federation}/model")
async def best_model(visit: Visit) -> Answer:
    """The file of the best model, as it was measured."""
    view = await visit.ask("GET /v1/federations/{federation}", visit.match)
    if view["best_model"] is None:
        raise not_found("No model of this federation was better than the one that it began with", name="NO_MODEL")
    best = view["best_model"]
    response: Answer = await visit.ask("GET /v1/files/{cid}", {"cid": best["cid"]}, query={"max_size": best["size"]})
    return response


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


@page("/dashboard/federations/{federation}/rounds/{round}")
async def one_round(visit: Visit) -> Drawn:
    """What it paid to whom, and why not."""
    found = await visit.ask(
        "GET /v1/federations/{federation}/rounds/{round}", visit.match, query={"before": visit.number("before")}
    )
    own = (await visit.ask("GET /v1/status"))["id"]
    owners = sorted(found["owners"], key=lambda one: one["member"] != own)
    values = {
        "federation": visit.match["federation"],
        "round": found,
        "outcome": OUTCOMES.get(str(found["outcome"]), ""),
        "owners": [one | {"told": pay_text(one)} for one in owners[:ROWS]],
        "all_owners": len(owners),
        "own": own,
    }
    return Drawn("federation/round.html", f"Round {found['round']}", values)


@page("/dashboard/federations/{federation}/own")
async def own_part(visit: Visit) -> Drawn:
    """As an owner of data looks at it: what joining means, what left this machine, what came in, what was refused and why."""
    return await _own(visit, {}, None)


async def _own(visit: Visit, fields: Mapping[str, str], refused: RequestError | None, *, look: bool = False) -> Drawn:
    """`look`: what joining with these fields means is shown, to be agreed to."""
    part = await visit.ask("GET /v1/federations/{federation}/own", visit.match)
    federation = await or_none(visit.ask("GET /v1/federations/{federation}", visit.match), *_GONE)
    joining = await or_none(visit.ask("GET /v1/federations/{federation}/joining", visit.match), *_GONE)
    data = await or_none(visit.ask("GET /v1/data"), "DISK", "UNAVAILABLE") or []
    chosen = part["data"] if part["trains"] else fields.get("data") if look else ""
    own = next((one for one in data if one["name"] == chosen), None)
    vault = part["vault"]["on"] if part["trains"] else not fields or "vault" in fields
    values = {
        "part": part | {"attempts": [one | {"became": became(one)} for one in part["attempts"][-ROWS:][::-1]]},
        "vault": vault_text(part["vault"]),
        "secrecy": None if federation is None else federation["secrecy"],
        "ended": federation is not None and federation["ended"] is not None,
        "paid": await _own_pay(visit) if part["attempts"] and federation is not None else [],
        "joining": joining,
        "means": agreement(joining, own, vault=vault) if joining else [],
        "data": [one | {"fits": _fits(joining, one)} for one in data],
        "look": look,
        "f": fields or {"vault": "yes"},
        "refused": refused.body if refused else None,
        "federation": visit.match["federation"],
    }
    live = (*(("sent",) if part["trains"] else ()), *(("previews",) if part["previews"] else ()))
    return Drawn("federation/own.html", "Your part", values, live, refused.status if refused else 200)


async def _own_pay(visit: Visit) -> list[dict[str, Any]]:
    """What the newest rounds paid to this node, and why not."""
    account = (await visit.ask("GET /v1/status"))["id"]
    rounds = await visit.ask("GET /v1/federations/{federation}/rounds", visit.match, query={"limit": PAID_ROUNDS})
    found = []
    for one in rounds:
        path = {**visit.match, "round": str(one["round"])}
        pay = await or_none(visit.ask("GET /v1/federations/{federation}/rounds/{round}", path), "NOT_KEPT", "NO_SUCH_ROUND")
        mine = next((owner for owner in pay["owners"] if owner["member"] == account), None) if pay else None
        found.append(one | {"outcome": OUTCOMES.get(str(one["outcome"]), ""), "mine": mine and mine | {"told": pay_text(mine)}})
    return found


def _fits(joining: Mapping[str, Any] | None, own: Mapping[str, Any]) -> bool:
    try:
        return joining is None or held_against(joining["schema"], own)
    except ValueError:
        return False


@change("/dashboard/federations/{federation}/join")
async def join(visit: Visit) -> Answer:
    """What it means with these data first, as `fed join --dry-run` says it; joined only with what was shown."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        joining = await visit.ask("GET /v1/federations/{federation}/joining", visit.match)
        body = joined_with(fields, joining, await visit.ask("GET /v1/data"))
        if fields.get("step") != "join":
            return await _own(visit, fields, None, look=True)
        done = await visit.ask("POST /v1/federations/{federation}/join", visit.match, body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return await _own(visit, fields, e)
    said = "You asked to join: the sponsor admits members" if joining["approved_by_sponsor"] else "You have joined"
    return Done(f"/dashboard/federations/{visit.match['federation']}/own", outcome(done, said))


@change("/dashboard/federations/{federation}/preview")
async def preview(visit: Visit) -> Answer:
    """As `fed join --preview`: trained once, and nothing sent."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        body = {"data": fields.get("data", "")}
        done = await visit.ask("POST /v1/federations/{federation}/preview", visit.match, body=body)
    except RequestError as e:
        return await _own(visit, fields, e)
    said = "It trains, and sends nothing" if done["state"] == "running" else "It trained once, and nothing was sent"
    return Done(f"/dashboard/federations/{visit.match['federation']}/own", f"{said}: what it comes to stands below.")


def joined_with(fields: Mapping[str, str], joining: Mapping[str, Any], data: list[Any]) -> dict[str, Any]:
    """The body of `POST …/join` from the fields of the form. Raises `RequestError`: what the ledger could not say."""
    own = next((one for one in data if one["name"] == fields.get("data")), None)
    if own is None:
        raise usage("Which data? Choose some that are on this node")
    if not _fits(joining, own):
        raise usage(
            f"The data {own['name']!r} were not held against the schema that the sponsor posted. Do it, and join then: "
            f"learningchain fed schema {joining['federation'][:12]} --out schema.json; learningchain data remove {own['name']}; "
            f"learningchain data add {own['name']} FOLDER --schema schema.json"
        )
    examples = opening_pages.count(fields, "examples", "The number of examples")
    if joining["claims_examples"] and not examples:
        raise usage("This federation splits its pay by samples: say how many examples your data have")
    least = opening_pages.count(fields, "min_vetted", "The number of others with the flag")
    return {"data": own["name"], "n": examples or 0, "min_vetted": least, "vault": "vault" in fields}


@change("/dashboard/federations/{federation}/leave")
async def leave(visit: Visit) -> Answer:
    done = await visit.ask("POST /v1/federations/{federation}/leave", visit.match, query={"wait": WAIT_S})
    return Done(f"/dashboard/federations/{visit.match['federation']}/own", outcome(done, "You have left"))


PART = PagesPart(
    pages=(
        federations,
        *opening_pages.PAGES,
        one_federation,
        best_model,
        one_round,
        start,
        close,
        admit,
        own_part,
        join,
        preview,
        leave,
    ),
    nav=(Nav(40, "Federations", "/dashboard/federations"),),
    first=(3, "/dashboard/federations", "Train with others", "One model of several owners' data, which stay where they are."),
    about={"federation": "/dashboard/federations/"},
)
