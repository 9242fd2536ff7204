"""How a model answered lately: how long its requests took from the posting to the answer, and how many of them agreed.

    request that has an outcome --> AnswerWindow, the newest `WINDOW` of a model --> AnswerFigures

Plain data, by what the ledger says alone. `recent_answers` has the windows of all models for the API, the server those of the
models that its node serves for the metrics.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final, NamedTuple

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.records import RequestRecord, RequestTerms
from learningchain.chain.contracts.prediction.tally import VALUED, PredictionOutcome
from learningchain.chain.host import Reader

WINDOW: Final = 128
"""Answers of a model that are remembered, the newest."""
COUNTED: Final = frozenset(
    (
        *VALUED,
        PredictionOutcome.TOO_FEW,
        PredictionOutcome.NO_AGREEMENT,
        PredictionOutcome.MODEL_FAULT,
        PredictionOutcome.TOO_HEAVY,
    )
)
"""Outcomes that say something of a model and its servers. How else a request ends is its requester's doing, or nobody was drawn."""


class AnswerSample(NamedTuple):
    """One request's: `answered` and `took` in milliseconds of the chain clock, `took` from the posting on."""

    answered: int
    request: bytes
    took: int
    outcome: PredictionOutcome


class AnswerFigures(NamedTuple):
    """Of a window: how many requests it has, how many of them agreed, or have values with fewer behind them than were asked for;
    `p50_ms` and `p95_ms` of those that have values, None where none has; `since`: when the oldest was answered, None of none."""

    counted: int
    agreed: int
    weak: int
    p50_ms: int | None
    p95_ms: int | None
    since: int | None

    @property
    def agreement(self) -> float | None:
        """The share that agreed."""
        return self.agreed / self.counted if self.counted else None


def sample_of(reader: Reader, request: bytes) -> tuple[bytes, AnswerSample] | None:
    """A request's model, and what it adds to that one's window; None where it has no outcome that counts."""
    asked, record = reader.get(records.terms_key(request)), reader.get(records.request_key(request))
    if not isinstance(asked, RequestTerms) or not isinstance(record, RequestRecord) or record.outcome not in COUNTED:
        return None
    outcome = PredictionOutcome(record.outcome)
    return asked.terms.model, AnswerSample(record.answered, request, max(0, record.answered - asked.posted), outcome)


def nearest_rank(ordered: list[int], percent: int) -> int | None:
    """The least value that is at least as large as `percent` of all; None of none."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


class AnswerWindow:
    """The newest answers of a model, whatever the order in which they are added; each counts once."""

    def __init__(self) -> None:
        self._samples: list[AnswerSample] = []

    def add(self, sample: AnswerSample) -> None:
        at = bisect_left(self._samples, sample)
        if at < len(self._samples) and self._samples[at] == sample:
            return
        insort(self._samples, sample)
        del self._samples[:-WINDOW]

    def figures(self) -> AnswerFigures:
        took = sorted(one.took for one in self._samples if one.outcome in VALUED)
        return AnswerFigures(
            counted=len(self._samples),
            agreed=sum(one.outcome == PredictionOutcome.AGREED for one in self._samples),
            weak=sum(one.outcome == PredictionOutcome.WEAK for one in self._samples),
            p50_ms=nearest_rank(took, 50),
            p95_ms=nearest_rank(took, 95),
            since=self._samples[0].answered if self._samples else None,
        )


NO_ANSWERS: Final = AnswerWindow().figures()
