"""Target: what a model writes to the rows of a request."""

from __future__ import annotations

from learningchain.sandbox.answers import MAX_CHECK, MAX_SCORE, AnswerForm, AnswerReader, BadAnswer, parse_answer
from tests.fuzz.targets import Target, check

FORMS = (None, AnswerForm(rows=1), AnswerForm(rows=3), AnswerForm(rows=2, classes=2), AnswerForm(rows=256, classes=65_536))


def answer_file(data: bytes) -> None:
    """The first byte says what was asked. In one piece and in small ones: the same."""
    if not data:
        return
    form, raw = FORMS[data[0] % len(FORMS)], data[1:]
    whole, pieces = _read(form, [raw]), _read(form, [raw[at : at + 7] for at in range(0, len(raw), 7)])
    check(whole == pieces, "depends on how it arrives")
    answer = parse_answer(raw, form)
    check(all(abs(score) <= MAX_SCORE for score in answer.scores), "a score out of bounds")
    check(-MAX_CHECK - 1 <= answer.check <= MAX_CHECK, "a check out of bounds")
    check(len(answer.classes) in (0, len(answer.scores)), "a class for some of the rows")
    if form is not None:
        check(len(answer.scores) == form.rows and bool(answer.classes) == bool(form.classes), "another answer than was asked for")
        check(all(number < form.classes for number in answer.classes), "a class that there is not")


def _read(form: AnswerForm | None, pieces: list[bytes]) -> object:
    reader = AnswerReader(form)
    try:
        for piece in pieces:
            reader.take(piece)
        return reader.finish()
    except BadAnswer as bad:
        check(str(bad).isascii() and str(bad).isprintable() and len(str(bad)) < 300, "an error that cannot be shown")
        return bad.line, bad.why


EXAMPLES = {
    "answer-file": lambda: [
        b"\x001 0.5\n0 -2\ncheck 0.25\n",
        b"\x010.5\ncheck -9223372036.854775808\n",
        b"\x02-1\n0\n123456789.123456789012345678\ncheck 3\n",
        b"\x031 0.5\n0 0.5\ncheck 1\n",
        b"\x031 " + bytes(60) + b"\n0 0.5\ncheck 1\n",
        b"\x04" + b"".join(b"%d %d.5\n" % (n * 256, n) for n in range(256)) + b"check 32768\n",
    ],
}
TARGETS = {"answer-file": Target(answer_file, (BadAnswer,), 20_000)}
