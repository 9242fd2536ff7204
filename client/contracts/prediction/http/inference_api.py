"""The Open Inference Protocol, version 2, on the node's API: existing clients ask the models of the graph.

    GET  /v2   /v2/health/live   /v2/health/ready
    GET  /v2/models/NAME[/versions/ID]   .../ready
    POST /v2/models/NAME[/versions/ID]/infer

NAME is lc1...:name, lc1.../name (a slash may be percent-encoded) or the model's id; the only version is the id. One inference is
one paid request of this node, on the terms of its settings (`work.predict_*`) where the request's parameters say no others, and
within what a day may take (`day_budget`). It waits until the answer is agreed. A caller that asks again under the same
Idempotency-Key waits for the request that exists. Refusals have the protocol's shape: {"error": "why"}.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.records import ModelRecord, ModelStanding, ModelState
from learningchain.chain.contracts.prediction.tally import ModelKind
from learningchain.chain.host import Reader
from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.api.errors import RequestError, not_found, rejected, unavailable, usage
from learningchain.client.api.ops import get_ready
from learningchain.client.api.route import SAFE_HEADERS, Call, Route, read_bounded
from learningchain.client.contracts.prediction.http import views
from learningchain.client.contracts.prediction.http.day_budget import FILE, DayBudget
from learningchain.client.contracts.prediction.http.inference import (
    MAX_BODY,
    BadInference,
    Inference,
    InferenceAnswer,
    InferenceBody,
    InferenceTerms,
    InferredRow,
    inference_response,
    model_metadata,
    output_names,
    parse_inference,
    server_metadata,
    unpacked,
)
from learningchain.client.contracts.prediction.http.model_schema import ModelSchema, encode_rows
from learningchain.client.contracts.prediction.http.postings import find_model
from learningchain.client.contracts.prediction.http.request_api import ask_ledger
from learningchain.client.contracts.prediction.http.schema import (
    InferenceReady,
    ModelMetadata,
    PredictionRequest,
    ServerLive,
    ServerMetadata,
)
from learningchain.client.contracts.prediction.schemas import schema_of
from learningchain.client.keys.tokens import TokenScope, now_ms
from learningchain.client.schema.bodies import WaitQuery
from learningchain.client.schema.render import Json
from learningchain.client.schema.texts import ADDRESS, HASH, MODEL_NAME, form

T = TypeVar("T")

HEADER_LENGTH = "Inference-Header-Content-Length"
BLOCK_S = 60.0
ANSWER_S = 4_000.0
"""Above what the rules let any request wait and be answered in."""
_NAMES = "{inference_model:lc1[0-9a-z]+/[a-z0-9._-]+|[^/]+}"
"""How aiohttp matches a model's name: a slash in it may stand as it is."""


class InferenceFailure(msgspec.Struct, frozen=True):
    """Every refusal under /v2: its name, a colon, and what, why and what to do."""

    error: str


def failure(e: RequestError) -> web.Response:
    """A refusal as the protocol has it: its name, and why."""
    headers = {**SAFE_HEADERS, **e.headers, **({"WWW-Authenticate": 'Bearer realm="learningchain"'} if e.status == 401 else {})}
    body = msgspec.json.encode(InferenceFailure(f"{e.body.name}: {e.body.message}"))
    return web.Response(body=body, status=e.status, content_type="application/json", headers=headers)


# --- what there is --------------------------------------------------------------------------------------------------------------


async def get_inference_server(call: Call) -> Json:
    return server_metadata(call.context.version)


async def get_inference_live(call: Call) -> Json:
    return {"live": True}


async def get_inference_ready(call: Call) -> Json:
    await get_ready(call)
    return {"ready": True}


@dataclass(frozen=True)
class _Model:
    id: bytes
    name: str
    record: ModelRecord

    @property
    def outputs(self) -> tuple[str, ...]:
        return output_names(self.record.terms.kind == ModelKind.CLASS)


