"""Members: who they are, and the validators' words on a suspended one and on what is parked."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right

from chain.contracts.membership import JudgeCase, Release, member_key
from chain.crypto import parse_address
from client.api.accounts import AccountView, view
from client.api.render import Json, contract_number
from client.api.route import Call, Reply, Route, parse_account, parse_field
from client.api.schema import TxAnswer, WaitQuery
from client.api.submit import answer, submit
from client.contracts.membership.schema import AccountsQuery, JudgementRequest, ReleaseRequest

AT_ONCE = 64
"""Accounts that are shown before others have the loop."""


# --- reading ------------------------------------------------------------------------------------------------------------------


async def list_accounts(call: Call) -> list[Json]:
    await call.context.followers.all_settled()
    query = call.query
    members = call.node.ledger.state.keys(b"m/")
    start = 0 if query.after is None else bisect_right(members, member_key(parse_account("after", query.after)))
    views = []
    for number, key in enumerate(members[start : start + query.limit]):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        views.append(view(call, key[2:]))
    return [view for view in views if view is not None]


# --- writing ------------------------------------------------------------------------------------------------------------------


async def post_judgement(call: Call) -> Reply:
    body: JudgementRequest = call.body
    op = JudgeCase(parse_account("account", body.account), body.confirm)
    what = f"The judgement on {body.account}"
    return await answer(call, what, await submit(call, what, op))


async def post_release(call: Call) -> Reply:
    body: ReleaseRequest = call.body
    op = Release(parse_field("contract", contract_number, body.contract), parse_field("ref", _reference, body.ref), body.give_back)
    what = f"The release of {body.contract} {body.ref}"
    return await answer(call, what, await submit(call, what, op))


_REFERENCE = re.compile(r"(?:[0-9a-f]{2}){1,64}", re.ASCII)


def _reference(text: str) -> bytes:
    if text.startswith("lc1"):
        return parse_address(text)
    if not _REFERENCE.fullmatch(text):
        raise ValueError("a job's id in lower-case hex is expected, or lc1... of an account")
    return bytes.fromhex(text)


ROUTES = (
    Route(
        "GET",
        "/v1/accounts",
        "Accounts in the order of their ids",
        list_accounts,
        list[AccountView],
        query=AccountsQuery,
    ),
    Route(
        "POST",
        "/v1/judgements",
        "A validator's word on a suspended account",
        post_judgement,
        TxAnswer,
        JudgementRequest,
        WaitQuery,
        failures=(422,),
    ),
    Route(
        "POST",
        "/v1/releases",
        "A validator's word on what is parked",
        post_release,
        TxAnswer,
        ReleaseRequest,
        WaitQuery,
        failures=(422,),
    ),
)
