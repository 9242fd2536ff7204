"""How long each step takes at most, in milliseconds of the chain clock, and what it costs, in micro-credits."""

from __future__ import annotations

from learningchain.chain.verification import committee
from learningchain.chain.verification.scale import ceil_div

PULL_BYTES_PER_MS = 1_000
"""1 MB/s: the slowest transfer of a model that a verifier's window allows for."""
OWN_WORK = 5_000
"""LC-JOB-4: thousandths of CPU seconds that a verifier spends beside its container for one data set, whatever the container does:
2^20 losses take 1.0 s to read, 1.8 s for their tree, 1.8 s for it once more when they are opened."""
SET_BYTES_PER_MS = 10_000
"""10 MB/s: the slowest transfer of a data set, which is on its way since the claims closed."""
TRANSFER_BYTES_PER_CPU_S = 100_000_000
"""LC-JOB-4: of what is fetched, compared with its hashes, and written."""
SEATS_AT_ONCE = 16
"""Seats whose openings the ledger takes in one window of one column: more seats, more windows."""


def draw_delay(validators: int) -> int:
    """LC-JOB-4: d: blocks between what asks for a committee and its draw. d+1 proposers in a row are never all colluders."""
    return max(1, (validators - 1) // 3)


def evaluation(eval_s: int, hidden: bool) -> int:
    """e, in seconds: with hidden data there are two evaluations."""
    return 2 * eval_s if hidden else eval_s


def vote_window(least: int, e: int, model_cap: int, batch: int, data: int = 0) -> int:
    """LC-JOB-4: W_V: two evaluations and one transfer for each model of the batch, and one of the data sets that it takes."""
    return least + 2 * e * 1_000 * batch + ceil_div(model_cap * batch, PULL_BYTES_PER_MS) + ceil_div(data, SET_BYTES_PER_MS)


def count_window(each: int, columns: int, seats: int) -> int:
    """LC-JOB-4: W_C: each column of the batch is opened in a message of its own, by every seat."""
    return each * columns * max(1, ceil_div(seats, SEATS_AT_ONCE))


def judging_work(e: int, cpus_milli: int, model_cap: int, hidden: bool, data: int = 0) -> int:
    """LC-JOB-4: w: thousandths of CPU seconds of a judged vote: evaluations, what is beside each of them, the transfers of a model
    and of `data` bytes of data sets."""
    moved = ceil_div(model_cap, TRANSFER_BYTES_PER_CPU_S) + ceil_div(data, TRANSFER_BYTES_PER_CPU_S)
    return e * cpus_milli + OWN_WORK * (2 if hidden else 1) + 1_000 * moved


def least_fee(work: int, rate: int) -> int:
    """u for a judged vote is at least what its work costs at `rate` micro-credits a CPU second."""
    return ceil_div(work * rate, 1_000)


def fees_locked(fee: int, finalists: int) -> int:
    """F = u*(C+64)*K: both rounds of every finalist."""
    return fee * (committee.FIRST_ROUND + committee.SECOND_ROUND) * finalists


def full_stake(bounty: int) -> int:
    return bounty // 10


def bond(bounty: int, finalists: int) -> int:
    """G: what verdicts burn of stakes, they burn of the contractor's own bond."""
    return finalists * full_stake(bounty)


def deposit(bounty: int, hidden: bool) -> int:
    """D: as large as the bounty where there is hidden data."""
    return bounty if hidden else 0


def latest_end(
    expiry: int,
    reveal: int,
    key: int,
    each: int,
    least: int,
    *,
    eval_s: int,
    model_cap: int,
    finalists: int,
    hidden: bool,
    data: int = 0,
) -> int:
    """LC-JOB-14: T0 + W_R + W_K + 2K*(W_V+W_C), for one candidate and 64 seats a round. The blocks of the draws come on top."""
    e = evaluation(eval_s, hidden)
    count = count_window(each, 2 if hidden else 1, committee.SECOND_ROUND)
    return expiry + reveal + key + 2 * finalists * (vote_window(least, e, model_cap, 1, data) + count)
