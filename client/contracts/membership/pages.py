"""Pages of members: who they are, and the open cases with a validator's word on each."""

from __future__ import annotations

from learningchain.client.api.ending import CURSOR
from learningchain.client.api.errors import usage
from learningchain.client.dashboard.page import ROWS, WAIT_S, Done, Drawn, Nav, PagesPart, Visit, change, outcome, page

_WORDS = {"confirm": True, "lift": False}


@page("/dashboard/members")
async def members(visit: Visit) -> Drawn:
    after = visit.word("after", "lc1[0-9a-z]{20,60}")
    rows = await visit.ask("GET /v1/accounts", query={"limit": ROWS + 1, "after": after})
    following = rows[ROWS - 1]["id"] if len(rows) > ROWS else None
    return Drawn("membership/members.html", "Members", {"members": rows[:ROWS], "following": following})


@page("/dashboard/cases")
async def cases(visit: Visit) -> Drawn:
    """Not drawn anew by itself: there may be many."""
    found = await visit.ask("GET /v1/cases", query={"limit": ROWS + 1, "after": visit.word("after", CURSOR)})
    following = found[ROWS - 1]["cursor"] if len(found) > ROWS else None
    return Drawn("membership/cases.html", "Cases", {"cases": found[:ROWS], "following": following})


@change("/dashboard/cases/{account}/word")
async def judge(visit: Visit) -> Done:
    word = visit.form.get("word", "")
    if word not in _WORDS:
        raise usage("Which word, confirm or lift? Use a button of the page")
    body = {"account": visit.match["account"], "confirm": _WORDS[word]}
    done = await visit.ask("POST /v1/judgements", body=body, query={"wait": WAIT_S})
    return Done("/dashboard/cases", outcome(done, f"Your word on the case, {word}, is given"))


PART = PagesPart(
    pages=(members, cases, judge),
    nav=(Nav(50, "Members", "/dashboard/members"), Nav(51, "Cases", "/dashboard/cases")),
)
