"""What a node's work keeps on its disk: the database, pins, images, models, losses, checkpoints, and whose each of it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from learningchain.chain.ledger.transition import chain_record
from learningchain.client.node.interface import Files, KeptFor, Ledger
from learningchain.client.work.artifacts import IMAGE, SET, Images, KeptLosses, Models, Pins, in_thread, parse_reason
from learningchain.client.work.checkpoints import Checkpoints
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import Secret
from learningchain.client.work.kept_secrets import KeptSecrets
from learningchain.client.work.machine import WorkPart
from learningchain.client.work.owners import Owners
from learningchain.client.work.trials import PIN
from learningchain.sandbox import AsyncBackend

AHEAD_MS: Final = 24 * 3_600_000
"""A clock that is so far beyond the newest block ends nothing that is kept up to a date: it is wrong, or this node is behind."""
KEEPS: Final = {IMAGE: "image, or file beside it", SET: "data set of jobs", PIN: "file of a trial"}
"""As a slice's `keeps`, of what every contract's machines ask for."""


@dataclass(frozen=True)
class Clocks:
    """Wall-clock milliseconds for what is kept for a time."""

    now: Callable[[], int]
    ledger: Ledger

    def since(self) -> int:
        """The time from which something is kept for a time: this machine's may be far behind the newest block's."""
        return max(self.now(), chain_record(self.ledger.state).time)

    def over(self) -> int:
        """The time up to which what was kept for a time is over: this machine's may be far ahead."""
        return min(self.now(), chain_record(self.ledger.state).time + AHEAD_MS)


class Stores:
    """Open from `open` to `close`. The database is used on the executor's thread alone; `trees` computes those over losses;
    `told` hears of each secret that a user handed over."""

    def __init__(
        self,
        folder: Path,
        database: WorkDatabase,
        clocks: Clocks,
        files: Files,
        engine: AsyncBackend,
        slices: Sequence[WorkPart],
        executor: Executor,
        trees: Executor,
        told: Callable[[Secret], None],
    ) -> None:
        self.folder, self.database, self.clocks, self.executor, self._slices = folder, database, clocks, executor, slices
        self.pins = Pins(files, database, executor)
        self.images = Images(files, engine, self.pins)
        self.models = Models(folder / "models", executor)
        self.secrets = KeptSecrets(database, self.models, executor, since=clocks.since, over=clocks.over, told=told)
        self.losses = KeptLosses(folder / "losses", trees)
        self.owners = Owners(slices, database, executor)
        self.checkpoints = Checkpoints(folder / "checkpoints")

    async def load(self) -> None:
        await self.pins.load()
        await self.losses.load()
        await self.owners.load(self.refs())

    async def close(self) -> None:
        await self.call(self.database.close)

    async def call(self, work: Callable[[], Any]) -> Any:
        """Do something on the database's thread."""
        return await in_thread(self.executor, work)

    def refs(self) -> set[bytes]:
        """Refs that something is held for here."""
        return self.images.refs | self.pins.refs | self.losses.refs

    def kept_for(self, cid: str, why: str) -> KeptFor:
        """What this node's work holds content for, by the reason for which it is pinned."""
        word, ref = parse_reason(why)
        said = {beginning: text for part in self._slices for beginning, text in part.keeps.items()} | KEEPS
        what = next((said[word[:end]] for end in range(len(word), 0, -1) if word[:end] in said), "content")
        return KeptFor(what, self.owners.noted(ref) if ref else None, ref.hex() or None, self.pins.until(cid, why))
