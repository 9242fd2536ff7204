"""What a row of a model may hold: the schema that its owner registered, and rows checked by it before anything is paid.

A schema is JSON of at most 64 KiB:

    {"inputs": [{"name": "age", "datatype": "INT64", "shape": [], "min": 18, "max": 100, "about": "years"}, ...],
     "classes": ["malignant", "benign"]}                   or "unit": "log odds" of a model that says numbers

`datatype` is one of the Open Inference Protocol's; `shape` that of one row's value, [] for a single one. `min` and `max` bound
numbers, `values` lists what is possible; all may be missing. A row is sent as one line of JSON, a list with the value of each input
in order; people may also write an object by the inputs' names, and of a model with one input its value alone.

A schema comes from a stranger: everything in it is bounded, unknown keys are refused, its words are printable, and it holds nothing
that is run: no pattern, no reference, no default.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from learningchain.client.data.columns import TableColumn, shown_value
from learningchain.client.reading import unmarked

MAX_SCHEMA_BYTES: Final = 64 * 1024
MAX_INPUTS: Final = 1024
MAX_DIMENSIONS: Final = 4
MAX_ELEMENTS: Final = 65_536
"""Values of one row, all inputs together."""
Word = Annotated[str, Meta(min_length=1, max_length=128)]


class BadSchema(ValueError):
    """The schema cannot be used; the text says why."""


class BadRow(ValueError):
    """A row does not fit the schema. The text names the row (from 1), the column, what stands there and what may."""

    def __init__(self, row: int, column: str, why: str) -> None:
        super().__init__(f"row {row}, {column}: {why}" if column else f"row {row}: {why}")
        self.row, self.column, self.why = row, column, why


class ModelInput(TableColumn, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input of a model: a column for each of its values."""

    shape: Annotated[tuple[Annotated[int, Meta(ge=1, le=MAX_ELEMENTS)], ...], Meta(max_length=MAX_DIMENSIONS)] = ()

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def columns(self) -> list[str]:
        """The names of its values in a table: its own, or with each one's place behind it, counted from 0."""
        places = product(*(range(size) for size in self.shape))
        return [self.name + "".join(f"[{index}]" for index in place) for place in places]


class ModelSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `parse_schema` returns. `classes`: the names of a CLASS model's; `unit`: of a NUMBER model's values."""

    inputs: Annotated[tuple[ModelInput, ...], Meta(min_length=1, max_length=MAX_INPUTS)]
    classes: Annotated[tuple[Word, ...], Meta(min_length=2, max_length=65_536)] | None = None
    unit: Annotated[str, Meta(max_length=128)] | None = None

    @property
    def columns(self) -> list[str]:
        return [column for one in self.inputs for column in one.columns]

    def fits(self, classes: int) -> str | None:
        """Why it is not one of a model with so many classes, 0 of a model that says numbers; None where it may be."""
        if self.classes is not None and len(self.classes) != classes:
            return f"the schema names {len(self.classes)} classes, the model has {classes or 'none'}"
        return "the schema has a unit, and the model says classes" if self.unit is not None and classes else None


def parse_schema(raw: bytes) -> ModelSchema:
    """A schema that somebody wrote. Raises BadSchema."""
    if len(raw) > MAX_SCHEMA_BYTES:
        raise BadSchema(f"the schema has {len(raw)} bytes, more than {MAX_SCHEMA_BYTES}")
    try:
        schema = msgspec.json.decode(unmarked(raw), type=ModelSchema)
    except msgspec.ValidationError as problem:
        raise BadSchema(f"the schema is not valid: {problem}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise BadSchema(f"the schema is no JSON: {problem}") from None
    names = [one.name for one in schema.inputs]
    _require(len(set(names)) == len(names), "two inputs have the same name")
    _require(sum(one.elements for one in schema.inputs) <= MAX_ELEMENTS, f"a row would have more than {MAX_ELEMENTS} values")
    for one in schema.inputs:
        _require(one.fault is None, str(one.fault))
    _require(schema.classes is None or schema.unit is None, "it has classes and a unit; a model says the one or the other")
    for word in (*(schema.classes or ()), schema.unit or ""):
        _require(word.isprintable(), f"{word[:40]!r} holds what cannot be printed")
    classes = schema.classes or ()
    _require(len(set(classes)) == len(classes), "two classes have the same name")
    return schema


def _require(ok: bool, why: str) -> None:
    if not ok:
        raise BadSchema(f"the schema is not valid: {why}")


# --- rows -----------------------------------------------------------------------------------------------------------------------


def check_row(schema: ModelSchema, row: Any, number: int = 1) -> list[Any]:
    """The row as it is sent: a list with each input's value. `number` counts from 1. Raises BadRow."""
    names = [one.name for one in schema.inputs]
    if isinstance(row, dict):
        if unknown := [str(name) for name in row if name not in names]:
            raise BadRow(number, unknown[0][:64], f"the model has no such input; it has {_listed(names)}")
        if missing := [name for name in names if name not in row]:
            raise BadRow(number, missing[0], "it is missing")
        row = [row[name] for name in names]
    elif len(names) == 1 and _depth(row) == len(schema.inputs[0].shape):
        row = [row]
    if not isinstance(row, list | tuple):
        raise BadRow(number, "", f"a row is a list of {len(names)} values, or an object with {_listed(names)}")
    if len(row) != len(names):
        raise BadRow(number, "", f"it has {len(row)} values, and the model {len(names)} inputs: {_listed(names)}")
    return [_shaped(one, one.shape, given, number, one.name) for one, given in zip(schema.inputs, row, strict=True)]


