"""The rounds of a request, deadline by deadline: keys, answers, openings. LC-PRE-22 to 24.

seat --> KEYS --> ANSWER --> OPEN --> settling, or of an appeal judging
 ^                  |
 +---- REDRAW <-----+  round 2: substitutes for who is silent, once
"""

from __future__ import annotations

from learningchain.chain.contracts.prediction import ends, judging, payouts, pool, records, seating, settling
from learningchain.chain.contracts.prediction.records import RequestState
from learningchain.chain.contracts.prediction.store import RequestContext
from learningchain.chain.contracts.prediction.tally import PredictionOutcome


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
        seating.seat(request, 2, pool.draw(request, 2, among, lacking), len(among))
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
