"""What a contract's slice adds to the settings of a node."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

from msgspec import Struct

from learningchain.client.contracts import PartKind


class SettingsPart(NamedTuple):
    """Settings of one contract. A setting's name is its section's, a dot, and its own."""

    sections: Mapping[str, type[Struct]]
    """By a section's name, what is in it: [work] and [serve] are shared, any other is the contract's own."""
    checks: Mapping[str, Callable[[Any], Any]] = {}
    """By a setting's name: raises ValueError for a value that is none, whatever its type and bounds say."""
    changeable: Collection[str] = ()
    """Settings that the owner may change over HTTP."""
    renamed: Mapping[str, str] = {}
    """By the name that a setting had: what it is called now."""


SETTINGS: Final = PartKind("settings", SettingsPart)
