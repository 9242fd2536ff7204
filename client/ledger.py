"""The node's ledger for its other parts: submitting, waiting for results, following blocks. Implements `client.core.Ledger`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from chain.codec import encode
from chain.crypto import SigningKey
from chain.errors import InvalidTx
from chain.ledger.state import State
from chain.ledger.tx import sign_tx
from chain.node import events as e
from chain.node.node import Node
from chain.storage.blockstore import BlockStore
from chain.types import Receipt, TxBody, net_of
from client.core import TxResult
from client.driver import Driver, now_ms

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
    """`client.core.Ledger` over a running node."""

    def __init__(self, node: Node, key: SigningKey, store: BlockStore) -> None:
        self._node, self._key, self._store = node, key, store
        self._driver: Driver | None = None
        self.chain_id, self.own_id, self.params = node.chain_id, node.own_id, node.params
        self._recent: OrderedDict[bytes, tuple[int, int, Receipt]] = OrderedDict()
        """Height, place in the block, receipt."""
        self._waiting: dict[bytes, set[asyncio.Future[TxResult]]] = {}
        self._readers: set[asyncio.Queue[e.Decided | None]] = set()

    def attach(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def state(self) -> State:
        return self._node.state

    @property
    def height(self) -> int:
        return self._node.height

    @property
    def clock(self) -> int:
        return self._node.clock(now_ms())

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
        return self._driver.submit(raw)

    async def submit(self, ops: list[Any], *, urgent: bool = False) -> bytes:
        """No await between choosing the sequence and entering the pool: two callers never get the same one."""
        lane = URGENT if urgent else NORMAL
        sequence = self._node.pool.next_sequence(self._node.state, self.own_id, lane)
        messages = [msgspec.Raw(encode(op)) for op in ops]
        body = TxBody(net_of(self.chain_id), self.own_id, lane, sequence, self._node.height + VALID_FOR, messages)
        return await self.submit_raw(sign_tx(self._key, self.chain_id, body))

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
        for index, (tx, receipt) in enumerate(d.executed_blocks(), start=-1):
            if tx is None:
                continue
            self._recent[tx] = (d.height, index, receipt)
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
