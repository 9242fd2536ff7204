"""A ledger of a few events, and HTTP servers as hostile as a callback may meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from learningchain.chain.host import Reader
from learningchain.chain.types import LogEvent
from learningchain.client.addresses import AllowedAddresses
from learningchain.client.callbacks.following import CallbackLeaving, CallbackPart
from learningchain.client.callbacks.posting import Caller
from learningchain.client.callbacks.service import CallbackService, RetryTimes
from tests.slow import SLOW

CHAIN, OWN = b"c" * 32, b"o" * 20
SECRET = b"s" * 32
QUICK = RetryTimes(first=1, most=20, until=600_000, disk=5)


def ref_of(name: str) -> bytes:
    return name.encode().ljust(32, b"\0")


NAMES = frozenset({"agreed", "failed", "final"})


class Thing:
    """The callbacks of a contract of tests: a thing is agreed, then final."""

    def __init__(self) -> None:
        self.state: dict[bytes, list[str]] = {}
        self.lefts: list[Any] = []

    def part(self) -> CallbackPart:
        last, leaving = frozenset({"failed", "final"}), CallbackLeaving(self.knows, self.left)
        return CallbackPart(NAMES, last, self.named, self.happened, self.data, leaving=leaving)

    def knows(self, reader: Reader, ref: bytes) -> bool:
        return ref in self.state

    def left(self, reader: Reader, told: Any, known_ms: int | None, clock_ms: int) -> str:
        self.lefts.append((list(told), known_ms, clock_ms))
        return "final" if told else "failed"

    def named(self, topic: str, noted: dict[str, Any]) -> str | None:
        kind, _, name = topic.partition("_")
        return name if kind == "thing" and name in NAMES else None

    def happened(self, reader: Reader, ref: bytes) -> list[str]:
        return (reader if isinstance(reader, dict) else self.state).get(ref, [])

    def data(self, reader: Reader, ref: bytes, name: str, noted: dict[str, Any] | None) -> dict[str, Any]:
        return {"noted": noted, "what": name}


@dataclass
class Block:
    height: int
    time: int
    events: list[Any]

    @property
    def header(self) -> Block:
        return self

    def executed_blocks(self) -> list[tuple[None, Block]]:
        return [(None, self)]


@dataclass
class Chain:
    """`client.node.interface.Ledger`, as far as callbacks look at it, and its store."""

    blocks: list[Block] = field(default_factory=list)
    pruned: int = 0
    readers: list[asyncio.Queue[Any]] = field(default_factory=list)
    past: dict[bytes, Any] = field(default_factory=dict)
    """What left the state here."""
    chain_id, own_id, state = CHAIN, OWN, None

    @property
    def height(self) -> int:
        return len(self.blocks)

    @property
    def clock(self) -> int:
        return 1_000 * len(self.blocks)

    def decide(self, *events: tuple[str, str], told: bool = True) -> None:
        """A block that notes (topic, name of a thing). `told`: otherwise this process is killed before anybody hears of it."""
        made = [LogEvent(topic, ref_of(name), [7]) for topic, name in events]
        self.blocks.append(Block(self.height + 1, 1_000 * self.height, made))
        for queue in self.readers if told else ():
            queue.put_nowait(self.blocks[-1])

    async def noted(self, height: int) -> tuple[int, list[Any]] | None:
        if height <= self.pruned:
            return None
        block = self.blocks[height - 1]
        return block.time, list(block.events)

    async def kept(self, kind: str, beginning: bytes = b"") -> list[Any]:
        return []

    async def archived(self, refs: Any) -> dict[bytes, Any]:
        return {ref: self.past[ref] for ref in refs if ref in self.past}

    def committed(self) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self.readers.append(queue)
        return self._follow(queue)

    async def _follow(self, queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        while (block := await queue.get()) is not None:
            yield block
        raise LookupError("fell behind")


@dataclass
class Post:
    """One request as a server read it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


Answer = Callable[[Post, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, headers: str = "") -> Answer:
    async def answer(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {code} X\r\n{headers}Content-Length: 0\r\n\r\n".encode())

    return answer


async def hang(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the caller goes


async def cut(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 20")
    writer.transport.abort()


class HttpServer:
    """`answers` in turn, the last one for ever. What came is in `posts`."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [status(204)]
        self.posts: list[Post] = []
        self.came = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if hasattr(self._server, "close_clients"):
            self._server.close_clients()

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            post = Post(first.split()[1], headers, body)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            async with self.came:
                self.posts.append(post)
                self.came.notify_all()
            await answer(post, reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def until(self, count: int) -> None:
        async with self.came, asyncio.timeout(20 * SLOW):
            await self.came.wait_for(lambda: len(self.posts) >= count)


def service(
    path: Path,
    chain: Chain,
    thing: Thing | None = None,
    *,
    times: RetryTimes = QUICK,
    answer_s: float = 15.0,
    now: Any = None,
    why_not: Any = None,
) -> CallbackService:
    caller = Caller(AllowedAddresses.of(["loopback"]), "1", answer_s=answer_s)
    more: dict[str, Any] = {"times": times, "kept": chain.kept}
    more |= ({} if now is None else {"now": now}) | ({} if why_not is None else {"why_not": why_not})
    return CallbackService(path / "callbacks.db", chain, chain, {"thing": (thing or Thing()).part()}, caller, **more)  # type: ignore[arg-type]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20 * SLOW):
        while not await true():
            await asyncio.sleep(0.005)
