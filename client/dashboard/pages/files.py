"""What lies on this node, for what and what may go, and what it fetches now."""

from __future__ import annotations

from learningchain.client.dashboard.page import ROWS, Drawn, Nav, PagesPart, Visit, page


@page("/dashboard/files")
async def files(visit: Visit) -> Drawn:
    after = visit.word("after", "[0-9]{1,15}-baf[ky][a-z2-7]{55}")
    found = await visit.ask("GET /v1/contents", query={"limit": ROWS, "after": after})
    coming = await visit.ask("GET /v1/transfers")
    values = {"found": found, "coming": coming[:ROWS], "more": max(0, len(coming) - ROWS)}
    return Drawn("files.html", "Files", values, ("coming", "lying") if after is None else ("coming",))


PART = PagesPart((files,), (Nav(85, "Files", "/dashboard/files"),))
