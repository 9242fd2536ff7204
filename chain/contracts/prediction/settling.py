"""The tally of a request: who is paid, who is fined, what is remembered of whom, what is decided. LC-PRE-5, 12, 26 to 34, 44."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import ends, formulas, histories, payouts, policies, records, retiring
from learningchain.chain.contracts.prediction.decisions import Decision
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.payouts import Payout
from learningchain.chain.contracts.prediction.records import (
    K_EPOCH,
    PredictionResult,
    RequestState,
    RetireReason,
    ServedEntry,
    ServerRecord,
    SubsidyEpoch,
    TallyEntry,
    ValueRecord,
)
from learningchain.chain.contracts.prediction.store import RequestContext, must
from learningchain.chain.contracts.prediction.tally import Answer, PredictionOutcome, RowValue, Tally, is_withheld, tally
from learningchain.chain.host import K_SUPPLY, STANDING, VERIFIERS, Supply
from learningchain.chain.params import MAX_INT

Seat = tuple[int, bytes]
STATES = {PredictionOutcome.AGREED: RequestState.AGREED, PredictionOutcome.WEAK: RequestState.WEAK}

# --- votes ---------------------------------------------------------------------------------------------------------------------


def votes_of(request: RequestContext, seats: Sequence[Seat]) -> list[tuple[Seat, Answer]]:
    """LC-PRE-26: what these seats opened, in the order of their commitments."""
    found = [(one, request.seat(*one)) for one in seats]
    found = sorted((pair for pair in found if pair[1].answer), key=lambda pair: pair[1].place)
    return [(one, seat.answer[0]) for one, seat in found]


def tally_of(request: RequestContext, votes: Sequence[tuple[Seat, Answer]]) -> Tally:
    """LC-PRE-26 to 29: of the first seats and their substitutes."""
    terms, amounts, tol = request.terms, request.amounts, request.model.record.terms.tol
    answers = [answer for _, answer in votes]
    c, q = request.record.wanted, amounts.least_agreeing
    return tally(answers, rows=terms.rows, tol=tol, c=c, q=q, m=terms.agree)


def settle(request: RequestContext) -> None:
    """All that comes of it at once."""
    model, now = request.model, request.record
    votes = votes_of(request, request.first_seats)
    seats, answers = [seat for seat, _ in votes], [answer for _, answer in votes]
    found = tally_of(request, votes)
    ends.close_seats(request)
    wrong = payouts.fined(found, answers, now.wanted)
    for place in wrong:
        fine(request, seats[place][1])
    _remember(request, found, [account for _, account in seats], wrong)
    payout = payouts.of_tally(found, answers, request.amounts, now.evictor)
    _keep(request, found)
    if found.holds:
        _answered(request, found, payout, seats)
    else:
        ends.fail(
            request, found.outcome, payout, seats, "answer.shown" if payout.each == request.amounts.share else "answer.quarter"
        )
    _tallied(request, found, answers)
    model.wake()


def _keep(request: RequestContext, found: Tally) -> None:
    result = PredictionResult(found.outcome, found.agree, [value_record(one) for one in found.values], [], 0, [], [])
    request.host.put(records.result_key(request.id), result)


def value_record(value: RowValue | None) -> ValueRecord:
    return ValueRecord(0, 0, 0) if value is None else ValueRecord(value.predicted, value.score, len(value.support))


def _answered(request: RequestContext, found: Tally, payout: Payout, seats: Sequence[Seat]) -> None:
    """LC-PRE-30"""
    host, appeal = request.host, request.params.pred_appeal
    ends.pay_out(request, payout, seats, "answer.paid")
    _mint(request, [seats[place][1] for place in payout.paid])
    request.change(outcome=found.outcome, answered=host.clock)
    request.move_to(STATES[found.outcome], appeal)
    deadline = request.record.deadline
    host.emit("request.answered", request.id, request.requester, found.outcome, found.agree, found.valued, deadline)
    decide(request, found.values)


def _mint(request: RequestContext, payees: Sequence[bytes]) -> None:
    """LC-PRE-5: nothing where the supply is at its limit."""
    host, params = request.host, request.host.params_of(PredictionParams)
    number = formulas.epoch(host.clock, params.pred_epoch)
    known = host.get(K_EPOCH, SubsidyEpoch)
    minted = known.minted if known is not None and known.number == number else 0
    banned = [host.is_banned(one) for one in payees]
    amounts = formulas.subsidies(params.pred_sub, params.pred_epoch_sub, minted, request.amounts, banned)
    supply = host.get(K_SUPPLY, Supply)
    if not sum(amounts) or supply is None or supply.minted + sum(amounts) > MAX_INT:
        return
    for account, amount in zip(payees, amounts, strict=True):
        host.mint(account, amount, "subsidy", request.id)
    host.put(K_EPOCH, SubsidyEpoch(number, minted + sum(amounts)))


def decide(request: RequestContext, values: Sequence[RowValue | None]) -> None:
    """LC-PRE-44: with the values, and again when they are overturned."""
    host, result = request.host, request.result
    for policy in request.terms.policy:
        found = policies.decide(request, policy, values)
        if result is not None:
            host.put(records.result_key(request.id), replace(result, decisions=found))
        counts = [
            sum(one.decision == decision for one in found) for decision in (Decision.ACCEPT, Decision.DECLINE, Decision.REFER)
        ]
        host.emit("request.decided", request.id, *counts)


# --- what is remembered ----------------------------------------------------------------------------------------------------------


def _remember(request: RequestContext, found: Tally, accounts: Sequence[bytes], wrong: Sequence[int]) -> None:
    """LC-PRE-34: who opened was not silent; where somebody won, each has an entry. A quorum contradicted the `wrong` places."""
    model, conduct = request.model, histories.conduct(found, len(accounts))
    for place, account in enumerate(accounts):
        if request.host.is_banned(account):
            continue
        known = must(model.server(account), "server that has a seat", model.id)
        known = model.change_server(account, silent=histories.seat_ended(known.silent, False))
        if conduct is not None:
            _enter(request, account, known, conduct[place], place in wrong)


def _enter(request: RequestContext, account: bytes, known: ServerRecord, bad: bool, wrong: bool = False) -> None:
    """LC-PRE-34: one more entry of the requester's root. Who is out already is not put out again."""
    host, model = request.host, request.model
    entries = [(one.root, one.bad, one.wrong) for one in known.record]
    found = histories.entered(entries, (request.posting.root, bad, wrong), histories.SERVER_ENTRIES)
    out = not known.out and histories.is_out(found)
    record = [] if out else [ServedEntry(*entry) for entry in found]
    model.change_server(account, record=record, out=known.out or out)
    if out:
        host.emit("server.out", model.id, account)
        host.service(STANDING).strike(account, request.requester, "out", request.id)


