"""The SDK: everything the HTTP API of a node can do, as typed asynchronous calls; `client.sdk_sync` has them without `await`.

    async with Client.of_folder(Path("node")) as node:
        done = await node.transfer("lc1…", "1.5", wait=30)

Two ways to send a transaction: the node signs with its own key (`transfer`, `submit_job`), or the caller signs with a key of its
own (`submit_tx`). A call raises what went wrong: `Rejected` by the rules, `Invalid`, `Usage`, `NotFound`, `Unreachable`…
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import aiohttp
import msgspec

from chain.codec import encode
from chain.crypto import SigningKey, account_id, address
from chain.ledger.tx import sign_tx
from chain.storage import private
from chain.types import TxBody, net_of
from client import config
from client.sdk_files import StreamName, appearing
from client.sdk_types import (
    KINDS,
    Account,
    ApiError,
    ArchiveImage,
    BadContent,
    Event,
    Fetched,
    HistoryEntry,
    Job,
    JobEvent,
    JobTerms,
    Json,
    NotFound,
    RegistryImage,
    Rejected,
    Status,
    Stored,
    Submitted,
    Unreachable,
    Usage,
)

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0: unknown)."""

MAX_ANSWER: Final = 64 * 2**20
MAX_EVENT: Final = 2**20
MAX_PAGE: Final = 1_000
"""Rows that a node lists in one answer."""
TIMEOUT_S: Final = 30.0
SILENCE_S: Final = 600.0
"""A transfer of a file, or the stream of events, may be silent this long: the graph may be fetching the file."""
_PIECE: Final = 256 * 1024
_BROKEN: Final = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, TimeoutError)
_BY_STATUS: Final = {400: "usage", 401: "unauthorized", 403: "unauthorized", 404: "not_found", 422: "rejected"}


