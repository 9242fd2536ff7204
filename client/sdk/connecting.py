"""`connect` and `connect_async`: a node as an object, whose parts each contract's slice brings (its module `objects`).

with learningchain.connect() as node:
    job = node.jobs.post("my-job", bounty=20, expires="30m")
    job.wait(progress=True)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from learningchain.client import contracts, reading
from learningchain.client.reading import variable
from learningchain.client.sdk.calls import call
from learningchain.client.sdk.client import Client, SyncClient, at_folder
from learningchain.client.sdk.http import TIMEOUT_S, read_token
from learningchain.client.sdk.objects import OBJECTS, NodeLink, NodeObject
from learningchain.client.sdk.types import UsageError
from learningchain.client.sdk.values import moment

if TYPE_CHECKING:
    # What a type checker knows of the slices that are found when the program runs.
    from learningchain.client.contracts.federation.objects import AsyncNodeFederations, NodeFederations
    from learningchain.client.contracts.job.objects import AsyncNodeJobs, NodeJobs
    from learningchain.client.contracts.prediction.objects import AsyncNodeModels, NodeModels

    class _AsyncParts(AsyncNodeFederations, AsyncNodeJobs, AsyncNodeModels): ...

    class _Parts(NodeFederations, NodeJobs, NodeModels): ...

else:
    _SLICES: Final = [part for name, part in contracts.parts(OBJECTS).items() if contracts.is_own(name)]
    _AsyncParts = type("_AsyncParts", tuple(part.awaited for part in _SLICES), {})
    _Parts = type("_Parts", tuple(part.blocking for part in _SLICES), {})


@dataclass(frozen=True)
class NodeStatus:
    """How a node stands. `raw` is the whole document of the API."""

    id: str
    network: str
    height: int
    time: datetime | None
    """Of its last block."""
    peers: int
    syncing: bool
    working: bool
    version: str
    raw: Any


class NodeFacts(NodeObject):
    @call
    async def status(self) -> NodeStatus:
        """How the node stands: its identity, network, height, peers."""
        found = await self._node.status()
        known: dict[str, Any] = {
            name: found.get(name) for name in ("id", "network", "height", "peers", "syncing", "working", "version")
        }
        return NodeStatus(**known, time=moment(found["time"]), raw=found)

    @call
    async def balance(self) -> Decimal:
        """The free credits of the node's account."""
        return Decimal(await self._node.balance())

    def _facts(self) -> dict[str, Any]:
        return {"url": self.api.url}


class AsyncNode(NodeFacts, _AsyncParts):
    """A node whose calls are awaited. `calls` has each call of its API."""

    @property
    def calls(self) -> Client:
        return self._node

    async def close(self) -> None:
        """End the connection. What was sent goes on."""
        await self._node.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


class Node(_Parts, NodeFacts):
    """A node whose calls block. `calls` has each call of its API."""

    def __init__(self, client: SyncClient, folder: Path | None = None) -> None:
        super().__init__(NodeLink.of(client, folder))
        self.calls = client

    def close(self) -> None:
        """End the connection. What was sent goes on."""
        self.calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def connect(
    folder: str | Path | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    receipts: bool = False,
) -> Node:
    """Connect to a node, which has to run.

    folder: its data folder; left out $LEARNINGCHAIN_DATA, or this user's, as the commands have it.
    url, token: of a node elsewhere, instead of a folder; left out $LEARNINGCHAIN_API and the file $LEARNINGCHAIN_TOKEN_FILE.
    receipts: what is sent through `calls` and waited for comes back with its receipt.
    Raises UsageError, UnreachableError, UnauthorizedError. Use it in a `with`, or close() it.
    """
    at, known, data = _place(folder, url, token)
    node = Node(SyncClient(at, known, timeout_s=timeout_s, receipts=receipts), data)
    try:
        node.status()
    except BaseException:
        node.close()
        raise
    return node


async def connect_async(
    folder: str | Path | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
    receipts: bool = False,
) -> AsyncNode:
    """As `connect`; every call is awaited: `async with await learningchain.connect_async() as node:`."""
    at, known, data = _place(folder, url, token)
    node = AsyncNode(NodeLink(Client(at, known, timeout_s=timeout_s, receipts=receipts), folder=data))
    try:
        await node.status()
    except BaseException:
        await node.close()
        raise
    return node


def _place(folder: str | Path | None, url: str | None, token: str | None) -> tuple[str, str | None, Path | None]:
    """URL, token, and the data folder where that is known. Raises `UsageError`."""
    if folder is None and url is None:
        url = variable("LEARNINGCHAIN_API")
    if url is not None:
        if folder is not None:
            raise UsageError("A folder and a URL name two nodes. Give one of them")
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url[:200]!r} is no URL of a node. It looks like http://127.0.0.1:7401")
        file = variable("LEARNINGCHAIN_TOKEN_FILE")
        return url, token if token is not None or file is None else read_token(Path(file)), None
    place = folder or variable("LEARNINGCHAIN_DATA")
    try:
        data = reading.folder(Path(place) if place else None)
    except ValueError as e:
        raise UsageError(str(e)) from None
    if not data.is_dir():
        raise UsageError(
            f"There is no data folder {data}, so no node to ask. Name one, set LEARNINGCHAIN_DATA, or give url and token"
        )
    found, own = at_folder(data)
    return found, own if token is None else token, data
