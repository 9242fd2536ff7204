"""Weather: forecasts with a deposit."""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from learningchain.chain.crypto import address
from learningchain.chain.types import parse_credits
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_field
from learningchain.client.api.submit import answer, submit
from learningchain.client.schema.bodies import (
    Strict,
    TxAnswer,
    WaitQuery,
)
from learningchain.client.schema.render import Json
from learningchain.client.schema.texts import Address, GivenAmount

from .. import Forecast


class ForecastRequest(Strict, frozen=True, kw_only=True):
    place: Annotated[str, Meta(max_length=32)]
    rain: bool
    stake: GivenAmount


class ForecastView(TypedDict):
    place: str
    by: Address


async def post_forecast(call: Call) -> Reply:
    body: ForecastRequest = call.body
    op = Forecast(body.place, body.rain, parse_field("stake", parse_credits, body.stake))
    return await answer(call, "The forecast", await submit(call, "The forecast", op))


async def list_forecasts(call: Call) -> list[Json]:
    return [{"place": one.place, "by": address(one.by)} for _, one in call.node.ledger.state.scan(b"wf/", 100)]


_ROUTES = (
    Route("GET", "/v1/forecasts", "Places where rain is expected", list_forecasts, list[ForecastView]),
    Route("POST", "/v1/forecasts", "Forecast the weather", post_forecast, TxAnswer, ForecastRequest, WaitQuery, failures=(409,)),
)
PART = ApiPart(__doc__, _ROUTES)
