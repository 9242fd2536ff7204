"""Sending credits: a form, and a second look at who gets them before anything is signed."""

from __future__ import annotations

from collections.abc import Mapping

from learningchain.client.api.errors import RequestError, usage
from learningchain.client.dashboard.page import WAIT_S, Answer, Done, Drawn, Nav, PagesPart, Visit, change, outcome, page
from learningchain.client.keys.names import near


@page("/dashboard/send")
async def send_form(visit: Visit) -> Drawn:
    return _form({}, "", None)


@change("/dashboard/send")
async def send(visit: Visit) -> Answer:
    """Asked twice: what is signed is what the second form shows."""
    fields = {name: text.strip() for name, text in visit.form.items()}
    try:
        to = _account(visit, fields.get("to", ""))
        if fields.get("step") != "send":
            await visit.ask("GET /v1/accounts/{account}", {"account": to})
            return _form(fields, to, None)
        body = {"to": to, "amount": fields.get("amount", ""), "memo": fields.get("memo", "")}
        done = await visit.ask("POST /v1/transfers", body=body, query={"wait": WAIT_S})
    except RequestError as e:
        return _form(fields, "", e)
    return Done("/dashboard", outcome(done, f"{body['amount']} credits are sent"))


def _account(visit: Visit, text: str) -> str:
    """The address behind an address or an own name. Raises `RequestError` for one that only looks like a known one."""
    address = visit.names.address(text) or text
    if (like := near(address, visit.names.by_address)) is not None and address not in visit.names.by_address:
        raise usage(
            f"{address[:64]} begins and ends like {visit.names.of(like)} ({like}) and is another. Nothing was sent. Look at every "
            "character; to pay it all the same, give it a name of its own first (learningchain name set)"
        )
    return address


def _form(fields: Mapping[str, str], to: str, refused: RequestError | None) -> Drawn:
    values = {"f": fields, "to": to, "refused": refused.body if refused else None}
    return Drawn("credits/send.html", "Send credits", values, status=refused.status if refused else 200)


PART = PagesPart(
    pages=(send_form, send),
    nav=(Nav(5, "Send", "/dashboard/send"),),
)
