"""An appeal: its judges are drawn, they answer again, and their tally says what stands. LC-PRE-36 to 42."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from learningchain.chain.contracts.prediction import ends, formulas, messages, pool, records, retiring, seating, settling, verdicts
from learningchain.chain.contracts.prediction.formulas import APPEAL_SEATS
from learningchain.chain.contracts.prediction.params import PredictionParams
from learningchain.chain.contracts.prediction.records import ChangedValue, PredictionResult, RetireReason
from learningchain.chain.contracts.prediction.store import RequestContext, must
from learningchain.chain.contracts.prediction.tally import RowValue
from learningchain.chain.contracts.prediction.verdicts import AppealCase, AppealMoney, AppealPayout, AppealRuling, AppealVerdict
from learningchain.chain.host import STANDING, VERIFIERS

Seat = tuple[int, bytes]


def draw_judges(request: RequestContext) -> None:
    """LC-PRE-36: of those that there are now; what they do not cost goes back."""
    host, now = request.host, request.record
    bond, fee = records.bond_escrow(request.id), vote_fee(request)
    among, held = pool.judges(request, now.appellant), host.escrowed(bond)
    c = min(APPEAL_SEATS, len(among), held // fee)
    if c < least_judges(request):
        host.pay(bond, now.appellant, held, "bond.back", request.id)
        request.change(appeal=AppealVerdict.VOID)
        host.emit("appeal.ended", request.id, AppealVerdict.VOID, 0, 0)
        ends.finish(request)
        return
    host.pay(bond, now.appellant, held - c * fee, "bond.more", request.id)
    request.change(rows=_rows(request))
    seating.seat(request, 3, pool.draw(request, 3, among, c), len(among))


def _rows(request: RequestContext) -> list[int]:
    """LC-PRE-57"""
    beacon, tol = request.host.beacon, request.model.record.terms.tol

    def ticket(of: bytes) -> bytes:
        return messages.ticket(beacon, request.id, 3, of)

    result = must(request.result, "result", request.id)
    values = [RowValue(one.label, one.score, ()) if one.support else None for one in result.values]
    votes = settling.votes_of(request, request.first_seats)
    by_ticket = sorted(votes, key=lambda vote: ticket(vote[0][1]))
    disputed = [verdicts.disputes(values, answer, tol) for _, answer in by_ticket]
    return verdicts.rows_of_appeal(request.terms.rows, request.record.named, disputed, lambda row: ticket(row.to_bytes(2, "big")))


def least_judges(request: RequestContext) -> int:
    """LC-PRE-36: with fewer an appeal cannot win. Of a request whose answer nobody judges yet."""
    return formulas.least_judges(request.record.opened, must(request.result, "result", request.id).agree)


def vote_fee(request: RequestContext) -> int:
    """u (LC-PRE-1)."""
    return request.amounts.vote_fee(request.params.pred_fee)


# --- the verdict ---------------------------------------------------------------------------------------------------------------


def judge(request: RequestContext) -> None:
    """LC-PRE-38"""
    old, votes = settling.votes_of(request, request.first_seats), settling.votes_of(request, request.judges)
    case = AppealCase(
        old=settling.tally_of(request, old),
        answers=[answer for _, answer in old],
        rows=request.record.rows,
        votes=[answer for _, answer in votes],
        seats=len(request.judges),
        drawn=request.record.wanted,
        tol=request.model.record.terms.tol,
    )
    ruling = verdicts.rule(case)
    seats, judges = [seat for seat, _ in old], [account for (_, account), _ in votes]
    if ruling.verdict != AppealVerdict.VOID:
        _record_draws(request, judges, ruling)
    _pay(request, ruling, judges, seats)
    request.change(appeal=ruling.verdict)
    if ruling.verdict != AppealVerdict.VOID:
        _keep(request, ruling)
    if ruling.verdict == AppealVerdict.OVERTURNED:
        settling.decide(request, verdicts.values_after(case, ruling))
    host, changed = request.host, len(ruling.changed)
    host.emit("appeal.ended", request.id, ruling.verdict, len(ruling.found.side), changed)
    ends.finish(request)


def _record_draws(request: RequestContext, judges: Sequence[bytes], ruling: AppealRuling) -> None:
    """LC-PRE-38: who voted otherwise than what holds did badly, for the appellant's root."""
    verifiers, appellant = request.host.service(VERIFIERS), request.record.appellant
    for place, account in enumerate(judges):
        verifiers.record_draw(account, appellant, bad=place not in ruling.found.side, silent=False)


def _keep(request: RequestContext, ruling: AppealRuling) -> None:
    """LC-PRE-40, 41: new values stand beside the old ones."""
    known = request.result or PredictionResult(request.record.outcome, 0, [], [], 0, [], [])
    new = [ChangedValue(row, one.predicted, one.score, len(one.support)) for row, one in sorted(ruling.new.items())]
    request.host.put(records.result_key(request.id), replace(known, changed=new, appealed=ruling.found.outcome))


# --- money ---------------------------------------------------------------------------------------------------------------------


def _pay(request: RequestContext, ruling: AppealRuling, judges: Sequence[bytes], seats: Sequence[Seat]) -> None:
    """LC-PRE-39 to 42"""
    host, model, appellant = request.host, request.model, request.record.appellant
    bond = records.bond_escrow(request.id)
    money = AppealMoney(
        bond=host.escrowed(bond),
        fee=vote_fee(request),
        least_fee=request.params.pred_fee,
        share=request.amounts.share,
        fine=request.amounts.most_fined,
        deposit=model.deposit,
        stakes=[0 if host.is_banned(account) else model.stake(account) for _, account in seats],
        own=appellant == request.requester,
    )
    payout = verdicts.payout(ruling, money, len(judges))
    for place in payout.paid:
        _pay_judge(request, bond, judges[place], payout.each)
    host.pay(bond, appellant, payout.back, "bond.back", request.id)
    host.burn(bond, payout.burned, "bond.lost", request.id)
    if payout.slashed:
        _slash(request, ruling, payout, judges, seats)


def _pay_judge(request: RequestContext, escrow: bytes, account: bytes, amount: int) -> None:
    request.host.pay(escrow, account, amount, "vote", request.id)
    request.change_seat(3, account, paid=request.seat(3, account).paid + amount)


def _slash(
    request: RequestContext, ruling: AppealRuling, payout: AppealPayout, judges: Sequence[bytes], seats: Sequence[Seat]
) -> None:
    """LC-PRE-42: the stakes lose, of many also the deposit; judges and who had said so first are paid of the stakes."""
    host, model, pot = request.host, request.model, records.slashed_escrow(request.id)
    for place, lost in payout.slashed.items():
        account = seats[place][1]
        host.shift(records.stake_escrow(model.id, account), pot, lost, "stake.slashed", request.id)
        host.emit("server.slashed", model.id, account, lost)
        host.service(STANDING).strike(account, request.requester, "overturned", request.id)
    host.burn(records.deposit_escrow(model.id), payout.deposit, "model.deposit.slashed", model.id)
    for place in ruling.found.side if payout.vote else ():
        _pay_judge(request, pot, judges[place], payout.vote)
    for place in ruling.unpaid:
        number, account = seats[place]
        host.pay(pot, account, payout.reward, "answer.right", request.id)
        request.change_seat(number, account, paid=request.seat(number, account).paid + payout.reward)
    host.burn(pot, payout.pot_burned, "slashed.pot", request.id)
    full = host.params_at(PredictionParams, model.record.registered).pred_deposit
    if verdicts.is_spent(model.deposit, full):
        retiring.retire(model, RetireReason.SLASHED)
