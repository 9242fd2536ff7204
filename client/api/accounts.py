"""Accounts and credits: who is a member, what it holds, what happened to it, how many credits exist, transfers, judgements."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from time import perf_counter
from typing import Any

from chain.contracts.base import Account, account_key
from chain.contracts.credits import Transfer, supply
from chain.contracts.membership import JudgeCase, Release, member_key, standing
from chain.crypto import parse_address
from chain.ledger.state import State
from chain.types import format_credits, parse_credits
from client.api.errors import not_found, unavailable
from client.api.live import LiveJobs
from client.api.render import Json, contract_number, render_standing
from client.api.route import Call, Context, Reply, Route, parse_account, parse_field
from client.api.schema import (
    AccountsQuery,
    AccountView,
    HistoryQuery,
    HistoryView,
    JudgementRequest,
    ReleaseRequest,
    SupplyView,
    TransferRequest,
    TxAnswer,
    WaitQuery,
)
from client.api.submit import answer, submit

AT_ONCE = 64
"""Accounts that are shown before others have the loop."""
MAX_COUNTED = 50_000
"""Accounts up to which all credits are counted on request: a million would stop the node's loop for many seconds."""
COUNT_SHARE = 20
"""Counting every credit may take at most one part in so many of the loop's time."""


# --- reading ------------------------------------------------------------------------------------------------------------------


def _view(state: State, account: bytes, live: LiveJobs) -> Json | None:
    shown, record = standing(state, account), state.get(account_key(account))
    if shown is None or not isinstance(record, Account):
        return None
    return render_standing(shown, key=record.key, locked=live.locked(account))


async def list_accounts(call: Call) -> list[Json]:
    await call.context.live.settled()
    state, query = call.node.ledger.state, call.query
    members = state.keys(b"m/")
    start = 0 if query.after is None else bisect_right(members, member_key(parse_account("after", query.after)))
    views = []
    for number, key in enumerate(members[start : start + query.limit]):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        views.append(_view(state, key[2:], call.context.live))
    return [view for view in views if view is not None]


def _unknown(account: str) -> str:
    return f"There is no account {account} on this network. Check the address: GET /v1/accounts lists every account"


async def get_account(call: Call) -> Json:
    account = parse_account("account", call.path("account"))
    state = call.node.ledger.state
    await call.context.live.settled()
    shown = _view(state, account, call.context.live)
    if shown is None:
        raise not_found(_unknown(call.path("account")), name="UNKNOWN_ACCOUNT")
    return shown


async def get_history(call: Call) -> list[Json]:
    account = parse_account("account", call.path("account"))
    if call.node.ledger.state.get(account_key(account)) is None:
        raise not_found(_unknown(call.path("account")), name="UNKNOWN_ACCOUNT")
    return await call.node.history(account, before=call.query.before, limit=call.query.limit)


def count_credits(state: State, height: int) -> Json:
    """Every credit counted from scratch, beside what mints and burns say."""
    accounts, escrows = state.held()
    numbers = {**supply(state), "accounts": accounts, "escrows": escrows}
    return {name: format_credits(amount) for name, amount in numbers.items()} | {"height": height}


def counted(context: Context) -> Json:
    """`count_credits`, made anew when the state changed, but never so often that the loop suffers from it."""
    ledger = context.node.ledger
    now = perf_counter()
    known = context.supply
    if known is not None and (known[0]["height"] == ledger.height or now < known[1]):
        return known[0]
    if len(ledger.state.keys(b"m/")) > MAX_COUNTED:
        raise unavailable(f"This graph has more than {MAX_COUNTED:,} members: counting their credits would hold the node up")
    view = count_credits(ledger.state, ledger.height)
    took = perf_counter() - now
    context.supply = (view, now + COUNT_SHARE * took)
    return view


async def get_supply(call: Call) -> Json:
    return counted(call.context)


# --- writing ------------------------------------------------------------------------------------------------------------------


def _memo(text: str) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > 64:
        raise ValueError(f"{len(raw)} bytes of UTF-8, at most 64 are kept")
    return raw


async def post_transfer(call: Call) -> Reply:
    body: TransferRequest = call.body
    op: Any = Transfer(
        parse_account("to", body.to), parse_field("amount", parse_credits, body.amount), parse_field("memo", _memo, body.memo)
    )
    what = f"The transfer of {body.amount} credits to {body.to}"
    return await answer(call, what, await submit(call, what, op))


async def post_judgement(call: Call) -> Reply:
    body: JudgementRequest = call.body
    op = JudgeCase(parse_account("account", body.account), body.confirm)
    what = f"The judgement on {body.account}"
    return await answer(call, what, await submit(call, what, op))


async def post_release(call: Call) -> Reply:
    body: ReleaseRequest = call.body
    op = Release(parse_field("contract", contract_number, body.contract), parse_field("ref", _reference, body.ref), body.give_back)
    what = f"The release of {body.ref}"
    return await answer(call, what, await submit(call, what, op))


def _reference(text: str) -> bytes:
    return parse_address(text) if text.startswith("lc1") else bytes.fromhex(text)


ROUTES = (
    Route("GET", "/v1/accounts", "Accounts in the order of their ids", list_accounts, list[AccountView], query=AccountsQuery),
    Route("GET", "/v1/accounts/{account}", "One account: credits, standing, case", get_account, AccountView, failures=(404,)),
    Route(
        "GET",
        "/v1/accounts/{account}/history",
        "What happened to an account, newest first",
        get_history,
        list[HistoryView],
        query=HistoryQuery,
        failures=(404,),
    ),
    Route("GET", "/v1/supply", "All credits: minted, burned, and where they lie", get_supply, SupplyView),
    Route(
        "POST",
        "/v1/transfers",
        "Transfer credits of this node",
        post_transfer,
        TxAnswer,
        TransferRequest,
        WaitQuery,
        failures=(422,),
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
