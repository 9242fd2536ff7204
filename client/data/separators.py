"""What stands between the cells of a table: commas, or semicolons or tabs where a spreadsheet has commas in its numbers. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection
from typing import Final

import msgspec

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SAID: Final = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
"""The line by which a spreadsheet is told: it is none of the table's."""


class TableForm(msgspec.Struct, frozen=True):
    """`said`: the first line says so, and the table begins on the second one. `spaced`: a space stands behind each separator."""

    separator: str = ","
    said: bool = False
    spaced: bool = False

    @property
    def name(self) -> str:
        return SEPARATORS[self.separator]


def form_of(first: str, wanted: Collection[str]) -> TableForm:
    """How a table is written whose first line this is, and which should have these columns; commas where nothing shows it."""
    if said := _SAID.fullmatch(first):
        return TableForm(said[1], said=True)
    for spaced in (False, True):
        for separator in SEPARATORS:
            if set(wanted) <= set(_cells(first, separator, spaced)):
                return TableForm(separator, spaced=spaced)
    return TableForm()


def _cells(line: str, separator: str, spaced: bool) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=separator, skipinitialspace=spaced, strict=True), [])
    except csv.Error:
        return []
