"""What routes know beyond single records, kept up to date from what blocks changed.

Whoever asks waits for the pieces that are left: after a start those of the whole state, later those of the blocks since. A piece
holds the loop that votes for a few milliseconds at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import ClassVar, Final, TypeVar

from learningchain.chain.ledger.state import State

PIECE: Final = 64
"""Records that are looked at before others have the loop."""
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


class PrefixFollower(Follower):
    """Of the records under `prefix`: after a start a piece is some of them, later what some blocks changed."""

    prefix: ClassVar[bytes]

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._feed = state.follow((self.prefix,))
        self._feed.lost = True  # nothing is known yet
        self._left: list[bytes] = []
        """References that were not looked at."""
        self._start()

    def _start(self) -> None:
        """Forget everything."""
        raise NotImplementedError

    def _look(self, ref: bytes) -> None:
        """Know what the state says of it now."""
        raise NotImplementedError

    def step(self) -> bool:
        if self._feed.lost:
            self._feed.restart()
            self._start()
            self._left = [key[len(self.prefix) :] for key in self._state.keys(self.prefix)]
        keys = self._feed.take(PIECE)
        for key in keys:
            self._look(key[len(self.prefix) :])
        if not keys:
            for ref in self._left[-PIECE:]:
                self._look(ref)
            del self._left[-PIECE:]
        return bool(keys or self._left)


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
