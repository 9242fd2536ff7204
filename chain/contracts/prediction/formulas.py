"""The formulas of predictions: what a request costs, how long each step takes, its place in the queue. Integers in, integers out.

Amounts are micro-credits, times milliseconds of the chain clock, sizes bytes. Nothing here reads the state: parameters are handed
in by number. `tally` says what answers come to, `payouts` who gets what of it, `histories` what is remembered of those who
answered, `verdicts` what an appeal comes to, `decisions` what a policy makes of values, `blinding` what hides them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from learningchain.chain.verification.scale import ceil_div, lower_median
from learningchain.chain.verification.windows import PULL_BYTES_PER_MS

MAX_ANSWERS = 15
"""N is odd and at most this."""
MAX_ROWS = 256
"""R"""
MAX_TIP = 10**15
MAX_SCORE = 10**18
MAX_CHECK = 2**63 - 1
BURNED_PART = 20
"""b is a twentieth of tip and royalty."""
RECORD_ROWS = 16
"""What is kept of a request without its rows is paid as so many rows."""
ROW_BYTES = 8
"""So many bytes of an input that a request carries are paid as a row: what is kept of a row with an ordinary score."""
FINE_ROWS = 10
"""PEN is at most so many times the floor of the rows; a stake answers for so many times the floor a seat."""
STAKED_FLOORS = 100
"""The least stake's part that grows with the floor."""
APPEAL_SEATS = 63
APPEAL_ROWS = 16
NAMED_ROWS = 8
"""Rows that an appellant names at most."""
MIN_JUDGES = 3
PUMP = 16
"""Requests that one pump draws or fails at most."""
PUMP_RETIRED = 64
"""The same where the model is retired: they only fail."""
RANK_SPAN = 60_000
"""The most that a tip moves a request forward: nothing posted this much later overtakes it."""
RANK_STEP = 2_000
"""Forward for a tip of twice the least one."""
EVICT_WAIT = 60_000
"""Who evicts another waits at least this long."""
PRICE_DELAY = 3_600_000
"""After this a price with a higher floor holds."""


class Amounts(NamedTuple):
    """LC-PRE-1: the amounts of one request. `n` answers of `rows` rows for `tip`; royalty `p` a row, floor `w` a row and answer;
    `row` burns at least for each row that is kept. `inline`: bytes of its input that the request itself carries."""

    n: int
    rows: int
    tip: int
    p: int
    w: int
    row: int
    inline: int = 0

    @property
    def least_tip(self) -> int:
        """Tmin"""
        return self.w * self.n * self.rows

    @property
    def royalty(self) -> int:
        """What the owner gets where every row has a value."""
        return self.p * self.rows

    @property
    def burned(self) -> int:
        """b"""
        return max(ceil_div(self.tip + self.royalty, BURNED_PART), self.kept)

    @property
    def kept(self) -> int:
        """F, the price of what stays in the state."""
        return self.row * (self.rows + RECORD_ROWS + ceil_div(self.inline, ROW_BYTES))

    @property
    def locked(self) -> int:
        """X"""
        return self.tip + self.royalty + self.burned

    @property
    def share(self) -> int:
        """s, of one seat."""
        return self.tip // self.n

    @property
    def quarter(self) -> int:
        """What a seat gets for an honest answer that is no value (LC-PRE-31)."""
        return self.share // 4

    @property
    def least_agreeing(self) -> int:
        """q"""
        return 1 if self.n == 1 else 2

    def fine(self, stake: int) -> int:
        """PEN, of a server with `stake` left on this model."""
        return min(stake, self.most_fined)

    @property
    def most_fined(self) -> int:
        """PEN of a stake that is large enough."""
        return min(self.share, FINE_ROWS * self.w * self.rows)

    def vote_fee(self, least: int) -> int:
        """u, of an appeal's vote; `least` is pred_fee."""
        return max(least, 2 * self.w * appeal_rows(self.rows))


def seats(n: int, m: int, pool: int) -> int:
    """LC-PRE-1: c: the largest odd number up to min(n, pool), or 0 where that is too few for `n` answers of which `m` agree."""
    c = min(n, pool)
    c -= 1 - c % 2
    least = 1 if n == 1 else max(3, m)
    return c if c >= least else 0


def appeal_rows(rows: int) -> int:
    """LC-PRE-1: R3"""
    return min(rows, APPEAL_ROWS)


