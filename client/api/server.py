"""The HTTP API of a node: one aiohttp server over `client.core.NodeService`. Loopback by default, token-protected, no CORS.

Every request passes these checks: how many at a time, the Host header (a name that somebody else's DNS points here is refused),
the token (compared in constant time), the query and the body parsed into the route's types. Every refusal has one shape.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from chain.storage.errors import StorageError
from client.api.errors import ErrorBody, ErrorResponse, RequestError, not_found, unauthorized, usage
from client.api.following import Followers
from client.api.http_listener import HttpConnection, HttpListener
from client.api.hub import Hub
from client.api.metrics import Metrics
from client.api.openapi import document
from client.api.route import (
    MAX_JSON,
    SAFE_HEADERS,
    Call,
    Context,
    Reply,
    Route,
    ServerLimits,
    Slots,
    Turns,
    parse_body,
    parse_query,
)
from client.api.table import FOLLOWERS, ROUTES
from client.core import NodeService

log = structlog.get_logger(__name__)

MIN_TOKEN = 16
SHUTDOWN_S = 2.0
_ROUTE = web.RequestKey("route", Route)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARD = frozenset({"0.0.0.0", "::", ""})


class ApiServer:
    """`start` listens and returns the port, `stop` ends every request within seconds.

    `spool` is a folder on the disk of the content store, for uploads that are not complete; without one a temporary folder is used.
    """

    def __init__(
        self,
        node: NodeService,
        *,
        listen: tuple[str, int],
        token: str,
        version: str,
        spool: Path | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        if len(token) < MIN_TOKEN:
            raise ValueError(
                f"the API's token has {len(token)} characters, at least {MIN_TOKEN} are needed: remove api.token to renew it"
            )
        self._node, self._listen, self._version = node, listen, version
        self._token = token.encode()
        self._limits = limits or ServerLimits()
        self._spool = spool
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._slots = Slots("requests", self._limits.requests)
        self._strangers: Turns | None = None
        self._metrics = Metrics(node)
        self._hub = Hub(node, queue_bytes=self._limits.queue_bytes, run_poll_s=self._limits.run_poll_s)
        self._followers = Followers(node.ledger.state, FOLLOWERS)
        self._following: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._door: HttpListener | None = None

    async def start(self) -> int:
        """Listen. Raises OSError when the address is taken."""
        context = self._context()
        app = web.Application(middlewares=[self._admit], client_max_size=MAX_JSON)
        for _, route in ROUTES:
            app.router.add_route(route.method, route.path, self._endpoint(route, context))
        self._runner = web.AppRunner(app, handle_signals=False, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the server was not set up")
        self._door = HttpListener(self._limits)
        self._strangers = Turns(self._limits.strangers_per_s, self._limits.strangers_at_once)
        try:
            port = await self._door.listen(server, *self._listen)
        except OSError:
            await self.stop()
            raise
        self._hub.start()
        self._following = asyncio.create_task(self._followers.keep_up())
        return port

    async def stop(self) -> None:
        await self._hub.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        if self._door is not None:
            self._door.stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def _context(self) -> Context:
        if self._spool is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="learningchain-api-")
            spool = Path(self._temporary.name)
        else:
            spool = self._spool
            spool.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in spool.glob("upload-*"):
                left.unlink(missing_ok=True)
        limits = self._limits
        return Context(
            node=self._node,
            version=self._version,
            limits=limits,
            spool=spool,
            hub=self._hub,
            waits=Slots("waiting requests", limits.waits),
            uploads=Slots("uploads", limits.uploads),
            downloads=Slots("downloads", limits.downloads),
            metrics=self._metrics,
            followers=self._followers,
            openapi=document,
        )

    # --- one request ----------------------------------------------------------------------------------------------------------

    def _endpoint(self, route: Route, context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def endpoint(request: web.Request) -> web.StreamResponse:
            request[_ROUTE] = route
            if not route.public:
                self._authorise(request)
            query: Any = parse_query(request, route.query)
            body: Any = None if route.request is None else await parse_body(request, route.request)
            return _response(await route.handler(Call(context, request, query, body)))

        return endpoint

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = request.protocol
        if self._strangers is not None and not self._has_token(request):
            if isinstance(connection, HttpConnection) and not request.content.is_eof():
                connection.read_no_more()
            # Before its connection counts as busy: whoever waits here still makes room for others.
            await self._strangers.turn()
        started = perf_counter()
        place = connection.request() if isinstance(connection, HttpConnection) else nullcontext()
        with place:
            response = await self._answer(request, handler)
        route: Route | None = request.get(_ROUTE)
        self._metrics.count(f"{route.method} {route.path}" if route else "none", response.status, perf_counter() - started)
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            with self._slots.take():
                self._check_host(request)
                _check_encoding(request)
                return await handler(request)
        except RequestError as e:
            return _failure(e)
        except web.HTTPException as e:
            return _failure(_of_http(e, request))
        except (web.RequestPayloadError, HttpProcessingError):
            return _failure(usage("The body cannot be read: it is not encoded as its header says. Send it again", name="BAD_BODY"))
        except StorageError as e:
            # Never an answer made of damaged bytes. The text says what is damaged, and what to do about it.
            log.error("the disk does not hold what it should", method=request.method, path=request.path[:256], why=str(e))
            return _failure(RequestError(500, "unavailable", "STORAGE", str(e)))
        except Exception:
            log.exception("a request failed", method=request.method, path=request.path[:256])
            return _failure(
                RequestError(500, "unavailable", "INTERNAL", "The node failed to answer this. Its log says why; report it")
            )

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)

    def _authorise(self, request: web.Request) -> None:
        if not self._has_token(request):
            raise unauthorized(
                "This request carries no valid token. Send `Authorization: Bearer <token>`; the token stands in api.token in the "
                "node's data folder"
            )
        if isinstance(request.protocol, HttpConnection):
            request.protocol.known = True

    def _check_host(self, request: web.Request) -> None:
        """Refuse names that are not this machine's: a web page could otherwise reach the node through its own DNS name."""
        name = _host_name(request.headers.get("Host", ""))
        own = self._listen[0].strip("[]").lower()
        if name in _LOOPBACK or (name and name == own) or (own in _WILDCARD and _is_address(name)):
            return
        raise usage(
            f"The Host header names {name[:80]!r}, but this API listens elsewhere. Use 127.0.0.1, localhost or its listen address",
            name="WRONG_HOST",
            status=403,
        )


