"""What the themes of the API share: a route, one call with its parsed parts, and the limits that every request obeys.

Requests are hostile: bodies are bounded, JSON and queries are parsed into types that refuse unknown fields, every number has a
bound. Handlers get parsed values only.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from learningchain.chain.crypto import parse_address
from learningchain.chain.errors import Malformed
from learningchain.client.api.errors import ErrorResponse, RequestError, unavailable, usage
from learningchain.client.api.whole_node import NodeService
from learningchain.client.contracts import PartKind
from learningchain.client.kept import KeptFiles
from learningchain.client.keys.tokens import FULL, Token, Tokens, TokenScope
from learningchain.client.schema.bodies import NoQuery, Strict
from learningchain.p2p.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from learningchain.chain.host import Reader
    from learningchain.client.api.following import Follower, Followers
    from learningchain.client.api.hub import Hub
    from learningchain.client.api.load import Load
    from learningchain.client.api.metrics import Metrics
    from learningchain.client.api.sessions import Sessions
    from learningchain.client.api.tickets import Tickets
    from learningchain.client.node.block_figures import OwnFigures
    from learningchain.client.node.interface import Ledger
    from learningchain.client.schema.render import Json
    from learningchain.p2p.outsiders import Door

T = TypeVar("T")

MAX_JSON = 256 * 1024
BODY_TIMEOUT_S = 30.0
SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_SEE = "GET /v1/openapi.json describes every request"


@dataclass(frozen=True)
class ServerLimits:
    """Bounds of one server. Counts are of requests at the same time."""

    waits: int = 256
    streams: int = 32
    streams_per_token: int = 8
    """Of `streams`: what one token may have open; as many are left to the owner's, which may have half of all."""
    uploads: int = 4
    downloads: int = 16
    requests: int = 512
    connections: int = 512
    connections_per_address: int = 384
    """Connections in all, and of one IPv4 address or IPv6 /64. Event streams count as every other."""
    strangers_per_s: float = 50.0
    strangers_at_once: float = 100.0
    """Requests without the token that are answered in a second, all connections together; so many at once after a rest."""
    header_s: float = 10.0
    """From the first byte of a request, or the begin of a connection, to the end of its header."""
    idle_s: float = 75.0
    """For how long a connection is kept that asks nothing more."""
    stall_s: float = 30.0
    """Whoever takes less than 16 KiB of an answer that waits in this time does not read it."""
    upload_bytes: int = 64 * 2**30
    spare_bytes: int = 256 * 2**20
    """Disk space that an upload leaves free."""
    queue_bytes: int = 4 * 2**20
    """What an event stream may lag behind before it is dropped."""
    read_idle_s: float = 60.0
    slowest_bytes: int = 256 * 2**10
    """What of an upload must arrive in `read_idle_s`."""
    heartbeat_s: float = 15.0
    run_poll_s: float = 0.5


