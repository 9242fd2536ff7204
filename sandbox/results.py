"""What the host makes of the one file of /lc/out that a phase's row says is read. No I/O: the file comes in pieces.

    sidecar --pieces--> ResultReader.take, ... , finish --> what the run's caller gets

These bytes come from a stranger's program: a reader keeps what it takes within bounds of its own.
"""

from __future__ import annotations

from array import array
from typing import Protocol

import msgspec

from learningchain.chain.losses import MAX_EXAMPLES, LossesOutOfRange, LossTree, Measurement
from learningchain.sandbox.losses import MAX_LOSSES_BYTES, LossesBroken, LossesInvalid, LossReader

MAX_MODELS = 52
"""Most models that one run of `evaluates` measures: four lengths of thirteen directions (LC-FED-61)."""


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


class EvaluatedModels(msgspec.Struct, frozen=True):
    """What one run measured of several models, in their order; None: a model that cannot be evaluated."""

    each: tuple[Evaluated | None, ...]


class EvaluationsReader:
    """/lc/out/losses of several models: for each what LC-LOSS-15 to LC-LOSS-18 say, an empty line between two. What is invalid is
    so of its model alone. All of it, 24 MiB at most, is kept until `finish`, which takes as long as that of `EvaluationReader`."""

    def __init__(self) -> None:
        self._raw = bytearray()

    def take(self, piece: bytes) -> None:
        """Raises BadResult."""
        if len(self._raw) + len(piece) > MAX_LOSSES_BYTES:
            raise BadResult(f"losses: the file has more than {MAX_LOSSES_BYTES:,} bytes")
        self._raw += piece

    def finish(self) -> EvaluatedModels:
        """Raises BadResult."""
        parts = bytes(self._raw).split(b"\n\n", MAX_MODELS)
        if len(parts) > MAX_MODELS:
            raise BadResult(f"losses: more than {MAX_MODELS} models, with an empty line between two")
        found = list[Evaluated | None]()
        for number, part in enumerate(parts, 1):
            found.append(self._one(number, part if number == len(parts) else part + b"\n"))
            if sum(len(one.losses) for one in found if one is not None) > MAX_EXAMPLES:
                raise BadResult(f"losses: all models together have at most {MAX_EXAMPLES:,}")
        return EvaluatedModels(tuple(found))

    @staticmethod
    def _one(number: int, raw: bytes) -> Evaluated | None:
        reader = LossReader()
        try:
            reader.take(raw)
            losses = reader.finish()
            return Evaluated(LossTree(losses).measurement, losses)
        except LossesBroken as problem:
            raise BadResult(f"losses of model {number}, {problem}") from None
        except (LossesInvalid, LossesOutOfRange):
            return None
