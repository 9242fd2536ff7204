"""Federations over HTTP: listing them, everything about one, rounds, members, attempts, measurements, the model.

What changes one is in `sponsor_api` and `member_api`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from aiohttp import web

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import KEPT_ROUNDS
from learningchain.chain.contracts.federation.indexes import JoinedFederations, SponsoredFederations, federations_of
from learningchain.chain.contracts.federation.records import FederationRecord
from learningchain.chain.types import cid_text
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import not_found, not_kept
from learningchain.client.api.files import serve_file
from learningchain.client.api.route import ApiPart, Call, Route, parse_account, parse_field, parse_hash
from learningchain.client.contracts.federation.http import deploy_api, member_api, pay_api, sponsor_api
from learningchain.client.contracts.federation.http.happened import AttemptsTold, MeasurementsTold, ToldSteps
from learningchain.client.contracts.federation.http.ledger_views import (
    describe,
    describe_members,
    describe_rounds,
    members_of,
    model_of_round,
    summarise,
)
from learningchain.client.contracts.federation.http.live import LiveFederations
from learningchain.client.contracts.federation.http.lookup import known, readers_of, unknown
from learningchain.client.contracts.federation.http.schema import (
    FederationAttempts,
    FederationMeasurements,
    FederationMemberView,
    FederationModelQuery,
    FederationRoundsQuery,
    FederationRoundView,
    FederationsQuery,
    FederationStepsQuery,
    FederationSummary,
    FederationView,
)
from learningchain.client.schema.bodies import EventView, HistoryQuery
from learningchain.client.schema.render import Json

AT_ONCE = 64
"""Federations that are looked at before others have the loop."""
EVENTS, MOST_PAGES = 500, 32
"""Events of a page, and pages that one call reads: strangers may ask to join, so most events may tell of nothing asked for."""
Page = Callable[[int | None, int], list[tuple[int, bytes]]]

# --- lists ----------------------------------------------------------------------------------------------------------------------


async def get_federations(call: Call) -> list[Json]:
    """The newest first; those that left the state among them, where neither an account nor live ones are asked for."""
    found: list[Json] = []
    chosen = await _chosen(call, call.query)
    for start in range(0, len(chosen), AT_ONCE):
        part = chosen[start : start + AT_ONCE]
        readers = await readers_of(call, part)
        for federation in part:
            if (at := readers.get(federation)) is not None and (one := summarise(at[0], federation)) is not None:
                found.append(one | {"left": at[1]})
        await asyncio.sleep(0)
    return found


async def _chosen(call: Call, query: FederationsQuery) -> list[bytes]:
    state = call.node.ledger.state
    if query.sponsor is not None or query.member is not None:
        return await _of_accounts(call, query)
    live = await call.context.followers.settled(LiveFederations) if query.live else None

    def page(before: int | None, limit: int) -> list[tuple[int, bytes]]:
        if live is not None:
            return live.newest(before, limit)
        return [(number, one.federation) for number, one in records.FEDERATIONS.newest(state, before, limit)]

    if query.id is not None:
        return await _beginning(call, query, page)
    if live is not None:
        return [federation for _, federation in page(query.before, query.limit)]
    left = await call.node.archived_below(records.FEDERATIONS.prefix, query.before, query.limit)
    both = dict(left) | dict(page(query.before, query.limit))
    return [federation for _, federation in sorted(both.items(), reverse=True)[: query.limit]]


async def _beginning(call: Call, query: FederationsQuery, page: Page) -> list[bytes]:
    begin, found = query.id or "", list[bytes]()
    if not query.live:
        first, last = (bytes.fromhex(begin.ljust(64, digit)) for digit in "0f")
        found = await call.node.archived_within(first, last, query.limit)
        found = [one for one in found if one in await readers_of(call, [one])]
    before = query.before
    while len(found) < query.limit and (some := page(before, AT_ONCE)):
        found += [federation for _, federation in some if federation.hex().startswith(begin) and federation not in found]
        before = some[-1][0]
        await asyncio.sleep(0)
    return found[: query.limit]


async def _of_accounts(call: Call, query: FederationsQuery) -> list[bytes]:
    """Those of the state that a sponsor opened, a member joined, or both; by the index that the ledger keeps of them."""
    state = call.node.ledger.state
    sets = []
    for name, kind, text in (("sponsor", SponsoredFederations, query.sponsor), ("member", JoinedFederations, query.member)):
        if text is not None:
            sets.append(set(federations_of(state, kind, parse_account(name, text))))
    numbered: list[tuple[int, bytes]] = []
    for count, federation in enumerate(sorted(set.intersection(*sets))):
        posting = state.get(records.posting_key(federation))
        fits = federation.hex().startswith(query.id or "") and not (query.live and state.get(records.live_key(federation)) is None)
        if fits and isinstance(posting, records.FederationPosting):
            numbered.append((posting.number, federation))
        if count % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    below = [pair for pair in numbered if query.before is None or pair[0] < query.before]
    return [federation for _, federation in sorted(below, reverse=True)[: query.limit]]


# --- one ------------------------------------------------------------------------------------------------------------------------


async def get_federation(call: Call) -> Json:
    federation, reader, left = await known(call)
    view = describe(reader, federation, members_of(reader, federation))
    if view is None:
        raise unknown(call, federation)
    return view | {"left": left}


async def get_federation_members(call: Call) -> list[Json]:
    federation, reader, _ = await known(call, whole=True)
    return describe_members(reader, federation, members_of(reader, federation)) or []


async def get_federation_rounds(call: Call) -> list[Json]:
    """The newest first. The state has the last 16 of one that runs; older ones are told from what left it."""
    federation, reader, _ = await known(call, whole=True)
    now = reader.get(records.federation_key(federation))
    if not isinstance(now, FederationRecord):
        return []
    top = now.r if call.query.before is None else min(now.r, call.query.before - 1)
    members, found = members_of(reader, federation), list[Json]()
    for rounds in _pieces(range(top, 0, -1)):
        found += describe_rounds(reader, federation, rounds, members)
        if len(found) >= call.query.limit:
            break
        await asyncio.sleep(0)
    return found[: call.query.limit]


def _pieces(rounds: range) -> Iterator[range]:
    for start in range(0, len(rounds), KEPT_ROUNDS):
        yield rounds[start : start + KEPT_ROUNDS]


async def get_federation_events(call: Call) -> list[Json]:
    federation = parse_field("federation", parse_hash, call.path("federation"))
    found = await call.node.events(federation, before=call.query.before, limit=call.query.limit)
    if not found and not await readers_of(call, [federation]):
        raise unknown(call, federation)
    if not found and (first := first_block(call)) > 1:
        raise not_kept(f"Nothing more of federation {federation.hex()} stands in the blocks that are kept here", first)
    return found


async def get_federation_attempts(call: Call) -> Json:
    steps, before = await _steps(call, AttemptsTold())
    return {"attempts": steps, "before": before}


async def get_federation_measurements(call: Call) -> Json:
    steps, before = await _steps(call, MeasurementsTold())
    return {"measurements": steps, "before": before}


async def _steps(call: Call, told: ToldSteps) -> tuple[list[Json], int | None]:
    """Steps of a federation, and where to go on."""
    federation, _, _ = await known(call)
    limit, before = call.query.limit, call.query.before
    ended = False
    for _ in range(MOST_PAGES):
        page = await call.node.events(federation, before=before, limit=EVENTS)
        for event in page:
            told.take(event)
            before = event["cursor"]
            if len(told.whole) == limit:
                return told.whole, before + 1  # this event begins an older step
        if ended := len(page) < EVENTS:
            break
        await asyncio.sleep(0)
    told.end()
    return told.whole[:limit], None if ended else before


async def get_federation_model(call: Call) -> web.StreamResponse:
    wanted = call.query.round
    federation, reader, _ = await known(call, whole=wanted is not None)
    found = model_of_round(reader, federation, wanted)
    if found is None:
        text = f"round {wanted} has no model: it was not summed" if wanted else "no model of it was measured yet"
        raise not_found(f"Of federation {federation.hex()} {text}. GET /v1/federations/{federation.hex()}/rounds lists rounds")
    return await serve_file(call, cid_text(found[0]), max_size=found[1], timeout_s=call.query.timeout_s)


_PATH = {"federation": {"type": "string", "description": "a federation's id", "pattern": "^[0-9a-f]{64}$"}} | pay_api.PATH
_ONE = "/v1/federations/{federation}"
_ROUTES = (
    Route(
        "GET", "/v1/federations", "Federations, the newest first", get_federations, list[FederationSummary], query=FederationsQuery
    ),
    *sponsor_api.ROUTES,
    *member_api.ROUTES,
    *deploy_api.ROUTES,
    *pay_api.ROUTES,
    Route("GET", _ONE, "Everything about a federation", get_federation, FederationView, failures=(404,)),
    Route(
        "GET",
        f"{_ONE}/members",
        "Who is a member of a federation, was one, or waits to be one",
        get_federation_members,
        list[FederationMemberView],
        failures=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/rounds",
        "Rounds of a federation that were summed, the newest first",
        get_federation_rounds,
        list[FederationRoundView],
        query=FederationRoundsQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/attempts",
        "What the aggregators said of every file, the newest attempt first",
        get_federation_attempts,
        FederationAttempts,
        query=FederationStepsQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/measurements",
        "What the panel measured, the newest measurement first",
        get_federation_measurements,
        FederationMeasurements,
        query=FederationStepsQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/events",
        "What happened to a federation, newest first, each with its block and the block's time",
        get_federation_events,
        list[EventView],
        query=HistoryQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/model",
        "A model of a federation, the best one unless a round is named, fetched from the graph where needed",
        get_federation_model,
        query=FederationModelQuery,
        media="application/octet-stream",
        failures=(404, 413),
    ),
)
PART = ApiPart(__doc__, _ROUTES, (LiveFederations,), _PATH)
