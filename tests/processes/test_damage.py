"""Rot in a validator's database that SQLite itself does not notice: one byte of one record.

It is told, with what to do; nothing wrong is served or signed; with the remedy that is named the node is as before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from learningchain.client.sdk.types import ApiError
from tests.processes.harness import Graph, NodeProcess, credits, eventually, micro, validators
from tests.processes.journal import contradictions, journalled

HISTORY = 8
OLD = 3


def _flip_in(node: NodeProcess, query: str) -> None:
    """One bit in the middle of what the query finds, in the file itself."""
    database = node.data / "db"
    with sqlite3.connect(database) as connection:
        (stored,) = connection.execute(query).fetchone()
    connection.close()
    raw = bytearray(database.read_bytes())
    at = raw.find(stored)
    assert at > 0, "the record lies in one piece"
    raw[at + len(stored) // 2] ^= 0x10
    database.write_bytes(raw)


def _an_old_block(node: NodeProcess) -> None:
    _flip_in(node, f"SELECT certificate FROM blocks WHERE height = {OLD}")


def _the_state(node: NodeProcess) -> None:
    _flip_in(node, "SELECT hits FROM journal ORDER BY height LIMIT 1")


def _the_remedy(node: NodeProcess) -> None:
    """Move the database away, keep keystore, guard and log."""
    for name in ("db", "db-wal", "db-shm"):
        if (node.data / name).exists():
            (node.data / name).rename(node.data / f"{name}.damaged")


async def test_one_rotten_byte(tmp_path: Path) -> None:
    async with Graph(tmp_path, validators(4)) as graph:
        ill, well = graph["v1"], graph["v0"]
        journal = journalled(ill)
        await graph.start()
        await well.reaches(HISTORY)
        await _noticed_at_the_start(graph, ill, well)
        await _noticed_when_it_is_read(graph, ill, well)
        assert contradictions(journal) == []
        await graph.agree()
        await graph.no_fork()
        assert await graph.conserved() == credits(4000)
        assert len((await well.api.status())["validators"]) == 4


async def _noticed_at_the_start(graph: Graph, ill: NodeProcess, well: NodeProcess) -> None:
    await _stopped_with(ill, _the_state)
    code, said = await ill.refuses()
    assert code == 1
    for words in ("damaged", "the state", "checksum", "move it away", "keeping keystore and guard", "sync from its peers"):
        assert words in said
    assert "Traceback" not in said
    await _back_again(graph, ill, well)


async def _noticed_when_it_is_read(graph: Graph, ill: NodeProcess, well: NodeProcess) -> None:
    """Of a block that a node needs no more it learns when somebody asks."""
    await _stopped_with(ill, _an_old_block)
    await ill.start()
    with_answer = await well.api.block(OLD)
    try:
        shown = await ill.api.block(OLD)
    except ApiError as fault:
        assert "damaged" in str(fault)
    else:
        raise AssertionError(f"it shows {shown} instead of {with_answer}")
    await ill.grows(2)
    await ill.stop()
    await _back_again(graph, ill, well)
    # Any quorum's signatures make a certificate: it now has those that the others kept.
    assert await ill.api.block(OLD) | {"certificate": None} == with_answer | {"certificate": None}


async def _stopped_with(node: NodeProcess, damage: Callable[[NodeProcess], None]) -> None:
    assert await node.stop() == 0
    damage(node)


async def _back_again(graph: Graph, ill: NodeProcess, well: NodeProcess) -> None:
    _the_remedy(ill)
    await ill.start()
    await ill.reaches(await well.height())
    done = await ill.api.transfer(well.address, "1", wait=60)
    assert done["code"] == 0

    async def signs() -> bool:
        return ill.address in (await well.certificate())["signers"]

    await eventually("it signs again", signs)
    await graph.agree()
    assert micro(await ill.api.balance(well.address)) == micro(await well.api.balance(well.address))
