"""What verifiers measure: columns of losses whose mean makes a wanted vote, with honest noise or without."""

from __future__ import annotations

import random

from . import formulas
from .scenario import ABSTAIN, BROKEN, FALSE, INVALID, MAX_LOSS, NEAR, NOMODEL, OK, Column, Terms

CODES = (OK, NEAR, FALSE, INVALID, BROKEN, NOMODEL, ABSTAIN)
SIZES = (1, 2, 5, 15, 16, 17, 24, 33)


class Evaluations:
    """True losses are drawn once for each job, candidate and vote, so that honest seats agree."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.true: dict[tuple[bytes, bytes, str], tuple[int, int, int]] = {}
        """Measured, number of examples, how far single losses lie apart."""
        self.columns: dict[tuple[bytes, bytes, str], Column] = {}

    def column(self, job: bytes, who: bytes, code: str, terms: Terms, claim: int, off: bool, scatter: bool) -> Column | None:
        """A column that makes this vote, or nothing where no loss within bounds does. The code "hidden" is a hidden one."""
        key = (job, who, code)
        if key not in self.true:
            self.true[key] = self._truth(terms, code, claim)
        if not off and not scatter and self.rng.random() < 0.7:
            if key not in self.columns:
                made = build(*self.true[key])
                if made is None:
                    return None
                self.columns[key] = made
            return self.columns[key]
        measured, n, apart = self.true[key]
        tol = formulas.tol(terms, claim)
        if scatter:
            measured += self.rng.choice((1, 3, 10)) * formulas.bound(terms.kind, measured)
        elif code == FALSE:
            measured += self.rng.randint(0, formulas.base(terms.kind, measured))
        elif code == "hidden":
            measured += self.rng.randint(0, tol // 4)
        elif code == OK:
            measured -= self.rng.randint(0, tol // 4)
        column = build(measured, n, apart)
        return column if column is None or not off else self._spoil(column, tol)

    def _truth(self, terms: Terms, code: str, claim: int) -> tuple[int, int, int]:
        tol, bound = formulas.tol(terms, claim), formulas.bound(terms.kind, claim)
        draw = self.rng.choice
        measured = {
            OK: claim + draw((tol, 0, 0, -tol, -10 * tol)),
            NEAR: claim + draw((tol + 1, bound, (tol + bound) // 2)),
            FALSE: claim + bound + draw((1, bound, 9 * bound, 10**10)),
            "hidden": claim + draw((0, tol, 100 * tol, -50 * tol)),
        }[code]
        return measured, draw(SIZES), draw((0, 0, tol, 10 * tol, 10**9))

    def _spoil(self, column: Column, tol: int) -> Column:
        """Another number of examples, all leaves moved, or just two, where the bounds leave room; the mean stays."""
        leaves = list(column.leaves)
        how = self.rng.randrange(4)
        if how == 0:
            longer = build(column.measured, len(leaves) + 1, 0)
            return longer or column
        pairs = len(leaves) // 2 if how < 3 else min(1, len(leaves) // 2)
        for i in range(pairs):
            leaves[2 * i] += 100 * tol
            leaves[2 * i + 1] -= 100 * tol
        return column if max(map(abs, leaves)) > MAX_LOSS else Column(tuple(leaves), column.sum)


def build(measured: int, n: int, apart: int) -> Column | None:
    """n losses with this mean, alternating around it; nothing where one would be out of bounds."""
    leaves = [measured + (apart if i % 2 else -apart) for i in range(n)]
    if n % 2:
        leaves[-1] = measured
    if n > 1:
        leaves[-1] -= n - 1
    total = sum(leaves)
    if max(map(abs, leaves)) > MAX_LOSS - 10**15 or abs(total) >= 2**63:
        return None
    return Column(tuple(leaves), total)


def some_loss(rng: random.Random) -> int:
    """Where the claims of a job lie: small numbers, losses of models, numbers near the bound."""
    return rng.choice((0, 1, 5_000, 10**6, 10**8, 2_300_000_000, 10**12, 9 * 10**16))
