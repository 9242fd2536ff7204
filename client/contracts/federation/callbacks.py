"""What callbacks tell of a federation: measured, improved, ended.

    opened -> measured -> improved -> ended          opened -> ended          opened -> left

`measured`: the panel measured the initial model, so rounds may start. `improved`: a round paid for the first time. `ended`: why,
and what each owner was paid. Each comes once; every round is in the stream of events (`fed watch`, `watch_federation`). `left` is
said by a node that has not the blocks in which the federation ended, where nothing tells that it ever was. Data are read from the
state when the event is noted, and are public: no loss on own data is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from learningchain.chain.contracts.federation.records import (
    FederationRecord,
    FederationState,
    RoundOutcome,
    federation_key,
    posting_key,
)
from learningchain.chain.crypto import address
from learningchain.chain.host import Reader
from learningchain.chain.types import cid_text, format_credits
from learningchain.client.callbacks.following import CallbackLeaving, CallbackPart
from learningchain.client.contracts.federation.http.ledger_views import members_of, summarise

Json = dict[str, Any]
MEASURED, IMPROVED, ENDED, LEFT = "measured", "improved", "ended", "left"
SAID: Final = ("sponsor", "state", "end", "round", "rounds", "initial", "best", "target", "bounty", "paid")
"""Of what a list says of a federation."""


def named(topic: str, noted: Json) -> str | None:
    if topic == "fed.measured":
        return MEASURED if noted.get("r") == 0 and not noted.get("invalid") else None
    if topic == "fed.settled":
        return IMPROVED if noted.get("outcome") == RoundOutcome.PROGRESS.name else None
    return ENDED if topic == "fed.ended" else None


def happened(reader: Reader, ref: bytes) -> list[str]:
    """From the state alone: also of a federation of which no block is kept."""
    now = reader.get(federation_key(ref))
    if not isinstance(now, FederationRecord):
        return []
    said = [MEASURED] if now.best_model else []
    said += [IMPROVED] if now.best_r else []
    return said + ([ENDED] if now.state == FederationState.END else [])


def knows(reader: Reader, ref: bytes) -> bool:
    return reader.get(posting_key(ref)) is not None


def left(reader: Reader, told: Sequence[str], known_ms: int | None, clock_ms: int) -> str:
    """It leaves the state some time after its end alone (LC-FED-48): of one that was there, this is certain. One of which nothing
    was heard may have been refused."""
    return ENDED if told else LEFT


def data(reader: Reader, ref: bytes, name: str, noted: Json | None) -> Json:
    said: Json = {"federation": ref.hex()}
    summary, now = summarise(reader, ref), reader.get(federation_key(ref))
    if summary is None or not isinstance(now, FederationRecord):
        return said | ({"end": None} if name == ENDED else {})
    said |= {key: summary[key] for key in SAID}
    if name == IMPROVED and noted is not None and "pot" in noted:
        said |= {"pot": noted["pot"], "loss": noted["loss"]}
    if name == ENDED:
        members = sorted((one.index, account, one.paid) for account, one in members_of(reader, ref) if one.paid)
        owners = [{"account": address(account), "paid": format_credits(paid)} for _, account, paid in members]
        said |= {"best_model": cid_text(now.best_model) if now.best_r else None, "owners": owners}
    return said


PART: Final = CallbackPart(
    names=frozenset({MEASURED, IMPROVED, ENDED, LEFT}),
    last=frozenset({ENDED, LEFT}),
    named=named,
    happened=happened,
    data=data,
    leaving=CallbackLeaving(knows, left),
)
