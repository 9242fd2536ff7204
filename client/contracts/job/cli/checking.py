"""What several evaluations of one model say about a job, before anybody posts it: does it repeat, what may differ, what to ask for.

Pure. Losses are in units of 1e-9, as everywhere. All of it was measured on one machine: another processor may round otherwise, so
half of what the rules allow is kept free.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from learningchain.chain.losses import MAX_EXAMPLES
from learningchain.chain.types import LOSS_UNIT
from learningchain.chain.verification.scale import FloatKind, base, ceil_div, lower_median, tolerance

LEAVES = 20
"""Losses of one example may lie within so many times t of each other (rule page, FEE)."""
SPARE = 2
"""What was seen to differ here must fit so many times."""
MAX_TOL = 10
"""A posted tolerance counts up to so many times what rounding needs."""
_TELLS_FROM = LOSS_UNIT // 4
"""Smaller 32-bit numbers lie so close together that a loss of nine digits is near one by accident: here in one of fifteen cases."""
_ENOUGH = 4
"""So many losses that are all 32-bit numbers are no accident."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation. `threads` is what the program was told, `processors` how many it could see and use."""

    threads: int
    processors: int
    losses: Sequence[int]
    seconds: float

    @property
    def mean(self) -> int:
        return -(-sum(self.losses) // len(self.losses))


@dataclass(frozen=True)
class Difference:
    """The losses of one example, of each evaluation in their order."""

    example: int
    losses: tuple[int, ...]

    @property
    def width(self) -> int:
        return max(self.losses) - min(self.losses)


@dataclass(frozen=True)
class Finding:
    """What was found. `float_kind` None: no job can be posted with this program, for the reason in `advice`."""

    examples: int
    loss: int
    spread: int
    """By how much the means differ."""
    widest: tuple[Difference, ...]
    """The examples that differ most, widest first; none where all losses are the same."""
    float_kind: FloatKind | None
    tol: int
    """To be posted; 0 where rounding needs no more."""
    advice: tuple[str, ...]

    @property
    def repeats(self) -> bool:
        return self.float_kind is not None


def judge(evaluations: Sequence[Evaluation], *, shown: int = 5) -> Finding:
    """At least two evaluations of one model; the first two were run alike."""
    lists = [list(evaluation.losses) for evaluation in evaluations]
    counts = {len(losses) for losses in lists}
    first = evaluations[0]
    if len(counts) > 1:
        text = f"the evaluations have {', '.join(map(str, sorted(counts)))} examples: the number of lines must always be the same"
        return Finding(len(first.losses), first.mean, 0, (), None, 0, (text,))
    means = [evaluation.mean for evaluation in evaluations]
    differing = [Difference(i, row) for i, row in enumerate(zip(*lists, strict=True)) if min(row) != max(row)]
    widest = tuple(sorted(differing, key=lambda one: (-one.width, one.example))[:shown])
    spread = max(means) - min(means)
    fit = fitting(lower_median(means), spread, widest[0].width if widest else 0, single=looks_single(first.losses))
    advice = [*_causes(evaluations), *_examples(len(first.losses))]
    if fit is None:
        advice.insert(0, _not_repeatable(lower_median(means), spread, widest))
    kind, tol = fit if fit is not None else (None, 0)
    return Finding(len(first.losses), first.mean, spread, widest, kind, tol, tuple(advice))


def fitting(loss: int, spread: int, width: int, *, single: bool) -> tuple[FloatKind, int] | None:
    """The narrowest kind, with the tolerance to post, in which such differences are honest, with room to spare; None for none.

    `spread` is of the means, `width` of one example's losses; `single`: the program seems to compute in 32 bits.
    """
    needed = SPARE * max(spread, ceil_div(width, LEAVES))
    for kind in (FloatKind.F32,) if single else (FloatKind.F64, FloatKind.F32):
        rounding = base(kind, loss)
        if needed <= rounding:
            return kind, 0
        if needed <= MAX_TOL * rounding:
            return kind, needed
    return None


def looks_single(losses: Sequence[int]) -> bool:
    """Whether all losses that could tell are 32-bit floating-point numbers, printed with nine digits."""
    telling = [loss for loss in losses if abs(loss) >= _TELLS_FROM and loss % (LOSS_UNIT // 1000)]
    return len(telling) >= _ENOUGH and all(_is_single(loss) for loss in telling)


def _is_single(loss: int) -> bool:
    value = loss / LOSS_UNIT
    try:
        nearest = float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return False
    return abs(nearest - value) < 1 / LOSS_UNIT


def _causes(evaluations: Sequence[Evaluation]) -> list[str]:
    """What made the losses differ: found by the evaluation that differs from the first in one thing alone."""
    first, again, *others = evaluations
    if list(again.losses) != list(first.losses):
        return ["two runs with the same inputs differ: seed all that is random, and add up in a fixed order"]
    found = []
    for other in others:
        if list(other.losses) == list(first.losses):
            continue
        if other.threads != first.threads and other.processors == first.processors:
            found.append(f"with `threads` {other.threads} instead of {first.threads} the losses differ: sums are split by threads")
        else:
            found.append(
                f"on {other.processors} of {first.processors} processors the losses differ: use `threads` of job.json, not the "
                "number of processors that the machine has"
            )
    return found


def _examples(count: int) -> list[str]:
    if count == 1:
        return [
            "there is one line, so the metric is no mean of examples: that is allowed, but verifiers cannot show that they "
            "evaluated all of it. job show tells it to everybody"
        ]
    if count < 16:
        return [f"with {count} examples a vote shows most of them; more examples protect better against verifiers that run a part"]
    return []


def _not_repeatable(loss: int, spread: int, widest: Sequence[Difference]) -> str:
    allowed = MAX_TOL * base(FloatKind.F32, loss) // SPARE
    widest_text = f", one example by {widest[0].width / LOSS_UNIT:.9f}" if widest else ""
    return (
        f"it does not repeat: the loss differs by {spread / LOSS_UNIT:.9f}{widest_text}, and no job may differ by more than "
        f"{allowed / LOSS_UNIT:.9f}. Votes on it would disagree: you would pay for rounds that decide nothing"
    )


# --- a GPU beside processors ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beside:
    """A GPU's own losses of a model beside those that committees measure, on processors. `widest`: (processors, GPU)."""

    loss: int
    difference: int
    """Of the means, of the GPU's less that of processors."""
    allowed: int
    """As far may means of honest machines be apart, and losses of one example `LEAVES` times as far."""
    outside: int
    """Examples whose losses are further apart than that."""
    widest: tuple[Difference, ...]
    advice: tuple[str, ...]

    @property
    def inside(self) -> bool:
        return abs(self.difference) <= self.allowed and not self.outside


def beside(processors: Sequence[int], gpu: Sequence[int], kind: FloatKind, tol: int, *, shown: int = 3) -> Beside:
    """Of the same examples. `kind` and `tol`: as they are to be posted."""
    here, there = (-(-sum(losses) // len(losses)) for losses in (processors, gpu))
    allowed = tolerance(kind, tol, here)
    differing = [Difference(i, pair) for i, pair in enumerate(zip(processors, gpu, strict=True)) if pair[0] != pair[1]]
    widest = tuple(sorted(differing, key=lambda one: (-one.width, one.example))[:shown])
    outside = sum(one.width > LEAVES * allowed for one in differing)
    found = Beside(there, there - here, allowed, outside, widest, ())
    return found if found.inside else replace(found, advice=(_other_on_gpu(found, here),))


def _other_on_gpu(found: Beside, here: int) -> str:
    text = f"on the GPU the loss was {_text(found.loss)}, on processors it is {_text(here)}"
    if found.outside:
        worst = found.widest[0]
        text += f"; {found.outside} examples are outside, most of all example {worst.example}: {_text(worst.width)} apart"
    return (
        f"{text}. Committees measure on processors: expect the second figure, and let no bounty hang on the first. Halves, TF32 "
        "and autocast make such differences: evaluate in float32 without them, or in float64"
    )


def _text(loss: int) -> str:
    return f"{loss / LOSS_UNIT:.9f}"


@dataclass(frozen=True)
class EvaluationReach:
    """How much evaluation fits into what verifiers take on, where a slow one takes `SLOWER` times as long as this machine."""

    seconds: float
    most_s: int
    examples: int
    """Of this model, in so many seconds."""
    model: int
    """Bytes of a model that takes as much longer as it is larger, over the same examples."""

    @property
    def fits(self) -> bool:
        return SLOWER * self.seconds <= self.most_s


def reach(seconds: float, most_s: int, examples: int, model: int, most_model: int) -> EvaluationReach:
    """`seconds`: what the slowest evaluation of `examples` by a model of so many bytes took here, the container's start in it."""
    times = most_s / (SLOWER * max(seconds, 1e-3))
    return EvaluationReach(seconds, most_s, min(MAX_EXAMPLES, int(examples * times)), min(most_model, int(model * times)))


def too_long(found: EvaluationReach) -> list[str]:
    """What to do where an evaluation is too long for processors."""
    if found.fits:
        return []
    return [
        f"an evaluation took {found.seconds:.0f} s on processors here, so a slow verifier needs {SLOWER * found.seconds:.0f} s, "
        f"and many take on no more than {found.most_s} s. Evaluate fewer examples, {found.examples:,} of this model, or a smaller "
        "model: committees have no GPU"
    ]


# --- what to ask for -----------------------------------------------------------------------------------------------------------

_MIB = 2**20
LEAST_MB = 32
"""Less memory is not tried: interpreters alone take that."""
SLOWER = 5
"""How much slower than here another machine may be: verifiers that take longer than the limit vote against the model."""


@dataclass(frozen=True)
class LimitsToAsk:
    """Limits to post, from what was measured: seconds, MiB and bytes."""

    eval_s: int
    mem_mb: int
    model_cap: int


def wanted(slowest_s: float, enough_mb: int, most_mb: int, model: int) -> LimitsToAsk:
    """`slowest_s`: of the evaluations; `enough_mb`: memory that was enough here, of at most `most_mb`; `model`: its bytes.

    Twice that memory: machines with more processors start more helpers.
    """
    return LimitsToAsk(max(10, math.ceil(SLOWER * slowest_s)), min(most_mb, 2 * enough_mb), _MIB * ceil_div(2 * model, _MIB))


def memory_tries(seen: int | None, most_mb: int) -> list[int]:
    """Limits in MiB, ascending, with which to try whether less memory is enough. `seen`: bytes that a run was seen to hold."""
    tries, mb = [], LEAST_MB
    while mb < most_mb:
        if seen is None or mb * _MIB > seen:
            tries.append(mb)
        mb *= 2
    return tries