def least_judges(opened: int, agree: int) -> int:
    """LC-PRE-36: fewer can outweigh nothing (LC-PRE-58): `opened` answered the request, `agree` is the least support of a row."""
    return max(MIN_JUDGES, 2 * agree - opened + 1)


def bond(fee: int, judges: int) -> int:
    """LC-PRE-36: what an appeal locks: `fee` (u) for each that may be drawn."""
    return fee * min(APPEAL_SEATS, judges)


def appeal_opens(answered: int, window: int) -> int:
    """LC-PRE-36: from when on others than the requester may appeal; `window` is W_P."""
    return answered + window // 2


def least_stake(base: int, w: int) -> int:
    """LC-PRE-6; `base` is pred_stake."""
    return base + STAKED_FLOORS * w


# --- near and equal ------------------------------------------------------------------------------------------------------------


def near(x: int, y: int, tol: int) -> bool:
    """LC-PRE-2"""
    return abs(x - y) <= 2 * tol


def equal(x: int, y: int, tol: int) -> bool:
    """LC-PRE-2: of two values of an appeal, once their classes are the same."""
    return abs(x - y) <= 4 * tol


# --- windows -------------------------------------------------------------------------------------------------------------------


def answer_window(base: int, start_s: int, row_ms: int, rows: int, size: int) -> int:
    """LC-PRE-3: W_A, with `base` pred_a0; two starts and two runs of all rows, and one transfer of `size`.

    W_A3 with `base` job_vote_base, the rows of the appeal, and the sizes of input and model together.
    """
    return base + 2_000 * start_s + 2 * row_ms * rows + ceil_div(size, PULL_BYTES_PER_MS)


def answered_by(posted: int, wait: int, keys: int, answer: int, opening: int) -> int:
    """LC-PRE-45: when a request is answered or has failed, but for draws and lateness; windows W_K, W_A, W_O."""
    return posted + wait + 2 * (keys + answer) + opening


# --- the queue -----------------------------------------------------------------------------------------------------------------


def place(posted: int, tip: int, least: int) -> int:
    """LC-PRE-4: v. `least` is Tmin, at least 1; `tip` is not below it."""
    return posted + RANK_SPAN - min(RANK_SPAN, RANK_STEP * (tip - least) // least)


def open_seats(slots: int, pool: int, c: int) -> int:
    """LC-PRE-20: most seats of a model that may be open after a draw of `c`."""
    return max(c, slots * pool * 2 // 3)


def covered_seats(stakes: Sequence[int], w: int, c: int) -> int:
    """LC-PRE-20: most seats that may be not final after a draw of `c`: what the stakes of the pool, at least one, answer for."""
    return max(c, len(stakes) * (lower_median(stakes) // (FINE_ROWS * w)))


# --- subsidies and shares ------------------------------------------------------------------------------------------------------


def epoch(now: int, length: int) -> int:
    """LC-PRE-5: its number; `length` is pred_epoch."""
    return now // length


def subsidy(most: int, epoch_most: int, minted: int, amounts: Amounts) -> int:
    """LC-PRE-5: of one payee: `most` is pred_sub, `epoch_most` pred_epoch_sub, `minted` what the epoch has minted before it.

    A request mints at most half of what it burns, whoever asks, serves and owns.
    """
    return max(0, min(most, amounts.burned // (2 * amounts.n), (epoch_most - minted) // amounts.n))


def subsidies(most: int, epoch_most: int, minted: int, amounts: Amounts, banned: Iterable[bool]) -> list[int]:
    """LC-PRE-5: of the payees in their order: what one is minted counts for the next. Nothing is minted for a banned one."""
    found = []
    for out in banned:
        amount = 0 if out else subsidy(most, epoch_most, minted, amounts)
        found.append(amount)
        minted += amount
    return found


def shared(held: int, carried: int, weights: Sequence[int]) -> tuple[list[int], int]:
    """LC-PRE-14: what each gets now of what is held, and what is carried next. At least one weight, none below 1.

    A share has had its part of all that ever came, rounded down once: roundings do not add up, however small each royalty is. Of
    all that came, the remainder by the sum of the weights (`carried`) is enough to know.
    """
    whole, had = sum(weights), [carried * weight // sum(weights) for weight in weights]
    came = held + sum(had)
    return [came * weight // whole - part for weight, part in zip(weights, had, strict=True)], came % whole
