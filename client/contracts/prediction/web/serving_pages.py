"""What this node answers for: its models, their containers, how its seats went, what is staked and what came in for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learningchain.chain.types import format_credits, parse_credits
from learningchain.client.dashboard.page import ROWS, Drawn, Nav, Visit, or_none, page

LINES = 500
"""Of the account's history, the newest: what came in is added up over so many."""
EARNED = ("answer.paid", "answer.shown", "answer.quarter", "answer.right", "seat.paid", "subsidy")
"""Reasons of what a server gets. Its fines burn from its stake, so no line of the account tells of them: the stake does."""


@page("/dashboard/serving")
async def serving(visit: Visit) -> Drawn:
    status = await visit.ask("GET /v1/status")
    served = status.get("serving") or []
    account = {"account": status["id"]}
    lines = await or_none(visit.ask("GET /v1/accounts/{account}/history", account, query={"limit": LINES}), "UNKNOWN_ACCOUNT")
    values = {
        "served": [await _one(visit, one, status["id"]) for one in served[:ROWS]],
        "all_served": len(served),
        "earned": earned(lines or []),
        "lines": len(lines or []),
    }
    return Drawn("prediction/serving.html", "Serving", values, ("served",))


async def _one(visit: Visit, warm: Mapping[str, Any], own: str) -> dict[str, Any]:
    """Its containers beside what the ledger has of this server; None of both where the model or the server is gone."""
    model = await or_none(visit.ask("GET /v1/models/{model}", {"model": warm["model"]}), "NO_SUCH_MODEL")
    seat = next((one for one in model["members"] if one["server"] == own), None) if model else None
    return {"warm": warm, "model": model, "seat": seat, "short": bool(seat and _short(seat["stake"], model["stake_needed"]))}


def _short(stake: str, needed: str) -> bool:
    return parse_credits(stake) < parse_credits(needed)


def earned(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    """Reasons of a server's income among lines of a history: how often, and how much in all."""
    found = []
    for reason in EARNED:
        amounts = [parse_credits(one["amount"].removeprefix("+")) for one in lines if one["reason"] == reason and one["amount"]]
        if amounts:
            found.append((reason, len(amounts), format_credits(sum(amounts))))
    return found


PAGES = (serving,)
NAV = (Nav(32, "Serving", "/dashboard/serving"),)
