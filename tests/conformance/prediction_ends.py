"""Outcomes, money, records of servers and models, ends, and what leaves (LC-PRE-5, 12, 15, 30 to 34, 44, 46)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.conformance import membership
from tests.conformance import prediction_rules as rules
from tests.conformance.checks import part, register, step
from tests.conformance.ledger import State, burn, credit, escrowed, pay
from tests.conformance.ledger import count as count_supply
from tests.conformance.prediction_models import BY_RECORD, LAST_SEATS, PolicyTerms, go, name_policy, retire, settle_retired
from tests.conformance.prediction_state import (
    AGREED,
    BAD_INPUT,
    BAD_KEY,
    CANCELLED,
    ENDED,
    FAILED,
    FINAL,
    IS_AGREED,
    IS_WEAK,
    LIVE,
    MODEL_FAULT,
    NO_AGREEMENT,
    NO_DATA,
    NO_KEYS,
    OPEN,
    TOO_FEW,
    TOO_HEAVY,
    WAITING,
    WEAK,
    Policy,
    Result,
    Work,
    count,
    number,
    params,
    totals,
)

NAMES = {
    "AGREED": IS_AGREED,
    "WEAK": IS_WEAK,
    "TOO_FEW": TOO_FEW,
    "NO_AGREEMENT": NO_AGREEMENT,
    "BAD_INPUT": BAD_INPUT,
    "NO_DATA": NO_DATA,
    "BAD_KEY": BAD_KEY,
    "MODEL_FAULT": MODEL_FAULT,
    "TOO_HEAVY": TOO_HEAVY,
}
DECISIONS = {rules.REFER: 1, rules.ACCEPT: 2, rules.DECLINE: 3}
MAX_INT = 2**63 - 1
SERVED, MOST_BAD, TALLIES = 32, 8, 10
RESTS = register("LC-PRE-34: who is silent too often rests")
CONTRADICTED = register("LC-PRE-34: out by what a quorum contradicted")
LAST_ENTRY = register("LC-PRE-34: of a requester's root the last entry alone")
FIVE_SEATS = register("LC-PRE-12: tallies of five seats count")
LAST_TALLY = register("LC-PRE-12: of a requester's root one tally")
EVICTORS = register("LC-PRE-18: who evicted another burns its fee")
SEATED = register("LC-PRE-32: what had seats is kept, and costs F")
BEFORE_OPEN = register("LC-PRE-32: too few before OPEN burn F")


# --- records of servers: LC-PRE-33, 34 ------------------------------------------------------------------------------------------


@step("LC-PRE-33")
def who_was_wrong_or_silent_is_fined(work: Work, account: bytes) -> None:
    if work.is_banned(account):
        return
    amount = work.fine(account)
    burn(work.s, work.model.stake(account), amount, "stake.fined", work.id)
    if amount:
        work.model.noted("server.fined", account, amount)


def remember(work: Work, account: bytes, bad: bool, wrong: bool = False) -> None:
    """LC-PRE-34: of a requester's root the last entry alone. Who is out already is not put out again."""
    server = work.model.server(account)
    assert server is not None
    kept = [entry for entry in server.record if entry[0] != work.root or not part(LAST_ENTRY)]
    record = [*kept, [work.root, bad, wrong]][-SERVED:]
    many = sum(is_wrong for *_, is_wrong in record)
    contradicted = many >= 3 and 2 * many > len(record) and part(CONTRADICTED)
    goes = (sum(is_bad for _, is_bad, _ in record) > MOST_BAD or contradicted) and not server.out
    work.model.change_server(account, record=[] if goes else record, out=server.out or goes)
    if goes:
        work.model.noted("server.out", account)
        who_is_out_is_struck(work, account)


@step("LC-PRE-34")
def who_is_out_is_struck(work: Work, account: bytes) -> None:
    membership.strike(work.s, account, work.requester, "out", work.id)


@step("LC-PRE-34")
def three_times_silent_is_asleep(work: Work, account: bytes) -> None:
    server = work.model.server(account)
    if server is None:
        return
    rests = server.silent.bit_count() > 6 and part(RESTS)
    if rests:
        work.model.change_server(account, since=work.s.clock + 3_600_000)
    if server.awake and (rests or server.silent % 8 == 7):
        work.model.change_server(account, awake=False)
        work.model.noted("server.asleep", account)


