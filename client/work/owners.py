"""Which contract holds something for a ref on this node, so that no other contract's machine releases it.

A ref is over when its own contract says so. Once it has left the state nobody can tell from the state whose it was, so the first
effect that holds something for a ref is noted in the work database, and the notes are read at the next start.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor

from learningchain.chain.host import Reader
from learningchain.client.work.artifacts import durably, in_thread
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import (
    BringImage,
    DropLosses,
    Effect,
    FetchContent,
    Forget,
    Pin,
    PublishFile,
    ReleaseImage,
    ServeFile,
    StartRun,
    StopServing,
    Unpin,
)
from learningchain.client.work.machine import WorkPart


def held_for(effect: Effect) -> bytes | None:
    """Return the ref for which this node holds something after the effect, where it is such an effect."""
    match effect:
        case BringImage(ref=ref) | FetchContent(ref=ref) | PublishFile(ref=ref) | Pin(ref=ref) | ServeFile(ref=ref):
            return ref
        case StartRun(ref=ref, keep=True):
            return ref
    return None


def released_for(effect: Effect) -> bytes | None:
    """Return the ref of which the effect gives up something that is held, where it is such an effect."""
    match effect:
        case Forget(ref=ref) | ReleaseImage(ref=ref) | Unpin(ref=ref) | StopServing(ref=ref) | DropLosses(ref=ref):
            return ref
    return None


class Owners:
    """The contract of each ref that something is held for, by its slice's name."""

    def __init__(self, slices: Sequence[WorkPart], database: WorkDatabase, executor: Executor) -> None:
        self._slices, self._database, self._executor = slices, database, executor
        self._names = {part.name for part in slices}
        self._noted: dict[bytes, str] = {}
        self._holds = Counter[bytes]()
        """Effects of this process that held something for a ref since it was noted."""

    async def load(self, held: Collection[bytes]) -> None:
        """Read what an earlier process noted, and drop the notes on refs for which nothing is held any more."""
        self._noted = await in_thread(self._executor, self._database.owners)
        for ref in self._noted.keys() - set(held):
            await self.drop(ref)

    async def write(self, ref: bytes) -> None:
        """Keep the note on a ref over a restart, however many tries the disk takes. Nothing where it was dropped meanwhile."""
        if (name := self._noted.get(ref)) is not None:
            await durably(self._executor, lambda: self._database.note_owner(ref, name))

    def begin(self, ref: bytes, name: str) -> bool:
        """Note that the slice `name` holds something for this ref. True where it is the first to do so: `write` has to follow."""
        self._holds[ref] += 1
        if ref in self._noted:
            return False
        self._noted[ref] = name
        return True

    def holds(self, ref: bytes) -> int:
        """A number that rises with each effect that holds something for the ref, also while that is still on its way."""
        return self._holds[ref]

    async def drop(self, ref: bytes) -> None:
        """Forget whose the ref was, as nothing is held for it any more. Raises sqlite3.Error."""
        self._noted.pop(ref, None)
        self._holds.pop(ref, None)
        await in_thread(self._executor, lambda: self._database.drop_owner(ref))

    def noted(self, ref: bytes) -> str | None:
        """The slice that this node noted as a ref's owner."""
        return self._noted.get(ref)

    def may_release(self, reader: Reader, ref: bytes, name: str) -> bool:
        """Whether machines of the slice `name` may give up what is held for this ref."""
        return self._owner(reader, ref) in (None, name)

    def share(self, reader: Reader, held: Iterable[bytes]) -> dict[str, set[bytes]]:
        """The refs that the machines of each slice are told of. All slices are told of a ref that nobody owns and no contract
        knows: it is what an older program left, or a trial of an earlier start."""
        told: dict[str, set[bytes]] = {part.name: set() for part in self._slices}
        for ref in held:
            owner = self._owner(reader, ref)
            for name in self._names if owner is None else (owner,):
                told[name].add(ref)
        return told

    def _owner(self, reader: Reader, ref: bytes) -> str | None:
        """None also where the contract that noted it is not installed any more."""
        if (noted := self._noted.get(ref)) in self._names:
            return noted
        return next((part.name for part in self._slices if part.knows(reader, ref)), None)
