"""Published data sets on this disk, for the refs whose runs read them.

    manifest fetched -> is what was posted -> each file that is not here fetched, a few at a time -> each is what the manifest says

All of it is pinned for the ref, and so served to others, until that is over; then the store keeps it as long as its quota allows,
the longest unused goes first. What is here is fetched from nobody: a second job on a set, and a set that shares files with another,
cost the network only what is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from learningchain.client.data.published import MAX_MANIFEST_BYTES, PublishedSet, SetFile, read_manifest
from learningchain.client.work.events import WantedSet
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import DataSet
from learningchain.sandbox.data import measure

AT_ONCE = 4
"""Files of one set that are fetched at the same time: others' downloads have as many places."""

Fetch = Callable[[str, int], Awaitable[Path]]
"""Pins content and fetches it where it is not here: of this CID, at most so many bytes."""
PinAll = Callable[[list[str]], Awaitable[None]]
"""Pins contents, with one write to the disk: of a set with ten thousand files each alone would cost a minute."""


class BadSet(Exception):
    """A published set, or the model that trainings begin with, is not what was posted: another try would end the same way."""


async def bring_set(wanted: WantedSet, fetch: Fetch, pin_all: PinAll) -> DataSet:
    """The files of a set. Raises BadSet for good, what `fetch` raises for now."""
    path = await fetch(wanted.cid, MAX_MANIFEST_BYTES)
    found = await asyncio.to_thread(_posted, wanted, path)
    await pin_all([str(from_bytes(file.cid)) for file in found.files])
    turns = asyncio.Semaphore(AT_ONCE)

    async def bring(file: SetFile) -> Path:
        async with turns:
            here = await fetch(str(from_bytes(file.cid)), max(1, file.size))
            await asyncio.to_thread(_check, wanted, file, here)
            return here

    tasks = [asyncio.ensure_future(bring(file)) for file in found.files]
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


def _check(wanted: WantedSet, file: SetFile, path: Path) -> None:
    """The bytes are what the CID names; size and SHA-256 are the manifest's own word."""
    real = measure(file.name, path)
    if (real.size, real.sha256) != (file.size, file.sha256):
        raise BadSet(f"the data set {wanted.name} contradicts itself: its manifest says another size or SHA-256 of {file.name!r}")
