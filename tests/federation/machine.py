"""What happens by itself: draws, windows, screens, sums.

start ─> DRAW ─> READY ─> TRAIN ─> HAVE ─> ROWS ─> SCREEN ─> SUM ─> MEASURE ─> OPEN ─> settle ─> IDLE | END
           └ r=0: panel ─> KEY ─────────────────────────────────────> MEASURE
"""

from __future__ import annotations

from collections.abc import Sequence

from . import cells, chains, ends, formulas, measuring, pool, sealed
from .events import Benched, Drawn, Screened, Summed
from .graph import Graph, ticket
from .records import (
    DRAW,
    END,
    HAVE,
    IDLE,
    KEY,
    MEASURE,
    OPENING,
    READY,
    ROWS,
    SCREEN,
    SUMMING,
    TRAIN,
    Attempt,
    Federation,
    PanelSeat,
    Seat,
)
from .scenario import ALIGNED, AWAY, COPY, EMPTY, ROWS_STAGE, SAMPLES, STALE, SUMS_STAGE, USED, SumUpdates
from .states import T, Votes, agreed, enter, running, wait_for_draw


def deadline(graph: Graph, federation: Federation) -> None:
    """What is due; every state but END has its time, and no deadline refuses."""
    if federation.state != END:
        federation.lateness += max(0, graph.clock - federation.deadline)
    if federation.state == IDLE:
        ends.end(graph, federation, "EXPIRED" if graph.clock >= federation.terms.ends else "ABANDONED")
    elif federation.state == DRAW:
        draw(graph, federation)
    elif federation.state == KEY:
        ends.end(graph, federation, "NOKEY")
    elif federation.state == READY:
        unready(graph, federation)
    elif federation.state == TRAIN:
        trained(graph, federation)
    elif federation.state == HAVE:
        decide(graph, federation)
    elif federation.state == ROWS:
        running(federation).rows = graph.beacon
        window = formulas.screen_window(graph.params, federation.terms, len(running(federation).files))
        enter(graph, federation, SCREEN, window)
    elif federation.state == SCREEN:
        screened(graph, federation)
    elif federation.state == SUMMING:
        summed(graph, federation)
    elif federation.state == MEASURE:
        measuring.commits_end(graph, federation)
    elif federation.state == OPENING:
        measuring.measured(graph, federation)
    else:
        ends.drop(graph, federation)


# --- draws ----------------------------------------------------------------------------------------------------------------------


def draw(graph: Graph, federation: Federation) -> None:
    if federation.r:
        draw_aggregators(graph, federation)
        return
    federation.panel_beacon = graph.beacon
    found = pool.draw_panel(graph, federation)
    if len(found) < formulas.LEAST_VOTES:
        graph.reach("panel.none")
        ends.idle(graph, federation)
        return
    among = (*pool.panel(graph, federation), *pool.panel_members(graph, federation))
    graph.tell(Drawn(federation.id, 0, tuple(found), among))
    federation.panel = [PanelSeat(who) for who in found]
    federation.sat |= set(found)
    federation.model = federation.base
    if federation.terms.hidden:
        enter(graph, federation, KEY, graph.params.w_h)
    else:
        measuring.begin(graph, federation)


def draw_aggregators(graph: Graph, federation: Federation) -> None:
    attempt, among = running(federation), pool.aggregators(graph, federation)
    attempt.beacon = graph.beacon
    if federation.cells is not None:
        cells.draw(graph, federation, attempt)
        if not attempt.roster:
            ends.void(graph, federation, attempt, "TOO_FEW")
            return
        among = pool.aggregators(graph, federation)
    if len(among) < formulas.fewest(federation.terms):
        ends.void(graph, federation, attempt, "NO_AGGREGATORS")
        return
    found = pool.drawn(federation, attempt.beacon, attempt.number, among, formulas.AGGREGATORS)
    graph.tell(Drawn(federation.id, attempt.number, tuple(found), tuple(among)))
    attempt.seats = [Seat(who) for who in found]
    attempt.tried = set(found)
    enter(graph, federation, READY, graph.params.w_h)


def unready(graph: Graph, federation: Federation) -> None:
    """Who was not ready has failed; the next tickets of the same draw follow, twice."""
    attempt = running(federation)
    missing = [seat for seat in attempt.seats if not seat.ready]
    for seat in missing:
        ends.unready(graph, federation, seat)
    among = [one for one in pool.aggregators(graph, federation) if one not in attempt.tried]
    if attempt.windows < formulas.READY_WINDOWS and among:
        graph.reach("ready.replaced")
        found = pool.drawn(federation, attempt.beacon, attempt.number, among, len(missing))
        graph.tell(Drawn(federation.id, attempt.number, tuple(found), tuple(among)))
        attempt.windows += 1
        attempt.seats = [seat for seat in attempt.seats if seat.ready] + [Seat(who) for who in found]
        attempt.tried |= set(found)
        enter(graph, federation, READY, graph.params.w_h)
        return
    attempt.seats = [seat for seat in attempt.seats if seat.ready]
    if len(attempt.seats) == 2 and federation.cells is None:
        graph.reach("ready.two")
    train(graph, federation)


