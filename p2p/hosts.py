"""What an address says by itself: who counts as one host and as one network where connections of strangers are bounded (an IPv6
customer has a whole /64), and how far an address reaches."""

from __future__ import annotations

import ipaddress
from enum import IntEnum


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _prefix(text: str, v4: int, v6: int) -> str:
    found = _address(text)
    if found is None:
        return text
    bits = v4 if isinstance(found, ipaddress.IPv4Address) else v6
    return str(ipaddress.ip_network((found, bits), strict=False))


def host_of_address(text: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address. An IPv4 address in IPv6's notation is that IPv4 address."""
    return _prefix(text, 32, 64)


def network_of_address(text: str) -> str:
    """The /24 of an IPv4 address, or the /48 of an IPv6 address."""
    return _prefix(text, 24, 48)


class Reach(IntEnum):
    """LC-P2P-40: where an address means the same host: nowhere, on one machine, on the networks of one owner, everywhere."""

    NONE = 0
    MACHINE = 1
    PRIVATE = 2
    GLOBAL = 3


_PRIVATE_NAMES = (".local", ".lan", ".internal", ".home.arpa")


def reach_of(host: str) -> Reach:
    """LC-P2P-40, of an IP address or a name. A name without a dot is one of a private network."""
    found = _address(host)
    if found is None:
        name = host.lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return Reach.MACHINE
        return Reach.PRIVATE if "." not in name or name.endswith(_PRIVATE_NAMES) else Reach.GLOBAL
    if found.is_unspecified or found.is_multicast or found == ipaddress.IPv4Address(2**32 - 1):
        return Reach.NONE
    if found.is_loopback:
        return Reach.MACHINE
    return Reach.GLOBAL if found.is_global else Reach.PRIVATE


def is_told(host: str, over: str) -> bool:
    """LC-P2P-40: whether the address `host` is told, and believed, on a connection whose other end is the address `over`."""
    return reach_of(host) > Reach.NONE and reach_of(host) >= reach_of(over)
