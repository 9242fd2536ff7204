"""The dashboard as one table of pages, and one request from the socket to the answer.

    static file              -> anybody: it says nothing of this node
    /dashboard/login         -> a one-time link becomes a session
    everything else          -> who has a session; a change also has to come from a page of this address, with the session's token
                                and a mark that was not spent

Every refusal is a page with the API's own words.
"""

from __future__ import annotations

import importlib.resources
import re
import secrets
import time
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import structlog
from aiohttp import web

from learningchain.chain.crypto import address
from learningchain.client import contracts
from learningchain.client.api.browsers import COOKIE, HEADERS, host_name, may_change, may_read
from learningchain.client.api.errors import RequestError, forbidden, not_found, unauthorized, usage
from learningchain.client.api.http_listener import HttpConnection
from learningchain.client.api.route import LOGIN_BODY, Context, Route, read_bounded
from learningchain.client.api.sessions import LOGIN_PATH, MAX_LOGIN, MAX_TEXT, BrowserSession
from learningchain.client.dashboard import live
from learningchain.client.dashboard.drawing import Drawing
from learningchain.client.dashboard.forms import MAX_BODY, parse_form
from learningchain.client.dashboard.page import PAGES, Done, Drawn, Nav, PagesPart, Uploaded, Visit, WebPage, about
from learningchain.client.dashboard.pages import account, chain, files, home, machine, machines, peers, runs, settings
from learningchain.client.dashboard.uploads import MULTIPART, read_file_form
from learningchain.client.keys.names import FILE as NAMES
from learningchain.client.keys.names import Names, NamesError
from learningchain.client.keys.names import load as load_names

log: Any = structlog.get_logger("dashboard")

DOOR: Final = "/dashboard"
KEPT: Final = "kept."
"""Fields of a form with a file whose names begin so go back to the page beside what the file became."""
HOW: Final = "On the node's machine, run: learningchain dashboard"
OWN: Final = tuple(page.PART for page in (home, account, chain, runs, machines, peers, files, machine, settings))
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
GROUPS: Final = ((0, "Overview"), (10, "Work"), (30, "Models"), (40, "Federations"), (50, "Network"), (85, "Machine"))
"""Of the menu: from which order of entries on, and its name."""
TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


def parts() -> tuple[PagesPart, ...]:
    return (*OWN, *contracts.parts(PAGES).values())


def table() -> list[WebPage]:
    """Every page; those without a variable part first. Two of one path and method would hide each other."""
    pages = [page for part in parts() for page in part.pages]
    taken = {(page.method, page.path) for page in pages}
    if len(taken) != len(pages):
        raise RuntimeError("two pages of the dashboard have one path: rename one")
    return sorted(pages, key=lambda page: "{" in page.path)


class MenuGroup(NamedTuple):
    """What stands in the first row of the menu, and leads to the first of its entries; these are the second row of its pages."""

    label: str
    entries: list[Nav]


def menu() -> list[MenuGroup]:
    entries = sorted((nav for part in parts() for nav in part.nav), key=lambda nav: nav.order)
    ends = [first for first, _ in GROUPS[1:]]
    found = [[nav for nav in entries if bisect_right(ends, nav.order) == number] for number in range(len(GROUPS))]
    return [MenuGroup(label, own) for (_, label), own in zip(GROUPS, found, strict=True) if own]


def static_files() -> dict[str, tuple[str, bytes]]:
    """Type and bytes of each file of the package, by name."""
    folder = importlib.resources.files("learningchain.client.dashboard") / "static"
    return {
        file.name: (TYPES[kind], file.read_bytes())
        for file in folder.iterdir()
        if (kind := "." + file.name.rpartition(".")[2]) in TYPES
    }