class Slots:
    """A bounded number of something at the same time; the one above it is refused, not queued. Tokens of less have half of the
    places together, and each a quarter: the owner finds one however many they hold."""

    def __init__(self, what: str, most: int) -> None:
        self.what, self.most, self.used = what, most, 0
        self._of: Counter[str] = Counter()
        """Places by token of less."""

    def _has_room(self, token: Token) -> bool:
        if token.scope >= TokenScope.ALL:
            return self.used < self.most
        together, alone = max(1, self.most // 2), max(1, self.most // 4)
        return self.used < self.most and self._of.total() < together and self._of[token.id] < alone

    @contextmanager
    def take(self, token: Token = FULL) -> Iterator[None]:
        if not self._has_room(token):
            whose = "for this token " if token.scope < TokenScope.ALL and self.used < self.most else ""
            raise unavailable(
                f"This node answers at most {self.most} {self.what} at the same time and all {whose}are taken. Try again shortly",
                name="TOO_MANY",
            )
        less = token.scope < TokenScope.ALL
        self.used += 1
        self._of.update([token.id] if less else [])
        try:
            yield
        finally:
            self.used -= 1
            self._of -= Counter([token.id] if less else [])


class Turns:
    """Requests that take turns: `rate` a second, `burst` at once after a rest, in the order in which they came.

    Whoever goes away while it waits has cost nothing, so connecting again and again holds nobody up.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._pause, self._first = 1 / rate, asyncio.Lock()
        self._bucket = TokenBucket(rate, burst, asyncio.get_running_loop().time())

    async def turn(self) -> None:
        async with self._first:
            while not self._bucket.spend(asyncio.get_running_loop().time(), 1.0):
                await asyncio.sleep(self._pause)


@dataclass
class Context:
    """What handlers work with."""

    node: NodeService
    version: str
    limits: ServerLimits
    spool: Path
    hub: Hub
    waits: Slots
    uploads: Slots
    downloads: Slots
    metrics: Metrics
    followers: Followers
    tokens: Callable[[], Tokens | None]
    kept: KeptFiles
    """Of the node, for handlers that must not forget."""
    sessions: Sessions
    """Of the dashboard."""
    load: Load
    """Of this machine, sampled from the server's start on."""
    tickets: Tickets
    """For streams."""
    prove: Callable[[str, bytes, str], str | None]
    """That this server knows the token of an id, for a nonce."""
    openapi: Callable[[], bytes]
    """Made when it is first asked for: a start does not need it."""


@dataclass(frozen=True)
class Call:
    """One request: `query` and `body` are instances of the route's types."""

    context: Context
    request: web.Request
    query: Any
    body: Any
    token: Token = FULL
    """On whose word."""

    @property
    def node(self) -> NodeService:
        return self.context.node

    def path(self, name: str) -> str:
        return self.request.match_info[name]


@dataclass(frozen=True)
class Reply:
    """An answer with a status of its own."""

    status: int
    body: Any


Handler = Callable[[Call], Awaitable[Any]]
"""Returns what JSON can carry, a `Reply`, or a response that it made itself."""


@dataclass(frozen=True)
class Route:
    """A line of the table that the server and openapi.json are made from. `response` None: `media` is streamed."""

    method: str
    path: str
    summary: str
    handler: Handler
    response: Any = None
    request: type | None = None
    query: type[Strict] = NoQuery
    public: bool = False
    media: str = "application/json"
    upload: bool = False
    failures: tuple[int, ...] = ()
    """Statuses beyond 400, 401, 403 and 503 that this route answers with."""
    scope: TokenScope | None = None
    """What its caller's token must at least allow. None: to read where it is a GET, and everything where it is not."""
    match: str = ""
    """How aiohttp matches the path, where a part of it may hold what stands between parts."""
    packed: bool = False
    """A body may come compressed: the handler unpacks it, within a bound of its own."""
    refusal: Callable[[RequestError], web.Response] | None = None
    """Makes the response of a refusal where another protocol says its shape, and `refused` is that shape's type."""
    refused: type = ErrorResponse
    either: type | None = None
    """What an upload holds that comes as JSON: the handler reads it, as it reads other bytes."""
    streamed: type | None = None
    """What the JSON holds that is streamed."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of its protocol, in requests and in answers: what each says."""
    ticket: bool = False
    """A one-use ticket in its query does in place of the token (`client.api.tickets`)."""
    owner: bool = False
    """For the token in api.token alone: it says whose the account is. A token that may do this has no limit and no end, whatever it
    says: it names itself a guardian."""

    @property
    def needs(self) -> TokenScope:
        if self.scope is not None:
            return self.scope
        return TokenScope.READ if self.method == "GET" else TokenScope.ALL


# --- parsing ------------------------------------------------------------------------------------------------------------------


def parse_query(request: web.Request, kind: type[T]) -> T:
    names = [name for name, _ in request.query.items()]
    if len(set(names)) != len(names):
        raise usage(f"A query parameter stands twice in this request. Give each once; {_SEE}")
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as e:
        raise usage(f"The query is not valid: {e}. Correct it; {_SEE}") from None


async def parse_body(request: web.Request, kind: type[T]) -> T:
    raw = await read_bounded(request, MAX_JSON)
    try:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.ValidationError as e:
            if "got `float`" not in str(e):
                raise
            return msgspec.convert(_whole_numbers(msgspec.json.decode(raw)), kind)
    except msgspec.ValidationError as e:
        raise usage(f"The request is not valid: {e}. Correct that field; {_SEE}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise usage(f"The body is no JSON: {e}. Send one JSON object; {_SEE}", name="BAD_JSON") from None


def _whole_numbers(value: Any) -> Any:
    """The same with 4.0 as 4, which are one number in JSON: programs of languages without integers write it so. What is handed to
    a container stays as it is."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: one if name == "params" else _whole_numbers(one) for name, one in value.items()}
    return [_whole_numbers(one) for one in value] if isinstance(value, list) else value


LOGIN_BODY: web.RequestKey[bytes] = web.RequestKey("login", bytes)
"""The body of a login, which is read before anything else of it is looked at."""


async def read_bounded(request: web.Request, limit: int) -> bytes:
    """The body, at most `limit` bytes of it and within BODY_TIMEOUT_S."""
    too_large = usage(f"The body is larger than {limit} bytes, the most that this endpoint reads", name="TOO_LARGE", status=413)
    if (request.content_length or 0) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.content.iter_any():
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise usage(f"The body did not arrive within {BODY_TIMEOUT_S:g} s. Send it again", name="TIMEOUT", status=408) from None
    return b"".join(parts)


def parse_field(name: str, parse: Callable[[str], T], text: str) -> T:
    """A text with a form of its own; a refusal names the field."""
    try:
        return parse(text)
    except (ValueError, Malformed) as e:
        raise usage(f"{name} is not valid: {e}. Correct {name}; {_SEE}") from None


_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


def parse_hash(text: str) -> bytes:
    if not _HASH.fullmatch(text):
        raise ValueError("an id is 64 lower-case hex digits")
    return bytes.fromhex(text)


def parse_account(name: str, text: str) -> bytes:
    return parse_field(name, parse_address, text)


class ApiPart(NamedTuple):
    """What one contract adds to what a node answers."""

    about: str | None
    """Of which the first line is its theme in openapi.json: its module's docstring."""
    routes: tuple[Route, ...]
    followers: tuple[type[Follower], ...] = ()
    path: Mapping[str, Mapping[str, Any]] = {}
    """What the variable parts of its paths are, as schemas."""
    figures: Callable[[bytes], OwnFigures] | None = None
    """(account of this node) -> what its metrics count of the node from the events of blocks."""
    door: Callable[[Ledger, Callable[[], bytes], Callable[[], int]], Door] | None = None
    """(ledger, the genesis file, a monotonic clock in milliseconds) -> what this node answers to who asks to join."""


class AccountPart(NamedTuple):
    """What is said of an account, as far as one contract is concerned."""

    view: type
    """Its fields, a TypedDict."""
    of: Callable[[Reader, bytes], Json]
    """(state, account) -> the values of these fields."""


API: Final = PartKind("api", ApiPart)
ACCOUNT: Final = PartKind("account", AccountPart)
