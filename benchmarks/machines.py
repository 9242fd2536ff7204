"""What other machines cost a node, and how soon it has their runs again after a start.

python -m benchmarks.machines [MACHINES] [SECONDS] [RESTARTS]

The node's side is the real one, on Python's own loop. The machines' programs are the real ones too, in a process of their own, with
real TLS on loopback; their engines are played, so no container's time is in a figure. Each machine trains and tells a step twice a
second. A start of the node is what a kill leaves: a new process's objects on the same folder and port.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from benchmarks.idle import peak_mb
from learningchain.client.machines import gate
from learningchain.client.machines.program import MachineProgram, join
from learningchain.client.machines.trust import parse_token
from learningchain.sandbox import Progress, RunResult, RunSpec, RunStatus
from tests.unit.machines_kit import ScriptedEngine, Site, spec

STEP_S = 0.5
READY_S = 300.0


@dataclass(frozen=True)
class MachinesFigure:
    """`core_percent`: of one processor, the loop's thread beside `machines` that train; `step_ms`: of its steps, 999 of 1,000 are
    shorter (processor time). `added_ms`: of a run that does nothing, on a machine instead of here; `added_cpu_ms`: the node's
    processor time of it. `adopt_s`, `adopt_most_s`: from a start of the node to its machine's run, median and longest of
    `restarts`; `lost`: runs that began again. `program_mb`: memory of a machine's program, the most that it ever had."""

    machines: int
    core_percent: float
    step_ms: float
    added_ms: float
    added_cpu_ms: float
    adopt_s: float
    adopt_most_s: float
    restarts: int
    lost: int
    program_mb: float


def machines_here(count: int, seconds: float, restarts: int) -> MachinesFigure:
    """On a loop of its own: it counts each step."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    return asyncio.run(machines(count, seconds, restarts))


class SteppingEngine(ScriptedEngine):
    """Trains until it is told to stop, with a step now and then."""

    async def run(
        self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event, on_checkpoint: Any = None
    ) -> RunResult:
        if json.loads(spec.params)["mode"] != "steps":
            return await super().run(spec, on_progress, cancel, on_checkpoint)
        step = 0
        while not cancel.is_set():
            step += 1
            on_progress(Progress(step, 10**6, 1 / step))
            await asyncio.sleep(STEP_S)
        return RunResult(status=RunStatus.CANCELLED, reason="cancelled")


async def play(folder: Path, tokens: list[str]) -> None:
    """The machines' process: until its input ends."""
    programs = []
    for number, token in enumerate(tokens):
        place = folder / f"m{number}"
        program = MachineProgram(await join(parse_token(token)), place, SteppingEngine(place / "out"), "1")  # type: ignore[arg-type]
        programs.append(asyncio.create_task(program.run()))
    await asyncio.to_thread(sys.stdin.read)
    for task in programs:
        task.cancel()
    await asyncio.gather(*programs, return_exceptions=True)


async def machines(count: int, seconds: float, restarts: int = 20, runs: int = 40) -> MachinesFigure:
    # All come from this one address here, and dial at once.
    gate.DIALS_PER_S, gate.DIALS_AT_ONCE = 10.0 * count, 100.0 * count
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as place:
        folder = Path(place)
        site = Site(folder)
        await site.image()
        tokens = [site.hub.add(f"m{number}", site.where)[0] for number in range(count)]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.machines", "play", str(folder), *tokens, stdin=asyncio.subprocess.PIPE
        )
        try:
            await _until(lambda: sum(row["state"] == "ready" for row in site.hub.shown()) == count)
            share, step_ms = await _load(site, count, seconds)
            added_ms, added_cpu_ms = await _trivial(site, runs)
            adopted, lost = await _adopted(site, restarts)
            program_mb = await _memory(site, folder)
        finally:
            if child.stdin is not None:
                child.stdin.close()
            await child.wait()
            await site.close()
    median, most = statistics.median(adopted), max(adopted)
    return MachinesFigure(count, share, step_ms, added_ms, added_cpu_ms, median, most, restarts, lost, program_mb)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(READY_S):
        while not holds():
            await asyncio.sleep(0.02)


