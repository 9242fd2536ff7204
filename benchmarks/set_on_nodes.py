"""A published set between two real nodes: one publishes it, the other has an engine, fetches it and trains on it.

python -m benchmarks.set_on_nodes [MEBIBYTES] [FILES]

    published -> fetched: the last byte is there -> brought to the engine -> the first step

After it come a copy of the files as `docker cp` makes it, and a second job on the set. Beside it stands the memory of the second
node with what it starts, and in the end the first one tells of a set of many files. The disk needs two and a half times the set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.idle import memory_mb
from benchmarks.published_set import FILES, copied
from learningchain.client.schema.bodies import SetView
from learningchain.sandbox import Sandbox
from learningchain.sandbox.images import build_python_image
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, eventually

JOB = b"""#!/usr/local/bin/python3
import sys
print('LC {"step":1}', flush=True)
for name in ("losses",) if sys.argv[1] == "evaluate" else ("model",):
    open(f"/lc/out/{name}", "w").write("0.5\\n")
"""
WORKER, JUDGES = "w0", ("v1", "v2")
PATIENCE_S = 3_600.0
READY_S = 300.0
LOOK_S = 0.1
PART = 4
"""Files of a copy: the disk has not to hold all of them once more."""
_PIECE = 1 << 20


@dataclass(frozen=True)
class SetOnNodesFigure:
    mebibytes: int
    first_step_s: float
    """From the set's last byte on the second node's disk."""
    copy_s: float
    of_copy: float
    """First step / copy."""
    grown_mb: float
    """Most proportional memory of the second node and of what it started beside itself, less what it was before."""
    second_bytes: float
    """Of files, which the second node received while another job on the set was trained."""
    files: int
    """Of another set."""
    listed_s: float
    """To tell what is published, when that set is, too."""


async def set_on_nodes(mebibytes: int, files: int) -> SetOnNodesFigure:
    """Raises `SandboxError` without an engine, `RuntimeError` where a node or a run fails."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
        folder = Path(name)
        room = Sandbox(folder / "room", node_tag=f"bench-{os.getpid()}")
        try:
            await asyncio.to_thread(room.check_engine)
            image = await asyncio.to_thread(build_python_image, folder / "job.tar", {"/lc/job": JOB}, with_packages=())
            await asyncio.to_thread(room.load_archive, folder / "job.tar", image)
            async with _graph(folder, mebibytes) as graph:
                return await _measure(graph, folder, image, room._store.require(image), mebibytes, files)
        finally:
            await asyncio.to_thread(room.cleanup)
            room.close()


async def _measure(graph: ClockedGraph, folder: Path, image: str, loaded: str, mebibytes: int, files: int) -> SetOnNodesFigure:
    giver, taker, size = graph["v0"], graph[WORKER], mebibytes * _PIECE // FILES
    await asyncio.to_thread(_filled, folder / "set", FILES, size)
    found = await giver.api.publish(folder / "set")
    shutil.rmtree(folder / "set")
    before = _with_children(taker)
    async with _most(taker) as most:
        job = await _post(giver, folder / "job.tar", image, found)
        last = await _complete(taker, found["cid"])
        for path in await asyncio.to_thread(_files, giver, size):
            path.unlink()  # the engine has its room, and nobody can send the set again
        first = await _stepped(taker, job) - last
    await _claimed(giver, job)
    copy = await asyncio.to_thread(_copied, taker, folder / "copy", loaded, size)

    had = await taker.carried("in")
    again = await _post(giver, folder / "job.tar", image, found)
    await _stepped(taker, again)
    second = await taker.carried("in") - had
    await _claimed(giver, again)

    await asyncio.to_thread(_many, folder / "many", files)
    await giver.api.publish(folder / "many")
    began = time.monotonic()
    await giver.api.sets()
    listed = time.monotonic() - began

    return SetOnNodesFigure(mebibytes, first, copy, first / copy, max(most) - before, second, files, listed)


