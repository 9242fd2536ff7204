"""What a vote costs by a key in the node and by a remote signer: python -m benchmarks.signing [VOTES]

Each vote goes through the last-signed guard, whose sync is part of both: one after the other, as consensus asks for them. The
signer is another process, behind a Unix socket and behind TCP on loopback, with the certificates of both sides.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.storage.guard import Guard
from learningchain.chain.types import PREVOTE
from learningchain.client.keys.keystore import Identity
from learningchain.client.keys.signing import LocalSigner, SignedByUs, Signer
from learningchain.client.signer import pairing
from learningchain.client.signer.pairing import Pairing, ServerSecrets
from learningchain.client.signer.remote import RemoteSigner
from learningchain.client.signer.server import SignerServer

CHAIN = sha256(b"the chain")
KEY = SigningKey(sha256(b"the key"))
OWN = Identity(KEY, account_id(KEY.public), sha256(b"the beacon"))
VOTES = 1_000
ROUNDS = 3


def serve(folder: str, secrets: ServerSecrets) -> None:
    async def run() -> None:
        guard = Guard.create(f"{folder}/guard", chain_id=CHAIN)
        server = SignerServer(OWN, guard, transactions=True)
        await server.start(pairing.parse_place(secrets.listen), pairing.server_context(secrets))
        await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def seconds(signer: Signer, votes: int, first: int) -> list[float]:
    """From asking to being told, of each vote."""
    told: asyncio.Queue[SignedByUs] = asyncio.Queue()
    signer.serve(told.put_nowait)
    found = []
    for height in range(first, first + votes):
        began = time.perf_counter()
        signer.sign(SignVote(PREVOTE, height, 0, CHAIN))
        await told.get()
        found.append(time.perf_counter() - began)
    return found


async def local(folder: Path, votes: int) -> list[float]:
    guard = Guard.create(str(folder / "guard"), chain_id=CHAIN)
    try:
        return await seconds(LocalSigner(KEY, guard, CHAIN, OWN.id), votes, 1)
    finally:
        guard.close()


def remote(place: Callable[[Path], str]) -> Callable[[Path, int], Awaitable[list[float]]]:
    async def measure(folder: Path, votes: int) -> list[float]:
        where = place(folder)
        secrets, paired = pairing.make(where, where, OWN.address, KEY.public, time.time())
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(folder), secrets), daemon=True)
        process.start()
        try:
            return await _asked(paired, votes)
        finally:
            process.kill()
            process.join()

    return measure


async def _asked(paired: Pairing, votes: int) -> list[float]:
    signer = RemoteSigner(paired, CHAIN)
    try:
        if not await signer.start(30.0):
            raise RuntimeError(f"the signer did not start: {signer.failing()}")
        return await seconds(signer, votes, 1)
    finally:
        await signer.stop()


def tcp(_: Path) -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"tcp:127.0.0.1:{s.getsockname()[1]}"


WAYS = {
    "a key in the process": local,
    "a signer, Unix socket": remote(lambda folder: f"unix:{folder}/s"),
    "a signer, TCP on loopback": remote(tcp),
}


async def main() -> None:
    votes = int(sys.argv[1]) if len(sys.argv) > 1 else VOTES
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name] += await way(Path(folder), votes)
    for name, times in found.items():
        middle, most = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        print(f"{name:28} {middle * 1e6:8.0f} us a vote, 95 % within {most * 1e6:8.0f} us")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
