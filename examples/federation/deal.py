"""One data set as that of several owners, who do not see the same cases: hospitals, banks, writers."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence


def dealt(table: bytes, owners: int, seed: int = 0, most: int = 0, skew: float = 2.0) -> list[bytes]:
    """A table for each owner. Each class, the last column, is dealt by a draw of Dirichlet(skew): the lower the skew, the more they
    differ. `most`: rows of an owner, 0 as many as there are. Every owner has two rows at least. Raises ValueError for too few."""
    rng = random.Random(seed)
    head, *rows = list(csv.reader(table.decode().splitlines()))
    if len(rows) < 2 * owners:
        raise ValueError(f"{len(rows)} rows are too few for {owners} owners")
    rng.shuffle(rows)
    spare, rows = rows[: 2 * owners], rows[2 * owners :]
    found = [spare[2 * n : 2 * n + 2] for n in range(owners)]
    for name in sorted({row[-1] for row in rows}):
        of_class = [row for row in rows if row[-1] == name]
        weights = [rng.gammavariate(skew, 1) for _ in range(owners)]
        ends = [round(len(of_class) * sum(weights[: n + 1]) / sum(weights)) for n in range(owners)]
        for owner, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            found[owner] += of_class[begin:end]
    for own in found:
        rng.shuffle(own)
    return [_text([head, *(own[:most] if most else own)]) for own in found]


def flipped(table: bytes) -> bytes:
    """The same with the truth turned round, of two classes 0 and 1: an owner that poisons."""
    head, *rows = list(csv.reader(table.decode().splitlines()))
    return _text([head, *([*row[:-1], str(1 - int(row[-1]))] for row in rows)])


def _text(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
