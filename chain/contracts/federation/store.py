"""Reading and changing records of federations: what messages, deadlines and views share. Nothing here decides anything.

A context holds ids alone. What it gives is what the state has at that moment: many parts of one event change the same records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.messages import MOST_MEMBERS, FederationTerms
from learningchain.chain.contracts.federation.params import FederationParams
from learningchain.chain.contracts.federation.records import (
    K_FEDERATION_TOTALS,
    NEW_AGGREGATOR,
    NUMBER,
    AggregatorSeat,
    AttemptRecord,
    AttemptRoster,
    CellRecord,
    CellSeat,
    EndReason,
    FederationMember,
    FederationPosting,
    FederationRecord,
    FederationState,
    FederationTotals,
    MemberState,
    RosterEntry,
    UpdateFile,
)
from learningchain.chain.errors import BrokenInvariant
from learningchain.chain.host import Host, Won
from learningchain.chain.host.deadlines import Deadline
from learningchain.chain.verification import windows

T = TypeVar("T")
MOST_KNOWN = 2 * MOST_MEMBERS
"""Members of a federation, with those that wait and those that left: indexes ever given, and PENDING ones."""


def must(record: T | None, what: str, ref: bytes) -> T:
    """What has to be there: without it the state contradicts itself."""
    if record is None:
        raise BrokenInvariant(f"{ref.hex()} has no {what}")
    return record


@dataclass(frozen=True)
class FederationContext:
    host: Host
    id: bytes

    @property
    def posting(self) -> FederationPosting:
        return must(self.host.get(records.posting_key(self.id), FederationPosting), "posting", self.id)

    @property
    def terms(self) -> FederationTerms:
        return self.posting.terms

    @property
    def sponsor(self) -> bytes:
        return self.posting.sponsor

    @property
    def params(self) -> FederationParams:
        """Those of its opening."""
        return self.host.params_at(FederationParams, self.posting.opened)

    @property
    def record(self) -> FederationRecord:
        return must(self.host.get(records.federation_key(self.id), FederationRecord), "record", self.id)

    def change(self, **changes: Any) -> None:
        self.host.put(records.federation_key(self.id), replace(self.record, **changes))

    def emit(self, topic: str, *data: int | str | bytes) -> None:
        self.host.emit(topic, self.id, *data)

    # deadlines

    @property
    def _deadline(self) -> Deadline:
        return Deadline(self.host, NUMBER, self.id, self.sponsor)

    def enter(self, state: FederationState, length: int) -> int:
        """Enter a state that ends after so long at the latest; when that is."""
        return self.enter_until(state, self.host.clock + length)

    def enter_until(self, state: FederationState, at: int) -> int:
        self.stop()
        self.change(state=state, deadline=self._deadline.set(0, at))
        return at

    def enter_draw(self, state: FederationState) -> int:
        """LC-FED-15, 22: wait for the beacon of the block that comes d blocks later; its height."""
        self.stop()
        height = self.host.height + windows.draw_delay(len(self.host.validators()))
        at = self.host.schedule_at_height(height, NUMBER, self.id, self.sponsor)
        self.change(state=state, deadline=at, draw_height=height)
        return height

    def stop(self) -> None:
        """No deadline any more; a draw that was asked for does not come either."""
        now = self.record
        if now.state in records.DRAWING and now.deadline:
            self.host.cancel_at_height(now.draw_height, now.deadline, NUMBER, self.id, self.sponsor)
        else:
            self._deadline.clear(now.deadline)
        self.change(deadline=0, draw_height=0)

    # members

    def member(self, account: bytes) -> FederationMember | None:
        return self.host.get(records.member_key(self.id, account), FederationMember)

    def change_member(self, account: bytes, **changes: Any) -> None:
        known = must(self.member(account), "member of this account", self.id)
        self.host.put(records.member_key(self.id, account), replace(known, **changes))

    def put_member(self, account: bytes, member: FederationMember) -> None:
        self.host.put(records.member_key(self.id, account), member)

    def members(self) -> list[tuple[bytes, FederationMember]]:
        """All that are known, by id: bounded (`MOST_KNOWN`)."""
        prefix = records.MEMBERS_OF + self.id
        return [(key[len(prefix) :], member) for key, member in self.host.store.scan(prefix, MOST_KNOWN)]

    def active(self) -> list[tuple[bytes, FederationMember]]:
        """Banned ones among them."""
        return [(who, one) for who, one in self.members() if one.state == MemberState.ACTIVE]

    def has_joined(self, account: bytes) -> bool:
        found = self.member(account)
        return found is not None and found.state != MemberState.GONE

    # the attempt

    @property
    def attempt(self) -> AttemptRecord:
        return must(self.host.get(records.attempt_key(self.id), AttemptRecord), "attempt", self.id)

    def change_attempt(self, **changes: Any) -> None:
        self.host.put(records.attempt_key(self.id), replace(self.attempt, **changes))

    @property
    def roster(self) -> list[RosterEntry]:
        return must(self.host.get(records.roster_key(self.id), AttemptRoster), "roster", self.id).members

    def is_in_attempt(self, account: bytes) -> bool:
        """In the roster of the one that runs, if one does."""
        found = self.host.get(records.roster_key(self.id), AttemptRoster)
        return found is not None and any(one.account == account for one in found.members)

    def aggregator(self, account: bytes) -> AggregatorSeat:
        return must(self.host.get(records.aggregator_key(self.id, account), AggregatorSeat), "aggregator", self.id)

    def change_aggregator(self, account: bytes, **changes: Any) -> None:
        self.host.put(records.aggregator_key(self.id, account), replace(self.aggregator(account), **changes))

    def seat_aggregators(self, accounts: list[bytes]) -> None:
        for account in accounts:
            self.host.put(records.aggregator_key(self.id, account), NEW_AGGREGATOR)

    def unseat(self, account: bytes) -> None:
        self.host.delete(records.aggregator_key(self.id, account))
        if self.has_cells:
            self.host.delete(records.cell_seat_key(self.id, account))

    def files(self) -> Iterator[UpdateFile]:
        """In the order of the commitments."""
        for place in range(self.attempt.files):
            yield must(self.host.get(records.file_key(self.id, place), UpdateFile), "file", self.id)

    def drop_attempt(self) -> None:
        """LC-FED-34: nothing of it is ever used again."""
        now = self.host.get(records.attempt_key(self.id), AttemptRecord)
        if now is None:
            return
        for account in now.tried:
            self.unseat(account)
        for place in range(now.files):
            self.host.delete(records.file_key(self.id, place))
        self.host.delete(records.roster_key(self.id))
        self.host.delete(records.attempt_key(self.id))

    # its cells, where it has some

    @property
    def has_cells(self) -> bool:
        return formulas.has_cells(self.terms)

    @property
    def cells(self) -> CellRecord:
        return must(self.host.get(records.cell_key(self.id), CellRecord), "cells", self.id)

    def change_cells(self, **changes: Any) -> None:
        self.host.put(records.cell_key(self.id), replace(self.cells, **changes))

    def cell_seat(self, account: bytes) -> CellSeat:
        return self.host.get(records.cell_seat_key(self.id, account), CellSeat) or CellSeat([], [])

    def change_cell_seat(self, account: bytes, **changes: Any) -> None:
        self.host.put(records.cell_seat_key(self.id, account), replace(self.cell_seat(account), **changes))

    # sets that were accepted

    def accepted_on(self, base: bytes) -> list[int]:
        found = self.host.get(records.sets_key(self.id, base), records.AcceptedSets)
        return [formulas.of_bitmap(one) for one in found.sets] if found else []

    # beside

    def is_excluded(self, account: bytes) -> bool:
        return self.host.get(records.excluded_key(self.id, account), records.ExcludedAggregator) is not None

    def has_sat(self, account: bytes) -> bool:
        return self.host.get(records.sat_key(self.id, account), records.PanelSat) is not None


def load_federation(host: Host, federation: bytes) -> FederationContext | None:
    found = host.get(records.posting_key(federation), FederationPosting)
    return FederationContext(host, federation) if found is not None else None


class BestModels:
    """Service `trained`."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def of(self, federation: bytes, account: bytes) -> Won | None:
        """LC-FED-53: the sponsor's to offer; where it went away, any owner's that was paid. Nobody's any more when the first member
        has left the state: what each was paid is known no longer."""
        found = load_federation(self._host, federation)
        if found is None or not found.record.end or not found.record.best_r:
            return None
        member = found.member(account)
        left = found.record.end == EndReason.ABANDONED and member is not None and member.paid
        if account != found.sponsor and not left:
            return None
        now, terms = found.record, found.terms
        owners = [(who, one.paid) for who, one in found.members() if one.index]
        if len(owners) < now.indexes:
            return None
        ran = (terms.image, terms.arch, terms.params, terms.limits)
        return Won(found.sponsor, b"", now.best_model, terms.size, *ran, formulas.royalty_weights(owners))


def totals(host: Host) -> FederationTotals:
    return host.get(K_FEDERATION_TOTALS, FederationTotals) or FederationTotals(0, 0, 0)


def count(host: Host, **changes: int) -> None:
    host.put(K_FEDERATION_TOTALS, replace(totals(host), **changes))
