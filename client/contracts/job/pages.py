"""Pages of jobs: the list, one with its claims while they come, its model, and a form that says the price before it posts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from learningchain.client.api.errors import RequestError, usage
from learningchain.client.contracts.job.earned import earned_in
from learningchain.client.contracts.job.http.best_line import BestLines, number
from learningchain.client.dashboard.page import (
    ROWS,
    WAIT_S,
    Answer,
    Done,
    Drawn,
    Nav,
    PagesPart,
    Uploaded,
    Visit,
    change,
    or_none,
    outcome,
    page,
    upload,
)
from learningchain.client.dashboard.text import short
from learningchain.client.dashboard.uploads import store_image

_LINES: WeakKeyDictionary[Any, BestLines] = WeakKeyDictionary()
"""By node: a line that was read is kept between two views."""
STATES = {"OPEN": "live", "PAID": "good", "REFUNDED": "", "EMPTY": ""}
_UPLOADED = ("cid", "image_id", "size", "arch")
DRAWN = 6
"""Claimants whose losses are drawn: the best ones."""
SHOWN = 5
"""Jobs of the overview."""
MOST_SETS = 8
"""Of the sets of a node, those that the form offers, and the most that a job has."""
_LIMITS = ("cpus", "mem_mb", "train_s", "eval_s", "tmp_mb", "threads")


# --- reading ------------------------------------------------------------------------------------------------------------------


@page("/dashboard/jobs")
async def jobs(visit: Visit) -> Drawn:
    live = visit.request.query.get("which") != "all"
    before, begin = visit.number("before"), visit.word("id", "[0-9a-f]{1,64}")
    asked = {"live": live and begin is None, "limit": ROWS + 1, "before": before, "id": begin}
    rows = await visit.ask("GET /v1/jobs", query=asked)
    older = rows[ROWS - 1]["number"] if len(rows) > ROWS else None
    values = {"jobs": rows[:ROWS], "older": older, "which": "live" if live else "all", "begin": begin or "", "states": STATES}
    return Drawn("job/list.html", "Jobs", values, ("jobs",) if before is None else ())


@page("/dashboard/jobs/{job}")
async def one_job(visit: Visit) -> Drawn:
    job = await visit.ask("GET /v1/jobs/{job}", visit.match)

    async def read(before: int | None, limit: int) -> list[Any]:
        query = {"limit": limit, "before": before}
        return await or_none(visit.ask("GET /v1/jobs/{job}/events", visit.match, query=query), "NOT_KEPT") or []

    events = await read(None, ROWS)
    lines = _LINES.setdefault(visit.context.node, BestLines())
    line = await lines.seen(job["id"], events, ROWS, read)
    leading = [claim["claimant"] for claim in job["claims"][:DRAWN]]
    own = (await visit.ask("GET /v1/status"))["id"]
    coming = await visit.ask("GET /v1/transfers")
    values = {
        "coming": [one for one in coming if any(why["ref"] == job["id"] for why in one["kept_for"])][:ROWS],
        "job": job,
        "events": events,
        "claims": job["claims"][:ROWS],
        "curve": line.drawn(leading),
        "labels": [visit.names.of(one) or short(one) for one in leading],
        "states": STATES,
        "own": own == job["poster"],
        "unclaimed": job["state"] == "OPEN" and not job["claims"],
    }
    return Drawn(
        "job/one.html",
        f"Job {visit.names.of(job['id']) or job['id'][:12]}",
        values,
        ("state", "coming", "leaderboard", "curve", "audits", "happened"),
    )


@page("/dashboard/jobs/{job}/model")
async def model(visit: Visit) -> Answer:
    response: Answer = await visit.ask("GET /v1/jobs/{job}/model", visit.match)
    return response


WEEK_MS = 7 * 86_400_000
MOST_MOVES = 500
"""Movements of the last week that the overview looks at."""
_EARNED: WeakKeyDictionary[Any, tuple[Any, Decimal]] = WeakKeyDictionary()
"""By node: what was earned in the week before the newest movement that is known."""


async def overview(visit: Visit, own: str, newest: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """Jobs that are open, and what was earned this week."""
    jobs = await visit.ask("GET /v1/jobs", query={"live": True, "limit": SHOWN})
    earned = await _earned(visit, own, newest) if newest else Decimal()
    values = {"id": "open-jobs", "busy": bool(jobs or newest), "jobs": jobs, "earned": f"{earned.normalize():f}", "states": STATES}
    return "job/overview.html", values


async def _earned(visit: Visit, own: str, newest: Sequence[Any]) -> Decimal:
    known = _EARNED.get(visit.context.node)
    if known is None or known[0] != newest[0]["cursor"]:
        moves = await visit.ask("GET /v1/accounts/{account}/history", {"account": own}, query={"limit": MOST_MOVES})
        known = _EARNED[visit.context.node] = newest[0]["cursor"], earned_in(moves, visit.context.node.ledger.clock - WEEK_MS)
    return known[1]


# --- posting ------------------------------------------------------------------------------------------------------------------


@page("/dashboard/jobs/new")
async def new_job(visit: Visit) -> Drawn:
    """With what an upload brought, where the browser has no scripts."""
    return _form({name: visit.request.query.get(name, "")[:256] for name in _UPLOADED}, None, None, await _sets(visit))


@upload("/dashboard/jobs/new/image")
async def upload_image(visit: Visit) -> Uploaded:
    note = "The archive is in this node. Say what you offer, and ask for the price."
    return Uploaded("/dashboard/jobs/new", note, await store_image(visit))


@change("/dashboard/jobs/new")
async def post_job(visit: Visit) -> Answer:
    """Asked for the price first; posted only with what was quoted, as it stands in the form that shows the price."""
    fields, sets = {name: text.strip() for name, text in visit.form.items()}, await _sets(visit)
    try:
        body = posting(fields, sets)
        if fields.get("step") != "post":
            return _form(fields, await visit.ask("POST /v1/jobs/quote", body=body), None, sets)
        done = await visit.ask("POST /v1/jobs", body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return _form(fields, None, e, sets)
    there = f"/{done['job']}" if done["status"] == "final" else ""
    return Done(f"/dashboard/jobs{there}", outcome(done, "The job is posted"))


async def _sets(visit: Visit) -> list[Any]:
    """The sets that were published on this node."""
    return list(await visit.ask("GET /v1/sets"))[:MOST_SETS]


def _form(fields: Mapping[str, str], quote: Any, refused: RequestError | None, sets: Sequence[Any]) -> Drawn:
    values = {"f": fields, "quote": quote, "refused": refused.body if refused else None, "sets": sets}
    return Drawn("job/new.html", "Post a job", values, status=refused.status if refused else 200)


def posting(fields: Mapping[str, str], sets: Sequence[Any] = ()) -> dict[str, Any]:
    """The body of `POST /v1/jobs`, from the fields of the form; `sets`: those that may be chosen. Raises `RequestError` naming the
    field."""
    body: dict[str, Any] = {"image": _image(fields), "bounty": fields.get("bounty", "")}
    body["expires_in_s"] = _number(fields, "expires_in_min", "The time until expiry", 60) or 3_600.0
    for name in ("fee", "tol", "floor", "on_cheat", "arch", "float_kind"):
        if fields.get(name):
            body[name] = fields[name]
    if fields.get("finalists"):
        body["finalists"] = int(_number(fields, "finalists", "The number of finalists") or 0)
    if fields.get("params"):
        body["params"] = _params(fields["params"])
    body |= _data(fields, sets)
    limits = {name: value for name in _LIMITS if (value := _number(fields, name, f"The limit {name}")) is not None}
    cap = _number(fields, "model_mb", "The largest model", 2**20)
    limits |= {"model_cap": cap} if cap is not None else {}
    body["limits"] = {name: value if name == "cpus" else int(value) for name, value in limits.items()}
    return body


def _data(fields: Mapping[str, str], sets: Sequence[Any]) -> dict[str, Any]:
    """The sets that have a name in the job, each with what reads it."""
    data = []
    for one in sets:
        if name := fields.get(f"set-{one['cid']}", ""):
            if not re.fullmatch("[a-z0-9_-]{1,32}", name):
                raise usage(f"The name {name[:40]!r} of a data set is not 1 to 32 of a-z, 0-9, - and _. Correct it")
            known = {key: one[key] for key in ("cid", "size", "files")}
            data.append({"name": name, "use": fields.get(f"use-{one['cid']}") or "both"} | known)
    return {"data": data} if data else {}


def _image(fields: Mapping[str, str]) -> dict[str, Any]:
    size = {"size": int(found)} if (found := _number(fields, "size", "The size of the image")) else {}
    if fields.get("reference"):
        return {"reference": fields["reference"]} | ({"image_id": fields["image_id"]} if fields.get("image_id") else {}) | size
    if fields.get("cid"):
        return {"cid": fields["cid"], "image_id": fields.get("image_id", "")} | size
    raise usage("Which image? Give a reference pinned by its digest, or the content id of an archive that this node holds")


def _number(fields: Mapping[str, str], name: str, what: str, unit: int = 1) -> float | None:
    text = fields.get(name, "")
    if not text:
        return None
    found = number(text) if len(text) <= 20 else None
    if found is None or not 0 <= found < 10**12:
        raise usage(f"{what} is a number, not {text[:20]!r}. Correct it")
    return found * unit


def _params(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise usage('The parameters are a JSON object, such as {"epochs": 5}. Correct them')
    return found


@change("/dashboard/jobs/{job}/cancel")
async def cancel(visit: Visit) -> Done:
    done = await visit.ask("POST /v1/jobs/{job}/cancel", visit.match, query={"wait": WAIT_S})
    return Done(f"/dashboard/jobs/{visit.match['job']}", outcome(done, "The job is taken back"))


PART = PagesPart(
    pages=(jobs, one_job, model, new_job, upload_image, post_job, cancel),
    nav=(Nav(10, "Jobs", "/dashboard/jobs"), Nav(11, "Post a job", "/dashboard/jobs/new")),
    overview=overview,
    first=(
        1,
        "/dashboard/jobs/new",
        "Post a job",
        "Others train your model for a bounty, and the lowest loss is measured again before it is paid.",
    ),
    about={"job": "/dashboard/jobs/"},
)
