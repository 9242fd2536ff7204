"""Processes that check signatures for the node: they tell good from bad, end when nobody needs them, are not missed when gone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.types import TxBody, net_of
from learningchain.client.node import helpers
from learningchain.client.node.helpers import PIECE, Helpers
from tests.slow import SLOW
from tests.unit import held_work
from tests.unit.held_work import HELD, begun, go

ROOT = Path(__file__).resolve().parents[2]
CHAIN = bytes(range(32))
KEY, OTHER = SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32)


def checks(count: int) -> list[tuple[bytes, bytes]]:
    """Every third one is under another's key."""
    raws = [sign_tx(KEY, CHAIN, TxBody(net_of(CHAIN), bytes(20), 0, n, 9, [b"\xc0"])) for n in range(count)]  # type: ignore[list-item]
    return [((OTHER if n % 3 == 2 else KEY).public, raw) for n, raw in enumerate(raws)]


Children = Callable[[], list[Any]]


@pytest.fixture
def children() -> Children:
    """The processes that a test started itself: one before it may have left others to this process of pytest."""
    before = set(multiprocessing.active_children())
    return lambda: [child for child in multiprocessing.active_children() if child not in before]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where processes tell that their work for HELD began, and are told to end it. None ends because it was idle for long."""
    monkeypatch.setenv(held_work.FOLDER, str(tmp_path))
    monkeypatch.setattr(helpers, "IDLE_S", 3_600.0)
    monkeypatch.setattr(helpers, "serve", held_work.serve)
    return tmp_path


async def ended(children: list[Any]) -> None:
    """Asked again and again: while another thread takes note of a child's end, the child counts as alive."""
    async with asyncio.timeout(60 * SLOW):
        while any(child.is_alive() for child in children):
            await asyncio.sleep(0.01)


async def test_good_and_bad_signatures_are_told_apart_by_several_processes(
    monkeypatch: pytest.MonkeyPatch, children: Children
) -> None:
    monkeypatch.setattr(helpers, "IDLE_S", 0.05)
    pool = Helpers()
    pool._count = 2
    wanted = checks(PIECE + 5)
    assert await pool.are_signed(CHAIN, wanted) == bytes(n % 3 != 2 for n in range(len(wanted)))
    processes = children()
    assert processes
    await ended(processes)
    assert pool._pool is None


def test_other_processes_may_neither_look_into_one_nor_change_what_it_says() -> None:
    code = (
        "import ctypes, multiprocessing, resource\n"
        "from learningchain.client.node.helper import serve\n"
        "ours, theirs = multiprocessing.Pipe()\n"
        "ours.close()\n"
        "PR_GET_DUMPABLE, prctl = 3, ctypes.CDLL(None).prctl\n"
        "before = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)\n"
        "serve(theirs)\n"
        "print(before, prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout.split() == ["1", "0", "1", "1"], (
        "no core file, and none to a program: containers of a node begin with as much"
    )


async def test_who_stops_waiting_disturbs_nobody(monkeypatch: pytest.MonkeyPatch, children: Children, work: Path) -> None:
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    pool = Helpers()
    pool._count = 2
    try:
        wanted = checks(PIECE * 6)
        impatient = asyncio.create_task(pool.are_signed(HELD, wanted))
        await asyncio.sleep(0)  # it starts them
        processes = children()
        assert len(processes) == 2
        await begun(work, {child.pid for child in processes})
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        go(work)
        assert await pool.are_signed(CHAIN, wanted[:9]) == bytes(n % 3 != 2 for n in range(9))
    finally:
        pool.close()
    await ended(processes)
    assert broken == []


async def test_where_no_process_can_help_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Helpers()
    pool._count = 1
    assert await pool.are_signed(CHAIN, checks(1)) == b""
    pool._count = 2

    def broken(_: int) -> None:
        raise OSError("no process can be started")

    monkeypatch.setattr(helpers, "_Pool", broken)
    assert await pool.are_signed(CHAIN, checks(1)) == b""
    assert pool._count == 0


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_processes_that_die_are_noticed_and_not_started_again(children: Children, work: Path, all_of_them: bool) -> None:
    pool = Helpers()
    pool._count = 2
    assert await pool.are_signed(CHAIN, checks(2)) == b"\1\1"
    processes = children()
    assert len(processes) == 2
    wanted = [checks(1)] * 3 if all_of_them else [checks(3) * 3_000] * 2  # all of it is at the processes, or most of it waits
    waiting = asyncio.gather(*(pool.are_signed(HELD, some) for some in wanted))
    await begun(work, {child.pid for child in processes})
    for child in processes if all_of_them else processes[:1]:
        child.kill()
    async with asyncio.timeout(20 * SLOW):
        assert await waiting == [b""] * len(wanted)
        assert await pool.are_signed(CHAIN, checks(1)) == b""
    assert (pool._count, pool._pool) == (0, None)
    go(work)
    await ended(processes)


BUSY = """
import asyncio, atexit, multiprocessing, signal, sys
from tests.unit import held_work
from tests.unit.test_client_helpers import CHAIN, checks
from learningchain.client.node import helpers
from learningchain.client.node.helpers import Helpers
helpers.serve = held_work.serve
started = []
atexit.register(lambda: print(sum(not future.done() for future in started)))

async def main():
    pool = Helpers()
    pool._count = 2
    assert len(await pool.are_signed(CHAIN, checks(2))) == 2
    pieces = [helpers.SIGNED.to_bytes(1, "big") + helpers.encode((held_work.HELD, checks(1))) for _ in range(2)]
    started.extend(pool._pool.submit(piece) for piece in pieces)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
"""A node with two processes whose work does not end by itself; it ends when it reads a line."""


def gone(pids: list[int]) -> None:
    """Waits for the kernel's word that processes of others ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                assert select.select([fd], [], [], 60 * SLOW)[0], f"process {pid} goes on"
            finally:
                os.close(fd)


@pytest.mark.parametrize("killed", [False, True])
def test_processes_end_with_their_node_however_that_ends_and_it_waits_for_no_work(work: Path, killed: bool) -> None:
    """What ProcessPoolExecutor does not do: its processes outlive a node that is killed, and a node that ends waits for them."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as node:
        assert node.stdout is not None
        pids = [int(pid) for pid in node.stdout.readline().split()]
        assert len(pids) == 2
        if killed:
            node.kill()
            node.wait(60 * SLOW)
        else:
            assert node.communicate("\n", timeout=60 * SLOW)[0] == "2\n", "both pieces were under way when it ended"
    gone(pids)
