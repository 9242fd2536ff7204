"""Schemas of models are checked as strangers' bytes, and rows by them, before anything is paid. Errors say which value is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from learningchain.client.contracts.prediction.http.model_schema import (
    MAX_SCHEMA_BYTES,
    BadRow,
    BadSchema,
    ModelSchema,
    check_row,
    decode_rows,
    encode_rows,
    parse_schema,
    row_of_cells,
)

AGE = {"name": "age", "datatype": "INT64", "min": 18, "max": 100, "about": "years"}
SIZE = {"name": "size", "datatype": "FP32", "max": 2.5}
JOB = {"name": "job", "datatype": "BYTES", "values": ["none", "some, more"]}
GRID = {"name": "grid", "datatype": "UINT8", "shape": [2, 2], "max": 16}
FLAG = {"name": "flag", "datatype": "BOOL"}
FREE = {"name": "free", "datatype": "BYTES"}


def schema(*inputs: dict[str, Any], **more: Any) -> ModelSchema:
    return parse_schema(json.dumps({"inputs": inputs, **more}).encode())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 60_000, "no JSON|not valid"),
        (b"{}", "inputs"),
        (b'{"inputs":[]}', "length >= 1"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"}],"default":1}', "unknown field"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","pattern":"(a+)+$"}]}', "unknown field"),
        (b'{"inputs":[{"name":"a","datatype":"TEXT"}]}', "Invalid enum value"),
        (b'{"inputs":[{"name":"a b","datatype":"INT64"}]}', "matching regex"),
        (b'{"inputs":[{"name":"","datatype":"INT64"}]}', "matching regex"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","min":1e999}]}', "out of range"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","min":' + b"9" * 4000 + b"}]}", "cannot hold"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","min":' + b"9" * 60_000 + b"}]}", "no JSON|out of range|not valid"),
        (b'{"inputs":[{"name":"a","datatype":"UINT8","max":256}]}', "cannot hold"),
        (b'{"inputs":[{"name":"a","datatype":"FP16","max":70000}]}', "cannot hold"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","min":2,"max":1}]}', "least value above the greatest"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","values":[]}]}', "length >= 1"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","values":[1,1.0]}]}', "twice"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","values":[1.5]}]}', "cannot have"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","max":3,"values":[4]}]}', "cannot have"),
        (b'{"inputs":[{"name":"a","datatype":"BYTES","values":[1]}]}', "cannot have"),
        (b'{"inputs":[{"name":"a","datatype":"BYTES","values":["\\u001b[2J"]}]}', "cannot be printed"),
        (b'{"inputs":[{"name":"a","datatype":"BYTES","max":3}]}', "no least"),
        (b'{"inputs":[{"name":"a","datatype":"BOOL","values":["true"]}]}', "lists values"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","about":"\\u0007"}]}', "cannot be printed"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","shape":[65536,2]}]}', "more than 65536 values"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","shape":[0]}]}', ">= 1"),
        (b'{"inputs":[{"name":"a","datatype":"INT64","shape":[1,1,1,1,1]}]}', "length <= 4"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"},{"name":"a","datatype":"BOOL"}]}', "same name"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"}],"classes":["x"]}', "length >= 2"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"}],"classes":["x","x"]}', "same name"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"}],"classes":["x","\\n"]}', "cannot be printed"),
        (b'{"inputs":[{"name":"a","datatype":"INT64"}],"classes":["x","y"],"unit":"m"}', "the one or the other"),
        (b" " * (MAX_SCHEMA_BYTES + 1), "more than 65536"),
    ],
)
def test_a_schema_that_says_nothing_clear_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(BadSchema, match=why):
        parse_schema(document)


def test_rows_are_sent_as_lists_however_they_were_written() -> None:
    people = schema(AGE, SIZE, JOB, FLAG)
    rows = [[30, 1.5, "none", True], {"job": "some, more", "age": 41.0, "flag": False, "size": 2}]
    raw = encode_rows(people, rows)
    assert raw == b'[30,1.5,"none",true]\n[41,2,"some, more",false]\n'
    assert decode_rows(people, raw) == [[30, 1.5, "none", True], [41, 2, "some, more", False]]
    assert people.columns == ["age", "size", "job", "flag"]
    assert row_of_cells(people, ["30", " 1.5", "none", "TRUE"], 1) == [30, 1.5, "none", True]


def test_of_one_input_the_value_alone_is_a_row() -> None:
    grid = schema(GRID)
    assert check_row(grid, [[1, 2], [3, 16]]) == check_row(grid, [[[1, 2], [3, 16]]]) == [[[1, 2], [3, 16]]]
    assert check_row(schema(AGE), 30) == check_row(schema(AGE), [30]) == check_row(schema(AGE), {"age": 30}) == [30]
    assert grid.columns == ["grid[0][0]", "grid[0][1]", "grid[1][0]", "grid[1][1]"]
    assert row_of_cells(grid, ["1", "2", "3", "4"], 1) == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([17, 1, "none", True], "row 3, age: 17 is not a whole number from 18 to 100 (INT64)"),
        ([30.5, 1, "none", True], "row 3, age: 30.5 is not a whole number from 18 to 100 (INT64)"),
        ([True, 1, "none", True], "row 3, age: True is not a whole number from 18 to 100 (INT64)"),
        (["30", 1, "none", True], "row 3, age: '30' is not a whole number from 18 to 100 (INT64)"),
        ([None, 1, "none", True], "row 3, age: None is not a whole number from 18 to 100 (INT64)"),
        (
            [10**5000, 1, "none", True],
            "row 3, age: a number of more than forty digits is not a whole number from 18 to 100 (INT64)",
        ),
        ([30, float("nan"), "none", True], "row 3, size: nan is not a number from -3.4028234663852886e+38 to 2.5 (FP32)"),
        ([30, 3, "none", True], "row 3, size: 3 is not a number from -3.4028234663852886e+38 to 2.5 (FP32)"),
        ([30, 1, "None", True], "row 3, job: 'None' is not one of none, some, more (BYTES)"),
        ([30, 1, "\x1b[2J", True], "row 3, job: '\\\\x1b[2J' is not one of none, some, more (BYTES)"),
        ([30, 1, "none", 1], "row 3, flag: 1 is not true or false (BOOL)"),
        ([30, 1, "none"], "row 3: it has 3 values, and the model 4 inputs: age, size, job, flag"),
        ({"age": 30}, "row 3, size: it is missing"),
        ({"agee": 30}, "row 3, agee: the model has no such input; it has age, size, job, flag"),
        (5, "row 3: a row is a list of 4 values, or an object with age, size, job, flag"),
    ],
)
def test_an_error_names_row_column_value_and_what_may_stand_there(row: Any, text: str) -> None:
    with pytest.raises(BadRow) as wrong:
        check_row(schema(AGE, SIZE, JOB, FLAG), row, 3)
    assert str(wrong.value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([[1, 2], [3, 17]], "row 1, grid[1][1]: 17 is not a whole number from 0 to 16 (UINT8)"),
        ([[1, 2], [3]], "row 1, grid[1]: a list of 2 is wanted (shape [2, 2]), and it has 1"),
        ([[1, 2], 3], "row 1, grid[1]: a list of 2 is wanted (shape [2, 2]), and 3 is none"),
    ],
)
def test_a_value_of_many_dimensions_is_named_by_its_place(value: Any, text: str) -> None:
    with pytest.raises(BadRow) as wrong:
        check_row(schema(GRID), {"grid": value})
    assert str(wrong.value) == text


def test_numbers_keep_their_value_and_texts_have_an_end() -> None:
    wide = schema({"name": "x", "datatype": "FP64"}, {"name": "n", "datatype": "UINT64"}, FREE)
    for x in (0.1, 1e300, -2.5e-300, 5e-324, 2**53, -0.0):
        raw = encode_rows(wide, [[x, 2**64 - 1, "a\nb\u2028"]])
        assert raw.count(b"\n") == 1
        assert decode_rows(wide, raw) == [[x, 2**64 - 1, "a\nb\u2028"]]
    assert check_row(wide, [10**300, 0, ""]) == [1e300, 0, ""]
    for wrong in ([10**400, 0, ""], [1, 2**64, ""], [1, -1, ""], [1, 0, "x" * 4097], [1, 0, "\ud800"]):
        with pytest.raises(BadRow):
            check_row(wide, wrong)


@pytest.mark.parametrize("cells", [["30"], ["30", "1", "2"], []])
def test_a_table_s_row_has_a_cell_for_each_column(cells: list[str]) -> None:
    with pytest.raises(BadRow, match=f"row 7: it has {len(cells)} cells, and the model 2 columns"):
        row_of_cells(schema(AGE, SIZE), cells, 7)


def test_a_schema_belongs_to_a_kind_of_model() -> None:
    named = schema(AGE, classes=["good", "bad"])
    assert named.fits(2) is None
    assert named.fits(3) == "the schema names 2 classes, the model has 3"
    assert named.fits(0) == "the schema names 2 classes, the model has none"
    assert schema(AGE, unit="m").fits(0) is None
    assert schema(AGE, unit="m").fits(2) == "the schema has a unit, and the model says classes"
    assert schema(AGE).fits(7) is schema(AGE).fits(0) is None
