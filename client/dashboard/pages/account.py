"""One account, with its history by pages."""

from __future__ import annotations

from learningchain.client.dashboard.page import ROWS, Drawn, Visit, page
from learningchain.client.dashboard.text import flat

SHOWN_ELSEWHERE = frozenset({"id", "status"})


@page("/dashboard/accounts/{account}")
async def one_account(visit: Visit) -> Drawn:
    account = await visit.ask("GET /v1/accounts/{account}", visit.match)
    asked = {"limit": ROWS + 1, "before": visit.number("before")}
    rows = await visit.ask("GET /v1/accounts/{account}/history", visit.match, query=asked)
    since = {} if account.get("since") else {"since": "the network's beginning"}
    facts = flat({name: value for name, value in (account | since).items() if name not in SHOWN_ELSEWHERE})
    before = rows[ROWS - 1]["cursor"] if len(rows) > ROWS else None
    values = {"account": account, "facts": facts, "rows": rows[:ROWS], "before": before}
    return Drawn("account.html", "Account", values, ("standing", "history") if asked["before"] is None else ("standing",))


PAGES = (one_account,)
