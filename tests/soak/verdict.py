"""What is looked at when a soak is over: every node's disk, with the checkers of the simulator wherever they are pure.

Nodes are stopped; their databases are read as they lie there. One chain is executed again from genesis, with the ledger and
with the second implementation; all the others must hold the same blocks, each with a sound certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learningchain.chain.codec import decode
from learningchain.chain.errors import BrokenInvariant, Malformed
from learningchain.chain.host import ACTIVE, K_SUPPLY, Account, Supply, account_key
from learningchain.chain.ledger.genesis import Genesis, first_state
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import commit, validators_of
from learningchain.chain.node import decided
from learningchain.chain.storage.blockstore import BlockStore, StoredBlock
from learningchain.chain.storage.errors import StorageError
from learningchain.chain.types import Block, Certificate, LogEvent, Receipt, block_id, check_certificate, decode_block, tx_id
from tests.processes.harness import Graph, NodeProcess
from tests.processes.journal import contradictions
from tests.sim.checks_chain import Broken, ChainCheck

BAD_WORDS = ("broken invariant", "signed twice", "Traceback", "a background task failed", "] blocked ")
"""What no honest node's log may hold."""
BAD_TOPICS = frozenset({"validator.ejected", "double.signing", "banned", "suspended"})
MAX_RECEIPT = 4_000_000


@dataclass
class Findings:
    violations: list[str] = field(default_factory=list)
    heights: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    transactions: int = 0
    signatures: int = 0

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.violations.append(otherwise)


class Chain:
    """One chain, executed again; `ids[h]` is its block at height h."""

    def __init__(self, genesis: Genesis, findings: Findings) -> None:
        self.genesis, self.findings = genesis, findings
        self.state, items = first_state(genesis)
        self.check = ChainCheck(genesis.chain_id, list(items))
        self.ids: list[bytes] = [genesis.chain_id]
        self.sets = {1: validators_of(self.state)}
        self.height_of: dict[bytes, int] = {}

    def follow(self, store: BlockStore, top: int) -> None:
        """Raises `Broken`, `BrokenInvariant`, `Malformed`, `StorageError` where the disk does not hold what was to be decided."""
        for height in range(1, top + 1):
            stored = store.block(height)
            if stored is None:
                raise Broken(f"height {height} is missing")
            self._execute(stored, store.receipts(height) or [])

    def _execute(self, stored: StoredBlock, receipts: list[bytes]) -> None:
        block: Block = decode_block(stored.block)
        certificate = decode(Certificate, stored.certificate, 65_536)
        check_certificate(self.genesis.chain_id, certificate, self.sets[stored.height])
        executed = decided.redo(self.state, self.ids[-1], block, None)
        if receipts != executed.receipt_bytes:
            raise Broken(f"height {stored.height}: other receipts are stored than its transactions give")
        made = decided.commit(block, certificate, executed, durable=True)
        self.check.committed(made, block)
        self.check.receipts(stored.height, [decode(Receipt, raw, MAX_RECEIPT) for raw in receipts])
        commit(self.state, executed)
        self._look_at_events(stored.height, executed.receipts)
        self.ids.append(stored.block_id)
        self.sets[stored.height + 1] = validators_of(self.state)
        self.height_of |= {tx_id(raw): stored.height for raw in block.txs}
        self.findings.blocks += 1
        self.findings.transactions += len(block.txs)

    def _look_at_events(self, height: int, receipts: list[Receipt]) -> None:
        topics = {event.topic for receipt in receipts for event in receipt.events if isinstance(event, LogEvent)}
        for topic in sorted(topics & BAD_TOPICS):
            self.findings.must(False, f"height {height}: an honest member was met by {topic}")


