"""The pool on a loop: what a request, a machine and the operator hear, whatever the engine does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.client.work.events import ModelFailed, ModelWarm
from learningchain.client.work.warm_pool import LateRequest, WarmPool
from learningchain.sandbox import AnswerForm, ContainerLimits, ParsedAnswer, RunResult, RunSpec, RunStatus
from learningchain.sandbox.results import ResultReader

A, B = b"a" * 32, b"b" * 32
REQUEST = LateRequest({"request.json": b"{}", "input": b"1\n"}, AnswerForm(rows=1), 0.5)


class Container:
    """One of the engine's, and what became of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive, self.closed = True, False
        self.asked: list[Mapping[str, Path | bytes]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fault: Exception | None = None
        self.wall_s = 0.0

    async def alive(self) -> bool:
        return self.is_alive

    async def finish(
        self,
        late: Mapping[str, Path | bytes],
        *,
        wall_s: float,
        read: Callable[[], ResultReader],
        cancel: threading.Event,
    ) -> RunResult:
        self.asked.append(late)
        self.wall_s = wall_s
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        reader = read()
        reader.take(b"%d\ncheck 0\n" % len(self.asked))
        return RunResult(status=RunStatus.OK, reason="done", result=reader.finish())

    async def close(self) -> None:
        self.closed = True


class Engine:
    def __init__(self) -> None:
        self.made: list[Container] = []
        self.refuses: RunResult | Exception | None = None
        self.cancels: list[threading.Event] = []
        self.loads = asyncio.Event()
        self.loads.set()
        self.changed = asyncio.Event()

    async def start(self, spec: RunSpec, cancel: threading.Event) -> Container | RunResult:
        self.cancels.append(cancel)
        await self.loads.wait()
        self.changed.set()
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if self.refuses is not None:
            return self.refuses
        self.made.append(Container(spec.run_id))
        return self.made[-1]


class Bench:
    def __init__(self, tmp_path: Path, *, slots: int = 2, keep: int = 2, memory_mb: int = 1_000) -> None:
        (tmp_path / "model").write_bytes(bytes(3 << 20))
        self.now = 0.0
        self.told: list[ModelWarm | ModelFailed] = []
        self.engine = Engine()
        engine: Any = self.engine
        self.pool = WarmPool(
            engine, slots=slots, memory_mb=memory_mb, keep=keep, idle_s=600.0, tell=self.told.append, now=lambda: self.now
        )
        self.spec = RunSpec(
            run_id="predict-a",
            image_id="sha256:" + "00" * 32,
            phase="predict",
            budget_s=5,
            seed=1,
            limits=ContainerLimits(cpus=1.5, mem_mb=100),
            inputs={"model": tmp_path / "model"},
        )

    async def settled(self) -> None:
        """Nothing of the pool is under way."""
        while self.pool._tasks:
            await asyncio.wait(self.pool._tasks)

    def ask(self, name: str, wait_s: float = 60.0, cancel: threading.Event | None = None) -> asyncio.Task[RunResult]:
        return asyncio.create_task(self.pool.ask(name, A, REQUEST, cancel or threading.Event(), wait_s))


@pytest.fixture
async def bench(tmp_path: Path) -> Any:
    bench = Bench(tmp_path)
    yield bench
    bench.engine.loads.set()
    for container in bench.engine.made:
        container.answers.set()
    await bench.pool.stop(5.0)


async def test_each_request_has_a_container_of_its_own_and_the_next_ones_are_ready(bench: Bench) -> None:
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    assert bench.told == [ModelWarm(A)]
    for n in range(5):
        result = await bench.ask(str(n))
        assert (result.status, result.result) == (RunStatus.OK, ParsedAnswer((), (10**9,), 0))
        await bench.settled()
    used = [container for container in bench.engine.made if container.asked]
    assert [len(container.asked) for container in used] == [1] * 5
    assert used[0].asked == [REQUEST.inputs]
    assert used[0].wall_s == 1.5, "its rows' time, and a second for the engine"
    assert len({container.name for container in bench.engine.made}) == len(bench.engine.made)
    assert bench.pool.shown() == [{"model": A.hex(), "starting": 0, "ready": 2, "answering": 0}]
    assert bench.told == [ModelWarm(A)], "once"


async def test_an_engine_in_trouble_is_said_after_some_failures_and_requests_wait_for_its_return(bench: Bench) -> None:
    bench.engine.refuses = OSError("no engine")
    bench.pool.serve(A, bench.spec)
    asked = bench.ask("x")
    while len(bench.told) == 0:
        await bench.settled()
        bench.now += 1.5
        await bench.pool.beat()
    assert isinstance(bench.told[0], ModelFailed) and "OSError: no engine" in bench.told[0].reason
    [(ref, text)] = bench.pool.notices()
    assert ref == A and "failures: no container of it got ready: OSError: no engine; again in" in text
    assert not asked.done()
    bench.engine.refuses = None
    bench.now += 1.5
    await bench.pool.beat()
    assert (await asked).status is RunStatus.OK
    assert bench.pool.notices() == []


async def test_what_was_the_engine_s_trouble_is_said_no_longer_than_it_lasts(bench: Bench) -> None:
    bench.engine.refuses = OSError("no engine")
    bench.pool.serve(A, bench.spec)
    while not bench.pool.notices():
        await bench.settled()
        bench.now += 1.5
        await bench.pool.beat()
    bench.now += 10_000.0  # nobody asks the model any more, so no container of it is started
    await bench.pool.beat()
    told = list(bench.told)
    assert bench.pool.notices() and isinstance(told[-1], ModelFailed)
    bench.pool.engine_answers(back=True)
    assert bench.pool.notices() == [] and bench.told == [*told, ModelWarm(A)]


async def test_a_container_that_died_sees_no_request_and_is_replaced(bench: Bench) -> None:
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    for container in bench.engine.made:
        container.is_alive = False
    asked = bench.ask("x")
    while not asked.done():
        await bench.settled()
        bench.now += 1.5
        await bench.pool.beat()
    assert asked.result().status is RunStatus.OK
    dead = [container for container in bench.engine.made if not container.is_alive]
    assert [container.asked for container in dead] == [[], []]
    assert all(container.closed for container in dead)


async def test_a_fault_of_the_engine_while_it_answers_is_an_end_and_kills_the_container(bench: Bench) -> None:
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    for container in bench.engine.made:
        container.fault = ConnectionError("gone")
    result = await bench.ask("x")
    assert (result.status, result.reason) == (RunStatus.ENGINE_ERROR, "ConnectionError: gone")
    assert [container.closed for container in bench.engine.made if container.asked] == [True]


async def test_who_waits_can_be_called_off(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=1, keep=1)
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    bench.engine.made[0].answers.clear()
    first, cancel = bench.ask("x"), threading.Event()
    second = bench.ask("y", cancel=cancel)
    await asyncio.sleep(0)
    cancel.set()
    await bench.pool.beat()
    assert (await second).status is RunStatus.CANCELLED
    again = await bench.pool.ask("x", A, REQUEST, cancel, 1.0)
    assert (again.status, again.reason) == (RunStatus.NOT_STARTED, "x is under way already")
    bench.engine.made[0].answers.set()
    assert (await first).status is RunStatus.OK
    await bench.pool.stop(5.0)


async def test_a_stop_leaves_nothing_also_of_what_starts_or_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    bench.engine.loads.clear()
    [bench.ask("x"), bench.ask("y"), bench.ask("z")]
    await asyncio.sleep(0)
    waits = bench.ask("w")
    await asyncio.sleep(0)
    stopping = asyncio.create_task(bench.pool.stop(60.0))
    await asyncio.sleep(0)
    bench.engine.loads.set()
    await stopping
    assert (await waits).status in (RunStatus.NOT_STARTED, RunStatus.OK)
    assert all(container.closed or container.asked for container in bench.engine.made)
    bench.pool.serve(A, bench.spec)
    assert not bench.pool.serves(A)


async def test_a_model_that_is_served_again_as_it_was_keeps_its_containers_and_another_version_has_its_own(bench: Bench) -> None:
    bench.pool.serve(A, bench.spec)
    await bench.settled()
    before = list(bench.engine.made)
    bench.pool.serve(A, msgspec.structs.replace(bench.spec))
    await bench.settled()
    assert bench.engine.made == before and not any(container.closed for container in before)
    bench.pool.serve(A, msgspec.structs.replace(bench.spec, run_id="predict-b"))
    await bench.settled()
    await bench.pool.beat()
    await bench.settled()
    assert all(container.closed for container in before)
    assert (await bench.ask("x")).status is RunStatus.OK
    (used,) = [container for container in bench.engine.made if container.asked]
    assert used.name.startswith("predict-b-")


async def failing(bench: Bench, times: int, result: RunResult) -> None:
    bench.engine.refuses = result
    for n in range(times):
        asked = bench.ask(f"fails {len(bench.engine.cancels)} {n}", wait_s=0.5)
        await asyncio.sleep(0)
        await bench.settled()
        bench.now += 2.0
        await bench.pool.beat()
        await asked
    bench.engine.refuses = None


@pytest.mark.parametrize(
    ("status", "told_after"),
    [(RunStatus.TIMEOUT, [1, 1, 2, 2]), (RunStatus.UNSUPPORTED, [1, 1, 2, 2]), (RunStatus.ENGINE_ERROR, [0, 0, 1, 1])],
)
async def test_machines_hear_of_a_model_s_own_failure_at_once_and_of_this_machine_s_after_three(
    tmp_path: Path, status: RunStatus, told_after: list[int]
) -> None:
    bench = Bench(tmp_path, keep=0)
    bench.pool.serve(A, bench.spec)
    for count in told_after:
        await failing(bench, 1, RunResult(status=status, reason="no"))
        assert len(bench.told) == count
    assert all(isinstance(one, ModelFailed) and not one.lasting for one in bench.told)
    await bench.pool.stop(5.0)


async def test_a_caller_that_goes_away_leaves_no_request_and_its_name_is_free(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=1, keep=0)
    bench.engine.loads.clear()
    bench.pool.serve(A, bench.spec)
    asked = bench.ask("x")
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    bench.engine.loads.set()
    await bench.settled()
    assert not any(container.asked for container in bench.engine.made)
    assert (await bench.ask("x")).status is RunStatus.OK
    await bench.pool.stop(5.0)
