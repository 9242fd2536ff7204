"""StartRound and CloseFederation: what a sponsor does between rounds, and the draw that follows. LC-FED-15 to 20, 45."""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.federation import aggregating, cells, ends, formulas, measuring, pool, records
from learningchain.chain.contracts.federation.guards import require_state, require_time, sponsored
from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    PANEL,
    CloseFederation,
    FederationCode,
    FederationTerms,
    StartRound,
)
from learningchain.chain.contracts.federation.records import (
    AttemptRoster,
    EndReason,
    FederationState,
    RosterEntry,
    VoidReason,
    new_attempt,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import VERIFIERS, Host


def start_round(host: Host, sender: bytes, m: StartRound) -> None:
    """LC-FED-15"""
    federation = sponsored(host, m.federation, sender, "starts rounds")
    require_state(federation, FederationState.IDLE, "a start")
    now = federation.record
    if m.r != now.r:
        raise Reject(FederationCode.WRONG_ROUND, f"round {now.r} is next, not {m.r}")
    require_time(federation, "starts")
    pool.require_able(host, sender, federation.terms)
    number = now.starts + 1
    if now.r == 0:
        if not pool.enough_panel(federation):
            raise Reject(FederationCode.NO_PANEL, "too few may sit on the panel that measures the model")
    elif federation.has_cells:
        cells.require_cell(federation)
        host.put(records.roster_key(m.federation), AttemptRoster([]))
        host.put(records.attempt_key(m.federation), new_attempt(number))
    else:
        members = roster(federation, number)
        _check_roster(federation.terms, members)
        if not pool.enough_aggregators(federation):
            raise Reject(FederationCode.NO_AGGREGATORS, "fewer than two verifiers may aggregate")
        host.put(records.roster_key(m.federation), AttemptRoster(members))
        host.put(records.attempt_key(m.federation), new_attempt(number))
    federation.change(starts=number)
    height = federation.enter_draw(FederationState.DRAW)
    federation.emit("fed.started", now.r, number, height)


def close_federation(host: Host, sender: bytes, m: CloseFederation) -> None:
    """LC-FED-45"""
    federation = sponsored(host, m.federation, sender, "closes it")
    require_state(federation, FederationState.IDLE, "closing")
    ends.end(federation, EndReason.CLOSED)


# --- rosters -------------------------------------------------------------------------------------------------------------------


def roster(federation: FederationContext, number: int) -> list[RosterEntry]:
    """LC-FED-16: who is in at this start, and whether it is flagged: benched ones only as far as the others are too few."""
    host, terms = federation.host, federation.terms
    vetted = host.service(VERIFIERS).is_available
    active = [(who, one) for who, one in federation.active() if not host.is_banned(who)]
    found = [RosterEntry(who, one.index - 1, vetted(who)) for who, one in active if one.benched_until < number]
    benched = [(one.benched_until, one.index, who) for who, one in active if one.benched_until >= number]
    for _, index, who in sorted(benched):
        if _is_enough(terms, found):
            break
        found.append(RosterEntry(who, index - 1, vetted(who)))
    return found


def _is_enough(terms: FederationTerms, members: Sequence[RosterEntry]) -> bool:
    return len(members) >= terms.min_members and (not terms.vetted or _vetted(members) >= terms.min_sum)


def _vetted(members: Sequence[RosterEntry]) -> int:
    return sum(one.vetted for one in members)


def _check_roster(terms: FederationTerms, members: Sequence[RosterEntry]) -> None:
    if _is_enough(terms, members):
        return
    counted = f", {_vetted(members)} of them with the flag, {terms.min_sum} are needed" if terms.vetted else ""
    text = f"{len(members)} members are in, {terms.min_members} are needed{counted}"
    raise Reject(FederationCode.TOO_FEW_MEMBERS, text)


# --- the draw ------------------------------------------------------------------------------------------------------------------


def draw(federation: FederationContext) -> None:
    """Its height has come: LC-FED-19 for r = 0, else LC-FED-20."""
    if federation.record.r:
        _draw_aggregators(federation)
    else:
        _draw_panel(federation)


def _draw_panel(federation: FederationContext) -> None:
    federation.change(panel_beacon=federation.host.beacon)
    found = pool.draw_panel(federation, federation.host.beacon, 0, PANEL)
    if len(found) < formulas.LEAST_VOTES:
        federation.emit("fed.unstarted", 0)
        ends.idle(federation)
        return
    measuring.seat_panel(federation, [], found)
    federation.change(model=federation.record.base)
    if federation.terms.hidden:
        at = federation.enter(FederationState.KEY, federation.params.fed_ready)
        federation.emit("fed.key", at)
    else:
        measuring.begin(federation)


def _draw_aggregators(federation: FederationContext) -> None:
    beacon, number = federation.host.beacon, federation.attempt.number
    federation.change_attempt(beacon=beacon)
    if federation.has_cells and not cells.form(federation):
        ends.void(federation, VoidReason.TOO_FEW)
        return
    among = _among(federation)
    if len(among) < aggregating.least_aggregators(federation):
        ends.void(federation, VoidReason.NO_AGGREGATORS)
        return
    found = pool.draw_aggregators(federation, beacon, number, among, AGGREGATORS)
    _seat(federation, [], found)


def _among(federation: FederationContext) -> list[bytes]:
    return cells.aggregators(federation) if federation.has_cells else pool.aggregators(federation)


def _seat(federation: FederationContext, ready: list[bytes], found: list[bytes]) -> None:
    """`found` follow those that are ready, for another window."""
    federation.seat_aggregators(found)
    attempt = federation.attempt
    federation.change_attempt(seats=[*ready, *found], tried=[*attempt.tried, *found])
    at = federation.enter(FederationState.READY, federation.params.fed_ready)
    federation.emit("fed.drawn", federation.record.r, attempt.number, at, *ready, *found)


def unready(federation: FederationContext) -> None:
    """LC-FED-20: who was not ready may have failed; the next tickets of the same draw follow, twice."""
    attempt = federation.attempt
    ready = [who for who in attempt.seats if federation.aggregator(who).key]
    missing = [who for who in attempt.seats if who not in ready]
    for who in missing:
        ends.unready(federation, who)
    among = [one for one in _among(federation) if one not in attempt.tried]
    if attempt.windows < formulas.READY_WINDOWS and among:
        found = pool.draw_aggregators(federation, attempt.beacon, attempt.number, among, len(missing))
        federation.change_attempt(windows=attempt.windows + 1)
        _seat(federation, ready, found)
        return
    federation.change_attempt(seats=ready)
    aggregating.train(federation)
