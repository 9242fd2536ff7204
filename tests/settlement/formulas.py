"""The formulas of the rules: integers in, integers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from .scenario import F64, Limits, Params, Terms

C = 7
SECOND = 64
PROBED = 16
MAX_CLAIMS = 16
MEGABYTE = 10**6


def cd(a: int, b: int) -> int:
    """Ceil division."""
    return -(-a // b)


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def base(kind: int, loss: int) -> int:
    return 10 + cd(abs(loss), 10**6) if kind == F64 else 1_000 + cd(abs(loss), 10**4)


def tol(terms: Terms, loss: int) -> int:
    b = base(terms.kind, loss)
    return max(b, min(terms.tol, 10 * b))


def bound(kind: int, loss: int) -> int:
    return (1_000 if kind == F64 else 100) * base(kind, loss)


def t(terms: Terms, claim: int, compared: Sequence[int]) -> int:
    """t(c, S): honest measurements of one model lie within twice this of each other."""
    return max(tol(terms, claim), base(terms.kind, lower_median(compared)))


def beats(terms: Terms, new: int, old: int) -> bool:
    """The minimum improvement."""
    return new + 2 * tol(terms, old) <= old


def leader(terms: Terms, losses: Sequence[int]) -> int:
    """Index of the leader of claims that stand in order."""
    best = 0
    for i in range(1, len(losses)):
        if beats(terms, losses[i], losses[best]):
            best = i
    return best


def rank(terms: Terms, losses: Sequence[int], most: int | None = None) -> list[int]:
    """Indices in rank order, the first `most` of them."""
    left = list(range(len(losses)))
    ranked: list[int] = []
    while left and (most is None or len(ranked) < most):
        ranked.append(left.pop(leader(terms, [losses[i] for i in left])))
    return ranked


def quorum(c: int) -> int:
    """Q(c)."""
    return 2 * c // 3 + 1


def draw_delay(validators: int) -> int:
    """d, in blocks."""
    return max(1, (validators - 1) // 3)


def eval_time(terms: Terms) -> int:
    """e, in seconds, as posted: whether the hidden data is off by now does not matter."""
    return 2 * terms.limits.eval_s if terms.hidden else terms.limits.eval_s


def vote_window(params: Params, terms: Terms, batch: int) -> int:
    """W_V in milliseconds; e in seconds, the transfer of models at 1 MB a second, that of data sets at 10 MB."""
    models = cd(terms.limits.model_cap * batch * 1_000, MEGABYTE)
    return params.v0 + 2 * eval_time(terms) * 1_000 * batch + models + cd(terms.evaluated * 1_000, 10 * MEGABYTE)


def count_window(params: Params, columns: int, c: int) -> int:
    """W_C in milliseconds."""
    return params.w_o * columns * max(1, cd(c, 16))


def least_fee(params: Params, terms: Terms) -> int:
    """In thousandths of CPU seconds: evaluations, five seconds beside each, one for each 100 MB of a model and of data sets."""
    columns, hundreds = 2 if terms.hidden else 1, cd(terms.limits.model_cap, 100 * MEGABYTE) + cd(terms.evaluated, 100 * MEGABYTE)
    work = eval_time(terms) * terms.limits.cpus_milli + 5_000 * columns + 1_000 * hundreds
    return cd(work * params.rate, 1_000)


def stake(terms: Terms) -> int:
    return terms.bounty // 10


def fees(terms: Terms) -> int:
    """F."""
    return terms.fee * (C + SECOND) * terms.finalists


def bond(terms: Terms) -> int:
    """G."""
    return terms.finalists * stake(terms)


def deposit(terms: Terms) -> int:
    """D."""
    return terms.bounty if terms.hidden else 0


def latest_end(params: Params, terms: Terms) -> int:
    """Chain clock by which a job ends, but for the blocks of its draws and the lateness of the blocks that ran its deadlines."""
    columns = 2 if terms.hidden else 1
    rounds = vote_window(params, terms, 1) + count_window(params, columns, SECOND)
    return terms.expiry + params.w_r + params.w_k + 2 * terms.finalists * rounds


def covers(capacity: Limits, job: Limits) -> bool:
    return (
        capacity.arch == job.arch
        and capacity.cpus_milli >= job.cpus_milli
        and capacity.mem_mb >= job.mem_mb
        and capacity.image >= job.image
        and capacity.model_cap >= job.model_cap
        and capacity.eval_s >= job.eval_s
    )


@lru_cache(maxsize=4_096)
def subtree(n: int, index: int) -> tuple[int, int]:
    """The leaves a..b-1 under node `index` at depth four, for n >= 16."""
    a, b = 0, n
    for depth in (8, 4, 2, 1):
        middle = (a + b) // 2
        a, b = (middle, b) if index & depth else (a, middle)
    return a, b


def probe(n: int, draw: Callable[[int], int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The positions and the subtrees of a probe; draw(k) is the k-th number drawn from the beacon."""
    if n < PROBED:
        return tuple(draw(k) % n for k in range(PROBED)), ()
    subtrees: list[int] = []
    k = 8
    while len(subtrees) < 8:
        index = draw(k) % 16
        if index not in subtrees:
            subtrees.append(index)
        k += 1
    return tuple(draw(k) % n for k in range(8)), tuple(subtrees)


def probed(leaves: Sequence[int], places: tuple[tuple[int, ...], tuple[int, ...]]) -> list[int]:
    """The sixteen values that a column shows, place by place."""
    positions, subtrees = places
    shown = [leaves[i] for i in positions]
    for index in subtrees:
        a, b = subtree(len(leaves), index)
        shown.append(max(leaves[a:b]))
    return shown
