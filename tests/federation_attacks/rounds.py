"""Rounds of a federation with some attackers, in the product's own integers; and the plain mean beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic import rows, screening, summing, updates
from learningchain.client.contracts.federation.arithmetic.places import CQ, AttemptPlace, rows_key
from learningchain.client.contracts.federation.arithmetic.reference import is_reference, reference_rows
from learningchain.client.contracts.federation.arithmetic.screening import USED, ScreenRule
from tests.federation.formulas import next_clip

from .problem import DIMS, Examples, Floats, Model, Problem, accuracy, loss, trained

ROUNDS = 25
CLIP = 1_000_000_000
PATIENCE = 3
Update = NDArray[np.int32]


@dataclass(frozen=True)
class Seen:
    """What an attacker knows, which is more than it could: everybody's update, as floats of a step, and all that was before."""

    base: Model
    honest: Floats
    """A row for each honest owner's local - base."""
    own: Examples
    seed: int
    deltas: list[Floats]
    """Steps of the last models, the latest first."""
    number: int
    """Of this attacker among the attackers."""


Attack = Callable[[Seen], Floats]
"""The step that the attacker sends, before the clip."""


@dataclass
class Played:
    """`curve`: accuracy by round, of the best model so far; `points` by owner, as they were paid for progress."""

    curve: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    codes: Counter[tuple[bool, int]] = field(default_factory=Counter)
    """(whether an attacker, code): how often."""
    said: list[list[int]] = field(default_factory=list)
    """By round, the code of each owner."""

    @property
    def accuracy(self) -> float:
        return self.curve[-1]


def play(problem: Problem, attackers: int, attack: Attack | None, reference: bool, seed: int = 0, rounds: int = ROUNDS) -> Played:
    """The last owners are the attackers, and commit last."""
    return _Federation(problem, attackers, attack, reference, seed).play(rounds)


def undefended(problem: Problem, attackers: int, attack: Attack | None, seed: int = 0, rounds: int = ROUNDS) -> Played:
    """The mean of everything that is sent, as it is."""
    base, played, deltas = problem.initial, Played(), list[Floats]()
    for r in range(rounds):
        sent = _sent(problem, attackers, attack, base, seed * 1_000 + r, deltas)
        after = (base + np.mean(sent, axis=0)).astype(np.float32)
        after = np.nan_to_num(after, posinf=1e30, neginf=-1e30)
        deltas.insert(0, after.astype(np.float64) - base)
        base = after
        with np.errstate(all="ignore"):
            played.curve.append(accuracy(np.clip(base, -1e6, 1e6), problem.reported))
    return played


def _sent(problem: Problem, attackers: int, attack: Attack | None, base: Model, seed: int, deltas: list[Floats]) -> list[Floats]:
    steps = [trained(base, own, seed).astype(np.float64) - base for own in problem.owners]
    if attack is None:
        return steps
    first = len(steps) - attackers
    honest = np.array(steps[:first])
    for number in range(attackers):
        steps[first + number] = attack(Seen(base, honest, problem.owners[first + number], seed, deltas, number))
    return steps


class _Federation:
    def __init__(self, problem: Problem, attackers: int, attack: Attack | None, reference: bool, seed: int) -> None:
        self.problem, self.attackers, self.attack, self.reference, self.seed = problem, attackers, attack, reference, seed
        self.base = self.best = problem.initial
        self.first = self.least = loss(problem.initial, problem.hidden)
        self.clip, self.streak = CLIP, 0
        self.deltas: list[Update] = []
        self.steps: list[Floats] = []
        self.waiting = [0.0] * len(problem.owners)
        self.played = Played(points=[0.0] * len(problem.owners))

    def play(self, rounds: int) -> Played:
        for r in range(rounds):
            self._round(self.seed * 1_000 + r)
            self.played.curve.append(accuracy(self.best, self.problem.reported))
        return self.played

    def _x(self, step: Floats) -> Update:
        local = (self.base.astype(np.float64) + step).astype(np.float32)
        return np.concatenate(list(updates.update_of(self.base, local, self.clip)))

    def _round(self, number: int) -> None:
        place = AttemptPlace(bytes(32), bytes(32), number % 1_000, number)
        x = [self._x(s) for s in _sent(self.problem, self.attackers, self.attack, self.base, number, self.steps)]
        key = rows_key(place, number.to_bytes(32, "big"))
        rho = self._x(trained(self.base, self.problem.reference, number).astype(np.float64) - self.base)
        has = self.reference and is_reference(rho)
        pair = reference_rows(key, rho, self.deltas[:3]) if has else None
        vectors = [rows.in_chunks(one.view(np.uint32)) for one in (*x, *self.deltas[:3])]
        y = rows.unmasked_sketches(rows.sketches(key, vectors, DIMS, pair), [])
        said = screening.screen(place, ScreenRule(has, aligned=has), list(y[: len(x)]), list(y[len(x) :]))
        self.played.said.append(list(said.codes))
        self.played.codes.update((n >= len(x) - self.attackers, code) for n, code in enumerate(said.codes))
        used = [n for n, code in enumerate(said.codes) if code == USED]
        files = [code for code in said.codes if code in (USED, screening.LARGE, screening.WRONG, screening.OUTLIER)]
        if not used or (not has and 2 * len(used) < len(files)):
            return
        self._sum([x[n] for n in used])
        for n in used:
            self.waiting[n] += said.points[n] if has else 1
        self.clip = next_clip(self.clip, min(said.norm, 2 * CQ))
        self._settle()

    def _sum(self, x: list[Update]) -> None:
        (piece,) = summing.next_model(self.base, [np.sum(x, axis=0, dtype=np.int64)], self.clip, len(x))
        self.deltas = [np.frombuffer(piece.delta, "<i4"), *self.deltas[:2]]
        self.next = np.frombuffer(piece.model, "<f4")
        self.steps.insert(0, self.next.astype(np.float64) - self.base)

    def _settle(self) -> None:
        """LC-FED-41, 42, with a target of no loss at all."""
        measured = loss(self.next, self.problem.hidden)
        if measured < self.least:
            for n, points in enumerate(self.waiting):
                self.played.points[n] += (self.least - measured) * points / max(1, sum(self.waiting))
            self.best = self.base = self.next
            self.least, self.streak, self.waiting = measured, 0, [0.0] * len(self.waiting)
            return
        self.streak += 1
        if measured <= self.least + self.first // 20 and self.streak < PATIENCE:
            self.base = self.next
        else:
            self.base, self.streak, self.waiting = self.best, 0, [0.0] * len(self.waiting)
