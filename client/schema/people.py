"""What a contract's slice says of an account in words: in `learningchain balance`, and on the account's page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from learningchain.client.contracts import PartKind


class PeoplePart(NamedTuple):
    """An account in words, as far as one contract is concerned. Both are given what the API says of it."""

    rows: Callable[[Any, int], list[tuple[str, Any]]]
    """(account, chain clock) -> name and value of each line."""
    role: Callable[[Any], str | None] = lambda _: None
    """(account) -> what it is called to, if to anything."""


PEOPLE: Final = PartKind("people", PeoplePart)
