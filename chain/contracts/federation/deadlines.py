"""What comes with the time: `ROWS` is the machine of a federation: what its deadline does in each state. LC-FED-47, 52."""

from __future__ import annotations

from collections.abc import Callable

from learningchain.chain.contracts.federation import aggregating, ends, formulas, measuring, records, screening, starting, store
from learningchain.chain.contracts.federation.messages import MOST_MEMBERS
from learningchain.chain.contracts.federation.params import MOST_DROPPED
from learningchain.chain.contracts.federation.records import EndReason, FederationRecord, FederationState
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import DueReader, Host
from learningchain.chain.verification.scale import ceil_div


def unstarted(federation: FederationContext) -> None:
    """LC-FED-45"""
    expired = federation.host.clock >= federation.terms.ends
    ends.end(federation, EndReason.EXPIRED if expired else EndReason.ABANDONED)


def no_key(federation: FederationContext) -> None:
    """LC-FED-19: nothing was trained yet, so nothing is owed."""
    ends.end(federation, EndReason.NOKEY)


ROWS: dict[int, Callable[[FederationContext], None]] = {
    FederationState.IDLE: unstarted,
    FederationState.DRAW: starting.draw,
    FederationState.KEY: no_key,
    FederationState.READY: starting.unready,
    FederationState.TRAIN: aggregating.trained,
    FederationState.HAVE: aggregating.decide,
    FederationState.ROWS: aggregating.rows_drawn,
    FederationState.SCREEN: screening.screened,
    FederationState.SUM: screening.summed,
    FederationState.MEASURE: measuring.commits_end,
    FederationState.OPEN: measuring.measured,
    FederationState.END: ends.drop,
}


def on_due(host: Host, ref: bytes, at: int) -> None:
    """A deadline has come. A stale one changes nothing."""
    federation = store.load_federation(host, ref)
    if federation is None:
        return
    now = federation.record
    if now.deadline != at or (now.state in records.DRAWING and host.height < now.draw_height):
        return
    ROWS[now.state](federation)


def give_back(host: Host, ref: bytes) -> None:
    """LC-FED-50"""
    federation = store.load_federation(host, ref)
    if federation is None:
        raise BrokenInvariant(f"{ref.hex()} has no records")
    ends.give_back(federation)


# --- weights (LC-BLK-31, LC-FED-52) ----------------------------------------------------------------------------------------------

TICKETS_AT_ONCE = 16
"""Accounts of a pool that are looked at in the time of one record."""
EVERY_MEMBER = 2 * MOST_MEMBERS
"""A settlement pays and clears all, a screen judges each file, and may end what began."""


def due_work(reader: DueReader, ref: bytes) -> int:
    """How many records the next deadline goes through: an end drops some, a draw looks at everybody who has the flag, a decision of
    aggregators or of the panel at every member."""
    now = reader.get(records.federation_key(ref))
    if not isinstance(now, FederationRecord):
        return 0
    if now.state == FederationState.END:
        return min(now.left, MOST_DROPPED) + formulas.KEPT_ROUNDS
    if now.state in (FederationState.DRAW, FederationState.READY, FederationState.MEASURE, FederationState.OPEN):
        return EVERY_MEMBER + ceil_div(reader.flagged(), TICKETS_AT_ONCE)
    return EVERY_MEMBER