def _host_name(header: str) -> str:
    """The name in a Host header, without its port."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if ":" in header else header


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_encoding(request: web.Request) -> None:
    """Compressed bodies would make every bound on sizes a bound on something else."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise usage("Compressed bodies are not read. Send the body as it is", name="BAD_ENCODING", status=415)


# --- answers ------------------------------------------------------------------------------------------------------------------


def _response(value: Any) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        if not value.prepared:
            value.headers.update(SAFE_HEADERS)
        return value
    status, body = (value.status, value.body) if isinstance(value, Reply) else (200, value)
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=SAFE_HEADERS)


def _failure(e: RequestError) -> web.Response:
    headers = dict(SAFE_HEADERS)
    if e.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="learningchain"'
    body: ErrorBody = e.body
    return web.Response(
        body=msgspec.json.encode(ErrorResponse(body)), status=e.status, content_type="application/json", headers=headers
    )


def _of_http(e: web.HTTPException, request: web.Request) -> RequestError:
    """What the framework itself refuses, in our shape."""
    path = request.path[:256]
    if e.status == 404:
        return not_found(f"There is no {path} in this API. GET /v1/openapi.json lists what there is", name="NO_SUCH_PATH")
    if isinstance(e, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(e.allowed_methods))
        return usage(f"{path} does not answer {request.method}. Use {allowed}", name="WRONG_METHOD", status=405)
    return usage(f"The request was refused: {e.reason}. Correct it", status=e.status if e.status >= 400 else 400)
