"""Which members of a screened attempt are summed, so that the difference of two sums on one base is itself a sum of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Set = frozenset[bytes]


def fitted(used: Set, earlier: Sequence[Set], least: int, vetted: Set, ticket: Callable[[bytes], bytes]) -> Set:
    """What of `used` is summed: nobody where no lawful set is left.

    `earlier` are the sets that were accepted on this base, each within the next. Whoever has to be left out so that a step is
    none or counts at least `least` of `vetted` leaves in the order of the tickets, lowest first. Only vetted ones help, so only
    they leave.
    """
    steps: list[Set] = [frozenset(), *earlier]
    place = max(i for i, step in enumerate(steps) if step <= used)
    below = steps[place]
    if place == len(steps) - 1:
        found = used
    else:
        above = steps[place + 1]
        found = used & above
        for one in sorted((found - below) & vetted, key=ticket):
            if len((above - found) & vetted) >= least:
                break
            found -= {one}
    return found if len((found - below) & vetted) >= least else below


def added(earlier: Sequence[Set], accepted: Set) -> list[Set]:
    return sorted({*earlier, accepted}, key=len)
