"""Somebody without Docker and with data of their own, on four real nodes: a folder in torch is begun from the template, its
packages are locked for processors, its points are published, it is built and posted, trained, evaluated by the committee and paid.

The owner's shell finds no engine. What it took is printed (`pytest -s`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import eventually
from tests.processes.terminal import Owner
from tests.processes.test_published_set import JUDGES, WORKER, _cid_in, graph
from tests.sandbox.test_job_tools import OFFLINE

__all__ = ["graph"]
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(3_000),
    pytest.mark.full("an image of 900 MB travels to four nodes; test_published_set.py takes the same way with one of 5 MB"),
    pytest.mark.skipif(OFFLINE, reason="no way to an index of packages from here: scripts/room.sh --network"),
]
SLOW_S = 600.0
GUESSED = 1.0
"""The template's points lie further than that from their mean, squared."""


async def test_a_folder_in_torch_with_a_published_set_is_paid_without_docker(graph: ClockedGraph, tmp_path: Path) -> None:
    node, owner = graph["v0"], Owner(graph["v0"], tmp_path)
    alone, began = "export DOCKER_HOST=unix:///nowhere", time.monotonic()

    def took(what: str) -> None:
        nonlocal began
        print(f"{time.monotonic() - began:7.1f} s  {what}")
        began = time.monotonic()

    await owner.types(alone, "learningchain job new net --template torch", "learningchain job lock net", within=SLOW_S)
    assert "+cpu" in (tmp_path / "net/requirements.lock").read_text()
    took("begun and locked")
    cid = _cid_in(await owner.types(alone, "learningchain data publish net/data"))
    (tmp_path / "net/job.toml").write_text('files = ["*.py"]\n', "utf-8")  # the points are the set's, not the image's
    limits = "--cpus 1 --mem-mb 1024 --train-time 20m --eval-time 8m --model-mb 1"
    await owner.types(
        alone, f"learningchain job submit net --set data={cid} --bounty 50 --expires 1h {limits} --yes", within=2 * SLOW_S
    )
    took("built, uploaded and posted")
    (live,) = await node.api.jobs(live=True)

    async def claimed() -> bool:
        return bool((await node.api.job(live["id"]))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    took("trained and claimed")
    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(live["id"], "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
    took("verified and paid")
    assert (view["state"], view["winner"]) == ("PAID", graph[WORKER].address), view
    votes = [vote for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    assert [vote["vote"] for vote in votes] == ["OK"] * len(JUDGES)
    assert float(view["claims"][0]["loss"]) < GUESSED, "it learned the line"
    model = await node.api.fetch_model(live["id"], tmp_path / "model")
    assert len(json.loads(model.path.read_bytes())) == 4, "two layers"
    print(f"the image has {view['image']['size']:,} bytes")
