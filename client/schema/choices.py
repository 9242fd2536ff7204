"""What the fields of a request say only together, as JSON Schema: openapi.json has a request's `CHOICES` beside its fields.

The handlers check the same in words of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
NULL: Schema = {"type": "null"}
GIVEN: Schema = {"not": NULL}


def given(*names: str, null: tuple[str, ...] = (), **values: Any) -> Schema:
    """A case: these fields are there, those are not, and some have one value."""
    properties: Schema = dict.fromkeys(names, GIVEN) | dict.fromkeys(null, NULL)
    properties |= {name: {"const": value} for name, value in values.items()}
    return {"required": [*names, *values], "properties": properties}


def exactly_one(*names: str, more: Mapping[str, tuple[str, ...]] | None = None) -> Schema:
    """Exactly one of these fields is there; `more`: which others it needs."""
    needs = more or {}
    return {"oneOf": [given(name, *needs.get(name, ()), null=tuple(other for other in names if other != name)) for name in names]}


def at_least_one(*names: str) -> Schema:
    return {"anyOf": [given(name) for name in names]}


def needs(name: str, *others: str) -> Schema:
    """Where this field is there, those are."""
    return {"anyOf": [{"properties": {name: NULL}}, given(*others)]}
