"""A job from its posting to the answers of its model, as a Python program says it, on real nodes and in real containers."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import learningchain
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import command, eventually
from tests.processes.test_main_job import SLOW_S
from tests.processes.test_readme_question import PARAMS, ROLES, SERVERS, _capacity, typed

pytestmark = pytest.mark.timeout(600)
XS = [2.5, -1.0]


def posted(data: Path, folder: Path) -> str:
    with learningchain.connect(data) as node, pytest.warns(UserWarning, match="verifiers can judge this job"):
        before = node.balance()
        job = node.jobs.post(folder, bounty=20, expires="5m")
        assert job.state == "OPEN" and job.bounty == Decimal(20) < before - node.balance()
        return job.id


def won(data: Path, job_id: str) -> bytes:
    with learningchain.connect(data) as node:
        job = node.jobs[job_id[:12]]
        job.wait(progress=True, timeout=SLOW_S)
        assert job.state == "PAID" and job.loss is not None and job.ended is not None
        return job.model()


def answers(data: Path) -> tuple[list[float], np.ndarray, pd.DataFrame]:
    with learningchain.connect(data) as node:
        line = node.model("line")
        frame = pd.DataFrame({"x": XS, "kept": ["a", "b"]}, index=[7, 9])
        with pytest.raises(learningchain.UsageError, match="row 1, x: 250 is not a number from -100 to 100"):
            line.predict([250])
        return line.predict(XS), line.predict(np.array([[x] for x in XS])), line.predict(frame)


@pytest.mark.full("a job and three servers; tests/unit/test_sdk_objects.py has the same calls against fixed answers")
async def test_a_program_posts_waits_and_asks(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner, folder = graph["v0"], tmp_path / "my-job"
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*SERVERS, "worker")))
        for name in SERVERS:
            await eventually(f"{name} can judge", lambda node=graph[name]: _capacity(owner, node), SLOW_S)  # type: ignore[misc]
        code, out, err = await command(owner, "job", "new", str(folder))
        assert code == 0, out + err
        job = await asyncio.to_thread(posted, owner.data, folder)

        async def claimed() -> bool:
            return bool((await owner.api.job(job))["claims"])

        await eventually("the worker has claimed", claimed, SLOW_S)
        waits = asyncio.create_task(asyncio.to_thread(won, owner.data, job))
        await graph.clock.advance(HOUR_MS)
        slope, offset = json.loads(await waits)

        words = ("--job", "latest", "--name", "line", "--kind", "number", "--schema", str(folder / "schema.json"))
        await typed(owner, "model", "register", *words, "--sample", str(folder / "sample.jsonl"))
        for name in SERVERS:
            await graph[name].has_box_key(SLOW_S)
            await typed(graph[name], "model", "serve", f"{owner.address}/line")
        listed, array, frame = await asyncio.to_thread(answers, owner.data)
        assert listed == pytest.approx([slope * x + offset for x in XS], abs=1e-6)
        assert isinstance(array, np.ndarray) and array.tolist() == frame["value"].tolist() == listed
        assert frame.index.tolist() == [7, 9] and frame["support"].tolist() == [3, 3]
