"""What the state says about this node's messages about requests: whether one stands, still can, or no longer can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.messages import AppealAnswer, CommitAnswer, OpenAnswer
from learningchain.chain.contracts.prediction.records import ANSWERED, PredictionSeat, RequestRecord, RequestState
from learningchain.chain.host import Reader
from learningchain.client.work.machine import LedgerStatus, LedgerStatusOf


def _of_request(says: Callable[[Reader, bytes, RequestRecord, Any], LedgerStatus]) -> LedgerStatusOf:
    """None of them takes effect once the request's present deadline has passed."""

    def status(reader: Reader, me: bytes, clock: int, op: Any) -> tuple[LedgerStatus, int | None]:
        record = reader.get(records.request_key(op.request))
        if not isinstance(record, RequestRecord):
            return LedgerStatus.TOO_LATE, None
        found = says(reader, me, record, op)
        return (LedgerStatus.TOO_LATE if found is LedgerStatus.OPEN and clock >= record.deadline else found), record.deadline

    return status


def _seat(reader: Reader, me: bytes, op: Any) -> PredictionSeat | None:
    found = reader.get(records.seat_key(op.request, op.round, me))
    return found if isinstance(found, PredictionSeat) else None


def _commit(reader: Reader, me: bytes, record: RequestRecord, op: CommitAnswer) -> LedgerStatus:
    seat = _seat(reader, me, op)
    if seat is None:
        return LedgerStatus.TOO_LATE
    if seat.commitment:
        return LedgerStatus.STANDS if seat.commitment == op.commitment else LedgerStatus.DISPLACED
    open_ = record.state == RequestState.ANSWER and record.round == op.round
    return LedgerStatus.OPEN if open_ else LedgerStatus.TOO_LATE


def _open(reader: Reader, me: bytes, record: RequestRecord, op: OpenAnswer) -> LedgerStatus:
    seat = _seat(reader, me, op)
    if seat is None:
        return LedgerStatus.TOO_LATE
    if seat.answer:
        return LedgerStatus.STANDS
    return LedgerStatus.OPEN if record.state == RequestState.OPEN else LedgerStatus.TOO_LATE


def _appeal(reader: Reader, me: bytes, record: RequestRecord, op: AppealAnswer) -> LedgerStatus:
    if record.appellant:
        return LedgerStatus.STANDS if record.appellant == me else LedgerStatus.DISPLACED
    return LedgerStatus.OPEN if record.state in ANSWERED else LedgerStatus.TOO_LATE


LEDGER_STATUSES: dict[type, LedgerStatusOf] = {
    CommitAnswer: _of_request(_commit),
    OpenAnswer: _of_request(_open),
    AppealAnswer: _of_request(_appeal),
}
