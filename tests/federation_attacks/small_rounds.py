"""Rounds of a federation with cells (LC-FED-55 to 62) over German Credit or a made file, in the product's own bytes: files with
their proofs, masked sums with noise, candidates; cells, gains, pay and the radius by the ledger's own formulas. Some owners may
attack, with all that they could know.

`python -m tests.federation_attacks.small_rounds` plays the tables of docs/federation-attacks.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.contracts.federation import cell_formulas, formulas
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, query_digest
from learningchain.client.contracts.federation.arithmetic.small import candidates, files, proof, sums
from learningchain.client.contracts.federation.arithmetic.small import field as numbers
from learningchain.client.contracts.federation.arithmetic.small.candidates import STEPS
from learningchain.client.contracts.federation.arithmetic.small.unit import unit_update
from learningchain.client.contracts.federation.arithmetic.updates import open_seeds
from learningchain.examples.german_credit.data import split_rows
from tests.small_updates import KEYS, PRIVATES

ROUNDS, PATIENCE = 20, 3
REFERENCE = 100
LOCAL_STEPS, BATCH, RATE = 10, 32, 0.1
Floats = NDArray[np.float64]
Model = NDArray[np.float32]
Vector = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Credit:
    owners: list[Rows]
    reference: Rows
    hidden: Rows


@cache
def german() -> Rows:
    """A thousand; texts by their order, everything in standard units, and a one for the intercept."""
    told = [row for raw in split_rows() for row in list(csv.reader(io.StringIO(raw.decode())))[1:]]
    columns = list(zip(*told, strict=True))
    x = np.stack([_column(column) for column in columns[:-1]] + [np.ones(len(told))], axis=1)
    return Rows(x, np.array(columns[-1], np.float64))


def _column(told: Sequence[str]) -> Floats:
    try:
        found = np.array(told, np.float64)
    except ValueError:
        order = {name: number for number, name in enumerate(sorted(set(told)))}
        found = np.array([order[one] for one in told], np.float64)
    return np.asarray((found - found.mean()) / found.std())


@cache
def made() -> Rows:
    """Six thousand of 21 values, of which each says a little, and a quarter are bad."""
    rng = np.random.default_rng(2_026)
    x = np.concatenate([rng.normal(size=(6_000, 20)), np.ones((6_000, 1))], axis=1)
    likely = 1 / (1 + np.exp(-(x[:, :20] @ rng.normal(0, 0.4, 20) - 1.6)))
    return Rows(x, (rng.random(6_000) < likely).astype(np.float64))


@dataclass(frozen=True)
class Line:
    """Of a table: `bad` of the owners attack; `hidden` rows are the panel's."""

    rows: Callable[[], Rows]
    owners: int
    bad: int
    reference: bool
    hidden: int


LINES = {
    "German Credit, one of 5": Line(german, 5, 1, True, 200),
    "German Credit, two of 9": Line(german, 9, 2, True, 200),
    "a made file, two of 9": Line(made, 9, 2, True, 1_600),
    "a made file, six of 20, no reference": Line(made, 20, 6, False, 1_600),
}
FIVE, NINE, _, TWENTY = LINES.values()


def credit(line: Line, seed: int, skew: float = 0.5) -> Credit:
    """Both classes are dealt to the owners by draws of Dirichlet(skew)."""
    rng, whole = np.random.default_rng(seed), line.rows()
    order = rng.permutation(len(whole.y))
    reference, hidden, rest = np.split(order, [REFERENCE, REFERENCE + line.hidden])
    dealt: list[list[int]] = [[] for _ in range(line.owners)]
    for kind in (0, 1):
        places = rest[whole.y[rest] == kind]
        cuts = (np.cumsum(rng.dirichlet([skew] * line.owners))[:-1] * len(places)).astype(int)
        for owner, part in enumerate(np.split(places, cuts)):
            dealt[owner] += part.tolist()
    given = [np.array(places or [rest[owner]]) for owner, places in enumerate(dealt)]
    taken = [Rows(whole.x[one], whole.y[one]) for one in (*given, reference, hidden)]
    return Credit(taken[: line.owners], *taken[line.owners :])


def trained(base: Model, own: Rows, seed: int) -> Model:
    rng, model = np.random.default_rng(seed), base.astype(np.float64)
    for _ in range(LOCAL_STEPS):
        batch = rng.integers(0, len(own.y), BATCH)
        likely = 1 / (1 + np.exp(-(own.x[batch] @ model)))
        model -= RATE * own.x[batch].T @ (likely - own.y[batch]) / BATCH
    return model.astype(np.float32)


def loss(model: Model, of: Rows) -> int:
    """In units of 1e-9, as the panel measures it."""
    score = np.clip(of.x @ model.astype(np.float64), -500, 500)
    return int(np.mean(np.logaddexp(0, score) - of.y * score) * 1e9)


