"""The least of HTTP/2 and gRPC that sends one kind of request as fast as a server takes it (RFC 9113, RFC 7541).

A gRPC library costs its client more processor time per request than etcd spends on it, on the cores that etcd needs. Here a request
is two frames that are nearly ready-made, and of an answer only the frame heads are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_OPEN_WINDOW = (2**30).to_bytes(4, "big")
_REPEATED = bytes((0x83, 0x86, 0xC1, 0xC0, 0xBF, 0xBE))
"""POST, http, and the four fields that the first request put into the table."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _text(value: bytes) -> bytes:
    return bytes((len(value),)) + value


def _first(path: bytes, authority: bytes) -> bytes:
    """The first request's fields, entered into the table for the others."""
    return (
        bytes((0x83, 0x86, 0x44))
        + _text(path)
        + bytes((0x41,))
        + _text(authority)
        + bytes((0x5F,))
        + _text(b"application/grpc")
        + bytes((0x40,))
        + _text(b"te")
        + _text(b"trailers")
    )


def message(*fields: tuple[int, bytes]) -> bytes:
    """A gRPC message of Protobuf fields that are byte strings shorter than 128."""
    body = b"".join(bytes((number << 3 | 2,)) + _text(value) for number, value in fields)
    return b"\0" + len(body).to_bytes(4, "big") + body


class Calls(asyncio.Protocol):
    """One connection that calls one method. `answered(count)` is told how many calls have come back since the last time."""

    def __init__(self, path: str, authority: str, answered: Callable[[int], None]) -> None:
        self._path, self._authority, self._answered = path.encode(), authority.encode(), answered
        self._transport: asyncio.Transport | None = None
        self._stream, self._window, self._buffer = -1, 65_535, b""
        self._waiting: list[bytes] = []
        self.failed = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_WINDOW, 0, 0, _OPEN_WINDOW))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def call(self, messages: list[bytes]) -> None:
        """Sends them as far as the server's window allows, the rest as soon as it opens."""
        self._waiting += messages
        out, sent = [], 0
        for one in self._waiting:
            if len(one) > self._window:
                break
            self._window -= len(one)
            self._stream += 2
            head = _REPEATED if self._stream > 1 else _first(self._path, self._authority)
            out.append(_frame(_HEADERS, _END_HEADERS, self._stream, head) + _frame(_DATA, _END_STREAM, self._stream, one))
            sent += 1
        del self._waiting[:sent]
        if out and self._transport is not None:
            self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        """An answer is fields, a message and trailers; one without a message is an error."""
        buffer = self._buffer + data if self._buffer else data
        at, messages, ended, opened = 0, 0, 0, False
        while len(buffer) - at >= 9:
            size, kind, flags = int.from_bytes(buffer[at : at + 3], "big"), buffer[at + 3], buffer[at + 4]
            if len(buffer) - at < 9 + size:
                break
            payload = at + 9
            at = payload + size
            if kind == _DATA:
                messages += 1
            elif kind == _HEADERS:
                ended += flags & _END_STREAM
            else:
                # A single stream's window is of no interest: no request fills it.
                whole = buffer[at - size - 4 : at - size] == bytes(4)
                opened |= self._control(kind, flags, buffer[payload:at]) if whole or kind == _RESET else False
        self._buffer = buffer[at:]
        self._open += messages - ended
        if self._open < 0:
            self.failed = "a call came back without an answer"
        if opened:
            self.call([])
        if ended or self.failed:
            self._answered(ended)

    _open = 0
    """Messages whose trailers have not come yet."""

    def _control(self, kind: int, flags: int, payload: bytes) -> bool:
        """True when the server's window has opened."""
        if kind == _WINDOW:
            self._window += int.from_bytes(payload, "big")
            return True
        if kind in (_SETTINGS, _PING) and not flags & _ACK and self._transport is not None:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind in (_RESET, _GOAWAY):
            self.failed = f"the server broke off: frame {kind}, {payload[:60]!r}"
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed = self.failed or f"the connection ended: {exc}"
        self._answered(0)
