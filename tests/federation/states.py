"""What an attempt of either kind is moved by: states and their windows, and what most of its aggregators say."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from .graph import Graph
from .records import Attempt, Federation, Seat

T = TypeVar("T", bound=Hashable)
Votes = Sequence[tuple[Seat, T | None]]


def enter(graph: Graph, federation: Federation, state: str, window: int) -> None:
    federation.state, federation.deadline = state, graph.clock + window


def wait_for_draw(graph: Graph, federation: Federation, state: str) -> None:
    enter(graph, federation, state, 0)
    federation.draw_height = graph.height + graph.delay()


def running(federation: Federation) -> Attempt:
    if federation.attempt is None:
        raise ValueError("no attempt runs")
    return federation.attempt


def agreed(votes: Votes[T]) -> list[Seat]:
    """Who said what most say, at least two; with three that differ, nobody."""
    best: list[Seat] = []
    for _, vote in votes:
        same = [seat for seat, other in votes if vote is not None and other == vote]
        if len(same) > len(best):
            best = same
    return best if len(best) >= 2 else []
