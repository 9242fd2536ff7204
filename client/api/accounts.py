"""Accounts and credits: who is a member, what it holds, what happened to it, how many credits exist, transfers, judgements."""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from typing import Any

from chain import bandwidth
from chain.contracts.credits import Transfer, supply
from chain.contracts.membership import JudgeCase, Release, member_key, standing
from chain.crypto import parse_address
from chain.host import Account, account_key
from chain.ledger.transition import chain_record
from chain.types import format_credits, parse_credits
from client.api.errors import not_found
from client.api.render import Json, contract_number, render_standing
from client.api.route import Call, Reply, Route, parse_account, parse_field
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


# --- reading ------------------------------------------------------------------------------------------------------------------


def _view(call: Call, account: bytes) -> Json | None:
    ledger, live = call.node.ledger, call.context.live
    shown, record = standing(ledger.state, account), ledger.state.get(account_key(account))
    if shown is None or not isinstance(record, Account):
        return None
    left = bandwidth.left(ledger.params, record.balance, record.arrival, chain_record(ledger.state).clock)
    shown["bandwidth"] = {"left": left, "per_s": bandwidth.rate(ledger.params, record.balance)}
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
        views.append(_view(call, key[2:]))
    return [view for view in views if view is not None]


def _unknown(account: str) -> str:
    return f"There is no account {account} on this network. Check the address: GET /v1/accounts lists every account"


async def get_account(call: Call) -> Json:
    account = parse_account("account", call.path("account"))
    await call.context.live.settled()
    shown = _view(call, account)
    if shown is None:
        raise not_found(_unknown(call.path("account")), name="UNKNOWN_ACCOUNT")
    return shown


async def get_history(call: Call) -> list[Json]:
    account = parse_account("account", call.path("account"))
    if call.node.ledger.state.get(account_key(account)) is None:
        raise not_found(_unknown(call.path("account")), name="UNKNOWN_ACCOUNT")
    return await call.node.history(account, before=call.query.before, limit=call.query.limit)


async def get_supply(call: Call) -> Json:
    """Every credit that the records hold, beside what mints and burns say."""
    ledger, credits = call.node.ledger, call.context.credits
    await credits.settled()
    numbers = {**supply(ledger.state), "accounts": credits.accounts, "escrows": credits.escrows}
    return {name: format_credits(amount) for name, amount in numbers.items()} | {"height": ledger.height}


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
