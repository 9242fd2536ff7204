"""Accounts: what each holds, how it stands with every contract, and what happened to it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypedDict, get_type_hints

from learningchain.chain import bandwidth
from learningchain.chain.crypto import address
from learningchain.chain.host import ACTIVE, K_VALIDATORS, SUSPENDED, Account, Validators, account_key
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.types import format_credits
from learningchain.client import contracts
from learningchain.client.api.chain import first_block
from learningchain.client.api.errors import RequestError, not_found, not_kept
from learningchain.client.api.locked import Locked
from learningchain.client.api.route import ACCOUNT, Call, Route, parse_account
from learningchain.client.schema.bodies import AccountBase, HistoryQuery, HistoryView
from learningchain.client.schema.render import Json

_PARTS = contracts.parts(ACCOUNT)
_STANDING = {ACTIVE: "active", SUSPENDED: "suspended"}

if TYPE_CHECKING:
    AccountView = AccountBase  # what contracts add is found when the program runs; each reader of it says what it knows
else:
    _VIEWS = (AccountBase, *(part.view for part in _PARTS.values()))
    AccountView = TypedDict("AccountView", {k: v for view in _VIEWS for k, v in get_type_hints(view, include_extras=True).items()})
    AccountView.__doc__ = "\n".join(inspect.cleandoc(view.__doc__ or "") for view in _VIEWS)


def unknown_account(account: str) -> RequestError:
    return not_found(
        f"There is no account {account} on this network. Check the address: GET /v1/accounts lists every account",
        name="UNKNOWN_ACCOUNT",
    )


def view(call: Call, account: bytes) -> Json | None:
    """None where there is no such account. What is locked is known as far as it was followed (`Followers.all_settled`)."""
    ledger = call.node.ledger
    record, validators = ledger.state.get(account_key(account)), ledger.state.get(K_VALIDATORS)
    if not isinstance(record, Account) or not isinstance(validators, Validators):
        return None
    locked = call.context.followers.of(Locked).locked(account)
    credits = {"balance": record.balance, "frozen": record.frozen, "locked": locked}
    shown: Json = {"id": address(account), "key": record.key.hex(), "status": _STANDING.get(record.status, "banned")}
    shown |= {name: format_credits(amount) for name, amount in credits.items()}
    left = bandwidth.left(ledger.params, record.balance, record.arrival, chain_record(ledger.state).clock)
    shown["bandwidth"] = {"left": left, "per_s": bandwidth.rate(ledger.params, record.balance)}
    shown["validator"] = any(v.id == account for v in validators.members)
    shown["sequences"] = list(record.sequences)
    for part in _PARTS.values():
        shown |= part.of(ledger.state, account)
    return shown


async def get_account(call: Call) -> Json:
    account = parse_account("account", call.path("account"))
    await call.context.followers.all_settled()
    shown = view(call, account)
    if shown is None:
        raise unknown_account(call.path("account"))
    return shown


async def get_history(call: Call) -> list[Json]:
    account = parse_account("account", call.path("account"))
    if call.node.ledger.state.get(account_key(account)) is None:
        raise unknown_account(call.path("account"))
    found = await call.node.history(account, before=call.query.before, limit=call.query.limit)
    if not found and call.query.before is not None and (first := first_block(call)) > 1:
        raise not_kept(f"Nothing more of {call.path('account')} stands in the blocks that are kept here", first)
    return found


ROUTES = (
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
)
