"""What an event's data are: each has a name, and a form that says its type and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum


class Form(Enum):
    """How a value of a message or an event is to be read. The ledger checks the type alone."""

    NUMBER = "number"
    TIME = "time"
    """Milliseconds of the chain clock."""
    CREDITS = "credits"
    """Micro-credits."""
    LOSS = "loss"
    """1e-9 units."""
    CONTRACT = "contract"
    """A contract's number."""
    TEXT = "text"
    ID = "id"
    """An account, a content id, or any other bytes: told by their form."""
    HASH = "hash"
    """Bytes that are always shown as hex, whatever their length."""
    MEMO = "memo"
    """Bytes that are their sender's text."""


@dataclass(frozen=True)
class OneOf:
    """An integer that has a name; `upper` as the code writes it, otherwise in small letters with hyphens."""

    kind: type[IntEnum]
    upper: bool = False


_TYPES: dict[Form, type] = {Form.TEXT: str, Form.ID: bytes, Form.HASH: bytes, Form.MEMO: bytes}


@dataclass(frozen=True)
class Datum:
    """One value of an event; with `many` all that are left."""

    name: str
    form: Form | OneOf = Form.NUMBER
    many: bool = False

    def holds(self, value: object) -> bool:
        return isinstance(value, int if isinstance(self.form, OneOf) else _TYPES.get(self.form, int))


Data = tuple[Datum, ...]


def fits(declared: Data, data: Sequence[object]) -> bool:
    """Whether these are the data of such an event: as many as were declared, each of its type."""
    if not declared:
        return not data
    last = declared[-1]
    head = len(declared) - last.many
    if len(data) < head or (len(data) > head and not last.many):
        return False
    return all(d.holds(v) for d, v in zip(declared, data, strict=False)) and all(last.holds(v) for v in data[head:])
