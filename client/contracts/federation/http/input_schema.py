"""The schema of members' tables as that of a model's rows: it is asked with what stood beside the answer in training.

A posted schema does not say which column is the answer: whoever offers the model does. What is left over is a row in its order, and
only where it is all that a row has.
"""

from __future__ import annotations

import msgspec

from learningchain.client.data.table_schema import BadTableSchema, parse_table_schema

SHOWN = 8


def input_schema(raw: bytes, label: str) -> bytes:
    """A model's schema: each column of the posted one but `label`. Raises ValueError saying why there is none."""
    try:
        posted = parse_table_schema(raw)
    except BadTableSchema as problem:
        raise ValueError(f"the posted schema cannot be used: {problem}") from None
    if posted.others:
        raise ValueError("the posted schema lets tables have further columns, so it does not say all that a row has")
    inputs = [column for column in posted.columns if column.name != label]
    if len(inputs) == len(posted.columns):
        names = ", ".join(column.name for column in posted.columns[:SHOWN]) + (" …" if len(inputs) > SHOWN else "")
        raise ValueError(f"the posted schema has no column {label[:64]!r}; it has {names}")
    if not inputs:
        raise ValueError("the posted schema has no other column, so nothing is left to ask with")
    for column in inputs:
        if column.empty and column.datatype != "BYTES":
            raise ValueError(f"cells of {column.name} may be empty in the posted schema, and a model's input cannot say that")
    fields = [{name: value for name, value in msgspec.to_builtins(one).items() if name != "empty"} for one in inputs]
    return msgspec.json.encode({"inputs": fields})
