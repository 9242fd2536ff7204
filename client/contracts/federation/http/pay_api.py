"""One round of a federation over HTTP: what it paid to whom, by which measurement, and why not."""

from __future__ import annotations

import asyncio

from learningchain.chain.contracts.federation.formulas import KEPT_ROUNDS
from learningchain.chain.contracts.federation.messages import MAX_ROUNDS
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import not_found, not_kept
from learningchain.client.api.route import Call, Route, parse_field
from learningchain.client.contracts.federation.http.ledger_views import describe_rounds, members_of
from learningchain.client.contracts.federation.http.lookup import known
from learningchain.client.contracts.federation.http.pay import RoundTold, describe_pay, shares_in
from learningchain.client.contracts.federation.http.schema import FederationPayQuery, RoundPayView
from learningchain.client.schema.render import Json

EVENTS, MOST_PAGES = 500, 32
"""Events of a page, and pages that one call reads: a round of long ago is found by going on from `before`."""


def parse_round(text: str) -> int:
    """Raises ValueError."""
    if not (text.isascii() and text.isdigit()) or not 1 <= len(text) <= 4 or not 1 <= int(text) <= MAX_ROUNDS:
        raise ValueError(f"it is a number from 1 to {MAX_ROUNDS}")
    return int(text)


async def get_round_pay(call: Call) -> Json:
    r = parse_field("round", parse_round, call.path("round"))
    federation, reader, _ = await known(call, whole=True)
    members = members_of(reader, federation)
    rounds = describe_rounds(reader, federation, range(r, max(0, r - KEPT_ROUNDS), -1), members)
    if not rounds or rounds[0]["round"] != r:
        text = f"Round {r} of federation {federation.hex()} was not summed"
        raise not_found(f"{text}. GET /v1/federations/{federation.hex()}/rounds lists rounds", name="NO_SUCH_ROUND")
    told = RoundTold(r, rounds[0]["attempt"])
    before = await _find(call, federation, told)
    shares: dict[bytes, int] = {}
    if told.height is not None and (noted := await call.node.noted(told.height)) is not None:
        shares = shares_in(noted[1], federation)
    if told.attempt is None and before is None and (first := first_block(call)) > 1:
        raise not_kept(f"What round {r} of federation {federation.hex()} came to stands in blocks that are not kept here", first)
    return describe_pay(rounds[0], rounds[1:], members, told, shares) | {"before": before}


async def _find(call: Call, federation: bytes, told: RoundTold) -> int | None:
    """Where to go on, where so many events did not have all of it: behind what is newer than the round."""
    before = call.query.before
    for _ in range(MOST_PAGES):
        page = await call.node.events(federation, before=before, limit=EVENTS)
        for event in page:
            told.take(event)
            if told.attempt is not None:
                return None
        if len(page) < EVENTS:
            told.end()
            return None
        before = page[-1]["cursor"]
        await asyncio.sleep(0)
    return before if told.begins is None else told.begins + 1


PATH = {"round": {"type": "integer", "description": "a round of a federation", "minimum": 1, "maximum": MAX_ROUNDS}}
ROUTES = (
    Route(
        "GET",
        "/v1/federations/{federation}/rounds/{round}",
        "One round of a federation: what it paid to whom, by which measurement, and why not",
        get_round_pay,
        RoundPayView,
        query=FederationPayQuery,
        failures=(404,),
    ),
)
