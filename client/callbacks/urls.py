"""The form of a callback's URL, as a user of this node types it. It is checked when it is given and before every attempt, for the
settings may have changed; an address in it at once, a name when it is looked up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from learningchain.client.addresses import Address, AllowedAddresses, UrlRefused, as_address, check_address

MAX_URL: Final = 2_048
_PRINTABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class CallbackUrl:
    """A URL in the form that is called. `host` is a name or an address, without brackets."""

    text: str
    host: str
    port: int
    encrypted: bool

    @property
    def origin(self) -> str:
        """What is spared together: one server."""
        return f"{self.host}:{self.port}"

    @property
    def address(self) -> Address | None:
        return as_address(self.host)

    @classmethod
    def parse(cls, text: str, allowed: AllowedAddresses) -> Self:
        """Raises `UrlRefused`. An address in it is checked here; a name when it is called."""
        split = _split(text)
        if split.scheme not in ("https", "http"):
            raise UrlRefused("A callback's URL begins with https:// (or http:// for what callback.allow names). Correct it")
        if split.username is not None or split.password is not None or "@" in split.netloc:
            raise UrlRefused("The URL holds credentials, which would lie in logs. The signature says who calls: take them out")
        if split.fragment or "#" in text:
            raise UrlRefused("The URL has a fragment (#...), which no server ever sees. Take it out")
        try:
            host, port = (split.hostname or "").lower(), split.port
        except ValueError:
            raise UrlRefused("The URL's port is no number from 1 to 65535. Correct it") from None
        if port == 0:
            raise UrlRefused("The URL's port is no number from 1 to 65535. Correct it")
        encrypted = split.scheme == "https"
        url = cls(text, host, port or (443 if encrypted else 80), encrypted)
        if (address := url.address) is not None:
            check_address(address, allowed, encrypted=encrypted)
        elif not _HOST.fullmatch(host) or ".." in host:
            raise UrlRefused(
                "The URL names no host, or one that no name of the DNS looks like. Write an internationalised one as xn--..."
            )
        return url


def _split(text: str) -> SplitResult:
    if len(text) > MAX_URL:
        raise UrlRefused(f"The URL has {len(text)} characters, at most {MAX_URL} are called. Use a shorter one")
    if not _PRINTABLE.fullmatch(text) or "\\" in text:
        raise UrlRefused("The URL has characters that no URL has (spaces, backslashes, controls, non-ASCII). Percent-encode them")
    try:
        return urlsplit(text)
    except ValueError:
        raise UrlRefused("This is no URL: what stands between // and the next / cannot be read. Correct it") from None
