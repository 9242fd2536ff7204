"""Pages of proposals: the open ones with a validator's word on each, and the parameters in force."""

from __future__ import annotations

from learningchain.client.api.ending import CURSOR
from learningchain.client.api.errors import usage
from learningchain.client.dashboard.page import ROWS, WAIT_S, Done, Drawn, Nav, PagesPart, Visit, change, outcome, page

_WORDS = {"yes": True, "no": False}


@page("/dashboard/proposals")
async def proposals(visit: Visit) -> Drawn:
    """Not drawn anew by itself: there may be many."""
    found = await visit.ask("GET /v1/proposals", query={"limit": ROWS + 1, "after": visit.word("after", CURSOR)})
    following = found[ROWS - 1]["cursor"] if len(found) > ROWS else None
    own = (await visit.ask("GET /v1/status"))["id"]
    return Drawn("governance/proposals.html", "Proposals", {"proposals": found[:ROWS], "following": following, "own": own})


@change("/dashboard/proposals/{proposal}/word")
async def vote(visit: Visit) -> Done:
    word, proposal = visit.form.get("word", ""), visit.match["proposal"]
    if word == "withdraw":
        done = await visit.ask("POST /v1/withdrawals", body={"proposal": proposal}, query={"wait": WAIT_S})
        return Done("/dashboard/proposals", outcome(done, "Your proposal is taken back"))
    if word not in _WORDS:
        raise usage("Which word, yes or no? Use a button of the page")
    body = {"proposal": proposal, "yes": _WORDS[word]}
    done = await visit.ask("POST /v1/votes", body=body, query={"wait": WAIT_S})
    return Done("/dashboard/proposals", outcome(done, f"Your word, {word}, is given"))


@page("/dashboard/parameters")
async def parameters(visit: Visit) -> Drawn:
    return Drawn("governance/parameters.html", "Rules of this network", {"parameters": await visit.ask("GET /v1/parameters")})


PART = PagesPart(
    pages=(proposals, vote, parameters),
    nav=(Nav(52, "Proposals", "/dashboard/proposals"),),
)
