"""Whether a message is about the attempt that runs, and its sender sits in it."""

from __future__ import annotations

from . import opening
from .graph import Graph
from .records import Attempt, Federation, Seat
from .refused import Refused, check
from .states import running


def attempt_in(graph: Graph, ref: bytes, number: int, *states: str) -> tuple[Federation, Attempt]:
    """The attempt that runs, in one of the states, before its deadline."""
    federation = opening.live(graph, ref)
    check(federation.state in states, "WRONG_STATE")
    attempt = running(federation)
    check(attempt.number == number, "WRONG_ROUND")
    check(graph.clock < federation.deadline, "TOO_LATE")
    return federation, attempt


def drawn_seat(attempt: Attempt, sender: bytes) -> Seat:
    seat = attempt.seat(sender)
    if seat is None:
        raise Refused("NOT_DRAWN")
    return seat
