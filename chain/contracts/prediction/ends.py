"""How a request ends: what it locked is paid out, its seats are no longer counted, its result stays a while. LC-PRE-30 to 32, 46.

FAILED, FINAL --pred_keep--> dropped by the requests that are posted later, two by each; what never had seats goes first, at once
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import payouts, policies, records, retiring, store
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.payouts import Payout
from learningchain.chain.contracts.prediction.records import (
    ENDS,
    REQUESTS,
    UNSEATED,
    AskedBy,
    AskedContent,
    EndedRequest,
    PredictionResult,
    RequestState,
    SeatResult,
    WaitingOf,
)
from learningchain.chain.contracts.prediction.store import RequestContext, must
from learningchain.chain.contracts.prediction.tally import PredictionOutcome
from learningchain.chain.host import Host

DROPPED = 2
"""Results that a posting drops at most."""
Seat = tuple[int, bytes]
"""Round and account."""

# --- the queue -----------------------------------------------------------------------------------------------------------------


def leave_waiting(request: RequestContext) -> None:
    """It waits no longer: out of the queue, and of the counters."""
    host, posting, model = request.host, request.posting, request.model
    host.delete(records.queue_key(model.id, request.record.rank, posting.position))
    model.change(waiting=model.standing.waiting - 1)
    key = records.waiting_key(model.id, posting.requester)
    waiting = must(host.get(key, WaitingOf), "count of what waits", model.id).waiting - 1
    if waiting:
        host.put(key, WaitingOf(waiting))
    else:
        host.delete(key)


def leave_queue(request: RequestContext, why: PredictionOutcome) -> None:
    """LC-PRE-32: an end before any draw."""
    leave_waiting(request)
    fail(request, why, payouts.unopened(why, request.amounts, request.record.evictor), (), "")


# --- money ---------------------------------------------------------------------------------------------------------------------


def pay_out(request: RequestContext, payout: Payout, seats: Sequence[Seat], reason: str) -> None:
    """All of X: to who is paid, to the owner or the model's shares, burned, and what is left to the requester."""
    host, escrow, model = request.host, records.charge_escrow(request.id), request.model
    for place in payout.paid:
        number, account = seats[place]
        host.pay(escrow, account, payout.each, reason, request.id)
        request.change_seat(number, account, paid=request.seat(number, account).paid + payout.each)
    if model.record.terms.shares:
        host.shift(escrow, records.royalty_escrow(model.id), payout.royalty, "royalty.kept", request.id)
    else:
        host.pay(escrow, model.owner, payout.royalty, "royalty", request.id)
    host.burn(escrow, payout.burned, "request.fee", request.id)
    host.pay(escrow, request.requester, payout.rest, "request.rest", request.id)


def fail(request: RequestContext, why: PredictionOutcome, payout: Payout, seats: Sequence[Seat], reason: str) -> None:
    """There is no value."""
    pay_out(request, payout, seats, reason)
    request.stop()
    request.change(state=RequestState.FAILED, outcome=why, answered=request.host.clock)
    request.host.emit("request.failed", request.id, request.requester, why)
    _end(request)


def finish(request: RequestContext) -> None:
    """Nothing changes any more."""
    request.stop()
    request.change(state=RequestState.FINAL)
    request.host.emit("request.final", request.id, request.requester)
    _end(request)


# --- ends ----------------------------------------------------------------------------------------------------------------------


def close_seats(request: RequestContext) -> None:
    """LC-PRE-21: the seats of rounds 1 and 2 are no longer open."""
    model = request.model
    model.change(open_seats=model.standing.open_seats - len(request.first_seats))


