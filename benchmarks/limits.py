"""What this machine can do at most: signature checks, hashes, syncs of a file, its disk and a TLS connection on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from socket import create_connection, create_server, socket

from learningchain.chain.crypto import SigningKey, sha256, verify
from learningchain.p2p.tls import make_ca

VALIDATORS = 4
_KEYS = 64
_RECORD = 200
_PIECE = 2**20


@dataclass(frozen=True)
class Limits:
    """Rates per second, bytes per second where the name says so."""

    verify_one: float
    verify_two: float
    committee: float
    """Transfers: four validators on two cores that check each of them once."""
    fsync_ms: float
    fsync_p99_ms: float
    sha256_big_bytes: float
    sha256_small: float
    disk_bytes: float
    tls_bytes: float
    load: float
    """Load average when the round began."""


async def limits(seconds: float) -> Limits:
    """Takes about six times `seconds`."""
    return await asyncio.to_thread(_limits, seconds)


def _limits(seconds: float) -> Limits:
    load = os.getloadavg()[0]
    two = verify_rate(2, seconds)
    syncs = sync_times(seconds / 2)
    return Limits(
        verify_one=verify_rate(1, seconds),
        verify_two=two,
        committee=two / VALIDATORS,
        fsync_ms=statistics.median(syncs),
        fsync_p99_ms=quantile(syncs, 0.99),
        sha256_big_bytes=hash_rate(_PIECE, seconds / 4) * _PIECE,
        sha256_small=hash_rate(150, seconds / 4),
        disk_bytes=disk_rate(round(128 * seconds)),
        tls_bytes=tls_rate(round(256 * seconds)),
        load=load,
    )


def quantile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _work(seconds: float) -> float:
    """Verifications per second of one thread with parsed keys."""
    keys = [SigningKey(bytes([1]) * 31 + bytes([i])) for i in range(1, _KEYS + 1)]
    digests = [sha256(bytes([i])) for i in range(_KEYS)]
    cases = [(k.public, d, k.sign(d)) for k, d in zip(keys, digests, strict=True)]
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        if not all(verify(*case) for case in cases):
            raise RuntimeError("a good signature was refused")
        done += len(cases)
    return done / spent


def verify_rate(processes: int, seconds: float) -> float:
    """Verifications per second of so many processes at the same time."""
    if processes == 1:
        return _work(seconds)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_work, [0.05] * processes))
        return sum(pool.map(_work, [seconds] * processes))


def hash_rate(size: int, seconds: float) -> float:
    """SHA-256 of buffers of `size` bytes, hashes per second."""
    data, done, began = bytes(size), 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(16):
            hashlib.sha256(data).digest()
        done += 16
    return done / spent


def sync_times(seconds: float) -> list[float]:
    """Milliseconds of each append of 200 bytes and `fdatasync` on a preallocated file."""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, 2**24)
        os.fsync(file.fileno())
        ends = time.perf_counter() + seconds
        while (began := time.perf_counter()) < ends and len(times) < 2**24 // _RECORD:
            os.pwrite(file.fileno(), bytes(_RECORD), len(times) * _RECORD)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return times


def disk_rate(mebibytes: int) -> float:
    """Bytes per second written one after the other into a new file and synced at its end."""
    piece = os.urandom(_PIECE)
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(mebibytes):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return mebibytes * _PIECE / (time.perf_counter() - began)


def tls_rate(mebibytes: int) -> float:
    """Bytes per second through one TLS 1.3 connection on loopback, both ends on this machine."""
    with tempfile.TemporaryDirectory(prefix="learningchain-bench-") as folder, create_server(("127.0.0.1", 0)) as listener:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = make_ca(time.time())
        path = Path(folder) / "both.pem"
        path.write_bytes(authority.cert_pem + authority.key_pem)
        server.load_cert_chain(path)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        sender = threading.Thread(target=_send, args=(listener, server, mebibytes))
        sender.start()
        try:
            with client.wrap_socket(create_connection(listener.getsockname())) as link:
                link.recv(1)
                began, missing = time.perf_counter(), mebibytes * _PIECE - 1
                while missing > 0:
                    missing -= len(link.recv(_PIECE)) or missing
                return (mebibytes * _PIECE) / (time.perf_counter() - began)
        finally:
            sender.join()


def _send(listener: socket, context: ssl.SSLContext, mebibytes: int) -> None:
    piece = os.urandom(_PIECE)
    with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as link:
        for _ in range(mebibytes):
            link.sendall(piece)
