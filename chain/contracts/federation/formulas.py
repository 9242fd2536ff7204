"""The formulas of federated training: integers in, integers out. LC-FED-1 to 4, 40, 47."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from learningchain.chain.contracts.federation.messages import (
    AGGREGATORS,
    CQ,
    MASKED_DIMS,
    MAX_CLIP,
    MOST_DIRECTIONS,
    MOST_MEMBERS,
    PANEL,
    STEPS,
    FederationTerms,
    Secrecy,
)
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.verification import scale
from learningchain.chain.verification.scale import ceil_div, lower_median

READY_WINDOWS, MEASUREMENTS = 3, 3
UNREADY_ONCE = 3_600_000
"""Milliseconds in which a draw fails once at most because an aggregator was not ready."""
KEPT_ROUNDS = 16
"""The last rounds of a federation that are in the state: what is trained on lies among them."""
WHOLE = 2**32 - 1
"""The largest weight of a share (LC-PRE-49)."""
INDEXES = MOST_MEMBERS
"""LC-FED-11: so many are given; then those go over that nothing names."""
LEAST_VOTES = 2
"""Of a measurement (LC-FED-37): one seat alone decides nothing."""
BENCH_AFTER, BENCH_STARTS = 3, 5
BYTES_PER_MS = 1_000
"""1 MB/s: the slowest transfer that a window allows for."""


# --- amounts (LC-FED-1) ---------------------------------------------------------------------------------------------------------


OWN_BYTES, RECORD_BYTES, PRICED_BYTES = 2_048, 256, 32
"""LC-FED-1: of the posting and the federation's own record, of each member or round; what `fed_rate` pays for."""
UPDATE_HEAD = 500
"""LC-FILE-11: bytes of an update file before its masked numbers."""


def update_size(terms: FederationTerms) -> int:
    """Bytes of every member's file (LC-FED-21): what stands before the numbers, and four for each; with cells eight for each number
    of its content (LC-FILE-53)."""
    if has_cells(terms):
        return 8 * _content(terms.dims) + UPDATE_HEAD
    return 4 * terms.dims + UPDATE_HEAD


def view_numbers(terms: FederationTerms) -> int:
    """LC-FILE-56: of a view of one file of a cell."""
    return 2 * _rows(terms.dims)[1] + 2


def _rows(dims: int) -> tuple[int, int]:
    """LC-FILE-52: N, M"""
    gates = 17 * dims + 30
    points = 8 if gates < 2_000 else 32
    return points, ceil_div(gates, points)


def _content(dims: int) -> int:
    """L"""
    points, rows = _rows(dims)
    return 16 * dims + 30 + 2 * rows + 2 * points + 1


def has_cells(terms: FederationTerms) -> bool:
    """LC-FED-55: so few values that rows would open an update."""
    return terms.dims < MASKED_DIMS and terms.secrecy == Secrecy.SUM


def measured_size(terms: FederationTerms) -> int:
    """LC-FED-55: bytes that a seat evaluates in one run: a model, or as many candidates as a sum of cells can have."""
    return terms.size * len(STEPS) * MOST_DIRECTIONS if has_cells(terms) else terms.size


def most_starts(rounds: int) -> int:
    return 2 * rounds + 2


def fees_locked(fee: int, rounds: int) -> int:
    """F: every start pays three aggregators at most, every measured round five seats."""
    return fee * (AGGREGATORS * most_starts(rounds) + PANEL * (rounds + 1))


def least_fee(rate: int, terms: FederationTerms) -> int:
    """u is at least an evaluation, and a second of one CPU for each megabyte that an aggregator fetches, at `rate` micro-credits a
    CPU second."""
    work = terms.limits.eval_s * terms.limits.cpus_milli + 1_000 * ceil_div(terms.max_members * measured_size(terms), 10**6)
    return max(1, ceil_div(work * rate, 1_000))


def kept_bytes(terms: FederationTerms) -> int:
    """K: what a federation may leave in the state for `fed_keep`: its own records, its members and the rounds that are kept."""
    members_and_rounds = terms.max_members + min(terms.rounds, KEPT_ROUNDS)
    of_cells = 64 * terms.max_members + 160 * terms.rounds if has_cells(terms) else 0
    return OWN_BYTES + len(terms.params.encode()) + RECORD_BYTES * members_and_rounds + of_cells


def price(rate: int, terms: FederationTerms) -> int:
    """P: burns at the opening. A byte costs about a third of a micro-credit where `rate` is 10."""
    return rate * ceil_div(kept_bytes(terms), PRICED_BYTES)


def quorum(seats: int) -> int:
    """Q(c)"""
    return 2 * seats // 3 + 1