class Site:
    """Made in a thread, when the first browser comes: a node's start waits for none of it."""

    def __init__(self, context: Context, names_folder: Path | None) -> None:
        self._context, self._names_folder = context, names_folder
        self._pages = [(re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", page.path)), page) for page in table()]
        self._menu, self._static = menu(), static_files()
        self._drawing = Drawing({"ABOUT": about()})
        self._drawing.prepare()
        self._names, self._names_at = Names(), -1.0
        self.route = Route("GET", DOOR, "The dashboard", _unreached, refusal=self.refusal)

    def session(self, request: web.Request) -> BrowserSession | None:
        cookie = request.cookies.get(_cookie_name(request))
        return None if cookie is None else self._context.sessions.find(cookie, time.monotonic(), plain=self._is_plain(request))

    def _is_plain(self, request: web.Request) -> bool:
        return host_name(request.headers.get("Host", "")) != self._context.sessions.host

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = await self._answer(request)
        if not response.prepared:
            response.headers.update({name: value for name, value in HEADERS.items() if name not in response.headers})
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method, path = request.method, request.path
        if method not in ("GET", "POST"):
            raise _wrong_method("The dashboard answers GET and POST. Open its pages in a browser", "GET, POST")
        if method == "GET" and path.startswith(f"{DOOR}/static/"):
            return self._file(path.rpartition("/")[2])
        self._check_origin(request)
        if path == LOGIN_PATH:
            return await self._login(request)
        session = self.session(request)
        if session is None:
            raise unauthorized(f"You are not logged in, or this session has ended. {HOW}")
        if isinstance(request.protocol, HttpConnection):
            request.protocol.known = True
        if method == "GET":
            if path == f"{DOOR}/live":
                return await live.stream(self._context, request, session)
            return await self._page(request, session, {})
        if request.content_type == MULTIPART:
            return await self._upload(request, session)
        form = parse_form(await read_bounded(request, MAX_BODY))
        _check_token(session, form)
        if path == f"{DOOR}/logout":
            return self._logout(request)
        if not session.spend(form.pop("mark", "")):
            raise usage(
                "This form was sent already, and counted once. Look whether what you wanted is done before you fill it in again",
                name="SENT_TWICE",
                status=409,
            )
        return await self._page(request, session, form)

    @staticmethod
    def _check_origin(request: web.Request) -> None:
        allowed = may_change(request.headers) if request.method == "POST" else may_read(request.headers)
        if not allowed:
            raise forbidden("WRONG_ORIGIN", "This request comes from a page that is not the dashboard's. Open the dashboard itself")

    async def _upload(self, request: web.Request, session: BrowserSession) -> web.StreamResponse:
        """A form with a file: whose it is stands before the file, of which not a byte is kept before. To the page's script the
        answer is JSON."""
        wants_json = "application/json" in request.headers.get("Accept", "")
        try:
            page, match = self._find(request.method, request.path)
            if not page.takes_file:
                raise usage("This page takes no file. Open it again and use its own form", name="BAD_FORM")
            sent = await read_file_form(request)
            _check_token(session, sent.fields)
            visit = Visit(self._context, request, session, self._known_names(), self._context.load, match, sent.fields, sent.file)
            answer = await page.handler(visit)
            if not isinstance(answer, Uploaded):
                raise TypeError(f"{request.path} takes a file and does not answer with one")
        except RequestError as e:
            return (
                web.json_response({"error": e.body.message}, status=e.status) if wants_json else self._refused(request, session, e)
            )
        if wants_json:
            return web.json_response({"note": answer.note, "fields": dict(answer.fields)})
        session.notes.append(answer.note)
        kept = {name[len(KEPT) :]: text for name, text in sent.fields.items() if name.startswith(KEPT)}
        return _go(f"{answer.to}?{urlencode({**kept, **answer.fields})}")

    # --- pages ----------------------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request, session: BrowserSession, form: Mapping[str, str]) -> web.StreamResponse:
        names = self._known_names()
        names.own = address(self._context.node.ledger.own_id)
        try:
            page, match = self._find(request.method, request.path)
            answer = await page.handler(Visit(self._context, request, session, names, self._context.load, match, form))
            if isinstance(answer, Uploaded):
                raise usage("The form came without its file. Open the page again and choose one", name="NO_FILE")
        except RequestError as e:
            return self._refused(request, session, e)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, Done):
            if answer.note:
                session.notes.append(answer.note)
            return _go(answer.to)
        return self._draw(request, session, answer)

    def _refused(self, request: web.Request, session: BrowserSession, e: RequestError) -> web.Response:
        values = {"error": e.body, "status": e.status}
        response = self._draw(request, session, Drawn("refused.html", "Refused", values, status=e.status))
        response.headers.update(e.headers)
        return response

    def _find(self, method: str, path: str) -> tuple[WebPage, dict[str, str]]:
        path = path.rstrip("/") or DOOR
        found = [(page, match) for pattern, page in self._pages if (match := pattern.fullmatch(path))]
        for page, match in found:
            if page.method == method:
                return page, match.groupdict()
        if found:
            raise _wrong_method("This page does not take what was sent. Go back and use its own form", found[0][0].method)
        raise not_found("There is no such page. The menu lists those that there are", name="NO_SUCH_PAGE")

    def _draw(self, request: web.Request, session: BrowserSession | None, shown: Drawn) -> web.Response:
        ledger = self._context.node.ledger
        notes = [] if session is None or "HX-Request" in request.headers else [session.notes.popleft() for _ in list(session.notes)]
        common = {
            "title": shown.title,
            "path": request.path.rstrip("/"),
            "here": request.path_qs,
            "menu": self._menu if session is not None else [],
            "here_in_menu": _entry([nav for group in self._menu for nav in group.entries], request.path.rstrip("/")),
            "session": session,
            "mark": secrets.token_urlsafe(16),
            "notes": notes,
            "names": self._names,
            "live": shown.live if session is not None else (),
            "height": ledger.height,
            "now": time.time_ns() // 1_000_000,
            "clock": ledger.clock,
        }
        text = self._drawing.draw(shown.template, common | dict(shown.values))
        return web.Response(text=text, status=shown.status, content_type="text/html", charset="utf-8")

    def refusal(self, e: RequestError) -> web.Response:
        """A refusal as a page; who is not logged in is told how to come in."""
        stranger = e.status == 401
        values: dict[str, Any] = {"code": "", "asked": False} if stranger else {"error": e.body, "status": e.status}
        names: dict[str, Any] = {
            "title": "Log in" if stranger else "Refused",
            "path": "",
            "here": "",
            "menu": [],
            "here_in_menu": None,
            "session": None,
            "mark": "",
            "notes": [],
            "names": Names(),
        }
        text = self._drawing.draw(
            "login.html" if stranger else "refused.html", names | {"live": (), "height": 0, "now": 0, "clock": 0} | values
        )
        response = web.Response(text=text, status=e.status, content_type="text/html", charset="utf-8")
        response.headers.update({**HEADERS, **e.headers})
        return response

    def _known_names(self) -> Names:
        """The owner's own names, read anew when their file changes. A file that cannot be read takes no page away."""
        if self._names_folder is None:
            return self._names
        try:
            changed = (self._names_folder / NAMES).stat().st_mtime
        except OSError:
            self._names, self._names_at = Names(), -1.0
            return self._names
        if changed != self._names_at:
            self._names_at = changed
            try:
                self._names = load_names(self._names_folder)
            except NamesError as e:
                log.warning("the names cannot be read and are not shown", why=str(e))
                self._names = Names()
        return self._names

    def _file(self, name: str) -> web.Response:
        found = self._static.get(name)
        if found is None:
            raise not_found("There is no such file in the dashboard", name="NO_SUCH_PAGE")
        kind, body = found
        # Named anew by nothing but its release: looked at again, and for an hour not even that.
        return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "public, max-age=3600"})

    # --- coming and going -----------------------------------------------------------------------------------------------------

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """A link is opened by a form of the page that it leads to: programs that only look at links do not use it up."""
        sessions, now, plain = self._context.sessions, time.monotonic(), self._is_plain(request)
        if request.method == "GET":
            code = request.query.get("code", "")[: MAX_TEXT + 1]
            if self.session(request) is not None and not sessions.is_link(code, now, plain=plain):
                return _go(DOOR)
            good = sessions.is_link(code, now, plain=plain)
            shown = Drawn(
                "login.html",
                "Log in",
                {"code": code if good else "", "asked": bool(code)},
                status=401 if code and not good else 200,
            )
            return self._draw(request, None, shown)
        sent = request[LOGIN_BODY] if LOGIN_BODY in request else await read_bounded(request, MAX_LOGIN)
        code = parse_form(sent).get("code", "")
        cookie = sessions.open(code, now, plain=plain)
        if cookie is None:
            return self._draw(request, None, Drawn("login.html", "Log in", {"code": "", "asked": True}, status=401))
        log.info("somebody logged in to the dashboard", sessions=len(sessions))
        response = _go(DOOR)
        # Not `secure`: the page is served without TLS, to this machine.
        response.set_cookie(_cookie_name(request), cookie, path=DOOR, httponly=True, samesite="Strict")
        return response

    def _logout(self, request: web.Request) -> web.StreamResponse:
        self._context.sessions.close(request.cookies.get(_cookie_name(request), ""))
        response = _go(LOGIN_PATH)
        response.del_cookie(_cookie_name(request), path=DOOR, httponly=True, samesite="Strict")
        return response


def _check_token(session: BrowserSession, form: dict[str, str]) -> None:
    if not session.accepts(form.pop("form_token", "")):
        raise forbidden("FORM_TOKEN", "This form is not of your present session. Open the page again and send it anew")


def _wrong_method(why: str, allowed: str) -> RequestError:
    wrong = usage(why, name="WRONG_METHOD", status=405)
    wrong.headers["Allow"] = allowed
    return wrong


def _entry(entries: list[Nav], path: str) -> Nav | None:
    """The entry of a page, or of the list that it belongs to."""
    above = [entry for entry in entries if path == entry.path or (entry.path != DOOR and path.startswith(f"{entry.path}/"))]
    return max(above, key=lambda entry: len(entry.path), default=None)


def _cookie_name(request: web.Request) -> str:
    """By the port of the Host header, which nobody has looked at yet: a stranger writes it."""
    port = request.headers.get("Host", "").rpartition(":")[2]
    return f"{COOKIE}-{port if _PORT.fullmatch(port) else 80}"


def _go(to: str) -> web.Response:
    return web.Response(status=303, headers={"Location": to})


async def _unreached(_: Any) -> None:
    raise NotImplementedError
