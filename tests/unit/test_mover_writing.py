"""What a data connection puts on the disk: every byte at its place, and never more than two steps that are not synced."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.p2p.mover.writing import BLOCK, STEP, SteadyWriter
from tests.slow import SLOW


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def pages(size: int) -> memoryview:
    """Random bytes at the beginning of a page."""
    page = mmap.mmap(-1, size)
    page.write(os.urandom(size))
    return memoryview(page)


WRITES = {
    "whole blocks": [(0, pages(3 * BLOCK)), (3 * BLOCK, pages(BLOCK))],
    "an end that is no block": [(0, pages(2 * BLOCK)), (2 * BLOCK, pages(BLOCK + 5))],
    "the end first": [(2 * BLOCK, pages(5)), (0, pages(2 * BLOCK))],
    "less than a block": [(0, pages(7))],
    "a place that is no block": [(0, pages(BLOCK)), (BLOCK, pages(3)), (BLOCK + 3, pages(2 * BLOCK))],
    "memory that is no block": [(0, pages(2 * BLOCK)[1 : BLOCK + 1]), (BLOCK, pages(BLOCK))],
}


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("writes", WRITES.values(), ids=WRITES)
def test_every_byte_comes_to_its_place(
    file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[tuple[int, memoryview]], allowed: bool
) -> None:
    real = fcntl.fcntl

    def refuse(fd: int, what: int, flags: int = 0) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writes here")
        return real(fd, what, flags)

    if not allowed:
        monkeypatch.setattr(fcntl, "fcntl", refuse)
    writer, expected = SteadyWriter(file), bytearray(max(at + len(view) for at, view in writes))
    for at, view in writes:
        writer.write(view, at)
        expected[at : at + len(view)] = view
    writer.close()
    assert (tmp_path / "file").read_bytes() == expected


def test_whole_blocks_go_past_the_page_cache_and_the_end_by_it(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, pwrite = list[tuple[int, bool]](), os.pwrite

    def watched(fd: int, view: memoryview, at: int) -> int:
        seen.append((len(view), bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)))
        return len(view) if seen[-1][1] else pwrite(fd, view, at)  # whatever this disk allows

    monkeypatch.setattr(os, "pwrite", watched)
    monkeypatch.setattr(fcntl, "fcntl", _remembers())
    writer = SteadyWriter(file)
    writer.write(pages(2 * BLOCK + 5), 0)
    writer.close()
    assert seen == [(2 * BLOCK, True), (5, False)]


def _remembers() -> Any:
    """A file system that takes every flag."""
    flags = [os.O_RDWR]

    def play(fd: int, what: int, new: int = 0) -> int:
        if what == fcntl.F_SETFL:
            flags[0] = new
        return flags[0]

    return play


def test_a_writer_waits_for_a_disk_that_is_a_step_behind(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs, go = threading.Semaphore(0), threading.Semaphore(0)

    def slow(fd: int) -> None:
        syncs.release()
        assert go.acquire(timeout=30 * SLOW)

    monkeypatch.setattr(os, "fdatasync", slow)
    writer, step = SteadyWriter(file), pages(STEP)
    written = threading.Semaphore(0)

    def write() -> None:
        for number in range(3):
            writer.write(step, number * STEP)
            written.release()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    assert written.acquire(timeout=30 * SLOW) and syncs.acquire(timeout=30 * SLOW)  # the first is being synced
    assert not written.acquire(timeout=0.2)  # the second lies there, and the writer goes no further
    assert os.fstat(file).st_size == 2 * STEP
    for _ in range(3):
        go.release()
    thread.join(30 * SLOW)
    writer.close()
    assert os.fstat(file).st_size == 3 * STEP


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_what_the_disk_refuses_is_told(file: int, monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "pwrite", refuse)
    writer = SteadyWriter(file)
    with pytest.raises(OSError) as told:
        writer.write(pages(BLOCK), 0)
    writer.close()
    assert told.value.errno == fault
