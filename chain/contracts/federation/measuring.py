"""The panel measures a model, and what it finds settles the round. LC-FED-35 to 43.

MEASURE --all committed, or its time--> OPEN --all opened, or its time--> settle --> IDLE | END
   ^                                                                        |
   +------------------------- again, at most twice -------------------------+
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.federation import ends, formulas, pool, records, steps
from learningchain.chain.contracts.federation.guards import live, require_state, require_time, sponsored
from learningchain.chain.contracts.federation.messages import (
    CommitMeasure,
    FederationCode,
    MeasureCode,
    ModelMeasure,
    OpenMeasure,
    OpenSteps,
    SealKey,
    measure_commitment,
)
from learningchain.chain.contracts.federation.records import (
    EndReason,
    FederationState,
    OpenedSteps,
    PanelSat,
    PanelSeat,
    RoundOutcome,
    RoundRecord,
)
from learningchain.chain.contracts.federation.store import FederationContext
from learningchain.chain.errors import Reject
from learningchain.chain.host import MEMBERS, STANDING, Host
from learningchain.chain.losses import MAX_LOSS, BadOpening, Measurement, Opening, check_opening, draw_probe
from learningchain.chain.verification.scale import lower_median

CODES = frozenset(MeasureCode)


def seat_panel(federation: FederationContext, stay: Sequence[PanelSeat], found: Sequence[bytes]) -> None:
    """LC-FED-19, 38: who was drawn sits behind those that stay. A seat keeps the box key that it had then."""
    host = federation.host
    box_key = host.service(MEMBERS).box_key
    new = [PanelSeat(who, box_key(who), b"", 0, b"", [], False) for who in found]
    for who in found:
        host.put(records.sat_key(federation.id, who), PanelSat(host.clock))
    now = federation.record
    federation.change(panel=[*stay, *new], kept=now.kept + len(found))
    federation.emit("fed.panel", now.r, *(seat.account for seat in federation.record.panel))


def seal_key(host: Host, sender: bytes, m: SealKey) -> None:
    """LC-FED-19: in KEY to all, in MEASURE to seats that followed. A box stays as it is: nobody takes a key back."""
    federation = sponsored(host, m.federation, sender, "opens the hidden file")
    lacking = lacks_box(federation)
    follows = federation.record.state == FederationState.MEASURE and bool(lacking)
    if not follows:
        require_state(federation, FederationState.KEY, "a key")
    require_time(federation, "keys")
    if len(m.boxes) != len(lacking):
        text = f"{len(lacking)} seats of the panel have no box yet: one for each of them, not {len(m.boxes)}"
        raise Reject(FederationCode.BAD_BOXES, text)
    boxes = dict(zip(lacking, m.boxes, strict=True))
    federation.change(panel=[replace(seat, box=boxes.get(seat.account, seat.box)) for seat in federation.record.panel])
    federation.emit("fed.sealed")
    if not follows:
        begin(federation)


def lacks_box(federation: FederationContext) -> list[bytes]:
    """Seats, in their order, that cannot open the hidden file yet."""
    return [seat.account for seat in federation.record.panel if not seat.box] if federation.terms.hidden else []


# --- windows (LC-FED-35) ---------------------------------------------------------------------------------------------------------


def begin(federation: FederationContext) -> None:
    """The first measurement of a model."""
    panel = [replace(seat, silent=0) for seat in federation.record.panel]
    federation.change(again=0, panel=panel)
    _ask(federation)


def _ask(federation: FederationContext) -> None:
    panel = [replace(seat, commitment=b"", opened=[], holds=False) for seat in federation.record.panel]
    federation.change(panel=panel)
    if steps.is_asked(federation):
        federation.change_cells(opened=[])
    at = federation.enter(FederationState.MEASURE, formulas.evaluation_window(federation.params, federation.terms))
    now = federation.record
    federation.emit("fed.measure", now.r, now.again, at, *(seat.account for seat in panel))


def _seat_in(
    host: Host, sender: bytes, m: CommitMeasure | OpenMeasure | OpenSteps, state: FederationState
) -> tuple[FederationContext, int]:
    """The federation, and the sender's place on its panel."""
    federation = live(host, m.federation)
    require_state(federation, state, "a measurement")
    now = federation.record
    if (m.r, m.again) != (now.r, now.again):
        text = f"round {now.r} is measured, the time {now.again + 1}, not round {m.r} the time {m.again + 1}"
        raise Reject(FederationCode.WRONG_ROUND, text)
    require_time(federation, "measurements")
    for place, seat in enumerate(now.panel):
        if seat.account == sender:
            return federation, place
    raise Reject(FederationCode.NO_SEAT, "you have no seat on this panel")


