"""The HTTP API of a node: one aiohttp server over `client.node.interface.NodeService`. Loopback by default, token-protected, no
CORS.

Every request passes these checks: how many at a time, the Host header (a name that somebody else's DNS points here is refused),
the token (compared in constant time), the query and the body parsed into the route's types. Every refusal has one shape.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib
import ipaddress
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from learningchain.chain.storage.errors import StorageError
from learningchain.client.api.browsers import host_name
from learningchain.client.api.errors import ErrorResponse, RequestError, forbidden, not_found, unauthorized, usage
from learningchain.client.api.following import Followers
from learningchain.client.api.http_listener import HttpConnection, HttpListener
from learningchain.client.api.hub import Hub
from learningchain.client.api.load import Load
from learningchain.client.api.metrics import Metrics
from learningchain.client.api.openapi import document
from learningchain.client.api.route import (
    LOGIN_BODY,
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
    read_bounded,
)
from learningchain.client.api.sessions import LOGIN_PATH, MAX_LOGIN, Sessions
from learningchain.client.api.table import FOLLOWERS, ROUTES
from learningchain.client.api.tickets import TICKET_S, Tickets
from learningchain.client.api.whole_node import NodeService
from learningchain.client.kept import KeptFiles
from learningchain.client.keys.tokens import FULL, Token, TokenError, TokenFile, now_ms
from learningchain.client.node.request_id import HEADER, RequestLines, current, request_id
from learningchain.client.sdk.listener import proof_of, token_key

log = structlog.get_logger(__name__)

MIN_TOKEN = 16
SHUTDOWN_S = 2.0
_ROUTE = web.RequestKey("route", Route)
_TOKEN: web.RequestKey[Any] = web.RequestKey("token", object)
_REQUEST = web.RequestKey("request_id", str)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARD = frozenset({"0.0.0.0", "::", ""})


class ApiServer:
    """`start` listens and returns the port, `stop` ends every request within seconds.

    `spool` is a folder on the disk of the content store, for uploads that are not complete; without one a temporary folder is used.
    `tokens` is the file of the tokens with a scope; it need not be there. `kept` is the folder of what handlers keep over a
    restart; without one they keep it until `stop`. `names` is the folder of the owner's names; `dashboard` False: there is none.
    """

    def __init__(
        self,
        node: NodeService,
        *,
        listen: tuple[str, int],
        token: str,
        version: str,
        spool: Path | None = None,
        tokens: Path | None = None,
        kept: Path | None = None,
        names: Path | None = None,
        dashboard: bool = True,
        limits: ServerLimits | None = None,
    ) -> None:
        if len(token) < MIN_TOKEN:
            raise ValueError(
                f"the API's token has {len(token)} characters, at least {MIN_TOKEN} are needed: remove api.token to renew it"
            )
        self._node, self._listen, self._version = node, listen, version
        self._token = token.encode()
        self._tokens = TokenFile(tokens)
        self._limits = limits or ServerLimits()
        self._spool, self._kept_folder = spool, kept
        self._kept: KeptFiles | None = None
        # RFC 6761, 6.3: browsers take every name below localhost for this machine. Of one that listens elsewhere it would not be.
        reached = listen[0].strip("[]").lower() in _LOOPBACK | _WILDCARD
        self._sessions = Sessions(lambda: secrets.token_urlsafe(32), f"lc-{secrets.token_hex(16)}.localhost" if reached else "")
        self._port = 0
        self._tickets = Tickets(lambda: secrets.token_urlsafe(32))
        self._names, self._has_dashboard = names, dashboard
        self._site: Any = None
        self._opening = asyncio.Lock()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._slots = Slots("requests", self._limits.requests)
        self._lines = RequestLines(log)
        self._strangers: Turns | None = None
        self._metrics = Metrics(node)
        self._hub = Hub(node, queue_bytes=self._limits.queue_bytes, run_poll_s=self._limits.run_poll_s)
        self._followers = Followers(node.ledger.state, FOLLOWERS)
        self._following: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._door: HttpListener | None = None

    async def start(self) -> int:
        """Listen. Raises OSError when the address is taken."""
        context = self._context()
        app = web.Application(middlewares=[self._admit], client_max_size=MAX_JSON)
        app.on_response_prepare.append(_say_request)
        for _, route in ROUTES:
            endpoint = self._endpoint(route, context)
            app.router.add_route(route.method, route.match or route.path, endpoint)
            if route.method == "GET" and route.media != "text/event-stream":  # which has no end that a header could tell
                app.router.add_route("HEAD", route.match or route.path, endpoint)
        for path in {route.path for _, route in ROUTES if "{" not in route.path}:
            app.router.add_route("*", path, _no_such_method)
        if self._has_dashboard:
            for path in ("/dashboard", "/dashboard/{page:.*}"):
                app.router.add_route("*", path, self._dashboard(context))
            app.router.add_get("/", _front)
        self._runner = web.AppRunner(app, handle_signals=False, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the server was not set up")
        self._door = HttpListener(self._limits, refused)
        self._strangers = Turns(self._limits.strangers_per_s, self._limits.strangers_at_once)
        try:
            port = self._port = await self._door.listen(server, *self._listen)
        except OSError:
            await self.stop()
            raise
        if self._sessions.host and not await self._takes_loopbacks(self._door, server, port):
            # The name of the pages means both: a browser may go to the other program, with the code that opens a session.
            self._sessions.host = ""
            log.warning(
                "another program listens at this port of the other loopback: links to the dashboard name the address instead",
                port=port,
                what_to_do="find it (ss -ltnp), or set api.listen to another port",
            )
        self._hub.start()
        self._following = asyncio.create_task(self._followers.keep_up())
        self._looking = asyncio.create_task(context.load.keep_looking())
        return port

    async def _takes_loopbacks(self, door: HttpListener, server: web.Server, port: int) -> bool:
        """Listen at this machine's loopbacks of both families, so that no other user of it can at this port."""
        own = self._listen[0].strip("[]").lower()
        others = {"127.0.0.1": ("::1",), "0.0.0.0": ("::1",), "::1": ("127.0.0.1",), "::": ("127.0.0.1",)}.get(own, ())
        return all([await door.also(server, host, port) for host in others])

    async def stop(self) -> None:
        await self._hub.stop()
        tasks = [task for task in (self._following, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._following = self._looking = None
        if self._door is not None:
            self._door.stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._door is not None:
            self._door.close()
            self._door = None
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        self._tokens.close()

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
        self._kept = KeptFiles(self._kept_folder or spool)
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
            tokens=self._tokens.opened,
            kept=self._kept,
            sessions=self._sessions,
            load=Load(spool),
            tickets=self._tickets,
            prove=self._prove,
            openapi=document,
        )

    # --- one request ----------------------------------------------------------------------------------------------------------

    def _endpoint(self, route: Route, context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def endpoint(request: web.Request) -> web.StreamResponse:
            request[_ROUTE] = route
            if not route.packed:
                _check_encoding(request)
            if route.upload:
                _check_form(request)
            token = FULL if route.public else self._authorise(request, route)
            query: Any = parse_query(request, route.query)
            body: Any = None if route.request is None else await parse_body(request, route.request)
            return _response(await route.handler(Call(context, request, query, body, token)))

        return endpoint

    def _dashboard(self, context: Context) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The pages load with the first browser that comes, in a thread: neither the start nor the loop waits for them."""

        async def page(request: web.Request) -> web.StreamResponse:
            async with self._opening:
                if self._site is None:
                    self._site = await asyncio.to_thread(_load_site, context, self._names)
            request[_ROUTE] = self._site.route
            _check_encoding(request)
            answer: web.StreamResponse = await self._site.answer(request)
            return answer

        return page

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        connection = request.protocol
        known = self._has_token(request) or self._has_session(request)
        # Before its connection counts as busy: whoever waits here still makes room for others, and for its body no longer than for
        # its header.
        if not known and self._is_login(request):
            await request.content.wait_eof()
            request[LOGIN_BODY] = await read_bounded(request, MAX_LOGIN)
        known = known or self._opens_link(request)
        if not known and self._strangers is not None:
            if isinstance(connection, HttpConnection) and not request.content.is_eof():
                connection.read_no_more()
            await self._strangers.turn()
        started = perf_counter()
        own_id = request[_REQUEST] = request_id(request.headers.get(HEADER))
        place = connection.request() if isinstance(connection, HttpConnection) else nullcontext()
        before = current.set(own_id)
        try:
            with place:
                response = await self._answer(request, handler)
        finally:
            current.reset(before)
        route: Route | None = request.get(_ROUTE)
        name, took = f"{route.method} {route.path}" if route else "none", perf_counter() - started
        self._metrics.count(name, response.status, took)
        # Refusals of strangers are counted above, and fill no log.
        if known and route is not None and route.method != "GET":
            self._lines.say("request answered", own_id, route=name, status=response.status, ms=round(took * 1_000))
        return response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            with self._slots.take():
                self._check_host(request)
                return await handler(request)
        except RequestError as e:
            return _failure(request, e)
        except web.HTTPException as e:
            return _failure(request, _of_http(e, request))
        except (web.RequestPayloadError, HttpProcessingError):
            return _failure(
                request, usage("The body cannot be read: it is not encoded as its header says. Send it again", name="BAD_BODY")
            )
        except StorageError as e:
            # Never an answer made of damaged bytes. The text says what is damaged, and what to do about it.
            log.error(
                "the disk does not hold what it should",
                method=request.method,
                path=request.path[:256],
                why=str(e),
                request=current.get(),
            )
            return _failure(request, RequestError(500, "unavailable", "STORAGE", str(e)))
        except Exception:
            log.exception("a request failed", method=request.method, path=request.path[:256], request=current.get())
            return _failure(
                request, RequestError(500, "unavailable", "INTERNAL", "The node failed to answer this. Its log says why; report it")
            )

    def _found(self, request: web.Request) -> Token | None:
        """The token that a request carries: the full one, or one with a scope, whether that is still good or not."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        text = given.strip()
        if hmac.compare_digest(text.encode("utf-8", "replace"), self._token):
            return FULL
        return self._tokens.find(text)

    def _has_token(self, request: web.Request) -> bool:
        found = request[_TOKEN] = self._found(request)
        return found is not None and found.why_not(now_ms()) is None

    def _is_login(self, request: web.Request) -> bool:
        """The one form of somebody who is not known yet: its body may come after its header."""
        if not self._has_dashboard or (request.method, request.path) != ("POST", LOGIN_PATH):
            return False
        return request.content_length is not None and request.content_length <= MAX_LOGIN

    def _opens_link(self, request: web.Request) -> bool:
        """A code that opens a session is as good as one: its owner waits behind no stranger, and makes no room for one."""
        if not self._has_dashboard or request.path != LOGIN_PATH:
            return False
        body = request.get(LOGIN_BODY, b"").decode("ascii", "replace")
        code = request.query.get("code", "") if request.method == "GET" else parse_qs(body).get("code", [""])[0]
        now = monotonic()
        good = any(self._sessions.is_link(code, now, plain=plain) for plain in (False, True))
        if good and isinstance(request.protocol, HttpConnection):
            request.protocol.known = True
        return good

    def _has_session(self, request: web.Request) -> bool:
        """Of the dashboard: whoever is logged in waits for no stranger."""
        if self._site is None or not request.path.startswith("/dashboard"):
            return False
        return self._site.session(request) is not None

    def _authorise(self, request: web.Request, route: Route) -> Token:
        found: Token | None = request[_TOKEN]
        if route.ticket and (ticket := request.query.get("ticket")) is not None:
            found = self._by_ticket(ticket)
        if found is None:
            raise unauthorized(
                "This request carries no valid token. Send `Authorization: Bearer <token>`; the token stands in api.token in the "
                "node's data folder"
            )
        if (why := found.why_not(now_ms())) is not None:
            raise unauthorized(
                f"The token {found.id} is good for nothing any more: {why}. Ask the node's owner for a new one "
                "(learningchain token new)"
            )
        if found.scope < route.needs:
            raise forbidden(
                "TOKEN_SCOPE",
                f"The token {found.id} may {found.scope.word}, and {route.method} {route.path} needs one that may "
                f"{route.needs.word}. Ask the node's owner for another (learningchain token new --can)",
            )
        if route.owner and found is not FULL:
            raise forbidden(
                "TOKEN_SCOPE",
                f"{route.method} {route.path} says whose the account is: no token that was made may do that, not even one that may "
                "all. Use the full token, in api.token in the node's data folder",
            )
        if isinstance(request.protocol, HttpConnection):
            request.protocol.known = True
        return found

    def _prove(self, token_id: str, nonce: bytes, address: str) -> str | None:
        """For a client that does not know who listens at an address of this API; None where the token is not good here."""
        try:
            tokens = None if token_id == FULL.id else self._tokens.opened()
            key = tokens.key(token_id, now_ms()) if tokens is not None else token_key(self._token) if token_id == FULL.id else None
        except TokenError as problem:
            log.error("tokens cannot be read", why=str(problem))
            return None
        return None if key is None else proof_of(key, address, self._port, nonce)

    def _by_ticket(self, ticket: str) -> Token:
        """The token that made a ticket, and may have ended since."""
        found = self._tickets.take(ticket, monotonic())
        try:
            if found is not None and (found is FULL or self._tokens.why_not(found.id, now_ms()) is None):
                return found
        except TokenError as problem:
            log.error("tokens cannot be read", why=str(problem))
        raise unauthorized(
            f"This ticket is no longer good: it is used once, within {TICKET_S:g} seconds, and while its token is good. "
            "Get another: POST /v1/events/tickets"
        )

    def _check_host(self, request: web.Request) -> None:
        """Refuse names that are not this machine's: a web page could otherwise reach the node through its own DNS name."""
        name = host_name(request.headers.get("Host", ""))
        own = self._listen[0].strip("[]").lower()
        if self._sessions.host and name == self._sessions.host and request.path.startswith("/dashboard"):
            return
        if name in _LOOPBACK or (name and name == own) or (own in _WILDCARD and _is_address(name)):
            return
        raise usage(
            f"The Host header names {name[:80]!r}, but this API listens elsewhere. Use 127.0.0.1, localhost or its listen address",
            name="WRONG_HOST",
            status=403,
        )


async def _no_such_method(request: web.Request) -> web.StreamResponse:
    """A path without variable parts is only itself: /v1/jobs/quote is no job, whatever is asked of it."""
    raise web.HTTPMethodNotAllowed(request.method, _methods(request.path))


def _methods(path: str) -> set[str]:
    found = {route.method for _, route in ROUTES if route.path == path}
    return found | ({"HEAD"} if "GET" in found else set())


def _load_site(context: Context, names: Path | None) -> Any:
    return importlib.import_module("learningchain.client.dashboard.site").Site(context, names)


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


def _check_form(request: web.Request) -> None:
    """A form's envelope would be kept as a part of the file."""
    if request.content_type.startswith("multipart/"):
        raise usage(
            "A form is not read here: its envelope would be a part of the file. Send the file as it is: curl --data-binary @FILE",
            name="BAD_FORM",
            status=415,
        )


async def _say_request(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer says by which id the log has it, also one that is a stream."""
    if (own_id := request.get(_REQUEST)) is not None:
        response.headers[HEADER] = own_id


# --- answers ------------------------------------------------------------------------------------------------------------------


def _response(value: Any) -> web.StreamResponse:
    if isinstance(value, web.StreamResponse):
        if not value.prepared:
            for name, safe in SAFE_HEADERS.items():
                value.headers.setdefault(name, safe)
        return value
    status, body = (value.status, value.body) if isinstance(value, Reply) else (200, value)
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json", headers=SAFE_HEADERS)


async def _front(request: web.Request) -> web.Response:
    """Whoever types the node's address into a browser is shown how to come in; a program hears what every other path says."""
    if "text/html" not in request.headers.get("Accept", ""):
        raise web.HTTPNotFound()
    return web.Response(status=303, headers={"Location": LOGIN_PATH, **SAFE_HEADERS})


def _room(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


_REFUSALS: Final = {_room(route.path): route.refusal for _, route in ROUTES if route.refusal is not None}
"""How paths of another protocol are refused, also those that it does not have."""


def refused(path: str, e: RequestError) -> web.Response:
    """A refusal in the form of the protocol that the path belongs to."""
    return _refused_as(_REFUSALS.get(_room(path)), e)


def _refused_as(refusal: Callable[[RequestError], web.Response] | None, e: RequestError) -> web.Response:
    """`refusal` as a route has it."""
    if refusal is not None:
        return refusal(e)
    headers = SAFE_HEADERS | e.headers
    if e.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="learningchain"'
    body = msgspec.json.encode(ErrorResponse(e.body))
    return web.Response(body=body, status=e.status, content_type="application/json", headers=headers)


def _failure(request: web.Request, e: RequestError) -> web.Response:
    route: Route | None = request.get(_ROUTE)
    return refused(request.path, e) if route is None else _refused_as(route.refusal, e)


def _of_http(e: web.HTTPException, request: web.Request) -> RequestError:
    """What the framework itself refuses, in our shape."""
    path = request.path[:256]
    if e.status == 404:
        return not_found(f"There is no {path} in this API. GET /v1/openapi.json lists what there is", name="NO_SUCH_PATH")
    if isinstance(e, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(e.allowed_methods))
        wrong = usage(f"{path} does not answer {request.method[:32]}. Use {allowed}", name="WRONG_METHOD", status=405)
        wrong.headers["Allow"] = allowed
        return wrong
    return usage(f"The request was refused: {e.reason}. Correct it", status=e.status if e.status >= 400 else 400)
