"""Accounts: what happened to each."""

from __future__ import annotations

from chain.host import account_key
from client.api.errors import RequestError, not_found
from client.api.render import Json
from client.api.route import Call, Route, parse_account
from client.api.schema import HistoryQuery, HistoryView


def unknown_account(account: str) -> RequestError:
    return not_found(
        f"There is no account {account} on this network. Check the address: GET /v1/accounts lists every account",
        name="UNKNOWN_ACCOUNT",
    )


async def get_history(call: Call) -> list[Json]:
    account = parse_account("account", call.path("account"))
    if call.node.ledger.state.get(account_key(account)) is None:
        raise unknown_account(call.path("account"))
    return await call.node.history(account, before=call.query.before, limit=call.query.limit)


ROUTES = (
    Route(
        "GET",
        "/v1/accounts/{account}/history",
        "What happened to an account, newest first",
        get_history,
        list[HistoryView],
        query=HistoryQuery,
        failures=(404,),
    ),
)