def silence(work: Work, account: bytes) -> None:
    """LC-PRE-23, 24, 34: of a seat of r = 1 or 2."""
    who_was_wrong_or_silent_is_fined(work, account)
    server = work.model.server(account)
    if server is None or work.is_banned(account):
        return
    work.model.change_server(account, silent=(2 * server.silent + 1) & LAST_SEATS)
    three_times_silent_is_asleep(work, account)
    remember(work, account, True)


def remember_tally(work: Work, outcome: int) -> None:
    """LC-PRE-12"""
    if work.request.wanted < 5 and part(FIVE_SEATS):
        return
    now = work.model.standing
    kept = [entry for entry in now.tallies if entry[0] != work.root or not part(LAST_TALLY)]
    tallies = [*kept, [work.root, outcome in (NO_AGREEMENT, MODEL_FAULT)]][-TALLIES:]
    work.model.set(tallies=tallies)
    if now.state == LIVE and sum(bad for _, bad in tallies) >= 6:
        retire(work.model, BY_RECORD)


# --- money: LC-PRE-30 to LC-PRE-32 ----------------------------------------------------------------------------------------------


def pay_seat(work: Work, round_: int, account: bytes, amount: int, reason: str) -> None:
    pay(work.s, work.id + b"pX", account, amount, reason, work.id)
    work.set_seat(round_, account, paid=work.the_seat(round_, account).paid + amount)


def mint(work: Work, payees: list[bytes]) -> None:
    """LC-PRE-5: one after the other; nothing where the supply is at its limit."""
    s, p = work.s, params(work.s)
    epoch = s.clock // p.epoch
    known = s.get(b"pe/") or [0, 0]
    before = minted = known[1] if known[0] == epoch else 0
    amounts = []
    for account in payees:
        amount = rules.subsidy(p.sub, work.burned, work.n, p.epoch_sub, minted)
        amounts.append(0 if work.is_banned(account) else amount)
        minted += amounts[-1]
    if minted > before and s.get(b"gs/")[0] + minted - before <= MAX_INT:
        payees_get_their_subsidies(work, payees, amounts)
        s.put(b"pe/", [epoch, minted])


@step("LC-PRE-5")
def payees_get_their_subsidies(work: Work, payees: list[bytes], amounts: list[int]) -> None:
    for account, amount in zip(payees, amounts, strict=True):
        if amount:
            count_supply(work.s, amount, 0)
            credit(work.s, account, amount, "subsidy", b"", work.id)


def close_charge(work: Work, amount: int) -> None:
    """So much burns; the rest goes back."""
    burn(work.s, work.id + b"pX", amount, "request.fee", work.id)
    pay(work.s, work.id + b"pX", work.requester, escrowed(work.s, work.id + b"pX"), "request.rest", work.id)


def pay_royalty(work: Work, valued: int) -> None:
    s, amount = work.s, work.asked.royalty * valued
    if not work.model.terms.shares:
        pay(s, work.id + b"pX", work.model.owner, amount, "royalty", work.id)
    elif amount:
        _hold_royalty(work, amount)


def _hold_royalty(work: Work, amount: int) -> None:
    s, source, target = work.s, work.id + b"pX", work.model.id + b"pR"
    left, held = escrowed(s, source) - amount, escrowed(s, target) + amount
    s.put(b"e/" + target, [held])
    if left:
        s.put(b"e/" + source, [left])
    else:
        s.drop(b"e/" + source)
    s.moved("royalty.kept", source, target, amount, work.id)


# --- outcomes -------------------------------------------------------------------------------------------------------------------


def release_open_seats(work: Work) -> None:
    """LC-PRE-21: open until the tally or the failure."""
    work.model.add(open_seats=-len(work.seated))


BURNING = (CANCELLED, NO_KEYS, BAD_INPUT, NO_DATA, BAD_KEY, TOO_HEAVY)


