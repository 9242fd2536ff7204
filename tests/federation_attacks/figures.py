"""The whole table: each attack with 4 and with 6 of 20 owners, by the plain mean, by the peers' direction and by a reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import ATTACKS
from .problem import problem
from .rounds import Attack, Played, play, undefended

OWNERS = 20
BAD = (4, 6)
NONE = "none"
WAYS = ("mean", "peers", "reference")
"""No defence; the rules without a reference of the sponsor's, whose pay is split equally; the rules with one, and pay by points."""
NAMES = (NONE, *ATTACKS)


@dataclass(frozen=True)
class Cell:
    """One attack with so many attackers, played one way, once for each seed."""

    attack: str
    bad: int
    way: str
    runs: tuple[Played, ...]

    @property
    def accuracy(self) -> tuple[float, float]:
        """In percent, after the last round: the mean of the seeds, and the worst of them."""
        found = [one.accuracy for one in self.runs]
        return sum(found) / len(found), min(found)

    @property
    def curves(self) -> tuple[list[float], list[float], list[float]]:
        """Accuracy by round: the worst seed's, the mean of the seeds, the best one's."""
        found = np.array([one.curve for one in self.runs])
        return found.min(axis=0).tolist(), found.mean(axis=0).tolist(), found.max(axis=0).tolist()

    @property
    def pay(self) -> list[float]:
        """Of each owner, in percent of what was paid; the mean of the seeds. The last ones are the attackers. Without a defence
        nobody is paid by this contract: nothing."""
        shares = [np.array(one.points) / sum(one.points) for one in self.runs if sum(one.points) > 0]
        return (100 * np.mean(shares, axis=0)).tolist() if shares else []

    @property
    def bad_pay(self) -> float:
        """Of all attackers together, in percent."""
        return sum(self.pay[OWNERS - self.bad :])


Cells = dict[tuple[str, int, str], Cell]
"""By attack, attackers and way."""


def measured(seeds: range, say: Callable[[str], None] = lambda line: None) -> Cells:
    """Minutes. `say` hears a line of text for each attack."""
    return {(cell.attack, cell.bad, cell.way): cell for cell in _cells(seeds, say)}


def _cells(seeds: range, say: Callable[[str], None]) -> Iterator[Cell]:
    for name, attack in ((NONE, None), *ATTACKS.items()):
        for bad in BAD if attack else (0,):
            row = [Cell(name, bad, way, tuple(_played(attack, bad, way, seed) for seed in seeds)) for way in WAYS]
            say(f"{name:14} {bad:>4} " + " ".join(f"{mean:>8.1f} ({worst:.1f})" for mean, worst in (cell.accuracy for cell in row)))
            yield from row


def _played(attack: Attack | None, bad: int, way: str, seed: int) -> Played:
    dealt = problem(seed, OWNERS)
    return undefended(dealt, bad, attack, seed) if way == "mean" else play(dealt, bad, attack, way == "reference", seed)
