"""What refs need on this machine and leave there: images, encrypted files, own models, measured losses, pins.

Everything is held for a ref and given up when that is over. Pins are noted in the work database first, so that a killed node takes
back what it pinned.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import structlog

from learningchain.chain.losses import MAX_EXAMPLES, LossesOutOfRange, LossTree, open_losses
from learningchain.chain.storage import private
from learningchain.client.node.interface import Files
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import LossesOpened, Model, OpenLosses, WantedImage, WantedSet
from learningchain.client.work.sets import BadSet, prepare_set
from learningchain.client.work.transfers import PLACES, RESERVED, Transfers, transfer_s
from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import Builder, chunks
from learningchain.sandbox import AsyncBackend, BadImage, DataSet, EngineError, ImageLimits, SandboxError
from learningchain.sandbox.disk import leave_room

log = structlog.get_logger(__name__)

T = TypeVar("T")
_COPY = 1 << 20
IMAGE = "image"
"""Why images are pinned, and the encrypted files and data sets that belong to them."""
SET = "set"
"""Why the files of a data set are pinned, before the CID of its manifest: once, however many refs read the set."""

WRITE_AGAIN_S, WRITE_AGAIN_MAX_S = 0.5, 5.0


async def in_thread(executor: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)


async def durably(executor: Executor, work: Callable[[], T], tell: Callable[[str], None] = lambda _: None) -> T:
    """Do something to the work database, however many tries it takes: a disk that is full for a while is no reason to forget a
    duty. `tell` is given why a try failed, and an empty text once one did not."""
    pause = WRITE_AGAIN_S
    while True:
        try:
            done = await in_thread(executor, work)
            tell("")
            return done
        except sqlite3.Error as problem:
            log.error("the work database cannot be used; trying again", why=str(problem), again_in_s=pause)
            tell(str(problem))
            await asyncio.sleep(pause)
            pause = min(2 * pause, WRITE_AGAIN_MAX_S)


class Pins:
    """Pins in the content store that end with their ref, or at a time of the wall clock (milliseconds)."""

    def __init__(self, files: Files, database: WorkDatabase, executor: Executor) -> None:
        self._files, self._database, self._executor = files, database, executor
        self._held: dict[tuple[str, str], tuple[bytes, int]] = {}
        self._handing = asyncio.Lock()
        """Who leaves a set, or comes to one, does it alone: two that leave at once would name each other as the one that stays."""

    async def load(self) -> None:
        """What was pinned before this start."""
        for cid, reason, ref, until in await in_thread(self._executor, self._database.pins):
            self._held[(cid, reason)] = (ref, until)

    @property
    def refs(self) -> set[bytes]:
        """Refs with pins that end with them."""
        return {ref for ref, until in self._held.values() if not until}

    def holds(self, cid: str, reason: str) -> bool:
        return (cid, reason) in self._held

    def until(self, cid: str, reason: str) -> int | None:
        """The wall-clock time (ms) at which a pin ends; None where it ends with its ref, or is none of these."""
        return self._held.get((cid, reason), (b"", 0))[1] or None

    def of(self, reason: str) -> list[str]:
        return sorted(cid for cid, why in self._held if why == reason)

    async def pin(self, cid: str, reason: str, ref: bytes, until: int = 0) -> None:
        await self.pin_all([cid], reason, ref, until)

    async def pin_all(self, cids: Iterable[str], reason: str, ref: bytes, until: int = 0) -> None:
        """Ten thousand take two writes to the disk, as one does."""
        new = [cid for cid in cids if self._held.get((cid, reason)) != (ref, until)]
        if not new:
            return
        await in_thread(self._executor, lambda: self._database.pin(new, reason, ref, until))
        before = {key: held for cid in new if (held := self._held.get(key := (cid, reason))) is not None}
        self._held.update({(cid, reason): (ref, until) for cid in new})
        try:
            await in_thread(self._executor, lambda: self._files.pin_all(new, reason))
        except Exception:  # the next try pins it
            for cid in new:
                self._held.pop((cid, reason), None)
            self._held.update(before)
            raise

    async def pin_set(self, manifest: str, ref: bytes, cids: Iterable[str]) -> None:
        """The files of a set whose manifest is pinned for this ref: in the name of one of the refs that hold the manifest."""
        why = f"{SET}:{manifest}"
        async with self._handing:
            await self.pin_all([cid for cid in cids if (cid, why) not in self._held], why, ref)

    async def release(self, ref: bytes) -> None:
        async with self._handing:
            await self._leave(ref, self._of(ref))

    async def give_up(self, ref: bytes, reasons: Iterable[str]) -> None:
        async with self._handing:
            left = [key for key in self._of(ref) if key[1] in reasons]
            sets = {f"{SET}:{cid}" for cid, _ in left}
            await self._leave(ref, [*left, *(key for key in self._of(ref) if key[1] in sets)])

    def _of(self, ref: bytes) -> list[tuple[str, str]]:
        """What ends with this ref."""
        return [key for key, (of, until) in self._held.items() if of == ref and not until]

    async def _leave(self, ref: bytes, keys: list[tuple[str, str]]) -> None:
        """Give up what is held in a ref's name, but for files of sets that another ref reads: these are held in its name now."""
        heirs = {why: self._reader(ref, why) for _, why in keys if why.startswith(f"{SET}:")}
        for why, heir in heirs.items():
            if heir is not None:
                kept = [cid for cid, of in keys if of == why]
                self._held.update({(cid, why): (heir, 0) for cid in kept})
                await in_thread(self._executor, partial(self._database.pin, kept, why, heir))
        await self._take_back([key for key in keys if heirs.get(key[1]) is None])

    def _reader(self, ref: bytes, why: str) -> bytes | None:
        """Another ref that holds the manifest of a set."""
        manifest = why.removeprefix(f"{SET}:")
        others = (of for (cid, _), (of, until) in self._held.items() if cid == manifest and of != ref and not until)
        return next(others, None)

    async def drop(self, cid: str, reason: str) -> None:
        if (cid, reason) in self._held:
            await self._take_back([(cid, reason)])

    async def expire(self, now: int) -> None:
        await self._take_back([key for key, (_, until) in self._held.items() if until and until <= now])

    async def _take_back(self, keys: Iterable[tuple[str, str]]) -> None:
        def take(cids: list[str], reason: str) -> None:
            self._files.unpin_all(cids, reason)
            self._database.unpin(cids, reason)

        # Whoever pins the same meanwhile pins it anew, behind this.
        taken = {key: self._held.pop(key) for key in list(keys) if key in self._held}
        alike: dict[str, list[str]] = {}
        for cid, reason in taken:
            alike.setdefault(reason, []).append(cid)
        for reason, cids in alike.items():
            try:
                await in_thread(self._executor, partial(take, cids, reason))
            except BaseException:
                self._held = taken | self._held
                raise
            taken = {key: held for key, held in taken.items() if key[1] != reason}


