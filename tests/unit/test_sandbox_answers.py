"""`/lc/out/answer`: what a stranger's model may write, and what is said of everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learningchain.chain.types import parse_loss
from learningchain.sandbox import AnswerForm, AnswerOutcome, ParsedAnswer, RunStatus
from learningchain.sandbox.answers import MAX_ANSWER_BYTES, MAX_CHECK, AnswerReader, BadAnswer, parse_answer, request_json

CLASSES = AnswerForm(rows=2, classes=3)
NUMBERS = AnswerForm(rows=2)
BILLION = 10**9


# --- what is an answer ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "raw", "answer"),
    [
        (CLASSES, b"0 1\n2 -0.5\ncheck 0.25\n", ParsedAnswer((0, 2), (BILLION, -BILLION // 2), BILLION // 4)),
        (NUMBERS, b"-0\n0.0000000001\ncheck -0\n", ParsedAnswer((), (0, 1), 0)),
        (NUMBERS, b"-0.0000000001\n-1.0000000019\ncheck 1\n", ParsedAnswer((), (0, -BILLION - 1), BILLION)),
        (NUMBERS, b"999999999.999999999999999999\n-999999999.999999999\ncheck 0\n", ParsedAnswer((), (10**18, 1 - 10**18), 0)),
        (AnswerForm(rows=1), b"0\ncheck 9223372036.854775807\n", ParsedAnswer((), (0,), MAX_CHECK)),
        (AnswerForm(rows=1), b"0\ncheck -9223372036.854775808\n", ParsedAnswer((), (0,), -MAX_CHECK - 1)),
        (AnswerForm(rows=1), b"0\ncheck -9223372036.854775808999999999\n", ParsedAnswer((), (0,), -MAX_CHECK - 1)),
        (AnswerForm(rows=1, classes=65_536), b"65535 1\ncheck 1\n", ParsedAnswer((65_535,), (BILLION,), BILLION)),
    ],
)
def test_rows_in_their_order_and_the_check(form: AnswerForm, raw: bytes, answer: ParsedAnswer) -> None:
    assert parse_answer(raw, form) == answer


def test_the_longest_answer_fits() -> None:
    row = b"65535 -" + b"9" * 9 + b"." + b"0" * 18
    raw = (row + b"\n") * 256 + b"check -" + b"9" * 9 + b"." + b"9" * 18 + b"\n"
    assert len(parse_answer(raw, AnswerForm(rows=256, classes=65_536)).scores) == 256
    assert len(raw) < MAX_ANSWER_BYTES


@given(st.decimals(-999_999_999, 999_999_999, allow_nan=False, allow_infinity=False, places=18))
def test_scores_are_read_as_losses_are(value: object) -> None:
    text = f"{value:.18f}"  # type: ignore[str-format]
    [score] = parse_answer(f"{text}\ncheck 0\n".encode(), AnswerForm(rows=1)).scores
    assert score == parse_loss(text)


def test_without_a_form_the_first_line_says_what_the_others_are() -> None:
    assert parse_answer(b"70 1\n3 2\ncheck 0\n").classes == (70, 3)
    assert parse_answer(b"1\n2\n3\ncheck 0\n").scores == (BILLION, 2 * BILLION, 3 * BILLION)
    for raw in (b"1\n3 2\ncheck 0\n", b"3 1\n2\ncheck 0\n"):
        with pytest.raises(BadAnswer, match="line 2: "):
            parse_answer(raw)
    with pytest.raises(BadAnswer, match=r"line 257: '0' is one row too many; behind 256 rows stands the check"):
        parse_answer(b"0\n" * 257 + b"check 0\n")
    with pytest.raises(BadAnswer, match="stands behind 0 rows; at least one"):
        parse_answer(b"check 0\n")


@pytest.mark.parametrize(("rows", "classes"), [(0, 0), (257, 0), (1, 1), (1, 65_537), (1, -1)])
def test_no_model_has_such_a_form(rows: int, classes: int) -> None:
    with pytest.raises(ValueError, match="no answer has"):
        AnswerForm(rows=rows, classes=classes)


def test_every_machine_that_is_asked_has_the_same_question() -> None:
    """LC-ANS-1"""
    assert request_json(3, 2**64 - 1, 7) == b'{"v":1,"rows":3,"seed":18446744073709551615,"challenge":7}'


# --- what is none -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "line", "why"),
    [
        (b"", 1, "the check is missing"),
        (b"0 1\n", 2, "the check is missing"),
        (b"0 1\n1 1\n", 3, "the check is missing"),
        (b"0 1\n1 1\ncheck 0", 3, "it has no newline at its end"),
        (b"0 1\n1 1", 2, "it has no newline at its end"),
        (b"0 1\ncheck 0\n", 2, "stands behind 1 rows; 2 are asked for"),
        (b"check 0\n", 1, "stands behind 0 rows; 2 are asked for"),
        (b"0 1\n1 1\n1 1\ncheck 0\n", 3, "'1 1' is one row too many; behind 2 rows stands the check"),
        (b"0 1\n1 1\ncheck 0\n\n", 4, "nothing may stand behind the check; here is ''"),
        (b"0 1\n1 1\ncheck 0\ncheck 0\n", 4, "nothing may stand behind the check"),
        (b"0 1\n3 1\ncheck 0\n", 2, "there is no class 3; they go from 0 to 2"),
        (b"0 1\n99999 1\ncheck 0\n", 2, "there is no class 99999"),
        (b"0 1\n\ncheck 0\n", 2, "it is empty"),
        (b"\xef\xbb\xbf0 1\n1 1\ncheck 0\n", 1, "byte order mark"),
        (b"0 1\r\n1 1\ncheck 0\n", 1, "carriage return"),
        (b"0 1\n1 1\ncheck 0\r\n", 3, "is no check"),
        (b"0 1\n1 1\ncheck  0\n", 3, "is no check"),
        (b"0 1\n1 1\ncheck\n", 3, "is one row too many"),
        (b"0 1\n1 1\nCHECK 0\n", 3, "is one row too many"),
        (b"0 1\n1 1\ncheck 9223372036.854775808\n", 3, "is beyond 64 bits"),
        (b"0 1\n1 1\ncheck -9223372036.854775809\n", 3, "is beyond 64 bits"),
        (b"0 1\n1 1\ncheck 10000000000\n", 3, "is no check"),
        (b"0 1\n1 1\ncheck nan\n", 3, "is no check"),
        (b"0 1\nunfit 1\n", 2, "'unfit 1' is no row"),
        (b"0 1\n1 1\nunfit 1\n", 3, "is one row too many"),
        (b"0 1\n1 1\ncheck 0\nunfit 1\n", 4, "nothing may stand behind the check"),
        (b"0 1\n1 1\n" + b"\0" * 20_000, 3, "the file has more than 16,384 bytes here"),
        (b"0 1\n1 1\n" + b"9" * 17_000 + b"\ncheck 0\n", 3, "the file has more than 16,384 bytes here"),
        *(
            (line + b"\n1 1\ncheck 0\n", 1, "is no row")
            for line in (b"0  1", b" 0 1", b"0 1 ", b"0\t1", b"0,1", b"0 1 1", b"1", b"0 ")
        ),
        *((line + b"\n1 1\ncheck 0\n", 1, "is no row") for line in (b"00 1", b"+0 1", b"-0 1", b"100000 1", b"0. 1", b"a 1")),
        *((b"0 " + score + b"\n1 1\ncheck 0\n", 1, "is no row") for score in (b"+1", b".5", b"1.", b"01", b"1e5", b"nan", b"inf")),
        *(
            (b"0 " + score + b"\n1 1\ncheck 0\n", 1, "is no row")
            for score in (b"1_0", b"0x1", b"--1", b"-", b"1\0", b"\0", b"1\x0b")
        ),
        (b"0 1000000000\n1 1\ncheck 0\n", 1, "at most 9 digits before and 18 behind the point"),
        (b"0 0.0000000000000000000\n1 1\ncheck 0\n", 1, "at most 9 digits before and 18 behind the point"),
        ("0 \N{ARABIC-INDIC DIGIT ONE}\n1 1\ncheck 0\n".encode(), 1, "is no row"),
        ("\N{FULLWIDTH DIGIT ONE} 1\n1 1\ncheck 0\n".encode(), 1, "is no row"),
        ("0 \N{MINUS SIGN}1\n1 1\ncheck 0\n".encode(), 1, "is no row"),
        ("0 1\n1 1\ncheck \N{BENGALI DIGIT ONE}\n".encode(), 3, "is no check"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_the_first_line_that_is_wrong_decides(raw: bytes, line: int, why: str) -> None:
    with pytest.raises(BadAnswer, match=r".") as caught:
        parse_answer(raw, CLASSES)
    assert (caught.value.line, why in caught.value.why) == (line, True), caught.value
    assert str(caught.value).isascii() and str(caught.value).isprintable() and len(str(caught.value)) < 300


@given(st.data(), st.binary(max_size=200) | st.text("0123456789 .-check\n", max_size=80).map(str.encode))
def test_pieces_make_no_difference(data: st.DataObject, raw: bytes) -> None:
    def outcome(*pieces: bytes) -> object:
        reader = AnswerReader(CLASSES)
        try:
            for piece in pieces:
                reader.take(piece)
            return reader.finish()
        except BadAnswer as bad:
            return bad.line, bad.why

    at = data.draw(st.integers(0, len(raw)))
    assert outcome(raw) == outcome(raw[:at], b"", raw[at:])


def test_a_reader_keeps_no_more_than_an_answer_may_have() -> None:
    reader = AnswerReader(CLASSES)
    for _ in range(100):
        reader.take(b"x" * 10_000)
    assert len(reader._raw) == MAX_ANSWER_BYTES + 1


# --- what an end comes to ---------------------------------------------------------------------------------------------------------


def test_every_end_of_a_run_is_one_of_five_answers() -> None:
    """A status that is new is a FAULT here only after somebody has thought about it."""
    said = {
        AnswerOutcome.OK: {RunStatus.OK},
        AnswerOutcome.BAD_INPUT: {RunStatus.INPUT_REFUSED},
        AnswerOutcome.FAULT: {RunStatus.MODEL_INVALID, RunStatus.FAILED, RunStatus.BAD_RESULT},
        AnswerOutcome.OVERRUN: {RunStatus.OUT_OF_RESOURCES, RunStatus.TIMEOUT},
        AnswerOutcome.ABSTAIN: {RunStatus.UNSUPPORTED, RunStatus.CANCELLED, RunStatus.ENGINE_ERROR, RunStatus.NOT_STARTED},
    }
    assert {status: status.answer for status in RunStatus} == {status: end for end, of in said.items() for status in of}