# --- attackers: what a bad owner sends, a vector of any length, given what the honest ones send ----------------------------------


@dataclass(frozen=True)
class Seen:
    base: Model
    honest: list[Vector]
    own: Rows
    seed: int


def _x(base: Model, local: Model, seed: int) -> Vector:
    return unit_update(base, local, Random(seed).randbytes)


def _unit(way: Floats) -> Vector:
    return _x(np.zeros(len(way), np.float32), (way / (np.linalg.norm(way) or 1)).astype(np.float32), 1)


def sign_flip(seen: Seen) -> Vector:
    return -_x(seen.base, trained(seen.base, seen.own, seen.seed), seen.seed)


def label_flip(seen: Seen) -> Vector:
    return _x(seen.base, trained(seen.base, Rows(seen.own.x, 1 - seen.own.y), seen.seed), seen.seed)


def noise(seen: Seen) -> Vector:
    return _x(seen.base, seen.base, seen.seed)


def alie(seen: Seen) -> Vector:
    honest = np.array(seen.honest, np.float64)
    return _unit(honest.mean(axis=0) - honest.std(axis=0))


def cancel(seen: Seen) -> Vector:
    return _unit(-np.sum(seen.honest, axis=0).astype(np.float64))


def drift(seen: Seen) -> Vector:
    """The same random way each time."""
    return _unit(np.random.default_rng(7).normal(size=len(seen.base)))


ATTACKS: dict[str, Callable[[Seen], Vector]] = {
    "sign flip": sign_flip,
    "label flip": label_flip,
    "noise": noise,
    "ALIE": alie,
    "cancel": cancel,
    "drift": drift,
}


# --- rounds ----------------------------------------------------------------------------------------------------------------------


ANY_TERMS: Any = SimpleNamespace(min_sum=cell_formulas.LEAST_IN_CELL)


@dataclass
class SmallPlay:
    """`best` is a loss by round. The last `bad` of the owners attack; `paid` is what each has of the fall, by both splits."""

    problem: Credit
    attack: Callable[[Seen], Vector] | None = None
    bad: int = 0
    reference: bool = True
    seed: int = 0
    best: list[int] = field(default_factory=list)
    radius: int = 10**9

    def play(self, rounds: int = ROUNDS) -> SmallPlay:
        owners, dims = len(self.problem.owners), self.problem.hidden.x.shape[1]
        order = Random(f"cells {self.seed}").sample(range(owners), owners)
        places = cell_formulas.dealt(owners, cell_formulas.cells_of(ANY_TERMS, owners, owners))
        self.cells = [sorted(order[place] for place in cell) for cell in places]
        self.paid = {split: [0] * owners for split in ("equal", "half")}
        base = best_model = np.zeros(dims, np.float32)
        first = least = before = loss(base, self.problem.hidden)
        streak, points, gains = 0, [0] * owners, [0] * owners
        for number in range(self.seed * 1_000 + 1, self.seed * 1_000 + 1 + rounds):
            losses, found, model, step = self._measured(base, number)
            for place, cell in enumerate(self.cells):
                for owner in cell:
                    points[owner] += 1
                    gains[owner] += cell_formulas.gained(before, losses[place + 1], len(cell)) if len(self.cells) > 1 else 0
            if found < least:
                self._pay(least - found, points, gains)
                best_model = base = model
                least, before, streak, self.radius = found, found, 0, cell_formulas.next_radius(self.radius, step)
            elif found <= least + first // 20 and streak + 1 < PATIENCE:
                base, before, streak = model, found, streak + 1
                self.radius = cell_formulas.next_radius(self.radius, step)
            else:
                base, before, streak, self.radius = best_model, least, 0, cell_formulas.shorter_radius(self.radius)
            if streak == 0:
                points, gains = [0] * owners, [0] * owners
            self.best.append(least)
        return self

    def _pay(self, pot: int, points: Sequence[int], gains: Sequence[int]) -> None:
        for split, parts in (("equal", formulas.shares(pot, points)), ("half", cell_formulas.half_shares(pot, points, gains))):
            self.paid[split] = [one + part for one, part in zip(self.paid[split], parts, strict=True)]

    def _measured(self, base: Model, number: int) -> tuple[list[int | None], int, Model, int]:
        """As an honest panel finds it: the least loss of each direction, and that of all, with its model and step."""
        losses, found = list[int | None](), list[tuple[int, int, Model, int]]()
        for way in candidates.directions(self._sums(base, number)):
            models = [(candidates.candidate(base, way, self.radius, step), step) for step in STEPS]
            told = [(loss(model, self.problem.hidden), model, step) for model, step in models if model is not None]
            losses.append(min((one for one, _, _ in told), default=None))
            found += [(one, len(found) + n, model, step) for n, (one, model, step) in enumerate(told)]
        least, _, model, step = min(found, key=lambda one: one[:2])
        return losses, least, model, step

    def _sums(self, base: Model, number: int) -> sums.Sums:
        owners = self.problem.owners
        sent = [_x(base, trained(base, own, number), number) for own in owners]
        if self.attack is not None:
            honest = sent[: len(owners) - self.bad]
            sent = honest + [self.attack(Seen(base, honest, own, number)) for own in owners[len(honest) :]]
        place = AttemptPlace(bytes(32), bytes(32), number % 1_000, number)
        summed = [
            sums.CellSum(k, len(cell), _cell(place, k, [sent[one] for one in cell], number)) for k, cell in enumerate(self.cells, 1)
        ]
        rho = tuple(int(n) for n in _x(base, trained(base, self.problem.reference, number), number))
        return sums.Sums(tuple(summed), rho if self.reference and candidates.is_small_reference(rho) else None)


