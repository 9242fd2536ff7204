"""What aggregators of a federation with cells say in SCREEN and SUM: a seal, the parts that it is of, and what they found."""

from __future__ import annotations

from . import opening, sealed
from .graph import Graph
from .guards import attempt_in, drawn_seat
from .records import SCREEN, SUMMING, Attempt, Federation, Seat
from .refused import check
from .scenario import ROWS_STAGE, SUMS_STAGE, PinSealed, ScreenUpdates, SealParts, SumCells


def stage_in(graph: Graph, sender: bytes, message: SealParts | PinSealed) -> tuple[Federation, Attempt, Seat]:
    state = SCREEN if message.stage == ROWS_STAGE else SUMMING
    federation, attempt, seat = seat_in(graph, sender, message, state)
    check(message.stage in (ROWS_STAGE, SUMS_STAGE), "BAD_SCREEN")
    return federation, attempt, seat


def seat_in(graph: Graph, sender: bytes, message: SealParts | PinSealed | SumCells, state: str) -> tuple[Federation, Attempt, Seat]:
    federation = opening.live(graph, message.federation)
    check(federation.cells is not None, "WRONG_STATE")
    federation, attempt = attempt_in(graph, message.federation, message.attempt, state)
    return federation, attempt, drawn_seat(attempt, sender)


def seal(graph: Graph, sender: bytes, message: SealParts) -> None:
    _, _, seat = stage_in(graph, sender, message)
    check(message.stage not in seat.seals, "ALREADY_SAID")
    seat.seals[message.stage] = message.digests


def pin(graph: Graph, sender: bytes, message: PinSealed) -> None:
    federation, attempt, seat = stage_in(graph, sender, message)
    check(not sealed.has_pinned(attempt, seat, message.stage), "ALREADY_SAID")
    check(all(message.stage in one.seals for one in attempt.seats), "PARTS_MISSING")
    check(tuple(share for share, _ in message.parts) == sealed.shares(attempt, seat, message.stage), "BAD_SCREEN")
    check(tuple(digest for _, digest in message.parts) == seat.seals[message.stage], "BAD_SCREEN")
    for share, digest in message.parts:
        seat.parts[message.stage, share] = digest
    sealed.pinned(graph, federation, attempt, seat, message.stage)


def screen(graph: Graph, sender: bytes, message: ScreenUpdates) -> None:
    """Of a federation with cells; the attempt runs, and the seat was drawn."""
    federation, attempt = attempt_in(graph, message.federation, message.attempt, SCREEN)
    seat = drawn_seat(attempt, sender)
    check(seat.screen is None, "ALREADY_SCREENED")
    check(all(sealed.has_pinned(attempt, one, ROWS_STAGE) for one in attempt.seats), "PARTS_MISSING")
    check(sealed.well_formed(federation, attempt, message), "BAD_SCREEN")
    seat.screen = message
    if all(one.screen is not None for one in attempt.seats):
        sealed.screened(graph, federation)


def sum_cells(graph: Graph, sender: bytes, message: SumCells) -> None:
    federation, attempt, seat = seat_in(graph, sender, message, SUMMING)
    check(seat.sum is None, "ALREADY_SUMMED")
    check(all(sealed.has_pinned(attempt, one, SUMS_STAGE) for one in attempt.seats), "PARTS_MISSING")
    check(sealed.is_sum(attempt, message), "BAD_FILE")
    seat.sum = message
    if all(one.sum is not None for one in attempt.seats):
        sealed.summed(graph, federation)
