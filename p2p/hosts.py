"""Who counts as one host and as one network where connections of strangers are bounded: an IPv6 customer has a whole /64."""

from __future__ import annotations

import ipaddress


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
