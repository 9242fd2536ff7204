"""Trainings over starts of their node: which go on, which begin again, and what counts against an attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.client.work.database import RunUnderWay, WorkDatabase
from learningchain.client.work.events import Model
from learningchain.client.work.execution import MAX_STARTS
from tests.unit.test_work_graph import Graph
from tests.unit.work_kit import LIMITS, Node, blocks, run_virtual, working

MINUTE_MS = 60_000
TRAIN_S, AGAIN_S = 600.0, 60.0


async def killed(node: Node) -> None:
    await node.kill()


async def restarted(node: Node) -> None:
    assert node.work is not None
    await node.work.stop(leave=True)


async def stopped(node: Node) -> None:
    assert node.work is not None
    await node.work.stop()
    assert node.engine.left == {}, "the owner's stop ends what runs"


async def killed_for_long(node: Node) -> None:
    """Nobody came back in time: its reaper removed the container."""
    await node.kill()
    node.engine.left.clear()


async def killed_with_it(node: Node) -> None:
    """The container ended by itself, and what it left is gone."""
    await node.kill()
    node.engine.lost += node.engine.left
    node.engine.left.clear()


@pytest.mark.parametrize(
    ("end", "trainings", "claimed"),
    [(killed, 1, True), (restarted, 1, True), (stopped, 4, True), (killed_for_long, 4, True), (killed_with_it, MAX_STARTS, False)],
)
def test_a_start_of_the_node_ends_no_training_and_only_its_own_end_counts(
    tmp_path: Path, end: Callable[[Node], Awaitable[None]], trainings: int, claimed: bool
) -> None:
    """Three times, one attempt; a training that goes on does so over ten times as many starts as end one. `trainings`: how often
    a container of it began."""
    starts = 10 * MAX_STARTS if trainings == 1 else 3
    pause_s = min(AGAIN_S, TRAIN_S / 2 / starts)

    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=1))
        chain, node = graph.chain, graph.nodes["a"]
        node.engine.train_s = TRAIN_S
        await graph.start("a")
        job = chain.post("boss", expiry=chain.clock + 120 * MINUTE_MS, limits=msgspec.structs.replace(LIMITS, train_s=1_200))
        shown = list[dict[str, Any]]()
        for _ in range(starts):
            began = asyncio.get_running_loop().time()
            await blocks(chain, lambda began=began: asyncio.get_running_loop().time() > began + pause_s)  # type: ignore[misc]
            assert node.work is not None
            shown += [run for run in node.work.run_log.list() if run["phase"] == "train"]
            await end(node)
            await asyncio.sleep(5)
            await node.start()
        await blocks(chain, lambda: bool(chain.describe(job)["claims"]) or not claimed, 2 * TRAIN_S)
        began = asyncio.get_running_loop().time()
        await blocks(chain, lambda: asyncio.get_running_loop().time() > began + AGAIN_S)
        assert [run.split("-")[0] for run in node.engine.began].count("train") == trainings
        assert bool(chain.describe(job)["claims"]) is claimed
        if trainings == 1:
            assert len({run["started"] for run in shown}) == 1, "people see since when it runs"
        await graph.stop()

    run_virtual(main())


def test_a_model_that_is_being_checked_is_not_trained_again(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=1))
        chain, node = graph.chain, graph.nodes["a"]
        node.engine.eval_s = AGAIN_S
        await graph.start("a")
        job = chain.post("boss", expiry=chain.clock + 120 * MINUTE_MS)
        await blocks(chain, lambda: any(spec.phase == "evaluate" for spec in node.engine.specs))
        await node.kill()
        await node.start()
        await blocks(chain, lambda: bool(chain.describe(job)["claims"]))
        assert [run.split("-")[0] for run in node.engine.began] == ["train", "check", "check"]
        await graph.stop()

    run_virtual(main())


def test_a_training_goes_on_before_a_better_job_takes_its_place(tmp_path: Path) -> None:
    async def main() -> None:
        graph = Graph(tmp_path, config=working(attempts=1, concurrent=1))
        chain, node = graph.chain, graph.nodes["a"]
        node.engine.train_s = AGAIN_S
        await graph.start("a")
        limits = msgspec.structs.replace(LIMITS, train_s=600)
        chain.post("boss", expiry=chain.clock + 120 * MINUTE_MS, limits=limits)
        await blocks(chain, lambda: bool(node.engine.specs))
        await node.kill()
        chain.post("rival", expiry=chain.clock + 120 * MINUTE_MS, limits=limits, bounty=2 * 10**7)
        await node.start()
        await blocks(chain, lambda: len(node.engine.specs) == 2)
        assert node.engine.specs[0] == node.engine.specs[1]
        await graph.stop()

    run_virtual(main())


def test_the_database_keeps_a_run_until_its_attempt_is_over(tmp_path: Path) -> None:
    book = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20))
    runs = [RunUnderWay("job", bytes([ref]) * 32, 1, b"spec", 5) for ref in range(4)]
    for run in runs:
        book.run_began(run)
    model = Model(tmp_path / "m", b"cid", 7)
    book.run_trained(*runs[0].attempt, model)
    book.attempt_done(*runs[1].attempt)
    assert book.run_over(*runs[2].attempt) == 0 and book.run_over(*runs[2].attempt, lost=True) == 1
    book.close()
    book = WorkDatabase(tmp_path / "work.db", bytes(32), bytes(20))
    assert book.runs() == [RunUnderWay(*runs[0].attempt, b"spec", 5, model), runs[3]]
    assert book.attempts(1) == {"job": {runs[0].ref: set(), runs[1].ref: {1}, runs[2].ref: {1}, runs[3].ref: set()}}
    book.forget(runs[3].ref)
    assert [run.ref for run in book.runs()] == [runs[0].ref]
    book.close()