def _change_seat(federation: FederationContext, place: int, seat: PanelSeat) -> None:
    panel = list(federation.record.panel)
    panel[place] = seat
    federation.change(panel=panel)


def commit_measure(host: Host, sender: bytes, m: CommitMeasure) -> None:
    federation, place = _seat_in(host, sender, m, FederationState.MEASURE)
    seat = federation.record.panel[place]
    if seat.commitment:
        raise Reject(FederationCode.ALREADY_MEASURED, "your measurement is committed already")
    _change_seat(federation, place, replace(seat, commitment=m.commitment))
    federation.emit("fed.committed", m.r, m.again, sender)
    if all(one.commitment for one in federation.record.panel):
        commits_end(federation)


def commits_end(federation: FederationContext) -> None:
    if not any(seat.commitment for seat in federation.record.panel):
        measured(federation)
        return
    federation.change(probe=federation.host.beacon)
    at, now = federation.enter(FederationState.OPEN, federation.params.fed_open), federation.record
    federation.emit("fed.open", now.r, now.again, at)


def open_measure(host: Host, sender: bytes, m: OpenMeasure) -> None:
    federation, place = _opening(host, sender, m)
    if steps.is_asked(federation):
        raise Reject(FederationCode.BAD_VOTE, "of a sum of cells a list is measured: OpenSteps carries it")
    check_measure(m.measure, m.opening)
    holds = all(_is_shown(federation, m, one) for one in m.measure.measured)
    loss = m.measure.measured[0].mean if m.measure.measured else 0
    _opened(federation, place, m, m.measure, loss, holds)


def open_steps(host: Host, sender: bytes, m: OpenSteps) -> None:
    """LC-FED-61"""
    federation, place = _opening(host, sender, m)
    if not steps.is_asked(federation):
        raise Reject(FederationCode.BAD_VOTE, "one model is measured, not a list: OpenMeasure carries it")
    if fault := steps.list_fault(federation, m):
        raise Reject(FederationCode.BAD_VOTE, fault)
    holds = m.measure.code != MeasureCode.OK or steps.is_shown(federation, m)
    federation.change_cells(opened=[*federation.cells.opened, OpenedSteps(sender, m.measure)])
    _opened(federation, place, m, ModelMeasure(m.measure.code, []), steps.least_of(m.measure), holds)


def _opening(host: Host, sender: bytes, m: OpenMeasure | OpenSteps) -> tuple[FederationContext, int]:
    federation, place = _seat_in(host, sender, m, FederationState.OPEN)
    seat = federation.record.panel[place]
    if seat.opened:
        raise Reject(FederationCode.ALREADY_MEASURED, "your measurement is open already")
    if seat.commitment != measure_commitment(host.chain_id, m.federation, m.r, m.again, sender, m.measure, m.salt):
        raise Reject(FederationCode.MEASURE_MISMATCH, "measurement and salt do not open what you committed")
    return federation, place


def _opened(
    federation: FederationContext, place: int, m: OpenMeasure | OpenSteps, measure: ModelMeasure, loss: int, holds: bool
) -> None:
    seat = federation.record.panel[place]
    _change_seat(federation, place, replace(seat, opened=[measure], holds=holds))
    federation.emit("fed.vote", m.r, m.again, seat.account, measure.code, loss, int(holds))
    if all(one.opened for one in federation.record.panel if one.commitment):
        measured(federation)


