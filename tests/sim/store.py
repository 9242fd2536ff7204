"""A block store in memory with the real one's promises: a commit is whole or not there, and commits survive in their order."""

from __future__ import annotations

import random

from chain.ledger.state import State
from chain.node.events import Commit


class Store:
    def __init__(self, genesis: list[tuple[bytes, bytes | None]], chain_id: bytes) -> None:
        self._items: dict[bytes, bytes] = {key: raw for key, raw in genesis if raw is not None}
        self._chain_id = chain_id
        self.blocks: dict[int, Commit] = {}
        self.pending: list[Commit] = []
        """Handed to the writer, not on disk yet."""

    @property
    def height(self) -> int:
        """The last one on disk."""
        return len(self.blocks)

    def commit(self, commit: Commit) -> None:
        expected = self.height + len(self.pending) + 1
        if commit.height != expected:
            raise AssertionError(f"height {commit.height} was committed where {expected} follows")
        self.pending.append(commit)
        if commit.durable:
            self.settle(len(self.pending))

    def settle(self, count: int) -> None:
        """The writer finished its first `count` commits."""
        done, self.pending = self.pending[:count], self.pending[count:]
        for commit in done:
            self.blocks[commit.height] = commit
            for key, raw in commit.state:
                if raw is None:
                    self._items.pop(key, None)
                else:
                    self._items[key] = raw

    def crash(self, rng: random.Random) -> None:
        """Some of what the writer had in hand was written, the rest is gone."""
        self.settle(rng.randint(0, len(self.pending)))
        self.pending.clear()

    def load(self) -> tuple[State, bytes]:
        """State and head of the last height on disk."""
        head = self.blocks[self.height].block_id if self.blocks else self._chain_id
        return State.load(self._items.items()), head

    def read(self, start: int, count: int, size: int) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        for height in range(max(1, start), min(start + count, self.height + 1)):
            commit = self.blocks[height]
            found.append((commit.block, commit.certificate))
            size -= len(commit.block)
            if size <= 0:
                break
        return found
