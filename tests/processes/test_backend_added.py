"""A sandbox backend of another distribution in a real node: its name in the settings is all that the node has of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.chain.types import format_loss
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.sdk.types import Json
from tests.processes.harness import Graph, Role, eventually, validators
from tests.processes.scripted import JUDGE, declare
from tests.toy.installed import installed_backend, path
from tests.toy.stillness import LOSS

JOB = JobRequest(
    image=ImageRequest(reference="registry.example/nothing@sha256:" + "ab" * 32),
    bounty="1",
    expires_in_s=3_600,
    limits=LimitsRequest(mem_mb=64, train_s=5, eval_s=5),
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node of the test finds what is installed here."""
    monkeypatch.setenv("PYTHONPATH", path(installed_backend(tmp_path / "site", "still", "tests.toy.stillness")))


async def test_a_worker_runs_its_jobs_on_the_backend_that_its_settings_name(tmp_path: Path, site: None) -> None:
    works = {"work.enabled": True, "work.attempts": 1, "work.min_time_left_s": 1, "sandbox.backend": "still"}
    async with Graph(tmp_path, [*validators(1), Role("worker", settings=works)], people=[JUDGE]) as graph:
        await graph.start()
        contractor, worker = graph["v0"], graph["worker"]
        await declare(contractor, [JUDGE])
        await worker.logs("the sandbox is ready")
        await worker.reaches(await contractor.height())
        sandbox = (await worker.api.ready())["sandbox"]
        assert sandbox is not None and (sandbox["engine"], sandbox["checks"][0]["name"]) == ("stillness 1", "nothing runs")
        job = (await contractor.api.submit_job(JOB, wait=30))["job"]

        async def claimed() -> Json | None:
            claims = (await contractor.api.job(job))["claims"]
            return dict(claims[0]) if claims else None

        claim = await eventually("the worker claims what came out", claimed)
        assert (claim["claimant"], claim["loss"]) == (worker.address, format_loss(LOSS))
        assert {(run["phase"], run["state"]) for run in await worker.api.runs()} == {("train", "ok"), ("check", "ok")}


async def test_a_node_whose_backend_is_not_there_says_which_there_are(tmp_path: Path, site: None) -> None:
    settings = {"work.enabled": True, "sandbox.backend": "podman"}
    async with Graph(tmp_path, [Role("v0", validator=True, settings=settings)]) as graph:
        code, said = await graph["v0"].refuses()
        assert code == 1 and "Traceback" not in said
        assert "no sandbox backend 'podman' (there is: docker, oci, still)" in said, said