def train(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    if len(attempt.seats) < formulas.fewest(federation.terms):
        ends.void(graph, federation, attempt, "NO_AGGREGATORS")
        return
    attempt.ready = len(attempt.seats)
    enter(graph, federation, TRAIN, federation.terms.round_ms)


# --- files ----------------------------------------------------------------------------------------------------------------------


def all_committed(graph: Graph, federation: Federation) -> bool:
    attempt = running(federation)
    able = [who for who in attempt.roster if not graph.accounts[who].banned]
    return all(who in attempt.files for who in able) and (attempt.referred or not federation.terms.reference)


def trained(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    if federation.cells is not None:
        sealed.trained(graph, federation)
        return
    if len(attempt.files) < federation.terms.min_members:
        ends.void(graph, federation, attempt, "TOO_FEW")
        return
    enter(graph, federation, HAVE, graph.params.v0)


def decide(graph: Graph, federation: Federation) -> None:
    """Whose bitmaps count: all that said theirs, else pairs by ticket; the files that they share are a lot of what they have."""
    attempt = running(federation)
    if federation.cells is not None:
        sealed.decide(graph, federation)
        return
    for seat in attempt.seats:
        if seat.have is None:
            graph.reach("have.silent")
            ends.silence(graph, federation, seat)
    said = [seat for seat in attempt.seats if seat.have is not None]
    said.sort(key=lambda seat: ticket(attempt.beacon, federation.id, federation.r, attempt.number, seat.who))
    sets = [said] if len(said) >= 2 else []
    if len(said) == formulas.AGGREGATORS:
        sets += [[said[0], said[1]], [said[0], said[2]], [said[1], said[2]]]
    twice = of_two(said) if len(said) == formulas.AGGREGATORS else -1
    found = [(some, both) for some in sets if (both := shared(some, twice))]
    if not found:
        ends.void(graph, federation, attempt, "NO_SET")
        return
    informed = [one for one in found if all(seat.have is not None and seat.have[1] for seat in one[0])]
    some, attempt.both = (informed or found)[0]
    graph.reach("have.all" if len(some) == len(said) else "have.pair")
    if informed and informed[0] != found[0]:
        graph.reach("have.informed")
    attempt.deciding = [seat for seat in attempt.seats if seat in some]
    attempt.reference = bool(informed)
    if federation.terms.split == ALIGNED and not attempt.reference:
        ends.void(graph, federation, attempt, "NO_REFERENCE")
        return
    wait_for_draw(graph, federation, ROWS)


def of_two(said: Sequence[Seat]) -> int:
    """The files that two of them have, or more."""
    found, seen = 0, 0
    for seat in said:
        bits = seat.have[0] if seat.have is not None else 0
        found, seen = found | seen & bits, seen | bits
    return found


def shared(some: Sequence[Seat], counted: int) -> int:
    """The files that all of them have, where those are three quarters of the counted ones that any of them has; else none."""
    have = [seat.have[0] for seat in some if seat.have is not None]
    both, either = have[0], have[0]
    for bits in have[1:]:
        both, either = both & bits, either | bits
    return both if 4 * both.bit_count() >= 3 * (either & counted).bit_count() else 0


# --- screens and sums -----------------------------------------------------------------------------------------------------------


def conflict(attempt: Attempt, seat: Seat, stage: int) -> Seat | None:
    """Who pinned another digest of a mask that `seat` pinned, too."""
    for other in attempt.deciding:
        shared = {key for key in other.parts if key[0] == stage and key in seat.parts}
        if any(other.parts[key] != seat.parts[key] for key in shared):
            return other
    return None


def two_digests(graph: Graph, federation: Federation, one: Seat, other: Seat, stage: int) -> None:
    """Of one mask: both fail, as nobody else can tell who lied, and meet no more while others are there."""
    attempt = running(federation)
    graph.reach("parts.differ")
    exclude = (one.who, other.who)
    for seat in (one, other):
        ends.differs(graph, federation, seat)
    ends.exclude(graph, federation, exclude)
    if stage == SUMS_STAGE:
        ends.pay_fees(graph, federation, [seat for seat in attempt.deciding if seat.who not in exclude])
    ends.void(graph, federation, attempt, "DISPUTE")


def supplied(attempt: Attempt, seat: Seat, stage: int) -> bool:
    """Whether the mask that it does not know was pinned by another."""
    return any((stage, attempt.place(seat)) in other.parts for other in attempt.deciding if other is not seat)


def pinned(attempt: Attempt, seat: Seat, stage: int) -> bool:
    return (stage, formulas.masks(attempt.place(seat))[0]) in seat.parts


def faults(graph: Graph, federation: Federation, votes: Votes[T], side: list[Seat], stage: int) -> list[Seat]:
    """Who was silent, though it could speak, and who differs; the others are without fault."""
    attempt, clean = running(federation), []
    several = len({vote for _, vote in votes if vote is not None}) > 1
    for seat, vote in votes:
        if vote is None:
            if supplied(attempt, seat, stage) or not pinned(attempt, seat, stage):
                graph.reach("stage.silent")
                ends.silence(graph, federation, seat)
            else:
                graph.reach("silent.excused")
        elif seat not in side and several:
            ends.differs(graph, federation, seat)
        else:
            clean.append(seat)
    return clean


def screened(graph: Graph, federation: Federation) -> None:
    attempt, terms = running(federation), federation.terms
    if federation.cells is not None:
        sealed.screened(graph, federation)
        return
    votes = [
        (seat, (seat.screen.codes, seat.screen.points, seat.screen.norm, seat.screen.digest) if seat.screen else None)
        for seat in attempt.deciding
    ]
    side = agreed(votes)
    faults(graph, federation, votes, side, ROWS_STAGE)
    if not side:
        ends.void(graph, federation, attempt, "DISPUTE")
        return
    screen = side[0].screen
    if screen is None:
        raise ValueError("an agreed Screen is one")
    attempt.deciding, attempt.norm = side, screen.norm
    attempt.codes = dict(zip(attempt.files, screen.codes, strict=True))
    attempt.points = dict(zip(attempt.files, screen.points, strict=False))
    attempt.accepted = accept(graph, federation, attempt)
    codes, points = tuple(attempt.codes.items()), tuple(attempt.points.items())
    graph.tell(Screened(federation.id, attempt.number, codes, tuple(sorted(attempt.accepted)), points))
    bench(graph, federation, attempt)
    if not attempt.accepted:
        ends.pay_fees(graph, federation, side)
        ends.void(graph, federation, attempt, "SPLIT")
        return
    federation.chains[federation.base] = chains.added(federation.chains.get(federation.base, []), attempt.accepted)
    enter(graph, federation, SUMMING, formulas.sum_window(graph.params, terms))


def bench(graph: Graph, federation: Federation, attempt: Attempt) -> None:
    """Three in a row that a member is turned away for what it sent: five starts without it."""
    for who, code in attempt.codes.items():
        member = federation.members[who]
        if code in (USED, COPY, STALE):
            member.bad = 0
        elif code not in (AWAY, EMPTY):
            member.bad += 1
            if member.bad == formulas.BENCH_AFTER:
                graph.reach("benched")
                member.bad, member.benched_until = 0, federation.starts + formulas.BENCH_STARTS
                graph.tell(Benched(federation.id, who))


def accept(graph: Graph, federation: Federation, attempt: Attempt) -> frozenset[bytes]:
    """Who is summed; nobody where too few are left."""
    terms = federation.terms
    used = frozenset(who for who, code in attempt.codes.items() if code == USED)
    judged = sum(1 for code in attempt.codes.values() if code not in (AWAY, COPY, STALE, EMPTY))
    if not attempt.reference and 2 * len(used) < judged:
        graph.reach("split.half")
        return frozenset()
    counted = frozenset(who for who, vetted in attempt.roster.items() if vetted or not terms.vetted)
    earlier = federation.chains.get(federation.base, [])
    order = lambda who: ticket(attempt.rows, federation.id, federation.r, attempt.number, who)  # noqa: E731
    found = chains.fitted(used, earlier, terms.min_sum, counted, order)
    if found != used:
        graph.reach("left.out")
    return found


def summed(graph: Graph, federation: Federation) -> None:
    attempt = running(federation)
    if federation.cells is not None:
        sealed.summed(graph, federation)
        return
    votes = [(seat, seat.sum.cid if isinstance(seat.sum, SumUpdates) else None) for seat in attempt.deciding]
    side = agreed(votes)
    clean = faults(graph, federation, votes, side, SUMS_STAGE)
    ends.pay_fees(graph, federation, clean)
    if not side:
        ends.void(graph, federation, attempt, "DISPUTE")
        return
    said = side[0].sum
    model = said.cid if isinstance(said, SumUpdates) else b""
    if not model:
        ends.void(graph, federation, attempt, "NOT_FINITE")
        return
    record(graph, federation, attempt, [seat.who for seat in side], model)


def record(graph: Graph, federation: Federation, attempt: Attempt, by: list[bytes], model: bytes) -> None:
    """The round's sum stands, once."""
    terms, order = federation.terms, [who for who in federation.members if who in attempt.accepted]
    order.sort(key=lambda who: federation.members[who].index or 0)
    if terms.split == ALIGNED:
        new = [attempt.points.get(who, 0) for who in order]
    elif terms.split == SAMPLES:
        new = formulas.sample_points([federation.members[who].n for who in order])
    else:
        new = [1] * len(order)
    for who, points in zip(order, new, strict=True):
        federation.points[who] = federation.points.get(who, 0) + points
    federation.last = tuple(order)
    federation.clip = formulas.next_clip(federation.clip, attempt.norm)
    federation.model = model
    federation.pair = tuple(by) if len(by) == 2 else ()
    graph.reach("sum.pair" if federation.pair else "sum.three")
    graph.tell(Summed(federation.id, attempt.number, tuple(by), model))
    federation.attempt = None
    measuring.begin(graph, federation)