def _model(call: Call) -> _Model:
    """The model that the path names. Raises RequestError."""
    state, text = call.node.ledger.state, call.path("inference_model")
    found = find_model(state, text.replace(":", "/", 1))
    record = state.get(records.model_key(found))
    version = call.request.match_info.get("model_version")
    if not isinstance(record, ModelRecord) or version not in (None, found.hex()):
        raise not_found(
            f"Model {text[:160]} has the one version {found.hex()}. Leave the version out, or name that", name="NO_SUCH_MODEL"
        )
    return _Model(found, text, record)


async def get_inference_model(call: Call) -> Json:
    model = _model(call)
    return model_metadata(model.name, model.id.hex(), await _schema(call, model), model.outputs)


async def get_inference_model_ready(call: Call) -> Json:
    """Whether it may be asked: LIVE, and served by somebody."""
    model, state = _model(call), call.node.ledger.state
    standing, listed = state.get(records.standing_key(model.id)), state.get(records.servers_key(model.id))
    if not isinstance(standing, ModelStanding) or standing.state != ModelState.LIVE:
        raise usage(f"Model {model.name[:160]} is retired. Ask another", name="NOT_LIVE")
    if not isinstance(listed, records.ModelServers) or not listed.servers:
        raise usage(f"Nobody serves model {model.name[:160]}. Wait, or serve it (learningchain model serve)", name="NO_SERVERS")
    return {"ready": True}


async def _schema(call: Call, model: _Model) -> ModelSchema:
    """Raises RequestError: without a schema there are no tensors."""
    schema = await schema_of(call, model.record.terms, model.name)
    if schema is None:
        text = f"Model {model.name[:160]} has no schema, so no tensors can be made into its rows. Ask it over POST /v1/predictions"
        raise usage(text, name="NO_SCHEMA")
    return schema


# --- asking ---------------------------------------------------------------------------------------------------------------------


async def post_inference(call: Call) -> web.Response:
    model = _model(call)
    schema = await _schema(call, model)
    raw = await _body(call)
    length = call.request.headers.get(HEADER_LENGTH)
    limit = model.record.terms.max_rows
    try:
        asked = await asyncio.to_thread(parse_inference, raw, length, schema, max_rows=limit, known=model.outputs)
    except BadInference as e:
        raise usage(f"{e}") from None
    text = await asyncio.to_thread(encode_rows, schema, asked.rows)
    if len(text) > model.record.terms.input_cap:
        raise usage(f"The rows have {len(text)} bytes, and the model takes {model.record.terms.input_cap}: ask for fewer at once")
    view = await _asked(call, model, text, asked)
    parameters = {name: view[name] for name in ("id", "state", "cost", "agree")}
    body, size = inference_response(
        asked, _rows(view, len(asked.rows)), name=model.name, version=model.id.hex(), parameters=parameters
    )
    headers = {**SAFE_HEADERS, **({} if size is None else {HEADER_LENGTH: str(size)})}
    kind = "application/json" if size is None else "application/octet-stream"
    return web.Response(body=body, content_type=kind, headers=headers)


async def _body(call: Call) -> bytes:
    encoding = call.request.headers.get("Content-Encoding", "")
    raw = await read_bounded(call.request, MAX_BODY)
    try:
        return await asyncio.to_thread(unpacked, raw, encoding)
    except BadInference as e:
        raise usage(f"{e}", status=415 if "is not read here" in str(e) else 400) from None


async def _asked(call: Call, model: _Model, text: bytes, asked: Inference) -> Json:
    """The request when it is agreed. Raises RequestError where it is refused or failed."""
    settings, rows = _settings(call), len(asked.rows)
    body = prediction_request(model.id.hex(), text.decode(), rows, asked.terms, settings)
    most = _amount(settings, "daily")
    taken: list[bytes] = []

    async def take(request: bytes, locked: int) -> None:
        if most:
            await _take(call, request, locked, most)
            taken.append(request)

    try:
        reply = await ask_ledger(replace(call, body=body, query=WaitQuery(wait=0)), take)
    except RequestError:
        for request in taken:  # it was not sent
            await _settle(call, request, 0)
        raise
    request = bytes.fromhex(reply.body["request"])
    try:
        view = await _ended(call, bytes.fromhex(reply.body["tx"]), request)
    except RequestError as e:
        if e.body.kind == "rejected":  # nothing was locked: an owner who moves its price spends no day of this node
            await _settle(call, request, 0)
        raise
    await _settle(call, request, parse_credits(view["cost"] or "0"))
    if view["outcome"] not in ("AGREED", "WEAK"):
        raise RequestError(
            424,
            "rejected",
            str(view["outcome"]),
            f"request {view['id']} has no agreed answer; it cost {view['cost']} credits, the rest came back. The answers were "
            f"{_votes(view['votes'])}",
        )
    return view


