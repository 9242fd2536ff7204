"""Submitting for a caller: tried out on a copy of the present state first, offered to the graph, waited for where asked.

Trying out answers a mistake at once with the contract's own words, and costs the account nothing. It changes nothing: what counts
is the receipt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from learningchain.chain.contracts import MESSAGES, host_of, perform
from learningchain.chain.errors import InvalidTx, Malformed, Reject
from learningchain.chain.host import Host
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.types import format_credits
from learningchain.client.api.errors import RequestError, forbidden, invalid, rejected, unavailable
from learningchain.client.api.route import Call, Handler, Reply, Route
from learningchain.client.keys.signing import SignerUnavailable
from learningchain.client.keys.tokens import FULL, LimitReached, TokenError, TokenScope, now_ms
from learningchain.client.node.interface import Before, Ledger, TxResult
from learningchain.client.schema.bodies import TxAnswer, WaitQuery
from learningchain.client.schema.render import code_name, render_event


def sends(
    path: str,
    summary: str,
    handler: Handler,
    request: type | None = None,
    response: Any = TxAnswer,
    *,
    failures: tuple[int, ...] = (409,),
    scope: TokenScope | None = None,
    owner: bool = False,
) -> Route:
    """The route of a handler that sends a message of this node."""
    return Route("POST", path, summary, handler, response, request, WaitQuery, failures=failures, scope=scope, owner=owner)


def trial_host(ledger: Ledger) -> Host:
    """A block that came now, on a copy of the present state."""
    now = chain_record(ledger.state)
    return host_of(Overlay(ledger.state), ledger.params, now, now.height + 1, now.time + 1, ledger.clock, now.beacon)


def try_out(ledger: Ledger, op: Any) -> int:
    """What leaves this node's free credits by the message, in micro-credits.

    Raises `Reject` where it would be refused in a block that came now.
    """
    host = trial_host(ledger)
    before = host.free(ledger.own_id)
    perform(host, ledger.own_id, op)
    return max(0, before - host.free(ledger.own_id))


def spending(call: Call, what: str, op: Any) -> int:
    """What the message may take of this node's credits, or the request's refusal. Where the state of its block decides, it is the
    most that the signed message allows: a price may change in the very block, by whom it is paid to."""
    try:
        now = try_out(call.node.ledger, op)
    except Reject as e:
        raise rejected(f"{what} would be refused and was not sent", e.code, e.text) from None
    allows = MESSAGES[type(op)][1].allows
    return now if allows is None else max(now, allows(op))


async def submit(call: Call, what: str, op: Any, before: Before | None = None) -> bytes:
    """Offer one message of this node; the transaction's id. `what` starts the text of a refusal; `before`: see `Ledger.submit`."""
    ledger, spends = call.node.ledger, spending(call, what, op)
    async with _charged(call, what, spends):
        try:
            return await ledger.submit([op], urgent=MESSAGES[type(op)][1].urgent, before=before)
        except InvalidTx as e:
            raise invalid(f"{what} was not accepted", e) from None
        except SignerUnavailable as e:
            raise unavailable(f"{what} was not signed: {e}. Try again when the signer is back", name="SIGNER") from None


@asynccontextmanager
async def _charged(call: Call, what: str, spends: int) -> AsyncIterator[None]:
    """Counted against the token's limit before anything is signed, and taken back where nothing was sent."""
    tokens = None if call.token is FULL else call.context.tokens()
    if tokens is None:
        yield
        return
    try:
        await asyncio.to_thread(tokens.charge, call.token, spends, now_ms())
    except LimitReached as e:
        raise forbidden(
            "TOKEN_LIMIT",
            f"{what} takes {format_credits(spends)} credits and was not signed: {e}. Ask the node's owner for another token "
            "(learningchain token new --max)",
        ) from None
    except TokenError as e:
        raise unavailable(f"{what} was not signed: {e}") from None
    try:
        yield
    except RequestError:
        await asyncio.to_thread(tokens.refund, call.token, spends)
        raise


async def answer(call: Call, what: str, tx: bytes, **more: Any) -> Reply:
    """The transaction's answer: after at most `wait` seconds its receipt, 409 when refused, 202 while it is not final."""
    common = {"tx": tx.hex(), **more}
    wait_s: float = call.query.wait
    if not wait_s > 0:
        return Reply(202, common | {"status": "pending"})
    with call.context.waits.take(call.token):
        try:
            result = await call.node.ledger.result(tx, wait_s)
        except TimeoutError:
            return Reply(202, common | {"status": "pending"})
        except InvalidTx as e:
            raise invalid(f"{what} (transaction {tx.hex()}) was dropped", e) from None
    if result.code:
        raise rejected(f"{what} was refused in block {result.height} (transaction {tx.hex()})", result.code)
    more_said = await _with_receipt(call, result) if call.query.receipt else {}
    final = {"status": "final", "height": result.height, "index": result.index, "code": 0, "code_name": code_name(0)}
    return Reply(200, common | final | {"events": [render_event(event) for event in result.events]} | more_said)


async def _with_receipt(call: Call, result: TxResult) -> dict[str, str]:
    """What is final stays final where no file can hold the way to it: then the answer has none, and asking for one says why."""
    try:
        with call.context.downloads.take(call.token):
            found = await call.node.receipt_file(result.height, result.index + 1, None)
    except (Malformed, RequestError):
        return {}
    return {} if found is None else {"receipt": found["file"]}
