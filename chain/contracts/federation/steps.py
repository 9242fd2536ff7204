"""What the panel says of the candidates of a sum of cells: a list, of which each direction has to be agreed on. LC-FED-61, 62."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from learningchain.chain.contracts.federation import cell_formulas, records
from learningchain.chain.contracts.federation.messages import STEPS, MeasureCode, OpenSteps, StepsMeasure
from learningchain.chain.contracts.federation.records import RoundOutcome, RoundRecord
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
    measure, models = m.measure, federation.cell.models
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
    now, terms, cell = federation.record, federation.terms, federation.cell
    count, said = len(cell.models) // len(STEPS), {one.account: one.measure for one in cell.opened}
    voters = [seat.account for seat in now.panel if seat.opened and seat.holds and said[seat.account].code <= MeasureCode.INVALID]
    votes = [_losses(said[who], count) for who in voters]
    found = cell_formulas.measured_lists(terms, votes, enough)
    if found is None:
        return [voters[place] for place in cell_formulas.largest_agreeing(terms, votes)]
    chosen = cell_formulas.chosen_direction(found.losses)
    steps = [
        0 if loss is None else said[voters[seat]].directions[number].step
        for number, (loss, seat) in enumerate(zip(found.losses, found.seats, strict=True))
    ]
    if chosen is not None:
        _choose(federation, cell.models[chosen * len(STEPS) + STEPS.index(steps[chosen])], steps[chosen])
    told = [number for step, loss in zip(steps, found.losses, strict=True) for number in (step, loss or 0)]
    federation.emit("fed.directions", now.r, chosen or 0, *told)
    return ListFound([voters[place] for place in found.side], None if chosen is None else found.losses[chosen])


def _losses(measure: StepsMeasure, count: int) -> list[int | None]:
    """INVALID is a list of INVALID alone."""
    if measure.code == MeasureCode.INVALID:
        return [None] * count
    return [one.measured[0].mean if one.measured else None for one in measure.directions]


def _choose(federation: FederationContext, model: bytes, step: int) -> None:
    """This is the round's model, from now on."""
    host, key = federation.host, records.round_key(federation.id, federation.record.r)
    known = must(host.get(key, RoundRecord), "round", federation.id)
    host.put(key, replace(known, model=model))
    federation.change(model=model)
    federation.change_cell(step=step)


def keep_radius(federation: FederationContext, outcome: RoundOutcome) -> None:
    """LC-FED-62"""
    radius = federation.record.clip
    if outcome == RoundOutcome.REVERTED:
        federation.change(clip=cell_formulas.shorter_radius(radius))
    else:
        federation.change(clip=cell_formulas.next_radius(radius, federation.cell.step))
