"""Yesterday's backup: a validator's folder is put back after the graph moved on, with its old guard, or with none.

Whatever it signs then contradicts nothing that it signed before: it keeps its seat, and takes part again.
"""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Callable
from pathlib import Path

from learningchain.client.node import backup as saving
from tests.processes.harness import PASSPHRASE, Graph, NodeProcess, credits, eventually, validators
from tests.processes.journal import contradictions, journalled

MOVED = 10
"""Blocks between the backup and the loss: the validator takes part in all of them."""
SILENT = "this key signed more than its guard knows"
ALONE_S = 2.0
"""Longer than the time-out of a proposal: a node that trusts an old guard votes within it."""
DATABASE = ("db", "db-wal", "db-shm")


def _everything(node: NodeProcess, backup: Path) -> None:
    shutil.rmtree(node.data)
    shutil.copytree(backup, node.data)


def _nothing_but_the_keys(node: NodeProcess, backup: Path) -> None:
    """As after `learningchain genesis install` on a new machine, with the old keystore."""
    for name in (*DATABASE, "wal", "guard", "peers.book"):
        (node.data / name).unlink(missing_ok=True)


def _the_database(node: NodeProcess, backup: Path) -> None:
    """Log and guard survived."""
    for name in DATABASE:
        (node.data / name).unlink(missing_ok=True)
    shutil.copy(backup / "db", node.data / "db")


def _no_guard(node: NodeProcess, backup: Path) -> None:
    """An old folder, and the guard gone altogether."""
    _everything(node, backup)
    (node.data / "guard").unlink()


def _the_command_s_file(node: NodeProcess, backup: Path) -> None:
    """What `backup` saves of the old folder, brought back by `restore`: without database, log and guard."""
    file = io.BytesIO()
    saving.make(backup, file, PASSPHRASE, print)
    shutil.rmtree(node.data)
    file.seek(0)
    assert saving.restore(file, node.data, PASSPHRASE, never_signed=False, progress=print).silent


CASES: list[tuple[str, Callable[[NodeProcess, Path], None], list[str], bool]] = [
    ("everything is old", _everything, [], True),
    ("only the keys are left", _nothing_but_the_keys, [], True),
    ("only the database is old", _the_database, [], False),
    ("no guard, on the operator's word", _no_guard, ["--accept-new-guard"], True),
    ("from the file of learningchain backup", _the_command_s_file, [], True),
]
"""What is put back, how the node is started, and whether it must stay silent at first."""


async def test_a_validator_is_put_back(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(4)) as graph:
        restored, witness, backup = graph["v2"], graph["v0"], tmp_path / "backup"
        journal = journalled(restored)
        await graph.start()
        for name, put_back, arguments, silent in CASES:
            print(name)
            await restored.grows(2)
            assert await restored.stop() == 0
            shutil.copytree(restored.data, backup)
            await restored.start()
            await eventually("it signs after the backup", lambda: _signs(witness, restored))
            await _moves_on(graph, restored, MOVED)

            await restored.kill()
            said = restored.log.stat().st_size
            put_back(restored, backup)
            await _starts_alone(graph, restored, arguments)
            await _moves_on(graph, witness, 3)
            await restored.reaches(await witness.height())
            await eventually("it signs again", lambda: _signs(witness, restored))
            assert contradictions(journal) == [], name
            assert (SILENT in restored.log.read_text()[said:]) == silent, name
            shutil.rmtree(backup)
        for node in graph:
            assert restored.address in (await node.api.status())["validators"], "it kept its seat"
            assert not node.says("signed twice")
        await graph.agree()
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)


async def _starts_alone(graph: Graph, node: NodeProcess, arguments: list[str]) -> None:
    """Nobody answers at first: for as long it must think its old height the newest."""
    others = [other for other in graph if other is not node]
    for other in others:
        other.pause()
    try:
        await node.start(*arguments)
        await asyncio.sleep(ALONE_S)
    finally:
        for other in others:
            other.resume()
    await graph.connected()


async def _moves_on(graph: Graph, sender: NodeProcess, blocks: int) -> None:
    """Transfers, so that no block is like another."""
    top = await sender.height() + blocks
    while await sender.height() < top:
        assert (await sender.api.transfer(graph["v1"].address, "0.000001", wait=60))["code"] == 0


async def _signs(witness: NodeProcess, who: NodeProcess) -> bool:
    return who.address in (await witness.certificate())["signers"]
