"""Cells: who sits with whom, who waits, who is in the next attempt, and who misses too many of them.

A member waits ─ first DRAW, or a new cell of those that wait ─> it has a cell ─ leaves, is banned, misses three of 16 ─> none
A cell is in, or rests while too few of it count ─ fewer than min_sum left, or others take its members in ─> it is over
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import formulas
from .graph import Graph, ticket
from .records import GONE, Attempt, Cells, Federation, Joined


def book(federation: Federation) -> Cells:
    if federation.cells is None:
        raise ValueError("it has no cells")
    return federation.cells


def there(graph: Graph, federation: Federation) -> list[Joined]:
    return [one for one in federation.active() if not graph.accounts[one.id].banned]


def counts(graph: Graph, federation: Federation, one: Joined) -> bool:
    return not federation.terms.vetted or graph.flagged(one.id)


def counted(graph: Graph, federation: Federation, some: Sequence[Joined]) -> int:
    return sum(counts(graph, federation, one) for one in some)


def may_be_in(graph: Graph, federation: Federation, some: Sequence[Joined]) -> bool:
    return len(some) >= formulas.CELL_LEAST and counted(graph, federation, some) >= federation.terms.min_sum


def living(graph: Graph, federation: Federation) -> dict[int, list[Joined]]:
    """By number: those of a cell that are there."""
    able = {one.index: one for one in there(graph, federation)}
    cells = sorted(book(federation).living.items())
    return {number: [able[i] for i in sorted(members) if i in able] for number, members in cells}


def resting(graph: Graph, federation: Federation) -> list[int]:
    return [number for number, some in living(graph, federation).items() if not may_be_in(graph, federation, some)]


def least_dealt(federation: Federation) -> int:
    return max(formulas.DEALT_LEAST, federation.terms.min_sum)


# --- starts and draws -----------------------------------------------------------------------------------------------------------


def may_start(graph: Graph, federation: Federation) -> bool:
    some, terms = there(graph, federation), federation.terms
    if not book(federation).numbered:
        return len(some) >= terms.min_members and counted(graph, federation, some) >= terms.min_sum
    return len(resting(graph, federation)) < len(book(federation).living) or bool(left_over(graph, federation))


def left_over(graph: Graph, federation: Federation) -> list[Joined]:
    """Who would be a new cell: all that wait or are of a cell that rests, where they are enough and there is room."""
    cells, rest = living(graph, federation), resting(graph, federation)
    seated = {one.id for number, some in cells.items() for one in some if number not in rest}
    some = [one for one in there(graph, federation) if one.id not in seated]
    enough = len(some) >= least_dealt(federation) and counted(graph, federation, some) >= federation.terms.min_sum
    return some if enough and len(cells) - len(rest) < graph.params.cells else []


def draw(graph: Graph, federation: Federation, attempt: Attempt) -> None:
    """Deal cells, or one more; then who is in this attempt is settled."""
    known = book(federation)

    def order(some: Sequence[Joined]) -> list[Joined]:
        def lowest(one: Joined) -> bytes:
            return ticket(attempt.beacon, federation.id, federation.r, attempt.number, one.id)

        return sorted(some, key=lambda one: (not counts(graph, federation, one), lowest(one)))

    if known.numbered:
        for one in federation.members.values():
            if graph.accounts[one.id].banned:
                lose(graph, federation, one)
        one_more(graph, federation, order)
    else:
        deal(graph, federation, order(there(graph, federation)))
    rest = resting(graph, federation)
    if rest:
        graph.reach("cell.rests")
    known.inside = {number: known.living[number] for number in sorted(known.living) if number not in rest}
    seated = sorted(one.id for one in federation.members.values() if any(one.index in cell for cell in known.inside.values()))
    attempt.roster = {who: graph.flagged(who) for who in seated}


def deal(graph: Graph, federation: Federation, order: list[Joined]) -> None:
    """The first cells: in turn, the counted ones first, so that each has enough of them."""
    if not may_be_in(graph, federation, order):
        return
    some, least = counted(graph, federation, order), federation.terms.min_sum
    cells = max(1, min(graph.params.cells, len(order) // least_dealt(federation), some // least))
    dealt = order[: graph.params.in_cell * cells]
    graph.reach("cells.dealt" if cells > 1 else "cell.dealt")
    if len(dealt) < len(order):
        graph.reach("cell.full")
    for first in range(cells):
        seat(federation, dealt[first::cells])


def one_more(graph: Graph, federation: Federation, order: Callable[[Sequence[Joined]], list[Joined]]) -> None:
    """Those of cells that rest stay together, as far as who has to count allows it."""
    known, some = book(federation), left_over(graph, federation)
    if not some:
        return
    waiting = [one for one in some if known.of(one.index) is None]
    others = [one for one in some if known.of(one.index) is not None]
    count = [one for group in (others, waiting) for one in order(group) if counts(graph, federation, one)]
    first = count[: federation.terms.min_sum]
    behind = [one for group in (others, waiting) for one in order(group) if one not in first]
    graph.reach("cell.new")
    for number in resting(graph, federation):
        graph.reach("cell.taken")
        del known.living[number]
    if len(first + behind) > graph.params.in_cell:
        graph.reach("cell.full")
    seat(federation, (first + behind)[: graph.params.in_cell])


def seat(federation: Federation, some: Sequence[Joined]) -> None:
    known = book(federation)
    known.numbered += 1
    known.living[known.numbered] = frozenset(one.index for one in some if one.index is not None)
    for index in known.living[known.numbered]:
        known.rows[index] = 0
        known.gained.setdefault(index, 0)


# --- who is out -----------------------------------------------------------------------------------------------------------------


def lose(graph: Graph, federation: Federation, one: Joined) -> None:
    """It has no cell any more, if it had one."""
    known = book(federation)
    number = known.of(one.index)
    if number is None:
        return
    graph.reach("cell.lost")
    known.living[number] -= {one.index}
    if len(known.living[number]) < federation.terms.min_sum:
        graph.reach("cell.over")
        del known.living[number]


def trained(graph: Graph, federation: Federation, attempt: Attempt) -> None:
    """One attempt more for each of the roster."""
    known = book(federation)
    for who in attempt.roster:
        index = federation.members[who].index or 0
        known.rows[index] = known.rows[index] << 1 & 2**formulas.MISSES_OF - 1
        if who not in attempt.files:
            graph.reach("missed.file")
            missed(graph, federation, who)


def missed(graph: Graph, federation: Federation, who: bytes) -> None:
    known, one = book(federation), federation.members[who]
    index = one.index or 0
    known.rows[index] |= 1
    if known.rows[index].bit_count() >= formulas.MISSES and known.of(index) is not None:
        graph.reach("missed.three")
        one.state = GONE
        lose(graph, federation, one)


def full(federation: Federation, some: Sequence[bytes]) -> list[int]:
    """The cells of the attempt all of whose members are among these."""
    indexes = {federation.members[who].index for who in some}
    return [number for number, members in book(federation).inside.items() if members <= indexes]