def judge(graph: Graph, journals: Mapping[str, Path], final: Mapping[str, int], seen: Mapping[int, str]) -> Findings:
    """All nodes are stopped. `final` are heights of transactions by id, `seen` block ids by height, as nodes told them."""
    found = Findings()
    stores: dict[str, BlockStore] = {}
    for node in (node for node in graph if node.log.exists()):  # the late joiner may never have been started
        try:
            stores[node.name] = BlockStore.open(str(node.data / "db"), chain_id=graph.genesis.chain_id, create=False)
        except StorageError as fault:
            found.must(False, f"{node.name}: {fault}")
    try:
        found.heights = {name: head.height if (head := store.head()) else 0 for name, store in stores.items()}
        longest = max(found.heights, key=lambda name: found.heights[name])
        chain = Chain(graph.genesis, found)
        try:
            chain.follow(stores[longest], found.heights[longest])
        except (Broken, BrokenInvariant, Malformed, StorageError) as fault:
            found.must(False, f"{longest}: {type(fault).__name__}: {fault}")
        else:
            _end_state(graph, chain, found)
            _promises(chain, final, seen, found)
        for name, store in stores.items():
            _same(name, store, chain, found)
    finally:
        for store in stores.values():
            store.close()
    for name, journal in journals.items():
        found.signatures += len(journal.read_text().splitlines()) if journal.exists() else 0
        found.must(not (twice := contradictions(journal)), f"{name} signed twice at {twice[:5]}")
    for node in graph:
        _log(node, found)
    return found


def _end_state(graph: Graph, chain: Chain, found: Findings) -> None:
    """Supply, members and validators after the last block."""
    try:
        chain.check.supply()
    except Broken as fault:
        found.must(False, str(fault))
    supply: Any = chain.state.get(K_SUPPLY)
    granted = sum(account.credits for account in graph.genesis.accounts)
    found.must(isinstance(supply, Supply) and supply.minted == granted, "credits were minted")
    found.must(chain.state.total() == supply.minted - supply.burned, "accounts and escrows do not add up to the supply")
    present = {v.id for v in validators_of(chain.state)}
    for role, node in zip(graph.roles, graph, strict=True):
        account: Any = chain.state.get(account_key(node.id))
        if role.member:
            found.must(isinstance(account, Account) and account.status == ACTIVE, f"{node.name} is not an active member any more")
        found.must(not role.validator or node.id in present, f"the honest validator {node.name} lost its seat")


def _promises(chain: Chain, final: Mapping[str, int], seen: Mapping[int, str], found: Findings) -> None:
    """Nothing that a node once called final is lost or different."""
    for tx, height in final.items():
        found.must(chain.height_of.get(bytes.fromhex(tx)) == height, f"transaction {tx[:16]} was final at height {height}")
    for height, key in seen.items():
        here = chain.ids[height].hex() if height < len(chain.ids) else "nothing"
        found.must(here == key, f"height {height} was shown as {key[:16]}, on disk is {here[:16]}")


def _same(name: str, store: BlockStore, chain: Chain, found: Findings) -> None:
    """Another node's disk: the same blocks, sound certificates, a state whose root is the head's."""
    try:
        store.check(True)
        root = State.load(store.load_state()).root
    except (StorageError, Malformed) as fault:
        found.must(False, f"{name}: {fault}")
        return
    head = store.head()
    if head is None or head.header is None:
        found.must(False, f"{name} has no blocks")
        return
    found.must(head.header.state_root == root, f"{name}: its state is not that of its head")
    for height in range(1, min(head.height + 1, len(chain.ids))):
        stored = store.block(height)
        if (
            stored is None
            or stored.block_id != chain.ids[height]
            or block_id(decode_block(stored.block).header) != chain.ids[height]
        ):
            found.must(False, f"agreement: {name} has another block {height}")
            return
        try:
            check_certificate(chain.genesis.chain_id, decode(Certificate, stored.certificate, 65_536), chain.sets[height])
        except Malformed as fault:
            found.must(False, f"{name}: an unsound certificate of height {height}: {fault}")


def _log(node: NodeProcess, found: Findings) -> None:
    text = node.log.read_text("utf-8", "replace") if node.log.exists() else ""
    for words in BAD_WORDS:
        if words in text:
            line = next(line for line in text.splitlines() if words in line)
            found.must(False, f"{node.name} says: {line[:300]}")
