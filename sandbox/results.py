"""What the host makes of the one file of /lc/out that a phase's row says is read. No I/O: the file comes in pieces.

    sidecar --pieces--> ResultReader.take, ... , finish --> what the run's caller gets

These bytes come from a stranger's program: a reader keeps what it takes within bounds of its own.
"""

from __future__ import annotations

from array import array
from typing import Protocol

import msgspec

from learningchain.chain.losses import LossesOutOfRange, LossTree, Measurement
from learningchain.sandbox.losses import LossesBroken, LossesInvalid, LossReader


class BadResult(ValueError):
    """What a job left behind breaks the contract; the text says how."""


class InvalidModel(BadResult):
    """What a job left behind says that its model cannot be evaluated, as exit 65 does."""


class InputRefused(BadResult):
    """What a job left behind says that its input does not fit, as exit 66 does."""

    row: int
    """Which one, counted from 0."""


class UnfitRow(msgspec.Struct, frozen=True):
    """The result of a run that refused its input and named a row, counted from 0."""

    row: int


class ResultReader(Protocol):
    """Takes a file in pieces of any size, once. It gets one byte more than the row's `cap` where there are more."""

    def take(self, piece: bytes) -> None:
        """Raises BadResult; then the rest is not read."""
        ...

    def finish(self) -> object:
        """What the caller of the run gets. Raises BadResult, InputRefused."""
        ...


class Evaluated(msgspec.Struct, frozen=True):
    """What one evaluation measured. Its mean is `measurement.mean`."""

    measurement: Measurement
    """Root, total and count of the Merkle-sum tree over `losses`."""
    losses: array[int]
    """In units of 1e-9, in the order of the file: 8 bytes each."""


class EvaluationReader:
    """/lc/out/losses (LC-LOSS-15 to LC-LOSS-18). `finish` builds the tree, 1.8 s for 2^20 losses: not for an event loop."""

    def __init__(self) -> None:
        self._reader = LossReader()

    def take(self, piece: bytes) -> None:
        """Raises InvalidModel for a number that no vote can say, BadResult for what is no list of losses."""
        try:
            self._reader.take(piece)
        except LossesInvalid as problem:
            raise InvalidModel(f"losses, {problem}") from None
        except LossesBroken as problem:
            raise BadResult(f"losses, {problem}") from None

    def finish(self) -> Evaluated:
        """Raises as `take`; InvalidModel also where the losses add up to more than a vote can say (LC-LOSS-1)."""
        try:
            losses = self._reader.finish()
            return Evaluated(LossTree(losses).measurement, losses)
        except LossesBroken as problem:
            raise BadResult(f"losses, {problem}") from None
        except LossesOutOfRange as problem:
            raise InvalidModel(str(problem)) from None