def check_measure(measure: ModelMeasure, opening: Sequence[Opening]) -> None:
    """Code, measurement and opening go together (531). A client checks before it commits."""
    if measure.code not in CODES:
        raise Reject(FederationCode.BAD_VOTE, f"unknown code {measure.code}")
    if measure.code != MeasureCode.OK:
        if measure.measured or opening:
            raise Reject(FederationCode.BAD_VOTE, f"{MeasureCode(measure.code).name} carries nothing that was measured")
        return
    if not measure.measured or not opening:
        raise Reject(FederationCode.BAD_VOTE, "OK carries what was measured, and the leaves that are asked for")
    if abs(measure.measured[0].mean) > MAX_LOSS:
        raise Reject(FederationCode.BAD_VOTE, f"a loss lies within {MAX_LOSS} of 0")


def _is_shown(federation: FederationContext, m: OpenMeasure, measured: Measurement) -> bool:
    """LC-FED-51: whether the leaves are those that the probe asks for, and are under the root that was committed."""
    probe = draw_probe(federation.record.probe, m.federation, 0, m.again, measured.count)
    try:
        check_opening(measured, probe, m.opening[0])
    except BadOpening:
        return False
    return True


# --- what they measured (LC-FED-36 to 38) ---------------------------------------------------------------------------------------


def measured(federation: FederationContext) -> None:
    host, now, terms = federation.host, federation.record, federation.terms
    panel = [replace(seat, silent=0 if seat.opened else seat.silent + 1) for seat in now.panel]
    federation.change(panel=panel)
    for seat in panel:
        if not seat.opened:
            federation.emit("fed.unopened", now.r, now.again, seat.account)
            host.service(STANDING).strike(seat.account, federation.sponsor, "panel.silent", federation.id)
    c = len(panel)
    enough = formulas.enough_votes(c, now.again == formulas.MEASUREMENTS - 1)
    if steps.is_asked(federation):
        lists = steps.count_lists(federation, enough)
        if isinstance(lists, steps.ListFound):
            _settle(federation, lists.side, lists.loss)
        else:
            _measure_again(federation, lists)
        return
    votes = [(seat, seat.opened[0]) for seat in panel if seat.opened]
    found = [(seat, vote.measured[0].mean) for seat, vote in votes if vote.code == MeasureCode.OK and seat.holds]
    losses = [loss for _, loss in found]
    side = [found[i][0].account for i in formulas.agreeing(terms, losses)]
    invalid = [seat.account for seat, vote in votes if vote.code == MeasureCode.INVALID]
    if len(side) >= enough:
        _settle(federation, side, lower_median(losses))
    elif len(invalid) >= enough:
        _settle(federation, invalid, None)
    else:
        largest = [found[i][0].account for i in formulas.largest_group(terms, losses)]
        _measure_again(federation, largest if len(largest) >= len(invalid) else invalid)


def _measure_again(federation: FederationContext, group: Sequence[bytes]) -> None:
    """LC-FED-38: silent seats are given to others, before the last time those outside the largest group, too."""
    now = federation.record
    again = now.again + 1
    if again == formulas.MEASUREMENTS:
        ends.end(federation, EndReason.STALLED)
        return
    federation.change(again=again)
    last = again == formulas.MEASUREMENTS - 1
    silent = [seat for seat in now.panel if seat.silent >= 2]
    outside = [seat for seat in now.panel if last and seat.account not in group and seat not in silent]
    leaving = [*silent, *outside]
    new = pool.draw_panel(federation, now.panel_beacon, len(now.panel) - len(leaving), len(leaving))
    gone = {seat.account for seat in leaving[: max(len(silent), len(new))]}
    federation.emit("fed.again", now.r, again)
    if gone or new:
        seat_panel(federation, [seat for seat in now.panel if seat.account not in gone], new)
    _ask(federation)


# --- settling -------------------------------------------------------------------------------------------------------------------


