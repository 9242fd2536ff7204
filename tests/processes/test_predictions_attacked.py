"""Attacks on nodes that serve models, with real programs and real containers: inputs that fill disks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.processes import test_predictions
from tests.processes.harness import Graph, NodeProcess, Role, with_params
from tests.processes.test_predictions import SERVERS, SERVES, in_state, register, serve

archive = test_predictions.archive
pytestmark = pytest.mark.timeout(900)
full = pytest.mark.full
MIB = 1 << 20
INPUT = 8 * MIB
FLOOD = 10
ROOM = 72 * MIB
"""What a server's store has beside image and model: not enough for all inputs of the flood."""


def wide(row: int) -> bytes:
    """One row of 8 MiB, of its own content."""
    text = f"[{row},".encode()
    return text + b" " * (INPUT - len(text) - 3) + b"2]\n"


def on_disk(node: NodeProcess) -> int:
    """Bytes of the node's content store."""
    return sum(path.stat().st_blocks * 512 for path in (node.data / "blobs").rglob("*") if path.is_file())


@full("test_prediction_held_inputs has the bound, test_work_prediction_server what is put out; this fills disks of 150 MiB")
async def test_a_member_with_little_money_fills_no_disk_with_inputs(tmp_path: Path, archive: tuple[Path, str]) -> None:
    """Ten inputs of 8 MiB for less than a thousandth of a credit each, none of them final: servers keep two, and nobody else any;
    another member's request is answered, and the store takes what it is for."""
    quota = (archive[0].stat().st_size + ROOM) // MIB
    held = int(os.environ.get("LC_TEST_INPUTS_MB", "16"))  # as it was before there was a bound: 1048576
    serves = {**SERVES, "storage.quota_mb": quota, "serve.inputs_mb": held, "serve.warm": 1}
    roles = [
        Role("v0", validator=True),
        *(Role(one, validator=True, verifier=True, settings=serves) for one in SERVERS),
        Role("flood"),
    ]
    (tmp_path / "graph").mkdir()
    async with Graph(tmp_path / "graph", roles, params=with_params(pred_a0=40_000, pred_appeal=900_000)) as graph:
        owner, flood = graph["v0"], graph["flood"]
        await graph.start()
        terms = {
            "row_ms": 20_000,
            "price": "0",
            "floor": "0.000001",
            "input_cap": INPUT,
            "limits": {"cpus": 0.5, "mem_mb": 256, "tmp_mb": 8},
        }
        model = await register(owner, archive, tmp_path, **terms)
        await serve(graph, model, *SERVERS)
        await owner.api.predict(model, b"[1, 2]\n", n=3)  # from now on images and containers are there
        base, bystander = {name: on_disk(graph[name]) for name in SERVERS}, on_disk(owner)
        before = (await graph.balances(owner))[flood.address]
        outcomes = [(await flood.api.predict(model, wide(row), n=3, within_s=300))["outcome"] for row in range(FLOOD)]
        paid = before - (await graph.balances(owner))[flood.address]
        grown = {name: (on_disk(graph[name]) - base[name]) // MIB for name in SERVERS}
        print("outcomes", outcomes, "paid", paid, "micro-credits; grown by MiB:", grown, "bystander", on_disk(owner) - bystander)
        assert on_disk(owner) - bystander < MIB, "who has no seat keeps nothing"
        honest = await owner.api.predict(model, wide(100), n=3, within_s=300)
        assert (honest["outcome"], honest["agree"]) == ("AGREED", 3), honest["votes"]
        assert outcomes == ["AGREED"] * FLOOD and paid < 1_000 * FLOOD
        (tmp_path / "other").write_bytes(os.urandom(40 * MIB))
        for name in SERVERS:
            assert on_disk(graph[name]) < quota * MIB + MIB
            await graph[name].api.upload(tmp_path / "other")  # where all inputs were pinned the store is full
        assert {(await in_state(owner, honest["id"], "AGREED"))["state"]} == {"AGREED"}
