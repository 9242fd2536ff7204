"""What past jobs leave in the state: all of their records while these are kept, and their contractors' counts after.

python -m benchmarks.pruned [JOBS [ACCOUNTS]]

Jobs with three claims and three votes each, three in four of which ended within the last hour (`benchmarks.growth_state`); then
blocks of a minute, without transactions, until these have left (`job_keep` of an hour). A state without jobs stands beside it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.growth_state import grown, jobs
from learningchain.chain.buckets import whole
from learningchain.chain.codec import encode
from learningchain.chain.contracts.job import records as r
from learningchain.chain.crypto import ZERO_HASH, SigningKey
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state, make_params
from learningchain.chain.ledger.snapshot import encode_bucket
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BlockInput, apply_block, chain_record, commit, validators_of

HOUR, MINUTE = 3_600_000, 60_000
START = 1_000 * HOUR


@dataclass(frozen=True)
class StateSize:
    keys: int
    tree_bytes: int
    """Of its buckets, as they lie in the database."""
    snapshot_bytes: int


@dataclass(frozen=True)
class PrunedFigure:
    jobs: int
    accounts: int
    with_past: StateSize
    pruned: StateSize
    """Only the jobs that have not ended."""
    without_jobs: StateSize
    blocks: int
    """Until all that had ended had left."""
    archived_bytes: int
    slowest_block_ms: float
    per_job_us: float
    """Processor time of the blocks for each job that left."""


def size(state: State) -> StateSize:
    keys = tree = snapshot = 0
    for number in range(2**16):
        bucket = whole(state.bucket(number))
        if bucket:
            tree += len(bucket)
            snapshot += len(encode_bucket(bucket))
    keys = sum(1 for _ in state.items())
    return StateSize(keys, tree, snapshot)


def _genesis() -> Genesis:
    params, contracts = make_params(job_keep=HOUR)
    account = GenesisAccount(SigningKey(b"\x01" * 32).public, 10**12, True, True)
    return Genesis(1, "pruned", START, params, [account], b"", b"", contracts)


def made(job_count: int, accounts: int) -> State:
    items = {key: raw for key, raw in first_state(_genesis())[1] if raw is not None}
    items |= dict(grown(accounts, 0, 0, 100, START))
    ids = [key[2:] for key in items if key.startswith(b"a/")]
    items |= {key: encode(record) for key, record in jobs(job_count, ids, START, HOUR)} if job_count else {}
    return State.load(items.items())


def leave(state: State, first: list[bytes]) -> tuple[int, int, list[float]]:
    """(blocks, bytes archived, processor seconds of each block) until every job has left that ended before."""
    archived, took = 0, list[float]()
    while _ended(state, first):
        parent = chain_record(state)
        begin = time.process_time()
        block = BlockInput(parent.height + 1, parent.time + MINUTE, validators_of(state)[0].id, ZERO_HASH, ZERO_HASH, [])
        executed = apply_block(state, block)
        commit(state, executed)
        took.append(time.process_time() - begin)
        archived += sum(len(key) + len(raw) for key, raw in executed.archived)
    return len(took), archived, took


def _ended(state: State, among: list[bytes]) -> bool:
    """Whether any of these numbers of jobs is still in the state."""
    return any(state.get(key) is not None for key in among)


def measure(job_count: int, accounts: int) -> PrunedFigure:
    without = size(made(0, accounts))
    state = made(job_count, accounts)
    before = size(state)
    live = {state.get(key).number for key in state.keys(r.live_key(b""))}  # type: ignore[union-attr]
    first = [key for key in state.keys(r.NUMBERS.prefix) if int.from_bytes(key[3:], "big") not in live]
    blocks, archived, took = leave(state, first)
    return PrunedFigure(
        job_count, accounts, before, size(state), without, blocks, archived, max(took) * 1_000, sum(took) / len(first) * 1_000_000
    )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    for name, value in asdict(measure(*(given + [20_000, 2_000][len(given) :]))).items():
        print(f"{name:20} {value}")
