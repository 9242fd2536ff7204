"""Answers of peers that catching up waits for: blocks that came, taken apart, until their turn to be executed. Pure and bounded.

While one batch is executed the signatures of the next are checked elsewhere and the one after is on its way. What is checked ahead
rests on the keys that the state had when the batch came: a transaction whose sender has another key by then is checked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from learningchain.chain.codec import encode
from learningchain.chain.errors import InvalidTx, Malformed
from learningchain.chain.host import Account, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.tx import ParsedTx
from learningchain.chain.merkle import list_root
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.candidates import parse_all
from learningchain.chain.node.checks import Check, Hashed, Unhashed, hash_blocks
from learningchain.chain.node.history import AccountIndex
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.sync import Sync
from learningchain.chain.types import Block, Certificate, decode_block, tx_id

TRUST_FROM = 32
"""Heights behind, from which on a node that trusts certificates takes over what blocks did. What is decided while it is there, and
what it missed in a short absence, it executes."""
WORTH = 256
"""Transactions in a batch from which on its signatures are checked elsewhere: handing it over costs a millisecond."""
PIECE = 2_000
"""Transactions of an answer from which on it is cut: the first blocks are executed while the signatures of the last are checked."""
MAX_BATCHES = 3
"""Answers that wait to be executed; nothing more is asked for until one is."""


Answer = Sequence[m.SyncBlock | m.ExecutedBlock]


@dataclass
class DecodedBlock:
    """A block whose transactions, with these ids, have the root in its header. `txs` is empty where one is no transaction."""

    block: Block
    raw: bytes
    certificate: Certificate
    ids: list[bytes]
    txs: list[ParsedTx]
    executed_block: m.ExecutedBlock | None = None
    """What it did, as the peer tells it: then it is not executed."""
    receipt_root: bytes = b""
    """Of the receipts that came with it."""
    account_index: AccountIndex = field(default_factory=list)
    """The accounts that these tell of."""


@dataclass
class Batch:
    """Blocks of an answer, which `start` at a height. `fault` is what is wrong with the block after the last one of `items`."""

    peer: bytes
    start: int
    items: list[DecodedBlock] = field(default_factory=list)
    fault: str = ""
    checking: list[ParsedTx] = field(default_factory=list)
    ready: bool = True
    last: bool = True
    """No other one of its answer follows."""
    txs: int = 0


def open_block(item: m.SyncBlock | m.ExecutedBlock, pool: Mempool | None) -> DecodedBlock:
    """One that comes as an executed block has to be hashed still. Raises `Malformed`."""
    block = decode_block(item.block)
    if isinstance(item, m.ExecutedBlock):
        return DecodedBlock(block, item.block, item.certificate, [], [], item)
    ids = [tx_id(raw) for raw in block.txs]
    if list_root(ids) != block.header.tx_root:
        raise Malformed("the transactions are not those of the header")
    try:
        txs = parse_all(block.txs, ids, pool)
    except InvalidTx:
        txs = []  # whether that is the peer's fault or the validators' is seen when the certificate was checked
    return DecodedBlock(block, item.block, item.certificate, ids, txs)


def open_answer(peer: bytes, start: int, found: Answer, pool: Mempool) -> list[Batch]:
    """At least one batch; `start` is the height that was asked for."""
    batches = [Batch(peer, start)]
    for number, item in enumerate(found):
        if batches[-1].txs >= PIECE:
            batches[-1].last = False
            batches.append(Batch(peer, start + number))
        try:
            opened = open_block(item, pool)
        except Malformed as fault:
            batches[-1].fault = str(fault)
            break
        batches[-1].items.append(opened)
        batches[-1].txs += len(opened.block.txs)
    return batches


def _work(batch: Batch, state: State) -> tuple[e.CheckSignatures | e.HashBlocks, int]:
    """What others can do for a batch, and how many transactions that is about."""
    if hashes := unhashed(batch.items):
        return e.HashBlocks(0, hashes), batch.txs
    checks, batch.checking = checks_of(batch.items, state)
    return e.CheckSignatures(0, checks), len(checks)


def unhashed(items: list[DecodedBlock]) -> list[Unhashed]:
    return [(item.raw, item.executed_block.receipts) for item in items if item.executed_block]


def checks_of(items: list[DecodedBlock], state: State) -> tuple[list[Check], list[ParsedTx]]:
    """The signatures that can be checked ahead, and the transactions that they belong to."""
    checks: list[Check] = []
    txs: list[ParsedTx] = []
    for item in items:
        for tx in item.txs:
            account = state.get(account_key(tx.body.sender)) if tx.checked_key is None else None
            if isinstance(account, Account):
                checks.append((account.key, tx.raw))
                txs.append(tx)
    return checks, txs


def mark(txs: list[ParsedTx], checks: list[Check], good: bytes) -> None:
    """What is not good, or was not looked at, is checked again in its block."""
    for tx, (key, _), is_good in zip(txs, checks, good, strict=False):
        if is_good:
            tx.checked_key = key


def take_hashes(batch: Batch, found: list[Hashed]) -> None:
    """What the blocks of an answer hash to; the batch ends before one whose transactions are not its header's."""
    for number, (item, (ids, root, receipts, account_index)) in enumerate(zip(batch.items, found, strict=False)):
        if root != item.block.header.tx_root:
            batch.fault = "the transactions are not those of the header"
            del batch.items[number:]
            return
        item.ids, item.receipt_root, item.account_index = ids, receipts, account_index


