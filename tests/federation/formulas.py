"""The formulas of the rules: integers in, integers out."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from .scenario import Params, Terms

AGGREGATORS = 3
PANEL = 5
READY_WINDOWS = 3
UNREADY_ONCE = 3_600_000
MEASUREMENTS = 3
LEAST_VOTES = 2
"""Of a measurement: one seat alone decides nothing."""
KEPT_ROUNDS = 16
BENCH_AFTER = 3
BENCH_STARTS = 5
CQ = 2**22
CLIP_MOST = 2**50
POINTS = 16
CELL_LEAST, DEALT_LEAST = 3, 4
"""Members of a cell that is in, and how many make a new one."""
MISSES, MISSES_OF = 3, 16
LACKED = 64
RADIUS_LEAST, RADIUS_MOST = 10**6, 64 * 10**9
GAIN_MOST = 2**59
HEADER = 256 * 1024 + 8


def cd(a: int, b: int) -> int:
    """Division rounded up."""
    return -(-a // b)


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def fewest(terms: Terms) -> int:
    """Aggregators of an attempt."""
    return AGGREGATORS if terms.cells else 2


def quorum(c: int) -> int:
    """Q(c)."""
    return 2 * c // 3 + 1


def starts(rounds: int) -> int:
    """The most of a federation."""
    return 2 * rounds + 2


def fees(fee: int, rounds: int) -> int:
    """F: every start pays three aggregators at most, every measured round five seats."""
    return fee * (AGGREGATORS * starts(rounds) + PANEL * (rounds + 1))


def least_fee(params: Params, terms: Terms) -> int:
    """What u is at least: an evaluation, and a second of one CPU for each megabyte that an aggregator fetches."""
    work = terms.eval_s * terms.cpus_milli + cd(terms.max_members * fetched(terms), 10**6) * 1_000
    return max(1, cd(work * params.rate, 1_000))


def kept(terms: Terms) -> int:
    """Bytes that a federation may leave in the state for a while: K."""
    beside = 64 * terms.max_members + 160 * terms.rounds if terms.cells else 0
    return 2_048 + terms.params + 256 * (terms.max_members + min(terms.rounds, KEPT_ROUNDS)) + beside


def fetched(terms: Terms) -> int:
    """Bytes of what is measured: the model, or its candidates."""
    return 52 * terms.size if terms.cells else terms.size


def price(params: Params, terms: Terms) -> int:
    """P: what burns for them."""
    return params.rate * cd(kept(terms), 32)


def tol(terms: Terms, loss: int) -> int:
    """Of jobs."""
    base = 10 + cd(abs(loss), 10**6) if terms.float_kind == 1 else 1_000 + cd(abs(loss), 10**4)
    return max(base, min(terms.tol, 10 * base))


def due(terms: Terms, first: int, loss: int) -> int:
    """What a model of this loss has earned, where the initial one has `first`."""
    return terms.bounty * (first - max(loss, terms.target)) // (first - terms.target)


def update_size(terms: Terms) -> int:
    """Bytes of a member's file (LC-FILE-11, 54)."""
    if not terms.cells:
        return 4 * terms.dims + 500
    bits = 16 * terms.dims + 30
    wide = 8 if bits + terms.dims < 2_000 else 32
    return 500 + 8 * (bits + 2 * cd(bits + terms.dims, wide) + 2 * wide + 1)


def evaluation_window(params: Params, terms: Terms) -> int:
    """W_V."""
    return params.v0 + 2_000 * terms.eval_s + cd(fetched(terms), 1_000)


def screen_window(params: Params, terms: Terms, files: int) -> int:
    """W_S."""
    return params.v0 + cd(files * terms.size, 1_000)


def sum_window(params: Params, terms: Terms) -> int:
    """W_M."""
    return params.v0 + cd(3 * terms.size, 1_000)


def latest_end(params: Params, terms: Terms) -> int:
    """The draws' blocks apart, and by how much blocks come after the deadlines that they handle."""
    windows = READY_WINDOWS * params.w_h + terms.round_ms + params.v0
    windows += screen_window(params, terms, terms.max_members) + sum_window(params, terms)
    return terms.ends + windows + MEASUREMENTS * (evaluation_window(params, terms) + params.w_c) + params.w_h


def next_clip(clip: int, norm: int) -> int:
    """Up by a tenth at most, down by a half."""
    return max(1, min(CLIP_MOST, clip * min(max(5 * norm // 4, CQ // 2), 11 * CQ // 10) // CQ))


def sample_points(counts: Sequence[int]) -> list[int]:
    """Of the claims of those in the sum: nobody counts for more than four times the middle one."""
    most = 4 * lower_median(counts)
    return [min(count, most) for count in counts]


def masks(position: int) -> tuple[int, int]:
    """What the aggregator at a place (1, 2, 3) knows: the two masks that do not have its number."""
    first, second = (number for number in (1, 2, 3) if number != position)
    return first, second


def agreeing(values: Sequence[int], terms: Terms) -> list[int]:
    """Places of those that lie within twice the tolerance of the lower median."""
    if not values:
        return []
    middle = lower_median(values)
    within = 2 * tol(terms, middle)
    return [i for i, value in enumerate(values) if abs(value - middle) <= within]


def largest_group(values: Sequence[int], terms: Terms) -> list[int]:
    """Places of the largest set around one of them, the earliest of equals."""
    best: list[int] = []
    for centre in values:
        within = 2 * tol(terms, centre)
        found = [i for i, value in enumerate(values) if abs(value - centre) <= within]
        if len(found) > len(best):
            best = found
    return best


def delay(validators: int) -> int:
    """d blocks between a draw's cause and the draw."""
    return max(1, (validators - 1) // 3)


# --- cells ----------------------------------------------------------------------------------------------------------------------


def least_noise(dims: int) -> int:
    """dp_milli of a federation with cells."""
    return isqrt(4_000_000 // (3 * max(1, dims)))


def directions(cells: int) -> int:
    """Without those of a reference: the sum of all, and where there are several each."""
    return 1 + (cells if cells > 1 else 0)


def gain(before: int, loss: int | None, members: int) -> int:
    """Of each member of a cell whose own direction has this loss."""
    return 0 if loss is None else min(GAIN_MOST, max(0, before - loss)) // members


def split(pot: int, weights: dict[bytes, int]) -> dict[bytes, int]:
    """By weights, which stand in the order of the indexes: the remainder to the first of them that has any."""
    some = {who: weight for who, weight in weights.items() if weight}
    parts = {who: pot * weight // sum(some.values()) for who, weight in some.items()}
    parts[next(iter(some))] += pot - sum(parts.values())
    return parts


def next_radius(radius: int, step: int) -> int:
    return max(RADIUS_LEAST, min(RADIUS_MOST, radius * step // 1_000))


def shorter_radius(radius: int) -> int:
    return max(RADIUS_LEAST, radius // 4)
