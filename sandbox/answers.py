"""Reads `/lc/out/answer`: what a stranger's model answers to the rows of one request. Pure, in pieces, without a float.

    3 0.25          one line for each row: a class and its score, of a model without classes the score alone
    0 -1.5
    check 12.75     the last line

    unfit 3         instead of all this: the row, counted from 0, that the model cannot answer

What a program may write, and what becomes of everything else: LC-ANS-3 to LC-ANS-6 and LC-ANS-8 (protocol_spec/answers.md). The
first line that is wrong decides, so the error does not depend on the pieces in which the file arrives.
"""

from __future__ import annotations

import re

import msgspec

from learningchain.sandbox.results import BadResult, InputRefused

MAX_ANSWER_BYTES = 16_384
"""LC-ANS-3: largest file in bytes: 256 rows of 36 bytes and the check are 9,253."""
MAX_ROWS = 256
MAX_CLASSES = 65_536
MAX_SCORE = 10**18
"""LC-ANS-5: largest score in units of 1e-9 and, with a minus, the least."""
MAX_CHECK = 2**63 - 1
"""LC-ANS-6: largest check in units of 1e-9; the least is one below its negative."""
_DECIMAL = re.compile(rb"-?(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,18}))?")
_PLAIN = re.compile(rb"0|[1-9][0-9]{0,4}")
_CHECK, _UNFIT = b"check ", b"unfit "
_SHOWN = 24
"""Bytes of a bad line that its error shows: each takes four characters at most, so that every text stays below 300."""


class AnswerForm(msgspec.Struct, frozen=True):
    """What an answer must look like. Raises ValueError for a form that no model has."""

    rows: int
    classes: int = 0
    """0: the model answers with a number, and names no class."""

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MAX_ROWS or not (self.classes == 0 or 2 <= self.classes <= MAX_CLASSES):
            raise ValueError(f"no answer has {self.rows} rows and {self.classes} classes")


class ParsedAnswer(msgspec.Struct, frozen=True):
    """What a model answered. Scores and check in units of 1e-9."""

    classes: tuple[int, ...]
    """One a row; empty for a model without classes."""
    scores: tuple[int, ...]
    check: int


class BadAnswer(BadResult):
    """The file breaks the container contract. `line` counts from 1; `why` says what is wrong there."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"answer, line {line}: {why}")
        self.line = line
        self.why = why


class RowRefused(BadAnswer, InputRefused):
    """The file says that a row of the input does not fit (LC-ANS-8)."""

    def __init__(self, row: int) -> None:
        super().__init__(1, f"the image says that row {row} of the input, counted from 0, does not fit")
        self.row = row


class AnswerReader:
    """Takes the file in pieces of any size. Without a form any number of rows is right, and the first line says whether rows name
    a class: for whoever tries an image without a model's terms."""

    def __init__(self, form: AnswerForm | None = None) -> None:
        self._rows = None if form is None else form.rows
        self._classes = None if form is None else form.classes
        self._raw = bytearray()

    def take(self, piece: bytes) -> None:
        """Keeps at most a byte more than the file may have."""
        self._raw += piece[: MAX_ANSWER_BYTES + 1 - len(self._raw)]

    def finish(self) -> ParsedAnswer:
        """Raises BadAnswer; RowRefused where it is whole, and names a row that does not fit."""
        answer = _Lines(self._rows, self._classes)
        *ended, rest = bytes(self._raw[:MAX_ANSWER_BYTES]).split(b"\n")
        for line in ended:
            answer.read(line)
        if len(self._raw) > MAX_ANSWER_BYTES:
            raise BadAnswer(answer.line, f"the file has more than {MAX_ANSWER_BYTES:,} bytes here")
        if rest:
            raise BadAnswer(answer.line, "it has no newline at its end; end every line with one")
        return answer.whole()


def request_json(rows: int, seed: int, challenge: int) -> bytes:
    """LC-ANS-1: /lc/in/request.json, the same bytes on every machine that is asked."""
    return b'{"v":1,"rows":%d,"seed":%d,"challenge":%d}' % (rows, seed, challenge)


def parse_answer(raw: bytes, form: AnswerForm | None = None) -> ParsedAnswer:
    """A whole file. Raises BadAnswer, RowRefused."""
    reader = AnswerReader(form)
    reader.take(raw)
    return reader.finish()


