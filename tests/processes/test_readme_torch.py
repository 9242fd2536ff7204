"""README's lines for torch and data of one's own, typed as they stand there on a real graph, by an owner without a container
engine: the network that a worker trains on these data is measured, paid and fetched."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.processes.clocked import HOUR_MS, WINDOWS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, eventually, with_params
from tests.processes.terminal import Owner
from tests.unit.readme_kit import readme

pytestmark = pytest.mark.timeout(2_400)
LARGE_S = 600.0
"""Torch is fetched and unpacked; its image is built, sent, written anew and loaded by each node, and imported in each run."""
JUDGES = ("v1", "v2", "v3")
ROLES = [
    Role("v0", validator=True),
    *(Role(name, validator=True, verifier=True, settings={"work.verify": True}) for name in JUDGES),
    Role("worker", settings={"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 5}),
]


@pytest.mark.full(
    "it fetches torch and sends an image of 900 MB; unit/test_client_cli_new.py has the template, unit/test_building.py the list"
)
async def test_torch_and_own_data_without_an_engine_as_readme_types_it(tmp_path: Path) -> None:
    new, copy, lock, build, dry, submit = readme("job lock").splitlines()
    (tmp_path / "graph").mkdir()
    for name, first in (("train.csv", 0), ("eval.csv", 1)):
        (tmp_path / name).write_text("".join(f"{x / 20},{(x / 20) ** 2 / 5:.4f}\n" for x in range(first, 160, 2)))
    async with ClockedGraph(tmp_path / "graph", ROLES, params=with_params(**WINDOWS)) as graph:
        owner = graph["v0"]
        shell = Owner(owner, tmp_path)
        await graph.start()
        await shell.types(new, copy)
        try:
            await shell.types(lock, within=LARGE_S)
        except AssertionError as problem:
            if "extra-index-url" in str(problem):
                pytest.skip(f"pip knows no index that has torch's build for processors: {str(problem).splitlines()[-1]}")
            raise
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=LARGE_S) for name in (*JUDGES, "worker")))
        for name in JUDGES:
            await eventually(f"{name} can judge", lambda node=graph[name]: _capacity(owner, node), LARGE_S)  # type: ignore[misc]
        assert "my-net.tar" in await shell.types(build, within=LARGE_S)
        assert "my-net" in await shell.types(dry, within=LARGE_S)
        await shell.types(submit, answer="yes", within=LARGE_S)
        job = (await owner.api.jobs(live=True))[0]["id"]

        async def claimed() -> bool:
            return bool((await owner.api.job(job))["claims"])

        await eventually("the worker has claimed", claimed, LARGE_S)
        await graph.clock.advance(HOUR_MS)
        view = await owner.job_in(job, "PAID", "REFUNDED", "EMPTY", within=LARGE_S)
        assert view["state"] == "PAID" and view["winner"] == graph["worker"].address
        (claim,) = view["claims"]
        assert float(claim["loss"]) < 0.5, "it learned from the owner's data: their mean alone is wrong by 15"
        weights = json.loads((await owner.api.fetch_model(job, tmp_path / "model")).path.read_text())
        assert [len(part) for part in weights] == [16, 16, 1, 1]


async def _capacity(asked: NodeProcess, node: NodeProcess) -> object:
    return (await asked.api.account(node.address))["capacity"]
