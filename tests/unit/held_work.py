"""Work of a helping process that says when it began, and goes on until the test lets it end: in place of work that is long."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from learningchain.chain.node.checks import Check, are_signed
from learningchain.client.node import helper
from tests.slow import SLOW

FOLDER = "LEARNINGCHAIN_TEST_HELD_WORK"
"""The variable with the folder where processes leave a file each as their work begins."""
HELD = b"held".ljust(32, b"\0")
"""Signatures for this chain are checked when the test says so."""
_GO = "go"


def serve(pipe: Connection[bytes, bytes]) -> None:
    """What runs in a process, in place of `client.node.helper.serve`."""
    (_, *readers), *others = helper.TASKS
    held: Any = ((_checked, *readers), *others)
    helper.TASKS = held
    helper.serve(pipe)


def _checked(chain_id: bytes, checks: list[Check]) -> bytes:
    folder, parent = Path(os.environ[FOLDER]), multiprocessing.parent_process()
    assert parent is not None
    if chain_id == HELD:
        (folder / str(os.getpid())).touch()
        while not (folder / _GO).exists() and os.getppid() == parent.pid:  # nor longer than its test
            time.sleep(0.005)
    return are_signed(chain_id, checks)


async def begun(folder: Path, pids: set[int]) -> None:
    """Until each of the processes is in the middle of its work."""
    async with asyncio.timeout(60 * SLOW):
        while not {str(pid) for pid in pids} <= set(os.listdir(folder)):
            await asyncio.sleep(0.005)


def go(folder: Path) -> None:
    (folder / _GO).touch()