class Images:
    """Images on the engine and encrypted files on the disk, held for the refs that need them.

    A holder pins and so serves them until the ref is over: neither may vanish while people work on it. Downloads go on side by
    side, each in a place of its own (`transfers`); what the engine has to do for them, one image at a time.
    """

    def __init__(self, files: Files, engine: AsyncBackend, pins: Pins) -> None:
        self._files, self._engine, self._pins = files, engine, pins
        self._transfers = Transfers(files, PLACES, RESERVED)
        self._holds: dict[bytes, str] = {}
        self._wanted: dict[bytes, WantedImage] = {}
        """Where the images that are held came from; of those that an earlier start brought, it is not known."""
        self._sets: dict[bytes, dict[str, DataSet]] = {}
        self._models: dict[bytes, Path] = {}
        self._urgent: set[bytes] = set()
        self._left: set[str] = set()
        """Images that the engine would not give up."""
        self._loading = asyncio.Lock()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def refs(self) -> set[bytes]:
        return set(self._holds)

    def adopt(self, known: dict[bytes, str], there: Collection[str]) -> None:
        """Images of live refs, of which an earlier start of this node left those that are `there` on the engine."""
        left = set(there)
        self._holds.update({ref: image_id for ref, image_id in known.items() if image_id in left})

    async def ensure(self, ref: bytes, wanted: WantedImage, *, urgent: bool = False) -> str:
        """The id of the image, on the engine now. Raises BadImage for good, other errors for now."""
        if urgent:
            self._urgent.add(ref)
        try:
            await self._fetch_files(ref, wanted)
            sets = {one.name: await self._set(ref, one) for one in wanted.sets}
            if wanted.model is not None:
                self._models[ref] = await self._held_whole(ref, *wanted.model)
            image = await self._bring(ref, wanted)
        finally:
            self._urgent.discard(ref)
        self._holds[ref], self._wanted[ref] = image, wanted
        self._sets.setdefault(ref, {}).update(sets)
        return image

    def sets(self, ref: bytes) -> Mapping[str, DataSet]:
        """The data sets that were fetched with the ref's image, by the names that its runs know."""
        return self._sets.get(ref, {})

    def model(self, ref: bytes) -> Path | None:
        """The model that trainings of the ref begin with, where one was fetched with its image."""
        return self._models.get(ref)

    async def bring_again(self, image_id: str) -> bool:
        """An image that a ref holds and that somebody removed from the engine since: another node that shares it, or its owner.

        True where it was gone and is there again. Asks the engine; what goes wrong is in the log, and False.
        """
        ref = next((ref for ref, image in self._holds.items() if image == image_id and ref in self._wanted), None)
        if ref is None:
            return False
        try:
            if await self._engine.has_image(image_id):
                return False
            log.warning("an image is gone from the engine, and is brought there again", image=image_id)
            return await self._bring(ref, self._wanted[ref]) == image_id
        except Exception as problem:  # whoever asked has a failed run already, and tries again by its own rules
            log.warning("an image that is gone from the engine could not be brought again", image=image_id, why=str(problem))
            return False

    def hurry(self, ref: bytes, wanted: WantedImage) -> None:
        """A duty needs what is being fetched for this ref already."""
        self._urgent.add(ref)
        files = (*wanted.files, *(() if wanted.model is None else (wanted.model,)))
        for key in (_key(wanted), *(cid for cid, _ in files), *(one.cid for one in wanted.sets)):
            self._transfers.hurry(key)

    async def _bring(self, ref: bytes, wanted: WantedImage) -> str:
        limits = ImageLimits(archive_bytes=wanted.packed, unpacked_bytes=wanted.unpacked)
        if wanted.cid:
            await self._pins.pin(wanted.cid, reason(IMAGE, ref), ref)
        if wanted.image_id and ref in self._holds and await self._engine.has_image(wanted.image_id):
            return wanted.image_id
        if wanted.cid:
            path = await self._fetch(wanted.cid, ref, wanted.size)
            # Two of a gigabyte would only hold up each other; one that is being removed is not loaded meanwhile.
            async with self._of(wanted.image_id), self._loading:
                return await self._engine.load(path, wanted.image_id, limits)
        async with self._transfers.place(_key(wanted), urgent=ref in self._urgent):
            image = await self._engine.pull(wanted.reference, limits)
        if wanted.image_id and image != wanted.image_id:
            raise BadImage(f"{wanted.reference} is image {image}, not {wanted.image_id} as posted")
        return image

    async def _fetch_files(self, ref: bytes, wanted: WantedImage) -> None:
        for cid, size in wanted.files:
            await self._held(ref, cid, size)

    async def _set(self, ref: bytes, wanted: WantedSet) -> DataSet:
        async def fetch(cid: str, size: int) -> Path:
            """Files are pinned with their set."""
            return await (self._held(ref, cid, size) if cid == wanted.cid else self._fetch(cid, ref, size))

        return await prepare_set(
            wanted, fetch, partial(self._pins.pin_set, wanted.cid, ref), self._files.here, self._engine.keep_set
        )

    async def _pin_all(self, ref: bytes, cids: Iterable[str]) -> None:
        await self._pins.pin_all(cids, reason(IMAGE, ref), ref)

    async def _held(self, ref: bytes, cid: str, size: int) -> Path:
        await self._pin_all(ref, [cid])
        return await self._fetch(cid, ref, size)

    async def _held_whole(self, ref: bytes, cid: str, size: int) -> Path:
        """Raises BadSet where it has another size than was posted."""
        path = await self._held(ref, cid, size)
        if (real := path.stat().st_size) != size:
            raise BadSet(f"the model that trainings begin with is not what was posted: it has {real} bytes, not {size}")
        return path

    async def _fetch(self, cid: str, ref: bytes, size: int) -> Path:
        return await self._transfers.fetch(cid, max_size=size, timeout_s=transfer_s(size), urgent=ref in self._urgent)

    async def let_go(self, ref: bytes) -> None:
        """Room for others while the ref goes on. Whoever needs its image again fetches it again."""
        await self._pins.give_up(ref, (reason(IMAGE, ref),))
        await self.release(ref)

    async def release(self, ref: bytes) -> None:
        """The image leaves the engine with the last ref that holds it; where the engine refuses, with the next one that leaves."""
        image = self._holds.pop(ref, None)
        for known in (self._wanted, self._sets, self._models):
            known.pop(ref, None)
        if image is not None:
            self._left.add(image)
        for image in sorted(self._left):
            async with self._of(image):  # what is being loaded has its holder when this goes on
                await self._remove(image)

    def _of(self, image: str) -> asyncio.Lock:
        """Taken by whoever loads or removes this image: to remove many files takes minutes, and others go on meanwhile."""
        return self._locks.setdefault(image, asyncio.Lock())

    async def _remove(self, image: str) -> None:
        if image not in self._left:
            return
        if image not in self._holds.values():
            try:
                await self._engine.remove(image)
            except SandboxError as problem:
                log.warning("an image could not be removed yet", image=image, why=str(problem))
                return
        self._left.discard(image)


