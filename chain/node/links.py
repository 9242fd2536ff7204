"""Who is connected with which validators: what a validator sends to another one itself, nobody need pass on to it. Pure, bounded.

Everybody tells its peers the validators that it is connected with (LC-NODE-14). A wrong word costs only its speaker: what it does
not get passed on, it gets with the next resending.
"""

from __future__ import annotations

from collections.abc import Collection

from chain.node.messages import Links


class LinkBook:
    def __init__(self) -> None:
        self._of: dict[bytes, frozenset[bytes]] = {}
        """Of each connected peer that told them."""
        self._told: list[bytes] = []

    def down(self, peer: bytes) -> None:
        self._of.pop(peer, None)

    def heard(self, peer: bytes, message: Links) -> None:
        self._of[peer] = frozenset(message.validators)

    def own(self, peers: Collection[bytes], validators: Collection[bytes]) -> Links:
        """What to tell a new peer."""
        return Links(sorted(set(peers) & set(validators)))

    def changed(self, peers: Collection[bytes], validators: Collection[bytes]) -> Links | None:
        """What to tell everybody: None where it is what they were told before."""
        now = self.own(peers, validators)
        if now.validators == self._told:
            return None
        self._told = now.validators
        return now

    def served(self, origin: bytes, validators: Collection[bytes]) -> frozenset[bytes]:
        """The validators among the peers that get from `origin` itself what it sends to all."""
        return frozenset(peer for peer, links in self._of.items() if origin in links and peer in validators)