def enough_votes(seats: int, last: bool) -> int:
    """LC-FED-37: Q(c), the last time more than half; never fewer than two."""
    return max(LEAST_VOTES, seats // 2 + 1 if last else quorum(seats))


def due(terms: FederationTerms, first: int, loss: int) -> int:
    """LC-FED-44: what a model of this loss has earned, where the initial one has `first`; where it meets the target, all of it."""
    return terms.bounty * (first - max(loss, terms.target)) // (first - terms.target)


def margin(terms: FederationTerms, first: int) -> int:
    """W // 20: by how much a model may be worse than the best one and still be trained on."""
    return (first - terms.target) // 20


def tol(terms: FederationTerms, loss: int) -> int:
    return scale.tolerance(terms.float_kind, terms.tol, loss)


def improves(terms: FederationTerms, loss: int, best: int) -> bool:
    """LC-FED-41: it meets the target, or is better than the best one by what noise does not make."""
    return loss <= terms.target or loss + 2 * tol(terms, best) <= best


# --- windows (LC-FED-2), in milliseconds ----------------------------------------------------------------------------------------


def screen_window(params: FederationParams, terms: FederationTerms, files: int) -> int:
    """W_S"""
    return params.fed_base + ceil_div(files * terms.size, BYTES_PER_MS)


def sum_window(params: FederationParams, terms: FederationTerms) -> int:
    """W_M"""
    return params.fed_base + ceil_div(3 * terms.size, BYTES_PER_MS)


def evaluation_window(params: FederationParams, terms: FederationTerms) -> int:
    """W_V"""
    return params.fed_base + 2_000 * terms.limits.eval_s + ceil_div(measured_size(terms), BYTES_PER_MS)


def latest_end(params: FederationParams, terms: FederationTerms) -> int:
    """LC-FED-47, without the blocks of two draws."""
    attempt = READY_WINDOWS * params.fed_ready + terms.round_ms + params.fed_base
    attempt += screen_window(params, terms, terms.max_members) + sum_window(params, terms)
    measured = MEASUREMENTS * (evaluation_window(params, terms) + params.fed_open)
    return terms.ends + attempt + measured + params.fed_ready


# --- rounds ---------------------------------------------------------------------------------------------------------------------


def next_clip(clip: int, norm: int) -> int:
    """LC-FED-4: up by a tenth at most, down by a half."""
    return max(1, min(MAX_CLIP, clip * min(max(5 * norm // 4, CQ // 2), 11 * CQ // 10) // CQ))


def sample_points(counts: Sequence[int]) -> list[int]:
    """LC-FED-40: of the claims of those in the sum: nobody counts for more than four times the middle one."""
    most = 4 * lower_median(counts)
    return [min(count, most) for count in counts]


def shares(pot: int, points: Sequence[int]) -> list[int]:
    """LC-FED-41: the pot by points, all above 0; the remainder is the first one's."""
    whole = sum(points)
    parts = [pot * one // whole for one in points]
    parts[0] += pot - sum(parts)
    return parts


def royalty_weights(paid: Iterable[tuple[bytes, int]]) -> tuple[tuple[bytes, int], ...]:
    """LC-FED-53: by account, what each was paid as a weight, the largest as 2^32 - 1; whoever was paid anything has one."""
    known = sorted((account, amount) for account, amount in paid if amount)
    most = max((amount for _, amount in known), default=1)
    return tuple((account, max(1, amount * WHOLE // most)) for account, amount in known)


def masks(place: int) -> list[int]:
    """LC-FED-20: what the aggregator at a place (1, 2, 3) knows: the two masks that do not have its number."""
    return [number for number in (1, 2, 3) if number != place]


# --- measurements (LC-FED-3, 38) ------------------------------------------------------------------------------------------------


def agreeing(terms: FederationTerms, losses: Sequence[int]) -> list[int]:
    """Places of those that lie within twice the tolerance of the lower median."""
    if not losses:
        return []
    middle = lower_median(losses)
    return _near(terms, losses, middle)


def largest_group(terms: FederationTerms, losses: Sequence[int]) -> list[int]:
    """Places of the largest set around one of them, the earliest of equals."""
    best: list[int] = []
    for centre in losses:
        found = _near(terms, losses, centre)
        if len(found) > len(best):
            best = found
    return best


def _near(terms: FederationTerms, losses: Sequence[int], centre: int) -> list[int]:
    within = 2 * tol(terms, centre)
    return [i for i, loss in enumerate(losses) if abs(loss - centre) <= within]


# --- accepted sets (LC-FED-30) --------------------------------------------------------------------------------------------------


def fitted(used: int, earlier: Sequence[int], least: int, counted: int, order: Callable[[int], bytes]) -> int:
    """What of `used` is summed; 0: nobody, where no lawful set is left. Sets are bitmaps of indexes.

    `earlier` are the sets that were accepted on this base, each within the next. Whoever has to be left out so that a step is
    none or counts at least `least` of `counted` leaves by `order`, lowest first. Only counted ones help, so only they leave.
    """
    steps = [0, *earlier]
    place = max(i for i, step in enumerate(steps) if not step & ~used)
    below = steps[place]
    found = used
    if place < len(steps) - 1:
        above = steps[place + 1]
        found = used & above
        for index in sorted(indexes_of((found & ~below) & counted), key=order):
            if ((above & ~found) & counted).bit_count() >= least:
                break
            found &= ~(1 << index)
    return found if ((found & ~below) & counted).bit_count() >= least else below


def chain_with(earlier: Sequence[int], accepted: int) -> list[int]:
    return sorted({*earlier, accepted}, key=int.bit_count)


def indexes_of(bitmap: int) -> list[int]:
    return [i for i in range(bitmap.bit_length()) if bitmap >> i & 1]


def to_bitmap(bitmap: int, bits: int) -> bytes:
    """Bit i is bit i % 8 of byte i // 8; as many bytes as `bits` take."""
    return bitmap.to_bytes(ceil_div(bits, 8), "little")


def of_bitmap(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
