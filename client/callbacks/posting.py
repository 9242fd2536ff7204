"""One attempt: a POST through every wall that `urls` names, and what its end means.

    2xx        told                       410        nothing more is wanted there
    other      it is tried again: also a redirect, which is never followed, and everything that goes wrong on the way

Only the status line counts. The body of an answer is not read: the connection is closed behind the headers, so an answer of any
length costs what the kernel and one buffer hold. Certificates are verified against the host of the URL.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from enum import Enum
from typing import Final

import aiohttp
from aiohttp.connector import AddrInfoType
from yarl import URL

from learningchain.client.addresses import AllowedAddresses, CallbackUrl, UrlRefused, check_address
from learningchain.client.callbacks.resolving import CheckedResolver, LookUp, system_look_up
from learningchain.client.callbacks.signatures import signed_headers

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
"""From the start of an attempt to the end of the answer's headers."""
MAX_LINE: Final = 8_190
"""Bytes of a line of the answer's headers."""
GONE: Final = 410


class Told(Enum):
    TOLD = "told"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class PostOutcome:
    """`status`: of the answer, 0 where there was none. `note`: what went wrong, for the user."""

    end: Told
    status: int
    note: str


@dataclass(frozen=True)
class Caller:
    """What every attempt goes by. `tls` and `look_up` are replaced in tests alone."""

    allowed: AllowedAddresses
    version: str
    tls: ssl.SSLContext | None = None
    look_up: LookUp = system_look_up
    connect_s: float = CONNECT_S
    answer_s: float = ANSWER_S

    async def post(self, url: str, secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> PostOutcome:
        """`timestamp` in seconds. Never raises but for cancellation."""
        try:
            status = await self._post(CallbackUrl.parse(url, self.allowed), secret, webhook_id, timestamp, body)
        except UrlRefused as refused:
            return PostOutcome(Told.FAILED, 0, str(refused))
        except TimeoutError:
            return PostOutcome(Told.FAILED, 0, f"no answer within {self.answer_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError, ssl.SSLError) as fault:
            return PostOutcome(Told.FAILED, 0, _said(fault))
        return _meaning(status)

    async def _post(self, url: CallbackUrl, secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> int:
        headers = signed_headers(secret, webhook_id, timestamp, body)
        headers |= {"Content-Type": "application/json", "User-Agent": f"LearningChain/{self.version}"}
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self.allowed, encrypted=url.encrypted, look_up=self.look_up),
            socket_factory=lambda place: self._socket(place, url),
            ssl=self.tls or ssl.create_default_context(),
            use_dns_cache=False,
            force_close=True,
            limit=1,
        )
        limits = aiohttp.ClientTimeout(total=self.answer_s, sock_connect=self.connect_s)
        async with (
            asyncio.timeout(self.answer_s),
            aiohttp.ClientSession(
                connector=connector,
                timeout=limits,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=MAX_LINE,
                max_field_size=MAX_LINE,
                trust_env=False,
            ) as session,
        ):
            answer = await session.post(same_url(url), data=body, headers=headers, allow_redirects=False)
            try:
                return answer.status
            finally:
                answer.close()

    def _socket(self, place: AddrInfoType, url: CallbackUrl) -> socket.socket:
        """The last wall: whatever read the URL or looked up the name, no connection begins to an address that is not called."""
        check_address(ipaddress.ip_address(place[4][0]), self.allowed, encrypted=url.encrypted)
        return socket.socket(*place[:3])


def same_url(url: CallbackUrl) -> URL:
    """The URL as the library has it, which must have read the same host and port in it as the check did."""
    found = URL(url.text, encoded=True)
    if (found.host, found.port) != (url.host, url.port):
        raise UrlRefused("The URL can be read in two ways. Write it plainly: https://host/path")
    return found


def _meaning(status: int) -> PostOutcome:
    if 200 <= status < 300:
        return PostOutcome(Told.TOLD, status, "")
    if status == GONE:
        return PostOutcome(Told.GONE, status, "410: nothing more is wanted there")
    if 300 <= status < 400:
        return PostOutcome(Told.FAILED, status, f"{status}: a redirect, which is never followed; give the URL that it leads to")
    return PostOutcome(Told.FAILED, status, f"the answer was {status}")


def _said(fault: BaseException) -> str:
    """What went wrong, in a line; a refusal of ours is inside of what the library raises."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, UrlRefused):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {text}"[:300] if text else type(fault).__name__
