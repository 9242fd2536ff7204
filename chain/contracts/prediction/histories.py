"""What is remembered of a server and of a model: short lists in which one requester's root has one entry (LC-PRE-12, 34).

Whoever asks often is heard once: to speak ill of a server or a model takes as many roots as bad entries are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from learningchain.chain.contracts.prediction.tally import PredictionOutcome, Tally

SERVER_ENTRIES = 32
SERVER_BAD = 8
"""A server with more bad entries is out."""
SERVER_WRONG = 3
"""A server that a quorum contradicted for so many roots is out where these are more than half of its entries."""
LAST_SEATS = 2**32 - 1
"""A bit for each of the last 32."""
SILENT_MOST = 6
"""Of its last seats a server may be silent in so many; in one more it rests."""
ASLEEP = 0b111
"""Three times silent in a row."""
REST = 3_600_000
"""Milliseconds for which a server that rests is not drawn, whatever it does."""
MODEL_ENTRIES = 10
MODEL_BAD = 6
"""So many bad entries retire a model."""
MODEL_SEATS = 5
"""A smaller committee says nothing of a model."""
BAD_FOR_MODEL = (PredictionOutcome.NO_AGREEMENT, PredictionOutcome.MODEL_FAULT)

Entry = tuple[bytes, bool]
"""Root of the requester; whether it was bad."""
ServerEntry = tuple[bytes, bool, bool]
"""The same, and whether a quorum contradicted it."""
E = TypeVar("E", Entry, ServerEntry)


def entered(entries: Sequence[E], new: E, most: int) -> list[E]:
    """With a new one: its root's entry before it goes, and of more than `most` the oldest."""
    kept: list[E] = [entry for entry in entries if entry[0] != new[0]]
    kept.append(new)
    return kept[-most:]


def is_out(entries: Sequence[ServerEntry]) -> bool:
    """LC-PRE-34: by bad entries of many roots, or, where few ask, by what a quorum contradicted for most of them."""
    bad, wrong = sum(entry[1] for entry in entries), sum(entry[2] for entry in entries)
    return bad > SERVER_BAD or (wrong >= SERVER_WRONG and 2 * wrong > len(entries))


def seat_ended(silent: int, is_silent: bool) -> int:
    """LC-PRE-34: `silent` has a bit for each of the last seats, the last one's is 1: set where it was silent."""
    return (2 * silent + is_silent) & LAST_SEATS


def silent_in_a_row(silent: int) -> int:
    return (silent ^ silent + 1).bit_length() - 1


def must_rest(silent: int) -> bool:
    """LC-PRE-34: silence costs next to nothing, and each delays a request by a window."""
    return silent.bit_count() > SILENT_MOST


def model_entered(entries: Sequence[Entry], root: bytes, outcome: PredictionOutcome, c: int) -> tuple[list[Entry], bool]:
    """LC-PRE-12: a model's record after a tally of `c` seats, and whether it retires by that."""
    if c < MODEL_SEATS:
        return list(entries), False
    found = entered(entries, (root, outcome in BAD_FOR_MODEL), MODEL_ENTRIES)
    return found, sum(bad for _, bad in found) >= MODEL_BAD


def conduct(found: Tally, votes: int) -> list[bool] | None:
    """LC-PRE-34: for each of so many opened votes whether its entry is bad; None: nobody gets one."""
    return [place not in found.side for place in range(votes)] if found.side else None
