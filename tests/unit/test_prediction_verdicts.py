"""What an appeal comes to, by hand (LC-PRE-36, 38 to 42): who judges what, when values change, when stakes fall, who gets them."""

from __future__ import annotations

from typing import Any

import pytest

from learningchain.chain.contracts.prediction import formulas, verdicts
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, RowValue, tally
from learningchain.chain.contracts.prediction.verdicts import AppealCase, AppealMoney, AppealPayout, AppealRuling, AppealVerdict

VOID, UPHELD, OVERTURNED = AppealVerdict
OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN = AnswerCode
TOL = 10


def said(*scores: int) -> Answer:
    return Answer(OK, [], list(scores), 0)


def code(one: AnswerCode) -> Answer:
    return Answer(one, [], [], 0)


OLD = [said(900, 0), said(900, 0), said(900, 0), said(0, 0), code(BAD_INPUT)]
"""Three say 900 of row 0 and are paid, one says 0."""


def case(votes: list[Answer], rows: tuple[int, ...] = (0, 1), seats: int | None = None, old: list[Answer] = OLD) -> AppealCase:
    before = tally(old, rows=2, tol=TOL, c=5, q=2, m=2)
    return AppealCase(before, old, rows, votes, len(votes) if seats is None else seats, 5, TOL)


def money(**changes: Any) -> AppealMoney:
    base = AppealMoney(15_000, 1_000, 300, 500, 400, 9_000, (5_000, 2_000, 0, 7_000, 7_000), False)
    return base._replace(**changes)


def verdict(votes: list[Answer], seats: int | None = None) -> AppealRuling:
    return verdicts.rule(case(votes, seats=seats))


@pytest.mark.parametrize(
    ("votes", "seats", "expected"),
    [
        ([said(900, 0)] * 3, 3, UPHELD),
        ([said(860, 0)] * 3, 3, UPHELD),
        ([said(859, 0)] * 4, 4, OVERTURNED),
        ([said(0, 0)] * 3, 3, OVERTURNED),
        ([said(0, 0)] * 2, 4, VOID),
        ([said(0, 0)] * 3, 5, OVERTURNED),
        ([said(0, 0)], 3, VOID),
        ([], 3, VOID),
        ([code(BAD_KEY)] * 3, 3, UPHELD),
        ([code(BAD_INPUT)] * 4, 4, OVERTURNED),
        ([code(FAULT)] * 5, 5, OVERTURNED),
        ([code(NO_DATA)] * 3, 3, VOID),
        ([code(OVERRUN)] * 3, 3, VOID),
        ([code(ABSTAIN)] * 3, 3, VOID),
        ([said(0, 0), said(300, 300), said(600, 600)], 3, VOID),
        ([code(BAD_INPUT)] * 5, 8, VOID),
    ],
)
def test_the_judges_alone_say_what_is_so(votes: list[Answer], seats: int, expected: AppealVerdict) -> None:
    assert verdict(votes, seats).verdict == expected


ONE, TWO, THREE = said(0), said(500), said(1_000)


@pytest.mark.parametrize(
    ("first", "votes", "expected"),
    [
        ([ONE] * 5, [TWO] * 5, VOID),
        ([ONE] * 5, [TWO] * 6, OVERTURNED),
        ([ONE] * 5, [TWO] * 6 + [ONE], VOID),
        ([ONE] * 5, [TWO] * 6 + [THREE], OVERTURNED),
        ([ONE] * 3 + [TWO] * 2, [TWO] * 2, OVERTURNED),
        ([ONE] * 3 + [TWO] * 2, [TWO] * 2 + [ONE], VOID),
        ([ONE] * 3 + [TWO, THREE], [TWO] * 2, VOID),
        ([ONE] * 3 + [THREE] * 2, [TWO] * 3, VOID),
        ([ONE] * 5, [code(BAD_INPUT)] * 5, VOID),
        ([ONE] * 5, [code(BAD_INPUT)] * 6, OVERTURNED),
        ([ONE] * 3 + [code(BAD_INPUT)] * 2, [code(BAD_INPUT)] * 2, OVERTURNED),
        ([ONE] * 3 + [THREE] * 2, [code(BAD_INPUT)] * 5, VOID),
    ],
)
def test_a_value_falls_only_where_more_of_all_who_answered_say_another(
    first: list[Answer], votes: list[Answer], expected: AppealVerdict
) -> None:
    """LC-PRE-58: the draw and the judges, each counted once."""
    before = tally(first, rows=1, tol=TOL, c=5, q=2, m=2)
    assert verdicts.rule(AppealCase(before, first, (0,), votes, len(votes), 5, TOL)).verdict == expected


