"""The rounds of a request: seats, keys, answers, openings. LC-PRE-3, 22 to 24.

seat --> KEYS --> ANSWER --> OPEN --> settling, or of an appeal judging
 ^                  |
 +---- REDRAW <-----+  round 2: substitutes for who is silent, once
"""

from __future__ import annotations

from learningchain.chain.contracts.prediction import ends, formulas, judging, payouts, pool, records, settling
from learningchain.chain.contracts.prediction.records import PredictionRound, PredictionSeat, RequestState
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
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


# --- deadlines -----------------------------------------------------------------------------------------------------------------


def keys_missing(request: RequestContext) -> None:
    """LC-PRE-22"""
    number = request.record.round
    if number == 1:
        seats = [(1, account) for account in request.seats(1)]
        ends.close_seats(request)
        ends.fail(request, PredictionOutcome.NO_KEYS, payouts.no_keys(request.amounts, len(seats)), seats, "seat.paid")
    elif number == 2:
        _open(request)
    else:
        request.host.emit("appeal.no_keys", request.id)
        bond = records.bond_escrow(request.id)
        request.host.burn(bond, request.host.escrowed(bond), "bond.lost", request.id)
        ends.finish(request)


def answers_end(request: RequestContext) -> None:
    """LC-PRE-23: the silent pay; where others are left, they may stand in for them, once."""
    number = request.record.round
    silent = [account for account in request.seats(number) if not request.seat(number, account).commitment]
    for account in silent:
        settling.silence(request, number, account)
    if number == 1 and silent and pool.unseated(request):
        request.ask_draw(RequestState.REDRAW)
        request.host.emit("request.redraw", request.id, request.record.draw_height)
    else:
        _open(request)


def substitutes(request: RequestContext) -> None:
    """LC-PRE-23: as many as are silent, or as there are."""
    among = pool.unseated(request)
    lacking = len(request.seats(1)) - request.record.committed
    if among:
        seat(request, 2, pool.draw(request, 2, among, lacking), len(among))
    else:
        _open(request)


def _open(request: RequestContext) -> None:
    """ANSWER has ended for good."""
    now, params = request.record, request.params
    least = 2 if now.round == 3 else request.amounts.least_agreeing
    if now.committed >= least:
        request.move_to(RequestState.OPEN, params.pred_open_votes if now.round == 3 else params.pred_open)
        request.host.emit("request.open", request.id, now.round, request.record.deadline)
    elif now.round == 3:
        judging.judge(request)
    else:
        ends.close_seats(request)
        payout = payouts.unopened(PredictionOutcome.TOO_FEW, request.amounts, now.evictor)
        ends.fail(request, PredictionOutcome.TOO_FEW, payout, (), "")


def openings_end(request: RequestContext) -> None:
    """LC-PRE-24"""
    for number, account in request.tallied:
        found = request.seat(number, account)
        if found.commitment and not found.answer:
            settling.silence(request, number, account)
    if request.record.round == 3:
        judging.judge(request)
    else:
        settling.settle(request)
