"""Catching up, measured without a network: a fresh node gets a whole chain of full blocks as fast as it asks for it.

Everything else is the product's: its driver, helper processes, database and log on disk. The chain is made in this process, with
transfers of many payers; verification by two processes is measured before and after each replay, so that a slow moment of the
machine strikes both. `python -m benchmarks.catch_up` prints the figures.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.limits import verify_rate
from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Transfer
from learningchain.chain.crypto import SigningKey, account_id, sha256
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.genesis import Genesis, GenesisAccount, first_state
from learningchain.chain.ledger.state_diff import changes_of
from learningchain.chain.ledger.transition import chain_record, commit, validators_of
from learningchain.chain.ledger.tx import parse_tx, sign_tx
from learningchain.chain.node import candidates, decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.node import Node
from learningchain.chain.params import CREDIT, PROTOCOL_VERSION, Params
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import PRECOMMIT, Certificate, TxBody, block_id, net_of, vote_digest
from learningchain.client.daemon.running import GC_AFTER
from learningchain.client.keys.signing import LocalSigner
from learningchain.client.node.driver import Driver
from learningchain.p2p.gossip import GossipTargets

VALIDATORS = 4
LINK_MS = 2
LIMIT_S = 120.0
Stored = tuple[bytes, bytes, list[bytes], bytes]
"""Block, certificate, receipts, changes."""


@dataclass(frozen=True)
class Chain:
    genesis: Genesis
    blocks: list[Stored]
    txs: int


@dataclass(frozen=True)
class ReplayFigure:
    """Transactions per second, and ratios of neighbouring measurements."""

    txs: int
    txs_per_block: int
    payers: int
    verify_two: float
    full: float
    full_of_verify: float
    certificates: float
    certificates_of_full: float


# --- a chain ------------------------------------------------------------------------------------------------------------------


def _sign(args: tuple[bytes, bytes, bytes, int]) -> list[bytes]:
    chain_id, secret, target, count = args
    key, op, net = SigningKey(secret), [msgspec.Raw(encode(Transfer(target, 1, b"")))], net_of(chain_id)
    own = account_id(key.public)
    return [sign_tx(key, chain_id, TxBody(net, own, 0, n, 90_000, op)) for n in range(count)]


def make_chain(blocks: int, txs_per_block: int, payers: int) -> Chain:
    """Blocks of transfers from each payer to the next, with certificates of three of four validators."""
    validators = [SigningKey(sha256(b"validator %d" % i)) for i in range(VALIDATORS)]
    keys = [SigningKey(sha256(b"payer %d" % i)) for i in range(payers)]
    accounts = [GenesisAccount(k.public, 1_000 * CREDIT, i < VALIDATORS, True) for i, k in enumerate([*validators, *keys])]
    genesis = Genesis(PROTOCOL_VERSION, "replay", 1_700_000_000_000, Params(), accounts, b"", b"")
    chain_id, ids = genesis.chain_id, [account_id(k.public) for k in keys]
    each = blocks * txs_per_block // payers
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [(chain_id, k.secret, ids[(i + 1) % payers], each) for i, k in enumerate(keys)]
        signed = list(pool.map(_sign, jobs, chunksize=16))
    order = [signed[i][n] for n in range(each) for i in range(payers)]
    made = _decide(genesis, {account_id(k.public): k for k in validators}, order, txs_per_block)
    return Chain(genesis, made, len(order))


def _decide(genesis: Genesis, keys: dict[bytes, SigningKey], order: list[bytes], txs_per_block: int) -> list[Stored]:
    state, _ = first_state(genesis)
    chain_id = head = genesis.chain_id
    made: list[Stored] = []
    for start in range(0, len(order), txs_per_block):
        txs = [parse_tx(raw) for raw in order[start : start + txs_per_block]]
        for tx in txs:
            account = state.get(account_key(tx.body.sender))
            tx.checked_key = account.key if isinstance(account, Account) else None  # just signed
        record, validators = chain_record(state), validators_of(state)
        proposer = validators[(record.height + 1) % len(validators)].id
        secret = sha256(b"beacon" + proposer)
        candidate, executed = candidates.build(state, proposer, secret, 0, head, record.time + 1_000, txs)
        if executed.skipped:
            raise RuntimeError(f"a transfer was skipped: {executed.skipped[0][1]}")
        head = block_id(candidate.header)
        digest = vote_digest(chain_id, PRECOMMIT, candidate.header.height, 0, head)
        signatures = [keys[v.id].sign(digest) for v in validators[:3]]
        certificate = Certificate(candidate.header.height, 0, head, [0, 1, 2], signatures)
        told = encode(changes_of(executed.encoded))
        made.append((candidates.encoded(candidate), encode(certificate), executed.receipt_bytes, told))
        commit(state, executed)
    return made


# --- a replay -----------------------------------------------------------------------------------------------------------------


class _Server:
    """Stands for network and peer: answers every request for blocks after the time of a link."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.driver: Driver | None = None
        self.refused: list[str] = []

    def send(self, peer: bytes, _channel: int, payload: bytes, _lane: int) -> None:
        question = m.decode_message(payload)
        if isinstance(question, m.GetBlocks | m.GetExecutedBlocks):
            outcomes = isinstance(question, m.GetExecutedBlocks)
            found, size = [], 0
            for stored in self._chain.blocks[question.start - 1 :][: question.count]:
                size += len(stored[0]) + (sum(map(len, stored[2])) + len(stored[3]) if outcomes else 0)
                found.append(stored)
                if size >= m.MAX_SYNC_BYTES:
                    break
            answer = decided.executed_blocks(found) if outcomes else decided.answer([stored[:2] for stored in found])
            event = e.Received(peer, encode(answer))
            asyncio.get_running_loop().call_later(LINK_MS / 1_000, lambda: self._feed(event))

    def queued(self, _peer: bytes, _lane: int) -> int:
        return 0

    def _feed(self, event: e.Received) -> None:
        if self.driver is not None:
            self.driver.feed(event)

    def broadcast(self, *_: Any) -> None:
        """There is nobody else."""

    def penalize(self, _peer: bytes, reason: str) -> None:
        self.refused.append(reason)


