"""The block store on SQLite and on PostgreSQL, in turns: `python -m benchmarks.block_store [--heights N] [--json FILE]`.

Both wait for their disk with every transaction. The server runs on this machine and is reached by a unix socket, as it is at its
best; over a network each transaction costs some round trips more. Measured: heights of 200 transfers stored one by one, as a node
does where somebody waits for each, and handed over eight at a time, as it does while it catches up; a bucket of the state, which
the node reads between two votes; and a block with its transactions, as it is served.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from learningchain.chain.buckets import update
from learningchain.chain.crypto import sha256
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.buckets import _split
from tests.postgres import NoServer, Server
from tests.unit.storage_blocks import CHAIN, chain_of

TRANSFERS = 200
ACCOUNTS = 10_000
TOGETHER = 8
READS = 400
ROUNDS = 3


@contextlib.contextmanager
def opened(where: str) -> Iterator[BlockStore]:
    store = BlockStore.open(where, chain_id=CHAIN, create=True)
    try:
        yield store
    finally:
        store.close()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _decide(store: BlockStore, batch: CommitBatch) -> None:
    """What the state of a running node does before a height is stored: the buckets that it changes are read, and made anew."""
    changes = sorted(dict(batch.state).items())
    made = {n: update(store.buckets.bucket(n), found) for n, found in sorted(_split(changes).items())}
    store.buckets.put(batch.height, made)


def _one(store: BlockStore, batch: CommitBatch) -> None:
    _decide(store, batch)
    store.commit(batch)


def _together(store: BlockStore, batches: list[CommitBatch]) -> None:
    waiting = []
    for at in range(0, len(batches), TOGETHER):
        for batch in batches[at : at + TOGETHER]:
            _decide(store, batch)
        waiting.append(store.commit_async(*batches[at : at + TOGETHER]))
    for one in waiting:
        one.result()


def measured(where: str, batches: list[CommitBatch]) -> dict[str, float]:
    """Figures of one store, made anew at `where`. The first half of the heights goes one by one, the rest together."""
    half = len(batches) // 2
    with opened(where) as store:
        each = sorted(seconds(lambda batch=batch: _one(store, batch)) for batch in batches[:half])  # type: ignore[misc]
        rest = seconds(lambda: _together(store, batches[half:]))
    with opened(where) as store:  # nothing of it is in memory now
        numbers = [int.from_bytes(sha256(n.to_bytes(4, "big"))[:2], "big") for n in range(READS)]
        buckets = sorted(seconds(lambda n=n: store.buckets.bucket(n)) for n in numbers)  # type: ignore[misc]
        blocks = seconds(lambda: [store.block(1 + n % len(batches)) for n in range(READS)])
    return {
        "heights_per_s": half / sum(each),
        "height_p50_ms": 1_000 * statistics.median(each),
        "height_p99_ms": 1_000 * each[int(0.99 * (len(each) - 1))],
        "together_heights_per_s": (len(batches) - half) / rest,
        "bucket_p50_us": 1e6 * statistics.median(buckets),
        "bucket_p99_us": 1e6 * buckets[int(0.99 * (len(buckets) - 1))],
        "blocks_read_per_s": READS / blocks,
    }


def run(heights: int, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """The median of the rounds, by system. Raises `NoServer`."""
    batches = list(islice(chain_of(TRANSFERS, accounts=ACCOUNTS), heights))
    found: dict[str, list[dict[str, float]]] = {"sqlite": [], "postgresql": []}
    with tempfile.TemporaryDirectory(prefix="learningchain-store-", dir=Path.cwd() / ".run") as folder:
        server = Server(in_memory=False)
        try:
            server.start()
            for number in range(rounds):
                turns = [("sqlite", f"{folder}/db{number}"), ("postgresql", server.new_database())]
                for name, where in turns if number % 2 == 0 else reversed(turns):
                    found[name].append(measured(where, batches))
        finally:
            server.close()
    return {name: {key: statistics.median(one[key] for one in several) for key in several[0]} for name, several in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.block_store", description="SQLite and PostgreSQL as block stores.")
    parser.add_argument("--heights", type=int, default=400)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        found = run(given.heights)
    except NoServer as why:
        print(f"not measured: {why}")
        return 1
    for key in found["sqlite"]:
        print(f"{key:>24} {found['sqlite'][key]:>12.1f} {found['postgresql'][key]:>12.1f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
