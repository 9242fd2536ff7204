"""Values as Python has them: credits are Decimals, times are datetimes in UTC, lengths of time are texts, numbers or timedeltas."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from learningchain.chain.types import parse_credits
from learningchain.client.sdk.types import UsageError

Credits = Decimal | int | str | float
"""Credits as a caller gives them. A float is taken by its shortest text: 0.1 is a tenth."""
Span = str | float | timedelta
"""A length of time: "90s", "30m", "2h", "1d", seconds, or a timedelta."""
_SPAN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", re.ASCII)
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def sentence(text: str) -> str:
    """A reason as a sentence of its own. What it begins with may be the name of a file, which stays as it is."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def credits_text(given: Credits, what: str) -> str:
    """Credits as the API takes them. Raises `UsageError`."""
    exact = Decimal(str(given)) if isinstance(given, float) else given
    text = format(exact, "f") if isinstance(exact, Decimal) else str(exact)
    try:
        if parse_credits(text) == 0:
            raise ValueError("that is nothing at all")
    except ValueError as e:
        raise UsageError(f'{what} cannot be {given!r}: {e}. Give credits such as 12, "0.5" or Decimal("0.5")') from None
    return text


def loss_text(given: float | str | None) -> str | None:
    """A loss as the API takes it."""
    return None if given is None else format(Decimal(str(given)), "f") if isinstance(given, int | float) else given


def seconds(given: Span, what: str) -> float:
    """Raises `UsageError`."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, int | float):
        return float(given)
    found = _SPAN.fullmatch(given.strip())
    if found is None:
        raise UsageError(f'{what} cannot be {given!r}. Give a length of time such as "90s", "30m" or timedelta(minutes=30)')
    return float(found[1]) * _UNITS[found[2]]


def own_name(given: str | None) -> str | None:
    """A name of one's own for a job or a federation, in its one form. Raises `UsageError`."""
    from learningchain.client.keys.names import NamesError, checked

    try:
        return None if given is None else checked(given)
    except NamesError as e:
        raise UsageError(str(e)) from None


def moment(ms: int | None) -> datetime | None:
    """A time of the chain's clock; None where there is none."""
    return None if ms is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