def _cell(place: AttemptPlace, cell: int, sent: Sequence[Vector], number: int) -> tuple[int, ...]:
    """What three aggregators make of the files: each is opened and proved, then all are summed."""
    dims = len(sent[0])
    shape, beacon, seeds, masked = proof.proof_shape(dims), number.to_bytes(32, "big"), list[dict[int, bytes]](), []
    for owner, x in enumerate(sent):
        member = bytes([cell, owner]) * 10
        file = files.small_file(place, member, KEYS, x, Random(f"{number} {cell} {owner}").randbytes)
        masked.append(files.read_small(file, place, member, dims))
        seeds.append({})
        for seat in (1, 2):
            seeds[-1] |= open_seeds(file, place, member, seat, PRIVATES[seat - 1], secret=True)
        _prove(file, place, member, seeds[-1], beacon, dims)
    sigma = sums.cell_sigma(cell_formulas.least_noise(dims), again=False)
    pinned = [sums.mask_of_cell(place, beacon, shape, cell, mask, [one[mask] for one in seeds], sigma) for mask in (1, 2, 3)]
    return sums.cell_sum(shape, masked, pinned)


def _prove(file: bytes, place: AttemptPlace, member: bytes, seeds: dict[int, bytes], beacon: bytes, dims: int) -> None:
    shape, challenges = proof.proof_shape(dims), files.challenges_of(file, place, member, dims)
    r, first = proof.query(query_digest(place, beacon), shape), files.read_small(file, place, member, dims)
    masks = [proof.view(shape, numbers.stream_numbers(seeds[n], shape.size), challenges, r, masked=False) for n in (1, 2, 3)]
    opened = reduce(numbers.subtract, masks, proof.view(shape, first, challenges, r, masked=True))
    assert proof.is_proved(shape, opened), "an update that is no longer than it may be is proved"


@cache
def _undisturbed(line: Line, seed: int, rounds: int, bad: int = 0) -> int:
    """The loss that the owners reach without an attack, and without the last of them."""
    problem = credit(line, seed)
    left = replace(problem, owners=problem.owners[: line.owners - bad])
    return SmallPlay(left, reference=line.reference, seed=seed).play(rounds).best[-1]


def reached(line: Line, attack: str, seed: int, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """In percent: of the fall of the hidden loss that the same owners reach without an attack (`absent`: without the bad ones and
    their data); and what the bad ones are paid of all, by equal shares and by half."""
    problem = credit(line, seed)
    start, quiet = loss(np.zeros(problem.hidden.x.shape[1], np.float32), problem.hidden), _undisturbed(line, seed, rounds)
    if attack == "absent":
        return 100 * (start - _undisturbed(line, seed, rounds, line.bad)) / (start - quiet), 0.0, 0.0
    played = SmallPlay(problem, ATTACKS[attack], line.bad, line.reference, seed).play(rounds)
    equal, half = (100 * sum(one[-line.bad :]) / max(1, sum(one)) for one in played.paid.values())
    return 100 * (start - played.best[-1]) / (start - quiet), equal, half


def main() -> None:
    for name, line in LINES.items():
        seeds = range(8 if line.owners < 20 else 4)
        for attack in ("absent", *ATTACKS):
            shares, equal, half = zip(*(reached(line, attack, seed) for seed in seeds), strict=True)
            told = f"{np.mean(shares):.0f} ({min(shares):.0f}) | {sum(one >= 80 for one in shares)} of {len(shares)}"
            print(f"| {name} | {attack} | {told} | {np.mean(equal):.0f} / {np.mean(half):.0f} |", flush=True)


if __name__ == "__main__":
    main()
