"""Rows as Python programs hold them, and values in the same form: lists, arrays of numpy, frames and series of pandas.

Neither library is imported: who passes an array or a frame has done that.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from learningchain.client.contracts.prediction.http.model_schema import ModelInput, ModelSchema
from learningchain.client.sdk.types import UsageError

Value = float | int | str | None
"""What a model says of a row: a number, or a class by its name or number; None where no value was agreed on."""


def as_rows(given: Any, schema: ModelSchema | None) -> list[Any]:
    """The rows as a request has them. Of a frame the columns that the schema names are sent. Raises `UsageError`."""
    if _is_a(given, "pandas", "DataFrame"):
        return _of_frame(given, schema)
    if _is_a(given, "pandas", "Series") or _is_a(given, "numpy", "ndarray"):
        if getattr(given, "ndim", 1) == 0:
            raise UsageError("An array of no dimension has no rows. Give one row for each place of the first dimension")
        return list(given.tolist())
    if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
        raise UsageError(
            f'{type(given).__name__} is no list of rows. Give a list, a numpy array or a pandas frame: [[40, "skilled"]]'
        )
    return [_plain(row) for row in given]


def like(given: Any, values: list[Value], support: list[int], *, numbers: bool) -> Any:
    """The values as the rows came: a list, an array, a series, or a frame with the same index. A number that is missing is nan,
    but None in a list."""
    kind: Any = float if numbers else object if None in values else None
    if _is_a(given, "pandas", "DataFrame"):
        pandas = sys.modules["pandas"]
        return pandas.DataFrame({"value": pandas.Series(values, dtype=kind).array, "support": support}, index=given.index)
    if _is_a(given, "pandas", "Series"):
        return sys.modules["pandas"].Series(values, index=given.index, dtype=kind, name="value")
    return sys.modules["numpy"].array(values, dtype=kind) if _is_a(given, "numpy", "ndarray") else values


def _of_frame(frame: Any, schema: ModelSchema | None) -> list[Any]:
    if schema is None:
        return list(frame.to_dict("split")["data"])
    have = [str(name) for name in frame.columns]
    wanted = {one.name: one.columns if one.name not in have else [one.name] for one in schema.inputs}
    missing = [column for columns in wanted.values() for column in columns if column not in have]
    if missing:
        raise UsageError(
            f"The frame has no column {missing[0]!r}; the model takes {', '.join(schema.columns[:8])}. Add or rename it"
        )
    frame = frame.set_axis(have, axis="columns")[[column for columns in wanted.values() for column in columns]]
    return [_nested(schema.inputs, have, iter(row)) for row in frame.to_dict("split")["data"]]


def _nested(inputs: Sequence[ModelInput], have: Sequence[str], cells: Any) -> list[Any]:
    """A row out of a frame's cells: an input of many values has one cell, or one for each of them."""
    return [_plain(next(cells)) if one.name in have else _shaped(one.shape, cells) for one in inputs]


def _shaped(shape: Sequence[int], cells: Any) -> Any:
    return [_shaped(shape[1:], cells) for _ in range(shape[0])] if shape else _plain(next(cells))


def _plain(row: Any) -> Any:
    """A row, or a part of one, as JSON has it."""
    if hasattr(row, "tolist"):  # an array, or one number of it
        return row.tolist()
    if isinstance(row, dict):
        return {name: _plain(value) for name, value in row.items()}
    return [_plain(value) for value in row] if isinstance(row, list | tuple) else row


def _is_a(given: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(given, kind)
