"""What a page is, what it gets of a request, and what it gives back.

A page reads (GET) and a change writes (POST): both are handlers of a `Visit`, whose `ask` is the only way to the node. A change
ends with `Done`, and the browser is sent to a page, so that loading it again repeats nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from learningchain.client import contracts
from learningchain.client.api.errors import RequestError, not_found, unavailable, usage
from learningchain.client.api.files import PIN, Read, store_upload
from learningchain.client.api.load import Load
from learningchain.client.api.route import Call, Context, Reply, Route
from learningchain.client.api.sessions import BrowserSession
from learningchain.client.contracts import PartKind
from learningchain.client.dashboard.text import in_pages
from learningchain.client.keys.names import Names
from learningchain.client.keys.tokens import FULL
from learningchain.p2p.content.faults import FetchFailed, StoreError

ROWS: Final = 50
"""Rows of a page."""
WAIT_S: Final = 20.0
"""For how long a change waits until its transaction is final; after that the page says that it is under way."""
FETCH_S: Final = 10.0
"""For how long a page waits for a file of the graph."""
MAX_NUMBER: Final = 2**53


@dataclass(frozen=True)
class Drawn:
    """A page: its template with its values. `live` are the ids of the parts that are drawn anew when something happens."""

    template: str
    title: str
    values: Mapping[str, Any]
    live: tuple[str, ...] = ()
    status: int = 200


@dataclass(frozen=True)
class Done:
    """A change was made: the page to go to, and what it says at its top."""

    to: str
    note: str


@dataclass(frozen=True)
class Uploaded:
    """A file is stored: the page whose form it is for, and what fields of that form become by it."""

    to: str
    note: str
    fields: Mapping[str, str]


Answer = Drawn | Done | Uploaded | web.StreamResponse


@dataclass(frozen=True)
class Visit:
    """One request of somebody who is logged in. `form` is empty where nothing was sent."""

    context: Context
    request: web.Request
    session: BrowserSession
    names: Names
    load: Load
    match: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    upload: Read | None = None
    """Reads the file of a form that has one."""

    async def store(self) -> tuple[str, int, Path]:
        """The file of the form, streamed into the content store: its CID, its bytes, and where it lies. Raises `RequestError`."""
        if self.upload is None:
            raise usage("No file came with this form. Choose one, and send it again", name="NO_FILE")
        stored = await store_upload(self.context, self.upload, self.request.content_length, exact=False)
        cid, size = str(stored["cid"]), int(stored["size"])
        if not size:
            self.forget(cid)
            raise usage("No file was chosen, or it is empty. Choose one, and send it again", name="NO_FILE")
        try:
            return cid, size, await self.context.node.files.fetch(cid, max_size=size, timeout_s=FETCH_S)
        except (FetchFailed, StoreError, TimeoutError) as e:
            raise unavailable(f"The file was stored and cannot be read: {e}. Send it again", name="STORE") from None

    def forget(self, cid: str) -> None:
        """A stored file that is not what was wanted: nothing holds it any more."""
        self.context.node.files.unpin(cid, PIN)

    async def ask(
        self,
        operation: str,
        path: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """What an operation of the API, such as `GET /v1/jobs/{job}`, answers to the owner. Values of a query may be text.

        Raises `RequestError`, in words of the pages.
        """
        route = _routes()[operation]
        try:
            asked = msgspec.convert({k: v for k, v in (query or {}).items() if v is not None}, route.query, strict=False)
            given = None if route.request is None else msgspec.convert(dict(body or {}), route.request)
        except msgspec.ValidationError as e:
            raise usage(f"What was entered is not valid: {e}. Correct it") from None
        try:
            answer = await route.handler(_Inside(self.context, self.request, asked, given, FULL, dict(path or {})))
        except RequestError as e:
            e.body = msgspec.structs.replace(e.body, message=in_pages(e.body.message))
            raise
        if isinstance(answer, Reply):
            answer = answer.body
        return answer if isinstance(answer, web.StreamResponse) else msgspec.to_builtins(answer)

    async def file(self, cid: str, most: int) -> bytes | None:
        """A file of the content store with at most `most` bytes, as `GET /v1/files/{cid}` fetches it; None where there is none."""
        try:
            path = await self.context.node.files.fetch(cid, max_size=most, timeout_s=FETCH_S)
            return await asyncio.to_thread(path.read_bytes)
        except (FetchFailed, StoreError, OSError, TimeoutError, ValueError):
            return None

    def number(self, name: str) -> int | None:
        """A number of the query. Raises `RequestError`."""
        text = self.request.query.get(name)
        if text is None or text == "":
            return None
        if not re.fullmatch(r"[0-9]{1,16}", text, re.ASCII) or int(text) > MAX_NUMBER:
            raise usage(f"{name} is a number of at most sixteen digits. Go back to the list and follow its links")
        return int(text)

    def word(self, name: str, pattern: str) -> str | None:
        """A text of the query that has a form of its own. Raises `RequestError`."""
        text = self.request.query.get(name, "").strip()
        if not text:
            return None
        if not re.fullmatch(pattern, text, re.ASCII):
            raise usage(f"{name} does not look like what is searched for. Correct it")
        return text


@dataclass(frozen=True)
class _Inside(Call):
    """A call whose path is not that of the request."""

    names: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return self.names[name]


@cache
def _routes() -> dict[str, Route]:
    from learningchain.client.api.table import ROUTES  # the table has the operation that opens this dashboard

    return {f"{route.method} {route.path}": route for _, route in ROUTES}


Handler = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True)
class WebPage:
    path: str
    handler: Handler
    method: str = "GET"
    takes_file: bool = False


def page(path: str) -> Callable[[Handler], WebPage]:
    return lambda handler: WebPage(path, handler)


def change(path: str) -> Callable[[Handler], WebPage]:
    """Its form carries the session's token and a mark, as `form` of macros.html makes one."""
    return lambda handler: WebPage(path, handler, "POST")


