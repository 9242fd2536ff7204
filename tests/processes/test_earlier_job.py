"""A job whose trainings begin with the model of a job that was paid, as its contractor types it, on four real nodes and in real
containers: the model is fetched and served by who posts, the worker goes on from it, and the committee never sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from learningchain.client.sdk.types import Json
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import eventually
from tests.processes.terminal import Owner
from tests.processes.test_published_set import JUDGES, SLOW_S, WORKER, graph

__all__ = ["graph"]
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
    pytest.mark.full("the worker's part is in tests/unit, the ledger's in the vectors; test_published_set.py takes the same way"),
]

SUBMIT = (
    "learningchain job submit --image-archive image.tar --bounty 50 --expires 1h --cpus 0.5 --mem-mb 64 --tmp-mb 8 --train-time 5m "
    "--eval-time 2m --model-mb 0.01 --float-kind f64 --yes"
)


async def test_a_job_goes_on_from_the_model_of_an_earlier_one(graph: ClockedGraph, tmp_path: Path) -> None:
    owner = Owner(graph["v0"], tmp_path)
    program = Path(__file__).with_name("earlier_job.py").read_bytes()
    await asyncio.to_thread(build_python_image, tmp_path / "image.tar", {"/lc/job": program}, with_packages=())

    first = await _paid(graph, owner, SUBMIT)
    second = await _paid(graph, owner, f"{SUBMIT} --from {first['id'][:12]}")
    assert [one["claims"][0]["loss"] for one in (first, second)] == ["0.500000000", "0.250000000"]
    assert first["terms"]["earlier"] is None
    earlier = second["terms"]["earlier"]
    assert (earlier["job"], earlier["cid"], earlier["loss"]) == (first["id"], first["model"]["cid"], "0.500000000")
    shown = " ".join((await owner.types(f"learningchain job show {second['id']}")).split())
    assert (
        f"begins with the model of job {first['id'][:12]}, loss 0.500000000: a claim is at most {earlier['next_at_most']}" in shown
    )
    await owner.types(f"learningchain job fetch {second['id']} --out model")
    assert (tmp_path / "model").read_text() == "2"
    await graph.agree()


async def _paid(graph: ClockedGraph, owner: Owner, submit: str) -> Json:
    node = graph["v0"]
    await owner.types(submit)
    (live,) = await node.api.jobs(live=True)

    async def claimed() -> bool:
        return bool((await node.api.job(live["id"]))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(live["id"], "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
    assert (view["state"], view["winner"]) == ("PAID", graph[WORKER].address), view
    votes = [vote["vote"] for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    assert votes == ["OK"] * len(JUDGES)
    return view
