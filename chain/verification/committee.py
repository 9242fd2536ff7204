"""Who may judge a candidate, and who of them is drawn.

The pool is everybody who can run the evaluation and has no part in the outcome. Who dissented and lost in this contractor's jobs
again and again (a *mark*) is not drawn for it while enough others remain. Where hardly anybody remains, the other finalists help.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from learningchain.chain.tags import Tag
from learningchain.chain.verification.scale import ceil_div

_SEAT = Tag("lc/seat", "draws of committees")

FIRST_ROUND = 7
"""C: seats in round one. Any dissent among them brings round two."""
SECOND_ROUND = 64
"""Seats in round two."""
MIN_POOL = 3
"""Below this many, other finalists join: a graph with one node down still decides."""

Ticket = Callable[[bytes], bytes]
"""Of an identity: the lowest ones are drawn."""


class Committee(NamedTuple):
    """`seats` in draw order; `pool` is |P|, everybody who might have been drawn."""

    seats: list[bytes]
    neutral: frozenset[bytes]
    """Those of the seats who are no finalists."""
    pool: int


def least_able(flagged: int) -> int:
    """How many of so many with the flag must be able to judge, their owner left out: what few can judge is decided by few
    (LC-JOB-52, LC-FED-54)."""
    return max(1, ceil_div(flagged, 3), min(MIN_POOL, flagged))


def ticket(beacon: bytes, job: bytes, audit: int, round_: int, identity: bytes) -> bytes:
    """Of an account in the draw of a round; j and r take one byte each."""
    return _SEAT.hash(beacon, job, bytes((audit, round_)), identity)


def without_marked(pool: Sequence[bytes], marked: Collection[bytes]) -> list[bytes]:
    """Round one: the pool in draw order without the marked ones; where fewer than max(C, half of the pool) would remain, so many
    of the marked ones stay, the first of the order."""
    lacking = max(FIRST_ROUND, ceil_div(len(pool), 2)) - sum(identity not in marked for identity in pool)
    kept: list[bytes] = []
    for identity in pool:
        if identity in marked:
            if lacking <= 0:
                continue
            lacking -= 1
        kept.append(identity)
    return kept


def draw(
    able: Iterable[bytes], finalists: Collection[bytes], candidate: bytes, marked: Collection[bytes], round_: int, order: Ticket
) -> Committee:
    """The committee of `candidate` in a round."""
    return draw_all(able, finalists, [candidate], marked, round_, order)[0]


def draw_all(
    able: Iterable[bytes],
    finalists: Collection[bytes],
    candidates: Iterable[bytes],
    marked: Collection[bytes],
    round_: int,
    order: Ticket,
) -> list[Committee]:
    """The committees of the candidates of a round: they differ by helpers alone, so the able are gone through once.

    `able` are those who can judge this job; finalists among them are spare. `marked` bear a mark of the contractor.
    |P| counts the marked ones: a committee is the whole pool only where nobody was left out.
    """
    drawn, among = sorted(able, key=order), frozenset(finalists)
    pool = [identity for identity in drawn if identity not in among]
    spare = [identity for identity in drawn if identity in among]
    most = FIRST_ROUND if round_ == 1 else SECOND_ROUND
    chosen = (without_marked(pool, marked) if round_ == 1 else pool)[:most]
    lacking = max(0, MIN_POOL - len(pool))
    found = []
    for candidate in candidates:
        helpers = [identity for identity in spare if identity != candidate][:lacking]
        seats = sorted([*chosen, *helpers], key=order)[:most]
        found.append(Committee(seats, frozenset(seats) - frozenset(helpers), len(pool) + len(helpers)))
    return found
