"""Whom to tell: everybody who votes for consensus, a bounded mesh of the others for what was decided. Pure.

The node decides what is worth relaying (ACCEPT); this only names targets. Randomness comes in.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random


class GossipTargets:
    """Targets among the connected peers.

    The mesh has at most `degree` peers, no validators among them. It stays as it is while they stay connected, is filled up when
    one leaves, and one of its members is exchanged at every `refresh`: slowly, so that neither an unlucky nor an arranged choice
    lasts.
    """

    def __init__(self, degree: int, rng: Random) -> None:
        if degree < 1:
            raise ValueError("a mesh has at least one peer")
        self._degree, self._rng = degree, rng
        self._connected: set[bytes] = set()
        self._validators: frozenset[bytes] = frozenset()
        self._mesh: list[bytes] = []

    def peer(self, peer: bytes, up: bool) -> None:
        """A peer connected or left."""
        if up:
            self._connected.add(peer)
        else:
            self._connected.discard(peer)
        self._fill()

    def set_validators(self, validators: Collection[bytes]) -> None:
        self._validators = frozenset(validators)
        self._fill()

    def refresh(self) -> None:
        """Exchanges one mesh member for another peer, if there is one."""
        if self._mesh and len(self._connected - self._validators) > len(self._mesh):
            left = self._mesh.pop(self._rng.randrange(len(self._mesh)))
            self._fill(avoid=left)

    def _fill(self, avoid: bytes | None = None) -> None:
        able = self._connected - self._validators
        self._mesh = [p for p in self._mesh if p in able]
        missing = self._degree - len(self._mesh)
        # Sorted: the choice depends on the generator alone, not on the order of a set.
        others = sorted(p for p in able if p not in self._mesh and p != avoid) if missing > 0 else []
        self._mesh += self._rng.sample(others, min(missing, len(others)))

    def mesh_targets(self, exclude: Collection[bytes] = ()) -> list[bytes]:
        """News of decided blocks, and transactions where nobody leads to a validator."""
        return [p for p in self._mesh if p not in exclude]

    def consensus_targets(self, exclude: Collection[bytes] = ()) -> list[bytes]:
        """Votes, proposals, round states and transactions: every connected validator."""
        return sorted((self._connected & self._validators).difference(exclude))
