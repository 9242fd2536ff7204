"""Tallies by hand (LC-PRE-25 to LC-PRE-29): what opened answers come to, ties, edges of near, payees."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.prediction import histories
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode, ModelKind, PredictionOutcome, Tally, fits, tally
from learningchain.chain.errors import BrokenInvariant

OK, BAD_INPUT, NO_DATA, BAD_KEY, FAULT, OVERRUN, ABSTAIN = AnswerCode
CODES = dict(zip("OINKFRA", AnswerCode, strict=True))


def said(*scores: int, check: int = 0, classes: tuple[int, ...] = ()) -> Answer:
    return Answer(OK, list(classes), list(scores), check)


def numbers(*scores: int) -> list[Answer]:
    return [said(score) for score in scores]


def coded(letters: str) -> list[Answer]:
    return [said(0) if letter == "O" else Answer(CODES[letter], [], [], 0) for letter in letters]


def of(votes: list[Answer], c: int | None = None, q: int = 2, m: int = 2, rows: int = 1, tol: int = 10) -> Tally:
    return tally(votes, rows=rows, tol=tol, c=len(votes) if c is None else c, q=q, m=m)


@pytest.mark.parametrize(
    ("scores", "support", "score"),
    [
        ((0, 0, 0, 0, 0), (0, 1, 2, 3, 4), 0),
        ((0, 20, 500, 500, 0), (0, 1, 4), 0),
        ((500, 500, 0, 0, 900), (0, 1), 500),
        ((0, 0, 500, 500, 900), (0, 1), 0),
        ((0, 100, 200, 300, 300), (3, 4), 300),
        ((-500, -500, 0, 0, 0), (2, 3, 4), 0),
        ((20, 0, 40, 90, 91), (0, 1, 2), 20),
        ((0, 20), (0, 1), 0),
        ((7,) * 15, tuple(range(15)), 7),
        # of two sets of three the one around place 1, though the other holds place 0
        ((20, 100, 0, 40, 110, 120), (0, 2, 3), 20),
        ((0, 100, 20, 40, 110, 120), (1, 4, 5), 110),
    ],
)
def test_the_largest_set_of_near_scores_is_the_support_around_the_earliest_of_equals(
    scores: tuple[int, ...], support: tuple[int, ...], score: int
) -> None:
    (value,) = of(numbers(*scores)).values
    assert value is not None and (value.score, value.support) == (score, support)


def test_a_check_that_differs_takes_a_vote_out_before_any_score_counts() -> None:
    found = of([said(7, check=10**6), said(7, check=10**6), said(0), said(0), said(1)])
    assert found.outcome == PredictionOutcome.AGREED and found.side == (2, 3, 4)


def test_checks_are_near_by_the_number_of_rows() -> None:
    votes = [said(0, 0, 0), said(0, 0, 0, check=60), said(0, 0, 0, check=61)]
    assert of(votes, rows=3).side == (0, 1, 2)
    votes[2] = said(0, 0, 0, check=-1)
    votes[0] = said(0, 0, 0, check=-61)
    assert of(votes, rows=3).side == (0, 2)


@pytest.mark.parametrize(
    ("letters", "c", "outcome", "side"),
    [
        ("OOO", 3, "AGREED", (0, 1, 2)),
        ("OOFF", 5, "AGREED", (0, 1)),
        ("OFFFF", 5, "MODEL_FAULT", (1, 2, 3, 4)),
        ("OFFF", 5, "NO_AGREEMENT", ()),
        ("IIII", 5, "BAD_INPUT", (0, 1, 2, 3)),
        ("NNN", 3, "NO_DATA", (0, 1, 2)),
        ("KKK", 3, "BAD_KEY", (0, 1, 2)),
        ("RRR", 3, "TOO_HEAVY", (0, 1, 2)),
        ("RRR", 5, "NO_AGREEMENT", ()),
        ("AAA", 3, "TOO_FEW", ()),
        ("AF", 3, "TOO_FEW", ()),
        ("FA", 3, "NO_AGREEMENT", ()),
        ("FAA", 3, "TOO_FEW", ()),
        ("", 3, "TOO_FEW", ()),
        ("OAA", 3, "TOO_FEW", ()),
        ("OA", 3, "NO_AGREEMENT", ()),
    ],
)
def test_a_code_carries_where_a_quorum_says_it_and_fewer_than_half_say_ok(
    letters: str, c: int, outcome: str, side: tuple[int, ...]
) -> None:
    found = of(coded(letters), c=c)
    assert (found.outcome.name, found.side) == (outcome, side)


@pytest.mark.parametrize("tried", [(numbers(0, 0), 1), (numbers(0), 64)])
def test_more_votes_than_seats_are_a_broken_invariant(tried: tuple[list[Answer], int]) -> None:
    with pytest.raises(BrokenInvariant):
        of(tried[0] * 65 if tried[1] > 63 else tried[0], c=tried[1])


def test_an_answer_fits_the_kind_the_classes_and_the_rows() -> None:
    assert fits(said(1, 2), ModelKind.NUMBER, 0, 2) and not fits(said(1, 2), ModelKind.NUMBER, 0, 3)
    assert fits(said(1, classes=(2,)), ModelKind.CLASS, 3, 1) and not fits(said(1, classes=(3,)), ModelKind.CLASS, 3, 1)
    assert not fits(said(1), ModelKind.CLASS, 3, 1) and not fits(said(1, classes=(0,)), ModelKind.NUMBER, 0, 1)
    assert fits(Answer(FAULT, [], [], 0), ModelKind.CLASS, 3, 1)
    unfit = [Answer(BAD_INPUT, [], [], row) for row in range(-1, 4)]
    assert [fits(one, ModelKind.NUMBER, 0, 2) for one in unfit] == [False, True, True, True, False]
    assert [one.unfit for one in unfit[1:4]] == [None, 0, 1] and said(1).unfit is None
    assert not fits(Answer(BAD_INPUT, [], [0], 1), ModelKind.NUMBER, 0, 2)
    for junk in (Answer(FAULT, [], [], 1), Answer(FAULT, [0], [], 0), Answer(FAULT, [], [0], 0)):
        assert not fits(junk, ModelKind.CLASS, 3, 1)


# --- what is remembered --------------------------------------------------------------------------------------------------------


def test_one_root_has_one_entry_and_the_oldest_goes() -> None:
    entries: list[histories.ServerEntry] = []
    for i in range(40):
        entries = histories.entered(entries, (bytes((i,)), False, False), 32)
    assert len(entries) == 32 and entries[0][0] == bytes((8,))
    entries = histories.entered(entries, (bytes((20,)), True, True), 32)
    assert len(entries) == 32 and entries[-1] == (bytes((20,)), True, True)


@pytest.mark.parametrize(
    ("good", "bad", "wrong", "out"),
    [(23, 9, 0, True), (24, 8, 0, False), (0, 8, 0, False), (0, 0, 2, False), (0, 0, 3, True), (2, 0, 3, True), (2, 1, 3, False)],
)
def test_many_bad_entries_put_a_server_out_and_few_that_a_quorum_contradicted(good: int, bad: int, wrong: int, out: bool) -> None:
    kinds = [(False, False)] * good + [(True, False)] * bad + [(True, True)] * wrong
    assert histories.is_out([(bytes((i,)), *kind) for i, kind in enumerate(kinds)]) is out


def test_of_the_last_32_seats_a_server_may_be_silent_in_six() -> None:
    silent = 0
    for _ in range(6):
        silent = histories.seat_ended(silent, True)
    assert (histories.silent_in_a_row(silent), histories.must_rest(silent)) == (6, False)
    for _ in range(26):
        silent = histories.seat_ended(silent, False)
    assert histories.must_rest(histories.seat_ended(silent, True)) is False, "the first of six is older than 32 seats"
    assert histories.must_rest(0b1111111) and histories.silent_in_a_row(0) == 0 and histories.silent_in_a_row(0b1011) == 2


def test_six_bad_of_ten_tallies_retire_a_model_and_small_committees_say_nothing() -> None:
    entries: list[tuple[bytes, bool]] = []
    for i in range(5):
        entries, retires = histories.model_entered(entries, bytes((i,)), PredictionOutcome.NO_AGREEMENT, 5)
        assert not retires
    assert histories.model_entered(entries, b"x", PredictionOutcome.MODEL_FAULT, 3) == (entries, False)
    assert histories.model_entered(entries, b"x", PredictionOutcome.TOO_FEW, 5)[1] is False
    assert histories.model_entered(entries, b"x", PredictionOutcome.MODEL_FAULT, 5)[1] is True
