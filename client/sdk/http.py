"""Requests to one node's API: what goes over the wire, what may come back, and every way in which it can fail.

What takes long to import is imported where it is needed: a command that asks one question needs a socket and JSON (`plain`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from learningchain.client import reading
from learningchain.client.sdk.listener import LOCALHOST, PortHolder, Stranger, is_localhost, local_host
from learningchain.client.sdk.plain import NeedsMoreError, PlainAnswer, ask_plainly
from learningchain.client.sdk.types import (
    KINDS,
    ApiError,
    BadContentError,
    Event,
    Fetched,
    Json,
    RejectedError,
    UnreachableError,
    UsageError,
)

if TYPE_CHECKING:
    import aiohttp
    import msgspec

    from learningchain.client.schema.bodies import FileStored, TxAnswer
    from learningchain.client.sdk.files import StreamName

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0: unknown)."""

MAX_ANSWER: Final = 64 * 2**20
MAX_EVENT: Final = 2**20
MAX_EVENT_ID: Final = 64
MAX_PAGE: Final = 1_000
MAX_TOKEN: Final = 1_024
"""Rows that a node lists in one answer."""
TIMEOUT_S: Final = 30.0
SILENCE_S: Final = 600.0
"""A transfer of a file, or the stream of events, may be silent this long: the graph may be fetching the file."""
COMING_S: Final = 1.0
"""Between two questions how far the node is with a file that it fetches for us."""
_PIECE: Final = 256 * 1024
_ALIVE: Final = "alive"
"""The event that only shows that the stream stands (`client.schema.bodies.ALIVE`)."""
_BY_STATUS: Final = {
    400: "usage",
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    409: "rejected",
    422: "invalid",
}


class StreamPlace:
    """How far a stream of events was read: `last` is the id of the newest event."""

    def __init__(self, last: str | None = None) -> None:
        self.last = last


