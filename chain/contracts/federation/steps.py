"""What the panel says of the candidates of a sum of cells: a list, of which each direction has to be agreed on. LC-FED-61, 62."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, formulas, records
from learningchain.chain.contracts.federation.messages import STEPS, MeasureCode, OpenSteps, PaySplit, StepsMeasure
from learningchain.chain.contracts.federation.records import FoundDirection, RoundOutcome, RoundRecord
from learningchain.chain.contracts.federation.store import FederationContext, must
from learningchain.chain.losses import MAX_LOSS, BadOpening, check_opening, draw_probe

CODES = frozenset(MeasureCode)


class ListFound(NamedTuple):
    """Who agrees on all directions, and the least loss; None: all are INVALID."""

    side: list[bytes]
    loss: int | None


def is_asked(federation: FederationContext) -> bool:
    """Whether a list is measured: of the initial model there is one loss, as everywhere."""
    return bool(federation.record.r) and federation.has_cells


def least_of(measure: StepsMeasure) -> int:
    return min((one.measured[0].mean for one in measure.directions if one.measured), default=0)


def list_fault(federation: FederationContext, m: OpenSteps) -> str:
    """An entry for each direction, of a candidate that there is, or INVALID; not of all, which has a code."""
    measure, models = m.measure, federation.cells.models
    count = len(models) // len(STEPS)
    if measure.code not in CODES:
        return f"unknown code {measure.code}"
    if measure.code != MeasureCode.OK:
        return "only OK carries what was measured" if measure.directions or m.opening else ""
    if len(measure.directions) != count or not m.opening:
        return f"OK carries an entry for each of {count} directions, and the leaves that are asked for"
    if not any(one.measured for one in measure.directions):
        return "where all are INVALID, the code says so"
    for direction, one in enumerate(measure.directions):
        if not one.measured:
            if one.step:
                return "an INVALID direction has step 0"
        elif one.step not in STEPS or not models[direction * len(STEPS) + STEPS.index(one.step)]:
            return f"direction {direction} has no candidate of step {one.step}"
        elif abs(one.measured[0].mean) > MAX_LOSS:
            return f"a loss lies within {MAX_LOSS} of 0"
    return ""


def is_shown(federation: FederationContext, m: OpenSteps) -> bool:
    """LC-FED-61: leaves of one direction, which the beacon names when all have committed."""
    beacon = federation.record.probe
    measured = [(number, one.measured[0]) for number, one in enumerate(m.measure.directions) if one.measured]
    number, found = measured[int.from_bytes(beacon, "big") % len(measured)]
    try:
        check_opening(found, draw_probe(beacon, m.federation, number, m.again, found.count), m.opening[0])
    except BadOpening:
        return False
    return True


def count_lists(federation: FederationContext, enough: int) -> ListFound | list[bytes]:
    """LC-FED-37 of all directions at once: what was found, and then it is chosen; or the largest set of seats that agree."""
    now, terms, cells = federation.record, federation.terms, federation.cells
    count, said = len(cells.models) // len(STEPS), {one.account: one.measure for one in cells.opened}
    voters = [seat.account for seat in now.panel if seat.opened and seat.holds and said[seat.account].code <= MeasureCode.INVALID]
    votes = [_losses(said[who], count) for who in voters]
    agreed = cell_formulas.measured_lists(terms, votes, enough)
    if agreed is None:
        return [voters[place] for place in cell_formulas.largest_agreeing(terms, votes)]
    chosen = cell_formulas.chosen_direction(agreed.losses)
    found = [
        FoundDirection(0, []) if loss is None else FoundDirection(said[voters[seat]].directions[number].step, [loss])
        for number, (loss, seat) in enumerate(zip(agreed.losses, agreed.seats, strict=True))
    ]
    federation.change_cells(found=found, chosen=chosen or 0)
    if chosen is not None:
        _choose(federation, cells.models[chosen * len(STEPS) + STEPS.index(found[chosen].step)])
    _gain(federation, agreed.losses)
    federation.emit("fed.directions", now.r, chosen or 0, *(n for one in found for n in (one.step, *(one.loss or [0]))))
    return ListFound([voters[place] for place in agreed.side], None if chosen is None else agreed.losses[chosen])


def _losses(measure: StepsMeasure, count: int) -> list[int | None]:
    """INVALID is a list of INVALID alone."""
    if measure.code == MeasureCode.INVALID:
        return [None] * count
    return [one.measured[0].mean if one.measured else None for one in measure.directions]


def _choose(federation: FederationContext, model: bytes) -> None:
    """This is the round's model, from now on."""
    host, key = federation.host, records.round_key(federation.id, federation.record.r)
    known = must(host.get(key, RoundRecord), "round", federation.id)
    host.put(key, replace(known, model=model))
    federation.change(model=model)


def _gain(federation: FederationContext, losses: cell_formulas.Losses) -> None:
    """LC-FED-62: what the own direction of each of several cells is worth, by its members."""
    cells, base = federation.cells, _base_loss(federation)
    if len(cells.inside) < 2:
        return
    gained: dict[int, int] = {}
    for cell, loss in zip(cells.inside, losses[1:], strict=False):
        members = formulas.indexes_of(formulas.of_bitmap(cell.members))
        gained |= dict.fromkeys(members, cell_formulas.gained(base, loss, len(members)))
    rows = [replace(one, gained=one.gained + gained.get(one.index, 0)) for one in cells.members]
    federation.change_cells(members=rows)


def _base_loss(federation: FederationContext) -> int:
    """That of the best model, or of the round that made the base."""
    now = federation.record
    if now.base == now.best_model:
        return now.best
    return must(federation.host.get(records.round_key(federation.id, now.r - 1), RoundRecord), "round", federation.id).loss


def shares(federation: FederationContext, pot: int, points: Sequence[tuple[int, int]]) -> list[int]:
    """LC-FED-41, 62: of (index, points), by the index."""
    gains = {one.index: one.gained for one in federation.cells.members}
    half = [gains.get(index, 0) if federation.terms.split == PaySplit.HALF else 0 for index, _ in points]
    return cell_formulas.half_shares(pot, [one for _, one in points], half)


def clear_gains(federation: FederationContext) -> None:
    federation.change_cells(members=[replace(one, gained=0) for one in federation.cells.members])


def keep_radius(federation: FederationContext, outcome: RoundOutcome) -> None:
    """LC-FED-62"""
    radius, cells = federation.record.clip, federation.cells
    if outcome == RoundOutcome.REVERTED:
        federation.change(clip=cell_formulas.shorter_radius(radius))
    else:
        federation.change(clip=cell_formulas.next_radius(radius, cells.found[cells.chosen].step))
