"""A machine that serves a model, through the whole driver: what it asks for happens, and a training waits for room alone."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from learningchain.client.config import ServeConfig
from learningchain.sandbox import AnswerOutcome, RunResult, RunSpec, RunStatus
from learningchain.sandbox.results import ResultReader
from tests.unit.test_work_graph import Graph, tmp_path
from tests.unit.test_work_slices import elsewhere, write
from tests.unit.work_kit import blocks, run_virtual, working

__all__ = ["elsewhere", "tmp_path"]

SERVER = '''
"""A toy that serves a model, asks it three times once it is warm, and lets it cool. Pure."""

from pathlib import Path

from learningchain.client.work.events import BringImage, Chain, ImageReady, KeepWarm, LateInputRefused, LetCool, ModelWarm
from learningchain.client.work.events import RunEnded, StartRun, WantedImage
from learningchain.client.work.machine import Machine, WorkPart
from learningchain.sandbox import AnswerForm, ContainerLimits, RunSpec

ME, MODEL, PATH = {me!r}, b"model" + bytes(27), Path({path!r})
HEARD, ENOUGH = [], []


class Rows:
    form, wall_s = AnswerForm(rows=1), 2.0

    def __init__(self, good):
        self.good = good

    def given(self):
        if not self.good:
            raise LateInputRefused("the input has 2 lines")
        return {{"request.json": b"{{}}", "input": b"1"}}


class Server(Machine):
    name = "server"

    def __init__(self, known):
        self.known, self.asked = known, False

    def gives_up(self, ref):
        return ref != MODEL

    def handle(self, given):
        match given:
            case Chain() if not self.asked and self.known.me == ME:
                self.asked = True
                return [BringImage(MODEL, WantedImage("jobs/toy@sha256:" + "ab" * 32, "", "", 1, 1, 1))]
            case ImageReady(ref=ref) if ref == MODEL:
                limits = ContainerLimits(cpus=1.0, mem_mb=64, wall_s=5.0)
                fields = {{"run_id": "predict-toy", "phase": "predict", "seed": 1, "budget_s": 5}}
                self.spec = RunSpec(image_id=given.image_id, limits=limits, inputs={{"model": PATH}}, **fields)
                return [KeepWarm(MODEL, self.spec)]
            case ModelWarm(model=model) if model == MODEL:
                cold = StartRun("cold-1", b"r" * 32, self.spec, ("predict", 4), late=Rows(True))
                return [*(self.ask(n) for n in (1, 2, 3)), cold]
            case RunEnded(run=run) if run.startswith(("ask", "cold")):
                HEARD.append(given)
            case Chain() if ENOUGH == ["now"]:
                ENOUGH.append("said")
                return [LetCool(MODEL)]
        return []

    def ask(self, number):
        late = Rows(number < 3)
        return StartRun(f"ask-{{number}}", b"r" * 32, self.spec, ("predict", number), late=late, warm=MODEL)


PART = WorkPart(
    name="toy",
    knows=lambda reader, ref: ref == MODEL,
    machines=lambda known: [Server(known)],
    runs=lambda config, drawn: True,
)
'''


class Warm:
    """A container of the engine's double."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    async def alive(self) -> bool:
        return True

    async def finish(
        self, late: Mapping[str, Path | bytes], *, wall_s: float, read: Callable[[], ResultReader], cancel: threading.Event
    ) -> RunResult:
        self.asked += 1
        await asyncio.sleep(0.1)
        reader = read()
        reader.take(b"7\ncheck 7\n")
        return RunResult(status=RunStatus.OK, reason="done", result=reader.finish())

    async def close(self) -> None:
        self.closed = True


def test_requests_are_answered_while_a_training_waits_for_room(tmp_path: Path, elsewhere: Path) -> None:
    async def main() -> None:
        # All memory of the machine is set aside, so no training fits beside a served model.
        graph = Graph(tmp_path / "graph", config=working(attempts=1, serve=ServeConfig(mem_mb=8_192)))
        chain, node = graph.chain, graph.nodes["a"]
        (tmp_path / "model").write_bytes(b"weights")
        write(elsewhere, "toy", SERVER.format(me=chain.ids["a"], path=str(tmp_path / "model")))
        made: list[Warm] = []

        async def start(spec: RunSpec, cancel: threading.Event) -> Warm:
            await asyncio.sleep(0.5)
            made.append(Warm())
            return made[-1]

        node.engine.start = start  # type: ignore[method-assign, assignment]
        await graph.start()
        toy: Any = sys.modules["learningchain.client.contracts.toy.work"]
        await blocks(chain, lambda: len(toy.HEARD) == 4, every_s=0.25)
        ends = {ended.run: ended for ended in toy.HEARD}
        for name in ("ask-1", "ask-2", "cold-1"):
            assert ends[name].status.answer is AnswerOutcome.OK and ends[name].result.scores == (7 * 10**9,), ends[name]
        assert isinstance(ends["ask-3"].result, Exception), "its input was refused, and no container saw it"
        assert sorted(warm.asked for warm in made if warm.asked) == [1, 1, 1]

        work: Any = node.work
        job = chain.post("boss")
        await blocks(chain, lambda: any(notice["topic"] == "training.crowded" for notice in work.notices()), every_s=0.25)
        assert not [spec for spec in node.engine.specs if spec.phase == "train"]
        assert [shown["model"] for shown in work.served()] == [toy.MODEL.hex()]
        toy.ENOUGH.append("now")
        await blocks(chain, lambda: [spec for spec in node.engine.specs if spec.phase == "train"] != [], every_s=0.25)
        assert work.served() == []
        (found,) = await graph.finish(job)
        assert found["state"] == "PAID"
        assert work.failing() == []
        assert {"lc_predictions_open", "lc_trials"} <= {figure.name for figure in work.figures()}
        await graph.stop()
        assert all(warm.asked or warm.closed for warm in made)

    run_virtual(main())
