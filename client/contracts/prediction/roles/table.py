"""Tables of rows: a CSV file that a model is asked about, and the one with the answers.

The first line names the columns; those that the model's schema names are sent, in whatever order they stand, the others are only
carried over. Every line is checked before anything is spent, and the file is read again, a batch at a time, when it is asked about.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from learningchain.client.contracts.prediction.http.model_schema import BadRow, ModelSchema, row_of_cells
from learningchain.client.data.columns import FLOATS, NUMBER
from learningchain.client.data.separators import TableForm, form_of, has_decimal_commas, no_table, with_point

MAX_COLUMNS: Final = 70_000
MAX_ROWS: Final = 10_000_000
MAX_LINE_BYTES: Final = 8 * 2**20
SHOWN: Final = 20
"""Wrong rows that are told of before the reading stops."""
ANSWERS: Final = ("answer_class", "answer_label", "answer_score", "answer_agree", "answer_outcome", "answer_request")
"""The columns that the answers' file has behind those of the table."""
DECISIONS: Final = ("answer_decision", "answer_rate_ppm", "answer_borderline")
"""And behind these, where a policy decides each row."""


class BadTable(Exception):
    """The table cannot be asked about. The text names each line that is wrong, up to SHOWN of them."""


class TableLine(msgspec.Struct, frozen=True):
    """A record of the table: the line on which it begins, its cells as they are, and the row that the model gets."""

    number: int
    cells: list[str]
    row: list[Any]


class TableBatch(msgspec.Struct, frozen=True):
    """Lines that make one request. `raw` is its input."""

    number: int
    lines: list[TableLine]
    raw: bytes