@contextmanager
def _steps() -> Iterator[list[float]]:
    """Processor time of each step of the loop, ms."""
    plain, found = events.Handle._run, list[float]()

    def timed(self: Any) -> None:
        began = time.thread_time()
        plain(self)
        found.append(1_000 * (time.thread_time() - began))

    events.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        events.Handle._run = plain  # type: ignore[method-assign]


async def _load(site: Site, count: int, seconds: float) -> tuple[float, float]:
    """Percent of a core that the loop needs beside `count` trainings, and its longest steps but one of a thousand."""
    stop = threading.Event()
    given = [spec("steps", run_id=f"train-{number}") for number in range(count)]
    running = [asyncio.create_task(site.run(one, stop)) for one in given]
    await _until(lambda: len(site.hub._machines) == count and all(len(one.runs) == 1 for one in site.hub._machines.values()))
    await asyncio.sleep(2 * STEP_S)
    with _steps() as steps:
        wall, cpu = time.monotonic(), time.thread_time()
        await asyncio.sleep(seconds)
        share = 100 * (time.thread_time() - cpu) / (time.monotonic() - wall)
    stop.set()
    await asyncio.gather(*running)
    return share, sorted(steps)[int(0.999 * len(steps))]


async def _trivial(site: Site, runs: int) -> tuple[float, float]:
    here, there, cpu = [], [], 0.0
    for number in range(runs):
        began = time.monotonic()
        await site.own.run(spec(run_id=f"here-{number}"), lambda _: None, threading.Event())
        here.append(time.monotonic() - began)
        began, before = time.monotonic(), time.process_time()
        result = await site.run(spec(run_id=f"there-{number}"))
        there.append(time.monotonic() - began)
        cpu += time.process_time() - before
        if result.status is not RunStatus.OK:
            raise RuntimeError(result.reason)
    return 1_000 * (statistics.median(there) - statistics.median(here)), 1_000 * cpu / runs


async def _adopted(site: Site, restarts: int) -> tuple[list[float], int]:
    """Seconds from each start of the node to its run, and how many runs it lost."""
    given, found, lost = spec("wait", stays=True), list[float](), 0
    running = asyncio.create_task(site.run(given))
    await _until(lambda: site.hub.has(given.run_id))
    await asyncio.sleep(0.2)
    port = site.hub.port
    for _ in range(restarts):
        site.backend.leave()
        lost += not (await running).left
        await site.backend.close()
        began = time.monotonic()
        again = Site(site.folder, port)
        site.backend, site.hub = again.backend, again.hub
        report = await site.backend.prepare([given.image_id], [given])
        lost += given.run_id not in report["runs"]
        running = asyncio.create_task(site.run(given))
        name = next(name for name, machine in site.hub._machines.items() if given.run_id in machine.runs)
        await _until(lambda name=name: site.hub._machines[name].writer is not None)  # type: ignore[misc]
        found.append(time.monotonic() - began)
    lost += running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return found, lost


async def _memory(site: Site, folder: Path) -> float:
    """MiB of a real program once it has come to the node and made its self-test, or said that there is no engine."""
    data, name = folder / "real", "real"
    words = (sys.executable, "-m", "learningchain", "machine")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LEARNINGCHAIN_")}
    site.hub.remove("m0")  # a node has no more than so many
    token = site.hub.add(name, site.where)[0]
    joined = await asyncio.create_subprocess_exec(*words, "join", token, "--data", str(data), env=kept, stdout=-3, stderr=-3)
    await joined.wait()
    program = await asyncio.create_subprocess_exec(*words, "run", "--data", str(data), env=kept, stdout=-3, stderr=-3)
    try:

        def tested() -> bool:
            rows = [row for row in site.hub.shown() if row["name"] == name]
            return any(row["state"] == "ready" or (row["state"] == "failing" and "not ended" not in row["why"]) for row in rows)

        await _until(tested)
        return peak_mb(program.pid)
    finally:
        program.terminate()
        await program.wait()


def main() -> None:
    if sys.argv[1:2] == ["play"]:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        asyncio.run(play(Path(sys.argv[2]), sys.argv[3:]))
        return
    count, seconds, restarts, *_ = (*map(int, sys.argv[1:]), *(64, 20, 20)[len(sys.argv) - 1 :])
    for name, value in asdict(machines_here(count, seconds, restarts)).items():
        print(f"{name:14} {value:g}")


if __name__ == "__main__":
    main()
