"""One large file from a node to another one, in turns with a copy of a file of the same size through one TLS connection.

python -m benchmarks.large_file [MEBIBYTES] [TURNS]

Both go from disk to disk and end when the file is synced. A turn's file is new. Processor time is that of both ends: the copy's two
processes; two daemons and the processes beside them. The first file is not counted: it has these processes start.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from socket import create_connection, create_server
from typing import Any

from benchmarks.graph import Graph, Member, make, start
from benchmarks.idle import cpu_s, peak_mb
from learningchain.p2p.tls import make_ca

_PIECE = 2**20
SMALL = 8
"""MiB of the file that is not counted."""
LOOK_S = 0.005
LIMIT_S = 300.0


@dataclass(frozen=True)
class LargeFileFigure:
    """Medians of the turns: bytes per second, seconds of processor time for a GiB, ratios within each turn."""

    mebibytes: int
    bytes_per_s: float
    cpu_s_per_gib: float
    copy_bytes_per_s: float
    copy_cpu_s_per_gib: float
    of_copy: float
    cpu_of_copy: float
    moved: float
    """The share of the file's bytes that came by data connections."""
    memory_mb: float
    """MiB at most, of the larger one of the two processes beside the nodes."""


@dataclass(frozen=True)
class _Took:
    seconds: float
    cpu: float


def random_file(path: Path, mebibytes: int) -> None:
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(_PIECE))
        file.flush()
        os.fsync(file.fileno())


def _send(path: str, pem: str, port: Any, times: int) -> float:
    """Serve one connection; processor seconds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with create_server(("127.0.0.1", 0)) as listener:
        port.put(listener.getsockname()[1])
        with context.wrap_socket(listener.accept()[0], server_side=True) as link:
            began, buffer = time.process_time(), memoryview(bytearray(_PIECE))
            for _ in range(times):
                with open(path, "rb", buffering=0) as file:
                    while size := file.readinto(buffer):
                        link.sendall(buffer[:size])
    return time.process_time() - began


def _receive(path: str, size: int, port: int, times: int) -> float:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.process_time()
    with context.wrap_socket(create_connection(("127.0.0.1", port))) as link:
        for _ in range(times):
            _receive_one(link, path, size)
    return time.process_time() - began


def _receive_one(link: ssl.SSLSocket, path: str, size: int) -> None:
    buffer, missing = memoryview(bytearray(_PIECE)), size
    with open(path, "wb", buffering=0) as file:
        while missing:
            filled = 0
            while filled < min(_PIECE, missing):
                got = link.recv_into(buffer[filled : min(_PIECE, missing)])
                if not got:
                    raise RuntimeError("the copy broke off")
                filled += got
            file.write(buffer[:filled])
            missing -= filled
        os.fsync(file.fileno())


def copy(source: Path, target: Path, pem: Path, times: int = 1) -> _Took:
    """By two processes that are started before the clock, through one connection, one copy after the other."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as pool:
        port = manager.Queue()
        sending = pool.submit(_send, str(source), str(pem), port, times)
        where = port.get()
        pool.submit(os.getpid).result()
        began = time.perf_counter()
        cpu = pool.submit(_receive, str(target), source.stat().st_size, where, times).result()
        return _Took(time.perf_counter() - began, cpu + sending.result())


def _pids(member: Member) -> list[int]:
    if member.process is None:
        raise RuntimeError(f"{member.name} does not run")
    own = member.process.pid
    children = [path.read_text().split() for path in Path(f"/proc/{own}/task").glob("*/children")]
    return [own, *(int(pid) for found in children for pid in found)]


def _cpu(nodes: list[Member]) -> float:
    return sum(cpu_s(pid) for node in nodes for pid in _pids(node))


async def upload(graph: Graph, node: Member, path: Path) -> str:
    with path.open("rb") as file:
        async with graph.session.post(f"{node.url}/v1/files", data=file, headers=node.headers()) as answer:
            answer.raise_for_status()
            return str((await answer.json())["cid"])


async def _until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not there():
            await asyncio.sleep(LOOK_S)


async def _fetch(graph: Graph, source: Member, target: Member, path: Path) -> _Took:
    """Until the file is whole and synced: that is when it has its name."""
    cid = await upload(graph, source, path)
    whole = target.folder / "blobs" / "files" / cid
    url = f"{target.url}/v1/files/{cid}?max_size={path.stat().st_size}&timeout_s={int(LIMIT_S)}"
    cpu, began = _cpu([source, target]), time.perf_counter()

    async def ask() -> None:
        async with graph.session.get(url, headers=target.headers()) as answer:
            answer.raise_for_status()

    asked = asyncio.create_task(ask())
    await _until(lambda: whole.exists() or asked.done())
    took = _Took(time.perf_counter() - began, _cpu([source, target]) - cpu)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    if whole.stat().st_size != path.stat().st_size:
        raise RuntimeError("the file that came is another one")
    return took


async def bytes_moved(graph: Graph, node: Member) -> float:
    async with graph.session.get(f"{node.url}/metrics", headers=node.headers()) as answer:
        lines = (await answer.text()).splitlines()
    wanted = 'lc_file_bytes_total{direction="in",way="connections"} '
    return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def _unbound(node: Member) -> None:
    """As a node without a vote is: a validator leaves the disk to its votes."""
    path = node.folder / "config.toml"
    path.write_text(path.read_text().replace("[network]\n", "[network]\nbulk_mb_s = 100000\n", 1))


async def large_file(mebibytes: int, turns: int) -> LargeFileFigure:
    """Raises `RuntimeError` where a node does not start or a file does not come, `aiohttp.ClientError` where it is refused."""
    graph = make(0)
    nodes = graph.validators
    source, target = nodes[:2]
    found: list[tuple[_Took, _Took]] = []
    try:
        for member in nodes:
            _unbound(member)
            start(member)
        await graph.wait_until_ready(nodes, len(nodes) - 1)
        with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as name:
            folder = Path(name)
            ca = make_ca(time.time())
            pem = folder / "both.pem"
            pem.write_bytes(ca.cert_pem + ca.key_pem)
            random_file(folder / "first", SMALL)
            await _fetch(graph, source, target, folder / "first")
            before = await bytes_moved(graph, target)
            for turn in range(turns):
                path = folder / "file"
                await asyncio.to_thread(random_file, path, mebibytes)
                # In every other turn the other one goes first.
                took = await _fetch(graph, source, target, path) if turn % 2 else None
                copied = await asyncio.to_thread(copy, path, folder / "copy", pem)
                found.append((took or await _fetch(graph, source, target, path), copied))
            moved = (await bytes_moved(graph, target) - before) / (turns * mebibytes * _PIECE)
            memory = max(peak_mb(pid) for node in nodes[:2] for pid in _pids(node)[1:])
    finally:
        await graph.close()
    size = mebibytes * _PIECE
    return LargeFileFigure(
        mebibytes,
        statistics.median(size / took.seconds for took, _ in found),
        statistics.median(took.cpu * 2**30 / size for took, _ in found),
        statistics.median(size / copied.seconds for _, copied in found),
        statistics.median(copied.cpu * 2**30 / size for _, copied in found),
        statistics.median(copied.seconds / took.seconds for took, copied in found),
        statistics.median(took.cpu / copied.cpu for took, copied in found),
        moved,
        memory,
    )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    for key, value in asdict(asyncio.run(large_file(*(given or [512, 3])))).items():
        print(f"{key:20} {value:,.3f}")
