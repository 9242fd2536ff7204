"""An order that nobody can crowd out: things of many owners, best first, each owner beside the others. Pure.

    owner A   a1 a2 a3 ...  \\
    owner B   b1            }  the best of each owner  -->  walk: a1, b1, c1, ... as their ranks say
    owner C   c1 c2 ...     /

Whoever walks says with whom it is done: the rest of that owner is passed over in one step, however long it is. What was blamed on
an owner puts all that it has behind the things of others.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterator
from heapq import heappop, heappush

Rank = tuple[int, ...]
"""The lowest comes first."""
_Head = tuple[int, Rank, bytes, bytes]
"""Blame, rank, item, owner: of an owner's first item."""


class FairQueue:
    """Items are ids; each has one owner and one rank. Adding and dropping cost a search in two sorted lists."""

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[bytes, Rank]] = {}
        self._of: dict[bytes, list[tuple[Rank, bytes]]] = {}
        self._heads: list[_Head] = []
        self._head_of: dict[bytes, _Head] = {}
        self._blame: dict[bytes, int] = {}
        self._barred: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: bytes) -> bool:
        return item in self._places

    def owner(self, item: bytes) -> bytes | None:
        place = self._places.get(item)
        return place[0] if place else None

    def place(self, item: bytes) -> tuple[int, Rank, bytes] | None:
        """What the order sorts an item by; None where it is not in the order or its owner is barred."""
        place = self._places.get(item)
        if place is None or place[0] in self._barred:
            return None
        return self._blame.get(place[0], 0), place[1], item

    def add(self, item: bytes, owner: bytes, rank: Rank) -> None:
        if self._places.get(item) == (owner, rank):
            return
        self.drop(item)
        self._places[item] = (owner, rank)
        insort(self._of.setdefault(owner, []), (rank, item))
        self._set_head(owner)

    def drop(self, item: bytes) -> None:
        place = self._places.pop(item, None)
        if place is None:
            return
        owner, rank = place
        items = self._of[owner]
        del items[bisect_left(items, (rank, item))]
        if not items:
            del self._of[owner]
        self._set_head(owner)

    def clear(self) -> None:
        """No items. What was blamed on owners stays."""
        self._places, self._of, self._heads, self._head_of = {}, {}, [], {}

    def blame(self, owner: bytes) -> None:
        """All that this owner has comes after what owners with less blame have."""
        self._blame[owner] = self._blame.get(owner, 0) + 1
        self._set_head(owner)

    def bar(self, owner: bytes, barred: bool) -> None:
        """Whether a walk leaves this owner out."""
        if barred is not (owner in self._barred):
            (self._barred.add if barred else self._barred.discard)(owner)
            self._set_head(owner)

    def _set_head(self, owner: bytes) -> None:
        items = self._of.get(owner)
        head = (self._blame.get(owner, 0), *items[0], owner) if items and owner not in self._barred else None
        known = self._head_of.get(owner)
        if head == known:
            return
        if known is not None:
            del self._heads[bisect_left(self._heads, known)]
            del self._head_of[owner]
        if head is not None:
            insort(self._heads, head)
            self._head_of[owner] = head

    def walk(self, done: Container[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """(item, owner), best first. An owner that is in `done` when its next item comes up is passed over. Do not add or drop."""
        heads = iter(self._heads)
        head = next(heads, None)
        following: list[tuple[int, Rank, bytes, bytes, int]] = []
        while head is not None or following:
            if head is not None and (not following or head < following[0][:4]):
                blame, _, item, owner, index = (*head, 0)
                head = next(heads, None)
            else:
                blame, _, item, owner, index = heappop(following)
            if owner in done:
                continue
            yield item, owner
            items = self._of[owner]
            if index + 1 < len(items):
                heappush(following, (blame, *items[index + 1], owner, index + 1))
