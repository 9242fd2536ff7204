"""Which inputs a server keeps for others until their requests are final, within a bound. Pure.

    take --> held --> dropped with its request, or put out: for another input, once this node has answered it

An input is needed here until its answer is sealed. After that it is kept for those who may answer in an appeal, whom the requester
serves as well: so much may go, so that nobody's requests fill the disk that images and models need. Who holds most gives way: a
member that asks with many inputs puts out its own, and not those of one that asks with few. Holders are requesters.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

LEAST: Final = 65_536
"""Bytes that an input counts with at least, which bounds their number."""


class HeldInputs:
    """`most`: bytes of all. Requests and requesters are ids."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[bytes, tuple[bytes, int]] = {}
        self._by: dict[bytes, dict[bytes, int]] = {}
        """Of each requester its requests and their bytes, the oldest first."""
        self._sums: dict[bytes, int] = {}
        self.bytes = 0

    def __contains__(self, request: bytes) -> bool:
        return request in self._of

    def note(self, request: bytes, requester: bytes, size: int) -> None:
        """It is here, whatever the bound says: an earlier start of the node fetched it."""
        if request not in self._of:
            self._add(request, requester, max(LEAST, size))

    def take(self, request: bytes, requester: bytes, size: int, busy: Container[bytes]) -> list[bytes] | None:
        """Room for an input: the requests whose inputs go for it; None where there is none, and nothing changes. `busy`: requests
        that this node has not answered yet."""
        if request in self._of:
            return []
        size = max(LEAST, size)
        own = self._sums.get(requester, 0) + size
        out: list[bytes] = []
        left: dict[bytes, int] = {}
        freed = 0
        while self.bytes - freed + size > self._most:
            victim = self._victim(requester, own, busy, out, left)
            if victim is None:
                return None
            whose, bytes_ = self._of[victim]
            out.append(victim)
            left[whose] = left.get(whose, self._sums[whose]) - bytes_
            own -= bytes_ if whose == requester else 0
            freed += bytes_
        for one in out:
            self.drop(one)
        self._add(request, requester, size)
        return out

    def drop(self, request: bytes) -> None:
        whose, size = self._of.pop(request, (b"", 0))
        if not size:
            return
        self.bytes -= size
        self._sums[whose] -= size
        del self._by[whose][request]
        if not self._by[whose]:
            del self._by[whose], self._sums[whose]

    def _add(self, request: bytes, requester: bytes, size: int) -> None:
        self._of[request] = requester, size
        self._by.setdefault(requester, {})[request] = size
        self._sums[requester] = self._sums.get(requester, 0) + size
        self.bytes += size

    def _victim(self, requester: bytes, own: int, busy: Container[bytes], out: list[bytes], left: dict[bytes, int]) -> bytes | None:
        """The oldest answered input of who holds most, the one that asks now among them with what it asks for."""
        sums = {**self._sums, **left}
        holders = [one for one in sums if one == requester or sums[one] >= own]
        for holder in sorted(holders, key=lambda one: (-(own if one == requester else sums[one]), one)):
            for request in self._by[holder]:
                if request not in busy and request not in out:
                    return request
        return None
