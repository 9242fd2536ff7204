"""A job that asks for a GPU, as its contractor types it, on five real nodes: the worker that offers one, by its CDI name on a real
engine that knows such names, trains on it; one that offers none leaves the job alone and says why; the committee evaluates without
any, and the worker is paid. The GPU is this machine's null device: what is shown is that exactly it is given, not that it computes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import Role, eventually
from tests.processes.terminal import Owner
from tests.processes.test_published_set import SLOW_S, _can_judge
from tests.sandbox.newer import FIRST, HOOKED, newer_engine

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
    pytest.mark.full("the worker's part is in tests/unit; this fetches another engine"),
]

JUDGES, WITH, WITHOUT = ("v1", "v2"), "w0", "w1"
SUBMIT = (
    "learningchain job submit --image-archive image.tar --bounty 50 --expires 1h --gpus 1 --gpu-mem-mb 8000 --cpus 0.5 --mem-mb 64 "
    "--tmp-mb 8 --train-time 5m --eval-time 2m --model-mb 0.01 --float-kind f64"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClockedGraph]:
    engine = await asyncio.to_thread(newer_engine, tmp_path_factory.mktemp("newer"))
    common = {"sandbox.cache_dir": str(tmp_path_factory.mktemp("cache")), "work.attempts": 1}
    offers = {"sandbox.engine": engine.url, "work.gpus": [f"{FIRST} cuda 8000", f"{HOOKED} cuda 80000"]}
    roles = [
        Role("v0", validator=True),
        *(Role(name, validator=True, verifier=True, settings=common | {"work.verify": True}) for name in JUDGES),
        Role(WITH, settings=common | offers | {"work.enabled": True}),
        Role(WITHOUT, settings=common | {"work.enabled": True}),
    ]
    try:
        async with ClockedGraph(tmp_path_factory.mktemp("graph"), roles) as made:
            await made.start()
            ready = (made[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, WITH, WITHOUT))
            await asyncio.gather(*ready)
            await asyncio.gather(*(_can_judge(made["v0"], made[name]) for name in JUDGES))
            yield made
    finally:
        engine.stop()


async def test_a_job_for_a_gpu_is_trained_where_one_is_offered_judged_without_and_paid(graph: ClockedGraph, tmp_path: Path) -> None:
    node, others = graph["v0"], {name: tmp_path / name for name in (WITH, WITHOUT)}
    for folder in others.values():
        folder.mkdir()
    owner, other = Owner(node, tmp_path), {name: Owner(graph[name], folder) for name, folder in others.items()}
    program = Path(__file__).with_name("gpu_job.py").read_bytes()
    await asyncio.to_thread(build_python_image, tmp_path / "image.tar", {"/lc/job": program}, with_packages=())

    said = "do not offer 1 CUDA GPU of 8000 MiB or more leave the job alone"
    assert said in " ".join((await owner.types(f"{SUBMIT} --dry-run")).split())
    assert said in " ".join((await owner.types(f"{SUBMIT} --yes")).split())
    (live,) = await node.api.jobs(live=True)
    job = live["id"]

    async def claimed() -> bool:
        return bool((await node.api.job(job))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    reasons = " ".join((await other[WITHOUT].types("learningchain runs")).split())
    assert "its training needs 1 CUDA GPUs of at least 8000 MiB, and this node offers no GPUs ([work] gpus)" in reasons
    found = " ".join((await other[WITH].types("learningchain doctor || true")).split())
    assert (
        f"{FIRST}: it brings /dev/lctest0, by " in found
        and "(CDI 0.5.0, no hooks)" in found
        and f"the device {HOOKED} is given to no job" in found
    )
    (notice,) = [one for one in (await graph[WITH].api.status())["notices"] if one["topic"] == "device.refused"]
    assert "hooks, programs that the engine would run as root" in notice["text"]

    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
    assert (view["state"], view["winner"]) == ("PAID", graph[WITH].address), view
    assert view["terms"]["devices"] == {"kind": "cuda", "count": 1, "mem_mb": 8_000}
    votes = [vote for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    assert [(vote["vote"], vote["measured"]) for vote in votes] == [("OK", "0.250000000")] * len(JUDGES)
    shown = " ".join((await owner.types(f"learningchain job show {job}", f"learningchain job fetch {job} --out model")).split())
    assert "trained on 1 CUDA GPU of 8000 MiB or more; evaluated without" in shown
    assert (tmp_path / "model").read_text() == "written to the device: 6 bytes"
    print(f"trained on {FIRST} by engine 26, evaluated by {len(votes)} seats without a device, paid")
    await graph.agree()
