"""What stands between the cells of a table: commas, or semicolons or tabs where a spreadsheet has commas in its numbers. And
whether it has them. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from learningchain.client.data.columns import DECIMAL_COMMA, NUMBER

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SAID: Final = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
"""The line by which a spreadsheet is told: it is none of the table's."""


_PACKED: Final = {
    b"PK\3\4": "it is a workbook, or another zip archive, and no text: save it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "it is a workbook and no text: save it as CSV in UTF-8",
    b"\x1f\x8b": "it is packed by gzip: unpack it (gunzip)",
    b"\xff\xfe": "it is text in UTF-16: save it as CSV in UTF-8",
    b"\xfe\xff": "it is text in UTF-16: save it as CSV in UTF-8",
    b"PAR1": "it is a Parquet file and no text: save it as CSV in UTF-8",
}
"""By how a file begins."""


def no_table(begin: bytes) -> str | None:
    """What a file is that begins so and is no table, whatever it is called."""
    return next((said for sign, said in _PACKED.items() if begin.startswith(sign)), None)


class TableForm(msgspec.Struct, frozen=True):
    """`said`: the first line says so, and the table begins on the second one. `spaced`: a space stands behind each separator.
    `comma`: its numbers have decimal commas."""

    separator: str = ","
    said: bool = False
    spaced: bool = False
    comma: bool = False

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


_EITHER: Final = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}", re.ASCII)
"""Thousands, or a decimal comma."""


def has_decimal_commas(numbers: Iterable[str]) -> bool:
    """Whether these cells can be meant in no other way: one shows a decimal comma beyond doubt, and none has a point."""
    sure = False
    for text in map(str.strip, numbers):
        if "." in text and NUMBER.fullmatch(text):
            return False
        sure = sure or (DECIMAL_COMMA.fullmatch(text) is not None and _EITHER.fullmatch(text) is None)
    return sure


def with_point(text: str) -> str:
    """A cell with a decimal comma as one with a point."""
    return text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text.strip()) else text


def _cells(line: str, separator: str, spaced: bool) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=separator, skipinitialspace=spaced, strict=True), [])
    except csv.Error:
        return []