@asynccontextmanager
async def _graph(folder: Path, mebibytes: int) -> AsyncIterator[ClockedGraph]:
    common = {"sandbox.cache_dir": str(folder / "cache"), "storage.quota_mb": 2 * mebibytes + 1_024}
    sets = {"work.enabled": True, "work.attempts": 1, "work.max_data_mb": mebibytes + 64, "work.data_mb": mebibytes + 1_024}
    judging = {"work.verify": True}
    roles = [
        Role("v0", validator=True, settings=common),
        *(Role(name, validator=True, verifier=True, settings=common | judging) for name in JUDGES),
        Role(WORKER, settings=common | sets),
    ]
    (folder / "graph").mkdir()
    async with ClockedGraph(folder / "graph", roles) as graph:
        await graph.start()
        await asyncio.gather(*(graph[name].logs("the sandbox is ready", within=READY_S) for name in (*JUDGES, WORKER)))
        for name in JUDGES:
            await eventually(f"{name} says what its machine takes", lambda name=name: _declared(graph, name), READY_S)  # type: ignore[misc]
        yield graph


async def _declared(graph: ClockedGraph, name: str) -> bool:
    return (await graph["v0"].api.account(graph[name].address))["capacity"] is not None


def _filled(folder: Path, files: int, size: int) -> None:
    folder.mkdir()
    for number in range(files):
        with (folder / f"{number:05}").open("wb") as file:
            for at in range(0, size, _PIECE):
                file.write(os.urandom(min(_PIECE, size - at)))


def _files(node: NodeProcess, size: int) -> list[Path]:
    """Those of its store that have this size, as all of the set have."""
    return [path for path in (node.data / "blobs" / "files").iterdir() if path.stat().st_size == size]


def _copied(node: NodeProcess, place: Path, image: str, size: int) -> float:
    """Seconds of a copy of a set's files, all of this size, from the node's disk into the engine, a quarter after the other."""
    files, took = _files(node, size), 0.0
    for first in range(0, len(files), PART):
        place.mkdir()
        for path in files[first : first + PART]:
            os.link(path, place / path.name)
        took += copied(image, place)
        shutil.rmtree(place)
    return took


def _many(folder: Path, files: int) -> None:
    """Of a hundred contents: each is sent once, and every file is looked for when they are told."""
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:05}").write_text(f"{number % 100}")


async def _post(node: NodeProcess, archive: Path, image: str, data: SetView) -> str:
    """A job whose training reads the set; its id."""
    stored = await node.api.upload(archive)
    wanted = {
        "image": {"cid": stored["cid"], "size": stored["size"], "image_id": image},
        "bounty": "50",
        "expires_in_s": HOUR_MS / 1_000,
        "data": [{"cid": data["cid"], "size": data["size"], "files": data["files"], "name": "data", "use": "train"}],
        "limits": {"cpus": 0.5, "mem_mb": 128, "train_s": 600, "eval_s": 60, "model_cap": _PIECE, "tmp_mb": 8},
    }
    return (await node.api.submit_job(wanted, wait=60))["job"]


async def _complete(node: NodeProcess, cid: str) -> float:
    """When the whole set lies on the node's disk."""

    async def there() -> float:
        found = await node.api.published(cid)
        return time.monotonic() if found["here"] == found["size"] else 0.0

    return await eventually("the set is here", there, PATIENCE_S)


async def _stepped(node: NodeProcess, job: str) -> float:
    """When the first step of the job's training was seen."""

    async def there() -> float:
        runs = [run for run in await node.api.runs() if run["job"] == job and run["phase"] == "train"]
        if any(run["state"] == "failed" for run in runs):
            raise RuntimeError(f"a training failed: {runs}")
        return time.monotonic() if any(run["progress"] for run in runs) else 0.0

    return await eventually("the first step is made", there, PATIENCE_S)


async def _claimed(node: NodeProcess, job: str) -> None:
    async def there() -> bool:
        return bool((await node.api.job(job))["claims"])

    await eventually("the job is claimed", there, READY_S)


@asynccontextmanager
async def _most(node: NodeProcess) -> AsyncIterator[list[float]]:
    """Fills a list with the memory of the node and its processes, as long as the block goes on."""
    seen = list[float]()

    async def look() -> None:
        while True:
            seen.append(await asyncio.to_thread(_with_children, node))
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()


def _with_children(node: NodeProcess) -> float:
    return sum(memory_mb(pid)[1] for pid in (node.pid, *_children(node.pid)))


def _children(pid: int) -> list[int]:
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    for key, value in asdict(asyncio.run(set_on_nodes(*(given or [256, 10_000])))).items():
        print(f"{key:20} {value:,.3f}")
