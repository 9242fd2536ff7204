"""What routes know beyond single records, kept up to date from what blocks changed.

Whoever asks waits for the pieces that are left: after a start those of the whole state, later those of the blocks since. A piece
holds the loop that votes for a few milliseconds at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeVar

from learningchain.chain.ledger.state import State

KEEP_UP_S = 1.0
"""How often it follows without being asked: what is left to do stays little."""


class Follower:
    """One of each kind for a server."""

    always = True
    """It follows without being asked."""

    def __init__(self, state: State) -> None:
        self._state = state

    def step(self) -> bool:
        """One piece; false where there was none."""
        raise NotImplementedError

    async def settled(self) -> None:
        """Returns when all that the state says is known; there is no step between that and the caller's."""
        while self.step():
            await asyncio.sleep(0)


F = TypeVar("F", bound=Follower)


class Followers:
    """Those of one server."""

    def __init__(self, state: State, kinds: Iterable[type[Follower]]) -> None:
        self._by_kind = {kind: kind(state) for kind in kinds}
        self._always = [follower for follower in self._by_kind.values() if follower.always]

    async def settled(self, kind: type[F]) -> F:
        """The follower of a kind, when it is settled."""
        found = self.of(kind)
        await found.settled()
        return found

    async def all_settled(self) -> None:
        """Returns when all that is followed without being asked is known."""
        while any(follower.step() for follower in self._always):
            await asyncio.sleep(0)

    def of(self, kind: type[F]) -> F:
        """The follower of a kind, as far as it is."""
        found = self._by_kind[kind]
        if not isinstance(found, kind):
            raise TypeError(f"{found} is no {kind}")
        return found

    async def keep_up(self) -> None:
        while True:
            await self.all_settled()
            await asyncio.sleep(KEEP_UP_S)