def _key(wanted: WantedImage) -> str:
    """What an image is fetched under."""
    return wanted.cid or wanted.reference


def reason(what: str, ref: bytes) -> str:
    """Why something is pinned for a ref."""
    return f"{what}:{ref.hex()}"


def parse_reason(text: str) -> tuple[str, bytes]:
    """The first word of a reason, and the ref; no ref where it names none."""
    word, _, ref = text.partition(":")
    try:
        return word, bytes.fromhex(ref)
    except ValueError:
        return word, b""


class Models:
    """This node's own models: files that nobody else sees before they are published. Calls run in the executor."""

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder, self._executor = folder, executor

    async def adopt(self, path: Path, run: str) -> Model:
        """Take over a file from the sandbox; it is on the disk, with its name, when this returns. Raises OSError."""
        return await in_thread(self._executor, lambda: self._adopt(path, run))

    def _adopt(self, path: Path, run: str) -> Model:
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{run}.model"
        try:
            os.replace(path, target)
        except OSError:  # another file system
            with private.reading(path) as source, private.writing(target) as copy:
                shutil.copyfileobj(source, copy, _COPY)
            path.unlink(missing_ok=True)
        with private.reading(target) as file:
            os.fsync(file.fileno())
        private.sync_folder(self._folder)
        cid, size = cid_of_file(target)
        return Model(target, cid.to_bytes(), size)

    async def drop(self, path: Path) -> None:
        def unlink() -> None:
            try:
                path.unlink(missing_ok=True)
            except OSError as problem:
                log.warning("a model stays until the next start", path=str(path), why=str(problem))

        await in_thread(self._executor, unlink)

    async def sweep(self, keep: set[Path], leftovers: Path, made: Path | None = None) -> None:
        """Remove models that no secret and no book names, what a killed node's sandbox left behind, and in `made` what no book
        names of what was computed."""

        def remove() -> None:
            for folder, names in ((self._folder, "*.model"), (leftovers, "*.model"), (leftovers, "*.checkpoint"), (made, "*")):
                for path in folder.glob(names) if folder is not None and folder.is_dir() else ():
                    if path not in keep:
                        path.unlink(missing_ok=True)

        await in_thread(self._executor, remove)


