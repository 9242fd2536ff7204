"""The pool on a real engine: no request finds anything of another one, what dies is replaced, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.client.work.engine import ThreadedSandbox
from learningchain.client.work.events import ModelWarm
from learningchain.client.work.tries import try_model
from learningchain.client.work.warm_pool import LateRequest, WarmPool
from learningchain.sandbox import AnswerForm, ContainerLimits, ParsedAnswer, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.docker import warm
from learningchain.sandbox.docker.isolation import NODE_LABEL
from learningchain.sandbox.images import build_python_image

JOB = rb"""#!/usr/local/bin/python3
import json, os, sys, time
PLACES = ("/tmp", "/dev/shm", "/lc/out")

def traces():
    # Files where it can write, and processes that are neither this one nor the container's first.
    files = [name for place in PLACES for name in os.listdir(place)]
    others = [name for name in os.listdir("/proc") if name.isdigit() and name not in ("1", str(os.getpid()))]
    return len(files) + len(others)

print('LC {"ready":1}', flush=True)
while json.load(open("/lc/in/job.json"))["params"].get("burns"):
    pass
if sys.stdin.readline() != "go\n":
    sys.exit(0)
found = traces()
if json.load(open("/lc/in/job.json"))["params"].get("clock"):
    found = time.time_ns() % 10**6
asked = open("/lc/in/input").read()
for place in PLACES:
    open(place + "/secret", "w").write(asked)
if os.fork() == 0:
    time.sleep(3600)
open("/lc/out/answer", "w").write("%d\ncheck %d\n" % (found, int(asked)))
print('LC {"done":1}', flush=True)
sys.stdin.readline()
time.sleep(3600)
"""
MODEL = b"m" * 32
PATIENCE_S = 60.0


class Bench:
    def __init__(self, sandbox: Sandbox, spec: RunSpec) -> None:
        self.sandbox, self.spec = sandbox, spec
        self.told: list[Any] = []
        self.warm = asyncio.Event()
        self.engine = ThreadedSandbox(sandbox, 1, self_test=False, answers=2)
        self.pool = WarmPool(
            self.engine, slots=2, memory_mb=1_000, keep=2, idle_s=600.0, tell=self._hear, now=asyncio.get_running_loop().time
        )

    def _hear(self, told: object) -> None:
        self.told.append(told)
        self.warm.set()

    async def ask(self, number: int) -> RunResult:
        request = LateRequest({"request.json": b"{}", "input": b"%d" % number}, AnswerForm(rows=1), 10.0)
        return await self.pool.ask(f"r{number}", MODEL, request, threading.Event(), 60.0)

    def containers(self) -> list[str]:
        """Names of this node's containers of models."""
        mine = {"label": f"{NODE_LABEL}=pool-{os.getpid()}"}
        found = self.sandbox._engine.call("listing", lambda api: api.containers(all=True, filters=mine))
        return sorted(name.lstrip("/") for facts in found for name in facts["Names"] if "-predict-" in name)

    async def until(self, holds: Any) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, (self.pool.shown(), self.containers())
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("pool") / "job.tar"
    return path, build_python_image(path, {"/lc/job": JOB}, with_packages=())


@pytest.fixture
async def bench(tmp_path: Path, archive: tuple[Path, str]) -> AsyncIterator[Bench]:
    sandbox = Sandbox(tmp_path / "sandbox", node_tag=f"pool-{os.getpid()}", cache_dir=archive[0].parent)
    sandbox.check_engine()
    image = sandbox.load_archive(*archive)
    (tmp_path / "model").write_bytes(b"weights")
    limits = ContainerLimits(cpus=1.0, mem_mb=64, pids=16, tmp_mb=4, wall_s=60)
    inputs = {"model": tmp_path / "model"}
    spec = RunSpec(run_id="predict-a", image_id=image, phase="predict", budget_s=5, seed=1, limits=limits, inputs=inputs)
    bench = Bench(sandbox, spec)
    yield bench
    await bench.pool.stop(30.0)
    await bench.engine.close()
    report = sandbox.cleanup()
    assert (report.containers, report.volumes, report.problems) == (0, 0, ())


async def test_no_container_sees_two_requests(bench: Bench) -> None:
    """Each leaves files everywhere it can, and a process. The next one finds none of them."""
    bench.pool.serve(MODEL, bench.spec)
    await bench.warm.wait()
    assert bench.told == [ModelWarm(MODEL)]
    for number in range(1, 4):
        result = await bench.ask(number)
        assert (result.status, result.result) == (RunStatus.OK, ParsedAnswer((), (0,), number * 10**9)), result
    both = await asyncio.gather(bench.ask(4), bench.ask(5))
    assert [result.result for result in both] == [ParsedAnswer((), (0,), n * 10**9) for n in (4, 5)], both


async def test_what_dies_while_it_waits_is_replaced_and_what_is_served_no_more_is_gone(bench: Bench) -> None:
    bench.pool.serve(MODEL, bench.spec)
    await bench.until(lambda: bench.pool.shown()[0]["ready"] == 2)
    before = bench.containers()
    for name in before:
        bench.sandbox._engine.api().kill(name)
    assert (await bench.ask(7)).result == ParsedAnswer((), (0,), 7 * 10**9)
    await bench.until(lambda: bench.pool.shown()[0]["ready"] == 2)
    assert not set(before) & set(bench.containers())
    bench.pool.unserve(MODEL)
    await bench.until(lambda: not bench.containers())


def test_a_model_that_answers_otherwise_each_time_fails_its_trial(bench: Bench) -> None:
    """In containers of its own each run: the first one's files are not there."""
    sample, form = {"request.json": b"{}", "input": b"3"}, AnswerForm(rows=1)
    trial = try_model(bench.sandbox, bench.spec, sample, form, tol=1, wall_s=10.0, owner=ParsedAnswer((), (0,), 3 * 10**9))
    assert trial.why == "", trial
    other = msgspec.structs.replace(bench.spec, run_id="other", params='{"clock":true}')
    trial = try_model(bench.sandbox, other, sample, form, tol=1, wall_s=10.0)
    assert trial.why == "two runs of the sample on this machine differ in 1 rows (1)", trial


def test_what_computes_while_it_waits_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "LOOK_S", 0.5)
    monkeypatch.setattr(warm, "IDLE_CPU_S", 0.1)
    run = bench.sandbox.start(msgspec.structs.replace(bench.spec, params='{"burns":true}'))
    assert not isinstance(run, RunResult), run
    end = time.monotonic() + PATIENCE_S
    while run.alive() or bench.sandbox.cancel(bench.spec.run_id):
        assert time.monotonic() < end, "it computes on"
        time.sleep(0.02)
