"""Who was drawn takes a seat, in a committee or among an appeal's judges, and is told what to do first. LC-PRE-3, 21."""

from __future__ import annotations

from learningchain.chain.contracts.prediction import formulas, records
from learningchain.chain.contracts.prediction.records import PredictionRound, PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.host import MEMBERS

TOLD_AT_ONCE = 16
"""Seats in one event."""


def seat(request: RequestContext, number: int, accounts: list[bytes], among: int) -> None:
    """LC-PRE-21: who was drawn sits; of a private request keys are asked for first."""
    host, model, now = request.host, request.model, request.record
    box_key = host.service(MEMBERS).box_key
    for account in accounts:
        sealed = box_key(account) if request.is_private else b""
        host.put(records.seat_key(request.id, number, account), PredictionSeat(sealed, b"", b"", 0, [], 0))
    drawn = PredictionRound(number, host.beacon, among, host.clock, accounts)
    committed = 0 if number == 3 else now.committed
    request.change(round=number, rounds=[*now.rounds, drawn], committed=committed, before=committed, opened=0)
    if number != 3:
        for account in accounts:
            known = model.server(account)
            model.change_server(account, unfinal=known.unfinal + 1 if known else 0)
        seats, standing = len(accounts), model.standing
        model.change(open_seats=standing.open_seats + seats, unfinal_seats=standing.unfinal_seats + seats)
    if request.is_private:
        request.move_to(RequestState.KEYS, request.params.pred_keys)
        _tell_seats(request, "request.keys", accounts)
    else:
        enter_answer(request)


def enter_answer(request: RequestContext) -> None:
    request.move_to(RequestState.ANSWER, answer_window(request))
    _tell_seats(request, "request.answer", request.seats(request.record.round))


def _tell_seats(request: RequestContext, topic: str, accounts: list[bytes]) -> None:
    """A round of many seats is told of in several events: one has no room for sixty-three judges."""
    now = request.record
    for first in range(0, len(accounts), TOLD_AT_ONCE):
        request.host.emit(topic, request.id, now.round, now.deadline, *accounts[first : first + TOLD_AT_ONCE])


def answer_window(request: RequestContext) -> int:
    """LC-PRE-3: W_A, of an appeal W_A3."""
    params, terms, record = request.params, request.terms, request.model.record
    start_s, row_ms = record.terms.start_s, record.terms.row_ms
    if request.record.round == 3:
        rows, size = formulas.appeal_rows(terms.rows), terms.size + record.program.size
        return formulas.answer_window(params.pred_vote_base, start_s, row_ms, rows, size)
    return formulas.answer_window(params.pred_a0, start_s, row_ms, terms.rows, terms.size)
