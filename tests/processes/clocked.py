"""Graphs in which nothing is a matter of time: their windows are hours, and the test ends each when it is done with it.

    async with ClockedGraph(folder, validators(4)) as graph:
        await graph.start()
        job = await scripted.post(CONTRACTOR, graph["v0"], open_ms=HOUR_MS)
        ...                                  # as slowly as the machine likes
        await graph.clock.advance(HOUR_MS)   # now the claims have ended, for every node

Everything that the ledger dates comes from the clocks of its nodes, and `clocked_node` adds to all of them what stands in one file.
So there is no race either way: a window does not end before the test says so, and nobody waits for its end.
"""

from __future__ import annotations

import asyncio
import mmap
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.processes.harness import Graph, NodeProcess, Person, Role, eventually, with_params

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WINDOWS: dict[str, int] = {
    # Ended by the test.
    "job_reveal": HOUR_MS,
    "appeal": HOUR_MS,
    # Ended by the last of those who are waited for; until then whatever else the test moves leaves them open.
    "job_key": DAY_MS,
    "job_vote_base": DAY_MS,
    "job_open_votes": DAY_MS,
    # An advance is one step of the chain clock.
    "max_step": DAY_MS,
}
PATIENT = with_params(**WINDOWS)


class ChainClock:
    """The clock of all nodes of a graph. `advance` is the only thing that moves windows on."""

    def __init__(self, graph: Graph, path: Path) -> None:
        self._graph = graph
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._shared = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")

    async def advance(self, milliseconds: int) -> None:
        """Set all clocks forward, and return when every running validator has a block of the new time.

        What was due by then may take some more blocks, and other nodes a moment longer: wait for its event.
        """
        if not 0 < milliseconds <= self._graph.params.max_step:
            raise ValueError(f"the chain clock takes no step of {milliseconds} ms: see max_step")
        told = [(node, await node.api.status()) for node in self._graph if node.running]
        makers = [node for node, status in told if status["validator"]]
        then = max(status["clock_now"] for _, status in told) + milliseconds
        self._shared[0] += milliseconds  # one store of eight bytes: nobody reads half of it

        async def there(node: NodeProcess) -> bool:
            return (await node.api.status())["clock"] >= then

        await asyncio.gather(*(eventually(f"{n.name} has a block of the new time", lambda n=n: there(n)) for n in makers))  # type: ignore[misc]


class ClockedGraph(Graph):
    """A graph whose nodes run on `clock`."""

    def __init__(self, folder: Path, roles: Sequence[Role], *, people: Sequence[Person] = (), params: Any = PATIENT) -> None:
        super().__init__(folder, roles, people=people, params=params)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        path = self.folder / "clock"
        self.clock = ChainClock(self, path)
        for node in self:
            node.program = [sys.executable, "-m", "tests.processes.clocked_node", str(path)]
        return self
