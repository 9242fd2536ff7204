"""Statlog (German Credit Data): see the package's head for whose they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from learningchain.examples.data import pinned, split

SHA256 = "2c0bae00275c028fc853a1ea72cc7a68002c3f6876c41300c5c948711540c8c6"
WITHHELD = ("personal_status_and_sex", "foreign_worker")
"""What a lender may not ask for in most places, so the model never sees it."""


def split_rows() -> tuple[bytes, bytes]:
    """(train.csv, eval.csv): eighteen facts, then 1 where the loan was paid back and 0 where not. Raises DataMissing."""
    raw = pinned(Path(__file__).with_name("germancredit.csv.gz"), SHA256, "take it from the repository again")
    rows = list(csv.DictReader(io.StringIO(raw.decode())))
    names = [name for name in rows[0] if name not in (*WITHHELD, "creditability")]
    lines = ([*(row[name] for name in names), str(int(row["creditability"] == "good"))] for row in rows)
    return split([*names, "truth"], lines)
