"""The graph of a soak: four validators, an observer, a member who joins late; each signature is written down."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

from learningchain.client import config
from learningchain.client.schema.bodies import StatusView
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.http import local_url, read_token
from learningchain.client.sdk.types import ApiError
from tests.network import NetworkParams
from tests.processes.harness import Graph, NodeProcess, NotInTime, Role, validators, with_params
from tests.processes.journal import journalled
from tests.processes.netns import Lan
from tests.soak.load import PEOPLE

NAMES = ["v0", "v1", "v2", "v3", "observer", "late"]
PARAMS: NetworkParams = with_params(job_min_open=1_000, job_reveal=8_000, job_vote_base=30_000, job_open_votes=20_000)
PROGRESS_S = 60.0
"""Within this time a graph with a quorum makes blocks again, whatever happened before."""
LOOK_S = 4.0


def roles() -> list[Role]:
    return [*validators(4), Role("observer"), Role("late")]


class SoakGraph(Graph):
    def __init__(self, folder: Path, lan: Lan | None) -> None:
        chosen: Sequence[Role] = roles() if lan is None else lan.roles(roles())
        super().__init__(folder, chosen, people=PEOPLE, params=PARAMS)
        self._lan = lan
        self.journals: dict[str, Path] = {}
        self.seen: dict[int, str] = {}
        """Block ids by height, as nodes showed them."""
        self.forks: list[str] = []
        self.memory: dict[str, int] = {}
        """The largest resident set of each node's processes, in bytes."""
        self.disk: dict[str, int] = {}
        self._doors: dict[str, Client] = {}

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for node in self:
            self.journals[node.name] = journalled(node)
        if self._lan is not None:
            self._lan.inhabit(self)
        return self

    @property
    def validators(self) -> list[NodeProcess]:
        return [self[f"v{i}"] for i in range(4)]

    def listen(self, node: NodeProcess) -> str:
        return config.load(node.data, {}).config.api.listen

    async def begin(self, node: NodeProcess) -> None:
        """Start a node. Its API answers when it has opened its disk; it may be behind."""
        await node.start(within=PROGRESS_S)

    # --- looking at it --------------------------------------------------------------------------------------------------------

    async def look(self, node: NodeProcess) -> StatusView | None:
        """What a node says of itself, and that it says the same as all others. None where it does not answer."""
        door = self._doors.get(node.name)
        if door is None and (node.data / "api.token").exists():
            with contextlib.suppress(ApiError, OSError):
                door = self._doors[node.name] = Client(local_url(self.listen(node)), read_token(node.data / "api.token"))
        if door is None:
            return None
        try:
            status = await asyncio.wait_for(door.status(), LOOK_S)
        except (ApiError, TimeoutError):
            return None
        height, key = status["height"], str(status["block_id"])
        if height and self.seen.setdefault(height, key) != key:
            self.forks.append(f"{node.name} shows another block {height} than was shown before")
        return status

    async def heights(self, without: Collection[NodeProcess] = ()) -> dict[str, int]:
        """Of the nodes that answer."""
        nodes = [node for node in self if node.running and node not in without]
        found = await asyncio.gather(*(self.look(node) for node in nodes))
        return {node.name: status["height"] for node, status in zip(nodes, found, strict=True) if status is not None}

    async def top(self) -> int:
        return max((await self.heights()).values(), default=0)

    async def progress(self, blocks: int, *, without: Collection[NodeProcess] = ()) -> float:
        """Wait until all of these nodes are that much above the highest of all; in how many seconds. Raises `NotInTime`."""
        began = time.monotonic()
        goal = await self.top() + blocks
        wanted = {node.name for node in self if node.running and node not in without}
        found: dict[str, int] = {}
        while time.monotonic() < began + PROGRESS_S:
            found = await self.heights(without)
            if wanted <= found.keys() and min(found.values()) >= goal:
                return time.monotonic() - began
            await asyncio.sleep(0.1)
        raise NotInTime(f"no progress to height {goal} within {PROGRESS_S:.0f} s: {found} of {sorted(wanted)}")

    def measure(self) -> None:
        """Memory and disk of every node now."""
        for node in self:
            if node.running:
                with contextlib.suppress(OSError, ValueError, StopIteration):
                    lines = Path(f"/proc/{node.pid}/status").read_text().splitlines()
                    kilobytes = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
                    self.memory[node.name] = max(self.memory.get(node.name, 0), kilobytes * 1024)
            self.disk[node.name] = _size(node.data)

    async def close_doors(self) -> None:
        for door in self._doors.values():
            await door.close()
        self._doors.clear()


def _size(folder: Path) -> int:
    total = 0
    for item in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a file that goes while it is looked at
            total += item.stat().st_size if item.is_file() else 0
    return total
