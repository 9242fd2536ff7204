"""Whom a node gives what it keeps, by the reasons for which it is pinned. No I/O.

    pinned for                     goes to
    nothing                        nobody
    other reasons than private     everybody
    a private reason (`PRIVATE`)   who was named for the content, and who its contract says may have it
    a public one (`PUBLIC`)        everybody, as does what this process itself put into the store for everybody

A private reason outweighs those for which content was fetched. Anybody may post terms that name a private model as an image or as a
model of their own: whoever fetches it for these has it, and gives it away no more than before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from learningchain.client.node.interface import PRIVATE, PUBLIC, MayHave

CLOSED: Final = PRIVATE + "closed"
"""The reason for which content stays private whose last private reason is gone, as long as others keep it here."""


def _nobody(peer: bytes, cid: str, reasons: Collection[str]) -> bool:
    return False


class Sharing:
    def __init__(self) -> None:
        self.may_have_by_contract: MayHave = _nobody
        self._named: dict[str, frozenset[bytes]] = {}
        self._published: dict[str, set[str]] = {}

    def name(self, cid: str, peers: Collection[bytes]) -> None:
        """From now on these and no others are named for the content."""
        if peers:
            self._named[cid] = frozenset(peers)
        else:
            self._named.pop(cid, None)

    def publish(self, cid: str, reason: str) -> None:
        """This process put the content into the store for everybody, until that reason is taken back."""
        self._published.setdefault(cid, set()).add(reason)

    def begin_private(self, cid: str, reasons: Collection[str]) -> None:
        """A private reason comes for content that is here, and is kept for these so far: what everybody could have stays public, so
        that nobody takes an image from the others by naming it as a model."""
        if not any(reason.startswith(PRIVATE) for reason in reasons):
            self._published.setdefault(cid, set()).update(reasons)

    def may_have(self, peer: bytes, cid: str, reasons: Collection[str]) -> bool:
        if not any(reason.startswith(PRIVATE) for reason in reasons):
            return bool(reasons)
        named = peer in self._named.get(cid, ())
        return named or self._is_public(cid, reasons) or self.may_have_by_contract(peer, cid, reasons)

    def take_back(self, cid: str, reason: str, left: Collection[str]) -> bool:
        """A reason goes and these are left: whether content that was private has to stay so (`CLOSED`)."""
        if (published := self._published.get(cid)) is not None:
            published.discard(reason)
            if not published:
                del self._published[cid]
        return reason.startswith(PRIVATE) and reason != CLOSED and bool(left) and not self._is_public(cid, left)

    def _is_public(self, cid: str, reasons: Collection[str]) -> bool:
        published = self._published.get(cid, set())
        return not published.isdisjoint(reasons) or any(reason.startswith(PUBLIC) for reason in reasons)
