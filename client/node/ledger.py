"""The node's ledger for its other parts: submitting, waiting for results, following blocks. Implements
`client.node.interface.Ledger`."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import structlog

from learningchain.chain.codec import encode
from learningchain.chain.contracts import CONTRACTS
from learningchain.chain.errors import InvalidTx
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.node import events as e
from learningchain.chain.node.node import Node
from learningchain.chain.params import Params
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.types import Receipt, SignedTx, TxBody, net_of
from learningchain.client.keys.signing import Signer
from learningchain.client.node.block_clock import BlockClock
from learningchain.client.node.block_figures import BlockFigures, OwnFigures
from learningchain.client.node.driver import Driver, now_ms
from learningchain.client.node.interface import Before, TxResult
from learningchain.client.node.peer_clock import PeerClock
from learningchain.client.node.request_id import RequestLines, current

log: Any = structlog.get_logger("ledger")

BEHIND = 1_000
"""Blocks that a reader of `committed` may lag."""
RECENT = 20_000
"""Results kept in memory: what the database's writer has not stored yet is among them."""
MAX_WAITING = 10_000
ROOM_EVERY_S = 0.02
VALID_FOR = 10_000
"""Blocks for which this node's own transactions stay valid."""
NORMAL, URGENT = 0, 1


class NodeLedger:
    """`client.node.interface.Ledger` over a running node."""

    def __init__(self, node: Node, signer: Signer, store: BlockStore, figures: Sequence[OwnFigures] = ()) -> None:
        """`figures`: what contracts count of this node."""
        self._node, self._signer, self._store = node, signer, store
        self._turn = asyncio.Lock()
        self._driver: Driver | None = None
        self.chain_id, self.own_id = node.chain_id, node.own_id
        self._recent: OrderedDict[bytes, tuple[int, int, Receipt]] = OrderedDict()
        """Height, place in the block, receipt."""
        self._waiting: dict[bytes, set[asyncio.Future[TxResult]]] = {}
        self._readers: set[asyncio.Queue[e.Decided | None]] = set()
        self.peer_clock = PeerClock(node.own_id)
        """This machine's beside those of other validators."""
        self._block_clock = BlockClock()
        self._asked: OrderedDict[bytes, str] = OrderedDict()
        """The request by which a transaction came that is in no block yet."""
        self._lines = RequestLines(log)
        self.figures = BlockFigures({topic: contract.name for contract in CONTRACTS for topic in contract.events}, figures)

    def attach(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def state(self) -> State:
        return self._node.state

    @property
    def params(self) -> Params:
        """As they are in force: the validators may change them."""
        return self._node.params

    @property
    def height(self) -> int:
        return self._node.height

    @property
    def clock(self) -> int:
        record = chain_record(self._node.state)
        return self._node.clock(self._block_clock.wall(record.height, record.time, now_ms(), int(1_000 * time.monotonic())))

    # --- submitting -----------------------------------------------------------------------------------------------------------

    async def room(self, timeout_s: float) -> bool:
        if self._driver is None:
            raise RuntimeError("the ledger was used before the node started")
        until = time.monotonic() + timeout_s
        while self._driver.overloaded:
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(ROOM_EVERY_S)
        return True

    async def submit_raw(self, raw: bytes) -> bytes:
        if self._driver is None:
            raise RuntimeError("the ledger was used before the node started")
        # What the node does from here on is done for nobody's request.
        tx = contextvars.Context().run(self._driver.submit, raw)
        self.figures.taken(tx, time.monotonic())
        if (request := current.get()) is not None:
            self._asked[tx] = request
            if len(self._asked) > RECENT:
                self._asked.popitem(last=False)
            self._lines.say("transaction in the pool", request, tx=tx.hex())
        return tx

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        """One at a time between choosing the sequence and entering the pool: two callers never get the same one."""
        lane = URGENT if urgent else NORMAL
        messages = [msgspec.Raw(encode(op)) for op in ops]
        async with self._turn:
            sequence = self._node.pool.next_sequence(self._node.state, self.own_id, lane)
            body = TxBody(net_of(self.chain_id), self.own_id, lane, sequence, self._node.height + VALID_FOR, messages)
            raw = encode(SignedTx(body, await self._signer.transaction(encode(body))))
            if before is not None:
                await before(raw)
            return await self.submit_raw(raw)

    async def result(self, tx: bytes, timeout_s: float) -> TxResult:
        known = self._recent.get(tx)
        if known is not None:
            return _result(tx, *known)
        if len(self._waiting) >= MAX_WAITING:
            raise TimeoutError("too many callers wait for results already")
        future: asyncio.Future[TxResult] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tx, set()).add(future)
        try:
            # What waits in the pool is in no block yet: most callers just put it there, and are spared the database.
            if tx not in self._node.pool:
                stored = await asyncio.to_thread(self._stored, tx)
                if stored is not None:
                    return stored
            return await asyncio.wait_for(future, timeout_s)
        finally:
            waiters = self._waiting.get(tx)
            if waiters is not None:
                waiters.discard(future)
                if not waiters:
                    del self._waiting[tx]

    def _stored(self, tx: bytes) -> TxResult | None:
        found = self._store.tx(tx)
        if found is None:
            return None
        receipt = msgspec.msgpack.decode(found.receipt, type=Receipt)
        return _result(tx, found.height, found.index, receipt)

    # --- what the driver tells ------------------------------------------------------------------------------------------------

    def on_decided(self, d: e.Decided) -> None:
        now, live = now_ms(), self._node.sync.best <= d.height + 1
        self.figures.decided(d, now, time.monotonic(), live=live)
        if live:  # while it catches up, blocks say nothing of this clock
            self.peer_clock.saw(d.header.proposer, d.header.time, now)
        for index, (tx, receipt) in enumerate(d.executed_blocks(), start=-1):
            if tx is None:
                continue
            self._recent[tx] = (d.height, index, receipt)
            if (request := self._asked.pop(tx, None)) is not None:
                self._lines.say("transaction in a block", request, tx=tx.hex(), height=d.height, index=index, code=receipt.code)
            if tx in self._waiting:
                self._answer(tx, _result(tx, d.height, index, receipt))
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        for reader in list(self._readers):
            if reader.qsize() >= BEHIND:
                self._readers.discard(reader)
                reader.put_nowait(None)
            else:
                reader.put_nowait(d)

    def _answer(self, tx: bytes, result: TxResult) -> None:
        for future in self._waiting[tx]:
            if not future.done():
                future.set_result(result)

    def on_dropped(self, d: e.TxDropped) -> None:
        self.figures.lost(d.tx)
        if (request := self._asked.pop(d.tx, None)) is not None:
            self._lines.say("transaction dropped", request, tx=d.tx.hex(), why=d.error.text)
        for future in self._waiting.get(d.tx, ()):
            if not future.done():
                future.set_exception(InvalidTx(d.error.code, d.error.text, retry_after_s=d.error.retry_after_s))

    def committed(self) -> AsyncIterator[e.Decided]:
        """Registered at the call, so no block between the call and the first `anext` is missed."""
        queue: asyncio.Queue[e.Decided | None] = asyncio.Queue()
        self._readers.add(queue)
        return self._follow(queue)

    async def _follow(self, queue: asyncio.Queue[e.Decided | None]) -> AsyncIterator[e.Decided]:
        try:
            while (block := await queue.get()) is not None:
                yield block
            raise LookupError(f"this reader fell {BEHIND} blocks behind")
        finally:
            self._readers.discard(queue)


def _result(tx: bytes, height: int, index: int, receipt: Receipt) -> TxResult:
    return TxResult(tx, height, index, receipt.code, list(receipt.events))
