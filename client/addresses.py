"""Which URLs a callback may have, and which addresses it may go to.

A URL is checked when it is given and before every attempt, for the settings may have changed; an address in it at once, a name when
it is looked up.

A node stands behind walls that keep others out of its network. An address there is never called unless `[callback] allow` names it:
loopback, private, link-local, multicast and reserved ones, also inside of an IPv6 address that stands for an IPv4 one, and the
metadata services of clouds. https is a must for every address that `allow` does not name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

MAX_URL: Final = 2_048
_PRINTABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
LOOPBACK, PRIVATE = "loopback", "private"
WORDS: Final = {
    LOOPBACK: ("127.0.0.0/8", "::1/128"),
    PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}
"""What `[callback] allow` may say instead of addresses."""
_METADATA: Final = (ipaddress.ip_address("168.63.129.16"),)
"""Of clouds, at addresses that look public."""
_EMBEDDED: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), None),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("2001::/32"), None),
)
"""IPv6 networks whose addresses stand for an IPv4 one, and how many bits stand behind it: mapped, translated, compatible, NAT64 and
its local form, 6to4, Teredo. None: never called, whatever is inside."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UrlRefused(Exception):
    """A callback's URL, or an address behind it, is not called. The text says why and what to do."""


# --- settings ------------------------------------------------------------------------------------------------------------------


def parse_networks(text: str) -> list[Network]:
    """One entry of `[callback] allow`. Raises ValueError."""
    if text in WORDS:
        return [ipaddress.ip_network(one) for one in WORDS[text]]
    try:
        return [ipaddress.ip_network(text)]
    except ValueError:
        raise ValueError(f"{text[:80]!r} is none of loopback, private, an IP address, or a network such as 10.1.0.0/16") from None


@dataclass(frozen=True)
class AllowedAddresses:
    """The addresses that `[callback] allow` names."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        return cls(tuple(network for entry in entries for network in parse_networks(entry)))

    def names(self, address: Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address.version == network.version and address in network for network in self.networks)


# --- addresses -----------------------------------------------------------------------------------------------------------------


def is_public(address: Address) -> bool:
    """Whether an address belongs to the whole world: not to this machine, its networks, a group of machines or nobody."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_site_local:
            return False
        for network, behind in _EMBEDDED:
            if address in network:
                return behind is not None and is_public(ipaddress.IPv4Address((int(address) >> behind) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _METADATA


def check_address(address: Address, allowed: AllowedAddresses, *, encrypted: bool) -> None:
    """Raises `UrlRefused`. `encrypted`: the scheme is https."""
    if allowed.names(address):
        return
    if not is_public(address):
        raise UrlRefused(
            f"{address} is an address of this machine, of its networks or of nobody, and callbacks go to none of these. If it is "
            "yours, name it: learningchain config set callback.allow, with loopback, private, or the address"
        )
    if not encrypted:
        raise UrlRefused(
            f"http carries everything in the open, and {address} is on the public internet. Use https, or name the address in "
            "callback.allow"
        )


def as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


# --- URLs ----------------------------------------------------------------------------------------------------------------------


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
