"""Vectors of what models answer: files that are answers, and files that are none, files that name a row (LC-ANS)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from learningchain.sandbox.answers import MAX_ANSWER_BYTES, AnswerForm, BadAnswer, ParsedAnswer, RowRefused, parse_answer
from tests.vectors.kit import shown

CLASSES, NUMBERS, ONE = AnswerForm(rows=2, classes=3), AnswerForm(rows=2), AnswerForm(rows=1)
MOST = AnswerForm(rows=256, classes=65_536)
GOOD = (
    (CLASSES, b"0 1\n2 -0.5\ncheck 0.25\n"),
    (CLASSES, b"1 0.0000000001\n0 -0.0000000019\ncheck -0.0000000009\n"),
    (NUMBERS, b"-0\n0.1000000001\ncheck -0\n"),
    (NUMBERS, b"999999999.999999999999999999\n-999999999.999999999\ncheck 9999\n"),
    (ONE, b"0\ncheck 9223372036.854775807\n"),
    (ONE, b"0\ncheck 9223372036.854775806000000001\n"),
    (ONE, b"0\ncheck -9223372036.854775808999999999\n"),
    (ONE, b"0\ncheck 1000000000\n"),
    (MOST, b"65535 -123456789.123456789012345678\n" * 256 + b"check 1234567890.123456789012345678\n"),
)
NO_ROWS = (
    *(b"", b"0  1", b" 0 1", b"0 1 ", b"0\t1", b"0,1", b"0 1 1", b"1", b"0 ", b"0", b"0 1\r", b"0 1\0", b"\xef\xbb\xbf0 1"),
    *(b"00 1", b"01 1", b"+0 1", b"-0 1", b"0.0 1", b"a 1", b"3 1", b"100000 1", b"65536 1", b"9" * 50 + b" 1"),
    *("\u0661 1".encode(), "0 \u0661".encode(), "0 \uff11".encode(), "0 \u22121".encode(), b"\xb2 1", b"0 \xb2"),
    *(b"0 +1", b"0 .5", b"0 1.", b"0 01", b"0 1e5", b"0 nan", b"0 inf", b"0 1_0", b"0 0x1", b"0 --1", b"0 -", b"0 1\x0b"),
    *(b"0 1000000000", b"0 -1000000000", b"0 0.0000000000000000000", b"0 " + b"9" * 60, b"check 0", b"checks 0", b"check"),
)
NO_NUMBERS = (b"", b"0 1", b"1 ", b" 1", b"1000000000", b"0.1234567890123456789", b"nan", b"1\r")
NO_CHECKS = (
    *(b"", b"0", b"check", b"check ", b"check  0", b" check 0", b"check 0 ", b"check\t0", b"Check 0", b"check:0", b"check 0\r"),
    *(b"check 9223372036.854775808", b"check -9223372036.854775809", b"check 9223372036.8547758070000000001", b"check 9999999999"),
    *(b"check 10000000000", b"check 01", b"check +1", b"check 1e5", b"check nan", "check \u0661".encode(), b"0 1"),
    b"check 9223372036.854775807000000001",
)

UNFIT = ((CLASSES, b"unfit 0\n"), (CLASSES, b"unfit 1\n"), (ONE, b"unfit 0\n"), (MOST, b"unfit 255\n"))
NO_UNFIT = (
    *(
        b"unfit 2\n",
        b"unfit 0",
        b"unfit 0\n\n",
        b"unfit 0\nunfit 0\n",
        b"unfit 0\n1 1\n",
        b"unfit 0\ncheck 0\n",
        b"1 1\nunfit 0\n",
        b"0 1\n1 1\nunfit 1\n",
        b"0 1\n1 1\ncheck 0\nunfit 1\n",
        b"unfit \n",
        b"unfit\n",
    ),
    *(
        b"unfit 00\n",
        b"unfit 01\n",
        b"unfit +1\n",
        b"unfit -1\n",
        b"unfit -0\n",
        b"unfit 1.0\n",
        b"unfit 1 \n",
        b"unfit  1\n",
        b"unfit 1\r\n",
    ),
    *(
        b"Unfit 1\n",
        b" unfit 1\n",
        b"unfit\t1\n",
        "unfit \u0661\n".encode(),
        b"unfit " + b"9" * 60 + b"\n",
        b"unfit 1e0\n",
        b"unfits 1\n",
    ),
)


def answers() -> dict[str, Any]:
    return {
        "answers": [_good(form, raw) for form, raw in GOOD],
        "none": [_bad(rule, form, raw) for rule, form, raw in _wrong()],
        "unfit": [_unfit(form, raw) for form, raw in UNFIT],
        "no_row": [_bad("LC-ANS-8", CLASSES, raw) for raw in NO_UNFIT],
    }


def _wrong() -> Iterator[tuple[str, AnswerForm, bytes]]:
    for row in NO_ROWS:
        yield "LC-ANS-5", CLASSES, row + b"\n1 1\ncheck 0\n"
    for row in NO_NUMBERS:
        yield "LC-ANS-5", NUMBERS, b"1\n" + row + b"\ncheck 0\n"
    for check in NO_CHECKS:
        yield "LC-ANS-6", CLASSES, b"0 1\n1 1\n" + check + b"\n"
    for raw in (b"0 1\n1 1\ncheck 0", b"0 1\n1 1", b"", b"0 1\n1 1\ncheck 0\n0"):
        yield "LC-ANS-3", CLASSES, raw
    for raw in (b"\n", b"0 1\n", b"0 1\n1 1\n", b"0 1\ncheck 0\n", b"check 0\n", b"0 1\n1 1\n1 1\ncheck 0\n"):
        yield "LC-ANS-4", CLASSES, raw
    for raw in (b"0 1\n1 1\ncheck 0\n\n", b"0 1\n1 1\ncheck 0\ncheck 0\n"):
        yield "LC-ANS-4", CLASSES, raw
    yield "LC-ANS-3", CLASSES, b"0 1\n1 1\ncheck 0\n" + b"\n" * MAX_ANSWER_BYTES
    yield "LC-ANS-3", ONE, b"1\ncheck 1\n" + b"0" * MAX_ANSWER_BYTES


def _good(form: AnswerForm, raw: bytes) -> dict[str, Any]:
    answer = parse_answer(raw, form)
    return _asked("LC-ANS-5", form, raw) | {
        "classes": list(answer.classes),
        "scores": shown(list(answer.scores)),
        "check": shown(answer.check),
    }


def _bad(rule: str, form: AnswerForm, raw: bytes) -> dict[str, Any]:
    """Raises ValueError where it is an answer."""
    try:
        found: ParsedAnswer = parse_answer(raw, form)
    except RowRefused as refused:
        raise ValueError(f"{raw[:80]!r} names row {refused.row}") from None
    except BadAnswer:
        return _asked(rule, form, raw)
    raise ValueError(f"{raw[:80]!r} is an answer: {found}")


def _unfit(form: AnswerForm, raw: bytes) -> dict[str, Any]:
    try:
        parse_answer(raw, form)
    except RowRefused as refused:
        return _asked("LC-ANS-8", form, raw) | {"row": refused.row}
    raise ValueError(f"{raw[:80]!r} is an answer")


def _asked(rule: str, form: AnswerForm, raw: bytes) -> dict[str, Any]:
    packed: Any = raw.hex() if len(raw) < 1_000 else [[line.hex(), times] for line, times in _runs(raw)]
    return {"rule": rule, "rows": form.rows, "model_classes": form.classes, "file": packed}


def _runs(raw: bytes) -> list[tuple[bytes, int]]:
    """Lines, and how often each stands there in a row."""
    found: list[tuple[bytes, int]] = []
    for line in raw.splitlines(keepends=True):
        if found and found[-1][0] == line:
            found[-1] = line, found[-1][1] + 1
        else:
            found.append((line, 1))
    return [(line[:1], len(line)) if len(set(line)) == 1 and len(line) > 100 else (line, times) for line, times in found]
