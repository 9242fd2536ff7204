"""Who is no member and may ask one thing: to become one. One short request on a connection of its own, answered and dropped.

    TLS as between members: the certificate binds the connection to a key that is on no ledger (LC-P2P-2 to LC-P2P-6)
      -> POST /lc/1/join, at most MAX_ASK bytes -> whoever knows invitations answers -> the connection ends

Nothing else of the node can be reached: no channel is open, no peer learns of it, nothing is kept of who asks but its rate.
LC-P2P-36, 37.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from learningchain.chain.crypto import SigningKey, account_id, address
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.p2p.address_book import parse_endpoint
from learningchain.p2p.connection import Refused
from learningchain.p2p.limits import TokenBucket
from learningchain.p2p.listener import tls_problem
from learningchain.p2p.tls import CA, NotAuthenticated, WrongPeer, issue_leaf, make_contexts, peer_identity

JOIN_PATH: Final = f"/lc/{PROTOCOL_VERSION}/join"
MAX_ASK: Final = 1_024
MAX_ANSWER: Final = 16_000_000
"""A genesis file has no more."""
SMALL: Final = 65_536
MAX_LARGE: Final = 4
LARGE_S: Final = 60.0
"""LC-P2P-37: answers above SMALL that are being sent at the same time, and how long each may take."""
RATE, BURST = 2.0, 16.0
ALL_RATE, ALL_BURST = 32.0, 64.0
"""LC-P2P-37: questions in a second, and at once after a rest: of one key, and of all whose key is of no open invitation."""
MAX_KEYS: Final = 256
"""Of each kind. Keys cost nothing, open invitations do: who makes up keys pushes out those of its kind alone."""

Answer = tuple[int, bytes]
"""An HTTP status and what goes with it."""


@dataclass(frozen=True)
class Door:
    """Who answers. `answer` is given the key that the asking side proved, and what it asks; `invited` says whether the key is that
    of an open invitation, from what is at hand."""

    answer: Callable[[bytes, bytes], Awaitable[Answer]]
    invited: Callable[[bytes], bool]


class Outsiders:
    """The bounds around a door. Times in seconds of `clock`, which is monotonic."""

    def __init__(self, door: Door, clock: Callable[[], float], timeout: float) -> None:
        self._door, self._clock, self._timeout = door, clock, timeout
        self._all = TokenBucket(ALL_RATE, ALL_BURST, clock())
        self._strangers: OrderedDict[bytes, TokenBucket] = OrderedDict()
        self._guests: OrderedDict[bytes, TokenBucket] = OrderedDict()
        """Keys that asked, the one that asked longest ago first. A guest's was of an open invitation then: it is one while it asks
        whether it is in, too, when the invitation was used."""
        self._large: set[bytes] = set()
        """Whose large answers are being sent."""

    async def answer(self, request: web.BaseRequest, key: bytes, admitted: Callable[[], object]) -> web.StreamResponse:
        """`admitted` is called where the connection may take longer than one that has not said hello. Raises `Refused`."""
        now = self._clock()
        if not self._has_turn(key, now):
            return _short(429, b"asked too often: try again in a second")
        try:
            async with asyncio.timeout(self._timeout):
                asked = await request.content.read(MAX_ASK + 1)
                while len(asked) <= MAX_ASK and not request.content.at_eof():
                    asked += await request.content.read(MAX_ASK + 1 - len(asked))
        except TimeoutError:
            raise Refused(f"no question within {self._timeout:g} s") from None
        if len(asked) > MAX_ASK:
            raise Refused(f"a question of more than {MAX_ASK} bytes")
        status, body = await self._door.answer(key, asked)
        if len(body) <= SMALL:
            return _short(status, body)
        return await self._send_large(request, key, (status, body), admitted)

    def _has_turn(self, key: bytes, now: float) -> bool:
        """An open invitation's key asks as often as one key may, however many others ask."""
        if key in self._guests or self._door.invited(key):
            return _bucket(self._guests, key, now).spend(now, 1.0)
        return _bucket(self._strangers, key, now).spend(now, 1.0) and self._all.spend(now, 1.0)

    async def _send_large(
        self, request: web.BaseRequest, key: bytes, answer: Answer, admitted: Callable[[], object]
    ) -> web.StreamResponse:
        status, body = answer
        if key in self._large or len(self._large) >= MAX_LARGE:
            return _short(429, b"as many are being served as this node serves at once: try again in a while")
        self._large.add(key)
        admitted()
        response = web.StreamResponse(status=status)
        response.content_length = len(body)
        response.force_close()
        try:
            async with asyncio.timeout(LARGE_S):
                await response.prepare(request)
                for at in range(0, len(body), SMALL):
                    await response.write(body[at : at + SMALL])
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._large.discard(key)
        return response


def _bucket(kept: OrderedDict[bytes, TokenBucket], key: bytes, now: float) -> TokenBucket:
    if key not in kept:
        kept[key] = TokenBucket(RATE, BURST, now)
    kept.move_to_end(key)
    while len(kept) > MAX_KEYS:
        kept.popitem(last=False)
    return kept[key]


def _short(status: int, body: bytes) -> web.Response:
    response = web.Response(status=status, body=body)
    response.force_close()
    return response


# --- the other side -----------------------------------------------------------------------------------------------------------


async def ask(
    address_: str, peer: bytes, question: bytes, *, key: SigningKey, chain_id: bytes, ca: CA, now: float, timeout_s: float
) -> Answer:
    """Ask the member `peer` at an address, as who has `key`. `ca.cert_pem` may be empty: whoever asks has no genesis yet.

    Nothing is sent before the other side proved to be `peer`. Raises `Refused` where no answer comes.
    """
    context = make_contexts(issue_leaf(key, account_id(key.public), chain_id, ca, now), ca).client
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(*parse_endpoint(address_), ssl=context, limit=SMALL)
            try:
                _check_peer(writer, peer, chain_id, now)
                head = (f"POST {JOIN_PATH} HTTP/1.1", f"Host: {address_}", f"Content-Length: {len(question)}", "Connection: close")
                writer.write("\r\n".join([*head, "", ""]).encode("ascii") + question)
                await writer.drain()
                return await _answered(reader)
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise Refused(f"no answer within {timeout_s:g} s") from None
    except NotAuthenticated as e:
        raise Refused(str(e)) from None
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as e:
        raise Refused(tls_problem(e)) from None


def _check_peer(writer: asyncio.StreamWriter, peer: bytes, chain_id: bytes, now: float) -> None:
    tls = writer.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        raise NotAuthenticated("the connection ended before the answer")
    identity = peer_identity(tls, chain_id, now)
    if identity.id != peer:
        raise WrongPeer(f"{address(identity.id)} answered, not {address(peer)}")


async def _answered(reader: asyncio.StreamReader) -> Answer:
    """An answer of HTTP/1.1 that ends with its connection. Raises `Refused`, EOFError, ValueError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, _, rest = head[0].partition(" ")
    if version != "HTTP/1.1" or not rest[:3].isdigit():
        raise Refused("what answers there speaks no HTTP")
    named = (line.partition(":") for line in head[1:])
    size = int(next((value for name, _, value in named if name.strip().lower() == "content-length"), "0"))
    if not 0 <= size <= MAX_ANSWER:
        raise Refused(f"an answer of more than {MAX_ANSWER} bytes")
    return int(rest[:3]), await reader.readexactly(size)
