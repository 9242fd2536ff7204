"""Serving over HTTP: offering to answer for a model, once this node has tried it, and ending that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.formulas import least_stake
from learningchain.chain.contracts.prediction.messages import ServeModel, UnserveModel
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import ModelStanding
from learningchain.chain.host import Escrow, escrow_key, read_params
from learningchain.chain.types import parse_credits
from learningchain.client.api.errors import RequestError, not_found, unavailable, usage
from learningchain.client.api.route import Call, Reply, Route, parse_field
from learningchain.client.api.submit import answer, sends, spending, submit
from learningchain.client.contracts.prediction.http.postings import find_model
from learningchain.client.contracts.prediction.http.schema import ModelTrial, ServePosted, ServeRequest
from learningchain.client.keys.tokens import FULL, TokenScope
from learningchain.client.schema.render import Json

if TYPE_CHECKING:
    from learningchain.chain.contracts.prediction.duties import RunTerms
    from learningchain.client.work.trials import TrialState

HOLD_S = 10.0
"""How long one call waits for a trial to end."""
UNTRIED = "untried (--untried) serves it all the same"


async def post_serve(call: Call) -> Reply:
    """The stake grows by what was given, or to the least that the model's floor asks for. A model with a sample is tried first."""
    ledger = call.node.ledger
    model = find_model(ledger.state, call.path("model"))
    body: ServeRequest = call.body
    amount = stake_missing(call, model) if body.stake is None else parse_field("stake", parse_credits, body.stake)
    what, op = f"Serving model {model.hex()[:12]}", ServeModel(model, amount)
    spending(call, what, op)  # what the rules refuse is refused before anything runs
    tried = False if body.untried else await _passed(call, model)
    return await answer(call, what, await submit(call, what, op), tried=tried)


def stake_missing(call: Call, model: bytes) -> int:
    """Micro-credits that this node's stake on a model lacks, for the highest floor in force or to come."""
    ledger = call.node.ledger
    standing = ledger.state.get(records.standing_key(model))
    floor = max(standing.floor, standing.coming_floor) if isinstance(standing, ModelStanding) else 0
    least = least_stake(read_params(ledger.state, records.NUMBER, PredictionParams).pred_stake, floor)
    staked = ledger.state.get(escrow_key(records.stake_escrow(model, ledger.own_id)))
    return max(0, least - (staked.amount if isinstance(staked, Escrow) else 0))


async def _passed(call: Call, model: bytes) -> bool:
    """Whether it was tried, and its answers are the same; False where it has no sample. Raises `RequestError`: nothing is sent."""
    from learningchain.chain.contracts.prediction.duties import run_terms  # the sandbox's words load after the node's start

    terms = run_terms(call.node.ledger.state, model)
    if terms is None or not terms.terms.sample:
        return False
    state = await _tried(call, terms)
    name = model.hex()[:12]
    if state.ended_s is None:
        text = f"Model {name} is tried on this machine before it is served: {state.step}. Ask again, this call waits for its end"
        raise unavailable(f"{text}; GET /v1/models/{model.hex()}/trial shows how far it is", name="TRIAL_RUNNING")
    if state.why:
        state.told = True
        text = f"Model {name} is not served, for it would cost this node its stake: {state.why}. Nothing was sent; {UNTRIED}"
        raise usage(text, name="TRIAL_FAILED", status=409)
    return True


async def _tried(call: Call, terms: RunTerms) -> TrialState:
    """Its trial after at most `HOLD_S` seconds. Raises `RequestError` where none can be."""
    from learningchain.client.contracts.prediction.roles.trial import wanted_trial
    from learningchain.client.work.trials import OWNER, TrialsBusy

    trials = call.node.trials
    if trials is None:
        raise RequestError(
            409,
            "usage",
            "NO_SANDBOX",
            "This node runs nothing for others (work.verify is off, or it is starting), so it can neither try the model nor answer "
            f"for it. Set work.verify and start it again; {UNTRIED}",
        )
    try:
        state = trials.begin(wanted_trial(terms), OWNER if call.token is FULL else call.token.id)
    except TrialsBusy as problem:
        name = "TOO_MANY_OWN_TRIALS" if problem.own else "TRIALS_BUSY"
        raise unavailable(f"The model was not tried, and nothing was sent: {problem}", name=name) from None
    with call.context.waits.take(call.token), suppress(TimeoutError):
        async with asyncio.timeout(HOLD_S):
            await state.over.wait()
    return state


async def get_trial(call: Call) -> Json:
    model = find_model(call.node.ledger.state, call.path("model"))
    trials = call.node.trials
    found = trials.find(model) if trials is not None else None
    if found is None:
        text = (
            f"This node has not tried model {model.hex()} since its start. POST /v1/models/{model.hex()}/serve does, and serves it"
        )
        raise not_found(text, name="NO_TRIAL")
    return {"model": model.hex(), **found.show()}


async def post_unserve(call: Call) -> Reply:
    model = find_model(call.node.ledger.state, call.path("model"))
    what = f"Serving model {model.hex()[:12]} no more"
    return await answer(call, what, await submit(call, what, UnserveModel(model)))


ROUTES = (
    sends(
        "/v1/models/{model}/serve",
        "Answer for a model with this node, which runs its sample twice first",
        post_serve,
        ServeRequest,
        ServePosted,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    Route(
        "GET",
        "/v1/models/{model}/trial",
        "How this node's last trial of a model goes, or what it came to",
        get_trial,
        ModelTrial,
        failures=(404,),
    ),
    sends("/v1/models/{model}/unserve", "Answer for a model no more", post_unserve, failures=(404, 409), scope=TokenScope.POST),
)