async def _replay(chain: Chain, folder: Path, trusting: int) -> float:
    """Seconds from the first request to the last height on disk."""
    genesis, chain_id = chain.genesis, chain.genesis.chain_id
    store = BlockStore.open(str(folder / "db"), chain_id=chain_id, create=True)
    store.commit(CommitBatch(0, chain_id, b"", b"", [], [], [], first_state(genesis)[1]))
    state = store.open_state()  # as the daemon does
    wal, guard = (
        Wal.open(str(folder / "wal"), chain_id=chain_id, create=True),
        Guard.create(str(folder / "guard"), chain_id=chain_id),
    )
    key = SigningKey(sha256(b"payer 0"))
    node = Node(account_id(key.public), sha256(b"beacon"), state, chain_id, signed=guard.signed, trusting=trusting)
    done = asyncio.get_running_loop().create_future()

    def decided_(d: e.Decided) -> None:
        if d.height == len(chain.blocks):
            done.set_result(None)

    server: Any = _Server(chain)
    driver = server.driver = Driver(
        node,
        signer=LocalSigner(key, guard, chain_id, account_id(key.public)),
        store=store,
        wal=wal,
        gossip=GossipTargets(8, random.Random(1)),
        on_decided=decided_,
        on_dropped=lambda _: None,
        on_evidence=lambda _: None,
    )
    try:
        await driver._helpers.are_signed(chain_id, [(key.public, chain.blocks[0][0][:200])] * 2_000)  # started, as in a long replay
        driver.start(server)
        driver.feed(e.PeerUp(bytes(20)))
        began = time.perf_counter()
        driver.feed(e.Received(bytes(20), encode(m.Status(len(chain.blocks), 1))))
        async with asyncio.timeout(LIMIT_S):
            await asyncio.wait({done, driver.failed}, return_when=asyncio.FIRST_COMPLETED)
        seconds = time.perf_counter() - began
        if not done.done() or server.refused:
            raise RuntimeError(f"the replay failed: {server.refused or driver.failed.exception()}")
        return seconds
    finally:
        driver.stop()
        for part in (store, wal, guard):
            part.close()


def replay_rate(chain: Chain, trusting: int) -> float:
    """Transactions per second; `trusting` as of a node: 0 executes every block."""
    import uvloop

    with (
        tempfile.TemporaryDirectory(prefix="learningchain-replay-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return chain.txs / runner.run(_replay(chain, Path(folder), trusting))


def replay(
    *, rounds: int = 3, blocks: int = 40, txs_per_block: int = 1_000, payers: int = 500, verify_s: float = 1.0
) -> ReplayFigure:
    """Medians over rounds of: verification, full replay, replay by certificates, verification."""
    chain = make_chain(blocks, txs_per_block, payers)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_AFTER)  # as the daemon does
    verify, full, certificates, of_verify, of_full = [], [], [], [], []
    for _ in range(rounds):
        before = verify_rate(2, verify_s)
        full.append(replay_rate(chain, 0))
        after = verify_rate(2, verify_s)
        certificates.append(replay_rate(chain, 1))
        verify.append((before + after) / 2)
        of_verify.append(full[-1] / verify[-1])
        of_full.append(certificates[-1] / full[-1])
    middle = statistics.median
    return ReplayFigure(
        chain.txs, txs_per_block, payers, middle(verify), middle(full), middle(of_verify), middle(certificates), middle(of_full)
    )


if __name__ == "__main__":
    for name, value in asdict(replay()).items():
        print(f"{name:24} {value:,.2f}")
