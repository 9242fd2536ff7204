"""What a block, a restart and the memory cost when the state has grown: a small and a large state side by side.

python -m benchmarks.growth [ACCOUNTS] [JOBS]
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.graph import PASSPHRASE, Member, config, free_ports, start
from benchmarks.growth_state import grown, payer
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state, to_json
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, commit, validators_of
from learningchain.chain.ledger.tx import ParsedTx, check_sender, find_sender, parse_tx, sign_tx
from learningchain.chain.node import candidates, decided
from learningchain.chain.params import CREDIT, PROTOCOL_VERSION, Params
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import PRECOMMIT, Block, Certificate, TxBody, block_id, net_of, vote_digest
from learningchain.client.keys.keystore import Keystore
from learningchain.p2p.tls import make_ca

TRANSFERS = 500
BLOCKS = 60
COLD = 10
"""Blocks of each state just after it was opened, when most buckets are read for the first time."""
VERIFIERS = 1_000
LIMIT_S = 120.0


@dataclass(frozen=True)
class BlockCost:
    """Processor milliseconds of a block of `TRANSFERS` transfers between accounts drawn at random, medians."""

    check: float
    """Decoding and signatures."""
    execute: float
    """Applying the transactions, the new tree, making it the state."""
    store: float
    """The database, its thread and its checkpoints included."""

    @property
    def whole(self) -> float:
        return self.check + self.execute + self.store


@dataclass(frozen=True)
class Restart:
    """Until the node answers with its height: seconds after a clean end and after a kill, and its resident memory in MB."""

    clean_s: float
    killed_s: float
    rss_mb: float


@dataclass(frozen=True)
class Growth:
    accounts: int
    jobs: int
    records: int
    small: BlockCost
    large: BlockCost
    ratio: float
    """Of the whole block, as each node has to do it."""
    ratio_without_signatures: float
    small_cold: BlockCost
    large_cold: BlockCost
    ratio_cold: float
    """Just after a start."""
    restart: Restart
    database_bytes_per_account: float
    """The database over the accounts: with their share of members and jobs."""
    rss_mb_after_blocks: float
    """Of the process that held both states and ran the blocks."""


class Chain:
    """One validator's database, its state, and blocks made for them."""

    def __init__(self, folder: Path, accounts: int, jobs: int, signing: int, second: SigningKey | None = None) -> None:
        """`second` is the key of another of the four validators."""
        self.folder, self.signing, self.accounts = folder, signing, accounts
        folder.mkdir(mode=0o700)
        self.identity = Keystore.create(folder / "keystore.json", PASSPHRASE)
        now = time.time()
        ca = make_ca(now)
        owner = GenesisAccount(self.identity.key.public, CREDIT, True, False)
        # The other three never run: the node stays at its height.
        keys = [second or SigningKey(bytes([1]) * 32), SigningKey(bytes([2]) * 32), SigningKey(bytes([3]) * 32)]
        others = [GenesisAccount(key.public, CREDIT, True, False) for key in keys]
        genesis = Genesis(PROTOCOL_VERSION, "growth", int(now * 1000) - 1_000, Params(), [owner, *others], ca.cert_pem, ca.key_pem)
        (folder / "genesis.json").write_bytes(to_json(genesis))
        self.begin(genesis, [self.identity.key, *keys], jobs)

    def begin(self, genesis: Genesis, keys: list[SigningKey], jobs: int) -> None:
        """The database with its first block, in the folder of one of the validators, whose keys are `keys`."""
        first = [(key, raw) for key, raw in first_state(genesis)[1] if raw is not None]
        self.fill(genesis, keys, [*first, *grown(self.accounts, jobs, self.signing, VERIFIERS, genesis.time)])

    def fill(self, genesis: Genesis, keys: list[SigningKey], records: Iterable[tuple[bytes, bytes]]) -> None:
        """The same with the records (encoded, by key) that the first block finds."""
        folder = self.folder
        self.keys = {account_id(k.public): k for k in keys}
        self.store = BlockStore.open(str(folder / "db"), chain_id=genesis.chain_id, create=True)
        self.chain_id, self.head = genesis.chain_id, genesis.chain_id
        with self.store.engine.begin() as connection:
            self.store.buckets.fill(connection, 0, records)
        self.store.close()
        self.reopen()
        self.sequences: dict[bytes, int] = {}
        self.block([])
        lock = DataDir.open(str(folder), create=False)
        Wal.open(lock.wal, chain_id=self.chain_id, create=True).close()
        Guard.create(lock.guard, chain_id=self.chain_id).close()
        lock.close()

    def reopen(self) -> None:
        self.store = BlockStore.open(str(self.folder / "db"), chain_id=self.chain_id, create=False)
        self.state: State = self.store.open_state()

    def transfers(self, rng: random.Random) -> list[bytes]:
        """Signed, each from and to an account drawn at random."""
        members = self.state.keys(b"m/")
        return [self._transfer(payer(n), rng.choice(members)[2:]) for n in rng.sample(range(self.signing), TRANSFERS)]

    def _transfer(self, key: SigningKey, target: bytes) -> bytes:
        own = account_id(key.public)
        sequence = self.sequences.get(own, 0)
        self.sequences[own] = sequence + 1
        op = [msgspec.Raw(encode(Transfer(target, 1, b"")))]
        return sign_tx(key, self.chain_id, TxBody(net_of(self.chain_id), own, 2, sequence, 90_000, op))

    def block(self, raws: list[bytes]) -> BlockCost:
        times = [time.process_time()]
        txs = [parse_tx(raw) for raw in raws]
        for tx in txs:
            check_sender(self.chain_id, tx, find_sender(self.state, self.chain_id, tx))
        times.append(time.process_time())
        batch = self._execute(txs)
        times.append(time.process_time())
        self.store.commit(batch)
        times.append(time.process_time())
        return BlockCost(*(1000 * (b - a) for a, b in pairwise(times)))

    def _execute(self, txs: list[ParsedTx]) -> CommitBatch:
        now = int(time.time() * 1000)
        proposer = self._proposer()
        beacon_key = self.identity.beacon_key if proposer == self.identity.id else sha256(b"beacon" + proposer)
        candidate, executed = candidates.build(self.state, proposer, beacon_key, 0, self.head, now, txs)
        if len(executed.txs) != len(txs):
            raise RuntimeError(f"a transfer was refused: {executed.skipped[0][1].text}")
        block: Block = candidate.block()
        certificate = self._certificate(block)
        commit(self.state, executed)
        c = decided.commit(block, certificate, executed, durable=True)
        self.head = c.block_id
        return CommitBatch(c.height, c.block_id, c.block, c.certificate, c.tx_ids, c.receipts, c.account_index, c.state)

    def _proposer(self) -> bytes:
        """LC-CON-4: a node that takes the chain from this one checks whose turn it was."""
        validators = validators_of(self.state)
        return validators[(chain_record(self.state).height + 1) % len(validators)].id

    def _certificate(self, block: Block) -> Certificate:
        header, identity = block.header, block_id(block.header)
        digest = vote_digest(self.chain_id, PRECOMMIT, header.height, 0, identity)
        signatures = [self.keys[i].sign(digest) for i in sorted(self.keys)]
        return Certificate(header.height, 0, identity, list(range(len(signatures))), signatures)