def fail(work: Work, outcome: int, paid: Sequence[tuple[int, bytes]] = (), share: int = 0, reason: str = "") -> None:
    """FAILED, at any time before a tally with values."""
    for round_, account in paid:
        pay_seat(work, round_, account, share, reason)
    opened = outcome in (TOO_FEW, NO_AGREEMENT) and (work.request.state == OPEN or not part(BEFORE_OPEN))
    if outcome in BURNING or opened or (work.request.evictor and part(EVICTORS)):
        close_charge(work, work.burned)
    else:
        close_charge(work, work.kept if work.seated and part(SEATED) else 0)
    work.stop()
    work.set(state=FAILED, outcome=outcome, answered=work.s.clock)
    work.noted("request.failed", work.requester, outcome)
    end(work)


def seat_results(work: Work) -> list[list[Any]]:
    found = []
    for one in work.rounds():
        for account in one.seats:
            seat = work.the_seat(one.round, account)
            found.append([account, one.round, seat.answer[0][0] if seat.answer else 0, seat.paid])
    return found


def put_result(work: Work, result: Result) -> None:
    work.s.put(b"pv/" + work.id, result)


def result_of(work: Work) -> Result:
    return Result(*work.s.get(b"pv/" + work.id))


def tally_seats(work: Work, voters: list[tuple[int, bytes]], answers: list[rules.Answer]) -> None:
    """LC-PRE-26 to LC-PRE-34: of r = 1 and 2."""
    c = work.request.wanted
    found = rules.tally(answers, c, work.q, work.terms.agree, work.terms.rows, work.model.terms.tol)
    outcome, side = NAMES[found.outcome], found.payees or found.said
    release_open_seats(work)
    wrong = rules.knows_better(answers, found, c)
    for at in wrong:
        who_was_wrong_or_silent_is_fined(work, voters[at][1])
    for at, (_, account) in enumerate(voters):
        if not work.is_banned(account):
            server = work.model.server(account)
            assert server is not None
            work.model.change_server(account, silent=(2 * server.silent) & LAST_SEATS)
            if side:
                remember(work, account, at not in side, at in wrong)
    values = [[0, 0, 0] if row is None else [row.cls, row.score, len(row.support)] for row in found.rows]
    put_result(work, Result(outcome, found.agree, values, [], 0, [], []))
    if outcome in (IS_AGREED, IS_WEAK):
        _answered(work, voters, found, outcome)
    else:
        quarter = [voters[at] for at in found.said] if outcome != MODEL_FAULT else []
        if outcome in (TOO_FEW, NO_AGREEMENT):
            quarter = [voters[at] for at, answer in enumerate(answers) if answer.code == rules.OK]
        shown = [voters[at] for at, answer in enumerate(answers) if answer.code == rules.OK]
        if shown and rules.withheld(answers):
            for voter in shown:
                pay_seat(work, *voter, work.share, "answer.shown")
            pay_royalty(work, work.terms.rows)
            fail(work, outcome)
        else:
            fail(work, outcome, quarter, work.share // 4, "answer.quarter")
    if not rules.withheld(answers):
        remember_tally(work, outcome)
    work.model.wake_pump()


def _answered(work: Work, voters: list[tuple[int, bytes]], found: rules.Tally, outcome: int) -> None:
    """LC-PRE-30"""
    each = work.tip * found.valued // (work.n * work.terms.rows)
    for at in found.payees:
        pay_seat(work, *voters[at], each, "answer.paid")
    pay_royalty(work, found.valued)
    close_charge(work, work.burned)
    mint(work, [voters[at][1] for at in found.payees])
    work.enter(AGREED if outcome == IS_AGREED else WEAK, work.p.appeal, outcome=outcome, answered=work.s.clock)
    work.noted("request.answered", work.requester, outcome, found.agree, found.valued, work.request.deadline)
    decide(work, result_of(work).values)


# --- decisions: LC-PRE-44 -------------------------------------------------------------------------------------------------------


def decide(work: Work, values: list[list[int]]) -> None:
    if not work.terms.policy:
        return
    terms = PolicyTerms(*Policy(*work.s.get(b"pp/" + work.terms.policy[0])).terms[1:])
    policy = rules.Policy(terms.below, terms.threshold, terms.rates, terms.least, terms.most)
    found = []
    for _, score, support in values:
        value = score if support else None
        given = (support, work.request.wanted, work.private, work.asked.asked, work.model.terms.tol)
        decided = rules.decide(policy, value, *given)
        found.append([DECISIONS[decided.decision], decided.rate, decided.borderline])
    put_result(work, result_of(work)._replace(decisions=found))
    said = [one[0] for one in found]
    work.noted("request.decided", *(said.count(DECISIONS[word]) for word in (rules.ACCEPT, rules.DECLINE, rules.REFER)))


# --- ends -----------------------------------------------------------------------------------------------------------------------


def finish(work: Work) -> None:
    """FINAL"""
    work.stop()
    work.set(state=FINAL)
    work.noted("request.final", work.requester)
    end(work)


def end(work: Work) -> None:
    """FAILED or FINAL: seats are released and pruned, the result stays."""
    s, seated = work.s, work.seated
    work.set(ended=s.clock)
    seats = seat_results(work)
    for account, round_, *_ in seats:
        s.drop(b"pa/" + work.id + bytes([round_]) + account)
    if seats:
        known = s.get(b"pv/" + work.id) or [work.request.outcome, 0, [], [], 0, [], []]
        put_result(work, Result(*known)._replace(seats=seats))
    if seated:
        work.model.add(unfinal_seats=-len(seated), running=-1)
    for _, account in seated:
        server = work.model.server(account)
        assert server is not None
        work.model.change_server(account, unfinal=server.unfinal - 1)
        go(work.model, account)
    for policy in work.terms.policy:
        name_policy(s, policy, -1)
    s.drop(b"pz/" + work.id)
    s.drop(b"py/" + work.id)
    now = totals(s)
    if seats:
        s.put(b"pf/" + number(now.ended), [work.id, s.clock])
        s.put(b"pt/", now._replace(ended=now.ended + 1))
    else:
        s.put(b"pd/" + number(now.unseated), [work.id, s.clock])
        s.put(b"pt/", now._replace(unseated=now.unseated + 1))
    work.model.wake_pump()
    settle_retired(work.model)


def give_back_request(work: Work) -> None:
    """LC-PRE-54: what it holds goes back to whom it came from, and nobody is judged."""
    s, now = work.s, work.request
    if now.state in ENDED:
        return
    if now.appellant:
        pay(s, work.id + b"pA", now.appellant, escrowed(s, work.id + b"pA"), "bond.back", work.id)
    pay(s, work.id + b"pX", work.requester, escrowed(s, work.id + b"pX"), "request.rest", work.id)
    if now.state == WAITING:
        leave_queue(work)
    elif not now.outcome:
        release_open_seats(work)
    work.stop()
    work.set(state=FINAL if now.outcome else FAILED)
    work.noted("request.given_back", work.requester)
    end(work)


def leave_queue(work: Work) -> None:
    work.s.drop(work.queue_key)
    work.model.add(waiting=-1)
    count(work.s, b"pw/" + work.model.id + work.requester, 0, -1)


def drop_old_results(s: State) -> None:
    """LC-PRE-46"""
    for _ in range(2):
        now, keep = totals(s), params(s).keep
        first, old = s.get(b"pd/" + number(now.unseated_left)), s.get(b"pf/" + number(now.left))
        if first is not None and first[1] < s.clock:
            s.drop(b"pd/" + number(now.unseated_left))
            s.put(b"pt/", now._replace(unseated_left=now.unseated_left + 1))
            _leave(Work(s, first[0]))
        elif old is not None and s.clock >= old[1] + keep:
            s.drop(b"pf/" + number(now.left))
            s.put(b"pt/", now._replace(left=now.left + 1))
            _leave(Work(s, old[0]))


def _leave(work: Work) -> None:
    s, model, now = work.s, work.model.id, work.request
    for key in (b"pr/" + work.id, b"pb/" + work.id, b"pv/" + work.id, b"pn/" + number(work.asked.number)):
        s.drop(key)
    key = b"pi/" + model + work.terms.cid
    asked, kept = s.get(key)
    if kept > 1:
        s.put(key, [asked, kept - 1])
    else:
        s.drop(key)
    count(s, b"pu/" + model + work.root, 0, -1)
    work.model.add(kept=-1)
    work.noted("request.left", now.state, now.ended)
    settle_retired(work.model)
