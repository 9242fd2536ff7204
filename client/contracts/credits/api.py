"""Credits: transfers, and how many exist."""

from __future__ import annotations

from typing import Any

from learningchain.chain.contracts.credits import Transfer, supply
from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.api.route import ApiPart, Call, Reply, Route, parse_account, parse_field
from learningchain.client.api.submit import answer, sends, submit
from learningchain.client.contracts.credits.http.counted import Counted
from learningchain.client.contracts.credits.http.schema import SupplyView, TransferRequest
from learningchain.client.schema.render import Json


async def get_supply(call: Call) -> Json:
    """Every credit that the records hold, beside what mints and burns say."""
    counted = await call.context.followers.settled(Counted)
    ledger = call.node.ledger
    numbers = {**supply(ledger.state), "accounts": counted.accounts, "escrows": counted.escrows}
    return {name: format_credits(amount) for name, amount in numbers.items()} | {"height": ledger.height}


def _memo(text: str) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > 64:
        raise ValueError(f"{len(raw)} bytes of UTF-8, at most 64 are kept")
    return raw


def build_transfer(body: TransferRequest) -> Transfer:
    """Raises `ApiError` naming the field."""
    return Transfer(
        parse_account("to", body.to), parse_field("amount", parse_credits, body.amount), parse_field("memo", _memo, body.memo)
    )


async def post_transfer(call: Call) -> Reply:
    body: TransferRequest = call.body
    op: Any = build_transfer(body)
    what = f"The transfer of {body.amount} credits to {body.to}"
    return await answer(call, what, await submit(call, what, op))


_ROUTES = (
    Route("GET", "/v1/supply", "All credits: minted, burned, and where they lie", get_supply, SupplyView),
    sends("/v1/transfers", "Transfer credits of this node", post_transfer, TransferRequest),
)
PART = ApiPart(__doc__, _ROUTES, (Counted,))
