"""What the best model of a federation was made of: base and delta of its round, so that a stranger can hold the model against them.
Pure.

The record of a round names both, and leaves the ledger sixteen rounds later; no later round may have been better. So they are
noted, in a book, while the record stands.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import RoundRecord
from learningchain.chain.types import Hash, Uint
from learningchain.client.contracts.federation.roles.looking import FederationLook
from learningchain.p2p.content.cid import CidBytes

MOST_NOTED: Final = 4_096


class BestRound(Wire, frozen=True):
    """Of a federation whose best model is that of round `r`."""

    federation: Hash
    r: Uint
    base: CidBytes
    delta: CidBytes

    @property
    def contents(self) -> set[bytes]:
        return {self.base, self.delta}


class BestRoundBook(Wire, frozen=True):
    rounds: Annotated[list[BestRound], Meta(max_length=MOST_NOTED)]


NOTHING_NOTED: Final = BestRoundBook([])


class BestRounds:
    """By federation. `book` is replaced, never changed."""

    def __init__(self, book: BestRoundBook) -> None:
        self.book = book
        self._noted = {one.federation: one for one in book.rounds}

    def of(self, federation: bytes) -> BestRound | None:
        return self._noted.get(federation)

    def note(self, at: FederationLook) -> BestRound | None:
        """None where the initial model is the best, or the record left the ledger before this node looked."""
        known, r = self._noted.get(at.id), at.now.best_r
        if known is not None and known.r == r:
            return known
        found = at.reader.get(records.round_key(at.id, r)) if r else None
        others = {ref: one for ref, one in self._noted.items() if ref != at.id}
        if isinstance(found, RoundRecord) and len(others) < MOST_NOTED:
            self._put(others | {at.id: BestRound(at.id, r, found.base, found.delta)})
        elif known is not None:
            self._put(others)
        return self._noted.get(at.id)

    def forget_but(self, federations: Collection[bytes]) -> None:
        if not self._noted.keys() <= set(federations):
            self._put({ref: one for ref, one in self._noted.items() if ref in federations})

    def _put(self, noted: dict[bytes, BestRound]) -> None:
        self._noted, self.book = noted, BestRoundBook(list(noted.values()))
