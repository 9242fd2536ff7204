"""Fetches images, content and encrypted files, and reports the result to the machines. One task for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import structlog

from learningchain.client.keys import hidden
from learningchain.client.keys.hidden import BadKey
from learningchain.client.node.interface import Files, Ledger
from learningchain.client.work.artifacts import Images, Pins, in_thread, reason
from learningchain.client.work.events import (
    BringImage,
    ContentMissing,
    ContentReady,
    Decrypt,
    FetchContent,
    ImageFailed,
    ImageReady,
    Input,
)
from learningchain.client.work.sets import BadSet
from learningchain.client.work.transfers import MODEL_PLACES, Transfers, transfer_s
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.sandbox import BadImage, SandboxError

log = structlog.get_logger(__name__)

Seek = Callable[[bytes], None]
FIRST_RETRY_S, MAX_RETRY_S = 0.1, 3.0
SHORT_TRY_S = 0.5
"""What is wanted may be published a moment after this node starts asking for it, and who said that it has not got it is not asked
again in the same try: short tries at first. What arrived is kept."""
OWN_FAULTS = (Reason.STORAGE, Reason.BUSY, Reason.CANCELLED)


class Fetching:
    """`folder` holds what was decrypted for a scope until that ends. `seek` connects this node with a member: content comes from
    peers, and whoever has it first of all need not be one."""

    def __init__(
        self,
        ledger: Ledger,
        files: Files,
        images: Images,
        pins: Pins,
        folder: Path,
        executor: Executor,
        seek: Seek = lambda _: None,
    ) -> None:
        self._seek = seek
        self._ledger, self._files, self._images, self._pins = ledger, files, images, pins
        self._content = Transfers(files, MODEL_PLACES)
        self._folder, self._executor = folder, executor

    async def image(self, wanted: BringImage) -> Input:
        ref = wanted.ref
        if wanted.holder:
            self._seek_holder(wanted.holder, *wanted.image.contents)
        try:
            image = await self._images.ensure(ref, wanted.image, urgent=wanted.urgent)
            return ImageReady(ref, image, self._images.sets(ref), self._images.model(ref))
        except BadImage as problem:
            why, lasting = f"the image breaks a rule: {problem}", True
        except BadSet as problem:
            why, lasting = str(problem), True
        except FetchFailed as problem:
            why, lasting = str(problem), problem.reason is Reason.TOO_LARGE
        except SandboxError as problem:
            why, lasting = str(problem), False
        except Exception as problem:  # the store's faults have many names; all mean: not now
            why, lasting = f"{type(problem).__name__}: {problem}", False
        log.warning("an image is not to be had", ref=ref.hex(), why=why, lasting=lasting)
        return ImageFailed(ref, why, lasting)

    async def content(self, wanted: FetchContent) -> Input:
        """Ask for content until its time is over: whoever has it may publish it late."""
        ref = wanted.ref
        try_s, pause, why, local, own_disk = SHORT_TRY_S, FIRST_RETRY_S, "nobody was asked", False, False
        while (left := (wanted.until - self._ledger.clock) / 1_000) > 0:
            self._seek_holder(wanted.holder, wanted.cid)
            try:
                await self._pins.pin(wanted.cid, reason(wanted.pin, ref), ref)
                path = await self._content.fetch(wanted.cid, max_size=wanted.max_size, timeout_s=min(left, try_s), wait_s=left)
                return ContentReady(wanted.scope, wanted.tag, path)
            except FetchFailed as problem:
                why, local = str(problem), problem.reason in OWN_FAULTS
                own_disk = own_disk or problem.reason is Reason.STORAGE
                if problem.reason is Reason.TOO_LARGE:
                    break
            except TimeoutError as problem:
                why, local = f"not in time: {problem}", False
            except Exception as problem:
                why, local, own_disk = f"{type(problem).__name__}: {problem}", True, True
            await asyncio.sleep(min(pause, left))
            pause, try_s = min(2 * pause, MAX_RETRY_S), min(2 * try_s, transfer_s(wanted.max_size))
        log.warning("content was not to be had", ref=ref.hex(), cid=wanted.cid, why=why)
        # Where the own disk refused once, it may be why the content is not here: that never counts against whoever served it.
        return ContentMissing(wanted.scope, wanted.tag, local or own_disk, why)

    async def decrypted(self, owner: str, wanted: Decrypt) -> Input:
        """`owner`: the machine that asked; two machines' scopes may have one name."""
        target, bad = self._path(owner, wanted.scope), False
        left = max(1.0, (wanted.until - self._ledger.clock) / 1_000)
        self._seek_holder(wanted.holder, wanted.cid)
        try:
            source = await self._files.fetch(wanted.cid, max_size=wanted.size, timeout_s=left)
            await in_thread(self._executor, lambda: self._decrypt(source, target, wanted))
            return ContentReady(wanted.scope, wanted.tag, target)
        except BadKey as problem:
            why, bad = str(problem), True
        except Exception as problem:
            why = f"{type(problem).__name__}: {problem}"
        log.warning("the key of an encrypted file is bad" if bad else "an encrypted file is not to be had", cid=wanted.cid, why=why)
        return ContentMissing(wanted.scope, wanted.tag, not bad, why, bad)

    def _seek_holder(self, holder: bytes, *cids: str) -> None:
        """Connect with whoever has them first of all, where one of them is not here."""
        if holder and not all(map(self._files.has, cids)):
            self._seek(holder)

    def _decrypt(self, source: Path, target: Path, wanted: Decrypt) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden.decrypt(source, target, wanted.key, wanted.plain_hash)

    def _path(self, owner: str, scope: str) -> Path:
        return self._folder / f"{owner}-{scope}.eval"

    def sweep(self) -> None:
        """Nothing decrypted stays from an earlier start."""
        for path in self._folder.glob("*.eval*") if self._folder.is_dir() else ():
            path.unlink(missing_ok=True)

    async def done(self, owner: str, scope: str) -> None:
        await in_thread(self._executor, lambda: self._path(owner, scope).unlink(missing_ok=True))
