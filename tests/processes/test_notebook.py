"""examples/notebook.ipynb, run cell by cell as Jupyter does, beside a real graph: it posts a job, waits for it, registers what won
and asks it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import PASSPHRASE, ROOT, eventually
from tests.processes.test_main_job import SLOW_S
from tests.processes.test_readme import tools
from tests.processes.test_readme_question import PARAMS, ROLES, SERVERS, _capacity

pytestmark = pytest.mark.timeout(600)
NOTEBOOK = ROOT / "examples/notebook.ipynb"


@pytest.mark.full("a job and three servers; tests/unit/test_sdk_objects.py has the same calls against fixed answers")
async def test_the_notebook_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    async with ClockedGraph(tmp_path / "graph", ROLES, params=PARAMS) as graph:
        owner = graph["v0"]
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=SLOW_S) for name in (*SERVERS, "worker")))
        for name in SERVERS:
            await eventually(f"{name} can judge", lambda node=graph[name]: _capacity(owner, node), SLOW_S)  # type: ignore[misc]
            await graph[name].has_box_key(SLOW_S)
        (tmp_path / "lab").mkdir()
        for number, name in enumerate((*SERVERS, "v0")):
            (tmp_path / f"lab/node{number}").symlink_to(graph[name].data)
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        kernel = NotebookClient(notebook, timeout=int(SLOW_S), resources={"metadata": {"path": str(tmp_path)}})
        environment = kept | {"PATH": tools(tmp_path / "bin"), "PYTHONPATH": str(ROOT), "LEARNINGCHAIN_PASSPHRASE": PASSPHRASE}
        runs = asyncio.create_task(kernel.async_execute(env=environment))

        async def claimed() -> bool:
            if runs.done():
                await runs
            return any(job["claimants"] for job in await owner.api.jobs(live=True))

        await eventually("the worker has claimed", claimed, SLOW_S)
        await graph.clock.advance(HOUR_MS)
        await runs
        cells = {cell["id"]: cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
        assert "<td>PAID</td>" in shown(cells["wait"], "text/html") and "<progress value='1.000'>" in shown(
            cells["wait"], "text/html"
        )
        expected = json.loads(shown(cells["line"], "text/plain"))
        said = shown(cells["predict"], "text/plain").removeprefix("array(").removesuffix(")")
        assert json.loads(said) == pytest.approx(expected, abs=1e-6), "what three others answer is what the model says here"


def shown(outputs: list[Any], kind: str) -> str:
    return "".join(one["data"][kind] for one in outputs if kind in one.get("data", {}))
