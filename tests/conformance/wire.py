"""The canonical encoding of `protocol_spec/encoding.md` in a second implementation: on msgpack alone, importing nothing of ours.

A schema says which values fit and how the spec writes it; decoding checks the schema and that the bytes are the one encoding of the
value. Each bound of each field is a check of its own on the list.
"""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]

from tests.conformance.checks import Refused, check, need, register, watched

# --- bytes --------------------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """LC-ENC-1, 2: shortest forms; no maps, floats, nil or extensions."""
    return bytes(msgpack.packb(value, use_bin_type=True))


@check("LC-ENC-1")
def only_types_of_the_protocol_stand_in_a_value(value: Any) -> bool:
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    return _is_plain(value)


def _is_plain(value: Any) -> bool:
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    return type(value) in (int, bool, str, bytes)


@check("LC-ENC-2")
def the_encoding_is_the_canonical_one(raw: bytes, value: Any) -> bool:
    return encode(value) == raw


@check("LC-ENC-3")
def the_bytes_are_not_longer_than_their_type_allows(raw: bytes, limit: int) -> bool:
    return len(raw) <= limit


def decode_plain(raw: bytes) -> Any:
    """Any canonical value, whatever its schema."""
    try:
        value = msgpack.unpackb(raw, raw=False, strict_map_key=False)
        only_types_of_the_protocol_stand_in_a_value(value)
        the_encoding_is_the_canonical_one(raw, value)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.exceptions.UnpackException) as e:
        raise Refused(f"not MessagePack: {e}") from None
    return value


def decode(schema: Schema, raw: bytes, limit: int) -> Any:
    """LC-ENC-3, 4."""
    the_bytes_are_not_longer_than_their_type_allows(raw, limit)
    if (schema, raw) in _good and not watched():
        return msgpack.unpackb(raw, raw=False, strict_map_key=False)
    value = decode_plain(raw)
    schema.fit(value)
    if len(raw) <= MAX_KEPT_BYTES and not watched():
        if len(_good) == MAX_KEPT:
            _good.clear()
        _good.add((schema, raw))
    return value


MAX_KEPT, MAX_KEPT_BYTES = 20_000, 4_096
_good: set[tuple[Schema, bytes]] = set()
"""What was found good of late: a record is read far more often than it changes."""


# --- schemas ------------------------------------------------------------------------------------------------------------------


class Schema:
    """`notation` is how `records.md` writes the type."""

    notation: str

    def bind(self, place: str) -> None:
        """Put the checks of this field on the list; called once, with the record's and the field's name."""

    def fit(self, value: Any) -> None:
        """Raises `Refused`."""


class Bounded(Schema):
    """What has a type and a least and a most: integers by value, bytes and texts by length."""

    unit: type

    def __init__(self, low: int, high: int | None, notation: str) -> None:
        self.low, self.high, self.notation = low, high, notation

    def copy(self) -> Bounded:
        return type(self)(self.low, self.high, self.notation)

    def bind(self, place: str) -> None:
        self._type, self._least, self._most = (f"{place}: {what}" for what in ("its type", "its least", "its most"))
        register(self._type)
        if self._has_least():
            register(self._least)
        if self._has_most():
            register(self._most)

    def _has_least(self) -> bool:
        return True

    def _has_most(self) -> bool:
        return self.high is not None

    def measure(self, value: Any) -> int:
        return len(value)

    def fit(self, value: Any) -> None:
        need(self._type, type(value) is self.unit)
        if type(value) is self.unit:
            if self._has_least():
                need(self._least, self.measure(value) >= self.low)
            if self.high is not None and self._has_most():
                need(self._most, self.measure(value) <= self.high)


class Integer(Bounded):
    unit = int

    def measure(self, value: Any) -> int:
        return int(value)

    def _has_least(self) -> bool:
        return self.low > -(2**63)

    def _has_most(self) -> bool:
        return self.high != 2**64 - 1


class Binary(Bounded):
    unit = bytes

    def _has_least(self) -> bool:
        return self.low > 0


class Text(Binary):
    """LC-ENC-4: lengths are counted in code points."""

    unit = str


class Items(Bounded):
    unit = list

    def __init__(self, of: Schema, low: int, high: int | None) -> None:
        span = "" if high is None else str(low) if low == high else f"{low}..{high}"
        super().__init__(low, high, f"[{of.notation}; {span}]" if span else f"[{of.notation}]")
        self.of = fresh(of)

    def copy(self) -> Bounded:
        return Items(self.of, self.low, self.high)

    def bind(self, place: str) -> None:
        super().bind(place)
        self.of.bind(f"{place}[]")

    def _has_least(self) -> bool:
        return self.low > 0

    def fit(self, value: Any) -> None:
        super().fit(value)
        if type(value) is list:
            for item in value:
                self.of.fit(item)


