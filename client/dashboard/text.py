"""Values as people read them in a page. Pure; nothing here escapes: the templates do, for every value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

DASH: Final = "–"
_ID = re.compile(r"[0-9a-f]{24,}|lc1[0-9a-z]{30,}|b[a-z2-7]{40,}", re.ASCII)
_REFERENCE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGITS = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
MOST: Final = 2_000
"""Characters of one value that a page shows."""
_TRUSTED_SPACE = frozenset("\n\t")


def clean(value: Any) -> str:
    """Text of strangers: control characters, marks of direction and what does not show become visible signs, and it has an end."""
    text = str(value)
    shown = text if len(text) <= MOST else text[:MOST] + "…"
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c in _TRUSTED_SPACE else "\N{REPLACEMENT CHARACTER}" for c in shown)


def shown(value: Any) -> str:
    return DASH if value is None else "yes" if value is True else "no" if value is False else clean(value)


def date(milliseconds: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (TypeError, ValueError, OverflowError, OSError):
        return DASH


def iso(milliseconds: Any) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def span(milliseconds: Any) -> str:
    """A length of time in its two largest units."""
    if not isinstance(milliseconds, int | float):
        return DASH
    rest = max(0, round(milliseconds / 1_000))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if rest >= size or (unit == "s" and not parts):
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2])


def relative(milliseconds: Any, now: Any) -> str:
    """A time beside another one of the same clock."""
    if not isinstance(milliseconds, int) or not isinstance(now, int):
        return DASH
    return f"in {span(milliseconds - now)}" if milliseconds > now else f"{span(now - milliseconds)} ago"


def size(count: Any) -> str:
    if not isinstance(count, int):
        return DASH
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def short(text: Any) -> str:
    """An id or an address cut for a table."""
    if not isinstance(text, str):
        return DASH
    if text.startswith("lc1") and len(text) > 16:
        return f"{text[:9]}…{text[-4:]}"
    return text if len(text) <= 16 else f"{text[:12]}…"


def brief(text: Any) -> str:
    """An id or address as a table shows it; other text as it is."""
    return short(text) if isinstance(text, str) and _ID.fullmatch(text) else clean(text)


def words(name: Any) -> str:
    """A name of the protocol, such as `next-best` or `bounty_paid`, in words."""
    return clean(name).replace("_", " ").replace("-", " ").replace(".", " ").strip().lower()


_PAGES = {
    "accounts": "Members",
    "files": "Machine",
    "models": "Models",
    "predictions": "Predictions",
    "federations": "Federations",
    "jobs": "Jobs",
    "runs": "Runs",
    "peers": "Peers",
    "status": "Overview",
    "parameters": "Proposals",
}
_REQUEST = re.compile(r"(?:GET|POST|PUT|DELETE) /v1/([a-z-]+)[^\s.;,:)]*", re.ASCII)
_HELP = re.compile(r"(?:Correct [a-z_]+)?[;.]? ?GET /v1/openapi\.json [^.;]*", re.ASCII)


def in_pages(text: str) -> str:
    """A refusal of the API for somebody who looks at pages: no request is named, but the page that shows the same."""
    said = _HELP.sub("", text).strip().rstrip(";")
    return _REQUEST.sub(lambda found: f"the page {_PAGES[found[1]]}" if found[1] in _PAGES else "the command learningchain", said)


def flat(value: Any, before: str = "") -> list[tuple[str, str]]:
    """A document of JSON as lines of a path and a text, for what has no page of its own."""
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in flat(inner, f"{before}.{key}" if before else str(key))]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and any(isinstance(x, Mapping | list) for x in value):
        return [line for at, inner in enumerate(value) for line in flat(inner, f"{before}.{at}")]
    if isinstance(value, list):
        return [(before, ", ".join(map(shown, value)) or DASH)]
    return [(before, shown(value))]


def is_reference(value: Any) -> bool:
    """32 bytes in hex, as jobs, models and what else has a page are named."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def is_number(value: Any) -> bool:
    """A whole number, also as text, that a time in milliseconds may be."""
    return _DIGITS.fullmatch(str(value)) is not None


def is_account(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("lc1") and ":" not in text
