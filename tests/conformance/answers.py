"""Answers of models, from `protocol_spec/answers.md` alone: the file."""

from __future__ import annotations

from tests.conformance.checks import Refused, check
from tests.conformance.texts import DIGITS, parse_loss

CHECK = "check "


@check("LC-ANS-3")
def every_line_of_an_answer_is_ended(rest: bytes) -> bool:
    return rest == b""


@check("LC-ANS-4")
def an_answer_has_so_many_lines(lines: int, rows: int) -> bool:
    return lines == rows + 1


@check("LC-ANS-5")
def a_class_is_a_plain_number(text: str) -> bool:
    return 1 <= len(text) <= 20 and set(text) <= DIGITS and (text == "0" or not text.startswith("0"))


@check("LC-ANS-5")
def there_is_such_a_class(number: int, classes: int) -> bool:
    return number < classes


@check("LC-ANS-6")
def a_check_says_so(text: str) -> bool:
    return text.startswith(CHECK)


@check("LC-ANS-6")
def the_whole_part_of_a_check_has_1_to_10_digits(whole: str) -> bool:
    return 1 <= len(whole) <= 10 and set(whole) <= DIGITS


@check("LC-ANS-6")
def the_whole_part_of_a_check_has_no_zero_before_it(whole: str) -> bool:
    return whole == "0" or not whole.startswith("0")


@check("LC-ANS-6")
def a_check_has_1_to_18_digits_behind_a_point(point: str, fraction: str) -> bool:
    return not point or (1 <= len(fraction) <= 18 and set(fraction) <= DIGITS)


@check("LC-ANS-6")
def a_check_has_64_bits(value: int) -> bool:
    return -(2**63) <= value < 2**63


@check("LC-ANS-8")
def the_row_that_does_not_fit_is_a_plain_number(text: str) -> bool:
    return 1 <= len(text) <= 20 and set(text) <= DIGITS and (text == "0" or not text.startswith("0"))


@check("LC-ANS-8")
def there_is_such_a_row(number: int, rows: int) -> bool:
    return number < rows


def read_unfit(raw: bytes, rows: int) -> int:
    """LC-ANS-8: the row that does not fit."""
    line, end, rest = raw.partition(b"\n")
    every_line_of_an_answer_is_ended(rest if end else raw)
    if line[:6] != b"unfit ":
        raise Refused("LC-ANS-8: it names no row")
    text = line[6:].decode("latin-1")
    the_row_that_does_not_fit_is_a_plain_number(text)
    number = int(text)
    there_is_such_a_row(number, rows)
    return number


def read_answer(raw: bytes, rows: int, classes: int) -> tuple[list[int], list[int], int]:
    """LC-ANS-3 to LC-ANS-6: classes, scores, check. That a file has at most 16,384 bytes is no check of its own: what LC-ANS-4 to
    LC-ANS-6 allow is shorter."""
    *lines, rest = raw.split(b"\n")
    every_line_of_an_answer_is_ended(rest)
    an_answer_has_so_many_lines(len(lines), rows)
    texts = [line.decode("latin-1") for line in lines]
    found = [_row(text, classes) for text in texts[:rows]]
    return [number for number, _ in found if classes], [score for _, score in found], _check(texts[rows])


def _row(text: str, classes: int) -> tuple[int, int]:
    if not classes:
        return 0, parse_loss(text)
    named, space, score = text.partition(" ")
    if not space:
        raise Refused("LC-ANS-5: a row names a class and a score")
    a_class_is_a_plain_number(named)
    number = int(named)
    there_is_such_a_class(number, classes)
    return number, parse_loss(score)


def _check(text: str) -> int:
    a_check_says_so(text)
    text = text[len(CHECK) :]
    sign = "-" if text.startswith("-") else ""
    whole, point, fraction = text[len(sign) :].partition(".")
    the_whole_part_of_a_check_has_1_to_10_digits(whole)
    the_whole_part_of_a_check_has_no_zero_before_it(whole)
    a_check_has_1_to_18_digits_behind_a_point(point, fraction)
    value = int(whole or "0") * 10**18 + int((fraction + "0" * 18)[:18])
    value = -(value // 10**9) if sign else -(-value // 10**9)
    a_check_has_64_bits(value)
    return value
