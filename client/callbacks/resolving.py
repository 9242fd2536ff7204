"""How a name becomes an address that is called: looked up once for a connection, by the machine's own resolver, and checked between
the look-up and the connection, which is made to what was checked. What the name says a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from learningchain.client.addresses import AllowedAddresses, as_address, check_address

MOST_ADDRESSES: Final = 8
"""Of a name: more are not tried."""
RESOLVE_S: Final = 5.0
LookUp = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> its addresses as texts. Raises OSError."""


async def system_look_up(host: str, port: int) -> list[str]:
    """What the machine's own resolver says. Numbers in old notations (127.1, 0x7f000001) come out as addresses, too."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(one[4][0]) for one in found]


class CheckedResolver(AbstractResolver):
    """For one connection: every address of the name is checked, and only those go on. One that is refused refuses them all: a name
    that points into a private network besides a public one is somebody's try."""

    def __init__(self, allowed: AllowedAddresses, *, encrypted: bool, look_up: LookUp = system_look_up) -> None:
        self._allowed, self._encrypted, self._look_up = allowed, encrypted, look_up

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        async with asyncio.timeout(RESOLVE_S):
            found = await self._look_up(host, port)
        results: list[Any] = []
        for text in dict.fromkeys(found):
            address = as_address(text)
            if address is None:
                raise OSError(f"{host} has the address {text[:80]!r}, which cannot be read")
            check_address(address, self._allowed, encrypted=self._encrypted)
            version = socket.AF_INET if address.version == 4 else socket.AF_INET6
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            results.append({"hostname": host, "host": text, "port": port, "family": version, "proto": 0, "flags": flags})
        if not results:
            raise OSError(f"{host} has no address")
        return results[:MOST_ADDRESSES]

    async def close(self) -> None:
        """Nothing is kept."""