def _settings(call: Call) -> dict[str, Any]:
    """Those of inferences: the section [predict]."""
    found = call.node.config().items()
    return {name.removeprefix("predict."): one["value"] for name, one in found if name.startswith("predict.")}


def prediction_request(model: str, text: str, rows: int, terms: InferenceTerms, settings: Mapping[str, Any]) -> PredictionRequest:
    """What is asked for: as the request says, else as the settings do. The setting of the tip is for each row and answer."""
    n = settings.get("n", 5) if terms.n is None else terms.n
    each, most = _amount(settings, "tip"), _amount(settings, "max_charge")
    return PredictionRequest(
        model=model,
        input=text,
        unchecked=True,
        n=n,
        agree=terms.agree if terms.agree is not None else settings.get("agree") or None,
        tip=terms.tip if terms.tip is not None else (format_credits(each * n * rows) if each else None),
        max_charge=terms.max_charge if terms.max_charge is not None else format_credits(most) if most else None,
    )


def _amount(settings: Mapping[str, Any], name: str) -> int:
    """Micro-credits; 0 where nothing is set."""
    text = str(settings.get(name) or "")
    return parse_credits(text) if text else 0


async def _take(call: Call, request: bytes, locked: int, most: int) -> None:
    """What the request locks counts to the day, on the disk, before it leaves. Raises RequestError where that is too much."""
    spent = await _counted(call, lambda budget: budget.take(request, locked, now_ms(), most))
    if spent is not None and await _look_up(call):
        spent = await _counted(call, lambda budget: budget.take(request, locked, now_ms(), most))
    if spent is None:
        return
    raise usage(
        f"This would take {format_credits(locked)} credits, and {format_credits(spent)} of the {format_credits(most)} that a day "
        "may take are spent (predict.daily). Ask later, or for fewer rows",
        name="DAILY_BUDGET",
        status=429,
    )


async def _look_up(call: Call) -> bool:
    """Whether any request has ended that nobody waited for: its caller went away, or the node was started again."""
    found = False
    for request, reader in (await _readers_of(call, await _counted(call, lambda budget: budget.unsettled()))).items():
        if views.is_answered(reader, request) and (view := views.summarise_request(reader, request)) is not None:
            await _settle(call, request, parse_credits(view["cost"] or "0"))
            found = True
    return found


async def _readers_of(call: Call, requests: Sequence[bytes]) -> dict[bytes, Reader]:
    """What knows each: the state, or what left that (LC-PRE-46: without seats a request does in the block after its end)."""
    state = call.node.ledger.state
    here = {one for one in requests if state.get(records.request_key(one)) is not None}
    gone = [one for one in requests if one not in here]
    past = await call.node.archived(gone) if gone else {}
    return dict.fromkeys(here, state) | {one: found.reader for one, found in past.items()}


async def _settle(call: Call, request: bytes, cost: int) -> None:
    await _counted(call, lambda budget: budget.settle(request, cost))


async def _counted(call: Call, work: Callable[[DayBudget], T]) -> T:
    """Raises RequestError where the disk fails: what cannot be counted is not spent."""
    try:
        return await asyncio.to_thread(lambda: work(call.context.kept.opened(FILE, DayBudget)))
    except (sqlite3.Error, OSError) as e:
        text = f"What a day takes cannot be counted in {FILE}: {e}. Check the disk of this node, and look at what was asked"
        raise unavailable(text, name="DISK") from None


