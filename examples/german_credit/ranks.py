"""The same loans with twenty numbers instead of fifty-five: words that have an order are told as their place in it, and of what the
loan is for no more than whether it is for a new car, a used one or something else. With the intercept a model has 21 values."""

from __future__ import annotations

import csv
import io
from typing import Any

from learningchain.examples.german_credit import data

ORDERS = {
    "status_of_existing_checking_account": (
        "... < 0 DM",
        "0 <= ... < 200 DM",
        "... >= 200 DM / salary assignments for at least 1 year",
        "no checking account",
    ),
    "credit_history": (
        "no credits taken/ all credits paid back duly",
        "all credits at this bank paid back duly",
        "existing credits paid back duly till now",
        "delay in paying off in the past",
        "critical account/ other credits existing (not at this bank)",
    ),
    "savings_account_and_bonds": (
        "... < 100 DM",
        "100 <= ... < 500 DM",
        "500 <= ... < 1000 DM",
        "... >= 1000 DM",
        "unknown/ no savings account",
    ),
    "present_employment_since": (
        "unemployed",
        "... < 1 year",
        "1 <= ... < 4 years",
        "4 <= ... < 7 years",
        "... >= 7 years",
    ),
    "other_debtors_or_guarantors": ("co-applicant", "none", "guarantor"),
    "property": (
        "unknown / no property",
        "car or other, not in attribute Savings account/bonds",
        "building society savings agreement/ life insurance",
        "real estate",
    ),
    "other_installment_plans": ("bank", "stores", "none"),
    "housing": ("for free", "rent", "own"),
    "job": (
        "unemployed/ unskilled - non-resident",
        "unskilled - resident",
        "skilled employee / official",
        "management/ self-employed/ highly qualified employee/ officer",
    ),
    "telephone": ("none", "yes, registered under the customers name"),
}
"""As the bank of 1994 lists them: its codes A11 to A14 and so on, the better ones later where they are better or worse."""
KEPT = ("car (new)", "car (used)")
OTHER = "something else"


def split_rows() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv) of `data`, in numbers. Raises DataMissing."""
    training, evaluation = map(_in_numbers, data.split_rows())
    return training, evaluation


def _in_numbers(table: bytes) -> bytes:
    rows, text = csv.DictReader(io.StringIO(table.decode())), io.StringIO()
    written = csv.DictWriter(text, rows.fieldnames or (), lineterminator="\n")
    written.writeheader()
    written.writerows({name: _number(name, value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _number(name: str, value: str) -> str | int:
    if name == "purpose":
        return value if value in KEPT else OTHER
    return ORDERS[name].index(value) if name in ORDERS else value


def in_numbers(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The schema's fields for these rows."""
    return [_field(one) for one in inputs]


def _field(one: dict[str, Any]) -> dict[str, Any]:
    if one["name"] == "purpose":
        return one | {"values": [*KEPT, OTHER]}
    if one["name"] not in ORDERS:
        return one
    order = ORDERS[one["name"]]
    said = "; ".join(f"{place} {word}" for place, word in enumerate(order))
    return {"name": one["name"], "datatype": "INT64", "shape": [], "min": 0, "max": len(order) - 1, "about": said}