class NodeApi:
    """One node's API. `close` it in the end."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S, receipts: bool = False) -> None:
        """`receipts`: ask for the receipt file of every submission that is waited for."""
        self.url = dialled(url.rstrip("/"))
        self.plain = False
        """Whether `call` uses a plain socket and does not let other coroutines run: for a process that asks and ends."""
        self._token, self._timeout, self._receipts = token, timeout_s, receipts
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- requests ---------------------------------------------------------------------------------------------------------------

    async def get(self, path: str, **query: Any) -> Json:
        """An object. What is None in `query` is left out."""
        return document(await self.call("GET", path, query=query))

    async def rows(self, path: str, **query: Any) -> list[Any]:
        """A list, sent bare or under its name, the last word of `path`."""
        found = await self.call("GET", path, query=query)
        name = path.rpartition("/")[2]
        listed = found.get(name, found.get("items")) if isinstance(found, dict) else found
        if not isinstance(listed, list):
            raise UnreachableError(f"The node's answer holds no list of {name}: its version does not fit this client's")
        return listed

    async def all_rows(self, path: str) -> list[Any]:
        """A list whose rows have cursors, page by page to its end."""
        found: list[Any] = []
        after = None
        while True:
            page = await self.rows(path, after=after, limit=MAX_PAGE)
            found += page
            if len(page) < MAX_PAGE:
                return found
            after = page[-1]["cursor"]

    async def submit(self, path: str, body: Any, wait: float) -> TxAnswer:
        """Post what becomes a transaction. With `wait` seconds it returns when that is final."""
        query: Json | None = {"wait": wait} if wait else None
        if query is not None and self._receipts:
            query["receipt"] = "true"
        done = cast("TxAnswer", document(await self.call("POST", path, query=query, body=body, extra_s=wait)))
        if code := done.get("code"):
            raise RejectedError(f"Refused in block {done.get('height')}", code=code, name=done.get("code_name"))
        return done

    def _open(self) -> aiohttp.ClientSession:
        if self.plain:
            raise NeedsMoreError
        import aiohttp

        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            # Proxies of the environment would see the token: they are not used.
            traces = [self._looking()] if self._token else []
            self._session = aiohttp.ClientSession(
                headers=headers, trust_env=False, read_bufsize=MAX_EVENT // 2, trace_configs=traces
            )
        return self._session

    def _looking(self) -> aiohttp.TraceConfig:
        """Of each new connection to a port of this machine, before anything is sent over it: does the other side know the token?"""
        import aiohttp

        parts, looking = urlsplit(self.url), aiohttp.TraceConfig()
        host, port = local_host(parts.hostname or ""), parts.port or 80
        if host is None or parts.scheme != "http":
            return looking
        holder = PortHolder(host, port, self._token or "", self._proof)

        async def look(*_: Any) -> None:
            try:
                await holder.check()
            except Stranger as e:
                raise UnreachableError(
                    f"Nothing was sent to {self.url}: {e} listens there and does not show that it knows your token. While a node "
                    "is down others may take its port, and would be sent the token. Start the node (learningchain node), or name "
                    "its address with --api; a tunnel has the same address and port at both ends (-L 7401:127.0.0.1:7401)"
                ) from None

        looking.on_connection_create_end.append(look)
        return looking

    async def _proof(self, token: str, nonce: str) -> str:
        """What the other side says, asked without the token; nothing where it says nothing that is one."""
        import aiohttp
        import msgspec

        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=5.0)
        try:
            async with (
                aiohttp.ClientSession(trust_env=False) as session,
                session.get(self.url + "/v1/proof", params={"token": token, "nonce": nonce}, timeout=timeout) as response,
            ):
                said = msgspec.json.decode(await response.content.read(4_096))
        except _broken(OSError, ValueError):
            return ""
        return str(said.get("proof", "")) if isinstance(said, dict) else ""

    async def call(self, method: str, path: str, *, query: Json | None = None, body: Any = None, extra_s: float = 0.0) -> Any:
        params = {k: str(v) for k, v in (query or {}).items() if v is not None}
        if self.plain:
            try:
                found = ask_plainly(self.url, method, path, params, body, self._token, self._timeout + extra_s, MAX_ANSWER)
            except (OSError, ValueError) as e:
                raise self._unreachable(e) from None
            return self._decoded(found)
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self._timeout + extra_s, sock_connect=5.0)
        sent: Json = {} if body is None else {"json": body}
        try:
            async with self._open().request(method, self.url + path, params=params, timeout=timeout, **sent) as response:
                return await self.answer(response)
        except _broken(OSError, ValueError) as e:
            raise self._unreachable(e) from None

    async def answer(self, response: aiohttp.ClientResponse) -> Any:
        raw = bytearray()
        async for piece in response.content.iter_chunked(_PIECE):
            raw += piece
            if len(raw) > MAX_ANSWER:
                raise UnreachableError(f"{self.url} sent more than {MAX_ANSWER >> 20} MiB. Ask for less at once")
        return self._decoded(PlainAnswer(response.status, bytes(raw)))

    def _decoded(self, answer: PlainAnswer) -> Any:
        import json

        try:
            document = json.loads(answer.body, parse_constant=_no_number) if answer.body else {}
        except (ValueError, RecursionError):
            raise UnreachableError(
                f"{self.url} answered {answer.status} with something else than JSON: is this the API of a node? Check --api"
            ) from None
        if answer.status >= 400:
            raise _error(answer.status, document)
        return document

    def _unreachable(self, e: BaseException) -> UnreachableError:
        import aiohttp

        if isinstance(e, aiohttp.InvalidURL):
            return UnreachableError(f"{self.url} is no address of an API. It looks like http://127.0.0.1:7401")
        why = "it did not answer in time" if isinstance(e, TimeoutError) else str(e) or type(e).__name__
        if isinstance(e, aiohttp.ClientConnectorError):
            refused = isinstance(e.os_error, ConnectionRefusedError)
            why = "nothing listens there" if refused else e.os_error.strerror or str(e.os_error)
        return UnreachableError(
            f"Cannot reach the node at {self.url}: {why}. Is it running (learningchain node), is this its address (--api)?"
        )

    # --- files ------------------------------------------------------------------------------------------------------------------

    async def upload(self, path: Path, on_progress: Progress | None = None, *, of_set: str | None = None) -> FileStored:
        """Give a file to the node, which keeps and serves it. The CID it answers is checked against the bytes sent. `of_set`: the
        CID of the published set that it belongs to, and with which it is kept."""
        import aiohttp

        from learningchain.client.sdk.files import StreamName

        name = StreamName()
        try:
            total = path.stat().st_size
            pieces = _pieces(path, name, total, on_progress)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
            headers = {"Content-Length": str(total), "Content-Type": "application/octet-stream"}
            address = self.url + "/v1/files" + ("" if of_set is None else f"?set={of_set}")
            async with self._open().post(address, data=pieces, headers=headers, timeout=timeout) as response:
                stored = cast("FileStored", document(await self.answer(response)))
        except FileNotFoundError:
            raise UsageError(f"There is no file {path}") from None
        except _broken(OSError) as e:
            raise self._unreachable(e) from None
        own, _ = name.finish()
        if stored["cid"] != own:
            raise BadContentError(f"The node stored {path.name} as {stored['cid']}, its bytes make {own}. Upload it again")
        return stored

    async def download(
        self, path: str, query: Json, cid: str, dest: Path, limit: int, overwrite: bool, on_progress: Progress | None
    ) -> Fetched:
        """`on_progress` is told of what the node has to fetch itself first, and then of what comes from the node."""
        import asyncio

        import aiohttp

        from learningchain.client.sdk.files import StreamName, appearing

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
        name = StreamName()
        told = None if on_progress is None else asyncio.ensure_future(self._tell_coming(cid, on_progress))
        try:
            with appearing(dest, overwrite=overwrite, forced="--force") as file:
                async with self._open().get(self.url + path, params=query, timeout=timeout) as response:
                    if told is not None:
                        told.cancel()
                    if response.status >= 400:
                        await self.answer(response)
                    total = response.content_length or limit
                    async for piece in response.content.iter_chunked(_PIECE):
                        if name.size + len(piece) > limit:
                            raise BadContentError(f"{cid} is larger than the {limit} bytes it should have. Nothing was kept")
                        name.feed(piece)
                        await asyncio.to_thread(file.write, piece)
                        if on_progress:
                            on_progress(name.size, total)
                found, sha256 = name.finish()
                if found != cid:
                    raise BadContentError(f"The bytes received are {found}, not {cid}. Nothing was kept; fetch it again")
        except _broken() as e:
            raise self._unreachable(e) from None
        except OSError as e:
            raise UsageError(f"{dest} cannot be written: {e.strerror}. Check the folder and its free space") from None
        finally:
            if told is not None:
                told.cancel()
        return Fetched(dest, cid, name.size, sha256)

    async def _tell_coming(self, cid: str, on_progress: Progress) -> None:
        """A token of less is told nothing of it, as by a node that does not know the question."""
        import asyncio

        with suppress(ApiError):
            while True:
                await asyncio.sleep(COMING_S)
                for one in await self.rows("/v1/transfers"):
                    if one["cid"] == cid:
                        on_progress(one["done"], one["size"] or 0)

    # --- events -----------------------------------------------------------------------------------------------------------------

    async def events(self, kinds: Sequence[str] | None, place: StreamPlace) -> AsyncIterator[Event]:
        """What happens on the node since `place`, or from now on: "block", "note" (the ledger's events), "run" (progress), "notice"
        (of `status`); `kinds` asks for some. `place` goes along.

        Ends with `UnreachableError` when the connection breaks.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
        query = {"kinds": ",".join(kinds)} if kinds else {}
        try:
            headers = {} if place.last is None else {"Last-Event-ID": place.last}
            async with self._open().get(self.url + "/v1/events", params=query, headers=headers, timeout=timeout) as response:
                if response.status >= 400:
                    await self.answer(response)
                async for event in _events(response.content, place):
                    yield event
        except _broken(OSError, ValueError) as e:
            raise self._unreachable(e) from None
        raise UnreachableError(f"The node at {self.url} closed the stream of events. Is it still running?")


# --- parts ---------------------------------------------------------------------------------------------------------------------


def local_url(listen: str) -> str:
    """The address under which a client on this machine reaches an API that listens there."""
    host, _, port = listen.rpartition(":")
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{reachable}:{port}"


def dialled(url: str) -> str:
    """The URL with an address where its host is a name of this machine itself: the name means two loopbacks, and at one of them
    another user may listen."""
    parts = urlsplit(url)
    if not is_localhost(parts.hostname or ""):
        return url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{LOCALHOST}{port}", parts.path, parts.query, parts.fragment))


def is_local(url: str) -> bool:
    """Whether an API's address is of this machine."""
    return local_host(urlsplit(url).hostname or "") is not None


def link_url(url: str, path: str, host: str) -> str:
    """Where a link to the dashboard of the API at `url` is opened."""
    parts = urlsplit(url)
    return url + path if not host else urlunsplit((parts.scheme, f"{host}:{parts.port or 80}", path, "", ""))


def read_token(path: Path, *, own: bool = False) -> str | None:
    """The API token in a file, None where there is no file. `own`: it lies in the data folder, where neither a link nor a pipe has
    its name. Raises `UsageError`."""
    try:
        token = reading.file(path, MAX_TOKEN, own=own).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"The token file {path} cannot be read: {e}. It belongs to the user who runs the node") from None
    if not 0 < len(token) <= MAX_TOKEN or not token.isprintable():
        raise UsageError(f"{path} holds no token. The node writes it at its start: name its data folder with --data")
    return token


