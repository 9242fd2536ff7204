"""Who gets what of X (LC-PRE-30 to LC-PRE-33), decisions (44) and blinding (47), worked by hand."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.prediction import blinding, payouts
from learningchain.chain.contracts.prediction.decisions import Decision, DecisionRule, RowDecision, decide
from learningchain.chain.contracts.prediction.formulas import MAX_SCORE, Amounts
from learningchain.chain.contracts.prediction.payouts import Payout
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, RowValue, is_withheld, tally
from learningchain.chain.errors import BrokenInvariant

AMOUNTS = Amounts(5, 2, 1_003, 7, 1, 0)
"""X = 1,003 + 14 + 51."""


def said(*scores: int, check: int = 0) -> Answer:
    return Answer(AnswerCode.OK, [], list(scores), check)


def code(one: AnswerCode) -> Answer:
    return Answer(one, [], [], 0)


def total(one: Payout) -> int:
    return len(one.paid) * one.each + one.royalty + one.burned + one.rest


def test_values_are_paid_by_the_row_and_the_rest_goes_back() -> None:
    votes = [said(0, 0), said(0, 0), said(0, 0), said(0, 500), said(0, 900)]
    found = tally(votes, rows=2, tol=1, c=5, q=2, m=2)
    assert payouts.of_tally(found, votes, AMOUNTS, False) == Payout((0, 1, 2), 200, 14, 51, 403)
    half = [said(0, 0), said(0, 100), said(0, 200)]
    assert payouts.of_tally(tally(half, rows=2, tol=1, c=3, q=2, m=2), half, AMOUNTS, True) == Payout((0, 1, 2), 100, 7, 51, 710)


@pytest.mark.parametrize(
    ("votes", "c", "paid", "burned"),
    [
        ([code(AnswerCode.BAD_INPUT)] * 4 + [said(0, 0)], 5, (0, 1, 2, 3), 51),
        ([code(AnswerCode.OVERRUN)] * 3, 3, (0, 1, 2), 51),
        ([said(0, 0), said(90, 90), code(AnswerCode.FAULT)], 3, (0, 1), 51),
        ([code(AnswerCode.ABSTAIN), code(AnswerCode.ABSTAIN), said(0, 0)], 3, (2,), 51),
        ([code(AnswerCode.FAULT)] * 3, 3, (), 0),
    ],
)
def test_without_values_an_honest_word_is_a_quarter(votes: list[Answer], c: int, paid: tuple[int, ...], burned: int) -> None:
    found = payouts.of_tally(tally(votes, rows=2, tol=1, c=c, q=2, m=2), votes, AMOUNTS, False)
    assert (found.paid, found.burned, found.royalty) == (paid, burned, 0)
    assert found.each == (50 if paid else 0) and total(found) == AMOUNTS.locked


@pytest.mark.parametrize(
    ("letters", "c", "paid"),
    [
        ("NNNOO", 5, (3, 4)),
        ("KKOKK", 5, (2,)),
        ("NNO", 3, (2,)),
        ("ANOAO", 5, (2, 4)),
        ("NNNNN", 5, ()),
        ("NNOOO", 5, ()),
        ("AAANO", 5, ()),
    ],
)
def test_answers_that_were_shown_to_some_alone_cost_their_price(letters: str, c: int, paid: tuple[int, ...]) -> None:
    """LC-PRE-55: they stand open on the ledger: for a quarter nobody would ask for less than all."""
    codes = {"N": AnswerCode.NO_DATA, "K": AnswerCode.BAD_KEY, "A": AnswerCode.ABSTAIN}
    votes = [said(0, 0) if one == "O" else code(codes[one]) for one in letters]
    found = payouts.of_tally(tally(votes, rows=2, tol=1, c=c, q=2, m=2), votes, AMOUNTS, False)
    assert total(found) == AMOUNTS.locked
    assert is_withheld([vote.code for vote in votes]) == (letters != "NNOOO" and "AAA" not in letters)
    if paid:
        assert (found.paid, found.each, found.royalty, found.burned) == (paid, 200, 14, 51)
    else:
        assert (found.each, found.royalty) == {"NNOOO": (200, 14)}.get(letters, (50, 0))


@pytest.mark.parametrize(
    ("letters", "c", "fined"),
    [
        ("OOOOW", 5, (4,)),
        ("OOOWW", 5, ()),
        ("OOOOI", 5, (4,)),
        ("OOOOF", 5, (4,)),
        ("OOOOA", 5, ()),
        ("OOOON", 5, ()),
        ("IIIIO", 5, (4,)),
        ("IIIIF", 5, (4,)),
        ("IIIIR", 5, ()),
        ("FFFFO", 5, ()),
        ("OOW", 3, ()),
        ("O", 1, ()),
    ],
)
def test_a_quorum_knows_better_of_answers_not_of_troubles(letters: str, c: int, fined: tuple[int, ...]) -> None:
    codes = {
        "I": AnswerCode.BAD_INPUT,
        "F": AnswerCode.FAULT,
        "A": AnswerCode.ABSTAIN,
        "N": AnswerCode.NO_DATA,
        "R": AnswerCode.OVERRUN,
    }
    votes = [said(0 if one == "O" else 900) if one in "OW" else code(codes[one]) for one in letters]
    assert payouts.fined(tally(votes, rows=1, tol=1, c=c, q=1 if c == 1 else 2, m=1), votes, c) == fined


def test_a_payout_of_more_than_x_is_a_broken_invariant() -> None:
    with pytest.raises(BrokenInvariant):
        payouts.no_keys(AMOUNTS, 6)


# --- decisions -----------------------------------------------------------------------------------------------------------------

RULE = DecisionRule(True, 100, [(-MAX_SCORE, 50), (90, 80)], 3, 2)


def decided(rule: DecisionRule, *values: RowValue | None, private: bool = False, asked: int = 1) -> list[RowDecision]:
    return decide(rule, values, c=5, tol=3, private=private, asked=asked)


def value(score: int, support: int = 5) -> RowValue:
    return RowValue(0, score, tuple(range(support)))


@pytest.mark.parametrize(
    ("score", "decision", "rate", "borderline"),
    [
        (89, Decision.ACCEPT, 50, False),
        (90, Decision.ACCEPT, 80, False),
        (94, Decision.ACCEPT, 80, True),
        (100, Decision.ACCEPT, 80, True),
        (101, Decision.DECLINE, 0, True),
        (107, Decision.DECLINE, 0, False),
    ],
)
def test_a_row_is_accepted_below_the_threshold_at_its_rate(score: int, decision: Decision, rate: int, borderline: bool) -> None:
    assert decided(RULE, value(score)) == [(decision, rate, borderline)]


def test_a_policy_s_rates_ascend_from_the_least_score() -> None:
    assert RULE.is_sane
    for junk in (
        RULE._replace(rates=[]),
        RULE._replace(rates=[(0, 1)]),
        RULE._replace(rates=[(-MAX_SCORE, 1), (-MAX_SCORE, 2)]),
        RULE._replace(rates=[(-MAX_SCORE, 1_000_001)]),
        RULE._replace(rates=[(-MAX_SCORE, 1), *((i, 1) for i in range(32))]),
        RULE._replace(rates=[(-MAX_SCORE, 1), (MAX_SCORE + 1, 1)]),
        RULE._replace(threshold=MAX_SCORE + 1),
        RULE._replace(least=0),
        RULE._replace(least=16),
        RULE._replace(most=-1),
    ):
        assert not junk.is_sane


# --- blinding ------------------------------------------------------------------------------------------------------------------


def test_offsets_differ_by_request_row_and_column_and_keep_scores_in_their_range() -> None:
    told = {
        blinding.offset(b"k" * 32, one, row, column) for one in (b"a" * 32, b"b" * 32) for row in (0, 1) for column in (0, 1, 2)
    }
    assert len(told) == 12 and all(0 <= one < 2**59 for one in told)
    assert 2**59 + blinding.MAX_PLAIN < MAX_SCORE
    assert 2**59 + 256 * blinding.MAX_PLAIN < 2**63


def test_a_blinded_tally_is_that_of_the_plain_answers() -> None:
    key, request, rows = b"k" * 32, b"r" * 32, [0, 3]
    plain = [Answer(AnswerCode.OK, [a, 1], [s, -s], s) for a, s in ((0, 5), (0, 9), (2, 5), (0, 7), (1, 800))]
    hidden = [blinding.blind(one, key, request, rows, 3) for one in plain]
    assert [blinding.unblind(one, key, request, rows, 3) for one in hidden] == plain
    open_, closed = (tally(votes, rows=2, tol=2, c=5, q=2, m=2) for votes in (plain, hidden))
    assert (open_.outcome, open_.side, open_.agree) == (closed.outcome, closed.side, closed.agree)
    for row, one, other in zip(rows, open_.values, closed.values, strict=True):
        assert one is not None and other is not None and one.support == other.support
        assert blinding.plain_value(other.predicted, other.score, key, request, row, 3) == (one.predicted, one.score)


def test_what_an_offset_would_take_out_of_range_is_not_blinded_and_codes_stay_as_they_are() -> None:
    with pytest.raises(blinding.CannotBlind, match="scores of a private request"):
        blinding.blind(said(blinding.MAX_PLAIN + 1), b"k", b"r", [0], 0)
    with pytest.raises(blinding.CannotBlind):
        blinding.blind(said(0, check=blinding.MAX_PLAIN + 1), b"k", b"r", [0], 0)
    assert blinding.blind(code(AnswerCode.FAULT), b"k", b"r", [0], 0) == code(AnswerCode.FAULT)
    assert blinding.unblind(code(AnswerCode.FAULT), b"k", b"r", [0], 0) == code(AnswerCode.FAULT)
    with pytest.raises(ValueError, match="a row is"):
        blinding.offset(b"k", b"r", 256, 0)
