"""Rows as people type them: JSON, or plain values that the model's schema turns into rows before anything is sent or paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from learningchain.client.cli.common import Common, WrongUsage
from learningchain.client.contracts.prediction.cli.tables import schema_for
from learningchain.client.contracts.prediction.http.model_schema import (
    BadRow,
    BadSchema,
    ModelSchema,
    encode_rows,
    row_of_cells,
)
from learningchain.client.data.columns import TableColumn

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import RegisteredModelView
    from learningchain.client.sdk.client import Client

NUMBERS = TableColumn(name="x", datatype="FP64")
"""What a word is read by where no schema says what it is."""
SHOWN_NAMES = 8


def are_values(words: tuple[str, ...]) -> bool:
    """Whether plain values were typed, and no JSON: which row they make, only the model's schema tells. Raises `WrongUsage`."""
    found = {word.strip()[:1] not in ("[", "{", '"') for word in words}
    if len(found) > 1:
        raise WrongUsage(
            "Rows as JSON and plain values stand side by side. Write all of them as JSON: '[40, \"skilled\"]' is one row"
        )
    return found == {True}


async def rows_of_values(node: Client, model: RegisteredModelView, words: tuple[str, ...]) -> bytes:
    """The rows that plain values make, a line of JSON each, checked by the model's schema where it has one. Raises `WrongUsage`."""
    if model["schema"] is None:
        return "".join(f"{_unchecked(number, word)}\n" for number, word in enumerate(words, 1)).encode()
    try:
        return of_schema(model["name"], await schema_for(node, model), words)
    except BadSchema as problem:
        raise WrongUsage(f"{problem}. Nothing was sent: its owner has to mend it") from None


def of_schema(name: str, schema: ModelSchema, words: tuple[str, ...]) -> bytes:
    """With one value in a row each word is a row; with more the words are the values of one row. Raises `WrongUsage`."""
    columns = schema.columns
    if len(columns) > 1 and len(words) != len(columns):
        more = f" and {len(columns) - SHOWN_NAMES} more" if len(columns) > SHOWN_NAMES else ""
        wanted = f"{len(columns)} values in this order: {', '.join(columns[:SHOWN_NAMES])}{more}"
        raise WrongUsage(
            f"Nothing was sent: a row of model {name} is {wanted}; {len(words)} were typed. Several rows: as JSON, or --csv"
        )
    rows = [words] if len(columns) > 1 else [(word,) for word in words]
    try:
        return encode_rows(schema, [row_of_cells(schema, row, number) for number, row in enumerate(rows, 1)])
    except BadRow as problem:
        raise WrongUsage(f"The values do not fit model {name}, nothing was sent: {problem}") from None


def say_unchecked(common: Common, model: RegisteredModelView) -> None:
    """Where nobody can know before the rows were paid for whether the model takes them."""
    if model["schema"] is None:
        text = f"Model {model['name']} has no schema: nothing can check the rows before they are paid for"
        common.out.note(f"{text}. Free, in this machine's own sandbox: learningchain model try with the same words")


def one_line(number: int, row: str) -> str:
    """A row on one line: a model's container reads lines. Raises `WrongUsage`."""
    try:
        return json.dumps(json.loads(row), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise WrongUsage(f"Row {number} is no JSON: {row[:80]!r}. Write it as '[0.1, 0.7]' or '{{\"age\": 40}}'") from None


def _unchecked(number: int, word: str) -> str:
    """A number becomes a row of one value, as programs read rows; whatever else is JSON goes as it is. Raises `WrongUsage`."""
    value = NUMBERS.cell(word)
    return one_line(number, word) if value is None else f"[{json.dumps(value)}]"
