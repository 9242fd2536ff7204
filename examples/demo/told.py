"""A story told in lines: steps with their time, promises that are looked at in the end, and nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from learningchain.chain.types import parse_credits
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.types import ApiError, NotFoundError, UnavailableError, UnreachableError
from learningchain.examples.demo.ending import to_its_end, until_interrupted
from learningchain.examples.demo.graph import (
    DemoFailed,
    Graph,
    Home,
    check_alive,
    clean_engine,
    clean_folder,
    dead,
    end_processes,
    new_folder,
    start_node,
)

WAIT_S: Final = 240.0
LOOK_S: Final = 0.3
LOOKS: Final = {
    r"^ *\d+\.\d s": "dim",
    "█+": "cyan",
    r"FAILED|refused: .*": "red",
    "^  holds ": "green",
    r"^\d+ of \d+ promises hold": "bold",
}
"""How parts of a line look on a terminal."""
DONE: Final = 0
FAILED: Final = 1


class Story:
    """What happens, one step after the other; `promises` holds what was promised and whether it is so."""

    def __init__(self, graph: Graph, say: Callable[[str], None]) -> None:
        self.graph, self.say, self.started = graph, say, time.monotonic()
        self.clients: dict[str, Client] = {}
        self.promises: list[tuple[str, bool]] = []

    async def play(self) -> None:
        raise NotImplementedError

    def name(self, address: str) -> str:
        return next((home.name for home in self.graph.members if home.address == address), address)

    def step(self, text: str) -> None:
        self.say(f"{time.monotonic() - self.started:6.1f} s  {text}")

    def promise(self, what: str, holds: object) -> None:
        self.promises.append((what, bool(holds)))

    async def promise_of_supply(self, client: Client) -> None:
        supply = await client.supply()
        minted, burned, left = (parse_credits(supply[name]) for name in ("minted", "burned", "supply"))
        self.promise("no credit came from nowhere", minted - burned == left)

    async def start_nodes(self, programs: Mapping[str, str] | None = None) -> None:
        """Every node runs and answers. `programs`: those that run another one than the command, by their names."""
        for home in self.graph.nodes:
            start_node(self.graph, home, (programs or {}).get(home.name, "learningchain"))
        for home in self.graph.nodes:
            self.clients[home.name] = await self.until(f"{home.name}'s API", functools.partial(self.client_of, home))

    async def all_proven(self, client: Client, who: str, addresses: Sequence[str]) -> None:
        async def ready() -> bool:
            accounts = [await client.account(address) for address in addresses]
            return all(one["capacity"] is not None and one["box_key"] is not None for one in accounts)

        await self.until(f"every {who}'s sandbox proven, its capacity and box key declared", ready)
        self.step("every sandbox has proven its limits")

    async def paid(self, client: Client, job: str) -> Any:
        """The job, as the node tells of it, when its winner was paid. Raises DemoFailed where nobody was."""

        async def ended() -> Any:
            found = await client.job(job)
            return found if found["state"] in ("PAID", "REFUNDED", "EMPTY") else None

        found = await self.until("the end of the job", ended)
        if found["state"] != "PAID":
            raise DemoFailed(f"the job ended {found['state']} instead of PAID")
        return found

    async def until(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:
        """What `look` finds. Raises DemoFailed when time is up, or a node ended."""
        end, problem = time.monotonic() + WAIT_S, ""
        while time.monotonic() < end:
            check_alive(self.graph)
            try:
                if found := await look():
                    return found
            except (UnreachableError, UnavailableError, NotFoundError, OSError) as fault:
                problem = f" ({fault})"
            await asyncio.sleep(LOOK_S)
        raise DemoFailed(f"{what} did not happen within {WAIT_S:.0f} s{problem}")

    async def client_of(self, home: Home) -> Client | None:
        """None until the node answers."""
        if not (home.data / "api.token").is_file():
            return None
        client = self.graph.client(home)
        try:
            await client.status()
        except (ApiError, OSError):
            await client.close()
            return None
        return client

    async def close(self) -> None:
        for client in self.clients.values():
            await client.close()


def show(text: str) -> None:
    """A line on the standard output, in colours where that is a terminal."""
    line = Text(text)
    for pattern, look in LOOKS.items():
        line.highlight_regex(pattern, look)
    Console(highlight=False).print(line, soft_wrap=True)


def tell(story: type[Story], base: Path, say: Callable[[str], None] = show) -> int:
    """Plays it on a new graph whose logs go below `base`. 0: every promise holds; 1: not so, it is said what; 130: interrupted."""

    async def told() -> int:
        return await until_interrupted(_told(story(Graph(new_folder(base), keep=False), say)), say)

    return asyncio.run(told())


async def _told(story: Story) -> int:
    code = FAILED
    try:
        await story.play()
        code = _counted(story)
    except (DemoFailed, ApiError, ValueError, OSError) as problem:
        story.say(f"The demo failed: {dead(story.graph) or problem}")
    finally:
        clean = await to_its_end(_clean(story))
    return code if clean else FAILED


def _counted(story: Story) -> int:
    for what, holds in story.promises:
        story.say(f"  {'holds ' if holds else 'FAILED'}  {what}")
    kept = sum(holds for _, holds in story.promises)
    story.say(f"{kept} of {len(story.promises)} promises hold")
    return DONE if story.promises and kept == len(story.promises) else FAILED


async def _clean(story: Story) -> bool:
    """Ends and removes everything. False where something may be left."""
    await story.close()
    for text in await end_processes(story.graph):
        story.say(text)
    problems = await asyncio.to_thread(clean_engine, story.graph)
    for text in problems:
        story.say(f"left on the engine: {text}")
    await asyncio.to_thread(clean_folder, story.graph)
    story.say(f"logs: {story.graph.logs}")
    return not problems