class _Lines:
    """The lines of one file, in their order. `line` is the number of the next one."""

    def __init__(self, rows: int | None, classes: int | None) -> None:
        self._rows, self._most_classes = rows, classes
        self._classes: list[int] = []
        self._scores: list[int] = []
        self._check: int | None = None
        self._unfit: int | None = None
        self.line = 1

    def read(self, line: bytes) -> None:
        if self._check is not None:
            raise BadAnswer(self.line, f"nothing may stand behind the check; here is {_shown(line)}")
        if self._unfit is not None:
            raise BadAnswer(self.line, f"nothing may stand behind the row that does not fit; here is {_shown(line)}")
        if line.startswith(_CHECK):
            self._read_check(line)
        elif line.startswith(_UNFIT) and self.line == 1:
            self._read_unfit(line)
        else:
            self._read_row(line)
        self.line += 1

    def whole(self) -> ParsedAnswer:
        if self._unfit is not None:
            raise RowRefused(self._unfit)
        if self._check is None:
            raise BadAnswer(self.line, "the check is missing; the last line is `check` and a decimal")
        return ParsedAnswer(tuple(self._classes), tuple(self._scores), self._check)

    def _read_check(self, line: bytes) -> None:
        rows = len(self._scores)
        if rows != (max(1, rows) if self._rows is None else self._rows):
            raise BadAnswer(self.line, f"the check stands behind {rows} rows; {self._rows or 'at least one'} are asked for")
        check = _units(line[len(_CHECK) :], 10)
        if check is None:
            raise BadAnswer(self.line, f"{_shown(line)} is no check; write `check 12.75`, at most 10 digits before the point")
        if not -MAX_CHECK - 1 <= check <= MAX_CHECK:
            raise BadAnswer(self.line, f"{_shown(line)} is beyond 64 bits of 10^-9")
        self._check = check

    def _read_unfit(self, line: bytes) -> None:
        told, rows = line[len(_UNFIT) :], self._rows or MAX_ROWS
        if not _PLAIN.fullmatch(told) or int(told) >= rows:
            raise BadAnswer(1, f"{_shown(line)} names no row; write `unfit` and a number from 0 to {rows - 1}")
        self._unfit = int(told)

    def _read_row(self, line: bytes) -> None:
        if len(self._scores) == (MAX_ROWS if self._rows is None else self._rows):
            text = f"{_shown(line)} is one row too many; behind {len(self._scores)} rows stands the check"
            raise BadAnswer(self.line, text)
        first, space, second = line.partition(b" ")
        if self._most_classes is None:
            self._most_classes = MAX_CLASSES if space else 0
        if self._most_classes:
            if not space or not _PLAIN.fullmatch(first):
                raise BadAnswer(self.line, _wrong(line, "write `CLASS SCORE`, such as `3 0.25`"))
            if int(first) >= self._most_classes:
                raise BadAnswer(self.line, f"there is no class {int(first)}; they go from 0 to {self._most_classes - 1}")
        score = _units(second if self._most_classes else line, 9)
        if score is None:
            form = "`CLASS SCORE`, such as `3 0.25`" if self._most_classes else "a decimal, such as `0.25`"
            raise BadAnswer(self.line, _wrong(line, f"write {form}; a score has at most 9 digits before and 18 behind the point"))
        if self._most_classes:
            self._classes.append(int(first))
        self._scores.append(score)


def _units(raw: bytes, digits: int) -> int | None:
    """A plain decimal in units of 1e-9, rounded towards plus infinity as losses are (LC-ENC-7), of at most `digits` digits before
    the point; None for anything else."""
    found = _DECIMAL.fullmatch(raw)
    if found is None or len(found[1]) > digits:
        return None
    scaled = int(found[1] + (found[2] or b"").ljust(18, b"0"))
    return -(-(-scaled if raw.startswith(b"-") else scaled) // 10**9)


def _wrong(line: bytes, instead: str) -> str:
    if not line:
        return f"it is empty; {instead}"
    if line.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark; write ASCII"
    if line.endswith(b"\r"):
        return "it ends with a carriage return; end every line with a newline alone"
    return f"{_shown(line)} is no row; {instead}"


def _shown(line: bytes) -> str:
    return ascii(line[:_SHOWN].decode("latin-1")) + (f" and {len(line) - _SHOWN:,} bytes more" if len(line) > _SHOWN else "")
