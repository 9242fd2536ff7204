"""Downloads side by side, in virtual time: nobody's slow one holds up another's, and a seat's goes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from learningchain.chain.host.terms import Image, ImageKind
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles.runs import wanted_image
from learningchain.client.node.interface import MayHave
from learningchain.client.work.artifacts import Images, Pins
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import WantedImage
from learningchain.client.work.transfers import LEAST, PLACES, RESERVED, WINDOW_S, Transfers, transfer_s
from learningchain.p2p.content.cid import Codec, cid_of, parse
from learningchain.p2p.content.faults import FetchFailed, Reason
from tests.unit.work_kit import FakeEngine, Inline, posting, run_virtual

MB = 1_000_000
BLOCK = 262_144


@dataclass
class Source:
    """How fast a file comes, in bytes per second, and how large it is."""

    size: int = 10 * MB
    rate: float = 20 * MB
    have: int = 0


@dataclass
class Dripping:
    """`client.node.interface.Files` whose files come block by block at a rate of their own; what came is kept."""

    folder: Path
    sources: dict[str, Source] = field(default_factory=dict)
    on_disk: set[str] = field(default_factory=set)
    under_way: set[str] = field(default_factory=set)
    most: int = 0

    def offer(self, name: str, **how: Any) -> str:
        cid = str(cid_of(Codec.RAW, name.encode()))
        self.sources[cid] = Source(**how)
        return cid

    def has(self, cid: str) -> bool:
        return cid in self.on_disk

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        raise NotImplementedError

    def pin(self, cid: str, reason: str) -> None: ...

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [None for _ in cids]

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.pin(cid, reason)

    def unpin_all(self, cids: Collection[str], reason: str) -> None:
        for cid in cids:
            self.unpin(cid, reason)

    def allow(self, cid: str, peers: Collection[bytes]) -> None: ...

    def share_by(self, may_have: MayHave) -> None: ...

    def unpin(self, cid: str, reason: str) -> None: ...

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        raise NotImplementedError

    def room(self) -> tuple[int, int]:
        raise NotImplementedError

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        if cid not in self.on_disk:
            self.under_way.add(cid)
            self.most = max(self.most, len(self.under_way))
            try:
                async with asyncio.timeout(timeout_s):
                    await self._come(self.sources[cid], on_progress)
            except TimeoutError:
                raise FetchFailed(parse(cid), Reason.TIMEOUT, "the time is up") from None
            finally:
                self.under_way.discard(cid)
            self.on_disk.add(cid)
        return self.folder / cid

    async def _come(self, source: Source, on_progress: Callable[[int, int], None] | None) -> None:
        if source.have and on_progress:
            on_progress(source.have, source.size)
        while source.have < source.size:
            await asyncio.sleep(BLOCK / source.rate)
            source.have = min(source.have + BLOCK, source.size)
            if on_progress:
                on_progress(source.have, source.size)


async def took(work: Any) -> tuple[float, Any]:
    """Seconds until the end, and how it ended."""
    began = asyncio.get_running_loop().time()
    try:
        found = await work
    except FetchFailed as problem:
        found = problem
    return asyncio.get_running_loop().time() - began, found


def get(transfers: Transfers, cid: str, **more: Any) -> asyncio.Task[tuple[float, Any]]:
    return asyncio.ensure_future(took(transfers.fetch(cid, max_size=10**10, timeout_s=transfer_s(2_000 * MB), **more)))


DRIP = {"size": 2_000 * MB, "rate": BLOCK / 7}
"""One block every seven seconds: no peer is ever called dead for that."""
SLOW = {"size": 2_000 * MB, "rate": 3 * LEAST}
"""Fast enough to go on for more than half an hour where nobody waits."""


def test_a_dripping_download_ends_after_a_window_and_not_after_its_whole_time(tmp_path: Path) -> None:
    async def main() -> None:
        files = Dripping(tmp_path)
        transfers = Transfers(files)
        seconds, problem = await get(transfers, files.offer("drip", **DRIP))
        assert isinstance(problem, FetchFailed)
        assert problem.reason is Reason.TIMEOUT
        assert "less than 100000" in str(problem)
        assert seconds <= 2 * WINDOW_S < transfer_s(2_000 * MB) / 10
        assert files.under_way == set()

    run_virtual(main())


def test_slow_ones_make_room_for_those_that_wait_and_go_on_later_from_where_they_were(tmp_path: Path) -> None:
    async def main() -> None:
        files = Dripping(tmp_path)
        transfers = Transfers(files, places=4)
        alone, _ = await get(transfers, files.offer("alone"))
        slow = [files.offer(f"slow{n}", **SLOW) for n in range(4)]
        hogs = [get(transfers, cid) for cid in slow]
        await asyncio.sleep(3 * WINDOW_S)
        assert not any(task.done() for task in hogs), "nobody waits: they go on"
        began = asyncio.get_running_loop().time()
        seconds, path = await get(transfers, files.offer("honest"))
        assert isinstance(path, Path)
        assert seconds < WINDOW_S / 2 + alone
        assert sum(task.done() for task in hogs) == 1, "one makes room for one"
        assert asyncio.get_running_loop().time() - began < WINDOW_S
        gone = next(cid for cid, task in zip(slow, hogs, strict=True) if task.done())
        kept = files.sources[gone].have
        again = get(transfers, gone)
        await asyncio.sleep(3 * WINDOW_S)
        assert not again.done()
        assert files.sources[gone].have > kept > 0
        for task in (*hogs, again):
            task.cancel()

    run_virtual(main())


def test_a_seats_download_finds_a_place_among_any_number_of_stuck_ones(tmp_path: Path) -> None:
    async def main() -> None:
        files = Dripping(tmp_path)
        transfers = Transfers(files, PLACES, RESERVED)
        alone, _ = await get(transfers, files.offer("alone"))
        stuck = [get(transfers, files.offer(f"drip{n}", **DRIP)) for n in range(64)]
        seconds, path = await get(transfers, files.offer("seat"), urgent=True)
        assert isinstance(path, Path)
        assert seconds == pytest.approx(alone)
        assert len(files.under_way) == PLACES - RESERVED
        for task in stuck:
            task.cancel()

    run_virtual(main())


# --- images -----------------------------------------------------------------------------------------------------------------------


class SlowRegistry(FakeEngine):
    """An engine that never comes to the end of a pull, and takes its time over a load."""

    loads = 0
    most_loads = 0

    async def pull(self, reference: str, limits: Any) -> str:
        await asyncio.sleep(3_600)
        raise AssertionError

    async def load(self, path: Path, image_id: str, limits: Any) -> str:
        self.loads += 1
        self.most_loads = max(self.most_loads, self.loads)
        await asyncio.sleep(1)
        self.loads -= 1
        return await super().load(path, image_id, limits)


def images_of(tmp_path: Path) -> tuple[Images, Dripping, SlowRegistry]:
    files = Dripping(tmp_path / "files")
    engine = SlowRegistry(tmp_path / "out", Random(0))
    return Images(files, engine, Pins(files, WorkDatabase(tmp_path / "b.db", bytes(32), bytes(20)), Inline())), files, engine


def wanted(**changes: Any) -> WantedImage:
    return wanted_image(WorkConfig(), posting(0, **changes))


def archive(cid: str, number: int) -> Image:
    return Image(ImageKind.ARCHIVE, "", parse(cid).to_bytes(), bytes([number]) * 32, 2_000 * MB)


def test_one_image_that_drips_holds_no_other_image_up(tmp_path: Path) -> None:
    """Attackers' images from peers and from registries, then an honest one: it is on the engine as soon as if it were alone."""

    async def main() -> None:
        images, files, engine = images_of(tmp_path)
        alone, _ = await took(images.ensure(b"0" * 32, wanted(image=archive(files.offer("alone"), 1))))
        slow = [files.offer(f"d{n}", **DRIP) for n in range(PLACES - RESERVED - 2)]
        drips = [
            asyncio.ensure_future(took(images.ensure(bytes([n]) * 32, wanted(image=archive(cid, 2))))) for n, cid in enumerate(slow)
        ]
        pull = asyncio.ensure_future(images.ensure(b"p" * 32, wanted()))
        await asyncio.sleep(1)
        honest, image = await took(images.ensure(b"h" * 32, wanted(image=archive(files.offer("honest"), 3))))
        assert image == f"sha256:{'03' * 32}"
        assert honest == pytest.approx(alone)
        more = [images.ensure(bytes([n]) * 32, wanted(image=archive(files.offer(f"m{n}"), n))) for n in range(40, 44)]
        await asyncio.gather(*more)
        assert engine.most_loads == 1, "the engine unpacks one at a time"
        for task in (*drips, pull):
            task.cancel()

    run_virtual(main())
