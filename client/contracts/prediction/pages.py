"""Pages of models and predictions: the lists, one of each, and a form to ask that is made from the model's schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from learningchain.client.api.errors import RequestError, not_found, usage
from learningchain.client.contracts.prediction.http.model_schema import (
    MAX_SCHEMA_BYTES,
    BadSchema,
    ModelInput,
    ModelSchema,
    parse_schema,
)
from learningchain.client.contracts.prediction.web import serving_pages
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
    receipt_answer,
)

MOST_INPUTS = 256
"""Inputs for which a form has a field each; a model with more is asked by a row of JSON."""
STATES = {"LIVE": "good", "AGREED": "good", "FINAL": "good", "WEAK": "warn", "FAILED": "bad", "RETIRED": ""}
_FIELD = "in."
_OPEN = ("WAITING", "AGREED", "WEAK")
"""States in which its requester can still do something about a request."""


# --- models -------------------------------------------------------------------------------------------------------------------


@page("/dashboard/models")
async def models(visit: Visit) -> Drawn:
    before = visit.number("before")
    rows = await visit.ask("GET /v1/models", query={"limit": ROWS + 1, "before": before})
    older = rows[ROWS - 1]["number"] if len(rows) > ROWS else None
    values = {"models": rows[:ROWS], "older": older, "states": STATES}
    return Drawn("prediction/models.html", "Models", values, ("models",) if before is None else ())


@page("/dashboard/models/{model}")
async def one_model(visit: Visit) -> Drawn:
    return await _model(visit, {}, None, None)


async def _model(visit: Visit, fields: Mapping[str, str], quote: Any, refused: RequestError | None) -> Drawn:
    model = await visit.ask("GET /v1/models/{model}", visit.match)
    schema, trouble = await _schema(visit, model)
    values = {
        "model": model,
        "states": STATES,
        "schema": schema,
        "trouble": trouble,
        "by_field": schema is not None and has_fields(schema),
        "field": _FIELD,
        "f": fields,
        "quote": quote,
        "refused": refused.body if refused else None,
    }
    status = refused.status if refused else 200
    return Drawn("prediction/model.html", f"Model {model['name']}", values, () if fields else ("standing",), status)


async def _schema(visit: Visit, model: Mapping[str, Any]) -> tuple[ModelSchema | None, str]:
    """A stranger's: parsed within its bounds. Without one, or where it cannot be had, why."""
    if model["schema"] is None:
        return None, "This model has no schema: its rows are what its program takes, a line each."
    raw = await visit.file(model["schema"], MAX_SCHEMA_BYTES)
    if raw is None:
        return None, "Its schema cannot be had from the graph now. Rows can still be written as its program takes them."
    try:
        return parse_schema(raw), ""
    except BadSchema as e:
        return None, f"Its schema says nothing clear: {e}."


def has_fields(schema: ModelSchema) -> bool:
    """Whether a person can fill in its row: single values, not too many of them."""
    return len(schema.inputs) <= MOST_INPUTS and all(not one.shape for one in schema.inputs)


@change("/dashboard/models/{model}/ask")
async def ask(visit: Visit) -> Answer:
    """The price first, then the question as it was quoted."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        model = await visit.ask("GET /v1/models/{model}", visit.match)
        schema, _ = await _schema(visit, model)
        body = question(fields, schema) | {"model": visit.match["model"]}
        if fields.get("step") != "ask":
            return await _model(visit, fields, await visit.ask("POST /v1/predictions/quote", body=body), None)
        done = await visit.ask("POST /v1/predictions", body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return await _model(visit, fields, None, e)
    there = f"/{done['request']}" if done["status"] == "final" else ""
    return Done(f"/dashboard/predictions{there}", outcome(done, "The model is asked"))


def question(fields: Mapping[str, str], schema: ModelSchema | None) -> dict[str, Any]:
    """The body of `POST /v1/predictions` but for its model. Raises `RequestError` naming the field."""
    body: dict[str, Any] = {"private": "private" in fields}
    if schema is not None and has_fields(schema):
        body["rows"] = [[value_of(one, fields.get(_FIELD + one.name, "")) for one in schema.inputs]]
    else:
        rows = fields.get("rows", "")
        if not rows:
            raise usage("What is the model asked? Write at least one row")
        body["input"] = rows.replace("\r\n", "\n") + "\n"
        body["unchecked"] = schema is None
    for name, what in (("n", "The number of answers"), ("agree", "How many should agree")):
        if fields.get(name):
            if not fields[name].isdecimal() or len(fields[name]) > 3:
                raise usage(f"{what} is a whole number, not {fields[name][:20]!r}. Correct it")
            body[name] = int(fields[name])
    if fields.get("tip"):
        body["tip"] = fields["tip"]
    return body


def value_of(column: ModelInput, text: str) -> Any:
    """What a person typed, as the JSON of its datatype; what it may be, the API's operation checks. Raises `RequestError`."""
    if column.datatype == "BYTES":
        return text
    if column.datatype == "BOOL":
        return text in ("true", "on", "1", "yes")
    try:
        found = json.loads(text) if len(text) <= 64 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise usage(f"{column.name} is {column.allowed}, not {text[:40]!r}. Correct it")
    return found


# --- predictions --------------------------------------------------------------------------------------------------------------


