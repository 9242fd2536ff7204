"""`learningchain doctor` beside a node that runs, and after that node was killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config
from tests.processes.harness import ROOT, Graph, NodeProcess, eventually, validators

pytestmark = pytest.mark.timeout(180)


async def doctor(node: NodeProcess) -> dict[str, str]:
    """The worst level of each check; the exit code fits them."""
    command = [sys.executable, "-m", "learningchain", "doctor", "--json", "--data", str(node.data)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    document: dict[str, Any] = json.loads(out)
    order = ["skipped", "fine", "warning", "failure"]
    found: dict[str, str] = {}
    for one in document["findings"]:
        found[one["check"]] = max(one["level"], found.get(one["check"], "skipped"), key=order.index)
    assert (
        process.returncode == document["exit_code"] == {"fine": 0, "warning": 1, "failure": 2}[max(found.values(), key=order.index)]
    )
    return found


async def test_a_node_that_runs_one_without_peers_and_one_that_was_killed(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(2)) as graph:
        for node in graph:
            (node.data / config.FILE).chmod(0o600)  # as init makes it
        await graph.start()
        one, other = graph["v0"], graph["v1"]

        async def compared() -> bool:
            return bool((await one.api.status())["clock_peers"])

        await eventually("its clock was compared with the other's", compared)
        found = await doctor(one)
        names = (
            "node",
            "blocks",
            "peers",
            "ports",
            "reachable",
            "permissions",
            "settings",
            "keystore",
            "network-file",
            "guard",
            "disk",
        )
        assert {name: found[name] for name in names} == dict.fromkeys(names, "fine")
        assert found["versions"] == "fine" and "failing" not in found and found["clock"] in ("fine", "warning")
        await other.kill()

        async def alone() -> bool:
            return not (await one.api.status())["peers"]

        await eventually("nobody is connected", alone)
        found = await doctor(one)
        assert (found["peers"], found["reachable"], found["node"]) == ("failure", "failure", "fine")
        await one.kill()
        found = await doctor(one)
        assert (found["node"], found["ports"], found["keystore"], found["guard"]) == ("warning", "fine", "fine", "fine")
