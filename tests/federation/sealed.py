"""An attempt of a federation with cells, from what aggregators have to the sums of whole cells.

Three aggregators are needed to the end. Each seals its parts before it sees another's, then pins them, then says what it found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import cells, ends, formulas, measuring
from .events import CellsSummed, Screened
from .graph import Graph
from .records import HAVE, ROWS, SUMMING, Attempt, Federation, Seat
from .scenario import AWAY, RESTS, ROWS_STAGE, SUMS_STAGE, UNPROVED, USED, ScreenUpdates, SumCells
from .states import T, Votes, agreed, enter, running, wait_for_draw


def trained(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    cells.trained(graph, federation, attempt)
    if not cells.full(federation, attempt.files):
        ends.void(graph, federation, attempt, "TOO_FEW")
        return
    enter(graph, federation, HAVE, graph.params.v0)


# --- what they have -------------------------------------------------------------------------------------------------------------


def decide(graph: Graph, federation: Federation) -> None:
    """A file counts that all three have. Who alone lacks something is remembered, and so is the owner of what one lacks."""
    attempt = running(federation)
    for who in lacked(attempt):
        graph.reach("missed.lacked")
        cells.missed(graph, federation, who)
    silent = [seat for seat in attempt.seats if seat.have is None]
    if silent:
        graph.reach("have.silent.cells")
        give_up(graph, federation, silent, [])
        return
    remember(graph, federation, attempt)
    attempt.deciding = list(attempt.seats)
    attempt.both = -1
    for bits, _ in (seat.have for seat in attempt.seats if seat.have is not None):
        attempt.both &= bits
    attempt.reference = all(seat.have is not None and seat.have[1] for seat in attempt.seats)
    counting = [who for i, who in enumerate(attempt.files) if attempt.both >> i & 1]
    if not cells.full(federation, counting):
        graph.reach("have.split")
        ends.void(graph, federation, attempt, "SPLIT")
        return
    wait_for_draw(graph, federation, ROWS)


def lacked(attempt: Attempt) -> list[bytes]:
    """Owners of files that one lacks who lacks at most half of them."""
    count, most = len(attempt.files), 0
    for bits, _ in (seat.have for seat in attempt.seats if seat.have is not None):
        if 2 * (count - bits.bit_count()) <= count:
            most |= ~bits
    return [who for i, who in enumerate(attempt.files) if most >> i & 1]


def remember(graph: Graph, federation: Federation, attempt: Attempt) -> None:
    known = cells.book(federation)
    said = [seat.have for seat in attempt.seats if seat.have is not None]
    for i, seat in enumerate(attempt.seats):
        (one, knows), (another, knows_too) = said[:i] + said[i + 1 :]
        if one & another & ~said[i][0] or (knows and knows_too and not said[i][1]):
            graph.reach("lacked.alone")
            known.lacked = [who for who in known.lacked if who != seat.who] + [seat.who]
            del known.lacked[: -formulas.LACKED]


# --- parts -----------------------------------------------------------------------------------------------------------------------


def shares(attempt: Attempt, seat: Seat, stage: int) -> tuple[int, ...]:
    known = formulas.masks(attempt.place(seat))
    return (0, *known) if stage == ROWS_STAGE else known


def has_pinned(attempt: Attempt, seat: Seat, stage: int) -> bool:
    return all((stage, share) in seat.parts for share in shares(attempt, seat, stage))


def pinned(graph: Graph, federation: Federation, attempt: Attempt, seat: Seat, stage: int) -> None:
    """One more has pinned: who gives another digest is out, and the attempt is over."""
    differing = conflicts(attempt, seat, stage)
    if not differing:
        return
    graph.reach("sealed.differ")
    blame(graph, federation, [], differing)
    if stage == SUMS_STAGE:
        ends.pay_fees(graph, federation, [one for one in attempt.screeners if one not in differing])
    ends.void(graph, federation, attempt, "DISPUTE")


def conflicts(attempt: Attempt, seat: Seat, stage: int) -> list[Seat]:
    """Who pins, and the first that gives a mask another digest; otherwise of share 0 who is alone, or all where all differ."""
    for other in attempt.seats:
        masks = {key for key in other.parts if key[0] == stage and key[1] and key in seat.parts}
        if any(other.parts[key] != seat.parts[key] for key in masks):
            return [seat, other]
    masked = [one.parts[stage, 0] for one in attempt.seats if (stage, 0) in one.parts]
    if len(masked) < formulas.AGGREGATORS or len(set(masked)) == 1:
        return []
    return [one for one in attempt.seats if masked.count(one.parts[stage, 0]) == 1]


# --- Screens --------------------------------------------------------------------------------------------------------------------


def summing(federation: Federation, attempt: Attempt, codes: Sequence[str]) -> list[int]:
    """The cells all of whose files count and are proved."""
    proved = [
        who for i, (who, code) in enumerate(zip(attempt.files, codes, strict=True)) if attempt.both >> i & 1 and code != UNPROVED
    ]
    return cells.full(federation, proved)


def well_formed(federation: Federation, attempt: Attempt, message: ScreenUpdates) -> bool:
    if len(message.codes) != len(attempt.files) or message.points or message.norm:
        return False
    indexes = {i for number in summing(federation, attempt, message.codes) for i in cells.book(federation).inside[number]}
    for i, (who, code) in enumerate(zip(attempt.files, message.codes, strict=True)):
        sums = federation.members[who].index in indexes
        lawful = (AWAY,) if not attempt.both >> i & 1 else (USED,) if sums else (UNPROVED, RESTS)
        if code not in lawful:
            return False
    return True


def silent_in(graph: Graph, attempt: Attempt, stage: int, votes: Votes[T]) -> list[Seat]:
    """Who did not seal; where all did, who did not pin; where all did, who said nothing."""
    unsealed = [seat for seat in attempt.seats if stage not in seat.seals]
    unpinned = [seat for seat in attempt.seats if not has_pinned(attempt, seat, stage)]
    unsaid = [seat for seat, vote in votes if vote is None]
    for row, silent in (("silent.seal", unsealed), ("silent.pin", unpinned), ("silent.said", unsaid)):
        if silent:
            graph.reach(row)
            return silent
    return []


def give_up(graph: Graph, federation: Federation, silent: Iterable[Seat], different: Iterable[Seat]) -> None:
    blame(graph, federation, silent, different)
    ends.void(graph, federation, running(federation), "DISPUTE")


def blame(graph: Graph, federation: Federation, silent: Iterable[Seat], different: Iterable[Seat]) -> None:
    for seat in silent:
        ends.silence(graph, federation, seat)
        ends.exclude(graph, federation, [seat.who])
    for seat in different:
        ends.differs(graph, federation, seat)
        ends.exclude(graph, federation, [seat.who])


def outside(votes: Votes[T], side: Sequence[Seat]) -> list[Seat]:
    """Who says something else than those that agree; all that said something, where nobody agrees and they differ."""
    said = [(seat, vote) for seat, vote in votes if vote is not None]
    return [seat for seat, _ in said if seat not in side] if len({vote for _, vote in said}) > 1 else []


def screened(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    votes = [(seat, (seat.screen.codes, seat.screen.digest) if seat.screen else None) for seat in attempt.seats]
    side, silent = agreed(votes), silent_in(graph, attempt, ROWS_STAGE, votes)
    if silent or not side:
        give_up(graph, federation, silent, outside(votes, side))
        return
    blame(graph, federation, [], outside(votes, side))
    screen, known = side[0].screen, cells.book(federation)
    if screen is None:
        raise ValueError("an agreed Screen is one")
    attempt.screeners, attempt.codes = side, dict(zip(attempt.files, screen.codes, strict=True))
    for who, code in attempt.codes.items():
        graph.reach(f"cells.code.{code}")
        if code == UNPROVED:
            graph.reach("missed.unproved")
            cells.missed(graph, federation, who)
    attempt.summing = summing(federation, attempt, screen.codes)
    sets = [known.inside[number] for number in attempt.summing]
    attempt.accepted = frozenset(who for who in attempt.files if any(federation.members[who].index in one for one in sets))
    graph.tell(Screened(federation.id, attempt.number, tuple(attempt.codes.items()), tuple(sorted(attempt.accepted)), ()))
    if not sets:
        graph.reach("screen.split")
        ends.pay_fees(graph, federation, side)
        ends.void(graph, federation, attempt, "SPLIT")
        return
    if len(sets) < len(known.inside):
        graph.reach("cell.pauses")
    accept(graph, federation, sets)
    enter(graph, federation, SUMMING, formulas.sum_window(graph.params, federation.terms))


def accept(graph: Graph, federation: Federation, sets: Sequence[frozenset[int]]) -> None:
    """What was summed on a base stays known: another set with a common member has more noise."""
    by_index = {one.index: one.id for one in federation.members.values()}
    before = federation.chains.setdefault(federation.base, [])
    for one in sets:
        members = frozenset(by_index[index] for index in one)
        if any(members != other and members & other for other in before):
            graph.reach("sum.noisier")
        if members not in before:
            before.append(members)


# --- sums -----------------------------------------------------------------------------------------------------------------------


def is_sum(attempt: Attempt, message: SumCells) -> bool:
    """Four candidates for each direction, one at least with a name; or nothing at all."""
    if not message.sums or not message.models:
        return not message.sums and not message.models
    least = formulas.directions(len(attempt.summing))
    lawful = (4 * least, 4 * (least + 2)) if attempt.reference else (4 * least,)
    return len(message.models) in lawful and any(message.models)


def summed(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    votes = [(seat, (seat.sum.sums, seat.sum.models) if isinstance(seat.sum, SumCells) else None) for seat in attempt.seats]
    side, silent = agreed(votes), silent_in(graph, attempt, SUMS_STAGE, votes)
    different = outside(votes, side)
    blame(graph, federation, silent, different)
    said = [seat for seat, vote in votes if vote is not None and seat not in different]
    ends.pay_fees(graph, federation, [seat for seat in said if seat in attempt.screeners])
    if silent or not side:
        ends.void(graph, federation, attempt, "DISPUTE")
        return
    found = side[0].sum
    if not isinstance(found, SumCells) or not found.models:
        ends.void(graph, federation, attempt, "NOT_FINITE")
        return
    record(graph, federation, attempt, [seat.who for seat in side], found)


def record(graph: Graph, federation: Federation, attempt: Attempt, by: list[bytes], found: SumCells) -> None:
    """The sums stand; which candidate is the round's model the panel will say."""
    known, order = cells.book(federation), [who for who in federation.members if who in attempt.accepted]
    order.sort(key=lambda who: federation.members[who].index or 0)
    for who in order:
        federation.points[who] = federation.points.get(who, 0) + 1
    federation.last, federation.model = tuple(order), b""
    known.inside = {number: known.inside[number] for number in attempt.summing}
    known.models, known.found, known.chosen = found.models, (), 0
    graph.reach("cells.summed" if len(attempt.summing) > 1 else "cell.summed")
    if attempt.reference:
        graph.reach("sum.reference")
    graph.tell(CellsSummed(federation.id, attempt.number, tuple(by), tuple(known.inside.items())))
    federation.attempt = None
    measuring.begin(graph, federation)