def upload(path: str) -> Callable[[Handler], WebPage]:
    """A change whose form ends with a file. It has the session's token, and no mark: the same file twice is one file."""
    return lambda handler: WebPage(path, handler, "POST", takes_file=True)


@dataclass(frozen=True)
class Nav:
    """An entry of the menu; `order` says where, and in which group (`site.GROUPS`)."""

    order: int
    label: str
    path: str


class PagesPart(NamedTuple):
    """Pages of the dashboard: the room's own, and those of a contract, drawn with the folder `templates` of its slice."""

    pages: tuple[WebPage, ...]
    nav: tuple[Nav, ...] = ()
    overview: Callable[[Visit, str, Sequence[Any]], Awaitable[tuple[str, dict[str, Any]]]] | None = None
    """(visit, own account, its newest movements) -> a part of the overview: its template, and values, of which `id` names it and
    `busy` says that there is something in it."""
    first: tuple[int, str, str, str] | None = None
    """Something to do on a node with nothing yet: its place, path, name, and what it is."""
    about: Mapping[str, str] = {}
    """By a field that names something: the beginning of the path of that thing's page."""


PAGES: Final = PartKind("pages", PagesPart)


def outcome(answer: Mapping[str, Any], done: str) -> str:
    """What a change says that became a transaction."""
    if answer.get("status") == "final":
        return f"{done}, final in block {answer['height']}."
    return f"{done}: sent, and not final yet. Transaction {answer.get('tx', '')[:12]}… is under way."


def receipt_answer(name: str, made: Mapping[str, Any]) -> web.Response:
    """A receipt file of the API to be saved as NAME.lcr. `name` holds nothing that a header could not."""
    return web.Response(
        body=bytes.fromhex(made["file"]),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}.lcr"'},
    )


async def or_none(asking: Awaitable[Any], *names: str) -> Any:
    """None where the API refuses with one of these names: a page shows what there is."""
    try:
        return await asking
    except RequestError as e:
        if e.body.name not in names:
            raise
        return None


def about() -> dict[str, str]:
    """Where what a field names is shown: the beginning of its page's path, below which the API's operation has the same names."""
    return {name: path for part in contracts.parts(PAGES).values() for name, path in part.about.items()}


def gone(what: str) -> RequestError:
    return not_found(f"There is no {what} here. Go back to the list", name="NO_SUCH_PAGE")
