"""Appeals, judges, verdicts, slashing (LC-PRE-35 to LC-PRE-42)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from tests.conformance import membership
from tests.conformance import prediction_rules as rules
from tests.conformance.checks import check, step
from tests.conformance.judging import cd
from tests.conformance.keys import sha
from tests.conformance.ledger import burn, escrowed, lock, pay
from tests.conformance.prediction_ends import NAMES, decide, finish, put_result, result_of
from tests.conformance.prediction_models import BY_DEPOSIT, retire, the_sender_is_active, what_is_locked_is_free
from tests.conformance.prediction_rounds import begin_round, opened, silent_of, the_deadline_has_not_passed
from tests.conformance.prediction_state import (
    AGREED,
    APPEAL,
    CONTRACT,
    OPEN,
    OVERTURNED,
    UPHELD,
    VOID,
    WEAK,
    Params,
    Work,
)

VERDICTS = {rules.VOID: VOID, rules.UPHELD: UPHELD, rules.OVERTURNED: OVERTURNED}


@check("LC-PRE-36", 424)
def the_answer_can_be_appealed(work: Work) -> bool:
    return work.request.state in (AGREED, WEAK)


@check("LC-PRE-36", 434)
def a_private_request_is_appealed_by_who_asked(work: Work, sender: bytes) -> bool:
    return not work.private or sender == work.requester


@check("LC-PRE-36", 434)
def the_first_half_is_of_who_asked(work: Work, sender: bytes) -> bool:
    return sender == work.requester or work.s.clock >= work.request.answered + work.p.appeal // 2


@check("LC-PRE-36", 416)
def rows_named_are_few(rows: list[int]) -> bool:
    return len(rows) <= 8


@check("LC-PRE-36", 416)
def rows_named_ascend(rows: list[int]) -> bool:
    return all(a < b for a, b in pairwise(rows))


@check("LC-PRE-36", 416)
def rows_named_are_rows_of_the_request(rows: list[int], many: int) -> bool:
    return all(row < many for row in rows)


@check("LC-PRE-36", 435)
def enough_can_judge(work: Work, judges: int) -> bool:
    return judges >= _least(work)


def _least(work: Work) -> int:
    """Three, and so many that with all others of the draw they are more than the fewest who agree on a row."""
    return max(3, 2 * result_of(work).agree - work.request.opened + 1)


def judges(work: Work, appellant: bytes) -> list[bytes]:
    """LC-PRE-35"""
    program, seated = work.model.program, {account for _, account in work.seated}
    eval_s = work.model.terms.start_s + cd(16 * work.model.terms.row_ms, 1_000)
    needed = [program.arch, program.cpus_milli, program.mem_mb, program.image[4], program.size, eval_s]
    barred = {work.requester, work.model.owner, appellant} | seated
    found = [who for who in membership.able(work.s, needed, work.asked.posted) if who not in barred]
    return [who for who in found if not work.private or membership.member_of(work.s, who).box_key]


def appeal_answer(work: Work, sender: bytes, rows: list[int]) -> None:
    """LC-PRE-36"""
    the_answer_can_be_appealed(work)
    the_deadline_has_not_passed(work)
    the_sender_is_active(work.s, sender)
    a_private_request_is_appealed_by_who_asked(work, sender)
    the_first_half_is_of_who_asked(work, sender)
    rows_named_are_few(rows)
    rows_named_ascend(rows)
    rows_named_are_rows_of_the_request(rows, work.terms.rows)
    able = judges(work, sender)
    enough_can_judge(work, len(able))
    bond = work.u * min(rules.MOST_JUDGES, len(able))
    what_is_locked_is_free(work.s, sender, bond)
    lock(work.s, sender, work.id + b"pA", bond, "bond.appealed", work.id)
    work.enter_draw(APPEAL, appellant=sender, named=rows)
    work.noted("request.appealed", sender, bond, work.request.draw_height)


def bond_of(work: Work) -> int:
    return escrowed(work.s, work.id + b"pA")


def draw_judges(work: Work) -> None:
    """LC-PRE-36"""
    s, able = work.s, judges(work, work.request.appellant)
    many = min(rules.MOST_JUDGES, bond_of(work) // work.u, len(able))
    if many < _least(work):
        _give_back_bond(work)
        work.set(appeal=VOID)
        work.noted("appeal.ended", VOID, 0, 0)
        finish(work)
        return
    pay(s, work.id + b"pA", work.request.appellant, bond_of(work) - many * work.u, "bond.more", work.id)
    work.set(rows=_rows(work))
    begin_round(work, 3, able, many)


def _rows(work: Work) -> list[int]:
    """LC-PRE-57"""

    def ticket(what: bytes) -> bytes:
        return sha(work.s.beacon + work.id + b"\x03" + what)

    def by_lot(rows: Iterable[int]) -> list[int]:
        return sorted(rows, key=lambda row: ticket(row.to_bytes(2, "big")))

    many, rows = rules.appeal_rows(work.terms.rows), list(work.request.named)
    values, tol = result_of(work).values, work.model.terms.tol
    old = [(v[0], v[1]) if v[2] else None for v in values]
    voters, answers = _first_seats(work)
    said = sorted(zip(voters, answers, strict=True), key=lambda one: ticket(one[0][1]))
    queues = [by_lot(rules.disputed(answer, old, tol)) for _, answer in said]
    while len(rows) < many and any(row not in rows for queue in queues for row in queue):
        for queue in queues:
            new = [row for row in queue if row not in rows]
            rows += new[:1]
    rows += by_lot(row for row in range(work.terms.rows) if row not in rows)
    return sorted(rows[:many])


def keys_never_came(work: Work) -> None:
    """LC-PRE-22"""
    work.noted("appeal.no_keys")
    burn(work.s, work.id + b"pA", bond_of(work), "bond.lost", work.id)
    finish(work)


@step("LC-PRE-37")
def a_silent_judge_is_struck(work: Work, account: bytes) -> None:
    appellant = work.request.appellant
    membership.strike(work.s, account, appellant, "appeal.silent", work.id)
    membership.record_draw(work.s, account, appellant, True, True)


def answers_are_due(work: Work) -> None:
    """LC-PRE-23, 37, of r = 3."""
    for account in silent_of(work, 3):
        work.noted("answer.silent", 3, account)
        a_silent_judge_is_struck(work, account)
    if work.request.committed < 2:
        judge(work)
        return
    work.enter(OPEN, work.p.open_votes)
    work.noted("request.open", 3, work.request.deadline)


def openings_are_due(work: Work) -> None:
    for account in work.round(3).seats:
        seat = work.the_seat(3, account)
        if seat.commitment and not seat.answer:
            work.noted("answer.silent", 3, account)
            a_silent_judge_is_struck(work, account)
    judge(work)


# --- verdicts: LC-PRE-38 to LC-PRE-42 -------------------------------------------------------------------------------------------


def judge(work: Work) -> None:
    s, tol = work.s, work.model.terms.tol
    voters, answers = opened(work)
    rows, c = work.request.rows, len(work.round(3).seats)
    before = result_of(work)
    old = [(v[0], v[1]) if v[2] else None for v in (before.values[row] for row in rows)]
    found = rules.tally(answers, c, 2, 1, len(rows), tol)
    ruled = rules.verdict(found, answers, c, _first(work), tol)
    outcome = VERDICTS[ruled.outcome]
    if len(answers) < 2:
        outcome = VOID
    if outcome != VOID:
        for at, (_, account) in enumerate(voters):
            membership.record_draw(s, account, work.request.appellant, at not in ruled.side, False)
    side = [voters[at][1] for at in ruled.side] if outcome != VOID else []
    guilty: list[bytes] = []
    many = True
    if outcome == VOID:
        _void(work, voters, answers)
    elif outcome == UPHELD:
        _pay_votes(work, side, work.u)
        burn(s, work.id + b"pA", bond_of(work), "bond.lost", work.id)
    else:
        repeated = sum(rules.repeats(answer, old, ruled.changed, tol) for answer in answers)
        wrong = _wrong(work, ruled) if rules.slashes(c, len(side), repeated) else []
        guilty = [account for account in wrong if work.model.stake_of(account) and not work.is_banned(account)]
        many = rules.deposit_answers(work.request.wanted, len(wrong))
        if not (guilty and many) and work.request.appellant == work.requester:
            _pay_votes(work, side, work.p.fee)
    _give_back_bond(work)
    if guilty:
        _slash(work, found, guilty, side, many)
    work.set(appeal=outcome)
    if outcome != VOID:
        kept = [(row, v) for at, (row, v) in enumerate(zip(rows, found.rows, strict=False)) if at not in ruled.kept]
        changed = [[row, v.cls, v.score, len(v.support)] for row, v in kept if v is not None]
        put_result(work, before._replace(changed=changed, appealed=NAMES[found.outcome]))
        if outcome == OVERTURNED:
            decide(work, _values(before.values, changed, ruled.by_code))
    work.noted("appeal.ended", outcome, len(side), 0 if ruled.by_code else len(ruled.changed))
    finish(work)


def _give_back_bond(work: Work) -> None:
    pay(work.s, work.id + b"pA", work.request.appellant, bond_of(work), "bond.back", work.id)


def _values(old: list[list[int]], changed: list[list[int]], by_code: bool) -> list[list[int]]:
    if by_code:
        return [[0, 0, 0] for _ in old]
    new = {row: value for row, *value in changed}
    return [new.get(row, value) for row, value in enumerate(old)]


def _pay_votes(work: Work, to: list[bytes], fee: int) -> None:
    each = min(fee, bond_of(work) // len(to)) if to else 0
    for account in to:
        pay(work.s, work.id + b"pA", account, each, "vote", work.id)
        work.set_seat(3, account, paid=work.the_seat(3, account).paid + each)


def _void(work: Work, voters: list[tuple[int, bytes]], answers: list[rules.Answer]) -> None:
    """LC-PRE-39"""
    if work.request.appellant == work.requester or rules.withheld(answers):
        _pay_votes(work, [account for _, account in voters], work.p.fee)


def _first_seats(work: Work) -> tuple[list[tuple[int, bytes]], list[rules.Answer]]:
    """What r = 1 and 2 opened, in the order of the commitments."""
    found = []
    for round_, account in work.seated:
        seat = work.the_seat(round_, account)
        if seat.answer:
            found.append((seat.place, (round_, account), rules.Answer(*seat.answer[0])))
    found.sort()
    return [who for _, who, _ in found], [answer for _, _, answer in found]


def _first(work: Work) -> rules.First:
    """What was said of the rows of the appeal before."""
    _, answers, found = _old_tally(work)
    return rules.First(work.request.rows, [found.rows[row] for row in work.request.rows], answers)


def _old_tally(work: Work) -> tuple[list[tuple[int, bytes]], list[rules.Answer], rules.Tally]:
    voters, answers = _first_seats(work)
    found = rules.tally(answers, work.request.wanted, work.q, work.terms.agree, work.terms.rows, work.model.terms.tol)
    return voters, answers, found


def _wrong(work: Work, ruled: rules.Verdict) -> list[bytes]:
    voters, _, before = _old_tally(work)
    if ruled.by_code:
        places = before.payees
    else:
        rows = [before.rows[work.request.rows[at]] for at in ruled.changed]
        places = [at for at in before.payees if any(row is not None and at in row.support for row in rows)]
    return [voters[at][1] for at in places]


def _slash(work: Work, found: rules.Tally, guilty: list[bytes], side: list[bytes], many: bool) -> None:
    """LC-PRE-42"""
    s, model, pot = work.s, work.model, work.id + b"pS"
    deposit = escrowed(s, model.id + b"pM")
    lost = rules.slashed([model.stake_of(account) for account in guilty], deposit)
    if not many:
        lost = [work.fine(account) for account in guilty]
    for account, amount in zip(guilty, lost, strict=True):
        _into_the_pot(work, account, amount)
        model.noted("server.slashed", account, amount)
        membership.strike(s, account, work.requester, "overturned", work.id)
    burn(s, model.id + b"pM", sum(lost) if many else 0, "model.deposit.slashed", model.id)
    late = _unpaid(work, found)
    each, reward, _ = rules.shared_pot(escrowed(s, pot), work.u if many else 0, len(side), work.share, len(late))
    for account in side if each else ():
        pay(s, pot, account, each, "vote", work.id)
        work.set_seat(3, account, paid=work.the_seat(3, account).paid + each)
    for round_, account in late:
        pay(s, pot, account, reward, "answer.right", work.id)
        work.set_seat(round_, account, paid=work.the_seat(round_, account).paid + reward)
    burn(s, pot, escrowed(s, pot), "slashed.pot", work.id)
    full = Params(*s.at(CONTRACT, model.record.registered)).deposit
    if 2 * escrowed(s, model.id + b"pM") < full:
        retire(model, BY_DEPOSIT)


def _into_the_pot(work: Work, account: bytes, amount: int) -> None:
    s, source, pot = work.s, work.model.stake(account), work.id + b"pS"
    if not amount:
        return
    left, held = escrowed(s, source) - amount, escrowed(s, pot) + amount
    s.put(b"e/" + pot, [held])
    if left:
        s.put(b"e/" + source, [left])
    else:
        s.drop(b"e/" + source)
    s.moved("stake.slashed", source, pot, amount, work.id)


def _unpaid(work: Work, found: rules.Tally) -> list[tuple[int, bytes]]:
    """Who was not paid and had said what the judges say."""
    voters, answers, before = _old_tally(work)
    late = [at for at in range(len(voters)) if at not in before.payees]
    return [voters[at] for at in late if _said_so(work, found, answers[at])]


def _said_so(work: Work, found: rules.Tally, answer: rules.Answer) -> bool:
    if not found.payees:
        return rules.NAMED.get(answer.code) == found.outcome
    if answer.code != rules.OK:
        return False
    for row, value in zip(work.request.rows, found.rows, strict=True):
        if value is not None:
            cls, score = answer.cell(row)
            if cls != value.cls or not rules.is_near(score, value.score, work.model.terms.tol):
                return False
    return True