async def _ended(call: Call, tx: bytes, request: bytes) -> Json:
    """The request when it is answered or has failed. Raises RequestError where its transaction is refused."""
    ledger = call.node.ledger
    with call.context.waits.take(call.token):
        try:
            result = await ledger.result(tx, BLOCK_S)
            if result.code:
                raise rejected(f"The request was refused in block {result.height}", result.code)
            async with asyncio.timeout(ANSWER_S):
                await _answered(call, request)
        except (TimeoutError, LookupError):
            text = f"Request {request.hex()} is not answered yet, and goes on. GET /v1/predictions/{request.hex()} tells of it"
            raise unavailable(text, name="NOT_ANSWERED") from None
    reader = (await _readers_of(call, [request])).get(request)
    view = None if reader is None else views.describe_request(reader, request)
    if view is None:
        raise unavailable(f"Request {request.hex()} has left the state. GET /v1/predictions/{request.hex()} tells of it")
    return view


async def _answered(call: Call, request: bytes) -> None:
    """Of a request that a block has taken: it may have ended and left the state before anybody looked."""
    ledger = call.node.ledger
    committed = ledger.committed()

    def over() -> bool:
        return views.is_answered(ledger.state, request) or ledger.state.get(records.request_key(request)) is None

    try:
        if over():
            return
        async for _ in committed:
            if over():
                return
    finally:
        await committed.aclose()  # type: ignore[attr-defined]


def _rows(view: Json, count: int) -> list[InferredRow]:
    by_row = {value["row"]: value for value in view["values"]}
    empty: Json = {"class": None, "score": None, "support": 0}
    found = [by_row.get(row, empty) for row in range(count)]
    return [InferredRow(class_=one["class"], score=one["score"], agree=one["support"]) for one in found]


def _votes(votes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in votes.items()) or "none"


def _route(method: str, path: str, summary: str, handler: Any, response: Any, **more: Any) -> Route:
    return Route(
        method,
        path,
        summary,
        handler,
        response,
        match=path.replace("{inference_model}", _NAMES),
        refusal=failure,
        refused=InferenceFailure,
        **more,
    )


async def get_inference_version(call: Call) -> Json:
    return await get_inference_model(call)


async def get_inference_version_ready(call: Call) -> Json:
    return await get_inference_model_ready(call)


async def post_version_inference(call: Call) -> web.Response:
    return await post_inference(call)


_MODEL = "/v2/models/{inference_model}"
_VERSION = f"{_MODEL}/versions/{{model_version}}"
_PAID: dict[str, Any] = {
    "upload": True,
    "packed": True,
    "either": InferenceBody,
    "streamed": InferenceAnswer,
    "headers": ((HEADER_LENGTH, "the length of the JSON in bytes, where binary tensors follow it"),),
    "failures": (404, 408, 409, 413, 415, 424, 429),
    "scope": TokenScope.PREDICT,
}
ROUTES = (
    _route("GET", "/v2", "The server, as the Open Inference Protocol has it", get_inference_server, ServerMetadata, public=True),
    _route("GET", "/v2/health/live", "Whether the node's loop is alive", get_inference_live, ServerLive, public=True),
    _route(
        "GET", "/v2/health/ready", "Whether the node is in step with the graph", get_inference_ready, InferenceReady, public=True
    ),
    _route("GET", f"{_MODEL}/ready", "Whether a model may be asked", get_inference_model_ready, InferenceReady, failures=(404,)),
    _route(
        "GET", f"{_VERSION}/ready", "Whether a model may be asked", get_inference_version_ready, InferenceReady, failures=(404,)
    ),
    _route("GET", _MODEL, "A model's tensors", get_inference_model, ModelMetadata, failures=(404,)),
    _route("GET", _VERSION, "A model's tensors", get_inference_version, ModelMetadata, failures=(404,)),
    _route("POST", f"{_MODEL}/infer", "Ask a model and pay who agrees: one inference", post_inference, None, **_PAID),
    _route("POST", f"{_VERSION}/infer", "Ask a model and pay who agrees: one inference", post_version_inference, None, **_PAID),
)
PATH = {
    "inference_model": {
        "type": "string",
        "description": "a model: lc1…:name, or its id",
        **form(f"{HASH}|{ADDRESS}:{MODEL_NAME}", "lc-model"),
    },
    "model_version": {"type": "string", "description": "the model's id, its only version", "pattern": "^[0-9a-f]{64}$"},
}
