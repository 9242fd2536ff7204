"""What an account earned, by the reasons that the ledger gives. What merely comes back, and transfers, are none of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

EARNED = {
    "bounty": "bounties",
    **dict.fromkeys(("fee", "vote", "fed.panel.fee", "fed.aggregator"), "votes"),
    **dict.fromkeys(("answer.paid", "answer.shown", "answer.quarter", "answer.right", "seat.paid", "subsidy"), "answers"),
    **dict.fromkeys(("royalty", "royalty.share", "fed.share", "block reward"), "other"),
}
"""The kind of each reason."""
COLUMNS = ("bounties", "votes", "answers", "other")


def earned_in(moves: Iterable[Mapping[str, Any]], since: int) -> Decimal:
    """Credits that came in by work from a time on, of lines of a history."""
    amounts = (Decimal(move["amount"]) for move in moves if move["reason"] in EARNED and move["amount"] and move["time"] >= since)
    return sum(amounts, Decimal())
