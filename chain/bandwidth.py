"""Bandwidth: how many bytes of transactions an account may have in blocks, by what it holds and by the chain clock. Pure integers.

Blocks are kept by everybody, so their bytes are rationed whether or not a transaction pays or does anything. An account earns bytes
at a rate (LC-TX-11), may save up as many as it earns in one window, and spends them with each transaction:

    left      0 <---------------- what it may send now ----------------> rate * window
    arrival   clock + window <------------------------------------------------- clock

`arrival` is the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371, virtual scheduling): the clock at which
nothing of what was sent is owed any more. One integer says how much is left at any time, and nothing needs to run as time passes.
It counts microseconds: every change of the rate rounds it up, and who is paid a thousand times a second must not lose by that.

When credits move, who gets them and who gives them have as many bytes left as before (LC-TX-13), at most a window of their new
rate: no transfer raises what all accounts together have left, and passing the same credits through many identities earns no byte.
"""

from __future__ import annotations

from learningchain.chain.params import CREDIT, MAX_TX_BYTES, Params

RESERVE = MAX_TX_BYTES
"""Bytes that an urgent transaction may go beyond what is left: a full window holds up nobody's reveal."""
NEWCOMER = 16_384
"""Bytes that a new account may send at once: some messages. A full window would make identities worth collecting."""
MICRO = 1_000
"""Microseconds in a millisecond of the chain clock."""
SECOND = 1_000_000


def rate(params: Params, balance: int) -> int:
    """LC-TX-11: bytes in a second of the chain clock, of who has `balance` micro-credits free."""
    return params.bandwidth_base + params.bandwidth_per_credit * (balance // CREDIT)


def charged(params: Params, balance: int, arrival: int, clock: int, size: int) -> int:
    """LC-TX-12: the arrival time after `size` more bytes. `clock` in milliseconds, here and below."""
    return max(arrival, clock * MICRO) - -size * SECOND // rate(params, balance)


def latest(params: Params, balance: int, clock: int, urgent: bool) -> int:
    """LC-TX-12: the latest arrival time with which a transaction may stand in a block."""
    end = (clock + params.bandwidth_window) * MICRO
    return end + RESERVE * SECOND // rate(params, balance) if urgent else end


def left(params: Params, balance: int, arrival: int, clock: int) -> int:
    """Bytes that may be sent now; below 0 where urgent ones went beyond that."""
    owed = max(0, arrival - clock * MICRO)
    return (params.bandwidth_window * MICRO - owed) * rate(params, balance) // SECOND


def moved(params: Params, before: int, after: int, arrival: int, clock: int) -> int:
    """LC-TX-13: the arrival time once the free credits changed from `before` to `after` micro-credits.

    Just as many bytes are left as before, but for what the lower rate could not have saved up. Were the bytes owed kept instead, an
    account whose credits come and go would lose its whole window to its own turnover.
    """
    old, new = rate(params, before), rate(params, after)
    if old == new:
        return arrival
    window, now = params.bandwidth_window * MICRO, clock * MICRO
    return now + max(0, window - (window - max(0, arrival - now)) * old // new)


def of_newcomer(params: Params, clock: int) -> int:
    """LC-TX-15: the arrival time of a new account: all but NEWCOMER bytes of its window is still to be earned."""
    owed = params.bandwidth_window * MICRO - NEWCOMER * SECOND // rate(params, 0)
    return clock * MICRO + max(0, owed)
