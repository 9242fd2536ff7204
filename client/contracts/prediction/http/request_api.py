"""Requests: asking, what that would cost, everything about one and waiting for it, lists; tips, cancelling, appeals."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import answer_window, answered_by, least_judges, seats
from learningchain.chain.contracts.prediction.messages import AddTip, AppealAnswer, CancelRequest, RequestPrediction, request_id_of
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.pool import needed_capacity
from learningchain.chain.contracts.prediction.records import LiveKind, ModelRecord, ModelStanding, RequestTerms
from learningchain.chain.crypto import parse_address
from learningchain.chain.errors import Reject
from learningchain.chain.host import VERIFIERS, Reader, read_params
from learningchain.chain.types import format_credits, parse_credits, tx_id
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import RequestError, foretold, not_found, not_kept, unavailable
from learningchain.client.api.route import Call, Reply, Route, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, submit, trial_host, try_out
from learningchain.client.contracts.prediction.http import views
from learningchain.client.contracts.prediction.http.asked_once import OnceKey, asked_once
from learningchain.client.contracts.prediction.http.live import LivePredictions
from learningchain.client.contracts.prediction.http.own import get_prediction_key, keep_key, own_part, wanted_callback
from learningchain.client.contracts.prediction.http.postings import (
    AskedRows,
    amounts_of,
    asked_privately,
    build_request,
    find_model,
)
from learningchain.client.contracts.prediction.http.schema import (
    AppealRequest,
    PredictionKey,
    PredictionPosted,
    PredictionQuery,
    PredictionQuote,
    PredictionRequest,
    PredictionsQuery,
    PredictionSteps,
    PredictionSummary,
    PredictionView,
    StepsQuery,
    TipRequest,
)
from learningchain.client.contracts.prediction.schemas import fitted
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.node.interface import Ledger
from learningchain.client.schema.bodies import EventView, HistoryQuery
from learningchain.client.schema.render import Json
from learningchain.p2p.content.cid import parse as parse_cid
from learningchain.p2p.content.faults import StoreError

AT_ONCE = 64
"""Requests that are looked at before others have the loop."""
MOST_LOOKED_AT = 20_000
"""Requests that one listing goes through for those that were asked for."""


# --- asking -------------------------------------------------------------------------------------------------------------------


BeforeLeaving = Callable[[bytes, int], Awaitable[None]]
"""Told of a new request, its id and what it locks (micro-credits), before its message leaves. What it raises stops it."""


async def post_prediction(call: Call) -> Reply:
    return await ask_ledger(call)


async def ask_ledger(call: Call, before: BeforeLeaving | None = None) -> Reply:
    """The rows are stored before the request leaves: whoever is drawn finds them. From its block on it holds them itself."""
    async with AsyncExitStack() as until_answered:
        async with asked_once(call) as once:
            earlier = None if once is None else await once.standing()
            if earlier is None:
                tx, more = await _ask(call, once, until_answered, before)
            else:
                tx, more = tx_id(earlier.raw), {"charge": earlier.charge, "tip": earlier.tip}
        return await answer(call, "The request", tx, request=request_id_of(tx, 0).hex(), **more)


async def _ask(
    call: Call, once: OnceKey | None, until_answered: AsyncExitStack, before: BeforeLeaving | None
) -> tuple[bytes, dict[str, str]]:
    """The transaction that was sent, and what its answer says beside it."""
    wish = wanted_callback(call)
    ledger, body = call.node.ledger, await fitted(call)
    asked, key = asked_privately(body, secrets.token_bytes)
    op = build_request(body, ledger.state, asked, ledger.clock)
    cid = await until_answered.enter_async_context(_stored(call, asked))
    op = op if cid is None else msgspec.structs.replace(op, cid=cid)
    amounts = amounts_of(op, ledger.state, ledger.clock)
    if before is not None or call.token.most is not None:
        # What is counted for this caller is what it takes now: it may allow less, and no more is signed.
        op = msgspec.structs.replace(op, max_charge=min(op.max_charge, amounts.locked))
    more = {"charge": format_credits(amounts.locked), "tip": format_credits(amounts.tip)}
    if key is not None:
        await keep_key(call, key)

    async def keep(raw: bytes) -> None:
        if before is not None:
            await before(request_id_of(tx_id(raw), 0), amounts.locked)
        await wish.keep(request_id_of(tx_id(raw), 0))
        if once is not None:
            await once.keep(raw, **more)

    try:
        async with wish:
            tx = await submit(call, "The request", op, before=keep)
    except RequestError:
        if once is not None:
            await once.not_sent()
        raise
    return tx, more | wish.shown


@asynccontextmanager
async def _stored(call: Call, asked: AskedRows) -> AsyncIterator[bytes | None]:
    """Rows that are too long to go with the request lie in the content store meanwhile: their binary CID. Others: None."""
    if asked.text is None or asked.inline:
        yield None
        return
    pin = f"asked:{secrets.token_hex(8)}"
    with call.context.uploads.take(call.token):
        try:
            with tempfile.NamedTemporaryFile(prefix="rows-", dir=call.context.spool) as file:
                await asyncio.to_thread(Path(file.name).write_bytes, asked.text)
                cid, _ = await call.node.files.add(Path(file.name), pin=pin)
        except (StoreError, OSError) as e:
            text = f"The rows were not stored, and nothing was sent: {e}. Check the disk of this node"
            raise unavailable(text, name="DISK") from None
    try:
        yield parse_cid(cid).to_bytes()
    finally:
        await asyncio.to_thread(call.node.files.unpin, cid, pin)


async def post_prediction_quote(call: Call) -> Json:
    """Nothing is sent and nothing stored: the request is tried out on a copy of the present state."""
    ledger, body = call.node.ledger, await fitted(call)
    asked, _ = asked_privately(body, secrets.token_bytes)
    op = build_request(body, ledger.state, asked, ledger.clock)
    amounts = amounts_of(op, ledger.state, ledger.clock)
    model, standing = ledger.state.get(records.model_key(op.model)), ledger.state.get(records.standing_key(op.model))
    pool = _awake(ledger.state, op.model, ledger.own_id)
    drawn = seats(op.answers, op.agree, pool)
    return {
        "charge": format_credits(amounts.locked),
        "tip": format_credits(amounts.tip),
        "least_tip": format_credits(amounts.least_tip),
        "royalty": format_credits(amounts.royalty),
        "burned": format_credits(amounts.burned),
        "rows": op.rows,
        "seats": drawn,
        "pool": pool,
        "judges": max(0, _able(ledger, model) - drawn) if isinstance(model, ModelRecord) else 0,
        "judges_needed": least_judges(drawn, drawn),
        "waiting": standing.waiting if isinstance(standing, ModelStanding) else 0,
        "latest_answer_s": _latest(ledger.state, op, model) / 1_000 if isinstance(model, ModelRecord) else 0.0,
        "refusal": _refusal(call, op),
    }


def _refusal(call: Call, op: RequestPrediction) -> Json | None:
    """Why the ledger would refuse the request now."""
    try:
        try_out(call.node.ledger, op)
    except Reject as e:
        return foretold(e)
    return None


def _awake(reader: Reader, model: bytes, own: bytes) -> int:
    """Servers that could be drawn, about: what the rules say in the block that draws is what counts."""
    listed = reader.get(records.servers_key(model))
    servers = listed.servers if isinstance(listed, records.ModelServers) else []
    known = [reader.get(records.server_key(model, one)) for one in servers if one != own]
    return sum(isinstance(one, records.ServerRecord) and one.awake and not one.out and not one.leaving for one in known)


def _able(ledger: Ledger, model: ModelRecord) -> int:
    """Verifiers whose machines take what an appeal asks of a judge, but the owner and this node (LC-PRE-35)."""
    able = trial_host(ledger).service(VERIFIERS).each_able(needed_capacity(model), ledger.clock + 1)
    return sum(one not in (model.owner, ledger.own_id) for one in able)


def _latest(reader: Reader, op: RequestPrediction, model: ModelRecord) -> int:
    """Milliseconds until it is answered at the latest, but for draws (LC-PRE-45)."""
    params, terms = read_params(reader, records.NUMBER, PredictionParams), model.terms
    window = answer_window(params.pred_a0, terms.start_s, terms.row_ms, op.rows, op.size)
    keys = params.pred_keys if op.key_hash else 0
    return answered_by(0, op.wait, keys, window, params.pred_open)


# --- reading ------------------------------------------------------------------------------------------------------------------


async def get_predictions(call: Call) -> list[Json]:
    """The newest first, of those in the state and those that left it."""
    query: PredictionsQuery = call.query
    state = call.node.ledger.state
    requester = None if query.requester is None else parse_field("requester", parse_address, query.requester)
    model = None if query.model is None else find_model(state, query.model)

    def fits(reader: Reader, request: bytes) -> bool:
        asked = reader.get(records.terms_key(request))
        right = isinstance(asked, RequestTerms) and requester in (None, asked.requester) and model in (None, asked.terms.model)
        return right and (query.id is None or request.hex().startswith(query.id))

    found: list[Json] = []
    before, looked = query.before, 0
    while len(found) < query.limit and looked < MOST_LOOKED_AT and (page := await _page(call, before)):
        before, looked = page[-1][0], looked + len(page)
        found += await _told(call, [request for _, request in page], views.summarise_request, fits)
        await asyncio.sleep(0)
    return found[: query.limit]


async def _page(call: Call, before: int | None) -> list[tuple[int, bytes]]:
    """Numbers and ids, the newest first."""
    if call.query.live:
        return (await call.context.followers.settled(LivePredictions)).newest(before, AT_ONCE, LiveKind.REQUEST)
    here = {number: one.request for number, one in records.REQUESTS.newest(call.node.ledger.state, before, AT_ONCE)}
    left = dict(await call.node.archived_below(records.REQUESTS.prefix, before, AT_ONCE))
    return sorted((left | here).items(), reverse=True)[:AT_ONCE]


async def _told(
    call: Call, requests: Sequence[bytes], view: Callable[[Reader, bytes], Json | None], fits: Callable[[Reader, bytes], bool]
) -> list[Json]:
    """What a view tells of each that fits, from the state or from what left it."""
    state = call.node.ledger.state
    found = {one: told for one in requests if fits(state, one) and (told := view(state, one)) is not None}
    if gone := [one for one in requests if state.get(records.terms_key(one)) is None]:
        for one, past in (await call.node.archived(gone)).items():
            if fits(past.reader, one) and (told := view(past.reader, one)) is not None:
                found[one] = told
    return [found[one] for one in requests if one in found]


async def get_prediction(call: Call) -> Json:
    query: PredictionQuery = call.query
    request = parse_field("request", parse_hash, call.path("request"))
    if query.wait > 0:
        await _wait(call, request, query)
    state = call.node.ledger.state
    if (found := views.describe_request(state, request)) is not None:
        return found | {"left": None} | await own_part(call, state, request)
    for past in (await call.node.archived([request])).values():
        if (found := views.describe_request(past.reader, request)) is not None:
            return found | {"left": past.height} | await own_part(call, past.reader, request)
    raise _unknown(call, request)


async def get_prediction_events(call: Call) -> list[Json]:
    request = parse_field("request", parse_hash, call.path("request"))
    found = await call.node.events(request, before=call.query.before, limit=call.query.limit)
    if not found and views.summarise_request(call.node.ledger.state, request) is None and not await call.node.archived([request]):
        raise _unknown(call, request)
    if not found and (first := first_block(call)) > 1:
        raise not_kept(f"Nothing more of request {request.hex()} stands in the blocks that are kept here", first)
    return found


def _unknown(call: Call, request: bytes) -> RequestError:
    text = f"There is no request {request.hex()} on this network"
    if (first := first_block(call)) > 1:
        text += f", or its records left the state before block {first}, where this node's blocks begin: an archive node knows it"
    return not_found(f"{text}. GET /v1/predictions lists the requests", name="NO_SUCH_REQUEST")


async def _wait(call: Call, request: bytes, query: PredictionQuery) -> None:
    """Until the request is where the caller waits for, has left the state, or the time is over. One that is not there yet may still
    come."""
    ledger = call.node.ledger
    key = records.request_key(request)
    first = last = ledger.state.get(key)
    if first is None and await call.node.archived([request]):
        return

    def done() -> bool:
        nonlocal last
        before, last = last, ledger.state.get(key)
        record = last
        if record is None and before is not None:
            return True
        if query.changed:
            return record != first
        return views.is_ended(ledger.state, request) if query.final else views.is_answered(ledger.state, request)

    if done():
        return
    with call.context.waits.take(call.token):
        committed = ledger.committed()
        try:
            async with asyncio.timeout(query.wait):
                async for _ in committed:
                    if done():
                        return
        except (TimeoutError, LookupError):
            return
        finally:
            await committed.aclose()  # type: ignore[attr-defined]


# --- a requester's --------------------------------------------------------------------------------------------------------------


async def get_steps(call: Call) -> Json:
    """Each tried on a copy of the state, as a block that came now would take it. Nothing is sent."""
    request = parse_field("request", parse_hash, call.path("request"))
    tip = parse_field("tip", parse_credits, call.query.tip)
    found = views.describe_request(call.node.ledger.state, request)
    if found is None:
        raise _unknown(call, request)
    cancel = _step(call, CancelRequest(request))
    return {
        "tip": _step(call, AddTip(request, tip)),
        "cancel": cancel if cancel["refusal"] else cancel | {"credits": found["burned"]},
        "appeal": _step(call, AppealAnswer(request, [])),
    }


def _step(call: Call, op: AddTip | CancelRequest | AppealAnswer) -> Json:
    try:
        return {"credits": format_credits(try_out(call.node.ledger, op)), "refusal": None}
    except Reject as e:
        return {"credits": None, "refusal": foretold(e)}


async def post_tip(call: Call) -> Reply:
    request = parse_field("request", parse_hash, call.path("request"))
    what = f"The tip for request {request.hex()[:12]}"
    op = AddTip(request, parse_field("amount", parse_credits, call.body.amount))
    return await answer(call, what, await submit(call, what, op))


async def post_request_cancel(call: Call) -> Reply:
    request = parse_field("request", parse_hash, call.path("request"))
    what = f"Cancelling request {request.hex()[:12]}"
    return await answer(call, what, await submit(call, what, CancelRequest(request)))


async def post_appeal(call: Call) -> Reply:
    body: AppealRequest = call.body
    request = parse_field("request", parse_hash, call.path("request"))
    what = f"The appeal of request {request.hex()[:12]}"
    return await answer(call, what, await submit(call, what, AppealAnswer(request, sorted(set(body.rows)))))


ROUTES = (
    sends(
        "/v1/predictions",
        "Ask a model as this node",
        post_prediction,
        PredictionRequest,
        PredictionPosted,
        failures=(404, 409),
        scope=TokenScope.PREDICT,
    ),
    Route(
        "POST",
        "/v1/predictions/quote",
        "What a request would lock, and who could answer it; nothing is sent",
        post_prediction_quote,
        PredictionQuote,
        PredictionRequest,
        failures=(404,),
        scope=TokenScope.READ,
    ),
    Route(
        "GET",
        "/v1/predictions",
        "Requests, the newest first",
        get_predictions,
        list[PredictionSummary],
        query=PredictionsQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/predictions/{request}",
        "Everything about a request; waits for its answer where asked",
        get_prediction,
        PredictionView,
        query=PredictionQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/predictions/{request}/key",
        "The key of a private request of this node",
        get_prediction_key,
        PredictionKey,
        failures=(404,),
        scope=TokenScope.ALL,
    ),
    Route(
        "GET",
        "/v1/predictions/{request}/events",
        "What happened to a request, newest first, each with its block and the block's time",
        get_prediction_events,
        list[EventView],
        query=HistoryQuery,
        failures=(404,),
    ),
    Route(
        "GET",
        "/v1/predictions/{request}/steps",
        "What tipping, cancelling or appealing a request would cost this node now; nothing is sent",
        get_steps,
        PredictionSteps,
        query=StepsQuery,
        failures=(404,),
    ),
    sends(
        "/v1/predictions/{request}/tip",
        "Move a waiting request of this node forward",
        post_tip,
        TipRequest,
        scope=TokenScope.PREDICT,
    ),
    sends(
        "/v1/predictions/{request}/cancel",
        "Take back a waiting request of this node",
        post_request_cancel,
        scope=TokenScope.PREDICT,
    ),
    sends(
        "/v1/predictions/{request}/appeal",
        "Have verifiers who were not drawn answer anew",
        post_appeal,
        AppealRequest,
        scope=TokenScope.PREDICT,
    ),
)
