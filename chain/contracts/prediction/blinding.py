"""How the answers to a private request hide what they say, and still can be counted (LC-PRE-47).

Every seat adds the same offsets, which who has the request's key can take away again. Which answers are equal, how far they lie
apart and which one is the median is as before, so the ledger's tally is that of the plain answers. An offset is of one request,
row and column: two requests with one key do not show how their answers differ.
"""

from __future__ import annotations

import hmac

from learningchain.chain.contracts.prediction.formulas import MAX_ROWS
from learningchain.chain.contracts.prediction.tally import Answer

OFFSET_BITS = 59
MAX_PLAIN = 10**15
"""Of a plain score: with any offset it stays within the range of scores."""
CLASS, SCORE, CHECK = 0, 1, 2
"""Columns. The check's row is 0."""


class CannotBlind(ValueError):
    """A score that an offset would take out of its range: the seat abstains."""


def offset(key: bytes, request: bytes, row: int, column: int) -> int:
    """LC-PRE-47: o, at least 0. `row` is the row's number in the request, also where an appeal answers only some."""
    if not 0 <= row < MAX_ROWS:
        raise ValueError(f"a row is from 0 to {MAX_ROWS - 1}, not {row}")
    told = hmac.digest(key, request + row.to_bytes(2, "big") + bytes((column,)), "sha256")
    return int.from_bytes(told[:8], "big") >> (64 - OFFSET_BITS)


def blind(answer: Answer, key: bytes, request: bytes, rows: list[int], classes: int) -> Answer:
    """The answer with its offsets. `rows` are the numbers of its rows, `classes` the model's (0 of a NUMBER model).

    Raises `CannotBlind`. An answer that carries nothing stays as it is.
    """
    if not answer.scores:
        return answer
    if any(abs(score) > MAX_PLAIN for score in answer.scores) or abs(answer.check) > MAX_PLAIN * len(rows):
        raise CannotBlind(f"scores of a private request are within {MAX_PLAIN} (in units of 1e-9), their check within that a row")
    return _moved(answer, key, request, rows, classes, 1)


def unblind(answer: Answer, key: bytes, request: bytes, rows: list[int], classes: int) -> Answer:
    """The plain answer again, for who has the key."""
    return _moved(answer, key, request, rows, classes, -1) if answer.scores else answer


def _moved(answer: Answer, key: bytes, request: bytes, rows: list[int], classes: int, sign: int) -> Answer:
    return Answer(
        answer.code,
        [(one + sign * offset(key, request, row, CLASS)) % classes for one, row in zip(answer.classes, rows, strict=bool(classes))],
        [score + sign * offset(key, request, row, SCORE) for score, row in zip(answer.scores, rows, strict=True)],
        answer.check + sign * offset(key, request, 0, CHECK),
    )


def plain_value(predicted: int, score: int, key: bytes, request: bytes, row: int, classes: int) -> tuple[int, int]:
    """Class and score of a row's value, as the ledger has it, for who has the key."""
    if classes:
        predicted = (predicted - offset(key, request, row, CLASS)) % classes
    return predicted, score - offset(key, request, row, SCORE)