def test_of_rows_that_judges_value_otherwise_those_that_are_not_outweighed_stay() -> None:
    first = [said(0, 0, 0)] * 3 + [said(500, 0, 0)] * 2
    tried = AppealCase(tally(first, rows=3, tol=TOL, c=5, q=2, m=2), first, (0, 1, 2), [said(500, 500, 40)] * 3, 3, 5, TOL)
    found = verdicts.rule(tried)
    assert (found.verdict, found.changed) == (OVERTURNED, (0,))
    after = [value and (value.score, len(value.support)) for value in verdicts.values_after(tried, found)]
    assert after == [(500, 3), (0, 5), (40, 3)]


@pytest.mark.parametrize(
    ("opened", "agree", "least"), [(3, 3, 4), (5, 5, 6), (9, 9, 10), (5, 3, 3), (5, 4, 4), (9, 5, 3), (9, 7, 6), (1, 1, 3)]
)
def test_an_appeal_needs_as_many_judges_as_can_outweigh(opened: int, agree: int, least: int) -> None:
    """With all others of the draw they are more than those who agree."""
    assert formulas.least_judges(opened, agree) == least
    assert least + opened - agree > agree and (least == 3 or least - 1 + opened - agree <= agree)


def test_by_a_code_every_value_falls() -> None:
    tried = case([code(BAD_INPUT)] * 15)
    found = verdicts.rule(tried)
    assert verdicts.values_after(tried, found) == (None, None)
    assert found.slashable == (0, 1, 2) and found.unpaid == (4,)


# --- slashing ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "repeating", "others", "slashed"),
    [
        (15, 0, 0, True),
        (14, 0, 0, False),
        (14, 1, 0, True),
        (13, 2, 0, False),
        (14, 2, 0, False),
        (15, 2, 0, True),
        (11, 1, 3, True),
        (10, 1, 4, False),
    ],
)
def test_stakes_fall_where_fifteen_judges_leave_no_doubt(right: int, repeating: int, others: int, slashed: bool) -> None:
    """Fifteen seats at least, a quorum of them, and fewer than an eighth that say what the old answers said."""
    found = verdict([said(0, 0)] * right + [said(900, 0)] * repeating + [code(ABSTAIN)] * others)
    assert found.verdict == OVERTURNED
    assert found.slashable == ((0, 1, 2) if slashed else ())


def test_only_who_stood_behind_a_changed_row_is_slashed() -> None:
    rows = 16
    old = [said(*[900] + [0] * 15), said(*[900] + [0] * 15), said(*[900] + [0] * 15), said(*[0] * rows), said(*[0] * rows)]
    before = tally(old, rows=rows, tol=TOL, c=5, q=2, m=2)
    assert before.side == (0, 1, 2, 3, 4)
    ruling = verdicts.rule(AppealCase(before, old, tuple(range(rows)), [said(*[0] * rows)] * 15, 15, 5, TOL))
    assert ruling.changed == (0,) and ruling.slashable == (0, 1, 2) and ruling.unpaid == ()


# --- who gets what -------------------------------------------------------------------------------------------------------------


MANY = [said(900, 0)] * 4 + [said(0, 0)]


def of(votes: list[Answer], old: list[Answer] = OLD, **changes: Any) -> AppealPayout:
    found = verdicts.rule(case(votes, old=old))
    told = verdicts.payout(found, money(**changes), len(votes))
    bond = money(**changes).bond
    assert len(told.paid) * told.each + told.back + told.burned == bond
    pot = sum(told.slashed.values())
    side, unpaid = (len(found.found.side), len(found.unpaid)) if told.slashed else (0, 0)
    assert told.deposit == (pot if old == MANY else 0)
    assert told.vote * side + told.reward * unpaid + told.pot_burned == pot <= money(**changes).deposit
    return told


