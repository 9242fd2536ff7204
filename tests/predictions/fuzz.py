"""Plays random graphs one after another and counts; a violated property ends it with the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .generate import Player
from .properties import Checker, Violation
from .rows import ROWS


@dataclass(slots=True)
class Report:
    """What a range of seeds brought; seeds `first` to `last`."""

    first: int
    last: int = 0
    graphs: int = 0
    requests: int = 0
    blocks: int = 0
    messages: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    refusals: set[str] = field(default_factory=set)

    def missed(self) -> list[str]:
        return [row for row in ROWS if not self.rows[row]]

    def add(self, player: Player, checker: Checker) -> None:
        self.graphs += 1
        self.requests += checker.posted
        self.blocks += len(player.blocks)
        self.messages += player.sent
        self.rows += player.graph.reached
        self.ends += checker.ends
        self.refusals |= player.refusals


def play_seed(seed: int) -> tuple[Player, Checker]:
    """One graph with every property looked at after every block; a violation names the seed."""
    checker = Checker()
    player = Player(seed, watch=checker)
    try:
        player.run()
        checker.over(player)
    except Violation as violation:
        violation.add_note(f"seed {seed}, block {len(player.blocks)}")
        raise
    return player, checker


def play_requests(requests: int, first: int = 0, watch: Callable[[Report], None] | None = None) -> Report:
    """Seeds from `first` on until so many requests were taken; `watch` sees the report after each seed."""
    report = Report(first, first)
    while report.requests < requests:
        report.add(*play_seed(report.last))
        if watch is not None:
            watch(report)
        report.last += 1
    report.last -= 1
    return report
