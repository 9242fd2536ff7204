"""Large files between two real nodes: by a data connection, in pieces of the two ways where its process is killed, and by messages
where a node has none of it. Finality goes on beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.processes.harness import Graph, NodeProcess, Role, eventually

pytestmark = pytest.mark.timeout(300)
MIB = 2**20
SLOW_S = 120.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    with path.open("wb") as out:
        for _ in range(200):
            out.write(os.urandom(MIB))
    return path


@pytest.mark.parametrize(
    ("sender", "killed", "least", "most"),
    [
        pytest.param({}, "", 100, 200, id="by a data connection"),
        pytest.param({"network.bulk_mb_s": 40}, "sender", 1, 199, id="the sender's process is killed"),
        pytest.param({"network.bulk_mb_s": 40}, "receiver", 1, 199, id="the receiver's process is killed"),
        pytest.param({"network.bulk": False}, "", 0, 0, id="by messages"),
    ],
)
async def test_a_file_of_200_mib(tmp_path: Path, file: Path, sender: dict[str, Any], killed: str, least: int, most: int) -> None:
    roles = [Role("v0", validator=True, settings=sender), Role("v1", validator=True)]
    async with Graph(tmp_path, roles) as graph:
        await graph.start()
        giver, taker = graph["v0"], graph["v1"]
        stored = await giver.api.upload(file)
        began = time.monotonic()
        fetching = asyncio.create_task(taker.api.fetch(stored["cid"], tmp_path / "copy", max_size=2**30))
        if killed:
            await eventually("leaves come by a data connection", lambda: _came(taker), SLOW_S)
            await eventually("the taker tells how fast", lambda: _told(taker, stored["cid"]), SLOW_S)
            _kill_mover(giver if killed == "sender" else taker)
        done = await giver.api.transfer(taker.address, "1", wait=30)
        assert done["code"] == 0
        await fetching
        took = time.monotonic() - began
        assert (tmp_path / "copy").read_bytes() == file.read_bytes()
        assert least * MIB <= await taker.carried("in", "connections") <= most * MIB
        assert await giver.carried("out", "connections") <= most * MIB
        assert await taker.carried("in") >= 200 * MIB
        assert took >= await taker.carried("in", "connections") / 100e6 - 0.3, "validators take 100 MB in a second"
        assert not (await giver.api.status())["failing"]
        (kept,), (loose,) = [(await node.api.contents())["contents"] for node in (giver, taker)]
        assert kept["cid"] == loose["cid"] == stored["cid"] and kept["size"] == loose["size"] == 200 * MIB
        assert kept["goes"] is None and kept["kept_for"][0]["what"] == "file that a user gave", "it stays"
        assert loose["goes"] == 1 and loose["kept_for"] == [] and await taker.api.transfers() == []


async def _came(node: NodeProcess) -> bool:
    return await node.carried("in", "connections") > 0


async def _told(node: NodeProcess, cid: str) -> bool:
    told = await node.api.transfers()
    return any(one["cid"] == cid and one["size"] == 200 * MIB and one["rate"] and one["left_s"] for one in told)


def _kill_mover(node: NodeProcess) -> None:
    """`kill -9` of what the node started beside itself."""
    children = Path(f"/proc/{node.pid}/task").glob("*/children")
    pids = [int(pid) for path in children for pid in path.read_text().split()]
    movers = [pid for pid in pids if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert movers
    for pid in movers:
        os.kill(pid, signal.SIGKILL)
