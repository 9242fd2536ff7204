"""A job in torch that asks for a GPU of NVIDIA's, on four real nodes without Docker, three of them an ordinary user's.

Its training computes on the GPU, the committee judges it on processors, and the worker is paid. Then the same on processors alone,
and what an owner is told of losses that a GPU measured.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from learningchain.sandbox.image_writer import LayerFiles
from learningchain.sandbox.images import _add_package
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, eventually
from tests.processes.terminal import Owner
from tests.processes.test_published_set import _can_judge
from tests.sandbox.oci_room import NOBODY, make_nobodys, nobodys_groups, readable
from tests.sandbox.test_gpu import GPU, based_image, documented_file, needs

torch = pytest.importorskip("torch", reason="there is no torch to make the image of")

pytestmark = [
    *needs,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
    pytest.mark.full("sandbox/test_gpu.py has the GPU and test_gpu_job.py the job; this makes an image of some gigabytes"),
]

JUDGES, WORKER = ("v1", "v2"), "w0"
NEEDED = ("torch", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "filelock", "fsspec")
ASKED = """--params '{"steps":100}' --cpus 4 --threads 4 --mem-mb 4096 --tmp-mb 8 --train-time 10m --eval-time 5m --model-mb 32"""
SLOW_S = 300.0


def packages() -> LayerFiles:
    """This interpreter's torch, and what NVIDIA's packages it has."""
    tree, names = LayerFiles(), {one.metadata["Name"] for one in importlib.metadata.distributions()}
    for name in (*NEEDED, *sorted(one for one in names if one.startswith("nvidia-"))):
        _add_package(tree, name)
    return tree


@contextmanager
def place() -> Iterator[Path]:
    """A folder that every user gets to, and in it what is nobody's."""
    folder = Path(tempfile.mkdtemp(prefix="lc-gpu-torch-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("home", "cache", "graph", "typed"):
        (folder / name).mkdir()
    for name in ("home", "cache"):
        shutil.chown(folder / name, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)  # of a failed test it stays


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph() -> AsyncIterator[ClockedGraph]:
    with ExitStack() as held:
        folder, patch = held.enter_context(place()), held.enter_context(pytest.MonkeyPatch.context())
        held.enter_context(documented_file())
        held.enter_context(readable(patch))
        common = {"sandbox.backend": "oci", "sandbox.cache_dir": str(folder / "cache"), "work.attempts": 1}
        roles = [
            Role("v0", validator=True),
            *(Role(name, validator=True, verifier=True, settings=common | {"work.verify": True}) for name in JUDGES),
            Role(WORKER, settings=common | {"work.enabled": True, "work.gpus": [f"{GPU} cuda 80000"]}),
        ]
        enter = [(name, held.enter_context(nobodys_groups())) for name in (*JUDGES, WORKER)]
        async with ClockedGraph(folder / "graph", roles) as made:
            for name, group in enter:
                make_nobodys(made[name], group, folder / "home")
            await made.start()
            await asyncio.gather(*(made[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, WORKER)))
            await asyncio.gather(*(_can_judge(made["v0"], made[name]) for name in JUDGES))
            yield made


async def paid(graph: ClockedGraph, owner: Owner, name: str, *asked: str) -> dict[str, Any]:
    """Posts the job, and waits for its end; what its winner says of its training."""
    node, began = graph["v0"], time.monotonic()
    words = f"learningchain job submit --image-archive image.tar --bounty 50 --expires 1h {ASKED} --float-kind f32"
    await owner.types(" ".join((words, *asked, "--yes")), within=SLOW_S)
    (live,) = await node.api.jobs(live=True)
    posted = time.monotonic()

    async def runs() -> list[dict[str, Any]]:
        return [dict(run) for run in await graph[WORKER].api.runs() if run["job"] == live["id"]]

    async def claimed() -> bool:
        assert not [run for run in await runs() if run["ended"] and run["state"] != "ok"]
        return bool((await node.api.job(live["id"]))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    won = time.monotonic()
    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(live["id"], "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
    assert (view["state"], view["winner"]) == ("PAID", graph[WORKER].address), view
    votes = [vote for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]]
    assert [vote["vote"] for vote in votes] == ["OK"] * len(JUDGES), votes
    await owner.types(f"learningchain job fetch {live['id']} --out {name}")
    found = torch.load(graph.folder.parent / "typed" / name, weights_only=True)
    took = {"posted": posted - began, "claimed": won - posted, "judged": time.monotonic() - won}
    lasted = {run["phase"]: run["ended"] - run["started"] for run in await runs()}
    print(f"{asked}: {found['told']}, took {took}, votes {[vote['measured'] for vote in votes]}, runs {lasted}")
    return dict(found | json.loads(found["told"]))


def by_nobody(node: NodeProcess, folder: Path, words: str) -> str:
    """What the node's owner, an ordinary user, is told by a command."""
    with nobodys_groups() as enter:
        user = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {sys.executable} -m learningchain"
        own = {"HOME": f"{folder.parent}/home", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            ["/bin/sh", "-c", f"{enter}{user} {words}"],
            cwd=folder,
            env=os.environ | own | {"LEARNINGCHAIN_DATA": str(node.data)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout, done.stderr
    return done.stdout


async def test_a_job_in_torch_is_trained_on_a_gpu_judged_on_processors_and_paid(graph: ClockedGraph) -> None:
    folder = graph.folder.parent / "typed"
    owner, began = Owner(graph["v0"], folder), time.monotonic()
    await asyncio.to_thread(lambda: based_image(folder / "image.tar", "processes/torch_gpu_job.py", packages()))
    print(f"the image has {(folder / 'image.tar').stat().st_size} bytes, made in {time.monotonic() - began:.0f} s")
    on_gpu = await paid(graph, owner, "on-gpu", "--gpus 1", "--gpu-mem-mb 8000")
    assert on_gpu["device"] == torch.cuda.get_device_name(0)
    said = await asyncio.to_thread(by_nobody, graph[WORKER], folder, "doctor")
    assert f"{GPU}: it brings /dev/nvidia-uvm, " in " ".join(said.split()), said
    (folder / "losses").write_text("".join(f"{abs(loss):.9f}\n" for loss in on_gpu["losses"].tolist()))
    (folder / "on-gpu").chmod(0o644)
    words = f"image check image.tar --model on-gpu --gpu-losses losses --json {ASKED}"
    said = await asyncio.to_thread(by_nobody, graph[JUDGES[0]], folder, words)
    told = json.loads(said)["gpu"]
    print(told)
    assert told["inside"] and told["examples_outside"] == 0

    on_processors = await paid(graph, owner, "on-processors")
    assert on_processors["device"] == "cpu", "a training that asked for no GPU has none"
    assert abs(on_gpu["losses"].mean() - on_processors["losses"].mean()) < 0.01, "both learned the same"
    await graph.agree()
