"""Every case, equal prefixes and equal states looked at once.

The search goes window by window over *states of the network* (the seats of all five instances), each with the number of cases that
lead to it and one of them as an example. Groups of one window do not influence each other, so a group's course is worked out once
for each combination of its members' seats. When all honest validators have decided, the rest of the case changes nothing.

Up to symmetry: the two copies are the same code with the same key, so cases that differ by swapping them count once. While all
partitions so far look the same after the swap, one of each pair of partitions is enough. The honest validators propose in turn,
so from four rounds on no two of them can be swapped.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.twins.healing import heal
from tests.twins.instance import N, Unsafe
from tests.twins.network import Cut, Network, Seat, partitions

Partition = tuple[tuple[int, ...], ...]
PARTITIONS: list[Partition] = partitions()


def swapped(partition: Partition, twin: int) -> Partition:
    """With the two copies of `twin` exchanged."""
    other = {twin: N, N: twin}
    return tuple(sorted(tuple(sorted(other.get(i, i) for i in group)) for group in partition))


def representatives(twin: int) -> list[tuple[Partition, bool]]:
    """One partition of each pair that the swap exchanges, and whether it stays the same under the swap."""
    return [(p, swapped(p, twin) == p) for p in PARTITIONS if p <= swapped(p, twin)]


def cases(windows: int) -> int:
    """Sequences of partitions: for one duplicated validator and one cut, every one."""
    return int(len(PARTITIONS) ** windows)


def classes(windows: int) -> int:
    """The same up to swapping the copies (Burnside): every case, and those that the swap leaves alone, halved."""
    fixed = sum(symmetric for _, symmetric in representatives(0))
    return int(len(PARTITIONS) ** windows + fixed**windows) // 2


class Violation(NamedTuple):
    twin: int
    cut: Cut
    partitions: tuple[Partition, ...]
    what: str

    def __str__(self) -> str:
        windows = " ; ".join(" ".join("".join("01234"[i] for i in group) for group in p) for p in self.partitions)
        return f"validator {self.twin} doubled (4 is its copy), cut before {self.cut.name}, groups {windows}: {self.what}"


@dataclass
class Found:
    """The result of a search."""

    cases: int = 0
    """Up to symmetry; agreement was checked in each."""
    decided_early: int = 0
    """Cases in which all honest validators decided before healing."""
    ends: int = 0
    """States of the network in which the others came to their last window's end."""
    healed: int = 0
    """Of these, those that were healed."""
    most_rounds: int = 0
    """The highest round at the end of a healing."""
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.cases += other.cases
        self.decided_early += other.decided_early
        self.ends += other.ends
        self.healed += other.healed
        self.most_rounds = max(self.most_rounds, other.most_rounds)
        self.violations += other.violations


class _Node(NamedTuple):
    """Cases that have come to one state of the network. `path` is one of them."""

    cases: int
    path: tuple[Partition, ...]


Seats = tuple[Seat, ...]
Level = dict[tuple[bool, Seats], _Node]
"""By whether all partitions so far stay the same when the copies are swapped, and by state."""


class Search:
    """All cases of one duplicated validator and one cut.

    `heal_every` n > 1 heals one in n of the ends only (equal ends are then not looked for); agreement is always checked in all.
    """

    def __init__(self, network: Network, cut: Cut, *, heal_every: int = 1, stop_at: int = 3) -> None:
        self.net, self.cut, self.heal_every, self.stop_at = network, cut, heal_every, stop_at
        self.found = Found()
        self._representatives = representatives(network.twin)
        self._all = [(p, False) for p in PARTITIONS]

    def run(self, windows: int) -> Found:
        level: Level = {(True, self.net.start()): _Node(1, ())}
        for k in range(windows):
            following: Level = {}
            for (same, seats), node in self._window(k, level, windows - k - 1):
                if k == windows - 1 and self.heal_every > 1:
                    self._end(seats, node)
                    continue
                known = following.get((same, seats))
                following[same, seats] = node._replace(cases=node.cases + known.cases) if known else node
            level = following
        ends: dict[Seats, _Node] = {}
        for (_, seats), node in level.items():
            known = ends.get(seats)
            ends[seats] = node._replace(cases=node.cases + known.cases) if known else node
        for seats, node in ends.items():
            if not self._enough():
                self._end(seats, node)
        return self.found

    def _enough(self) -> bool:
        return len(self.found.violations) >= self.stop_at

    def _window(self, k: int, level: Level, left: int) -> Iterator[tuple[tuple[bool, Seats], _Node]]:
        """What each partition makes of each state, but for cases that are over."""
        for (symmetric, seats), node in level.items():
            for partition, same in self._representatives if symmetric else self._all:
                if self._enough():
                    return
                path = (*node.path, partition)
                try:
                    after = self.after(k, seats, partition)
                    over = self.is_over(after)
                except Unsafe as e:
                    self._violated(path, str(e))
                    continue
                if over:
                    count = node.cases * (classes(left) if same else cases(left))
                    self.found.cases += count
                    self.found.decided_early += count
                else:
                    yield (same, after), _Node(node.cases, path)

    def _end(self, seats: Seats, node: _Node) -> None:
        self.found.cases += node.cases
        self.found.ends += 1
        if self.found.ends % self.heal_every:
            return
        self.found.healed += 1
        try:
            _, rounds = heal(self.net, seats)
            self.found.most_rounds = max(self.found.most_rounds, rounds)
        except Unsafe as e:
            self._violated(node.path, str(e))

    def after(self, k: int, seats: Seats, partition: Partition) -> Seats:
        changed = list(seats)
        for group in partition:
            for i, seat in self.net.window(k, self.cut, tuple((i, seats[i]) for i in group)):
                changed[i] = seat
        return tuple(changed)

    def is_over(self, seats: Seats) -> bool:
        """True when every honest validator has decided. Raises `Unsafe` when two decided differently."""
        chosen = {self.net.decided(seats[i]) for i in self.net.honest}
        if len(chosen - {None}) > 1:
            raise Unsafe("two honest validators decided differently")
        return None not in chosen

    def _violated(self, path: tuple[Partition, ...], what: str) -> None:
        self.found.violations.append(Violation(self.net.twin, self.cut, path, what))


def run_one(network: Network, cut: Cut, path: tuple[Partition, ...]) -> Violation | None:
    """One case alone, with healing."""
    search, seats = Search(network, cut), network.start()
    try:
        for k, partition in enumerate(path):
            seats = search.after(k, seats, partition)
            if search.is_over(seats):
                return None
        heal(network, seats)
    except Unsafe as e:
        return Violation(network.twin, cut, path, str(e))
    return None


def sample(rng: random.Random, windows: int) -> tuple[Partition, ...]:
    return tuple(rng.choice(PARTITIONS) for _ in range(windows))