def blocks(small: Chain, large: Chain, count: int) -> tuple[BlockCost, BlockCost]:
    """In turns, the same number of blocks on each."""
    rng = random.Random(count)
    work = [(chain, chain.transfers(rng)) for _ in range(count) for chain in (small, large)]
    gc.collect()
    gc.freeze()
    costs: dict[Chain, list[BlockCost]] = {small: [], large: []}
    for chain, raws in work:
        costs[chain].append(chain.block(raws))
    return _median(costs[small]), _median(costs[large])


def use_everything(chain: Chain) -> None:
    """As after some hours of use: every bucket was needed once."""
    for _ in chain.state.items():
        pass


def _median(costs: list[BlockCost]) -> BlockCost:
    return BlockCost(*(statistics.median(getattr(c, name) for c in costs) for name in ("check", "execute", "store")))


def restart(chain: Chain) -> Restart:
    """A real daemon on the chain's folder, which no process holds."""
    p2p, api = free_ports(2)
    member = Member("grown", chain.folder, chain.identity.key, p2p, api, True)
    (chain.folder / "config.toml").write_text(config(member, [member]))
    height = chain.state.get(b"g/").height  # type: ignore[union-attr]
    _started(member, height)
    _end(member, signal.SIGKILL)
    killed, _ = _started(member, height)
    _end(member, signal.SIGTERM)
    clean, rss = _started(member, height)
    _end(member, signal.SIGKILL)
    return Restart(clean, killed, rss)


def _started(member: Member, height: int) -> tuple[float, float]:
    began = time.perf_counter()
    start(member)
    process: subprocess.Popen[bytes] | None = member.process
    while time.perf_counter() - began < LIMIT_S and process is not None and process.poll() is None:
        try:
            request = urllib.request.Request(member.url + "/v1/status", headers=member.headers())
            with urllib.request.urlopen(request, timeout=5) as answer:
                if json.load(answer)["height"] != height:
                    raise RuntimeError("the node answers with another height")
            seconds = time.perf_counter() - began
            status = Path(f"/proc/{process.pid}/status").read_text()
            return seconds, int(status.split("VmRSS:")[1].split()[0]) / 1024
        except (OSError, FileNotFoundError):
            time.sleep(0.02)
    raise RuntimeError(f"the node did not start:\n{(member.folder / 'log').read_text()[-2000:]}")


def _end(member: Member, how: signal.Signals) -> None:
    if member.process is not None:
        member.process.send_signal(how)
        member.process.wait()
        member.process = None


def growth(accounts: int = 1_000_000, jobs: int = 100_000, *, small: int = 10_000, count: int = BLOCKS) -> Growth:
    """Needs about 2 kB of disk and of memory for each account while the state is made."""
    folder = Path(tempfile.mkdtemp(prefix="learningchain-growth-"))
    try:
        signing = TRANSFERS * (count + COLD)
        grown_ = Chain(folder / "large", accounts, jobs, min(accounts, signing))
        little = Chain(folder / "small", small, small * jobs // accounts, min(small, signing))
        first_cold, second_cold = blocks(little, grown_, COLD)
        use_everything(little)
        use_everything(grown_)
        first, second = blocks(little, grown_, count)
        rss = int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
        records = sum(1 for _ in grown_.store.load_state())
        grown_.store.close()
        little.store.close()
        return Growth(
            accounts=accounts,
            jobs=jobs,
            records=records,
            small=first,
            large=second,
            ratio=second.whole / first.whole,
            small_cold=first_cold,
            large_cold=second_cold,
            ratio_cold=second_cold.whole / first_cold.whole,
            ratio_without_signatures=(second.execute + second.store) / (first.execute + first.store),
            restart=restart(grown_),
            database_bytes_per_account=os.path.getsize(grown_.folder / "db") / accounts,
            rss_mb_after_blocks=rss,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    figure = growth(*given)
    print(json.dumps(asdict(figure), indent=2))
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