def test_an_appeal_in_vain_pays_the_judges_and_burns_the_rest_of_the_bond() -> None:
    assert of([said(900, 0)] * 14) == AppealPayout(tuple(range(14)), 1_000, 0, 1_000)
    assert of([said(900, 0)] * 14, bond=100) == AppealPayout(tuple(range(14)), 7, 0, 2)


def test_without_slashing_the_bond_goes_back_and_a_requester_pays_the_least_fee() -> None:
    assert of([said(0, 0)] * 3) == AppealPayout((), 0, 15_000, 0)
    assert of([said(0, 0)] * 3, own=True) == AppealPayout((0, 1, 2), 300, 14_100, 0)


def test_the_slashed_lose_their_part_of_the_deposit_and_it_goes_to_judges_then_to_the_unpaid() -> None:
    """Four of five seats lied; place 2 has no stake: three are left, and 3,000 is each one's part."""
    told = of([said(0, 0)] * 15, MANY)
    assert told.slashed == {0: 3_000, 1: 2_000, 3: 3_000}
    assert (told.vote, told.reward, told.pot_burned) == (533, 5, 0)
    assert (told.paid, told.back, told.burned) == ((), 15_000, 0)
    rich = of([said(0, 0)] * 15, MANY, fee=100)
    assert (rich.vote, rich.reward, rich.pot_burned) == (100, 500, 6_000)


def test_few_lose_what_they_were_paid_and_the_owner_nothing() -> None:
    """Three of five lied, two of them have a stake. Judges are paid as where nobody is slashed."""
    assert of([said(0, 0)] * 15) == AppealPayout((), 0, 15_000, 0, {0: 400, 1: 400}, 0, 500, 300, 0)
    assert of([said(0, 0)] * 15, own=True) == AppealPayout(tuple(range(15)), 300, 10_500, 0, {0: 400, 1: 400}, 0, 500, 300, 0)


# --- rows ----------------------------------------------------------------------------------------------------------------------


def test_named_rows_are_answered_and_sixteen_in_all() -> None:
    order = {row: bytes((255 - row,)) for row in range(256)}
    assert verdicts.rows_of_appeal(3, [1], [], order.__getitem__) == [0, 1, 2]
    assert verdicts.rows_of_appeal(256, [3, 7], [], order.__getitem__) == [3, 7, *range(242, 256)]


def test_of_what_each_answer_disputes_one_row_in_turns_is_answered_behind_the_named_ones() -> None:
    order = {row: bytes((row,)) for row in range(256)}
    named, many = list(range(100, 108)), list(range(200, 256))
    assert verdicts.rows_of_appeal(256, named, [many, [50], many], order.__getitem__) == [50, *named, *range(200, 207)]
    assert verdicts.rows_of_appeal(256, [50], [[50], [50, 51]], order.__getitem__) == [*range(14), 50, 51]
    assert len(verdicts.rows_of_appeal(256, [], [[row] for row in range(15)], order.__getitem__)) == 16


def test_a_row_is_disputed_by_an_answer_that_is_not_equal_to_its_value() -> None:
    values = (RowValue(0, 100, ()), None, RowValue(0, 100, ()))
    assert verdicts.disputes(values, Answer(AnswerCode.OK, [], [140, 9, 141], 0), 10) == [2]
    assert verdicts.disputes(values, Answer(AnswerCode.FAULT, [], [], 0), 10) == []
    assert verdicts.disputes(values, Answer(AnswerCode.BAD_INPUT, [], [], 0), 10) == []
    assert verdicts.disputes(values, Answer(AnswerCode.BAD_INPUT, [], [], 2), 10) == [1], "also one without a value"
    classes = (RowValue(1, 5, ()), RowValue(1, 5, ()))
    assert verdicts.disputes(classes, Answer(AnswerCode.OK, [2, 1], [5, 5], 0), 10) == [0]


def test_below_half_of_its_deposit_a_model_is_spent() -> None:
    assert [verdicts.is_spent(left, 101) for left in (50, 51)] == [True, False]
