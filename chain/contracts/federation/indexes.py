"""Federations by account, without going through all of them: whose they are, who is in, who was drawn.

    fp/ ──> SponsoredFederations    fm/ ──> JoinedFederations    fg/ ──> AggregatedFederations    fs/ ──> MeasuredFederations

Each index has an account's federations. What ended is in them until it leaves the state.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.records import FederationPosting
from learningchain.chain.host import Indexed


class _ByAccount:
    """Federations by account, of keys that go on with a federation and an account."""

    prefix: ClassVar[bytes]

    def __init__(self) -> None:
        self.of: dict[bytes, set[bytes]] = {}

    def put(self, key: bytes, record: Any | None) -> None:
        federation, account = key[len(self.prefix) :][:32], key[len(self.prefix) + 32 :]
        known = self.of.setdefault(account, set())
        if record is not None:
            known.add(federation)
        else:
            known.discard(federation)
        if not known:
            del self.of[account]


class JoinedFederations(_ByAccount):
    """Those where an account is a member, was one, or waits to be one."""

    prefix = records.MEMBERS_OF


class AggregatedFederations(_ByAccount):
    """Those whose attempt it was drawn for."""

    prefix = records.AGGREGATORS_OF


class MeasuredFederations(_ByAccount):
    """Those where it has or had a seat of the panel."""

    prefix = records.SAT


class SponsoredFederations(_ByAccount):
    """Those that it opened."""

    prefix = records.POSTINGS

    def __init__(self) -> None:
        super().__init__()
        self._sponsors: dict[bytes, bytes] = {}

    def put(self, key: bytes, record: Any | None) -> None:
        federation = key[len(self.prefix) :]
        known = self._sponsors.pop(federation, None)
        if known is not None:
            self.of[known].discard(federation)
            if not self.of[known]:
                del self.of[known]
        if isinstance(record, FederationPosting):
            self._sponsors[federation] = record.sponsor
            self.of.setdefault(record.sponsor, set()).add(federation)


INDEXES: tuple[type[_ByAccount], ...] = (SponsoredFederations, JoinedFederations, AggregatedFederations, MeasuredFederations)
K = TypeVar("K", bound=_ByAccount)


def federations_of(reader: Indexed, kind: type[K], account: bytes) -> list[bytes]:
    """By id."""
    layers = reader.index(kind)
    changed = layers.gone.of.get(account, set())
    return sorted((layers.base.of.get(account, set()) - changed) | layers.new.of.get(account, set()))
