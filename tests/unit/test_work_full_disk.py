"""A disk that refuses writes for a while costs time and nothing else: no duty is forgotten, no stake, no strike, no slot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from learningchain.client.contracts.job.roles.worker import Worker
from tests.unit.test_work_graph import VALIDATORS, Graph, tmp_path
from tests.unit.work_kit import FullDisk, blocks, machine, run_virtual, working

__all__ = ["tmp_path"]

OUTAGE_S = 6.0


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as events:
        yield events


@pytest.mark.parametrize("start", range(0, 90, 3))
def test_nothing_is_forgotten_while_the_book_cannot_be_written(
    tmp_path: Path, start: int, logged: list[structlog.typing.EventDict]
) -> None:
    outage(tmp_path, start, logged, reads=False)


@pytest.mark.parametrize("start", range(36, 80, 4))
def test_nothing_is_forgotten_while_the_book_cannot_be_read(
    tmp_path: Path, start: int, logged: list[structlog.typing.EventDict]
) -> None:
    """A reveal and an opening are said once: whatever of the book they need is asked for until that succeeds."""
    outage(tmp_path, start, logged, reads=True)


def outage(tmp_path: Path, start: int, logged: list[structlog.typing.EventDict], *, reads: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        graph = Graph(tmp_path, config=working(attempts=2))
        await graph.start()
        refused, over = 0, False

        def full() -> bool:
            nonlocal refused
            now = start <= loop.time() < start + OUTAGE_S and not over
            refused += now
            return now

        for name in VALIDATORS:
            work = graph.nodes[name].work
            assert work is not None
            work._stores.database._db = FullDisk(work._stores.database._db, full, reads=reads)  # type: ignore[assignment]
        job = graph.chain.post("boss")
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        graph.honest()
        works = [node.work for node in graph.nodes.values() if node.work is not None]
        await blocks(
            graph.chain,
            lambda: not any(w._outbox.waiting or machine(w, Worker)._progress_of or w._stores.images.refs for w in works),
            60,
        )
        over = True
        kept = [p for n in graph.nodes.values() for p in (n.folder / "work").rglob("*.model")]
        assert kept == []
        assert not [w._stores.database.pending() for w in works if w._stores.database.pending()]
        assert not [event for event in logged if "exc_info" in event]
        await graph.stop()

    run_virtual(main())
