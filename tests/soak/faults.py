"""What is done to the graph, one after the other. Each ends with the graph as a whole again, and says what it did.

Whatever touches at most one validator must not stop the others: they are watched while it lasts.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Collection

from tests.processes.harness import NodeProcess
from tests.processes.netns import Lan
from tests.soak.graph import SoakGraph

AWAY_S = (0.2, 4.0)
"""How long a node is away."""
DURING = 2
"""Blocks that the others must make while one validator is away."""
TRIES = 50
SMALL_DISK = 2**30


class Faults:
    def __init__(self, graph: SoakGraph, rng: random.Random, lan: Lan | None, disks: Disks, only: Collection[str] = ()) -> None:
        self.graph, self.rng, self.lan, self.disks = graph, rng, lan, disks
        self._backup = graph.folder / "backup"
        self._backed_up: NodeProcess | None = None
        self.kinds: dict[str, Callable[[], Awaitable[str]]] = {
            "kill": self._kill,
            "pause": self._pause,
            "restart": self._restart,
            "power cut": self._power_cut,
            "two killed": self._two_killed,
            "crash loop": self._crash_loop,
            "late joiner": self._late_joiner,
            "backup": self._restore,
            "lost database": self._lost_database,
        }
        if disks.mounted:
            self.kinds["full disk"] = self._full_disk
        if lan is not None:
            self.kinds |= {"halves": self._halves, "one cut off": self._one_cut_off}
        if unknown := set(only) - set(self.kinds):
            raise ValueError(f"no such disturbances here: {sorted(unknown)}, but {sorted(self.kinds)}")
        self.kinds = {kind: act for kind, act in self.kinds.items() if not only or kind in only}
        self._round: list[str] = []

    def choose(self) -> str:
        """The next kind: every one once, in an order of its own, before any comes again."""
        if not self._round:
            self._round = sorted(self.kinds)
            self.rng.shuffle(self._round)
        return self._round.pop()

    # --- whom and how long ----------------------------------------------------------------------------------------------------

    def _any(self) -> NodeProcess:
        return self.rng.choice([node for node in self.graph if node.running])

    def _validator(self) -> NodeProcess:
        return self.rng.choice(self.graph.validators)

    async def _wait(self) -> None:
        await asyncio.sleep(self.rng.uniform(*AWAY_S))

    async def _others_go_on(self, *away: NodeProcess) -> None:
        await self.graph.progress(DURING, without=away)

    # --- processes ------------------------------------------------------------------------------------------------------------

    async def _kill(self) -> str:
        node = self._any()
        await node.kill()
        await self._others_go_on(node)
        await self.graph.begin(node)
        return node.name

    async def _pause(self) -> str:
        node = self._any()
        node.pause()
        try:
            await self._others_go_on(node)
            await self._wait()
        finally:
            node.resume()
        return node.name

    async def _restart(self) -> str:
        node = self._any()
        code = await node.stop()
        if code != 0:
            raise AssertionError(f"{node.name} ended with {code} when it was asked to stop")
        await self._others_go_on(node)
        await self.graph.begin(node)
        return node.name

    async def _power_cut(self) -> str:
        """All at once: what was decided must be on their disks."""
        nodes = [node for node in self.graph if node.running]
        await asyncio.gather(*(node.kill() for node in nodes))
        await asyncio.gather(*(self.graph.begin(node) for node in nodes))
        return "all"

    async def _two_killed(self) -> str:
        """No quorum until one of them is back."""
        pair = self.rng.sample(self.graph.validators, 2)
        await asyncio.gather(*(node.kill() for node in pair))
        await self._wait()
        for node in pair:
            await self.graph.begin(node)
        return " and ".join(node.name for node in pair)

    async def _crash_loop(self) -> str:
        """Killed again and again while it starts, at any moment of that."""
        node = self._validator()
        await node.kill()
        for _ in range(3):
            node.spawn()
            await asyncio.sleep(self.rng.uniform(0.1, 2.0))
            await node.kill()
        await self._others_go_on(node)
        await self.graph.begin(node)
        return node.name

    async def _late_joiner(self) -> str:
        """A member whose node has nothing, and everything a moment later."""
        late = self.graph["late"]
        if late.running:
            await late.kill()
            for name in ("db", "db-wal", "db-shm", "wal", "guard", "peers.book"):
                (late.data / name).unlink(missing_ok=True)
        await self.graph.begin(late)
        await late.reaches(await self.graph.top())
        return f"at height {await late.height()}"

    # --- disks ----------------------------------------------------------------------------------------------------------------

    async def _restore(self) -> str:
        """In turns: a copy of a validator's folder is made, and put back after the graph moved on."""
        node = self._backed_up
        if node is None:
            node = self._backed_up = self.rng.choice([v for v in self.graph.validators if v not in self.disks.mounted])
            await node.kill()
            shutil.copytree(node.data, self._backup)
            await self.graph.begin(node)
            return f"a copy of {node.name}"
        await node.kill()
        shutil.rmtree(node.data)
        shutil.move(self._backup, node.data)
        self._backed_up = None
        await self._others_go_on(node)
        await self.graph.begin(node)
        return f"the old copy of {node.name} is put back"

    async def _lost_database(self) -> str:
        """A rotten page, and the remedy that the node names: the database goes, keystore, guard and log stay."""
        node = self.rng.choice([node for node in self.graph.validators if node not in self.disks.mounted])
        await node.stop()  # so that all is in the one file
        database = node.data / "db"
        size = database.stat().st_size
        with database.open("r+b") as file:
            for offset in range(4096, size, 8192):
                file.seek(offset)
                file.write(self.rng.randbytes(512))
        code, said = await node.refuses()
        if code != 1 or "sync from its peers" not in said:
            raise AssertionError(f"{node.name} on a damaged database: exit code {code}, {said[-500:]}")
        for name in ("db", "db-wal", "db-shm"):
            (node.data / name).unlink(missing_ok=True)
        await self._others_go_on(node)
        await self.graph.begin(node)
        return node.name

    async def _full_disk(self) -> str:
        """No space: the node ends with the reason, and goes on when there is some."""
        node = self.rng.choice(self.disks.mounted)
        self.disks.fill(node)
        try:
            code = await node.ended()
            if code != 1 or "no space left" not in node.tail():
                raise AssertionError(f"{node.name} on a full disk: exit code {code}, {node.tail(5)}")
            await self._others_go_on(node)
        finally:
            self.disks.empty(node)
        await self.graph.begin(node)
        return node.name

    # --- the network ----------------------------------------------------------------------------------------------------------

    async def _halves(self) -> str:
        """Two validators on either side: nobody decides anything until it is healed."""
        half = {node.name for node in self.rng.sample(self.graph.validators, 2)}
        return await self._cut(half, None)

    async def _one_cut_off(self) -> str:
        node = self._validator()
        return await self._cut({node.name}, node)

    async def _cut(self, half: set[str], away: NodeProcess | None) -> str:
        if self.lan is None:
            raise RuntimeError("a cut without a network of its own")
        self.lan.cut(half)
        try:
            if away is not None:
                await self._others_go_on(away)
            await self._wait()
        finally:
            self.lan.heal()
        return " and ".join(sorted(half))


