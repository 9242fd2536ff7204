"""Snapshots between the pure node and the disk: makes one when a peer asks, serves it, and stages the one that this node takes.

One snapshot is served at a time. It is made in another process, not again before `REST_S` or ten times as long as that took, and
its file has no name once it is open: it goes with the process, or when nobody asked for it for `KEPT_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from learningchain.chain.codec import encode
from learningchain.chain.host import History
from learningchain.chain.ledger.snapshot import Offer, ValidatorSetChange
from learningchain.chain.node import messages as m
from learningchain.chain.node.checks import Made, Sent, make_buckets
from learningchain.chain.storage import validator_changes
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.storage.snapshot import SnapshotFile
from learningchain.chain.storage.staging import Staging
from learningchain.client.node.helper import make_snapshot
from learningchain.client.node.helpers import Helpers

log: Any = structlog.get_logger("snapshot")

STALE = 1_000
"""Heights after which another one is made for who asks."""
REST_S = 60.0
KEPT_S = 3_600.0
WORTH = 65_536
"""Bytes of buckets from which on they are checked elsewhere."""


class SnapshotService:
    """For the event loop's thread. `url` is the database's, `folder` where the file is made, `history` the validator sets."""

    def __init__(self, store: BlockStore, url: str, folder: Path, history: Callable[[], History | None]) -> None:
        self._store, self._url, self._history = store, url, history
        self._path = folder / "snapshot.new"
        self._path.unlink(missing_ok=True)
        self._staging = Staging(store)
        self._writing = asyncio.Lock()
        self._made: list[Made] = []
        """Buckets that are good, and not written yet."""
        self._helpers = Helpers()
        self._file: SnapshotFile | None = None
        self._making: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._forget: asyncio.TimerHandle | None = None
        self.stale, self.rest_s = STALE, REST_S

    @property
    def served(self) -> int | None:
        """The height of the snapshot that peers take from here, if any: they need the blocks after it."""
        return None if self._file is None else self._file.height

    def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
        self._drop()
        self._helpers.close()

    # --- serving --------------------------------------------------------------------------------------------------------------

    async def answer(self, question: m.SnapshotQuestion) -> bytes | None:
        """Encoded. None where the disk refuses: it is our own fault, and another peer may do better."""
        try:
            match question:
                case m.GetSnapshot():
                    return encode(self._offer())
                case m.GetValidatorChanges(start):
                    return await asyncio.to_thread(self._validator_changes, start)
                case m.GetBuckets(height, numbers):
                    file = self._file
                    if file is None or file.height != height:
                        return encode(m.Buckets(height, [], []))
                    self._keep()
                    return await asyncio.to_thread(_buckets, file, numbers)
        except StorageError as fault:
            log.warning("a snapshot cannot be served", why=str(fault))
            self._drop()
            return None

    def _validator_changes(self, start: int) -> bytes:
        return encode(m.ValidatorChanges(validator_changes.read(self._store, start, m.MAX_VALIDATOR_CHANGES)))

    def _offer(self) -> m.Snapshot:
        head = self._store.head()
        if head is None or head.height == 0:
            return m.Snapshot(False, [])
        file = self._file
        if file is None or head.height - file.height > self.stale:
            if self._making is None and time.monotonic() >= self._not_before:
                self._making = asyncio.create_task(self._make())
            if self._making is not None:
                return m.Snapshot(True, [])
        self._keep()
        return m.Snapshot(False, [] if file is None else [file.offer])

    async def _make(self) -> None:
        began = time.monotonic()
        try:
            await asyncio.to_thread(validator_changes.complete, self._store, self._history())
            work = (self._url, self._store.chain_id, str(self._path))
            found = await self._helpers.make_snapshot(*work)
            if found is None:
                found = await asyncio.to_thread(make_snapshot, *work)
            if isinstance(found, str):
                log.warning("no snapshot could be made", why=found)
            elif found:
                self._file = await asyncio.to_thread(SnapshotFile, str(self._path))
                self._keep()
                log.info("a snapshot was made for peers", height=found, seconds=round(time.monotonic() - began, 1))
        except StorageError as fault:
            log.warning("no snapshot could be made", why=str(fault))
        finally:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            now = time.monotonic()
            self._not_before = now + max(self.rest_s, 10 * (now - began))
            self._making = None

    def _keep(self) -> None:
        """Somebody asked: the snapshot stays for a while."""
        if self._forget is not None:
            self._forget.cancel()
        self._forget = asyncio.get_running_loop().call_later(KEPT_S, self._drop)

    def _drop(self) -> None:
        self._file = None
        if self._forget is not None:
            self._forget.cancel()
            self._forget = None

    # --- taking ---------------------------------------------------------------------------------------------------------------

    async def stage(self, offer: Offer, followed: list[ValidatorSetChange]) -> list[int]:
        """Raises `StorageError`. The numbers of the target's buckets that are here."""
        async with self._writing:
            held = await asyncio.to_thread(self._staging.begin, offer, followed)
        log.info("taking a snapshot", height=offer.header.height, buckets=len(offer.subroots) // 35, here=len(held))
        return held

    async def take(self, sent: list[Sent]) -> list[int]:
        """Raises `StorageError`. The numbers of those that are not what they should be; the others are on disk."""
        found = await self._helpers.make_buckets(sent) if sum(len(raw) for _, _, raw in sent) >= WORTH else None
        made, wrong = found if found is not None else await asyncio.to_thread(make_buckets, sent)
        self._made += made
        async with self._writing:
            # What came while the last ones were written shares a transaction: half of what one costs is waiting for the disk.
            made, self._made = self._made, []
            if made:
                await asyncio.to_thread(self._staging.put, made)
        return wrong

    async def ready(self) -> None:
        """Raises `StorageError`."""
        async with self._writing:
            await asyncio.to_thread(self._staging.ready)


def _buckets(file: SnapshotFile, numbers: list[int]) -> bytes:
    buckets = file.buckets(numbers)
    return encode(m.Buckets(file.height, numbers[: len(buckets)], buckets))
