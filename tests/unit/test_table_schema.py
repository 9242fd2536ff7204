"""A stranger's schema and an owner's tables: what the schema may be, what fits, and where what does not fit stands."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.client.data.table_schema import (
    MAX_LINE,
    MAX_SCHEMA_BYTES,
    BadTableSchema,
    TableReport,
    TableSchema,
    check_tables,
    parse_table_schema,
)

AGE = {"name": "age", "datatype": "INT64", "min": 18, "max": 100}
SEX = {"name": "sex", "datatype": "BYTES", "values": ["f", "m"]}
PAY = {"name": "pay", "datatype": "FP64", "empty": True}


def schema(*columns: dict[str, Any], **more: Any) -> TableSchema:
    return parse_table_schema(json.dumps({"columns": columns or (AGE, SEX, PAY), **more}).encode())


def check(wanted: TableSchema, *contents: bytes) -> TableReport:
    return check_tables(wanted, [(f"{number}.csv", io.BytesIO(content)) for number, content in enumerate(contents)])


def told(wanted: TableSchema, *contents: bytes) -> list[str]:
    return [str(misfit) for misfit in check(wanted, *contents).misfits]


# --- the schema -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "no JSON"),
        (b"[" * 60_000, "not valid"),
        (b"{}", "columns"),
        (b'{"columns":[]}', "columns"),
        (b'{"columns":[{"name":"a","datatype":"INT8","pattern":".*"}]}', "unknown field"),
        (b'{"columns":[{"name":"a","datatype":"INT8"}],"run":"x"}', "unknown field"),
        (b'{"columns":[{"name":"a","datatype":"INT9"}]}', "datatype"),
        (b'{"columns":[{"name":"a b","datatype":"INT8"}]}', "name"),
        (b'{"columns":[{"name":"a","datatype":"INT8"},{"name":"a","datatype":"INT8"}]}', "the same name"),
        (b'{"columns":[{"name":"a","datatype":"INT8","min":300}]}', "cannot hold"),
        (b'{"columns":[{"name":"a","datatype":"INT8","min":3,"max":2}]}', "above the greatest"),
        (b'{"columns":[{"name":"a","datatype":"BYTES","min":3}]}', "no least"),
        (b'{"columns":[{"name":"a","datatype":"BOOL","values":[1]}]}', "true or false"),
        (b'{"columns":[{"name":"a","datatype":"BYTES","values":["x","x"]}]}', "twice"),
        (b'{"columns":[{"name":"a","datatype":"BYTES","values":["\\u001b[2J"]}]}', "cannot be printed"),
        (b'{"columns":[{"name":"a","datatype":"INT8","about":"\\u202e"}]}', "cannot be printed"),
        (b'{"columns":[{"name":"a","datatype":"INT8","values":["x"]}]}', "cannot have"),
        (b'{"columns":[{"name":"a","datatype":"INT8"}],"separator":"|"}', "separator"),
        (b" " * (MAX_SCHEMA_BYTES + 1), "more than 65536"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(BadTableSchema, match=why):
        parse_table_schema(raw)


# --- tables -----------------------------------------------------------------------------------------------------------------------


def test_tables_that_fit() -> None:
    report = check(schema(), b"age,sex,pay\n18,f,1.5\n100,m,\n", b'age,sex,pay\r\n"20","f",-1e3\r\n')
    assert report == TableReport(2, 3, ())
    assert told(schema(separator=";"), b"age;sex;pay\n18;f;\n") == []
    assert told(schema(AGE, others=True), b"id,age\nx,18\n") == []


@pytest.mark.parametrize(
    ("content", "misfit"),
    [
        (b"age,sex,pay\n17,f,1\n", "'0.csv', line 2, age: '17' is not a whole number from 18 to 100 (INT64)"),
        (b"age,sex,pay\n18,x,1\n", "'0.csv', line 2, sex: 'x' is not one of f, m (BYTES)"),
        (b"age,sex,pay\n18,f,nan\n", "'0.csv', line 2, pay: 'nan' is not a number (FP64)"),
        (b"age,sex,pay\n18,f,1e999\n", "'0.csv', line 2, pay: '1e999' is not a number (FP64)"),
        (b'age,sex,pay\n18,f,"3,14"\n', "'0.csv', line 2, pay: '3,14' is not a number (FP64); write numbers with a decimal point"),
        (
            "age,sex,pay\n18,f,1\u202f234.5\n".encode(),
            "'0.csv', line 2, pay: '1\\\\u202f234.5' is not a number (FP64); write numbers with",
        ),
        (b"age,sex,pay\n18,f,1.234.567\n", "'0.csv', line 2, pay: '1.234.567' is not a number (FP64); write numbers with"),
        (b"age,sex,pay\n,f,1\n", "'0.csv', line 2, age: it is empty"),
        (b"age,sex,pay\n18,f\n", "'0.csv', line 2: it has 2 cells, and the first line 3"),
        (b"age,sex,pay\n\n", "'0.csv', line 2: it is empty"),
        (b'age,sex,pay\n18,"f\nm",1\n', "'0.csv', line 2: it is no line of a table: unexpected end of data"),
        (b"age,sex,pay\n18,\xff,1\n", "'0.csv', line 2: it is not UTF-8"),
        (b"age,sex,pay\n" + b"9" * 200_000 + b",f,1\n", "'0.csv', line 2: it is no line of a table: field larger than"),
        (b"age,sex,pay\n" + b"9" * MAX_LINE + b",f,1\n", "'0.csv', line 2: it has more than 1048576 bytes"),
        (b"sex,age,pay\n", "'0.csv', line 1: the columns should be age, sex, pay, in this order and no others"),
        (b"age,sex\n", "'0.csv', line 1, pay: it is missing"),
        (b"age,age,sex,pay\n", "'0.csv', line 1: it names the column 'age' twice"),
        (b"age,sex,pay,,\n18,f,1,,\n", "'0.csv', line 1: columns without a name, 2: delete them in the spreadsheet"),
        (b",age,sex,pay\n0,18,f,1\n", "'0.csv', line 1: columns without a name, 1: delete them in the spreadsheet; of pandas"),
        (b"age,sex,pay\n18,f,1\n,,\n,,\n", "'0.csv', line 3: all of its cells are empty; delete the line"),
        (b"\xef\xbb\xbfage,sex,pay\n", "'0.csv', line 1: it begins with a byte order mark"),
        (b"age,sex,pay\n", "'0.csv', line 1: there is no row"),
        (b"", "'0.csv', line 1: there is no row"),
        (b"PK\3\4\x14\0\n", "'0.csv', line 1: it is a workbook, or another zip archive"),
        (b"\x1f\x8b\x08\0\n", "'0.csv', line 1: it is packed by gzip: unpack it"),
    ],
)
def test_what_does_not_fit_is_told_by_file_line_and_column(content: bytes, misfit: str) -> None:
    assert told(schema(), content)[0].startswith(misfit)


def test_the_first_ten_misfits_are_told_and_no_more_is_read() -> None:
    sizes: list[int] = []
    rows = [(f"{number}.csv", io.BytesIO(b"age\n" + b"1\n" * 6)) for number in range(9)]
    report = check_tables(schema(AGE), rows, sizes.append)
    assert [(misfit.file, misfit.line) for misfit in report.misfits] == [
        *(("0.csv", line) for line in range(2, 8)),
        *(("1.csv", line) for line in range(2, 6)),
    ]
    assert (report.files, sum(sizes)) == (2, 16 + 12)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_whatever_the_bytes_are_there_is_an_answer(raw: bytes, headed: bool) -> None:
    report = check(schema(AGE), (b"age\n" if headed else b"") + raw)
    assert len(report.misfits) <= 10
    assert all(str(misfit).isprintable() for misfit in report.misfits)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_a_schema_of_any_bytes_is_one_or_is_refused(raw: bytes) -> None:
    try:
        parse_table_schema(raw)
    except BadTableSchema as why:
        assert len(str(why)) < 1000


@pytest.mark.parametrize(
    ("separator", "content", "why"),
    [
        (",", b"age;sex;pay\n20;f;1\n", "separated by semicolons, and the schema wants commas. Save the file with commas"),
        (",", b"age\tsex\tpay\n", "separated by tabs"),
        (";", b"age,sex,pay\n", "separated by commas, and the schema wants semicolons"),
        (",", b"sep=,\r\nage,sex,pay\r\n", "it says 'sep=,', as spreadsheets do"),
        (",", b"age, sex, pay\n", "a space stands behind each separator"),
        (",", b"sex,pay\nf,1\n", "age: it is missing"),
    ],
)
def test_a_table_that_is_written_otherwise_is_told_as_that(separator: str, content: bytes, why: str) -> None:
    (said,) = told(schema(separator=separator), content)
    assert "line 1" in said and why in said


def test_what_other_systems_leave_or_save_is_named() -> None:
    """Notes that macOS writes beside files on disks of others, a table in UTF-16, lines that end in a carriage return alone."""
    files = [("in/._a.csv", b"\0\x05\x16\x07"), ("b.csv", "age\n20\n".encode("utf-16")), ("c.csv", b"age\r20\r")]
    report = check_tables(schema(AGE), [(name, io.BytesIO(raw)) for name, raw in files])
    told = [str(misfit) for misfit in report.misfits]
    assert told[0] == "'in/._a.csv', line 1: it is what macOS notes about another file, on disks that are not its own. Take it out"
    assert told[1] == "'b.csv', line 1: it is text in UTF-16: save it as CSV in UTF-8"
    assert told[2].startswith("'c.csv', line 1: its lines end in a carriage return alone; save it with plain line ends")
