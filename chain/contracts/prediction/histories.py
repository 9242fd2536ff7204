"""What is remembered of a server and of a model: short lists in which one requester's root has one entry (LC-PRE-12, 34).

Whoever asks often is heard once: to speak ill of a server or a model takes as many roots as bad entries are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from learningchain.chain.contracts.prediction.tally import PredictionOutcome, Tally

SERVER_ENTRIES = 32
SERVER_BAD = 8
"""A server with more bad entries is out."""
ASLEEP_AFTER = 3
"""Times silent in a row."""
MODEL_ENTRIES = 10
MODEL_BAD = 6
"""So many bad entries retire a model."""
MODEL_SEATS = 5
"""A smaller committee says nothing of a model."""
BAD_FOR_MODEL = (PredictionOutcome.NO_AGREEMENT, PredictionOutcome.MODEL_FAULT)

Entry = tuple[bytes, bool]
"""Root of the requester; whether it was bad."""


def entered(entries: Sequence[Entry], root: bytes, bad: bool, most: int) -> list[Entry]:
    """With one more: the root's entry before it goes, and of more than `most` the oldest."""
    return [*(entry for entry in entries if entry[0] != root), (root, bad)][-most:]


def bad_entries(entries: Sequence[Entry]) -> int:
    return sum(bad for _, bad in entries)


def server_entered(entries: Sequence[Entry], root: bytes, bad: bool) -> tuple[list[Entry], bool]:
    """LC-PRE-34: a server's record with one more, and whether it is out by that; then the record is empty."""
    found = entered(entries, root, bad, SERVER_ENTRIES)
    out = bad_entries(found) > SERVER_BAD
    return ([] if out else found), out


def model_entered(entries: Sequence[Entry], root: bytes, outcome: PredictionOutcome, c: int) -> tuple[list[Entry], bool]:
    """LC-PRE-12: a model's record after a tally of `c` seats, and whether it retires by that."""
    if c < MODEL_SEATS:
        return list(entries), False
    found = entered(entries, root, outcome in BAD_FOR_MODEL, MODEL_ENTRIES)
    return found, bad_entries(found) >= MODEL_BAD


def conduct(found: Tally, votes: int) -> list[bool] | None:
    """LC-PRE-34: for each of so many opened votes whether its entry is bad; None: nobody gets one."""
    return [place not in found.side for place in range(votes)] if found.side else None
