"""Plays random graphs one after another and counts; a violated property ends it with the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .generate import Player
from .generate_cells import CellPlayer
from .properties import Checker, Violation
from .properties_cells import CellChecker
from .rows import CELLS, ROWS


@dataclass(slots=True)
class Report:
    """What a range of seeds brought; seeds `first` to `last`."""

    first: int
    last: int = 0
    graphs: int = 0
    federations: int = 0
    blocks: int = 0
    messages: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    cells: bool = False

    def missed(self) -> list[str]:
        return [row for row in (CELLS if self.cells else ROWS) if not self.rows[row]]

    def add(self, player: Player) -> None:
        self.graphs += 1
        self.federations += player.graph.reached["opened"]
        self.blocks += len(player.blocks)
        self.messages += player.sent
        self.rows += player.graph.reached
        self.refusals.update(player.refusals)


def play_seed(seed: int, cells: bool = False) -> Player:
    """One graph with every property looked at after every block; a violation names the seed. `cells`: most federations have
    them."""
    checker = CellChecker() if cells else Checker()
    player = (CellPlayer if cells else Player)(seed, watch=checker)
    try:
        player.run()
        checker.over(player)
    except Violation as violation:
        violation.add_note(f"seed {seed}, block {len(player.blocks)}")
        raise
    return player


def play_federations(
    federations: int, first: int = 0, watch: Callable[[Report], None] | None = None, cells: bool = False
) -> Report:
    """Seeds from `first` on until so many federations were opened; `watch` sees the report after each seed."""
    report = Report(first, first, cells=cells)
    while report.federations < federations:
        report.add(play_seed(report.last, cells))
        if watch is not None:
            watch(report)
        report.last += 1
    report.last -= 1
    return report
