"""The SDK without `await`: the same calls on a loop in a thread of its own, so it also works inside notebooks.

with SyncClient.of_folder(Path("node")) as node:
    print(node.balance())
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from chain.crypto import SigningKey
from client.sdk import MAX_PAGE, TIMEOUT_S, Client, Progress
from client.sdk_types import (
    Account,
    ArchiveImage,
    Event,
    Fetched,
    HistoryEntry,
    Job,
    JobEvent,
    JobTerms,
    Json,
    RegistryImage,
    Status,
    Stored,
    Submitted,
)

T = TypeVar("T")


class SyncClient:
    """`Client`, each call blocking. One thread at a time. Errors are those of `Client`."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._start(Client(url, token, timeout_s=timeout_s))

    def _start(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="learningchain-sdk", daemon=True)
        self._thread.start()

    @classmethod
    def of_folder(cls, data: Path, *, timeout_s: float = TIMEOUT_S) -> Self:
        client = cls.__new__(cls)
        client._start(Client.of_folder(data, timeout_s=timeout_s))
        return client

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._wait(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def status(self) -> Status:
        return self._wait(self._client.status())

    def account(self, account: str | None = None) -> Account:
        return self._wait(self._client.account(account))

    def balance(self, account: str | None = None) -> str:
        return self._wait(self._client.balance(account))

    def history(self, account: str | None = None, *, before: int | None = None, limit: int = 50) -> list[HistoryEntry]:
        return self._wait(self._client.history(account, before=before, limit=limit))

    def accounts(self, *, after: str | None = None, limit: int = 1_000) -> list[Account]:
        return self._wait(self._client.accounts(after=after, limit=limit))

    def supply(self) -> dict[str, str]:
        return self._wait(self._client.supply())

    def peers(self) -> list[Json]:
        return self._wait(self._client.peers())

    def connections(self) -> list[Json]:
        return self._wait(self._client.connections())

    def ready(self) -> Json:
        return self._wait(self._client.ready())

    def config(self) -> Json:
        return self._wait(self._client.config())

    def block(self, height: int | str = "latest") -> Json:
        return self._wait(self._client.block(height))

    def receipt(self, height: int, index: int) -> Json:
        return self._wait(self._client.receipt(height, index))

    def proof(self, key: bytes) -> Json:
        return self._wait(self._client.proof(key))

    def handovers(self, start: int = 1, limit: int = 64) -> list[str]:
        return self._wait(self._client.handovers(start, limit))

    def tx(self, tx: str) -> Json:
        return self._wait(self._client.tx(tx))

    def jobs(self, *, live: bool = False, beginning: str | None = None, before: int | None = None, limit: int = 50) -> list[Job]:
        return self._wait(self._client.jobs(live=live, beginning=beginning, before=before, limit=limit))

    def every_job(self, *, live: bool = False, before: int | None = None, page: int = MAX_PAGE) -> Iterator[Job]:
        return self._each(self._client.every_job(live=live, before=before, page=page))

    def job_events(self, job: str, *, before: int | None = None, limit: int = 50) -> list[JobEvent]:
        return self._wait(self._client.job_events(job, before=before, limit=limit))

    def job(self, job: str) -> Job:
        return self._wait(self._client.job(job))

    def runs(self) -> list[Json]:
        return self._wait(self._client.runs())

    def run(self, run: str) -> Json:
        return self._wait(self._client.run(run))

    def cancel_run(self, run: str) -> Json:
        return self._wait(self._client.cancel_run(run))

    def transfer(self, to: str, amount: str, *, memo: str | None = None, wait: float = 0) -> Submitted:
        return self._wait(self._client.transfer(to, amount, memo=memo, wait=wait))

    def submit_job(
        self,
        image: ArchiveImage | RegistryImage,
        bounty: str,
        expires_in_s: float,
        terms: JobTerms | None = None,
        *,
        wait: float = 0,
    ) -> Submitted:
        return self._wait(self._client.submit_job(image, bounty, expires_in_s, terms, wait=wait))

    def judge(self, account: str, *, confirm: bool, wait: float = 0) -> Submitted:
        return self._wait(self._client.judge(account, confirm=confirm, wait=wait))

    def release(self, contract: str, ref: str, *, give_back: bool, wait: float = 0) -> Submitted:
        return self._wait(self._client.release(contract, ref, give_back=give_back, wait=wait))

    def submit_raw(self, raw: bytes, *, wait: float = 0) -> Submitted:
        return self._wait(self._client.submit_raw(raw, wait=wait))

    def submit_tx(
        self,
        ops: Sequence[Any],
        key: SigningKey,
        *,
        sender: bytes | None = None,
        lane: int = 0,
        valid_for: int = 100,
        wait: float = 0,
    ) -> Submitted:
        return self._wait(self._client.submit_tx(ops, key, sender=sender, lane=lane, valid_for=valid_for, wait=wait))

    def upload(self, path: Path, on_progress: Progress | None = None) -> Stored:
        return self._wait(self._client.upload(path, on_progress))

    def fetch(
        self, cid: str, dest: Path, *, max_size: int, overwrite: bool = False, on_progress: Progress | None = None
    ) -> Fetched:
        return self._wait(self._client.fetch(cid, dest, max_size=max_size, overwrite=overwrite, on_progress=on_progress))

    def fetch_model(self, job: str, dest: Path, *, overwrite: bool = False, on_progress: Progress | None = None) -> Fetched:
        return self._wait(self._client.fetch_model(job, dest, overwrite=overwrite, on_progress=on_progress))

    def watch(self, *, kinds: Sequence[str] | None = None) -> Iterator[Event]:
        return self._each(self._client.watch(kinds=kinds))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        try:
            while True:
                try:
                    yield self._wait(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            if not self._loop.is_closed():
                self._wait(_close(items))


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _close(items: Any) -> None:
    await items.aclose()
