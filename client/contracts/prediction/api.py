"""Models: registering, listing, everything about one, and prices. Serving, requests and policies are in files of their own."""

from __future__ import annotations

import asyncio

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import RetireModel, SetPrice, model_id_of
from learningchain.chain.contracts.prediction.records import LiveKind, ModelRecord, ModelStanding, ModelState
from learningchain.chain.crypto import parse_address
from learningchain.chain.types import parse_credits
from learningchain.client.api.errors import not_found, usage
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_field
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.prediction.figures import PredictionFigures
from learningchain.client.contracts.prediction.http import inference_api, policy_api, request_api, serving_api
from learningchain.client.contracts.prediction.http.live import LivePredictions
from learningchain.client.contracts.prediction.http.postings import build_model, find_model
from learningchain.client.contracts.prediction.http.recent_answers import RecentAnswers, describe_answers
from learningchain.client.contracts.prediction.http.schema import (
    ModelPosted,
    ModelRequest,
    ModelsQuery,
    PriceRequest,
    RegisteredModelSummary,
    RegisteredModelView,
)
from learningchain.client.contracts.prediction.http.views import describe_model, summarise_model
from learningchain.client.contracts.prediction.schemas import schema_of
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json
from learningchain.client.schema.texts import ADDRESS, HASH, MODEL_NAME, form

AT_ONCE = 64
"""Models that are looked at before others have the loop."""


# --- reading ------------------------------------------------------------------------------------------------------------------


async def get_models(call: Call) -> list[Json]:
    """The newest first. What is asked for is looked for among all: at most a piece at a time."""
    query: ModelsQuery = call.query
    ledger, follower = call.node.ledger, await call.context.followers.settled(LivePredictions)
    recent = await call.context.followers.settled(RecentAnswers)
    owner = None if query.owner is None else parse_field("owner", parse_address, query.owner)
    found: list[Json] = []
    before = query.before
    while len(found) < query.limit and (page := follower.newest(before, AT_ONCE, LiveKind.MODEL)):
        before = page[-1][0]
        for _, model in page:
            record, standing = ledger.state.get(records.model_key(model)), ledger.state.get(records.standing_key(model))
            if not isinstance(record, ModelRecord) or not isinstance(standing, ModelStanding):
                continue
            fits = (owner is None or record.owner == owner) and (query.name is None or record.terms.name == query.name)
            fits = fits and (query.id is None or model.hex().startswith(query.id))
            if fits and (not query.live or standing.state == ModelState.LIVE) and len(found) < query.limit:
                summary = summarise_model(ledger.state, model, ledger.clock)
                found += [summary | _answers(recent, model)] if summary is not None else []
        await asyncio.sleep(0)
    return found


async def get_registered_model(call: Call) -> Json:
    ledger = call.node.ledger
    model = find_model(ledger.state, call.path("model"))
    view = describe_model(ledger.state, model, ledger.clock)
    if view is None:
        raise not_found(f"There is no model {model.hex()}. GET /v1/models lists the models", name="NO_SUCH_MODEL")
    return view | _answers(await call.context.followers.settled(RecentAnswers), model)


def _answers(recent: RecentAnswers, model: bytes) -> Json:
    """What the API tells beside the state's own: how it answered lately."""
    return {"answers": describe_answers(recent.of(model))}


# --- an owner's -----------------------------------------------------------------------------------------------------------------


async def post_model(call: Call) -> Reply:
    """A schema that nobody could ask by is refused before the deposit is locked."""
    op = build_model(call.body)
    await schema_of(call, op, op.name)
    tx = await submit(call, "The model", op)
    return await answer(call, "The model", tx, model=model_id_of(tx, 0).hex())


async def post_price(call: Call) -> Reply:
    """What is left out stays as it was set last."""
    body: PriceRequest = call.body
    state = call.node.ledger.state
    model = find_model(state, call.path("model"))
    standing = state.get(records.standing_key(model))
    if not isinstance(standing, ModelStanding):
        raise not_found(f"There is no model {model.hex()}. GET /v1/models lists the models", name="NO_SUCH_MODEL")
    if body.price is None and body.floor is None:
        raise usage("Nothing would change: give price, floor or both")
    coming = bool(standing.coming_at)
    now = (standing.coming_royalty, standing.coming_floor) if coming else (standing.royalty, standing.floor)
    given = {name: value for name in ("price", "floor", "expected_price", "expected_floor") if (value := getattr(body, name))}
    amounts = {name: parse_field(name, parse_credits, value) for name, value in given.items()}
    op = SetPrice(
        model,
        amounts.get("expected_price", now[0]),
        amounts.get("expected_floor", now[1]),
        amounts.get("price", now[0]),
        amounts.get("floor", now[1]),
    )
    what = f"The price of model {model.hex()[:12]}"
    return await answer(call, what, await submit(call, what, op))


async def post_retirement(call: Call) -> Reply:
    model = find_model(call.node.ledger.state, call.path("model"))
    what = f"Retiring model {model.hex()[:12]}"
    return await answer(call, what, await submit(call, what, RetireModel(model)))


_PATH = {
    "model": {
        "type": "string",
        "description": "a model's id, or its owner and name as lc1…~name",
        **form(f"{HASH}|{ADDRESS}~{MODEL_NAME}", "lc-model"),
    },
    "request": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "policy": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    **inference_api.PATH,
}
_ROUTES = (
    Route("GET", "/v1/models", "Models, the newest first", get_models, list[RegisteredModelSummary], query=ModelsQuery),
    sends("/v1/models", "Register a model of this node", post_model, ModelRequest, ModelPosted, scope=TokenScope.POST),
    Route(
        "GET",
        "/v1/models/{model}",
        "Everything about a model",
        get_registered_model,
        RegisteredModelView,
        failures=(404,),
    ),
    sends(
        "/v1/models/{model}/price",
        "Set the prices of a model of this node",
        post_price,
        PriceRequest,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    sends(
        "/v1/models/{model}/retire",
        "Take a model of this node out of service",
        post_retirement,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    *serving_api.ROUTES,
    *request_api.ROUTES,
    *policy_api.ROUTES,
    *inference_api.ROUTES,
)
PART = ApiPart(__doc__, _ROUTES, (LivePredictions, RecentAnswers), _PATH, figures=PredictionFigures)
