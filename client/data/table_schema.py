"""What the tables of a data set should look like: a schema that somebody posted, and an owner's own `.csv` files held against it.

A schema is JSON of at most 64 KiB (docs/data.md):

    {"columns": [{"name": "age", "datatype": "INT64", "min": 18, "max": 100, "about": "years"},
                 {"name": "sex", "datatype": "BYTES", "values": ["f", "m"]}, {"name": "income", "datatype": "FP64", "empty": true}],
     "separator": ",", "others": false}

The schema is a stranger's: everything in it is bounded, unknown words are refused, and nothing in it is run. The files are the
owner's; they are read line by line, and of what does not fit the first ten places are told.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from learningchain.client.data.columns import TableColumn, shown_value
from learningchain.client.data.separators import SEPARATORS, form_of, no_table
from learningchain.client.reading import MARK, unmarked

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_COLUMNS: Final = 1024
MAX_LINE: Final = 1 << 20
"""Bytes of a row, with its end."""
MAX_MISFITS: Final = 10
SUFFIX: Final = ".csv"


def is_table(name: str) -> bool:
    """Whether a file is held against a schema, by its name."""
    return name.lower().endswith(SUFFIX)


class BadTableSchema(ValueError):
    """The schema cannot be used; the text says why."""


class DataColumn(TableColumn, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of the files."""

    empty: bool = False
    """Whether a cell of it may be empty."""

    def misfit(self, cell: str) -> str | None:
        """Why a cell is none of this column's; None where it is one."""
        if not cell and self.empty:
            return None
        if not cell and self.datatype != "BYTES":
            return "it is empty"
        return None if self.cell(cell) is not None else self.refusal(cell)


class TableSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `parse_table_schema` returns. `others`: whether the files may have further columns, in any order."""

    columns: Annotated[tuple[DataColumn, ...], Meta(min_length=1, max_length=MAX_COLUMNS)]
    separator: Literal[",", ";", "\t"] = ","
    others: bool = False


class TableMisfit(msgspec.Struct, frozen=True):
    """One place that does not fit. `line` counts from 1, the first one names the columns; `column` is empty for a whole line."""

    file: str
    line: int
    column: str
    why: str

    def __str__(self) -> str:
        return f"{shown_value(self.file)}, line {self.line}{f', {self.column}' if self.column else ''}: {self.why}"


class TableReport(msgspec.Struct, frozen=True):
    """What the files came to. They fit where there are no misfits; with `MAX_MISFITS` of them there may be more."""

    files: int
    rows: int
    misfits: tuple[TableMisfit, ...]


class Lines(Protocol):
    """A file's bytes, line by line."""

    def readline(self, most: int, /) -> bytes: ...


