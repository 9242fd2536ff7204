"""Jobs as the API's JSON."""

from __future__ import annotations

from typing import Any

from learningchain.chain.types import format_credits, format_loss
from learningchain.client.schema.render import Json

_JOB_CREDITS = frozenset(
    (
        *("bounty", "fee", "fees", "fees_locked", "bond", "deposit", "stake", "stakes", "paid", "refunded"),
        *("bounty_paid", "bounty_returned", "stakes_burned_by_verdicts", "bond_burned", "bond_returned"),
        *("fees_paid", "fees_burned", "fees_returned", "deposit_burned", "deposit_returned"),
    )
)
_JOB_LOSSES = frozenset(
    ("loss", "tolerance", "bound", "next_at_most", "hidden_loss", "measured", "shown", "hidden_shown", "tol", "floor")
)


def render_job(view: Json) -> Json:
    """A view of the job contract (`views.describe`, `views.summarise`) with credits and losses as decimal text."""
    return {name: _job_value(name, value) for name, value in view.items()}


def _job_value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return render_job(value)
    if isinstance(value, list):
        return [_job_value(name, item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        if name in _JOB_CREDITS:
            return format_credits(value)
        if name in _JOB_LOSSES:
            return format_loss(value)
    return value
