"""Opens a connection to an address: TCP, TLS, websocket upgrade. Whoever answers there is hostile until it proved who it is."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientWebSocketResponse, ClientWSTimeout

from learningchain.p2p.connection import Link, Refused
from learningchain.p2p.listener import CUT_OFF, tls_problem
from learningchain.p2p.wire import MAX_FRAME, PATH, printable

_MAX_ANSWER: Final = 256


class _PeerSocket(ClientWebSocketResponse):
    """Keeps the transport at hand: a peer that does not read can only be cut off there."""

    def __init__(self, reader: Any, writer: Any, protocol: Any, response: ClientResponse, *args: Any, **kwargs: Any) -> None:
        super().__init__(reader, writer, protocol, response, *args, **kwargs)
        connection = response.connection
        self.transport = None if connection is None else connection.transport


async def _only_upgrades(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """LC-P2P-7: any answer but an upgrade is a refusal: its text is the reason. Redirects are not followed."""
    response = await handler(request)
    if response.status == 101:
        return response
    text = (await response.content.read(_MAX_ANSWER)).decode(errors="replace") if response.status == 403 else ""
    status = response.status
    response.close()
    raise Refused(printable(text.strip()) or f"answers with HTTP status {status}", by_peer=True)


class Dialler:
    """Makes connections. One per network, closed with it."""

    def __init__(self, context: ssl.SSLContext, timeout: float) -> None:
        self.context, self._timeout = context, timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout),
            middlewares=(_only_upgrades,),
            ws_response_class=_PeerSocket,
            auto_decompress=False,
            trust_env=False,
        )

    async def dial(self, address: str) -> Link:
        """Raises `Refused` with the reason when no websocket comes about."""
        try:
            async with asyncio.timeout(self._timeout):
                ws = await self._session.ws_connect(
                    f"wss://{address}{PATH}",
                    ssl=self.context,
                    autoping=False,
                    max_msg_size=MAX_FRAME,
                    timeout=ClientWSTimeout(ws_close=self._timeout),
                )
        except TimeoutError:
            raise Refused(f"no answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as e:
            raise Refused(_problem(e)) from None
        transport = ws.transport if isinstance(ws, _PeerSocket) else None
        if transport is None:
            await ws.close()
            raise Refused("connection lost")
        return Link(ws, transport, address, outbound=True)

    async def close(self) -> None:
        await self._session.close()


def _problem(error: Exception) -> str:
    """Why no connection came about, in words for the operator."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {tls_problem(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return tls_problem(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return CUT_OFF
    return printable(error) or type(error).__name__
