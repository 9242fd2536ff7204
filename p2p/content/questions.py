"""Questions that could not be answered yet: who asked for what, so that it is told when it may have it (LC-CONTENT-15). Bounded."""

from __future__ import annotations

from typing import Final

from learningchain.p2p.content.cid import Cid

MOST: Final = 64
"""Questions of one peer that are remembered: as many as it fetches at once. The oldest makes room."""


class OpenQuestions:
    def __init__(self) -> None:
        self._asked: dict[bytes, dict[Cid, None]] = {}
        """By peer, the oldest question first."""

    def add(self, peer: bytes, root: Cid) -> None:
        asked = self._asked.setdefault(peer, {})
        asked.pop(root, None)
        asked[root] = None
        if len(asked) > MOST:
            del asked[next(iter(asked))]

    def who(self, root: Cid) -> list[bytes]:
        return [peer for peer, asked in self._asked.items() if root in asked]

    def drop(self, peer: bytes, root: Cid) -> None:
        """It was answered."""
        asked = self._asked.get(peer, {})
        asked.pop(root, None)
        if not asked:
            self._asked.pop(peer, None)

    def down(self, peer: bytes) -> None:
        """The peer is gone: it asks again when it comes back."""
        self._asked.pop(peer, None)
