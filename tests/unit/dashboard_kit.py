"""A browser without a screen before a real server: cookies, forms as they stand in the page, and what a page must never hold."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp

from learningchain.client.dashboard import drawing
from learningchain.client.sdk.http import link_url
from tests.unit.api_kit import Api, below_localhost, serving

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 777*777 }}\u202e\x1b[2J"
"""In each field that somebody else fills."""
TAGS = frozenset(
    word
    for line in (
        "html head meta title link script body a header nav ul ol li div button form input main h1 h2 h3 p span section dl dt dd",
        "table caption thead tbody tr th td time code pre svg line g circle text progress details summary figure figcaption",
        "fieldset legend label textarea select option bdi br output",
    )
    for word in line.split(" ")
)
TEMPLATES = functools.cache(drawing.environment)
"""Compiled once for all servers of a process: that takes longer than most tests."""
ATTRIBUTES = re.compile(r"on\w+|style|srcdoc|xlink:href|formaction")


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Read(HTMLParser):
    """What a browser would find in a page; raises where it finds what no template writes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.headings = self.opened = 0
        self._area = ""
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action == action and form.method == "post")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        assert tag in TAGS, tag
        assert not [name for name in values if ATTRIBUTES.fullmatch(name)], values
        for name in ("href", "src", "action", "hx-get", "sse-connect"):
            assert values.get(name, "/").startswith(("/dashboard", "#", "/")), values
        assert tag != "script" or values["src"].startswith("/dashboard/static/")
        self.ids += [values["id"]] if "id" in values else []
        self.headings += tag == "h1"
        self.opened += tag == "details" and "open" in values
        if tag == "a":
            self.links.append(values["href"])
        elif tag == "form":
            self.forms.append(Form(values.get("method", "get"), values["action"]))
        elif tag in ("input", "textarea", "select") and self.forms and "name" in values:
            if values.get("type") not in ("radio", "checkbox") or "checked" in values:
                self.forms[-1].fields[values["name"]] = values.get("value", "")
            self._area = values["name"] if tag == "textarea" else ""
        elif tag == "button" and self.forms and "name" in values:
            self.forms[-1].fields.setdefault(values["name"], values.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        self._area = "" if tag == "textarea" else self._area

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._area:
            self.forms[-1].fields[self._area] += data


class Browser:
    def __init__(self, api: Api, session: aiohttp.ClientSession, *, plain: bool = False) -> None:
        self.api, self._session, self._plain = api, session, plain
        self.url = api.url
        """Where the node's pages are."""

    @property
    def host(self) -> str:
        """As the header says it."""
        return self.url.removeprefix("http://")

    async def link(self) -> Any:
        made = await self.api.post(f"/v1/dashboard/links?plain={str(self._plain).lower()}", None)
        self.url = link_url(self.api.url, "", made["host"])
        return made

    async def login(self) -> None:
        made = await self.link()
        status, page = await self.get(made["path"])
        assert status == 200
        status, _ = await self.send(page.form("/dashboard/login"))
        assert status == 200

    async def get(self, path: str, **headers: str) -> tuple[int, Read]:
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, self._read(response, await response.text())

    async def raw(self, path: str) -> tuple[aiohttp.ClientResponse, bytes]:
        async with self._session.get(self.url + path) as response:
            return response, await response.read()

    async def send(self, form: Form, headers: dict[str, str] | None = None, **fields: Any) -> tuple[int, Read]:
        sent = {"Origin": self.url} if headers is None else headers
        async with self._session.post(self.url + form.action, data=form.fields | fields, headers=sent) as response:
            return response.status, self._read(response, await response.text())

    @staticmethod
    def _read(response: aiohttp.ClientResponse, html: str) -> Read:
        assert response.content_type == "text/html" and response.headers["Cache-Control"] == "no-store"
        assert "'unsafe" not in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff" and response.headers["X-Frame-Options"] == "DENY"
        read = Read(html)
        assert read.headings == 1 and len(set(read.ids)) == len(read.ids), read.ids
        return read


@asynccontextmanager
async def browsing(folder: Path, *, login: bool = True, plain: bool = False, **how: Any) -> AsyncIterator[Browser]:
    with patch.object(drawing, "environment", TEMPLATES):
        async with (
            serving(folder, **how) as api,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), connector=below_localhost()) as session,
        ):
            browser = Browser(api, session, plain=plain)
            await browser.login() if login else await browser.link()
            yield browser