class Nothing(Items):
    """A list that has to be empty: what would stand in it is looked at by nobody."""

    def __init__(self, of: Schema, low: int = 0, high: int | None = 0) -> None:
        super().__init__(of, low, high)

    def copy(self) -> Bounded:
        return Nothing(self.of)

    def bind(self, place: str) -> None:
        Bounded.bind(self, place)

    def fit(self, value: Any) -> None:
        Bounded.fit(self, value)


class Boolean(Schema):
    notation = "bool"

    def bind(self, place: str) -> None:
        self._type = register(f"{place}: its type")

    def fit(self, value: Any) -> None:
        need(self._type, type(value) is bool)


class Scalar(Boolean):
    """LC-BLK-4: what stands in an event's data."""

    notation = "scalar"

    def fit(self, value: Any) -> None:
        need(self._type, type(value) in (int, bool, str, bytes))


class Record(Schema):
    """LC-ENC-4, 5: its fields in order, behind its tag where it has one."""

    def __init__(self, name: str, *fields: tuple[str, Schema], tag: int | None = None) -> None:
        self.name, self.notation, self.tag = name, name, tag
        self.fields = [(field, fresh(schema)) for field, schema in fields]
        self._shape = register(f"{name}: as many fields as its table")
        if tag is not None:
            self._tag = register(f"{name}: its tag")
        for field, schema in self.fields:
            schema.bind(f"{name}.{field}")

    def fit(self, value: Any) -> None:
        offset = int(self.tag is not None)
        need(self._shape, type(value) is list and len(value) == len(self.fields) + offset)
        if self.tag is not None:
            need(self._tag, type(value[0]) is int and value[0] == self.tag)
        for (_, schema), item in zip(self.fields, value[offset:], strict=False):
            schema.fit(item)


class Inline(Schema):
    """A record without a name of its own."""

    def __init__(self, *fields: tuple[str, Schema]) -> None:
        self.fields = [(field, fresh(schema)) for field, schema in fields]
        self.notation = "{" + ", ".join(f"{field} {schema.notation}" for field, schema in fields) + "}"

    def bind(self, place: str) -> None:
        self._shape = register(f"{place}: as many fields as its table")
        for field, schema in self.fields:
            schema.bind(f"{place}.{field}")

    def fit(self, value: Any) -> None:
        need(self._shape, type(value) is list and len(value) == len(self.fields))
        for (_, schema), item in zip(self.fields, value, strict=False):
            schema.fit(item)


class OneOf(Schema):
    """LC-ENC-5: the first field is the tag."""

    def __init__(self, *of: Record, notation: str = "") -> None:
        self.by_tag = {record.tag: record for record in of}
        self.notation = notation or " or ".join(record.notation for record in of)

    def bind(self, place: str) -> None:
        self._known = register(f"{place}: a known tag")

    def fit(self, value: Any) -> None:
        known = type(value) is list and len(value) > 0 and type(value[0]) is int and value[0] in self.by_tag
        need(self._known, known)
        if known:
            self.by_tag[value[0]].fit(value)


def fresh(schema: Schema) -> Schema:
    """Bounds are bound to one field each."""
    if isinstance(schema, Bounded):
        return schema.copy()
    if isinstance(schema, Record):
        return schema
    if isinstance(schema, Inline):
        return Inline(*schema.fields)
    if isinstance(schema, OneOf):
        return OneOf(*schema.by_tag.values(), notation=schema.notation)
    return type(schema)()


def integer(low: int, high: int, notation: str = "") -> Integer:
    return Integer(low, high, notation or f"{low}..{high}")


def binary(low: int, high: int | None) -> Binary:
    span = "" if high is None else str(low) if low == high else f"{low}..{high}"
    return Binary(low, high, f"bytes {span}".strip())


def text(low: int, high: int) -> Text:
    return Text(low, high, f"text {low}..{high}")


def items(of: Schema, low: int = 0, high: int | None = None) -> Items:
    return Items(of, low, high)


# --- LC-ENC-6: the common types -----------------------------------------------------------------------------------------------

UINT = integer(0, 2**63 - 1, "uint")
HEIGHT = integer(0, 2**48, "height")
ROUND = integer(0, 2**31 - 1, "round")
POL = integer(-1, 2**31 - 1, "-1..2^31-1")
INT = integer(-(2**63), 2**63 - 1, "-2^63..2^63-1")
ANY_INTEGER = Integer(-(2**63), 2**64 - 1, "integer")
POSITIVE = integer(1, 2**63 - 1, "1..2^63-1")
SMALL = integer(0, 255)
U32 = integer(0, 2**32 - 1, "0..2^32-1")
ID, HASH = Binary(20, 20, "id"), Binary(32, 32, "hash")
KEY, SIGNATURE = Binary(33, 33, "key"), Binary(64, 64, "signature")
BLOCK_ID, REF, ANY_BYTES = binary(0, 32), binary(0, 64), binary(0, None)
BOOL, SCALAR = Boolean(), Scalar()