@page("/dashboard/predictions")
async def predictions(visit: Visit) -> Drawn:
    """Those of this node: what others asked stands on the model's page of the ledger, not here."""
    own = (await visit.ask("GET /v1/status"))["id"]
    before = visit.number("before")
    rows = await visit.ask("GET /v1/predictions", query={"requester": own, "limit": ROWS + 1, "before": before})
    older = rows[ROWS - 1]["number"] if len(rows) > ROWS else None
    called = {
        model: await or_none(visit.ask("GET /v1/models/{model}", {"model": model}), "NO_SUCH_MODEL")
        for model in {row["model"] for row in rows[:ROWS]}
    }
    values = {"requests": rows[:ROWS], "older": older, "states": STATES, "called": called}
    return Drawn("prediction/requests.html", "Predictions", values)


@page("/dashboard/predictions/{request}")
async def one_prediction(visit: Visit) -> Drawn:
    return await _prediction(visit, {}, None, None)


async def _prediction(visit: Visit, fields: Mapping[str, str], tip: Any, refused: RequestError | None) -> Drawn:
    """`tip`: what the tip that was typed would lock."""
    asked = await visit.ask("GET /v1/predictions/{request}", visit.match)
    model = await visit.ask("GET /v1/models/{model}", {"model": asked["model"]})
    schema, _ = await _schema(visit, model)
    classes = schema.classes if schema is not None and schema.classes else ()
    plain = asked["plain"] or {}
    own = (await visit.ask("GET /v1/status"))["id"]
    opens = asked["requester"] == own and asked["left"] is None and asked["state"] in _OPEN
    values = {
        "asked": asked,
        "steps": await visit.ask("GET /v1/predictions/{request}/steps", visit.match) if opens else None,
        "f": fields,
        "tip": tip,
        "refused": refused.body if refused else None,
        "model": model,
        "values": plain.get("values", asked["values"])[:ROWS],
        "decisions": {one["row"]: one for one in asked["decisions"]},
        "classes": classes,
        "unit": (schema.unit if schema is not None else None) or "",
        "states": STATES,
    }
    live = () if fields else ("answer", "steps", "seats")
    return Drawn("prediction/request.html", f"Prediction {asked['id'][:12]}", values, live, refused.status if refused else 200)


@change("/dashboard/predictions/{request}/tip")
async def add_tip(visit: Visit) -> Answer:
    """What it would lock first, then the tip as it was shown."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        if fields.get("step") != "tip":
            query = {"tip": fields.get("amount", "")}
            steps = await visit.ask("GET /v1/predictions/{request}/steps", visit.match, query=query)
            return await _prediction(visit, fields, steps["tip"], None)
        body = {"amount": fields.get("amount", "")}
        done = await visit.ask("POST /v1/predictions/{request}/tip", visit.match, body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return await _prediction(visit, fields, None, e)
    return Done(f"/dashboard/predictions/{visit.match['request']}", outcome(done, "The tip is raised"))


@change("/dashboard/predictions/{request}/cancel")
async def cancel(visit: Visit) -> Answer:
    done = await visit.ask("POST /v1/predictions/{request}/cancel", visit.match, query={"wait": WAIT_S})
    return Done(f"/dashboard/predictions/{visit.match['request']}", outcome(done, "The request is taken back"))


@change("/dashboard/predictions/{request}/appeal")
async def appeal(visit: Visit) -> Answer:
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        body = {"rows": named_rows(fields.get("rows", ""))}
        done = await visit.ask("POST /v1/predictions/{request}/appeal", visit.match, body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return await _prediction(visit, fields, None, e)
    return Done(f"/dashboard/predictions/{visit.match['request']}", outcome(done, "The appeal stands: judges are drawn"))


def named_rows(text: str) -> list[int]:
    """Rows as the page's table counts them, from 1 on, with commas between: as the API does, from 0 on. Raises `RequestError`."""
    words = [word.strip() for word in text.split(",")] if text else []
    if not all(word.isascii() and word.isdecimal() and len(word) <= 5 and int(word) for word in words):
        raise usage(f"Rows are numbers of the table with commas between, not {text[:40]!r}. Correct it")
    return [int(word) - 1 for word in words]


@page("/dashboard/predictions/{request}/receipt")
async def receipt(visit: Visit) -> web.Response:
    """The file that `prediction receipt` makes: records of the request, which convince a stranger (LC-LIGHT-1). The key of a
    private one is the command's."""
    from learningchain.client.contracts.prediction.proven import keys_of  # the protocol's words load after the node's start

    asked = await visit.ask("GET /v1/predictions/{request}", visit.match)
    if asked["left"] is not None:
        text = f"Request {asked['id']} left the state in block {asked['left']}: nothing of now proves it any more"
        raise not_found(f"{text}. Its transactions have receipts: search for it", name="NO_RECEIPT")
    policy = None if asked["policy"] is None else bytes.fromhex(asked["policy"])
    keys = keys_of(bytes.fromhex(asked["id"]), bytes.fromhex(asked["model"]), policy)
    return receipt_answer(asked["id"], await visit.ask("GET /v1/receipts", query={"keys": ",".join(key.hex() for key in keys)}))


PART = PagesPart(
    pages=(models, one_model, ask, predictions, one_prediction, receipt, add_tip, cancel, appeal, *serving_pages.PAGES),
    nav=(Nav(30, "Models", "/dashboard/models"), Nav(31, "Predictions", "/dashboard/predictions"), *serving_pages.NAV),
    first=(
        2,
        "/dashboard/models",
        "Ask a model",
        "Servers that do not see each other's answers agree on one, at a price that is shown first.",
    ),
    about={"model": "/dashboard/models/", "request": "/dashboard/predictions/"},
)
