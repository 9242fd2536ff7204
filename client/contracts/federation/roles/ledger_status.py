"""What the state says about this node's messages about federations: whether one stands, still can, or no longer can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.messages import (
    CommitMeasure,
    CommitUpdate,
    HaveUpdates,
    OpenMeasure,
    OpenSteps,
    PartStage,
    PinParts,
    PinSealed,
    ReadyKey,
    ReferUpdate,
    ScreenUpdates,
    SealKey,
    SealParts,
    ServeCells,
    ServeFederation,
    StartRound,
    SumCells,
    SumUpdates,
    VaultModel,
)
from learningchain.chain.contracts.federation.records import AggregatorSeat, CellSeat, FederationMember, FederationState, PanelSeat
from learningchain.chain.host import Reader
from learningchain.client.contracts.federation.roles.looking import FederationLook, look
from learningchain.client.work.machine import LedgerStatus, LedgerStatusOf

STANDS, OPEN, TOO_LATE, DISPLACED = LedgerStatus.STANDS, LedgerStatus.OPEN, LedgerStatus.TOO_LATE, LedgerStatus.DISPLACED
Says = Callable[[FederationLook, bytes, Any], LedgerStatus]


def _of_federation(says: Says) -> LedgerStatusOf:
    """None of them takes effect once the deadline of the state has passed that takes it."""

    def status(reader: Reader, me: bytes, clock: int, op: Any) -> tuple[LedgerStatus, int | None]:
        at = look(reader, op.federation)
        if at is None:
            return TOO_LATE, None
        found = says(at, me, op)
        return (TOO_LATE if found is OPEN and clock >= at.now.deadline else found), at.now.deadline

    return status


def _start(at: FederationLook, me: bytes, op: StartRound) -> LedgerStatus:
    """Whether it is this one that stands nobody can tell, and nobody needs to: the state has moved on."""
    if at.state == FederationState.IDLE and at.now.r == op.r:
        return OPEN
    return STANDS if at.now.r >= op.r and at.state != FederationState.END else TOO_LATE


def _key(at: FederationLook, me: bytes, op: SealKey) -> LedgerStatus:
    if at.state == FederationState.KEY:
        return OPEN
    return STANDS if any(seat.box for seat in at.now.panel) else TOO_LATE


def _in(*states: FederationState, done: Callable[[FederationLook, AggregatorSeat, Any], bool]) -> Says:
    """What an aggregator says in the attempt of its message, in these states."""

    def says(at: FederationLook, me: bytes, op: Any) -> LedgerStatus:
        if at.now.starts != op.attempt or me not in at.seats:
            return TOO_LATE
        if done(at, at.seat(me), op):
            return STANDS
        return OPEN if at.state in states else TOO_LATE

    return says


def _pinned(at: FederationLook, seat: AggregatorSeat, op: PinParts | PinSealed) -> bool:
    return bool(seat.rows if op.stage == PartStage.ROWS else seat.sums)


def _pin(at: FederationLook, me: bytes, op: PinParts | PinSealed) -> LedgerStatus:
    state = FederationState.SCREEN if op.stage == PartStage.ROWS else FederationState.SUM
    return _in(state, done=_pinned)(at, me, op)


def _of_cell(at: FederationLook, me: bytes) -> CellSeat:
    found = at.reader.get(records.cell_seat_key(at.id, me))
    return found if isinstance(found, CellSeat) else CellSeat([], [])


def _seal(at: FederationLook, me: bytes, op: SealParts) -> LedgerStatus:
    state = FederationState.SCREEN if op.stage == PartStage.ROWS else FederationState.SUM
    seals = _of_cell(at, me).seals
    if at.now.starts == op.attempt and len(seals) >= op.stage:
        return STANDS if seals[op.stage - 1] == op.seal else DISPLACED
    return _in(state, done=lambda _, __, ___: False)(at, me, op)


def _commit(at: FederationLook, me: bytes, op: CommitUpdate) -> LedgerStatus:
    if at.now.starts != op.attempt:
        return TOO_LATE
    own = next((file for file in at.files if file.account == me), None)
    if own is not None:
        return STANDS if own.cid == op.cid else DISPLACED
    return OPEN if at.state in (FederationState.READY, FederationState.TRAIN) else TOO_LATE


def _refer(at: FederationLook, me: bytes, op: ReferUpdate) -> LedgerStatus:
    if at.now.starts != op.attempt or at.attempt is None:
        return TOO_LATE
    if at.attempt.reference:
        return STANDS if at.attempt.reference == op.cid else DISPLACED
    return OPEN if at.state in (FederationState.READY, FederationState.TRAIN) else TOO_LATE


def _own_seat(at: FederationLook, me: bytes, op: CommitMeasure | OpenMeasure | OpenSteps) -> PanelSeat | None:
    if (at.now.r, at.now.again) != (op.r, op.again):
        return None
    return next((seat for seat in at.now.panel if seat.account == me), None)


def _measure(at: FederationLook, me: bytes, op: CommitMeasure) -> LedgerStatus:
    seat = _own_seat(at, me, op)
    if seat is None:
        return TOO_LATE
    if seat.commitment:
        return STANDS if seat.commitment == op.commitment else DISPLACED
    return OPEN if at.state == FederationState.MEASURE else TOO_LATE


def _open(at: FederationLook, me: bytes, op: OpenMeasure | OpenSteps) -> LedgerStatus:
    seat = _own_seat(at, me, op)
    if seat is None:
        return TOO_LATE
    if seat.opened:
        return STANDS
    return OPEN if at.state in (FederationState.MEASURE, FederationState.OPEN) else TOO_LATE


def _summed_cells(at: FederationLook, me: bytes, op: SumCells) -> LedgerStatus:
    return _in(FederationState.SUM, done=lambda _, __, ___: bool(_of_cell(at, me).sum))(at, me, op)


def _serve(reader: Reader, me: bytes, clock: int, op: ServeFederation | ServeCells) -> tuple[LedgerStatus, int | None]:
    key = records.serving_key if isinstance(op, ServeFederation) else records.cell_serving_key
    serves = reader.get(key(me)) is not None
    return (STANDS if serves is op.on else OPEN), None


def _vault(at: FederationLook, me: bytes, op: VaultModel) -> LedgerStatus:
    member = at.reader.get(records.member_key(at.id, me))
    if not isinstance(member, FederationMember):
        return TOO_LATE
    if member.vault == op.cid:
        return STANDS
    return DISPLACED if member.vault_r > at.now.r else OPEN


LEDGER_STATUSES: dict[type, LedgerStatusOf] = {
    StartRound: _of_federation(_start),
    SealKey: _of_federation(_key),
    CommitUpdate: _of_federation(_commit),
    ReferUpdate: _of_federation(_refer),
    ReadyKey: _of_federation(_in(FederationState.READY, done=lambda _, seat, __: bool(seat.key))),
    HaveUpdates: _of_federation(_in(FederationState.HAVE, done=lambda _, seat, __: seat.said_have)),
    PinParts: _of_federation(_pin),
    ScreenUpdates: _of_federation(_in(FederationState.SCREEN, done=lambda _, seat, __: bool(seat.screen))),
    SumUpdates: _of_federation(_in(FederationState.SUM, done=lambda _, seat, __: bool(seat.sum))),
    CommitMeasure: _of_federation(_measure),
    OpenMeasure: _of_federation(_open),
    ServeFederation: _serve,
    ServeCells: _serve,
    SealParts: _of_federation(_seal),
    PinSealed: _of_federation(_pin),
    SumCells: _of_federation(_summed_cells),
    OpenSteps: _of_federation(_open),
    VaultModel: _of_federation(_vault),
}