def parse_table_schema(raw: bytes) -> TableSchema:
    """A schema that somebody wrote. Raises BadTableSchema."""
    if len(raw) > MAX_SCHEMA_BYTES:
        raise BadTableSchema(f"the schema has {len(raw)} bytes, more than {MAX_SCHEMA_BYTES}")
    try:
        schema = msgspec.json.decode(unmarked(raw), type=TableSchema)
    except msgspec.ValidationError as problem:
        raise BadTableSchema(f"the schema is not valid: {problem}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise BadTableSchema(f"the schema is no JSON: {problem}") from None
    names = [column.name for column in schema.columns]
    if len(set(names)) != len(names):
        raise BadTableSchema("the schema is not valid: two columns have the same name")
    for column in schema.columns:
        if column.fault is not None:
            raise BadTableSchema(f"the schema is not valid: {column.fault}")
    return schema


def check_tables(
    schema: TableSchema, files: Iterable[tuple[str, Lines]], on_bytes: Callable[[int], None] = lambda size: None
) -> TableReport:
    """Holds files, by their names, against a schema; stops at the tenth misfit. Raises what reading raises."""
    misfits: list[TableMisfit] = []
    count = rows = 0
    for name, lines in files:
        count += 1
        table = _Table(schema, name, misfits)
        if name.rpartition("/")[2].startswith("._"):
            table.tell_note()
            continue
        while len(misfits) < MAX_MISFITS and (line := lines.readline(MAX_LINE + 1)):
            on_bytes(len(line))
            if not table.take(line):
                break
        table.end()
        rows += max(0, table.line - 1)
        if len(misfits) >= MAX_MISFITS:
            break
    return TableReport(count, rows, tuple(misfits[:MAX_MISFITS]))


class _Table:
    """One file under check. `take` says whether it is of any use to go on with this file."""

    def __init__(self, schema: TableSchema, name: str, misfits: list[TableMisfit]) -> None:
        self._schema, self._name, self._misfits = schema, name, misfits
        self._places: list[tuple[int, DataColumn]] = []
        self._width = 0
        self.line = 0
        self._first = ""

    def take(self, raw: bytes) -> bool:
        self.line += 1
        if len(raw) > MAX_LINE:
            self._tell("", f"it has more than {MAX_LINE} bytes")
            return False
        if self.line == 1 and (why := no_table(raw)) is not None:
            self._tell("", why)
            return False
        cells = self._cells(raw)
        if self.line == 1:
            return cells is not None and self._head(cells)
        if cells is None:
            return True
        if len(cells) != self._width:
            self._tell("", f"it has {len(cells)} cells, and the first line {self._width}")
            return True
        misfits = [(column.name, why) for place, column in self._places if (why := column.misfit(cells[place])) is not None]
        if misfits and not any(cells):
            misfits = [("", "all of its cells are empty; delete the line")]
        for name, why in misfits:
            self._tell(name, why)
        return True

    def tell_note(self) -> None:
        self._tell("", "it is what macOS notes about another file, on disks that are not its own. Take it out", 1)

    def end(self) -> None:
        if self.line < 2 and not self._misfits:
            self._tell("", "there is no row; the first line names the columns, each further one is a row", max(1, self.line))

    def _cells(self, raw: bytes) -> list[str] | None:
        """The cells of a line; None where it is none, which is told."""
        try:
            text = raw.removesuffix(b"\n").removesuffix(b"\r").decode()
            rows = list(csv.reader([text], delimiter=self._schema.separator, strict=True))
        except UnicodeDecodeError:
            self._tell("", "it is not UTF-8; save the file as CSV in UTF-8")
        except csv.Error as problem:
            if self.line == 1 and b"\r" in raw.rstrip(b"\r\n"):
                self._tell("", "its lines end in a carriage return alone; save it with plain line ends")
                return None
            self._tell("", f"it is no line of a table: {problem}; a row is one line, and quotes end on it")
        else:
            self._first = text if self.line == 1 else self._first
            if text.startswith(MARK):
                self._tell("", "it begins with a byte order mark; save the file as UTF-8 without one")
            elif rows and rows[0]:
                return rows[0]
            else:
                self._tell("", "it is empty")
        return None

    def _head(self, cells: Sequence[str]) -> bool:
        names = [column.name for column in self._schema.columns]
        self._width = len(cells)
        named = Counter(cell for cell in cells if cell)
        unnamed = len(cells) - named.total()
        if twice := [name for name, count in named.items() if count > 1]:
            self._tell("", f"it names the column {shown_value(twice[0])} twice")
            return False
        missing = [name for name in names if name not in cells]
        if missing and (why := self._written_otherwise(names)):
            self._tell("", why)
            return False
        if missing:
            self._tell(missing[0], f"it is missing; the columns should be {_listed(names)}")
            return False
        if unnamed > self._schema.others:
            text = "columns without a name, {}: delete them in the spreadsheet; of pandas, save with to_csv(index=False)"
            self._tell("", text.format(unnamed))
            return False
        if not self._schema.others and list(cells) != names:
            self._tell("", f"the columns should be {_listed(names)}, in this order and no others")
            return False
        self._places = [(cells.index(column.name), column) for column in self._schema.columns]
        return True

    def _written_otherwise(self, names: Sequence[str]) -> str | None:
        """What is wrong with the first line where it names the columns, and separates them in another way than the schema."""
        form = form_of(self._first, names)
        wanted = SEPARATORS[self._schema.separator]
        if form.said:
            return f"it says {self._first[:10]!r}, as spreadsheets do: the first line names the columns. Take it out"
        if form.separator != self._schema.separator:
            return f"its columns are separated by {form.name}, and the schema wants {wanted}. Save the file with {wanted}"
        return (
            "a space stands behind each separator, and would be a part of the cells. Take the spaces out" if form.spaced else None
        )

    def _tell(self, column: str, why: str, line: int = 0) -> None:
        self._misfits.append(TableMisfit(self._name, line or self.line, column, why))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
