"""Rounds of a federation with a cell (LC-FED-55 to 62) over German Credit, in the product's own bytes: files with their proofs,
masked sums with noise, candidates; the radius by the ledger's own formulas. One owner may attack, with all that it could know.

`python -m tests.federation_attacks.small_rounds` plays the table of docs/federation-attacks.md.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, reduce
from random import Random

import numpy as np
from numpy.typing import NDArray

from learningchain.chain.contracts.federation import cell_formulas
from learningchain.client.contracts.federation.arithmetic.places import AttemptPlace, query_digest
from learningchain.client.contracts.federation.arithmetic.small import candidates, files, proof, sums
from learningchain.client.contracts.federation.arithmetic.small import field as numbers
from learningchain.client.contracts.federation.arithmetic.small.candidates import STEPS
from learningchain.client.contracts.federation.arithmetic.small.unit import unit_update
from learningchain.client.contracts.federation.arithmetic.updates import open_seeds
from learningchain.examples.german_credit.data import split_rows
from tests.small_updates import KEYS, PRIVATES

OWNERS, ROUNDS, PATIENCE = 5, 20, 3
REFERENCE, HIDDEN = 100, 200
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
def _rows() -> Rows:
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


DIMS = 19


def credit(seed: int, skew: float = 0.5) -> Credit:
    """Both classes are dealt to the owners by draws of Dirichlet(skew)."""
    rng, whole = np.random.default_rng(seed), _rows()
    order = rng.permutation(len(whole.y))
    reference, hidden, rest = np.split(order, [REFERENCE, REFERENCE + HIDDEN])
    dealt: list[list[int]] = [[] for _ in range(OWNERS)]
    for kind in (0, 1):
        places = rest[whole.y[rest] == kind]
        cuts = (np.cumsum(rng.dirichlet([skew] * OWNERS))[:-1] * len(places)).astype(int)
        for owner, part in enumerate(np.split(places, cuts)):
            dealt[owner] += part.tolist()
    given = [np.array(places or [rest[owner]]) for owner, places in enumerate(dealt)]
    taken = [Rows(whole.x[one], whole.y[one]) for one in (*given, reference, hidden)]
    return Credit(taken[:OWNERS], *taken[OWNERS:])


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


@dataclass
class SmallPlay:
    """`best` is a loss by round. The last of the owners attacks, where one does."""

    problem: Credit
    attack: Callable[[Seen], Vector] | None
    owners: int = OWNERS
    seed: int = 0
    best: list[int] = field(default_factory=list)
    radius: int = 10**9

    def play(self, rounds: int = ROUNDS) -> SmallPlay:
        base = best_model = np.zeros(DIMS, np.float32)
        first = least = loss(base, self.problem.hidden)
        streak = 0
        for number in range(self.seed * 1_000 + 1, self.seed * 1_000 + 1 + rounds):
            found, model, step = self._measured(base, number)
            if found < least:
                best_model = base = model
                least, streak, self.radius = found, 0, cell_formulas.next_radius(self.radius, step)
            elif found <= least + first // 20 and streak + 1 < PATIENCE:
                base, streak, self.radius = model, streak + 1, cell_formulas.next_radius(self.radius, step)
            else:
                base, streak, self.radius = best_model, 0, cell_formulas.shorter_radius(self.radius)
            self.best.append(least)
        return self

    def _measured(self, base: Model, number: int) -> tuple[int, Model, int]:
        """The least loss of all candidates, as an honest panel finds it."""
        found = list[tuple[int, int, Model, int]]()
        for way in candidates.directions(self._sums(base, number)):
            for step in STEPS:
                model = candidates.candidate(base, way, self.radius, step)
                if model is not None:
                    found.append((loss(model, self.problem.hidden), len(found), model, step))
        least, _, model, step = min(found, key=lambda one: one[:2])
        return least, model, step

    def _sums(self, base: Model, number: int) -> sums.Sums:
        owners = self.problem.owners[: self.owners]
        sent = [_x(base, trained(base, own, number), number) for own in owners]
        if self.attack is not None:
            sent[-1] = self.attack(Seen(base, sent[:-1], owners[-1], number))
        place = AttemptPlace(bytes(32), bytes(32), number % 1_000, number)
        summed = _cell(place, sent, number)
        rho = tuple(int(n) for n in _x(base, trained(base, self.problem.reference, number), number))
        return sums.Sums((sums.CellSum(1, len(sent), summed),), rho if candidates.is_small_reference(rho) else None)


def _cell(place: AttemptPlace, sent: Sequence[Vector], number: int) -> tuple[int, ...]:
    """What three aggregators make of the files: each is opened and proved, then all are summed."""
    shape, beacon, seeds, masked = proof.proof_shape(DIMS), number.to_bytes(32, "big"), list[dict[int, bytes]](), []
    for owner, x in enumerate(sent):
        member = bytes([owner]) * 20
        file = files.small_file(place, member, KEYS, x, Random(f"{number} {owner}").randbytes)
        masked.append(files.read_small(file, place, member, DIMS))
        seeds.append({})
        for seat in (1, 2):
            seeds[-1] |= open_seeds(file, place, member, seat, PRIVATES[seat - 1], secret=True)
        _prove(file, place, member, seeds[-1], beacon)
    sigma = sums.cell_sigma(cell_formulas.least_noise(DIMS), again=False)
    pinned = [sums.mask_of_cell(place, beacon, shape, 1, mask, [one[mask] for one in seeds], sigma) for mask in (1, 2, 3)]
    return sums.cell_sum(shape, masked, pinned)


def _prove(file: bytes, place: AttemptPlace, member: bytes, seeds: dict[int, bytes], beacon: bytes) -> None:
    shape, challenges = proof.proof_shape(DIMS), files.challenges_of(file, place, member, DIMS)
    r, first = proof.query(query_digest(place, beacon), shape), files.read_small(file, place, member, DIMS)
    masks = [proof.view(shape, numbers.stream_numbers(seeds[n], shape.size), challenges, r, masked=False) for n in (1, 2, 3)]
    opened = reduce(numbers.subtract, masks, proof.view(shape, first, challenges, r, masked=True))
    assert proof.is_proved(shape, opened), "an update that is no longer than it may be is proved"


def shares(attack: str, seeds: Sequence[int], rounds: int = ROUNDS) -> list[float]:
    """In percent of the fall of the hidden loss that the same owners reach without an attack; `absent`: without the bad one."""
    found = []
    for seed in seeds:
        problem = credit(seed)
        start = loss(np.zeros(DIMS, np.float32), problem.hidden)
        quiet = SmallPlay(problem, None, seed=seed).play(rounds).best[-1]
        few = OWNERS - 1 if attack == "absent" else OWNERS
        reached = SmallPlay(problem, ATTACKS.get(attack), few, seed).play(rounds).best[-1]
        found.append(100 * (start - reached) / (start - quiet))
    return found


def main() -> None:
    for attack in ("absent", *ATTACKS):
        found = shares(attack, range(8))
        print(
            f"| {attack} | {np.mean(found):.0f} ({min(found):.0f}) | {sum(one >= 80 for one in found)} of {len(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
