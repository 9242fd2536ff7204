"""What one value of a table may be: a datatype, bounds, a list of what is possible. Schemas of strangers are made of such columns.

Everything is bounded, nothing in it is run, and its words are printable.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

MAX_TEXT_BYTES: Final = 4_096
"""Of one value that is a text."""
MAX_CELL: Final = 64
"""Characters of a number in a table."""

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
INTEGERS: Final[Mapping[str, tuple[int, int]]] = {
    **{f"UINT{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}
FLOATS: Final[Mapping[str, float]] = {"FP16": 65_504.0, "FP32": (2 - 2**-23) * 2.0**127, "FP64": 1.7976931348623157e308}
"""The largest number of each."""
_NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)

DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]{1,3})?", re.ASCII)
"""A number as spreadsheets of many languages write it."""
_GROUPED: Final = re.compile(r"[+-]?[0-9]*([.,'’\s][0-9]+)+([eE][+-]?[0-9]{1,3})?")
"""And with signs between thousands, of which there are many."""

Choice = int | float | str


class TableColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column. What `fault` says nothing against can be used."""

    name: Annotated[str, Meta(pattern=_NAME)]
    datatype: Datatype
    min: int | float | None = None
    max: int | float | None = None
    values: Annotated[tuple[Choice, ...], Meta(min_length=1, max_length=1024)] | None = None
    about: Annotated[str, Meta(max_length=256)] = ""

    @property
    def allowed(self) -> str:
        """In words, what a value of it may be."""
        if self.values is not None:
            shown = ", ".join(map(str, self.values[:12]))
            return f"one of {shown}" + (f" and {len(self.values) - 12} more" if len(self.values) > 12 else "")
        if self.datatype == "BOOL":
            return "true or false"
        if self.datatype == "BYTES":
            return f"a text of at most {MAX_TEXT_BYTES} bytes"
        kind = "a whole number" if self.datatype in INTEGERS else "a number"
        low, high = self.bounds
        given = self.min is not None or self.max is not None or self.datatype in INTEGERS
        return f"{kind} from {low} to {high}" if given else kind

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        if self.datatype in INTEGERS:
            low, high = INTEGERS[self.datatype]
            return (low if self.min is None else self.min, high if self.max is None else self.max)
        most = FLOATS[self.datatype]
        return (-most if self.min is None else self.min, most if self.max is None else self.max)

    def value(self, given: Any) -> bool | int | float | str | None:
        """One value as it is sent; None where it is none of this column's."""
        found = self._of_its_kind(given)
        return found if found is None or self.values is None or found in self.values else None

    def _of_its_kind(self, given: Any) -> bool | int | float | str | None:
        """Whatever the column lists."""
        kind = type(given)
        if self.datatype == "BOOL":
            return given if kind is bool else None
        if self.datatype == "BYTES":
            return given if kind is str and _is_short(given) else None
        if kind is float and given.is_integer() and abs(given) < 2**53 and (given or math.copysign(1, given) > 0):
            given, kind = int(given), int  # 3.0 and 3 are one number, and are sent as one
        if kind is not int and (kind is not float or self.datatype in INTEGERS):
            return None
        if self.datatype in FLOATS and abs(given) <= FLOATS["FP64"] and abs(given) >= 2**53:
            given = float(given)
        low, high = self.bounds
        return given if low <= given <= high else None

    @property
    def fault(self) -> str | None:
        """What is wrong with it: bounds and values are of its own kind, and leave something."""
        bounds = [bound for bound in (self.min, self.max) if bound is not None]
        if self.datatype in ("BOOL", "BYTES"):
            if bounds:
                return f"{self.name} has the datatype {self.datatype}, which has no least and no greatest value"
            if self.datatype == "BOOL" and self.values is not None:
                return f"{self.name} is true or false, and lists values"
        else:
            least, most = INTEGERS.get(self.datatype) or (-FLOATS[self.datatype], FLOATS[self.datatype])
            if not all(least <= bound <= most for bound in bounds):
                return f"{self.name} has a bound that {self.datatype} cannot hold"
            if self.bounds[0] > self.bounds[1]:
                return f"{self.name} has a least value above the greatest"
        return self._fault_of_words()

    def _fault_of_words(self) -> str | None:
        for choice in self.values or ():
            if isinstance(choice, str) and not choice.isprintable():
                return f"{self.name} lists what cannot be printed"
            if self._of_its_kind(choice) is None:
                return f"{self.name} lists a value that it cannot have: {str(choice)[:40]!r}"
        if len(set(self.values or ())) != len(self.values or ()):
            return f"{self.name} lists a value twice"
        return None if self.about.isprintable() else f"{self.about[:40]!r} holds what cannot be printed"

    def cell(self, text: str) -> bool | int | float | str | None:
        """The value that a cell of a table holds; None where it is none of this column's."""
        return self.value(_typed(self.datatype, text))

    def refusal(self, text: str) -> str:
        """Why a cell of a table is none of this column's."""
        why = f"{shown_value(text)} is not {self.allowed} ({self.datatype})"
        cell = text.strip()[:MAX_CELL]
        if self.datatype in ("BOOL", "BYTES") or NUMBER.fullmatch(cell) or not _GROUPED.fullmatch(cell):
            return why
        return f"{why}; write numbers with a decimal point, and nothing between thousands"


def _typed(datatype: str, text: str) -> Any:
    """A cell as its datatype has it; None where it is none."""
    if datatype == "BYTES":
        return text
    text = text.strip()
    if datatype == "BOOL":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower())
    if len(text) > MAX_CELL:
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else None


def _is_short(text: str) -> bool:
    try:
        return len(text.encode()) <= MAX_TEXT_BYTES
    except UnicodeEncodeError:
        return False


def shown_value(given: Any) -> str:
    """A stranger's value in a text for people: short and printable."""
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) >= 10**40:
        return "a number of more than forty digits"
    text = (
        repr(given[:40])
        if isinstance(given, str)
        else f"a {type(given).__name__}"
        if isinstance(given, list | dict)
        else repr(given)
    )
    return text.encode("unicode_escape").decode()[:60]
