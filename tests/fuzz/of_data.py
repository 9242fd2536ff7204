"""Targets: the schema that a stranger posts for an owner's tables, and tables held against one."""

from __future__ import annotations

import io
import json

from learningchain.client.data.table_schema import MAX_MISFITS, BadTableSchema, check_tables, parse_table_schema
from tests.fuzz.targets import Target, check

COLUMNS = [
    {"name": "age", "datatype": "INT64", "min": 18, "max": 100},
    {"name": "sex", "datatype": "BYTES", "values": ["f", "m"]},
    {"name": "pay", "datatype": "FP64", "empty": True},
]
SCHEMA = parse_table_schema(json.dumps({"columns": COLUMNS}).encode())
TABLE = b"age,sex,pay\n18,f,0.5\n100,m,\n"


def table_schema(data: bytes) -> None:
    schema = parse_table_schema(data)
    for column in schema.columns:
        check(column.allowed.isprintable(), "words that cannot be shown")
        check(column.misfit("x" * 10_000) is not None, "anything fits")


def table(data: bytes) -> None:
    report = check_tables(SCHEMA, [("a.csv", io.BytesIO(data))])
    check(len(report.misfits) <= MAX_MISFITS, "more misfits than are told")
    check(all(str(misfit).isprintable() for misfit in report.misfits), "words that cannot be shown")
    check(report.rows <= data.count(b"\n") + 1, "more rows than lines")
    check(bool(report.misfits) or report.rows > 0, "a table without a row")


TARGETS = {
    "table-schema": Target(table_schema, (BadTableSchema,), 65_536),
    "table": Target(table),
}
EXAMPLES = {
    "table-schema": lambda: [json.dumps({"columns": COLUMNS, "separator": ";", "others": True}).encode()],
    "table": lambda: [TABLE],
}