class KeptLosses:
    """What evaluations for a ref measured, example by example, so that it can be opened after a restart too.

    `folder/<ref>/<run>`: 8 bytes a loss, signed, big-endian, in the order of the evaluation's file; at most 8 MiB a run. A ref's
    folder goes when the ref is forgotten. `executor` has to be another than the database's: a tree of 2^20 losses takes 2 s.
    """

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._folder, self._executor = folder, executor
        self._refs: set[bytes] = set()

    async def load(self) -> None:
        """What was kept before this start. What is none of ours goes."""

        def look() -> set[bytes]:
            found = set()
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                try:
                    found.add(bytes.fromhex(path.name))
                except ValueError:
                    continue
                for part in path.glob(f"*{_PART}"):
                    part.unlink(missing_ok=True)
            return found

        self._refs = await in_thread(self._executor, look)

    @property
    def refs(self) -> set[bytes]:
        return self._refs

    def path(self, ref: bytes, run: str) -> Path:
        return self._folder / ref.hex() / run

    async def keep(self, ref: bytes, run: str, losses: array[int]) -> None:
        """They are on the disk, with their name, when this returns. Raises OSError."""
        self._refs.add(ref)
        await in_thread(self._executor, lambda: self._write(self.path(ref, run), losses))

    def _write(self, path: Path, losses: array[int]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (size := len(losses) * losses.itemsize) >= _MUCH:
            try:
                leave_room(path.parent, "keeping losses", size, 1)
            except EngineError as problem:
                raise OSError(str(problem)) from problem
        part = path.with_name(path.name + _PART)
        try:
            with private.writing(part) as file:
                file.write(_in_network_order(losses).tobytes())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        for folder in (path.parent, self._folder, self._folder.parent):
            private.sync_folder(folder)

    def read(self, ref: bytes, run: str) -> array[int]:
        """Blocks. Raises OSError, also for what is no list of losses."""
        path = self.path(ref, run)
        losses = array("q")
        with private.reading(path) as file:
            raw = file.read(MAX_EXAMPLES * losses.itemsize + 1)
        if not raw or len(raw) % losses.itemsize or len(raw) > MAX_EXAMPLES * losses.itemsize:
            raise OSError(f"{path} is damaged: {len(raw)} bytes are no losses")
        losses.frombytes(raw)
        return _in_network_order(losses)

    async def open(self, wanted: OpenLosses) -> LossesOpened:
        return await in_thread(self._executor, lambda: self._open(wanted))

    def _open(self, wanted: OpenLosses) -> LossesOpened:
        try:
            tree = LossTree(self.read(wanted.ref, wanted.run))
            if tree.measurement != wanted.measured:
                raise LossesOutOfRange("the losses on this disk are not those that were measured")
            return LossesOpened(wanted.scope, wanted.tag, open_losses(tree, wanted.probe))
        except (OSError, ValueError) as problem:
            log.error("losses cannot be opened", run=wanted.run, why=str(problem))
            return LossesOpened(wanted.scope, wanted.tag, None, str(problem))

    async def drop(self, ref: bytes, run: str) -> None:
        def unlink() -> None:
            try:
                self.path(ref, run).unlink(missing_ok=True)
            except OSError as problem:
                log.warning("losses stay until their ref is over", run=run, why=str(problem))

        await in_thread(self._executor, unlink)

    async def forget(self, ref: bytes) -> None:
        """All of a ref. What the disk keeps is removed when it is forgotten again."""
        if ref not in self._refs:
            return

        def remove() -> bool:
            shutil.rmtree(self._folder / ref.hex(), ignore_errors=True)
            return not (self._folder / ref.hex()).exists()

        if await in_thread(self._executor, remove):
            self._refs.discard(ref)


_PART = ".part"
_MUCH = 1 << 20
"""Bytes of losses for which the last of the disk is not taken: the node writes its chain on it."""


def _in_network_order(losses: array[int]) -> array[int]:
    """The other way round on machines that are little-endian; the same again when it is asked twice."""
    turned = array("q", losses)
    if sys.byteorder == "little":
        turned.byteswap()
    return turned


def cid_of_file(path: Path) -> tuple[Cid, int]:
    """The name that the content store will give to a file, and its size. Raises OSError."""
    builder = Builder(lambda _cid, _block: None)
    with private.reading(path) as file:
        for chunk in chunks(file):
            builder.feed(chunk)
    size = builder.size
    return builder.finish(), size
