"""The formulas of the rules: integers in, integers out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from .scenario import SECOND, ModelTerms, Params

APPEAL_SEATS = 63
APPEAL_ROWS = 16
NAMED_ROWS = 8
SLASH_SEATS = 15
OWNED_SEATS = 5
"""What fewer seats said is not the model's matter."""
RECORD = 32
BAD_RECORD = 8
ASLEEP_AFTER = 3
SILENT_SEATS = 32
SILENT_MOST = 6
REST = 3_600 * SECOND
LEFT = 64
WRONG_ROOTS = 3
TALLIES = 10
BAD_TALLIES = 6
TALLY_SEATS = 5
PUMP = 16
PUMP_RETIRED = 64
RANK_SPAN = 60 * SECOND
EVICT_WAIT = 60 * SECOND
PRICE_DELAY = 3_600 * SECOND
RECORD_ROWS = 16
ROW_BYTES = 8
"""Of what is kept of a row that is answered with an ordinary score."""
MEGABYTE_MS = 1_000
"""Bytes that a megabyte a second brings in a millisecond."""


def cd(a: int, b: int) -> int:
    """Division rounded up."""
    return -(-a // b)


def lower_median(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def least_tip(w: int, n: int, rows: int) -> int:
    """Tmin."""
    return w * n * rows


def kept_fee(row: int, rows: int, inline: int) -> int:
    """F, for what is kept of so many rows, and of the bytes that the request carries itself."""
    return row * (rows + RECORD_ROWS + cd(inline, ROW_BYTES))


def burned_fee(tip: int, royalty: int, kept: int) -> int:
    """b, of the tip, of p*R, and of F."""
    return max(cd(tip + royalty, 20), kept)


def charge(tip: int, royalty: int, kept: int) -> int:
    """X, what a request locks."""
    return tip + royalty + burned_fee(tip, royalty, kept)


def quorum(c: int) -> int:
    """Q(c)."""
    return 2 * c // 3 + 1


def least_agreeing(n: int) -> int:
    """q: the least that agree."""
    return 1 if n == 1 else 2


def seats(n: int, m: int, pool: int) -> int:
    """c, the largest odd number that pool and request allow; 0 where it is too few."""
    most = min(n, pool)
    c = most if most % 2 else most - 1
    return c if c >= (1 if n == 1 else max(3, m)) else 0


def fine(left: int, share: int, w: int, rows: int) -> int:
    """PEN."""
    return min(left, share, 10 * w * rows)


def draw_delay(validators: int) -> int:
    """d, in blocks."""
    return max(1, (validators - 1) // 3)


def subsidy(params: Params, b: int, n: int, minted: int) -> int:
    """sigma, for each payee; `minted` in this epoch."""
    return max(0, min(params.sub, b // (2 * n), (params.epoch_sub - minted) // n))


def answer_window(params: Params, terms: ModelTerms, rows: int, size: int) -> int:
    """W_A."""
    return params.a0 + 2 * terms.start_s * SECOND + 2 * terms.row_ms * rows + cd(size, MEGABYTE_MS)


def appeal_window(params: Params, terms: ModelTerms, rows: int, size: int) -> int:
    """W_A3."""
    return params.v0 + 2 * terms.start_s * SECOND + 2 * terms.row_ms * appeal_rows(rows) + cd(size + terms.size, MEGABYTE_MS)


def rank(posted: int, tip: int, least: int) -> int:
    """v: the place in the queue."""
    return posted + RANK_SPAN - min(RANK_SPAN, 2 * SECOND * (tip - least) // least)


def appeal_rows(rows: int) -> int:
    return min(rows, APPEAL_ROWS)


def appeal_opens(params: Params, answered: int) -> int:
    """From when on others than the requester may appeal."""
    return answered + params.w_p // 2


def vote_fee(params: Params, w: int, rows: int) -> int:
    """u, of an appeal's vote."""
    return max(params.fee, 2 * w * appeal_rows(rows))


def least_stake(params: Params, w: int) -> int:
    return params.stake + 100 * w


def throttle(slots: int, pool: int, c: int) -> int:
    """Open seats that a model may have after a draw of c."""
    return max(c, slots * pool * 2 // 3)


def cover(stakes: Sequence[int], w: int, c: int) -> int:
    """Seats that are not final that a model may have after a draw of c: what the stakes of the pool answer for."""
    return max(c, len(stakes) * (lower_median(stakes) // (10 * w)))


def answered_by(params: Params, terms: ModelTerms, posted: int, wait: int, rows: int, size: int) -> int:
    """When an answer is there at the latest, but for draws and lateness."""
    return posted + wait + 2 * (params.w_k + answer_window(params, terms, rows, size)) + params.w_o


def final_by(params: Params, terms: ModelTerms, answered: int, rows: int, size: int) -> int:
    """When a request is final at the latest, but for draws and lateness."""
    return answered + params.w_p + params.w_k + appeal_window(params, terms, rows, size) + params.w_o3


def offset(key: bytes, request: bytes, row: int, column: int) -> int:
    """o: what blinds a number of a private request."""
    told = hmac.new(key, request + row.to_bytes(2, "big") + bytes([column]), hashlib.sha256).digest()
    return int.from_bytes(told[:8], "big") >> 5