class Client:
    """One node's API. Use it as an asynchronous context manager, or call `close`."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._token, self._timeout = token, timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._sequences: dict[tuple[str, bytes, int], int] = {}

    @classmethod
    def of_folder(cls, data: Path, *, timeout_s: float = TIMEOUT_S) -> Self:
        """The node whose data folder this is. Raises `Usage` when its token or settings cannot be read."""
        try:
            listen = config.load(data).config.api.listen
        except config.ConfigError as e:
            raise Usage(str(e)) from None
        return cls(local_url(listen), read_token(data / "api.token", own=True), timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- requests ---------------------------------------------------------------------------------------------------------------

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            # Proxies of the environment would see the token: they are not used.
            self._session = aiohttp.ClientSession(headers=headers, trust_env=False, read_bufsize=MAX_EVENT // 2)
        return self._session

    async def _call(self, method: str, path: str, *, params: Json | None = None, body: Any = None, extra_s: float = 0.0) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._timeout + extra_s, sock_connect=5.0)
        query = {k: str(v) for k, v in (params or {}).items() if v is not None}
        sent: Json = {} if body is None else {"json": body}
        try:
            async with self._open().request(method, self.url + path, params=query, timeout=timeout, **sent) as response:
                return await self._answer(response)
        except (*_BROKEN, OSError, ValueError) as e:
            raise self._unreachable(e) from None

    async def _answer(self, response: aiohttp.ClientResponse) -> Any:
        raw = bytearray()
        async for piece in response.content.iter_chunked(_PIECE):
            raw += piece
            if len(raw) > MAX_ANSWER:
                raise Unreachable(f"{self.url} sent more than {MAX_ANSWER >> 20} MiB. Ask for less at once")
        try:
            document = msgspec.json.decode(bytes(raw)) if raw else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Unreachable(
                f"{self.url} answered {response.status} with something else than JSON: is this the API of a node? Check --api"
            ) from None
        if response.status >= 400:
            raise _error(response.status, document)
        return document

    def _unreachable(self, e: BaseException) -> Unreachable:
        if isinstance(e, aiohttp.InvalidURL):
            return Unreachable(f"{self.url} is no address of an API. It looks like http://127.0.0.1:7401")
        why = "it did not answer in time" if isinstance(e, TimeoutError) else str(e) or type(e).__name__
        if isinstance(e, aiohttp.ClientConnectorError):
            refused = isinstance(e.os_error, ConnectionRefusedError)
            why = "nothing listens there" if refused else e.os_error.strerror or str(e.os_error)
        return Unreachable(
            f"Cannot reach the node at {self.url}: {why}. Is it running (learningchain node), is this its address (--api)?"
        )

    # --- reading ----------------------------------------------------------------------------------------------------------------

    async def status(self) -> Status:
        return cast(Status, _document(await self._call("GET", "/v1/status")))

    async def account(self, account: str | None = None) -> Account:
        """Standing and credits of an account, the node's own without one."""
        if account is None:
            account = (await self.status())["id"]
        return cast(Account, _document(await self._call("GET", f"/v1/accounts/{_id(account)}")))

    async def balance(self, account: str | None = None) -> str:
        """Free credits, as decimal text."""
        return (await self.account(account))["balance"]

    async def history(self, account: str | None = None, *, before: int | None = None, limit: int = 50) -> list[HistoryEntry]:
        """Movements of credits, newest first; go on with `before` = the last entry's `cursor`."""
        if account is None:
            account = (await self.status())["id"]
        found = await self._call("GET", f"/v1/accounts/{_id(account)}/history", params={"before": before, "limit": limit})
        return cast(list[HistoryEntry], _rows(found, "history"))

    async def accounts(self, *, after: str | None = None, limit: int = 1_000) -> list[Account]:
        return cast(
            list[Account], _rows(await self._call("GET", "/v1/accounts", params={"after": after, "limit": limit}), "accounts")
        )

    async def supply(self) -> dict[str, str]:
        return cast(dict[str, str], _document(await self._call("GET", "/v1/supply")))

    async def peers(self) -> list[Json]:
        return _rows(await self._call("GET", "/v1/peers"), "peers")

    async def connections(self) -> list[Json]:
        """Connections that came, went, failed or were refused lately, with the reason; newest first."""
        return _rows(await self._call("GET", "/v1/connections"), "connections")

    async def ready(self) -> Json:
        """Whether the node is in step with the graph and its sandbox holds. Raises `Unavailable` with the reason where not."""
        return _document(await self._call("GET", "/readyz"))

    async def config(self) -> Json:
        """The node's effective settings."""
        return _document(await self._call("GET", "/v1/config"))

    async def block(self, height: int | str = "latest") -> Json:
        return _document(await self._call("GET", f"/v1/blocks/{_id(str(height))}"))

    async def tx(self, tx: str) -> Json:
        return _document(await self._call("GET", f"/v1/tx/{_id(tx)}"))

    async def receipt(self, height: int, index: int) -> Json:
        """A receipt with its proof, its block's header and certificate, all encoded, in hex. 0 is the block's own receipt; that of
        a transaction is one more than its `index`. Nothing of it need be believed: protocol_spec/blocks.md says how to check it."""
        return _document(await self._call("GET", f"/v1/blocks/{_id(str(height))}/receipts/{_id(str(index))}"))

    async def proof(self, key: bytes) -> Json:
        """What the state holds under a key (protocol_spec/merkle.md), with the proof of that, or of its absence, and the block."""
        return _document(await self._call("GET", f"/v1/proofs/{key.hex()}"))

    async def handovers(self, start: int = 1, limit: int = 64) -> list[str]:
        """Encoded handovers from height `start` on, in hex: they lead from a known validator set to those that follow it."""
        found = _document(await self._call("GET", "/v1/handovers", params={"start": start, "limit": limit}))
        return list(found["handovers"])

    async def jobs(
        self, *, live: bool = False, beginning: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Job]:
        """Jobs, newest first, at most 1,000; go on with `before` = the last one's `number`, or use `every_job`. `beginning` asks
        for those whose id begins so, however old they are."""
        params = {"live": "true" if live else None, "id": beginning, "before": before, "limit": limit}
        return _rows(await self._call("GET", "/v1/jobs", params=params), "jobs")

    async def every_job(self, *, live: bool = False, before: int | None = None, page: int = MAX_PAGE) -> AsyncIterator[Job]:
        """Jobs, newest first, to the oldest: asks for the next `page` of them when the last one is used up."""
        while found := await self.jobs(live=live, before=before, limit=page):
            for job in found:
                if before is not None and job["number"] >= before:
                    raise Unreachable("The node lists the same jobs again: its version does not fit this client's")
                before = job["number"]
                yield job
            if len(found) < page:
                return

    async def job_events(self, job: str, *, before: int | None = None, limit: int = 50) -> list[JobEvent]:
        """What happened to a job, newest first, with block and time; go on with `before` = the last one's `cursor`."""
        found = await self._call("GET", f"/v1/jobs/{_id(job)}/events", params={"before": before, "limit": limit})
        return cast(list[JobEvent], _rows(found, "events"))

    async def job(self, job: str) -> Job:
        return _document(await self._call("GET", f"/v1/jobs/{_id(job)}"))

    async def runs(self) -> list[Json]:
        """Runs of the node's own worker and verifier, with progress."""
        return _rows(await self._call("GET", "/v1/runs"), "runs")

    async def run(self, run: str) -> Json:
        return _document(await self._call("GET", f"/v1/runs/{_id(run)}"))

    async def cancel_run(self, run: str) -> Json:
        return _document(await self._call("DELETE", f"/v1/runs/{_id(run)}"))

    # --- submitting -------------------------------------------------------------------------------------------------------------

    async def transfer(self, to: str, amount: str, *, memo: str | None = None, wait: float = 0) -> Submitted:
        """Send credits from the node's account. With `wait` seconds it returns when the transfer is final."""
        body = {"to": to, "amount": amount} | ({"memo": memo} if memo else {})
        return await self._submit("/v1/transfers", body, wait)

    async def submit_job(
        self,
        image: ArchiveImage | RegistryImage,
        bounty: str,
        expires_in_s: float,
        terms: JobTerms | None = None,
        *,
        wait: float = 0,
    ) -> Submitted:
        """Post a job as the node's account; `job` in the answer is its id."""
        body = {"image": image, "bounty": bounty, "expires_in_s": expires_in_s, **(terms or {})}
        return await self._submit("/v1/jobs", body, wait)

    async def judge(self, account: str, *, confirm: bool, wait: float = 0) -> Submitted:
        """A validator's word on a suspension: confirm the ban, or lift it."""
        return await self._submit("/v1/judgements", {"account": account, "confirm": confirm}, wait)

    async def release(self, contract: str, ref: str, *, give_back: bool, wait: float = 0) -> Submitted:
        """A validator's word on what the status shows as parked: let it run again, or end it and return what it holds."""
        return await self._submit("/v1/releases", {"contract": contract, "ref": ref, "give_back": give_back}, wait)

    async def submit_raw(self, raw: bytes, *, wait: float = 0) -> Submitted:
        """Offer a signed transaction."""
        return await self._submit("/v1/tx", {"raw": raw.hex()}, wait)

    async def submit_tx(
        self,
        ops: Sequence[Any],
        key: SigningKey,
        *,
        sender: bytes | None = None,
        lane: int = 0,
        valid_for: int = 100,
        wait: float = 0,
    ) -> Submitted:
        """Sign contract messages with `key` and offer them. `valid_for` is in blocks.

        Sequences go on from this client's last one, so several may be outstanding; after a refusal the ledger's count stands again.
        """
        own = account_id(key.public) if sender is None else sender
        status = await self.status()
        chain_id = bytes.fromhex(status["chain_id"])
        slot = (status["chain_id"], own, lane)
        if slot not in self._sequences:
            self._sequences[slot] = (await self.account(address(own)))["sequences"][lane]
        sequence = self._sequences[slot]
        self._sequences[slot] = sequence + 1
        body = TxBody(net_of(chain_id), own, lane, sequence, status["height"] + valid_for, [msgspec.Raw(encode(op)) for op in ops])
        try:
            return await self.submit_raw(sign_tx(key, chain_id, body), wait=wait)
        except Rejected:
            raise  # it stands in a block: its sequence is used
        except ApiError:
            self._sequences.pop(slot, None)
            raise

    async def _submit(self, path: str, body: Any, wait: float) -> Submitted:
        params = {"wait": wait} if wait else None
        done = cast(Submitted, _document(await self._call("POST", path, params=params, body=body, extra_s=wait)))
        if code := done.get("code"):
            raise Rejected(f"Refused in block {done.get('height')}", code=code, name=done.get("code_name"))
        return done

    # --- files ------------------------------------------------------------------------------------------------------------------

    async def upload(self, path: Path, on_progress: Progress | None = None) -> Stored:
        """Give a file to the node, which keeps and serves it. The CID it answers is checked against the bytes sent."""
        name = StreamName()
        try:
            total = path.stat().st_size
            pieces = _pieces(path, name, total, on_progress)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
            headers = {"Content-Length": str(total), "Content-Type": "application/octet-stream"}
            async with self._open().post(self.url + "/v1/files", data=pieces, headers=headers, timeout=timeout) as response:
                stored = cast(Stored, _document(await self._answer(response)))
        except FileNotFoundError:
            raise Usage(f"There is no file {path}") from None
        except (*_BROKEN, OSError) as e:
            raise self._unreachable(e) from None
        own, _ = name.finish()
        if stored["cid"] != own:
            raise BadContent(f"The node stored {path.name} as {stored['cid']}, its bytes make {own}. Upload it again")
        return stored

    async def fetch(
        self, cid: str, dest: Path, *, max_size: int, overwrite: bool = False, on_progress: Progress | None = None
    ) -> Fetched:
        """A file by CID, from the node or over it from the graph, checked against its CID."""
        query = {"max_size": max_size}
        return await self._fetch(f"/v1/files/{_id(cid)}", query, cid, dest, max_size, overwrite, on_progress)

    async def fetch_model(self, job: str, dest: Path, *, overwrite: bool = False, on_progress: Progress | None = None) -> Fetched:
        """The winning model of a job, checked against the CID in the ledger. A folder as `dest` gets `model-<job>`.

        The bytes are a stranger's: never unpickle them outside a sandbox.
        """
        found = await self.job(job)
        model = found.get("model")
        if not model:
            over = found.get("state") in ("EMPTY", "REFUNDED")
            what = f"it ended as {found['state']}" if over else f"watch it until it is PAID (learningchain job watch {job[:12]})"
            raise NotFound(f"Job {job} has no winner's model: {what}")
        target = dest / f"model-{job[:16]}" if dest.is_dir() else dest
        return await self._fetch(f"/v1/jobs/{_id(job)}/model", {}, model["cid"], target, model["size"], overwrite, on_progress)

    async def _fetch(
        self, path: str, query: Json, cid: str, dest: Path, limit: int, overwrite: bool, on_progress: Progress | None
    ) -> Fetched:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
        name = StreamName()
        try:
            with appearing(dest, overwrite=overwrite) as file:
                async with self._open().get(self.url + path, params=query, timeout=timeout) as response:
                    if response.status >= 400:
                        await self._answer(response)
                    total = response.content_length or limit
                    async for piece in response.content.iter_chunked(_PIECE):
                        if name.size + len(piece) > limit:
                            raise BadContent(f"{cid} is larger than the {limit} bytes it should have. Nothing was kept")
                        name.feed(piece)
                        await asyncio.to_thread(file.write, piece)
                        if on_progress:
                            on_progress(name.size, total)
                found, sha256 = name.finish()
                if found != cid:
                    raise BadContent(f"The bytes received are {found}, not {cid}. Nothing was kept; fetch it again")
        except _BROKEN as e:
            raise self._unreachable(e) from None
        except OSError as e:
            raise Usage(f"{dest} cannot be written: {e.strerror}. Check the folder and its free space") from None
        return Fetched(dest, cid, name.size, sha256)

    # --- events -----------------------------------------------------------------------------------------------------------------

    async def watch(self, *, kinds: Sequence[str] | None = None) -> AsyncIterator[Event]:
        """What happens on the node from now on: "block", "note" (the ledger's events), "run" (progress); `kinds` asks for some.

        Ends with `Unreachable` when the connection breaks. Events in between are lost then: read the state again.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=SILENCE_S)
        query = {"kinds": ",".join(kinds)} if kinds else {}
        try:
            async with self._open().get(self.url + "/v1/events", params=query, timeout=timeout) as response:
                if response.status >= 400:
                    await self._answer(response)
                async for event in _events(response.content):
                    yield event
        except (*_BROKEN, OSError, ValueError) as e:
            raise self._unreachable(e) from None
        raise Unreachable(f"The node at {self.url} closed the stream of events. Is it still running?")


# --- parts ---------------------------------------------------------------------------------------------------------------------


def local_url(listen: str) -> str:
    """The address under which a client on this machine reaches an API that listens there."""
    host, _, port = listen.rpartition(":")
    reachable = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{reachable}:{port}"


def read_token(path: Path, *, own: bool = False) -> str | None:
    """The API token in a file, None where there is no file. `own`: it lies in the data folder, where neither a link nor a pipe has
    its name. Raises `Usage`."""
    try:
        with private.reading(path) if own else path.open("rb") as f:
            token = f.read(1_025).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise Usage(f"The token file {path} cannot be read: {e}. It belongs to the user who runs the node") from None
    if not 0 < len(token) <= 1_024 or not token.isprintable():
        raise Usage(f"{path} holds no token. The node writes it at its start: name its data folder with --data")
    return token


def _id(text: str) -> str:
    """A part of a path: an id that a caller gave us must not become another path."""
    if not text.isascii() or not text.replace("-", "").replace("_", "").isalnum() or len(text) > 128:
        raise Usage(f"{text[:80]!r} is no id: ids are letters and digits")
    return text


def _document(found: Any) -> Json:
    """An object, as every answer is that is no list."""
    if not isinstance(found, dict):
        raise Unreachable("The node's answer is of another kind than expected: its version does not fit this client's")
    return found


def _rows(found: Any, name: str) -> list[Any]:
    """A list, sent bare or under its name."""
    rows = found.get(name, found.get("items")) if isinstance(found, dict) else found
    if not isinstance(rows, list):
        raise Unreachable(f"The node's answer holds no list of {name}: its version does not fit this client's")
    return rows


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


async def _pieces(path: Path, name: StreamName, total: int, on_progress: Progress | None) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        if os.fstat(file.fileno()).st_size != total:
            raise Usage(f"{path} changes while it is read. Upload it when it is complete")
        while piece := await asyncio.to_thread(file.read, _PIECE):
            name.feed(piece)
            if on_progress:
                on_progress(name.size, total)
            yield piece


def _event_data(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise ValueError("an event that is nested too deeply") from None


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Server-sent events (WHATWG HTML, 9.2): `event:` and `data:` lines, ended by an empty line; comments keep it alive."""
    data: list[str] = []
    kind, size = "message", 0
    while line := await stream.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        size += len(line)
        if size > MAX_EVENT:
            raise ValueError(f"an event of more than {MAX_EVENT} bytes")
        if not text:
            if data:
                document = _event_data("\n".join(data))
                yield Event(kind, document if isinstance(document, dict) else {"value": document})
            kind, data, size = "message", [], 0
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
