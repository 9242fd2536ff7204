"""Who may offer a federation's best model, and from when on (LC-FED-53): the API asks, and the command before any work."""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.contracts.federation.records import EndReason


class OfferRefusal(NamedTuple):
    """`name` is the API's word for it."""

    name: str
    text: str


def why_not_offered(own: str, sponsor: str, *, end: str | None, best_round: int, paid: bool) -> OfferRefusal | None:
    """`own`, `sponsor`: addresses; `end`: an `EndReason`'s name, None before; `paid`: whether `own` was paid anything."""
    if end is None:
        return OfferRefusal("NOT_ENDED", "The federation has not ended: its best model may still change. Wait, or close it")
    if not best_round:
        text = "No round of the federation made a better model than the one that it began with: there is nothing to offer"
        return OfferRefusal("NO_MODEL", text)
    if own != sponsor and not (end == EndReason.ABANDONED.name and paid):
        text = "Its sponsor offers the model; an owner that was paid may where the sponsor abandoned the federation"
        return OfferRefusal("NOT_SPONSOR", f"{text}. Ask {sponsor}")
    return None
