"""What the panel says of a sum of cells: a list of the best candidate of each direction, and what its members gain by it."""

from __future__ import annotations

from . import cells, formulas
from .graph import Graph
from .records import Federation, PanelSeat
from .scenario import INVALID, MAX_LOSS, MEASURES, OK, STEPS, Lists, Terms

Found = tuple[tuple[int, int | None], ...]


def directions(federation: Federation) -> int:
    return len(cells.book(federation).models) // len(STEPS)


def well_formed(federation: Federation, said: Lists) -> bool:
    if said.code != OK:
        return said.code in MEASURES and not said.found
    if len(said.found) != directions(federation) or all(loss is None for _, loss in said.found):
        return False
    return all(
        step == 0 if loss is None else abs(loss) <= MAX_LOSS and named(federation, place, step)
        for place, (step, loss) in enumerate(said.found)
    )


def candidate(federation: Federation, place: int, step: int) -> bytes:
    return cells.book(federation).models[len(STEPS) * place + STEPS.index(step)]


def named(federation: Federation, place: int, step: int) -> bool:
    return step in STEPS and bool(candidate(federation, place, step))


def measured(federation: Federation, enough: int) -> tuple[list[PanelSeat], Found] | None:
    """Who agrees on every direction, and on what; None where most do not agree on one."""
    seats = [(seat, seat.opened) for seat in federation.panel if isinstance(seat.opened, Lists)]
    invalid = [seat for seat, said in seats if said.code == INVALID]
    holding = [(seat, said.found) for seat, said in seats if said.code == OK and said.holds]
    found: list[tuple[int, int | None]] = []
    side = [seat for seat, _ in seats]
    for place in range(directions(federation)):
        entries = [(seat, *entries[place]) for seat, entries in holding]
        valued = [(seat, step, loss) for seat, step, loss in entries if loss is not None]
        losses = [loss for _, _, loss in valued]
        agree = [valued[i][0] for i in formulas.agreeing(losses, federation.terms)]
        against = invalid + [seat for seat, _, loss in entries if loss is None]
        if len(agree) >= enough:
            middle = formulas.lower_median(losses)
            found.append(next((step, loss) for _, step, loss in valued if loss == middle))
        elif len(against) >= enough:
            agree = against
            found.append((0, None))
        else:
            return None
        side = [seat for seat in side if seat in agree]
    return side, tuple(found)


def largest_group(federation: Federation) -> list[PanelSeat]:
    """Around one list in all its directions, such as the code INVALID; the earliest of equals."""
    found = [(seat, seat.opened) for seat in federation.panel if isinstance(seat.opened, Lists)]
    nothing: Found = ((0, None),) * directions(federation)
    said_all = [(seat, nothing if said.code == INVALID else said.found, said) for seat, said in found]
    lists = [(seat, entries) for seat, entries, said in said_all if said.code == INVALID or (said.code == OK and said.holds)]
    best: list[PanelSeat] = []
    for _, centre in lists:
        group = [seat for seat, entries in lists if alike(federation.terms, centre, entries)]
        if len(group) > len(best):
            best = group
    return best


def alike(terms: Terms, centre: Found, other: Found) -> bool:
    for (_, one), (_, another) in zip(centre, other, strict=True):
        if one is None or another is None:
            if one is not another:
                return False
        elif abs(one - another) > 2 * formulas.tol(terms, one):
            return False
    return True


def take(graph: Graph, federation: Federation, found: Found) -> int | None:
    """What was agreed on: the least loss of all is the round's, its candidate the round's model; None where all are INVALID."""
    known = cells.book(federation)
    losses = [(loss, place) for place, (_, loss) in enumerate(found) if loss is not None]
    if any(loss is None for _, loss in found) and losses:
        graph.reach("direction.invalid")
    known.found, known.chosen = found, 0
    if not losses:
        return None
    loss, known.chosen = min(losses)
    federation.model = candidate(federation, known.chosen, found[known.chosen][0])
    count = len(known.inside)
    beyond = formulas.directions(count)
    graph.reach("chosen.reference" if known.chosen >= beyond else "chosen.cell" if known.chosen else "chosen.all")
    return loss


# --- what a round changes -------------------------------------------------------------------------------------------------------


def gain(graph: Graph, federation: Federation) -> None:
    """Of members whose own cell's direction is better than what they trained on, where several cells were summed."""
    known = cells.book(federation)
    if len(known.inside) < 2:
        return
    before = federation.best if federation.base == federation.best_model else federation.loss
    if before is None:
        raise ValueError("the base was measured")
    for place, members in enumerate(known.inside.values(), 1):
        gained = formulas.gain(before, known.found[place][1], len(members))
        if gained:
            graph.reach("gained")
        for index in members:
            known.gained[index] += gained


def shares(federation: Federation, pot: int) -> dict[bytes, int]:
    """Half by what was gained, where anything was, the rest by points; by index."""
    known = cells.book(federation)
    order = sorted((one.index, one.id) for one in federation.members.values() if one.index is not None)
    gained = {who: known.gained.get(index, 0) for index, who in order}
    half = pot // 2 if any(gained.values()) else 0
    parts = formulas.split(pot - half, {who: federation.points.get(who, 0) for _, who in order})
    if half:
        for who, part in formulas.split(half, gained).items():
            parts[who] = parts.get(who, 0) + part
    return parts


def settle(graph: Graph, federation: Federation) -> None:
    """How long the next steps are."""
    known = cells.book(federation)
    if federation.base == federation.model:
        federation.clip = formulas.next_radius(federation.clip, known.found[known.chosen][0])
    else:
        federation.clip = formulas.shorter_radius(federation.clip)
    if not federation.points:
        known.gained = dict.fromkeys(known.gained, 0)
