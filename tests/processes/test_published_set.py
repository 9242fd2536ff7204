"""A job with a published data set on four real nodes and in real containers, as its contractor types it: published, posted,
trained, evaluated by the committee, paid. Then nobody publishes the set any more, and a second job on it runs to its pay all the
same: none of its bytes is sent again. And a worker that is killed while it fetches a set goes on with what is missing.

What was sent is printed (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from learningchain.client.sdk.types import Json
from learningchain.sandbox import Sandbox, SandboxUnavailable
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, eventually
from tests.processes.terminal import Owner

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

JUDGES, WORKER = ("v1", "v2"), "w0"
SLOW_S = 240.0
SENT_MB_S = 40
"""What the first node sends in a second, by data connections: a set takes a while."""
MIB = 1 << 20
FILES = 20
SUBMIT = (
    "learningchain job submit --image-archive image.tar --bounty 50 --expires 1h --set digits={} --cpus 0.5 --mem-mb 64 "
    "--tmp-mb 8 --train-time 5m --eval-time 2m --model-mb 0.01 --float-kind f64 --yes"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def graph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClockedGraph]:
    room = Sandbox(tmp_path_factory.mktemp("room"), node_tag=f"set-{os.getpid()}")
    try:
        room.check_engine()
    except SandboxUnavailable as problem:
        pytest.fail(f"this test needs a Docker Engine: {problem}", pytrace=False)
    finally:
        room.close()
    common = {"sandbox.cache_dir": str(tmp_path_factory.mktemp("cache"))}
    roles = [
        Role("v0", validator=True, settings={"network.bulk_mb_s": SENT_MB_S}),
        *(Role(name, validator=True, verifier=True, settings=common | {"work.verify": True}) for name in JUDGES),
        Role(WORKER, settings=common | {"work.enabled": True, "work.attempts": 1}),
    ]
    async with ClockedGraph(tmp_path_factory.mktemp("graph"), roles) as made:
        await made.start()
        await asyncio.gather(*(made[name].logs("the sandbox is ready", within=SLOW_S) for name in (*JUDGES, WORKER)))
        await asyncio.gather(*(_can_judge(made["v0"], made[name]) for name in JUDGES))
        yield made


@pytest.mark.parametrize("mib", [2, pytest.param(200, marks=pytest.mark.full("a set of 2 MiB takes the same way"))])
async def test_a_published_set_is_trained_and_evaluated_on_and_never_sent_twice(
    graph: ClockedGraph, tmp_path: Path, mib: int
) -> None:
    node, owner = graph["v0"], Owner(graph["v0"], tmp_path)
    size, archive = await asyncio.to_thread(_made, tmp_path, mib)
    cid = _cid_in(await owner.types("learningchain data publish digits"))
    assert (await node.api.published(cid)) == {"cid": cid, "files": FILES, "size": size, "here": size}
    assert cid in await owner.types("learningchain data list")
    assert cid not in await owner.types("learningchain file list"), "a set's files are kept together"

    began = await _received(graph)
    first = await _paid(graph, node, owner, cid)
    sent = await _received(graph) - began
    assert sent > size, "whoever trains and whoever judges fetched it"
    (posted,) = first["terms"]["data"]
    assert (posted["name"], posted["cid"], posted["size"], posted["use"]) == ("digits", cid, size, "both")
    shown = await owner.types(f"learningchain job show {first['id']}")
    assert cid in shown and "on this node" in shown

    await owner.types(f"learningchain data unpublish {cid}")
    assert await node.api.sets() == []
    began, clock = await _received(graph), time.monotonic()
    second = await _paid(graph, node, owner, cid)
    again = await _received(graph) - began
    assert second["id"] != first["id"]
    print(f"image {archive.stat().st_size}, set {size}: all nodes received {sent} bytes in the first job, {again} in the second")
    print(f"the second job took {time.monotonic() - clock:.1f} s")
    assert again < size, "nobody serves it, and what is received is blocks and votes"
    await graph.agree()


@pytest.mark.full("a node is killed and started; unit/test_published_sets.py has a set of which files are here already")
async def test_a_worker_that_is_killed_in_the_middle_of_a_set_goes_on_with_what_is_missing(
    graph: ClockedGraph, tmp_path: Path
) -> None:
    node, owner, worker = graph["v0"], Owner(graph["v0"], tmp_path), graph[WORKER]
    size, archive = await asyncio.to_thread(_made, tmp_path, 200)
    cid = _cid_in(await owner.types("learningchain data publish digits"))
    had = await worker.carried("in")
    job = await _posted(node, owner, cid)
    here = await eventually("some files of the set are here, and others not", lambda: _some(worker, cid), SLOW_S)
    before = await worker.carried("in") - had
    await worker.kill()
    await worker.start()
    await _judged(graph, node, job)
    after = await worker.carried("in")
    print(
        f"of {size} bytes {here} were here, {before} received and {after} after the start; the image has {archive.stat().st_size}"
    )
    assert after <= size - here + archive.stat().st_size, "no file twice; the image comes after the set"
    assert before + after <= archive.stat().st_size + size + FILES * 2 * MIB, "and of the files that were under way little"
    await graph.agree()


async def _some(node: NodeProcess, cid: str) -> int:
    found = await node.api.published(cid)
    return found["here"] if found["here"] < found["size"] else 0


def _made(place: Path, mib: int) -> tuple[int, Path]:
    """Files of a set, and the image of a job that reads them; the set's size, and the image's archive."""
    folder, archive = place / "digits" / "part", place / "image.tar"
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number:02}.bin").write_bytes(os.urandom(mib * MIB // FILES))
    program = Path(__file__).with_name("set_job.py").read_bytes()
    build_python_image(archive, {"/lc/job": program}, with_packages=())
    return mib * MIB // FILES * FILES, archive


async def _paid(graph: ClockedGraph, node: NodeProcess, owner: Owner, cid: str) -> Json:
    """A job on the set, from the posting to the pay."""
    return await _judged(graph, node, await _posted(node, owner, cid))


async def _posted(node: NodeProcess, owner: Owner, cid: str) -> str:
    await owner.types(SUBMIT.format(cid))
    (live,) = await node.api.jobs(live=True)
    return str(live["id"])


async def _judged(graph: ClockedGraph, node: NodeProcess, job: str) -> Json:
    async def claimed() -> bool:
        return bool((await node.api.job(job))["claims"])

    await eventually("the worker has claimed", claimed, SLOW_S)
    await graph.clock.advance(HOUR_MS)
    view = await node.job_in(job, "PAID", "REFUNDED", "EMPTY", within=SLOW_S)
    assert (view["state"], view["winner"]) == ("PAID", graph[WORKER].address), view
    seats = [seat for round_ in view["rounds"] for seat in round_["committee"]]
    assert {seat["voter"] for seat in seats} == {graph[name].address for name in JUDGES}
    assert [vote["vote"] for seat in seats for vote in seat["votes"]] == ["OK"] * len(JUDGES)
    assert {vote["measured"] for seat in seats for vote in seat["votes"]} == {"0.250000000"}, "every file was there, for everybody"
    assert view["examples"] == FILES
    return view


async def _received(graph: ClockedGraph) -> int:
    return sum([peer["bytes_in"] for node in graph for peer in await node.api.peers()])


def _cid_in(told: str) -> str:
    found = re.search(r"\bbaf[ky][a-z2-7]{55}\b", told)
    assert found is not None, told
    return found[0]


async def _can_judge(node: NodeProcess, verifier: NodeProcess) -> None:
    async def declared() -> bool:
        return (await node.api.account(verifier.address))["capacity"] is not None

    await eventually(f"{verifier.name} says what its machine takes", declared, SLOW_S)