class Batches:
    """A node that is `trusting` heights or more behind asks for blocks with what they did, and does not execute these. 0: never."""

    def __init__(self, sync: Sync, trusting: int) -> None:
        self._sync, self.trusting = sync, trusting
        self._waiting: deque[Batch] = deque()
        self._tickets: dict[int, Batch] = {}
        self._ticket = 0
        self.worth = WORTH

    def __len__(self) -> int:
        """Answers that wait."""
        return sum(batch.last for batch in self._waiting)

    def request(self, now: int) -> list[e.Effect]:
        """What to ask for next, if anything."""
        wanted = self._sync.next_request(now, self._last()) if len(self) < MAX_BATCHES else None
        if wanted is None:
            return []
        peer, start, count = wanted
        trusts = 0 < self.trusting <= self._sync.trusted_height(now) - start + 1
        question = m.GetExecutedBlocks(start, count) if trusts else m.GetBlocks(start, count)
        return [e.Send(peer, encode(question), e.REQUESTS)]

    def _last(self) -> int:
        """The highest height that waits here, 0 where nothing does."""
        return max((batch.items[-1].block.header.height for batch in self._waiting if batch.items), default=0)

    def take(self, peer: bytes, found: Answer, state: State, pool: Mempool, now: int) -> list[e.Effect]:
        """An answer came. If it is worth it its signatures are checked elsewhere, and the next blocks asked for at once."""
        unasked = not self.trusting and any(isinstance(item, m.ExecutedBlock) for item in found)
        start = None if unasked else self._sync.answered(peer, found[0].certificate.height if found else None, now)
        if start is None:
            return []
        batches = open_answer(peer, start, found, pool)
        self._waiting += batches
        work = [_work(batch, state) for batch in batches]
        if sum(size for _, size in work) < self.worth:
            for batch in batches:
                take_hashes(batch, hash_blocks(unhashed(batch.items)))
            return []
        effects = [self._hand_over(batch, todo) for batch, (todo, size) in zip(batches, work, strict=True) if size]
        return [*effects, *self.request(now)]

    def _hand_over(self, batch: Batch, todo: e.CheckSignatures | e.HashBlocks) -> e.Effect:
        self._ticket += 1
        self._tickets[self._ticket] = batch
        batch.ready = False
        return msgspec.structs.replace(todo, ticket=self._ticket)

    def helped(self, answer: e.SignaturesChecked | e.BlocksHashed) -> None:
        """The answer to `CheckSignatures` or `HashBlocks`. What is not answered is checked in its block, or hashed here."""
        batch = self._tickets.pop(answer.ticket, None)
        if batch is None:
            return
        if isinstance(answer, e.SignaturesChecked):
            mark(batch.checking, answer.checks, answer.good)
            batch.checking = []
        else:
            rest = unhashed(batch.items[len(answer.hashed) :])
            take_hashes(batch, [*answer.hashed, *hash_blocks(rest)])
        batch.ready = True

    def run(self, adopt: Callable[[DecodedBlock], int], now: int) -> tuple[bool, list[e.Effect]]:
        """Execute the first batch, if it can be. `adopt` makes a block the state and tells this node's height then.

        Whether there was one, and what follows of it: what is wrong costs its sender, what stood before it is kept.
        """
        if not self._waiting or not self._waiting[0].ready:
            return False, []
        batch, height, found = self._waiting.popleft(), 0, list[e.Effect]()
        fault = ""
        try:
            for item in batch.items:
                height = adopt(item)
            fault = batch.fault
        except Malformed as wrong:
            fault = str(wrong)
        if fault:
            found.append(e.Penalize(batch.peer, f"sync: {fault}"))
        if fault or height < batch.start:
            self._sync.failed(batch.peer, now)
            self._waiting.clear()  # what was asked for to follow on it
            self._tickets.clear()
        else:
            self._sync.useful(batch.peer)
        return True, found