def given(request: msgspec.Struct) -> Json:
    """A request as it is sent: without the fields that say nothing."""
    said = {name: getattr(request, name) for name in request.__struct_fields__}
    return {name: _given(part) for name, part in said.items() if part is not None}


def _given(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_given(one) for one in part]
    return given(part) if hasattr(part, "__struct_fields__") else part


def path_id(text: str) -> str:
    """A part of a path: an id that a caller gave us must not become another path."""
    if not text.isascii() or not text.replace("-", "").replace("_", "").isalnum() or len(text) > 128:
        raise UsageError(f"{text[:80]!r} is no id: ids are letters and digits")
    return text


def document(found: Any) -> Json:
    """An object, as every answer is that is no list."""
    if not isinstance(found, dict):
        raise UnreachableError("The node's answer is of another kind than expected: its version does not fit this client's")
    return found


def _error(status: int, document: Any) -> ApiError:
    said = document.get("error") if isinstance(document, dict) else None
    said = said if isinstance(said, dict) else {}
    kind = KINDS.get(str(said.get("kind")), KINDS[_BY_STATUS.get(status, "unavailable")])
    code, name, wait_s = said.get("code"), said.get("name"), said.get("retry_after_s")
    message = str(said.get("message") or f"the node answered with HTTP status {status}")[:4_000]
    return kind(
        message,
        code=code if isinstance(code, int) else None,
        name=name if isinstance(name, str) else None,
        retry_after_s=wait_s if isinstance(wait_s, int) else None,
    )


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _broken(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What aiohttp raises where a connection cannot be made, or breaks, and more."""
    import aiohttp

    return (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, TimeoutError, *more)


async def _pieces(path: Path, name: StreamName, total: int, on_progress: Progress | None) -> AsyncIterator[bytes]:
    import asyncio

    with await asyncio.to_thread(path.open, "rb") as file:
        if os.fstat(file.fileno()).st_size != total:
            raise UsageError(f"{path} changes while it is read. Upload it when it is complete")
        while piece := await asyncio.to_thread(file.read, _PIECE):
            name.feed(piece)
            if on_progress:
                on_progress(name.size, total)
            yield piece


def _event_data(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("an event that is nested too deeply") from None


async def _events(stream: aiohttp.StreamReader, place: StreamPlace) -> AsyncIterator[Event]:
    """Server-sent events (WHATWG HTML, 9.2): `event:` and `data:` lines, ended by an empty line; comments keep it alive."""
    data: list[str] = []
    kind, size = "message", 0
    last = place.last
    while line := await stream.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        size += len(line)
        if size > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        if not text:
            document = _event_data("\n".join(data)) if data else None
            place.last = last
            if data and kind != _ALIVE:
                yield Event(kind, document if isinstance(document, dict) else {"value": document}, last)
            kind, data, size = "message", [], 0
        elif field == "event":
            kind = value
        elif field == "id" and len(value) <= MAX_EVENT_ID:
            last = value
        elif field == "data":
            data.append(value)
