"""Accounts and credits: who is a member, what it holds, what happened to it, how many credits exist, transfers, judgements."""

from __future__ import annotations

from bisect import bisect_right
from time import perf_counter
from typing import Any

from chain.contracts.base import Account, Escrow, account_key, escrow_key
from chain.contracts.credits import Transfer, supply
from chain.contracts.job.records import (
    Posting,
    bounty_escrow,
    deposit_escrow,
    fee_escrow,
    posting_key,
    stake_escrow,
)
from chain.contracts.membership import JudgeCase, member_key, standing
from chain.ledger.state import State
from chain.types import format_credits, parse_credits
from client.api.errors import not_found, unavailable
from client.api.render import Json, render_standing
from client.api.route import Call, Context, Reply, Route, parse_account, parse_field
from client.api.schema import (
    AccountsQuery,
    AccountView,
    HistoryQuery,
    HistoryView,
    JudgementRequest,
    SupplyView,
    TransferRequest,
    TxAnswer,
    WaitQuery,
)
from client.api.submit import answer, submit

MAX_LIVE_COUNTED = 1_000
"""Live jobs that the sum of an account's escrows looks through; above that it is left out."""
MAX_COUNTED = 50_000
"""Accounts up to which all credits are counted on request: a million would stop the node's loop for many seconds."""
COUNT_SHARE = 20
"""Counting every credit may take at most one part in so many of the loop's time."""


# --- reading ------------------------------------------------------------------------------------------------------------------


def _escrowed(state: State, ref: bytes) -> int:
    record = state.get(escrow_key(ref))
    return record.amount if isinstance(record, Escrow) else 0


def locked_by_account(state: State) -> dict[bytes, int] | None:
    """What contractors have in escrows of live jobs, by account. None where there are too many live jobs to look through.

    Stakes are not in it: `_stakes` adds one account's.
    """
    found: dict[bytes, int] = {}
    live = state.keys(b"j/")
    if len(live) > MAX_LIVE_COUNTED:
        return None
    for key in live:
        job = key[2:]
        posting = state.get(posting_key(job))
        if isinstance(posting, Posting):
            amount = sum(_escrowed(state, ref(job)) for ref in (bounty_escrow, fee_escrow, deposit_escrow))
            found[posting.poster] = found.get(posting.poster, 0) + amount
    return found


def _stakes(state: State, account: bytes) -> int:
    return sum(_escrowed(state, stake_escrow(key[2:], account)) for key in state.keys(b"j/"))


def _view(state: State, account: bytes, posted: dict[bytes, int] | None) -> Json | None:
    shown, record = standing(state, account), state.get(account_key(account))
    if shown is None or not isinstance(record, Account):
        return None
    locked = None if posted is None else posted.get(account, 0) + _stakes(state, account)
    return render_standing(shown, key=record.key, locked=locked)


async def list_accounts(call: Call) -> list[Json]:
    state, query = call.node.ledger.state, call.query
    members = state.keys(b"m/")
    start = 0 if query.after is None else bisect_right(members, member_key(parse_account("after", query.after)))
    posted = locked_by_account(state)
    shown = (_view(state, key[2:], posted) for key in members[start : start + query.limit])
    return [view for view in shown if view is not None]


def _unknown(account: str) -> str:
    return f"There is no account {account} on this network. Check the address: GET /v1/accounts lists every account"


async def get_account(call: Call) -> Json:
    account = parse_account("account", call.path("account"))
    state = call.node.ledger.state
    shown = _view(state, account, locked_by_account(state))
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
)
