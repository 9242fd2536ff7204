"""Before a token goes to a port of this machine: who listens there?

While the node is down any user of this machine may bind its port, and would be sent the token of the next command. So nothing is
sent over a new connection before its listener is known:

    of this user or of root (/proc/net/tcp)    -> trusted: both could read the token anyway
    anybody else's, or unknown                 -> has to prove that it knows the token, for the address and port that it listens at

An address is dialled, never a name: `localhost` means two loopbacks, and another user may listen where the node does not.
The proof (GET /v1/proof) is HMAC-SHA256 by the SHA-256 of the token over PROOF, the address that was connected to, the port and a
nonce: who only passes on what another address or port of this machine says proves nothing. Who proved it is trusted for as long as
the same user listens.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

PROOF: Final = b"learningchain: the API at an address and port knows a token\0"
NONCE: Final = 32
MAX_LISTENERS: Final = 65_536
"""Lines of /proc/net/tcp that are looked at: those of listening sockets come first."""
_LISTEN: Final = "0A"
_OF_TOKEN: Final = re.compile(r"lct_([0-9a-f]{8})_", re.ASCII)
LOCALHOST: Final = "127.0.0.1"
"""What `localhost` is taken for: where a node listens unless its owner says otherwise."""

Ask = Callable[[str, str], Awaitable[str]]
"""Asks the API for a proof, by the token's name and the nonce in hex, without the token; the answer as it came."""


def token_name(token: str) -> str:
    """The id of a token that was made, or `full`: says which one without saying it."""
    found = _OF_TOKEN.match(token)
    return found[1] if found else "full"


def token_key(token: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(token).digest()


def proof_of(key: bytes, address: str, port: int, nonce: bytes) -> str:
    """By the key of a token, in hex. `address`: an IP address, with IPv4 also as IPv6 writes it."""
    import hmac

    at = ipaddress.ip_address(address.partition("%")[0])
    packed = at.packed if at.version == 6 else bytes(10) + b"\xff\xff" + at.packed
    return hmac.digest(key, PROOF + packed + port.to_bytes(2, "big") + nonce, "sha256").hex()


class Stranger(Exception):
    """Who listens is not known to know the token. The text says who it is."""


class PortHolder:
    """One address and port of this machine, as a client with a token sees it. `owners` gives the users that listen there."""

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        ask: Ask,
        *,
        owners: Callable[[Iterable[str], int], set[int]] | None = None,
    ) -> None:
        self._host, self._port, self._token, self._ask = host, port, token, ask
        self._owners = listening_users if owners is None else owners
        self._proved: int | None = None

    async def check(self) -> None:
        """Once for each new connection. Raises `Stranger`."""
        import asyncio
        import hmac
        import secrets

        users = await asyncio.to_thread(self._owners, [self._host], self._port)
        if users and users <= {os.getuid(), 0, self._proved}:
            return
        nonce = secrets.token_bytes(NONCE)
        said = await self._ask(token_name(self._token), nonce.hex())
        if not hmac.compare_digest(
            said.encode("utf-8", "replace"), proof_of(token_key(self._token.encode()), self._host, self._port, nonce).encode()
        ):
            raise Stranger(", ".join(_user(uid) for uid in sorted(users)) or "an unknown user")
        self._proved = next(iter(users)) if len(users) == 1 else None


def is_localhost(host: str) -> bool:
    """Whether a host of a URL is a name of this machine itself."""
    return host == "localhost" or host.endswith(".localhost")


def local_host(host: str) -> str | None:
    """The loopback address of this machine that a host of a URL means; None where it is another machine's."""
    if is_localhost(host):
        return LOCALHOST
    try:
        return host if ipaddress.ip_address(host).is_loopback else None
    except ValueError:
        return None


def listening_users(hosts: Iterable[str], port: int, folder: Path = Path("/proc/net")) -> set[int]:
    """Users of the sockets that connections to these addresses reach; empty where this system does not tell."""
    found = {kind: _listening(folder / kind, port) for kind in ("tcp", "tcp6")}
    return {uid for host in hosts for uid in _reached(host, found["tcp"], found["tcp6"])}


def _reached(host: str, four: dict[str, set[int]], six: dict[str, set[int]]) -> set[int]:
    """By the most exact address, as the kernel chooses (inet_lookup_listener)."""
    address = ipaddress.ip_address(host)
    if address.version == 6:
        return six.get(_as_in_proc(address.packed)) or six.get(_as_in_proc(bytes(16))) or set()
    mapped = bytes(10) + b"\xff\xff" + address.packed
    return (
        four.get(_as_in_proc(address.packed), set()) | six.get(_as_in_proc(mapped), set())
        or four.get(_as_in_proc(bytes(4)))
        or six.get(_as_in_proc(bytes(16)))
        or set()
    )


def _as_in_proc(packed: bytes) -> str:
    """Words of 32 bits in the machine's order."""
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _listening(path: Path, port: int) -> dict[str, set[int]]:
    """By address as the file has it: users of sockets that listen at a port."""
    found: dict[str, set[int]] = {}
    try:
        with path.open() as file:
            next(file, None)
            for _, line in zip(range(MAX_LISTENERS), file, strict=False):
                words = line.split()
                address, _, at = words[1].partition(":")
                if words[3] != _LISTEN:
                    break
                if int(at, 16) == port:
                    found.setdefault(address, set()).add(int(words[7]))
    except (OSError, ValueError, IndexError):
        return {}
    return found


def _user(uid: int) -> str:
    import pwd  # not everywhere where programs import the SDK

    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
