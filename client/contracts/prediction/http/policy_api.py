"""Policies: laying one down, those of a model, one of them."""

from __future__ import annotations

import asyncio

from learningchain.chain.contracts.prediction.messages import policy_id_of
from learningchain.chain.contracts.prediction.records import LiveKind
from learningchain.client.api.errors import not_found
from learningchain.client.api.route import Call, Reply, Route, parse_field, parse_hash
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.prediction.http.live import LivePredictions
from learningchain.client.contracts.prediction.http.postings import build_policy, find_model
from learningchain.client.contracts.prediction.http.schema import PoliciesQuery, PolicyPosted, PolicyRequest, PolicyView
from learningchain.client.contracts.prediction.http.views import describe_policy
from learningchain.client.keys.tokens import TokenScope
from learningchain.client.schema.render import Json

AT_ONCE = 64
"""Policies that are looked at before others have the loop."""


async def post_policy(call: Call) -> Reply:
    op = build_policy(call.body, call.node.ledger.state)
    tx = await submit(call, "The policy", op)
    return await answer(call, "The policy", tx, policy=policy_id_of(tx, 0).hex())


async def get_policies(call: Call) -> list[Json]:
    query: PoliciesQuery = call.query
    state, follower = call.node.ledger.state, await call.context.followers.settled(LivePredictions)
    model = None if query.model is None else find_model(state, query.model).hex()
    found: list[Json] = []
    before = query.before
    while len(found) < query.limit and (page := follower.newest(before, AT_ONCE, LiveKind.POLICY)):
        before = page[-1][0]
        shown = [describe_policy(state, ref) for _, ref in page]
        found += [one for one in shown if one is not None and (model is None or one["model"] == model)]
        await asyncio.sleep(0)
    return found[: query.limit]


async def get_policy(call: Call) -> Json:
    policy = parse_field("policy", parse_hash, call.path("policy"))
    found = describe_policy(call.node.ledger.state, policy)
    if found is None:
        text = f"There is no policy {policy.hex()}, or it was dropped since nobody named it. GET /v1/policies lists the policies"
        raise not_found(text, name="NO_SUCH_POLICY")
    return found


ROUTES = (
    sends(
        "/v1/policies",
        "Lay down how the values of a model become decisions",
        post_policy,
        PolicyRequest,
        PolicyPosted,
        failures=(404, 409),
        scope=TokenScope.POST,
    ),
    Route(
        "GET", "/v1/policies", "Policies, the newest first", get_policies, list[PolicyView], query=PoliciesQuery, failures=(404,)
    ),
    Route("GET", "/v1/policies/{policy}", "One policy", get_policy, PolicyView, failures=(404,)),
)
