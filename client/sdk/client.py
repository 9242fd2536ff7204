"""The SDK: everything the HTTP API of a node can do, as typed calls, awaited (`Client`) or blocking (`SyncClient`).

    async with Client.of_folder(Path("node")) as node:
        done = await node.transfer("lc1…", "1.5", wait=30)

Two ways to send a transaction: the node signs with its own key (`transfer`, `submit_job`), or the caller signs with a key of its
own (`submit_tx`). A call raises what went wrong: `RejectedError` by the rules, `InvalidError`, `UsageError`, `NotFoundError`,
`UnreachableError`…

A contract's calls are those of its slice, `client.contracts.<name>.sdk`: directly on a client where the slice is this program's,
under its name where another distribution brought it (`node.toy.greet("alice")`).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from learningchain.client import contracts
from learningchain.client.sdk.calls import SDK, Blocking, Calls
from learningchain.client.sdk.http import TIMEOUT_S, NodeApi, local_url, read_token
from learningchain.client.sdk.node import NodeCalls
from learningchain.client.sdk.types import UsageError

if TYPE_CHECKING:
    import asyncio

    # What a type checker knows of the slices that are found when the program runs.
    from learningchain.client.contracts.credits.sdk import CreditsCalls
    from learningchain.client.contracts.federation.sdk import FederationCalls
    from learningchain.client.contracts.governance.sdk import GovernanceCalls
    from learningchain.client.contracts.job.sdk import JobCalls
    from learningchain.client.contracts.keys.sdk import KeyCalls
    from learningchain.client.contracts.membership.sdk import MembershipCalls
    from learningchain.client.contracts.prediction.sdk import PredictionCalls

    class _Own(CreditsCalls, FederationCalls, GovernanceCalls, JobCalls, KeyCalls, MembershipCalls, PredictionCalls): ...

else:
    _Own = type("_Own", tuple(part.calls for name, part in contracts.parts(SDK).items() if contracts.is_own(name)), {})

_FOREIGN: Final[dict[str, type[Calls]]] = {
    name: part.calls for name, part in contracts.parts(SDK).items() if not contracts.is_own(name)
}


class Client(_Own, NodeCalls):
    """One node's API. Use it as an asynchronous context manager, or call `close`.

    `receipts`: what is submitted and waited for comes back with its `receipt`, the receipt file in hex: `check_receipt` checks it.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S, receipts: bool = False) -> None:
        super().__init__(NodeApi(url, token, timeout_s=timeout_s, receipts=receipts))
        for name, calls in _FOREIGN.items():
            setattr(self, name, calls(self.api))

    @classmethod
    def of_folder(cls, data: Path, *, timeout_s: float = TIMEOUT_S, receipts: bool = False) -> Self:
        """The node whose data folder this is. Raises `UsageError` when its token or settings cannot be read."""
        return cls(*at_folder(data), timeout_s=timeout_s, receipts=receipts)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self.api.close()


class SyncClient(Blocking, _Own, NodeCalls):
    """`Client`, each call blocking, on a loop in a thread of its own, so it also works inside notebooks. One thread at a time.

    with SyncClient.of_folder(Path("node")) as node:
        print(node.balance())
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S, receipts: bool = False) -> None:
        self._awaited: Client = Client(url, token, timeout_s=timeout_s, receipts=receipts)
        import asyncio
        import threading

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="learningchain-sdk", daemon=True)
        self._thread.start()
        super().__init__(self._awaited.api)
        for name, calls in _FOREIGN.items():
            setattr(self, name, _blocking(calls)(getattr(self._awaited, name), self._loop))

    @classmethod
    def of_folder(cls, data: Path, *, timeout_s: float = TIMEOUT_S, receipts: bool = False) -> Self:
        return cls(*at_folder(data), timeout_s=timeout_s, receipts=receipts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._wait(self._awaited.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def at_folder(data: Path) -> tuple[str, str | None]:
    """URL and token of the node whose data folder this is."""
    from learningchain.client import config

    try:
        listen = config.load(data).config.api.listen
    except config.ConfigError as e:
        raise UsageError(str(e)) from None
    return local_url(listen), read_token(data / "api.token", own=True)


def _blocking(calls: type[Calls]) -> Any:
    """A class of the same calls, blocking."""

    def start(self: Any, awaited: Calls, loop: asyncio.AbstractEventLoop) -> None:
        self._awaited, self._loop = awaited, loop
        calls.__init__(self, awaited.api)

    return type(calls.__name__, (Blocking, calls), {"__init__": start, "__doc__": calls.__doc__})
