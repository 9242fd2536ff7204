"""The node's helper processes beside the library's: python -m benchmarks.helpers

`ProcessPoolExecutor` would do in fewer lines what `client.node.helpers` does by hand, and as quickly. It is not used because of how
it ends: its processes outlive a node that is killed, and a node that ends waits for the piece under way, a snapshot's minutes.
`tests/unit/test_client_helpers.py` tries both on ours; this compares the speed, in turns.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor

from learningchain.chain.crypto import SigningKey
from learningchain.chain.ledger.tx import sign_tx
from learningchain.chain.node.checks import Check, are_signed
from learningchain.chain.types import TxBody, net_of
from learningchain.client.node import process
from learningchain.client.node.helper import NICE
from learningchain.client.node.helpers import PIECE, Helpers

CHAIN = bytes(range(32))
CHECKS = 20_000
ROUNDS = 5

_Check = Callable[[list[Check]], Awaitable[bytes]]


def _signed(count: int) -> list[Check]:
    key = SigningKey(bytes([1]) * 32)
    body = TxBody(net_of(CHAIN), bytes(20), 0, 0, 9, [])
    return [(key.public, sign_tx(key, CHAIN, body))] * count


def _begin() -> None:
    """What a helper does first: see `client.node.helper.serve`."""
    process.guard()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)


def _of_library(pool: ProcessPoolExecutor) -> _Check:
    async def check(wanted: list[Check]) -> bytes:
        pieces = (wanted[i : i + PIECE] for i in range(0, len(wanted), PIECE))
        loop = asyncio.get_running_loop()
        return b"".join(await asyncio.gather(*(loop.run_in_executor(pool, are_signed, CHAIN, piece) for piece in pieces)))

    return check


async def _rate(check: _Check, wanted: list[Check]) -> float:
    began = time.perf_counter()
    if await check(wanted) != b"\1" * len(wanted):
        raise RuntimeError("signatures were not found good, or the processes failed")
    return len(wanted) / (time.perf_counter() - began)


async def compare() -> list[tuple[float, float]]:
    """Checks a second of our processes and of the library's, round by round. Raises `RuntimeError`."""
    wanted, helpers, found = _signed(CHECKS), Helpers(), []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(helpers._count, mp_context=context, initializer=_begin) as pool:

        async def ours(checks: list[Check]) -> bytes:
            return await helpers.are_signed(CHAIN, checks)

        theirs = _of_library(pool)
        for check in (ours, theirs):
            await check(wanted[: 4 * PIECE])  # started
        for _ in range(ROUNDS):
            found.append((await _rate(ours, wanted), await _rate(theirs, wanted)))
    helpers.close()
    return found


def main() -> None:
    if Helpers()._count < 2:
        raise SystemExit("a machine with one processor has no helpers")
    found = asyncio.run(compare())
    for ours, theirs in found:
        print(f"ours {ours:,.0f} checks/s, ProcessPoolExecutor {theirs:,.0f}, ratio {ours / theirs:.2f}")
    print(f"ratio, median: {statistics.median(ours / theirs for ours, theirs in found):.2f}")


if __name__ == "__main__":
    main()
