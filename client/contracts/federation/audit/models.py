"""Whether a round's model lies where its base, its delta and the ledger put it (LC-FILE-34, 35), or its candidates are what base
and sums give (LC-FILE-60 to 63). Pure; needs numpy, in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from learningchain.chain.contracts.federation.messages import AggregationRule
from learningchain.client.contracts.federation.arithmetic.places import CQ, AttemptPlace
from learningchain.client.contracts.federation.arithmetic.small.sums import BadSums, read_sums
from learningchain.client.contracts.federation.arithmetic.summing import Rule, divisor
from learningchain.client.contracts.federation.arithmetic.tensors import PIECE, BadTensors, Buffer, read_layout, values_of
from learningchain.client.contracts.federation.roles.small_computing import candidate_files, names_of

RULES: Final[dict[int, Rule]] = {
    AggregationRule.MEAN: "mean",
    AggregationRule.KRUM: "krum",
    AggregationRule.TRIMMED: "trimmed",
    AggregationRule.MEDIAN: "median",
}


def model_faults(base: Buffer, delta: Buffer, model: Buffer, *, clip: int, rule: int, accepted: int) -> list[str]:
    """What is wrong, if anything. `delta` is S // q, so S lies from q·delta to q·delta + q - 1: each value of the model lies
    between what these two make of the base's. `clip` in units of 1e-9; `accepted` updates were summed."""
    try:
        layout, other = read_layout(base), read_layout(model)
    except BadTensors as bad:
        return [f"a model that cannot be read: {bad}"]
    if layout.head != other.head:
        return ["the header of the model is not that of its base"]
    if len(delta) != 4 * layout.dims:
        return [f"the delta has {len(delta)} bytes, {4 * layout.dims} belong to so many values"]
    q = divisor(RULES[rule], accepted)
    step = clip / 1e9 / CQ / q
    before, after, moved = values_of(base, layout), values_of(model, other), np.frombuffer(delta, "<i4", layout.dims)
    for at in range(0, layout.dims, PIECE):
        least = moved[at : at + PIECE].astype(np.int64) * q
        piece = before[at : at + PIECE].astype(np.float64)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            low = (piece + least.astype(np.float64) * step).astype(np.float32)
            high = (piece + (least + (q - 1)).astype(np.float64) * step).astype(np.float32)
            inside = (after[at : at + PIECE] >= low) & (after[at : at + PIECE] <= high)
        if not inside.all():
            place = at + int(np.argmin(inside))
            return [f"value {place} of the model does not lie where the delta of {accepted} updates puts it"]
    return []


def candidate_faults(
    base: Buffer, sums: Buffer, names: Sequence[bytes], *, place: AttemptPlace, radius: int, cells: Sequence[tuple[int, int]]
) -> list[str]:
    """What is wrong, if anything, with the candidates that were signed. `cells`: number and members of each that the ledger says
    was summed."""
    try:
        layout = read_layout(base)
        told = read_sums(bytes(sums), place, layout.dims)
    except (BadTensors, BadSums) as bad:
        return [f"base or sums cannot be read: {bad}"]
    if [(one.cell, one.members) for one in told.cells] != list(cells):
        return ["the file of the sums is of other cells than the ledger says"]
    made = names_of(candidate_files(values_of(base, layout), layout, told, radius))
    if len(made) != len(names):
        return [f"{len(names)} candidates were signed, base and sums give {len(made)}"]
    return [
        f"candidate {n} is not what base and sums give" for n, pair in enumerate(zip(made, names, strict=True)) if len({*pair}) > 1
    ]
