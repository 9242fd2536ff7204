"""One question to a node of this machine over a plain socket: what a command needs that asks, prints and ends.

The client of `http` keeps connections, streams and checks who listens; to import it takes longer than all else that such a command
does. This asks where the answer to "who listens there?" is the plain one, this user or root (`is_plain`), and nowhere else.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlsplit

from learningchain.client.sdk.listener import listening_users, local_host

CONNECT_S: Final = 5.0
MAX_HEAD: Final = 65_536
_PIECE: Final = 256 * 1024
_END: Final = b"\r\n\r\n"


class NeedsMoreError(Exception):
    """What is asked needs more than this: streams, files, several questions at a time. Nothing was sent for it."""


class PlainAnswer(NamedTuple):
    """What came: the HTTP status and the body."""

    status: int
    body: bytes


def is_plain(url: str) -> bool:
    """Whether a node of this user or of root listens at a port of this machine, and nobody else does."""
    try:
        parts = urlsplit(url)
        host, port = local_host(parts.hostname or ""), parts.port or 80
    except ValueError:
        return False
    if host is None or parts.scheme != "http":
        return False
    users = listening_users([host], port)
    return bool(users) and users <= {os.getuid(), 0}


def ask_plainly(
    url: str, method: str, path: str, query: Mapping[str, str], body: Any, token: str | None, timeout_s: float, most: int
) -> PlainAnswer:
    """Ask by HTTP/1.0: the connection ends with the answer. Raises OSError, ValueError for what is no such answer."""
    parts = urlsplit(url)
    asked = "&".join(f"{name}={quote_plus(value)}" for name, value in query.items())
    sent = b"" if body is None else _json(body)
    head = [f"{method} {parts.path}{path}{f'?{asked}' if asked else ''} HTTP/1.0", f"Host: {parts.netloc}", "Accept: */*"]
    head += [f"Authorization: Bearer {token}"] if token else []
    head += [f"Content-Length: {len(sent)}", "Content-Type: application/json"] if sent else []
    ends = time.monotonic() + timeout_s
    with socket.create_connection((_dialled(parts.hostname), parts.port or 80), min(CONNECT_S, timeout_s)) as wire:
        wire.sendall("\r\n".join(head).encode("ascii") + _END + sent)
        return _parsed(_received(wire, ends, most))


def _dialled(host: str | None) -> Any:
    """In bytes: for a text Python loads its tables of the names of the world."""
    return (host or "").encode("ascii")


def _json(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


def _received(wire: socket.socket, ends: float, most: int) -> bytes:
    raw = bytearray()
    while True:
        wire.settimeout(max(0.001, ends - time.monotonic()))
        piece = wire.recv(_PIECE)
        if not piece:
            return bytes(raw)
        raw += piece
        if len(raw) > most + MAX_HEAD:
            raise ValueError(f"it sent more than {most >> 20} MiB. Ask for less at once")


def _parsed(raw: bytes) -> PlainAnswer:
    """Without its length an answer that was cut would pass for a whole one."""
    head, found, body = raw.partition(_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    words = first.split(" ", 2)
    if not found or len(words) < 2 or not words[0].startswith("HTTP/1.") or not (words[1].isascii() and words[1].isdigit()):
        raise ValueError("what answers does not speak HTTP")
    if fields.get("content-length") != str(len(body)):
        raise ValueError("its answer ended too early")
    return PlainAnswer(int(words[1]), body)
