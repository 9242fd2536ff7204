"""The sum of accepted updates, its delta, and the next model (LC-FILE-33 to LC-FILE-35). Pure, in pieces.

Sums are whole numbers; what follows is one IEEE operation after the other on each number alone: equal inputs give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learningchain.client.contracts.federation.arithmetic.masks import Words, pieces
from learningchain.client.contracts.federation.arithmetic.places import CQ

Rule = Literal["mean", "krum", "trimmed", "median"]


class NotFinite(ValueError):
    """A value of the next model is not finite: the attempt is void, and it is nobody's fault."""


class NextPiece(NamedTuple):
    """Of the delta and of the model, as many values of each."""

    delta: bytes
    model: bytes


def divisor(rule: Rule, files: int) -> int:
    """LC-FILE-34: q, of so many accepted files."""
    if rule == "trimmed":
        return files - 2 * (files // 4)
    if rule == "median":
        return 2 - files % 2
    return files


def masked_sum(files: Sequence[Words], masks: Sequence[Iterator[Words]]) -> Iterator[NDArray[np.int64]]:
    """LC-FILE-33: the sum of the updates, of whose files and sums of masks it is all that anybody learns."""
    for at, length in pieces(len(files[0])):
        total = np.zeros(length, np.uint32)
        for file in files:
            total += file[at : at + length]
        for mask in masks:
            total -= next(mask)
        yield total.view(np.int32).astype(np.int64)


def sorted_sum(updates: Sequence[Iterator[NDArray[np.int32]]], rule: Rule) -> Iterator[NDArray[np.int64]]:
    """LC-FILE-34, for trimmed and median: of updates that are open, the middle ones of each coordinate."""
    drop = len(updates) // 4 if rule == "trimmed" else (len(updates) - 1) // 2
    for several in zip(*updates, strict=True):
        stacked = np.sort(np.stack(several), axis=0)
        yield stacked[drop : len(updates) - drop].sum(axis=0, dtype=np.int64)


def next_model(base: NDArray[np.float32], total: Iterable[NDArray[np.int64]], clip: int, divided_by: int) -> Iterator[NextPiece]:
    """LC-FILE-35: `total` in pieces of `PIECE`; `clip` is the round's, in units of 1e-9. Raises NotFinite."""
    step = clip / 1e9 / CQ / divided_by
    at = 0
    for piece in total:
        moved = piece.astype(np.float64) * step
        with np.errstate(over="ignore", under="ignore"):
            model = (base[at : at + len(piece)].astype(np.float64) + moved).astype(np.float32)
        if not np.isfinite(model).all():
            raise NotFinite(f"the next model has a value from number {at} on that is not finite")
        yield NextPiece((piece // divided_by).astype("<i4").tobytes(), model.astype("<f4").tobytes())
        at += len(piece)
