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
    jobs: int = 0
    blocks: int = 0
    messages: int = 0
    bans: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    """The largest of what varies."""

    def missed(self) -> list[str]:
        return [row for row in ROWS if not self.rows[row]]

    def add(self, player: Player) -> None:
        graph = player.graph
        self.graphs += 1
        self.jobs += len(graph.jobs)
        self.blocks += len(player.blocks)
        self.messages += player.sent
        self.bans += sum(1 for account in graph.accounts.values() if account.banned)
        self.rows += graph.reached
        self.ends.update(job.state for job in graph.jobs.values())
        seats = max((one.committee.c for job in graph.jobs.values() for c in job.claims.values() for one in c.rounds), default=0)
        sizes = {
            "members": len(player.members),
            "jobs of a graph": len(graph.jobs),
            "claimants": max((len(job.claims) for job in graph.jobs.values()), default=0),
            "seats": seats,
            "batches": max((job.j + 1 for job in graph.jobs.values()), default=0),
            "blocks of a graph": len(player.blocks),
        }
        for name, size in sizes.items():
            self.most[name] = max(self.most[name], size)


def play_seed(seed: int) -> Player:
    """One graph with every property looked at after every block; a violation names the seed."""
    player = Player(seed, watch=Checker())
    try:
        player.run()
    except Violation as violation:
        violation.add_note(f"seed {seed}, block {len(player.blocks)}")
        raise
    return player


def play_jobs(jobs: int, first: int = 0, watch: Callable[[Report], None] | None = None) -> Report:
    """Seeds from `first` on until so many jobs were posted; `watch` sees the report after each seed."""
    report = Report(first, first)
    while report.jobs < jobs:
        report.add(play_seed(report.last))
        if watch is not None:
            watch(report)
        report.last += 1
    report.last -= 1
    return report
