"""Brings images, candidates' models and hidden data here, and says to the machines what came of it. One task per thing."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path

import structlog

from chain.contracts.job import records
from chain.contracts.job.records import Posting
from client.core import Files, Ledger
from client.work import hidden
from client.work.events import (
    FetchModel,
    HiddenReady,
    ImageFailed,
    ImageReady,
    Input,
    ModelMissing,
    ModelReady,
    OpenHidden,
    Seat,
)
from client.work.hidden import BadKey
from client.work.material import Images, Pins, in_thread
from client.work.transfers import MODEL_PLACES, Transfers, transfer_s
from p2p.content.faults import FetchFailed, Reason
from sandbox import BadImage

log = structlog.get_logger(__name__)

FIRST_RETRY_S, MAX_RETRY_S = 0.1, 3.0
SHORT_TRY_S = 5.0
"""A candidate may publish its model a moment after the committee starts asking for it: short tries at first."""
OWN_FAULTS = (Reason.STORAGE, Reason.BUSY, Reason.CANCELLED)


class Fetching:
    """`folder` holds decrypted hidden data while a seat needs them."""

    def __init__(self, ledger: Ledger, files: Files, images: Images, pins: Pins, folder: Path, executor: Executor) -> None:
        self._ledger, self._files, self._images, self._pins = ledger, files, images, pins
        self._models = Transfers(files, MODEL_PLACES)
        self._folder, self._executor = folder, executor

    def hurry(self, job: bytes) -> None:
        """A seat needs the image that is being fetched already."""
        posting = self._ledger.state.get(records.posting_key(job))
        if isinstance(posting, Posting):
            self._images.hurry(job, posting.terms)

    async def image(self, job: bytes, *, urgent: bool = False) -> Input:
        posting = self._ledger.state.get(records.posting_key(job))
        if not isinstance(posting, Posting):
            return ImageFailed(job, "there is no such job", lasting=True)
        try:
            return ImageReady(job, await self._images.ensure(job, posting.terms, urgent=urgent))
        except BadImage as problem:
            why, lasting = f"the image breaks a rule: {problem}", True
        except FetchFailed as problem:
            why, lasting = str(problem), problem.reason is Reason.TOO_LARGE
        except Exception as problem:  # the engine's and the store's faults have many names; all mean: not now
            why, lasting = f"{type(problem).__name__}: {problem}", False
        log.warning("a job's image is not to be had", job=job.hex(), why=why, lasting=lasting)
        return ImageFailed(job, why, lasting)

    async def model(self, wanted: FetchModel) -> Input:
        """Ask for a candidate's model until its time is over: it is served only once it is under audit."""
        job = wanted.seat[0]
        try_s, pause, why, local, own_disk = SHORT_TRY_S, FIRST_RETRY_S, "nobody was asked", False, False
        while (left := (wanted.until - self._ledger.clock) / 1_000) > 0:
            try:
                await self._pins.pin(wanted.cid, f"verify:{job.hex()}", job)
                path = await self._models.fetch(wanted.cid, max_size=wanted.max_size, timeout_s=min(left, try_s), wait_s=left)
                return ModelReady(wanted.seat, wanted.index, path)
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
        log.warning("a candidate's model was not to be had", job=job.hex(), cid=wanted.cid, why=why)
        # Where the own disk refused once, it may be why the model is not here: that never counts against the claimant.
        return ModelMissing(wanted.seat, wanted.index, local or own_disk, why)

    async def hidden(self, wanted: OpenHidden) -> Input:
        target = self.eval_path(wanted.seat)
        left = max(1.0, (wanted.until - self._ledger.clock) / 1_000)
        try:
            source = await self._files.fetch(wanted.cid, max_size=wanted.size, timeout_s=left)
            await in_thread(self._executor, lambda: self._decrypt(source, target, wanted))
            return HiddenReady(wanted.seat, target, bad=False)
        except BadKey as problem:
            log.warning("the key of a job's hidden data is bad", job=wanted.seat[0].hex(), why=str(problem))
            return HiddenReady(wanted.seat, None, bad=True, reason=str(problem))
        except Exception as problem:
            why = f"{type(problem).__name__}: {problem}"
            log.warning("a job's hidden data are not to be had", job=wanted.seat[0].hex(), why=why)
            return HiddenReady(wanted.seat, None, bad=False, reason=why)

    def _decrypt(self, source: Path, target: Path, wanted: OpenHidden) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden.decrypt(source, target, wanted.key, wanted.plain_hash)

    def eval_path(self, seat: Seat) -> Path:
        return self._folder / f"{seat[0].hex()}-{seat[1]}-{seat[2]}.eval"

    def sweep(self) -> None:
        """Nothing decrypted stays from an earlier start."""
        for path in self._folder.glob("*.eval*") if self._folder.is_dir() else ():
            path.unlink(missing_ok=True)

    async def done(self, seat: Seat) -> None:
        await in_thread(self._executor, lambda: self.eval_path(seat).unlink(missing_ok=True))