def _settle(federation: FederationContext, side: Sequence[bytes], loss: int | None) -> None:
    """`loss` is None where the panel says that the model is invalid."""
    host, now, fee = federation.host, federation.record, federation.terms.fee
    for account in side:
        host.pay(records.fee_escrow(federation.id), account, fee, "fed.panel.fee", federation.id)
    federation.emit("fed.measured", now.r, now.again, int(loss is None), loss or 0, *side)
    if now.r == 0:
        _baseline(federation, loss)
    else:
        _settle_round(federation, loss)


def _baseline(federation: FederationContext, loss: int | None) -> None:
    """LC-FED-39"""
    terms = federation.terms
    if loss is None:
        ends.end(federation, EndReason.BAD_MODEL)
        return
    federation.change(initial=loss, best=loss, best_model=federation.record.base)
    if loss - 2 * formulas.tol(terms, loss) <= terms.target:
        ends.end(federation, EndReason.MET)
        return
    federation.change(r=1)
    ends.idle(federation)


def _settle_round(federation: FederationContext, loss: int | None) -> None:
    """LC-FED-41 to 43"""
    terms, now = federation.terms, federation.record
    worst = now.best + formulas.margin(terms, now.initial)
    if now.pair and (loss is None or loss > worst):
        ends.exclude(federation, now.pair)
    pot = 0
    if loss is not None and formulas.improves(terms, loss, now.best):
        outcome, pot = RoundOutcome.PROGRESS, _progress(federation, loss)
    elif loss is None or loss > worst or now.streak + 1 >= terms.patience:
        outcome = RoundOutcome.REVERTED
        federation.change(base=now.best_model, streak=0)
        _clear_points(federation)
    else:
        outcome = RoundOutcome.NO_PROGRESS
        federation.change(base=now.model, streak=now.streak + 1)
    if federation.has_cells:
        steps.keep_radius(federation, outcome)
    _keep_outcome(federation, loss, outcome, pot)
    best = federation.record.best
    federation.emit("fed.settled", now.r, outcome, loss or 0, best, pot)
    if best <= terms.target:
        ends.end(federation, EndReason.REACHED)
    elif now.r == terms.rounds:
        ends.end(federation, EndReason.ROUNDS)
    else:
        federation.change(r=now.r + 1)
        ends.idle(federation)


def _keep_outcome(federation: FederationContext, loss: int | None, outcome: RoundOutcome, pot: int) -> None:
    host, key = federation.host, records.round_key(federation.id, federation.record.r)
    known = host.get(key, RoundRecord)
    if known is not None:
        settled = {"invalid": loss is None, "loss": loss or 0, "outcome": outcome, "pot": pot, "settled": host.clock}
        host.put(key, replace(known, **settled))


def _progress(federation: FederationContext, loss: int) -> int:
    """LC-FED-41: what the new best is worth beyond what was paid; how much that is."""
    terms, now = federation.terms, federation.record
    federation.change(best=loss, best_model=now.model, best_r=now.r, base=now.model, streak=0)
    pot = formulas.due(terms, now.initial, loss) - now.paid
    federation.change(paid=now.paid + pot)
    members = federation.members()
    shares = sorted((one.index, who, one.points) for who, one in members if one.points)
    if not shares:
        last = formulas.of_bitmap(now.last)
        shares = sorted((one.index, who, 1) for who, one in members if one.index and last >> (one.index - 1) & 1)
    if federation.has_cells:
        parts = steps.shares(federation, pot, [(index - 1, points) for index, _, points in shares])
        steps.clear_gains(federation)
    else:
        parts = formulas.shares(pot, [points for _, _, points in shares])
    known = dict(members)
    for (_, who, _), part in zip(shares, parts, strict=True):
        federation.host.pay(records.bounty_escrow(federation.id), who, part, "fed.share", federation.id)
        federation.put_member(who, replace(known[who], points=0, paid=known[who].paid + part))
    return pot


def _clear_points(federation: FederationContext) -> None:
    for who, one in federation.members():
        if one.points:
            federation.put_member(who, replace(one, points=0))
    if federation.has_cells:
        steps.clear_gains(federation)
