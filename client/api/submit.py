"""Submitting for a caller: tried out on a copy of the present state first, offered to the graph, waited for where asked.

Trying out answers a mistake at once with the contract's own words, and costs the account nothing. It changes nothing: what counts
is the receipt.
"""

from __future__ import annotations

from typing import Any

from chain.contracts import MESSAGES, host_of, perform
from chain.errors import InvalidTx, Reject
from chain.ledger.state import Overlay
from chain.ledger.transition import chain_record
from client.api.errors import invalid, rejected
from client.api.render import code_name, render_event
from client.api.route import Call, Reply
from client.core import Ledger


def try_out(ledger: Ledger, op: Any) -> None:
    """Raises `Reject` where the message would be refused in a block that came now."""
    now = chain_record(ledger.state)
    host = host_of(Overlay(ledger.state), ledger.params, now, now.height + 1, now.time + 1, ledger.clock, now.beacon)
    perform(host, ledger.own_id, op)


async def submit(call: Call, what: str, op: Any) -> bytes:
    """Offer one message of this node; the transaction's id. `what` starts the text of a refusal."""
    ledger = call.node.ledger
    try:
        try_out(ledger, op)
    except Reject as e:
        raise rejected(f"{what} would be refused and was not sent", e.code, e.text) from None
    try:
        return await ledger.submit([op], urgent=MESSAGES[type(op)][1].urgent)
    except InvalidTx as e:
        raise invalid(f"{what} was not accepted", e) from None


async def answer(call: Call, what: str, tx: bytes, **more: Any) -> Reply:
    """The transaction's answer: after at most `wait` seconds its receipt, 422 when refused, 202 while it is not final."""
    common = {"tx": tx.hex(), **more}
    wait_s: float = call.query.wait
    if not wait_s > 0:
        return Reply(202, common | {"status": "pending"})
    with call.context.waits.take():
        try:
            result = await call.node.ledger.result(tx, wait_s)
        except TimeoutError:
            return Reply(202, common | {"status": "pending"})
        except InvalidTx as e:
            raise invalid(f"{what} (transaction {tx.hex()}) was dropped", e) from None
    if result.code:
        raise rejected(f"{what} was refused in block {result.height} (transaction {tx.hex()})", result.code)
    final = {"status": "final", "height": result.height, "index": result.index, "code": 0, "code_name": code_name(0)}
    return Reply(200, common | final | {"events": [render_event(event) for event in result.events]})
