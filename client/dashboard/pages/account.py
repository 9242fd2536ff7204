"""One account, with its history by pages."""

from __future__ import annotations

from learningchain.client import contracts
from learningchain.client.dashboard.page import ROWS, Drawn, PagesPart, Visit, page
from learningchain.client.schema.people import PEOPLE


@page("/dashboard/accounts/{account}")
async def one_account(visit: Visit) -> Drawn:
    """How it stands with every contract is told in the words of the command `balance`."""
    account = await visit.ask("GET /v1/accounts/{account}", visit.match)
    asked = {"limit": ROWS + 1, "before": visit.number("before")}
    rows = await visit.ask("GET /v1/accounts/{account}/history", visit.match, query=asked)
    people, clock = contracts.parts(PEOPLE).values(), visit.context.node.ledger.clock
    told = [line for part in people for line in part.rows(account, clock)]
    before = rows[ROWS - 1]["cursor"] if len(rows) > ROWS else None
    values = {"account": account, "told": told, "rows": rows[:ROWS], "before": before}
    return Drawn("account.html", "Account", values, ("standing", "history") if asked["before"] is None else ("standing",))


PART = PagesPart((one_account,))
