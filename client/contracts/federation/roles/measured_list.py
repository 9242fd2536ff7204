"""The list that a seat says of the candidates of a sum of cells (LC-FED-61): of each direction the step that loses least. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from learningchain.chain.contracts.federation.messages import STEPS, DirectionMeasure, MeasureCode, StepsMeasure
from learningchain.chain.losses import MAX_LOSS, Measurement

Measured = Sequence[Measurement | None]
"""Of each candidate that is finite, in order; None: not to be evaluated."""
NOTHING: Final = StepsMeasure(MeasureCode.INVALID, [])


class AskedLosses(NamedTuple):
    """Which leaves OPEN asks for: of the direction, and where its losses lie among those that one run measured."""

    direction: int
    place: int
    measured: Measurement


def list_of(models: Sequence[bytes], measured: Measured) -> StepsMeasure:
    """`models`: as the ledger names them, empty where not finite."""
    found = list[DirectionMeasure]()
    by_model = dict(zip((n for n, model in enumerate(models) if model), measured, strict=True))
    for first in range(0, len(models), len(STEPS)):
        each = [(step, by_model.get(first + n)) for n, step in enumerate(STEPS)]
        known = [(one.mean, n, step, one) for n, (step, one) in enumerate(each) if one is not None and abs(one.mean) <= MAX_LOSS]
        best = min(known, key=lambda one: one[:2], default=None)
        found.append(DirectionMeasure(0, []) if best is None else DirectionMeasure(best[2], [best[3]]))
    return StepsMeasure(MeasureCode.OK, found) if any(one.measured for one in found) else NOTHING


def asked_of(models: Sequence[bytes], said: StepsMeasure, beacon: bytes) -> AskedLosses:
    """Of a list that is OK."""
    known = [(direction, one.step, one.measured[0]) for direction, one in enumerate(said.directions) if one.measured]
    direction, step, measured = known[int.from_bytes(beacon, "big") % len(known)]
    candidate = direction * len(STEPS) + STEPS.index(step)
    return AskedLosses(direction, sum(1 for model in models[:candidate] if model), measured)