def _shaped(one: ModelInput, shape: Sequence[int], given: Any, number: int, column: str) -> Any:
    if not shape:
        value = one.value(given)
        if value is None:
            raise BadRow(number, column, f"{shown_value(given)} is not {one.allowed} ({one.datatype})")
        return value
    if not isinstance(given, list | tuple) or len(given) != shape[0]:
        found = f"it has {len(given)}" if isinstance(given, list | tuple) else f"{shown_value(given)} is none"
        raise BadRow(number, column, f"a list of {shape[0]} is wanted (shape {list(one.shape)}), and {found}")
    return [_shaped(one, shape[1:], part, number, f"{column}[{place}]") for place, part in enumerate(given)]


def encode_rows(schema: ModelSchema, rows: Iterable[Any]) -> bytes:
    """The input of a request: each row checked, a line of JSON each. Raises BadRow."""
    checked = [check_row(schema, row, number) for number, row in enumerate(rows, 1)]
    return b"".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for row in checked)


def decode_rows(schema: ModelSchema, raw: bytes) -> list[list[Any]]:
    """Rows that somebody wrote as JSON, one a line, checked. Raises BadRow."""
    rows = []
    if raw != unmarked(raw):
        raise BadRow(1, "", "it begins with a byte order mark; save the file as UTF-8 without one")
    for number, line in enumerate(raw.removesuffix(b"\n").split(b"\n"), 1):
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
            raise BadRow(number, "", f"it is no JSON: {problem}") from None
        rows.append(check_row(schema, row, number))
    return rows


def row_of_cells(schema: ModelSchema, cells: Sequence[str], number: int) -> list[Any]:
    """A row out of a table's cells, one for each of `schema.columns`. Raises BadRow."""
    given = iter(cells)
    if len(cells) != sum(one.elements for one in schema.inputs):
        raise BadRow(number, "", f"it has {len(cells)} cells, and the model {sum(one.elements for one in schema.inputs)} columns")
    return [_of_cells(one, one.shape, given, number, one.name) for one in schema.inputs]


def _of_cells(one: ModelInput, shape: Sequence[int], cells: Any, number: int, column: str) -> Any:
    if shape:
        return [_of_cells(one, shape[1:], cells, number, f"{column}[{place}]") for place in range(shape[0])]
    text = next(cells)
    value = one.cell(text)
    if value is None:
        raise BadRow(number, column, one.refusal(text))
    return value


def _depth(given: Any) -> int:
    depth = 0
    while isinstance(given, list | tuple) and given and depth <= MAX_DIMENSIONS:
        given, depth = given[0], depth + 1
    return depth


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
