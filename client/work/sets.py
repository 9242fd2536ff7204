"""Published data sets on this disk, for the refs whose runs read them.

    manifest fetched -> is what was posted -> each file that is not here fetched, a few at a time
        -> brought to the engine, where each is read and compared with the manifest: all as it says -> done
                                               -> not so: each is read by its CID, what this disk damaged is fetched anew
                                                          -> brought again, and still not so: the manifest contradicts its files

All of it is pinned for the ref, and so served to others, until that is over; then the store keeps it as long as its quota allows,
the longest unused goes first. What is here is fetched from nobody: a second job on a set, and a set that shares files with another,
cost the network only what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from learningchain.client.data.published import MAX_MANIFEST_BYTES, PublishedSet, SetFile, read_manifest
from learningchain.client.work.events import WantedSet
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import DataSet

log = structlog.get_logger(__name__)

AT_ONCE = 4
"""Files of one set that are fetched at the same time: others' downloads have as many places."""

Fetch = Callable[[str, int], Awaitable[Path]]
"""Pins content and fetches it where it is not here: of this CID, at most so many bytes."""
Here = Callable[[Sequence[str]], list[Path | None]]
"""Where each content lies, if it is on this disk, unread."""
Bring = Callable[[str, DataSet], Awaitable[None]]
"""Brings a set to the engine under its name. Raises OSError where a file is not what the set says of it."""
PinAll = Callable[[list[str]], Awaitable[None]]
"""Pins contents, with one write to the disk: of a set with ten thousand files each alone would cost a minute."""


class BadSet(Exception):
    """A published set, or the model that trainings begin with, is not what was posted: another try would end the same way."""


async def prepare_set(wanted: WantedSet, fetch: Fetch, pin_all: PinAll, here: Here, bring: Bring) -> DataSet:
    """The files of a set, which the engine has too. Each is read once where all is well. Raises BadSet for good, what `fetch` and
    `bring` raise for now."""
    found = await fetch_set(wanted, fetch, pin_all, here)
    try:
        await bring(wanted.name, found)
    except OSError as problem:
        log.warning("a data set is not what its manifest says; its files are read by their CIDs", set=wanted.cid, why=str(problem))
        found = await fetch_set(wanted, fetch, pin_all, lambda cids: [None for _ in cids])
        try:
            await bring(wanted.name, found)
        except OSError as still:
            why = f"its manifest says another size or SHA-256 of a file than its bytes have ({still})"
            raise BadSet(f"the data set {wanted.name} contradicts itself: {why}") from None
    return found


async def fetch_set(wanted: WantedSet, fetch: Fetch, pin_all: PinAll, here: Here) -> DataSet:
    """The files of a set on this disk; none that `here` finds is read. Raises BadSet for good, what `fetch` raises for now."""
    path = await fetch(wanted.cid, MAX_MANIFEST_BYTES)
    found = await asyncio.to_thread(_posted, wanted, path)
    cids = [str(from_bytes(file.cid)) for file in found.files]
    await pin_all(cids)
    there = await asyncio.to_thread(here, cids)
    turns = asyncio.Semaphore(AT_ONCE)

    async def get(file: SetFile, cid: str, path: Path | None) -> Path:
        if path is not None:
            return path
        async with turns:
            return await fetch(cid, max(1, file.size))

    tasks = [asyncio.ensure_future(get(*of)) for of in zip(found.files, cids, there, strict=True)]
    try:
        return found.placed(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _posted(wanted: WantedSet, path: Path) -> PublishedSet:
    try:
        found = read_manifest(path.read_bytes())
    except ValueError as problem:
        raise BadSet(f"the data set {wanted.name} cannot be used: {problem}") from None
    if (found.size, len(found.files)) != (wanted.size, wanted.files):
        posted, real = f"{wanted.files} files of {wanted.size} bytes", f"{len(found.files)} of {found.size}"
        raise BadSet(f"the data set {wanted.name} is not what was posted: {posted} were promised, its manifest names {real}")
    return found
