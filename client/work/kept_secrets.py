"""Secrets of this node's work on its disk: the first of a kind and key counts, its file stays as long as it does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor

import structlog

from learningchain.client.node.interface import KeptRoom
from learningchain.client.work.artifacts import Models, durably, in_thread
from learningchain.client.work.database import WorkDatabase, WorkDatabaseError
from learningchain.client.work.events import DropSecret, Secret, SecretRefused, SecretStored

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""A machine whose secret the disk refused is told after this time, so that it asks no faster."""


class KeptSecrets:
    """`told` hears of each secret that a user handed over. Wall-clock milliseconds: `since()`, from which a secret is kept for its
    time, and `over()`, up to which that is over. The database is used on the executor's thread alone."""

    def __init__(
        self,
        database: WorkDatabase,
        models: Models,
        executor: Executor,
        *,
        since: Callable[[], int],
        over: Callable[[], int],
        told: Callable[[Secret], None],
    ) -> None:
        self._database, self._models, self._executor, self._since, self._over = database, models, executor, since, over
        self._told = told

    async def save(self, secret: Secret) -> SecretStored | SecretRefused:
        """What counts now. A file of one that is not the first of its kind and key goes."""
        database = self._database
        try:
            saved = await in_thread(self._executor, lambda: database.save(secret, self._since()))
            first = None if saved else await in_thread(self._executor, lambda: database.secret(secret.kind, secret.key))
        except (sqlite3.Error, WorkDatabaseError) as problem:
            log.error("what this node measured could not be stored", kind=secret.kind, ref=secret.ref.hex(), why=str(problem))
            await asyncio.sleep(AGAIN_S)
            return SecretRefused(secret)
        counts = secret if first is None else first
        if secret.path is not None and secret.path != counts.path:
            await self._models.drop(secret.path)
        return SecretStored(counts)

    async def keep(self, secret: Secret) -> None:
        """What a user hands over; its contract's machines are told. Raises sqlite3.Error, WorkDatabaseError."""
        await in_thread(self._executor, lambda: self._database.save(secret, self._since()))
        self._told(secret)

    async def drop(self, which: DropSecret) -> None:
        known = await durably(self._executor, lambda: self._database.secret(which.kind, which.key))
        if known is not None:
            await durably(self._executor, lambda: self._database.drop_secret(which.kind, which.key))
            if known.path is not None:
                await self._models.drop(known.path)

    async def of(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        """Those whose keys begin so."""
        found: list[Secret] = await in_thread(self._executor, lambda: self._database.secrets_of(kind, beginning))
        return found

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        """For one more of a kind whose key begins so; those whose time is over go where that makes room."""

        def room() -> KeptRoom:
            return KeptRoom(self._database.count(kind), self._database.count(kind, beginning), most)

        def look() -> KeptRoom:
            found = room()
            if not found.free or not found.own_free:
                self._database.prune(self._over())
                found = room()
            return found

        found: KeptRoom = await in_thread(self._executor, look)
        return found