class TableReader:
    """Reads one file again and again. Raises BadTable where it is no table for the schema."""

    def __init__(self, path: Path, schema: ModelSchema) -> None:
        self.path, self._schema = path, schema
        if path.exists() and not path.is_file():
            raise BadTable(f"{path} is no file, and a table is read more than once. Save it first, for instance as rows.csv")
        with self._open() as file:
            self.form = _form(path, file, schema)
        with self._open() as file:
            self.names = next(_records(path, file, self.form), (0, []))[1]
        _check_names(path, self.names, schema)
        self._places = [self.names.index(column) for column in schema.columns]
        kinds = [one.datatype for one in schema.inputs for _ in range(one.elements)]
        self._floats = frozenset(place for place, kind in zip(self._places, kinds, strict=True) if kind in FLOATS)
        if self.form.separator != "," and self._floats and has_decimal_commas(self._numbers()):
            self.form = msgspec.structs.replace(self.form, comma=True)

    def _open(self) -> io.TextIOWrapper:
        try:
            return self.path.open(encoding="utf-8-sig", newline="")
        except OSError as problem:
            raise BadTable(f"{self.path} cannot be read: {problem.strerror}") from None

    def check(self) -> int:
        """How many rows it has, all of which fit. Raises BadTable."""
        count, wrong = 0, []
        for line in self._read():
            count += 1
            if isinstance(line, str):
                wrong.append(line)
            if len(wrong) == SHOWN or count > MAX_ROWS:
                break
        if count > MAX_ROWS:
            raise BadTable(f"{self.path} has more than {MAX_ROWS:,} rows: ask about a part at a time")
        if wrong:
            more = "\nand perhaps more" if len(wrong) == SHOWN else ""
            raise BadTable(f"{self.path} holds rows that do not fit the model, nothing was sent:\n" + "\n".join(wrong) + more)
        if not count:
            raise BadTable(f"{self.path} has no rows below its first line")
        return count

    def lines(self) -> Iterator[TableLine]:
        for line in self._read():
            if isinstance(line, str):
                raise BadTable(f"{self.path} has changed since it was checked: {line}")
            yield line

    def batches(self, max_rows: int, max_bytes: int) -> Iterator[TableBatch]:
        """Always the same ones of the same file: as many rows a batch as fit. Raises BadTable."""
        number, lines, raw = 0, list[TableLine](), bytearray()
        for line in self.lines():
            sent = json.dumps(line.row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
            if len(sent) > max_bytes:
                raise BadTable(f"line {line.number} has {len(sent)} bytes as the model gets it, which takes at most {max_bytes}")
            if lines and (len(lines) == max_rows or len(raw) + len(sent) > max_bytes):
                yield TableBatch(number, lines, bytes(raw))
                number, lines, raw = number + 1, [], bytearray()
            lines.append(line)
            raw += sent
        if lines:
            yield TableBatch(number, lines, bytes(raw))

    def digest(self) -> str:
        """SHA-256 of the file: it must stay as it is until all of it is answered."""
        found = hashlib.sha256()
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
        return found.hexdigest()

    def _numbers(self) -> Iterator[str]:
        with self._open() as file:
            for _, cells in islice(_records(self.path, file, self.form), 1, MAX_ROWS):
                yield from (cells[place] for place in self._floats if place < len(cells))

    def _sent(self, cells: Sequence[str]) -> list[str]:
        """The cells that the model gets, as everybody writes them."""
        plain = with_point if self.form.comma else str
        return [plain(cells[place]) if place in self._floats else cells[place] for place in self._places]

    def _read(self) -> Iterator[TableLine | str]:
        """Each row, or in words what is wrong with it."""
        with self._open() as file:
            records = _records(self.path, file, self.form)
            next(records, None)
            for number, cells in records:
                if not cells:
                    continue  # an empty line
                if len(cells) != len(self.names):
                    yield f"line {number}: it has {len(cells)} cells, and the first line {len(self.names)}"
                    continue
                try:
                    row = row_of_cells(self._schema, self._sent(cells), number)
                except BadRow as problem:
                    yield f"line {number}, {problem.column}: {problem.why}" if problem.column else f"line {number}: {problem.why}"
                else:
                    yield TableLine(number, cells, row)


def _form(path: Path, file: io.TextIOWrapper, schema: ModelSchema) -> TableForm:
    try:
        if (why := no_table(cast(io.BufferedReader, file.buffer).peek(8))) is not None:
            raise BadTable(f"{path} cannot be asked about: {why}")
        return form_of(file.readline(MAX_LINE_BYTES), schema.columns)
    except UnicodeDecodeError as problem:
        raise BadTable(f"{path}, line 1: it is no CSV in UTF-8: {problem}") from None
    except OSError as problem:
        raise BadTable(f"{path} cannot be read: {problem.strerror}") from None


def _records(path: Path, file: Iterable[str], form: TableForm) -> Iterator[tuple[int, list[str]]]:
    """Each record and the line on which it begins. Raises BadTable."""
    lines = _bounded(file)
    before = begun = len(list(islice(lines, 1))) if form.said else 0
    reader = csv.reader(lines, delimiter=form.separator, skipinitialspace=form.spaced, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as problem:
            raise BadTable(f"{path}, line {before + 1}: it is no CSV in UTF-8: {problem}") from None
        except OSError as problem:
            raise BadTable(f"{path} cannot be read: {problem.strerror}") from None
        yield before + 1, cells
        before = begun + reader.line_num


def _bounded(file: Iterable[str]) -> Iterator[str]:
    """Lines, none without end."""
    read = file.readline if isinstance(file, io.TextIOBase) else None
    if read is None:
        yield from file
        return
    while line := read(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise csv.Error(f"a line has more than {MAX_LINE_BYTES} characters")
        yield line


def _check_names(path: Path, names: Sequence[str], schema: ModelSchema) -> None:
    if not names:
        raise BadTable(f"{path} is empty: its first line names the columns")
    if len(names) > MAX_COLUMNS:
        raise BadTable(f"{path} has more than {MAX_COLUMNS} columns")
    known = set(names)
    if len(known) != len(names):
        raise BadTable(f"{path} has two columns of the same name")
    if missing := [column for column in schema.columns if column not in known]:
        shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise BadTable(f"{path} lacks columns that the model needs: {shown}. Name them in its first line")
    if taken := known & {*ANSWERS, *DECISIONS}:
        raise BadTable(f"{path} has the column {min(taken)}, which the answers' file has itself. Rename it")


def answers_head(table: TableReader, *, decided: bool) -> bytes:
    return _written([[*table.names, *ANSWERS, *(DECISIONS if decided else ())]], table.form)


def answers_text(table: TableReader, batch: TableBatch, view: Any, classes: Sequence[str] | None, *, decided: bool) -> bytes:
    """The batch's lines, written as the table is, with what was answered, and what a policy decided where one did. `view` is the
    request as the API tells of it, ended or answered."""
    decisions = {one["row"]: one for one in view.get("decisions", ())}
    by_row = {value["row"]: value for value in view.get("values", ())}
    outcome = view.get("outcome") or view.get("state")
    written = []
    for row, line in enumerate(batch.lines):
        value = by_row.get(row) or {"class": None, "score": None, "support": 0}
        named, score = value["class"], value["score"]
        if table.form.comma and isinstance(score, str):
            score = score.replace(".", ",")
        label = plain_label(classes[named]) if classes and named is not None and 0 <= named < len(classes) else None
        policy = decisions.get(row, {})
        more = [policy.get("decision"), policy.get("rate_ppm"), policy.get("borderline")] if decided else []
        written.append([*line.cells, named, label, score, value["support"], outcome, view["id"], *more])
    return _written(written, table.form)


def plain_label(name: str) -> str:
    """The name of a class in a cell. A stranger named it, and a spreadsheet carries out what begins like a formula: such a name,
    unless it is a number, has an apostrophe in front, which spreadsheets take for "this is text"."""
    return f"'{name}" if name[0] in "=+-@" and not NUMBER.fullmatch(name) else name


def _written(lines: Iterable[Sequence[Any]], form: TableForm) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=form.separator, lineterminator="\n").writerows(lines)
    return text.getvalue().encode("utf-8", "surrogateescape")