class Disks:
    """Small file systems for some nodes' folders, where mounting is allowed."""

    def __init__(self) -> None:
        self.mounted: list[NodeProcess] = []
        self.refusal = ""

    def move(self, node: NodeProcess) -> None:
        """Before its first start: its folder lies on a disk of its own from now on."""
        aside = node.data.with_suffix(".moved")
        shutil.move(node.data, aside)
        node.data.mkdir(mode=0o700)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", str(node.data)], capture_output=True, text=True
        )
        if done.returncode:
            self.refusal = done.stderr.strip()
        else:
            self.mounted.append(node)
        for path in aside.iterdir():
            shutil.move(path, node.data / path.name)
        aside.rmdir()

    def fill(self, node: NodeProcess) -> None:
        """Leave next to nothing. What is in use meanwhile cannot be taken away: the node goes on writing."""
        for _ in range(TRIES):
            if self._resize(node, shutil.disk_usage(node.data).used + 32_768):
                return
        raise RuntimeError(f"the disk of {node.name} cannot be made small")

    def empty(self, node: NodeProcess) -> None:
        if not self._resize(node, SMALL_DISK):
            raise RuntimeError(f"the disk of {node.name} cannot be made large again")

    def _resize(self, node: NodeProcess, size: int) -> bool:
        done = subprocess.run(["mount", "-o", f"remount,size={size}", str(node.data)], capture_output=True)
        return done.returncode == 0

    def close(self) -> None:
        for node in self.mounted:
            subprocess.run(["umount", "-l", str(node.data)], check=False)
        self.mounted.clear()
