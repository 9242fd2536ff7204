"""The URL of a database server: read by SQLAlchemy alone, and shown without its secrets.

Where a password ends is what the parser says, and nobody else guesses: a URL that could be read in two ways, such as one with an @
in its password that is not written %40, is refused, and nothing of it is shown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlalchemy as sa

MARK: Final = "://"
HIDDEN: Final = "***"
FORM: Final = "Write it as postgresql://USER@HOST:PORT/DATABASE, and in a password @ as %40, / as %2F, ? as %3F and & as %26"
_SECRET = re.compile(r"(?i)passw|secret|token")


def parse(text: str) -> sa.URL:
    """Raises ValueError, whose text shows nothing of the URL."""
    import sqlalchemy as sa

    try:
        url = sa.make_url(text)
    except (sa.exc.SQLAlchemyError, ValueError):
        raise ValueError("it is no database URL") from None
    _, _, rest = text.partition(MARK)
    user = rest.partition(":")[0] if url.password is not None else rest.rpartition("@")[0]
    ends = 0 if url.username is None and url.password is None else 1 + user.count("@")
    options = rest.partition("?")[2].split("&") if url.query else []
    if text.count("@") != ends or re.search(r"[?#&=]", user) or not all("=" in option for option in options):
        raise ValueError("where its password ends cannot be told")
    return url


def masked(text: str) -> str:
    """The URL as it may be shown: without its password and secret options, or without everything where it cannot be read."""
    scheme, _, rest = text.partition(MARK)
    try:
        url = parse(text)
    except ValueError:
        return f"{scheme}{MARK}{HIDDEN}" if re.fullmatch(r"[A-Za-z0-9+_.-]{1,40}", scheme) else HIDDEN
    if url.password is not None:
        user, _, behind = rest.partition(":")
        rest = f"{user}:{HIDDEN}@{behind.partition('@')[2]}"
    place, sign, options = rest.partition("?")
    shown = [f"{name}={HIDDEN if _is_secret(name) else value}" for name, _, value in (o.partition("=") for o in options.split("&"))]
    return f"{scheme}{MARK}{place}{sign}{'&'.join(shown) if sign else ''}"


def _is_secret(option: str) -> bool:
    return option != "passfile" and _SECRET.search(option) is not None


def secrets(text: str) -> list[str]:
    """What of a URL is never shown, longest first: as it is written in it, and as it is meant."""
    try:
        url = parse(text)
    except ValueError:
        return [text, text.partition(MARK)[2]] if MARK in text else []
    rest = text.partition(MARK)[2]
    found = [] if url.password is None else [str(url.password), rest.partition(":")[2].partition("@")[0]]
    for option in rest.partition("?")[2].split("&"):
        name, _, value = option.partition("=")
        if _is_secret(name):
            meant = url.query.get(name, "")
            found += [value, *([meant] if isinstance(meant, str) else meant)]
    return sorted({one for one in found if one}, key=len, reverse=True)


def without_secrets(said: str, url: str) -> str:
    """What a driver, a server or a library said about a database, without the secrets of its URL."""
    for secret in secrets(url):
        said = said.replace(secret, HIDDEN)
    return said


_TOLD = re.compile(
    r"(?i)(postgres[a-z0-9+]*://)(?:[^:/\n]*:(?!\*\*\*@)[^\n]*@|[^\n]*[?&][^=&\s]*(?:passw|secret|token)[^=&\s]*=(?!\*\*\*))[^\n]*"
)


def without_urls(said: str) -> str:
    """A text of any origin. A database's URL in it that is not masked is left out, with all that follows it in its line."""
    return _TOLD.sub(rf"\1{HIDDEN}", said) if MARK in said else said
