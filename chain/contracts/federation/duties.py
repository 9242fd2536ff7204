"""What the ledger asks of an account in federations now: of sponsors, members, aggregators and the seats of panels. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from learningchain.chain.contracts.federation import formulas, records
from learningchain.chain.contracts.federation.indexes import INDEXES, federations_of
from learningchain.chain.contracts.federation.records import (
    AggregatorSeat,
    AttemptRecord,
    AttemptRoster,
    CellSeat,
    FederationPosting,
    FederationRecord,
    FederationState,
)
from learningchain.chain.host import Indexed, Reader


class FederationDuty(IntEnum):
    """What is asked of an account now."""

    START_ROUND = 1
    SEAL_KEY = 2
    REFER = 3
    READY = 4
    COMMIT = 5
    HAVE = 6
    PIN_ROWS = 7
    SCREEN = 8
    PIN_SUMS = 9
    SUM = 10
    MEASURE = 11
    OPEN = 12
    SEAL_ROWS = 13
    SEAL_SUMS = 14


class OwedDuty(NamedTuple):
    """`attempt` is the number of the start, `again` that of the measurement, `deadline` of the chain clock."""

    federation: bytes
    duty: FederationDuty
    r: int
    attempt: int
    again: int
    deadline: int


def duties(reader: Indexed, account: bytes) -> Iterator[OwedDuty]:
    """What is owed by an account in federations, each by the deadline of its state."""
    kinds = (_of_sponsor, _of_member, _of_aggregator, _of_seat)
    for kind, owed in zip(INDEXES, kinds, strict=True):
        for federation in federations_of(reader, kind, account):
            now = reader.get(records.federation_key(federation))
            if isinstance(now, FederationRecord):
                duty = owed(reader, federation, now, account)
                if duty is not None:
                    yield OwedDuty(federation, duty, now.r, now.starts, now.again, now.deadline)


def _attempt(reader: Reader, federation: bytes) -> AttemptRecord | None:
    found = reader.get(records.attempt_key(federation))
    return found if isinstance(found, AttemptRecord) else None


def _of_sponsor(reader: Reader, federation: bytes, now: FederationRecord, account: bytes) -> FederationDuty | None:
    if now.state == FederationState.IDLE:
        return FederationDuty.START_ROUND
    if now.state == FederationState.KEY:
        return FederationDuty.SEAL_KEY
    posting, attempt = reader.get(records.posting_key(federation)), _attempt(reader, federation)
    if now.state == FederationState.MEASURE and isinstance(posting, FederationPosting) and posting.terms.hidden:
        return None if all(seat.box for seat in now.panel) else FederationDuty.SEAL_KEY
    asked = isinstance(posting, FederationPosting) and posting.terms.reference
    if now.state == FederationState.TRAIN and asked and attempt is not None and not attempt.reference:
        return FederationDuty.REFER
    return None


def _of_member(reader: Reader, federation: bytes, now: FederationRecord, account: bytes) -> FederationDuty | None:
    attempt, roster = _attempt(reader, federation), reader.get(records.roster_key(federation))
    if now.state != FederationState.TRAIN or attempt is None or not isinstance(roster, AttemptRoster):
        return None
    index = next((one.index for one in roster.members if one.account == account), None)
    if index is None or formulas.of_bitmap(attempt.committed) >> index & 1:
        return None
    return FederationDuty.COMMIT


def _of_aggregator(reader: Reader, federation: bytes, now: FederationRecord, account: bytes) -> FederationDuty | None:
    attempt, seat = _attempt(reader, federation), reader.get(records.aggregator_key(federation, account))
    if attempt is None or not isinstance(seat, AggregatorSeat) or account not in attempt.seats:
        return None
    if now.state == FederationState.READY:
        return None if seat.key else FederationDuty.READY
    if now.state == FederationState.HAVE:
        return None if seat.said_have else FederationDuty.HAVE
    if account not in attempt.deciding:
        return None
    posting = reader.get(records.posting_key(federation))
    if isinstance(posting, FederationPosting) and formulas.has_cells(posting.terms):
        return _of_cell(reader, federation, now, account, attempt)
    if now.state == FederationState.SCREEN and not seat.screen:
        return FederationDuty.SCREEN if seat.rows else FederationDuty.PIN_ROWS
    if now.state == FederationState.SUM and not seat.sum:
        return FederationDuty.SUM if seat.sums else FederationDuty.PIN_SUMS
    return None


def _of_cell(
    reader: Reader, federation: bytes, now: FederationRecord, account: bytes, attempt: AttemptRecord
) -> FederationDuty | None:
    """LC-FED-60: a seal, parts when all three have sealed, a word when all three have pinned."""
    seats: dict[bytes, AggregatorSeat] = {}
    for who in attempt.seats:
        seat = reader.get(records.aggregator_key(federation, who))
        seats[who] = seat if isinstance(seat, AggregatorSeat) else records.NEW_AGGREGATOR
    of_cells = {who: reader.get(records.cell_seat_key(federation, who)) for who in attempt.seats}
    sealed = {who: len(one.seals) if isinstance(one, CellSeat) else 0 for who, one in of_cells.items()}
    if now.state == FederationState.SCREEN:
        stage, pinned, said = 1, {who: bool(seat.rows) for who, seat in seats.items()}, bool(seats[account].screen)
        owed = FederationDuty.SEAL_ROWS, FederationDuty.PIN_ROWS, FederationDuty.SCREEN
    elif now.state == FederationState.SUM:
        own = of_cells[account]
        stage, pinned, said = 2, {who: bool(seat.sums) for who, seat in seats.items()}, isinstance(own, CellSeat) and bool(own.sum)
        owed = FederationDuty.SEAL_SUMS, FederationDuty.PIN_SUMS, FederationDuty.SUM
    else:
        return None
    if sealed[account] < stage:
        return owed[0]
    if not pinned[account]:
        return owed[1] if min(sealed.values()) >= stage else None
    return owed[2] if all(pinned.values()) and not said else None


def _of_seat(reader: Reader, federation: bytes, now: FederationRecord, account: bytes) -> FederationDuty | None:
    seat = next((one for one in now.panel if one.account == account), None)
    if seat is None:
        return None
    if now.state == FederationState.MEASURE and not seat.commitment:
        return FederationDuty.MEASURE
    if now.state == FederationState.OPEN and seat.commitment and not seat.opened:
        return FederationDuty.OPEN
    return None