def _end(request: RequestContext) -> None:
    host, model, posting = request.host, request.model, request.posting
    request.change(ended=host.clock)
    seats = request.first_seats
    _keep_seats(request)
    if seats:
        now = model.standing
        model.change(running=now.running - 1, unfinal_seats=now.unfinal_seats - len(seats))
    for _, account in seats:
        retiring.unpin(model, account)
    for policy in posting.terms.policy:
        policies.let_go(host, policy)
    host.delete(records.live_key(request.id))
    host.delete(records.open_key(request.id))
    totals, entry = store.totals(host), EndedRequest(request.id, host.clock)
    if request.record.rounds:
        store.count(host, ended=ENDS.append(host, totals.ended, entry))
    else:
        store.count(host, unseated=UNSEATED.append(host, totals.unseated, entry))
    model.wake()
    retiring.close(model)


def _keep_seats(request: RequestContext) -> None:
    """What became of each seat stays with the result; the seats themselves, with answers of thousands of bytes, do not."""
    host, kept = request.host, []
    for drawn in request.record.rounds:
        for account in drawn.seats:
            found = request.seat(drawn.round, account)
            kept.append(SeatResult(account, drawn.round, found.answer[0].code if found.answer else 0, found.paid))
            host.delete(records.seat_key(request.id, drawn.round, account))
    if kept:
        known = request.result or PredictionResult(request.record.outcome, 0, [], [], 0, [], [])
        host.put(records.result_key(request.id), replace(known, seats=kept))


# --- leaving -------------------------------------------------------------------------------------------------------------------


def drop_results(host: Host) -> None:
    """LC-PRE-46: each posting drops two: what ended without seats in an earlier block, then what is older than `pred_keep`."""
    keep = host.params_of(PredictionParams).pred_keep
    for _ in range(DROPPED):
        now = store.totals(host)
        unseated, ended = host.get(UNSEATED.key(now.unseated_left), EndedRequest), host.get(ENDS.key(now.left), EndedRequest)
        if unseated is not None and unseated.at < host.clock:
            host.delete(UNSEATED.key(now.unseated_left))
            store.count(host, unseated_left=now.unseated_left + 1)
            _drop(RequestContext(host, unseated.request))
        elif ended is not None and ended.at + keep <= host.clock:
            host.delete(ENDS.key(now.left))
            store.count(host, left=now.left + 1)
            _drop(RequestContext(host, ended.request))
        else:
            return


def _drop(request: RequestContext) -> None:
    host, model, posting, now = request.host, request.model, request.posting, request.record
    _forget(request)
    model.change(kept=model.standing.kept - 1)
    for key in (records.terms_key, records.request_key, records.result_key):
        host.delete(key(request.id))
    host.delete(REQUESTS.key(posting.number))
    host.emit("request.left", request.id, now.state, now.ended)
    retiring.close(model)


def _forget(request: RequestContext) -> None:
    """LC-PRE-46: a counter goes with the last result that it counts."""
    host, posting = request.host, request.posting
    key = records.content_key(posting.terms.model, posting.terms.cid)
    asked = must(host.get(key, AskedContent), "count of its content", request.id)
    if asked.kept > 1:
        host.put(key, AskedContent(asked.asked, asked.kept - 1))
    else:
        host.delete(key)
    key = records.asker_key(posting.terms.model, posting.root)
    kept = must(host.get(key, AskedBy), "count of its root", request.id).kept - 1
    if kept:
        host.put(key, AskedBy(kept))
    else:
        host.delete(key)


# --- giving back ---------------------------------------------------------------------------------------------------------------


def give_back(request: RequestContext) -> None:
    """LC-PRE-54: what a request holds goes back to whom it came from, and nobody is judged."""
    host, now = request.host, request.record
    if now.state in records.ENDED:
        return
    bond, charge = records.bond_escrow(request.id), records.charge_escrow(request.id)
    if now.appellant:
        host.pay(bond, now.appellant, host.escrowed(bond), "bond.back", request.id)
    host.pay(charge, request.requester, host.escrowed(charge), "request.rest", request.id)
    if now.state == RequestState.WAITING:
        leave_waiting(request)
    elif not now.outcome:
        close_seats(request)
    request.stop()
    request.change(state=RequestState.FINAL if now.outcome else RequestState.FAILED)
    host.emit("request.given_back", request.id, request.requester)
    _end(request)
