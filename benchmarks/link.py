"""One kept-alive HTTP connection that does next to nothing: the load shares its cores with what it measures.

The same client drives the ledger, anvil and ganache, so none of them pays for another one's client.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from urllib.parse import urlsplit

_MOST = 2**26
"""Bytes of the longest answer."""


class Link:
    """Requests go out one after the other; a body is sent as it is."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        lines = {"Host": parts.netloc, "Content-Type": "application/json"} | (headers or {})
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Link:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=2**20)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises `ConnectionError`, or `asyncio.IncompleteReadError` where the answer breaks off."""
        if self._reader is None or self._writer is None:
            raise ConnectionError("this link is not open")
        head = f"POST {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        return await self._answer(self._reader)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(min(_MOST, int(headers.get(b"content-length", b"0"))))
        return int(lines[0].split(b" ")[1]), body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(min(_MOST, size)))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(parts)