def _tallied(request: RequestContext, found: Tally, answers: Sequence[Answer]) -> None:
    """LC-PRE-12: what a requester withholds says nothing of the model."""
    if is_withheld([answer.code for answer in answers]):
        return
    model = request.model
    entries = [(one.root, one.bad) for one in model.standing.tallies]
    made, retires = histories.model_entered(entries, request.posting.root, found.outcome, request.record.wanted)
    model.change(tallies=[TallyEntry(*entry) for entry in made])
    if retires:
        retiring.retire(model, RetireReason.RECORD)


# --- faults --------------------------------------------------------------------------------------------------------------------


def silence(request: RequestContext, number: int, account: bytes) -> None:
    """LC-PRE-23, 24, 37: a seat that did not commit, or did not open."""
    host, model = request.host, request.model
    host.emit("answer.silent", request.id, number, account)
    if number == 3:
        appellant = request.record.appellant
        host.service(STANDING).strike(account, appellant, "appeal.silent", request.id)
        host.service(VERIFIERS).record_draw(account, appellant, bad=True, silent=True)
        return
    fine(request, account)
    known = model.server(account)
    if known is None or host.is_banned(account):
        return
    silent = histories.seat_ended(known.silent, True)
    rests = histories.must_rest(silent)
    awake = known.awake and not rests and silent & histories.ASLEEP != histories.ASLEEP
    since = host.clock + histories.REST if rests else known.since
    if known.awake and not awake:
        host.emit("server.asleep", model.id, account)
    _enter(request, account, model.change_server(account, silent=silent, awake=awake, since=since), True)


def fine(request: RequestContext, account: bytes) -> None:
    """PEN, burned. A banned seat is not fined."""
    host, model = request.host, request.model
    if host.is_banned(account):
        return
    amount = request.amounts.fine(model.stake(account))
    host.burn(records.stake_escrow(model.id, account), amount, "stake.fined", request.id)
    if amount:
        host.emit("server.fined", model.id, account, amount)
