"""Targets: what is asked of a model, and the schema that its owner wrote: both come from strangers to the node that reads them."""

from __future__ import annotations

import json
from typing import Any

from learningchain.client.contracts.prediction.http.inference import (
    BadInference,
    inference_response,
    output_names,
    parse_inference,
    unpacked,
)
from learningchain.client.contracts.prediction.http.model_schema import (
    MAX_ELEMENTS,
    BadRow,
    BadSchema,
    check_row,
    decode_rows,
    encode_rows,
    parse_schema,
    row_of_cells,
)
from tests.fuzz.targets import Target, check

INPUTS: list[dict[str, Any]] = [
    {"name": "x", "datatype": "FP64", "shape": [2], "min": -5, "max": 1e6},
    {"name": "n", "datatype": "INT32"},
    {"name": "word", "datatype": "BYTES", "values": ["a", "b"]},
    {"name": "free", "datatype": "BYTES"},
    {"name": "flag", "datatype": "BOOL"},
]
SCHEMA = parse_schema(json.dumps({"inputs": INPUTS, "classes": ["no", "yes"]}).encode())
ROW = [[0.5, 3], -7, "b", "é\n", True]
KNOWN = output_names(True)
ENCODINGS = ("", "gzip", "deflate")


def model_schema(data: bytes) -> None:
    schema = parse_schema(data)
    check(len(schema.columns) <= MAX_ELEMENTS, "more values than a row may have")
    check(len(set(schema.columns)) == len(schema.columns), "two columns of one name")
    for one in schema.inputs:
        check(one.allowed.isprintable(), "words that cannot be shown")
        check(one.value(None) is None, "nothing is a value")


def model_rows(data: bytes) -> None:
    rows = decode_rows(SCHEMA, data)
    again = encode_rows(SCHEMA, rows)
    check(again.count(b"\n") == len(rows), "a row that is no line")
    check(decode_rows(SCHEMA, again) == rows, "other rows after sending them")


def model_cells(data: bytes) -> None:
    row = row_of_cells(SCHEMA, data.decode("utf-8", "surrogateescape").split(","), 1)
    check(check_row(SCHEMA, row) == row, "a row that is none")


def inference_request(data: bytes) -> None:
    """The first byte chooses how the body is packed, the second whether a header says where its JSON ends."""
    raw = unpacked(data[2:], ENCODINGS[data[0] % 3] if data else "")
    length = str(data[1] * 4) if len(data) > 1 and data[1] else None
    asked = parse_inference(raw, length, SCHEMA, max_rows=4, known=KNOWN)
    check(1 <= len(asked.rows) <= 4, "a number of rows that the model does not take")
    check([check_row(SCHEMA, row) for row in asked.rows] == asked.rows, "rows that do not fit")
    body, size = inference_response(asked, (), name="m", version="1", parameters={})
    check(size is None or size <= len(body), "a header beyond the body")


def _request() -> bytes:
    data: dict[str, list[Any]] = {"x": [0.5, 3], "n": [-7], "word": ["b"], "free": [""], "flag": [True]}
    shapes = {"x": [1, 2]}
    inputs = [
        {
            "name": one["name"],
            "datatype": one["datatype"],
            "shape": shapes.get(str(one["name"]), [1]),
            "data": data[str(one["name"])],
        }
        for one in INPUTS
    ]
    return b"\0\0" + json.dumps({"id": "1", "inputs": inputs, "parameters": {"binary_data_output": True, "n": 5}}).encode()


TARGETS = {
    "model-schema": Target(model_schema, (BadSchema,), 65_536),
    "model-rows": Target(model_rows, (BadRow,)),
    "model-cells": Target(model_cells, (BadRow,)),
    "inference-request": Target(inference_request, (BadInference,), 8_192),
}
EXAMPLES = {
    "model-schema": lambda: [json.dumps({"inputs": INPUTS, "unit": "m"}).encode(), json.dumps({"inputs": INPUTS[:1]}).encode()],
    "model-rows": lambda: [encode_rows(SCHEMA, [ROW, ROW])],
    "model-cells": lambda: [b"0.5,3,-7,b,free,true"],
    "inference-request": lambda: [_request()],
}
