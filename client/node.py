"""A node as its HTTP API sees it: status, blocks, transactions, history, files (`client.core.Node` and `Files`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.codec import decode
from chain.crypto import address
from chain.host import K_HISTORY, PastReader, Reader, read_parked
from chain.ledger.listings import MAX_RECORD, type_of
from chain.ledger.transition import chain_record, validators_of
from chain.node.messages import decode_certificate
from chain.storage import archive, state_diffs, validator_changes
from chain.storage.blockstore import MAX_RECEIPT, BlockStore
from chain.types import LogEvent, Receipt, decode_block, tx_id
from client import proofs
from client.api.render import render_block, render_history, render_noted, render_parked, render_supply, render_tx
from client.config import Loaded, shown
from client.core import Past, Runs
from client.driver import Driver
from client.ledger import NodeLedger
from p2p.content import cid as cids
from p2p.content.service import Content
from p2p.transport import Network

if TYPE_CHECKING:
    from client.work_service import WorkService

MAX_PARKED = 16
"""Parked references that the status lists."""


class NodeFiles:
    """Files by CID text over the content service."""

    def __init__(self, content: Content) -> None:
        self._content = content

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        cid = await self._content.add(path, pin=pin)
        return str(cid), self._content.store.size(cid)

    def has(self, cid: str) -> bool:
        return self._content.store.has(cids.parse(cid))

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        return await self._content.fetch(cids.parse(cid), max_size=max_size, timeout_s=timeout_s, on_progress=on_progress)

    def pin(self, cid: str, reason: str) -> None:
        self._content.store.pin(cids.parse(cid), reason)

    def unpin(self, cid: str, reason: str) -> None:
        self._content.store.unpin(cids.parse(cid), reason)


class RunningNode:
    """`client.core.Node` over a running daemon's parts."""

    def __init__(
        self,
        driver: Driver,
        ledger: NodeLedger,
        store: BlockStore,
        network: Network,
        content: Content,
        settings: Loaded,
        *,
        name: str,
        version: str,
    ) -> None:
        self.ledger = ledger
        self.files = NodeFiles(content)
        self._driver, self._node = driver, driver.node
        self._work: WorkService | None = None
        self._working = False
        self._store, self._network, self._settings = store, network, settings
        self._name, self._version = name, version

    def employ(self, work: WorkService, *, train: bool) -> None:
        """From now on this node works: it evaluates, and trains where it wants to."""
        self._work, self._working = work, train

    @property
    def runs(self) -> Runs | None:
        return self._work

    async def _settled(self) -> None:
        """The database runs a little behind the ledger: reads of it wait for what is decided already."""
        await self._driver.settled()

    def status(self) -> dict[str, Any]:
        state = self.ledger.state
        record, validators = chain_record(state), validators_of(state)
        own = self.ledger.own_id
        return {
            "network": self._name,
            "chain_id": self.ledger.chain_id.hex(),
            "height": self.ledger.height,
            "block_id": self._node.head_id.hex(),
            "state_root": state.root.hex(),
            "time": record.time,
            "clock": record.clock,
            "clock_now": self.ledger.clock,
            "id": address(own),
            "validator": any(v.id == own for v in validators),
            "validators": [address(v.id) for v in validators],
            "peers": len(self._network.peers()),
            "syncing": self._node.sync.best > self._node.height + 1,
            "audited": state_diffs.audited(self._store),
            "first_block": self._store.base + 1,
            "working": self._working,
            "mempool": len(self._node.pool),
            "mempool_room": self._node.pool.fill(),
            "parked": [render_parked(*one) for one in read_parked(state, MAX_PARKED)],
            "failing": self._work.failing() if self._work else [],
            "supply": render_supply(state),
            "version": self._version,
        }

    def peers(self) -> list[dict[str, Any]]:
        return [
            {
                "id": address(p.id),
                "address": p.address,
                "direction": p.direction,
                "rtt_ms": None if p.rtt is None else round(p.rtt * 1000, 3),
                "bytes_in": p.bytes_in,
                "bytes_out": p.bytes_out,
                "queued": p.queued,
                "dropped": p.dropped,
                "score": round(p.score, 3),
                "height": p.height,
            }
            for p in self._network.peers()
        ]

    def connections(self) -> list[dict[str, Any]]:
        return [
            {
                "time": int(event.time * 1000),
                "event": event.event,
                "address": event.address,
                "id": None if event.peer is None else address(event.peer),
                "reason": event.reason,
            }
            for event in reversed(self._network.events)
        ]

    def config(self) -> dict[str, Any]:
        values = shown(self._settings.config)
        return {name: {"value": value, "source": self._settings.sources[name]} for name, value in values.items()}

    async def block(self, height: int) -> dict[str, Any] | None:
        await self._settled()
        stored = await asyncio.to_thread(self._store.block, height)
        if stored is None or not stored.block:
            return None
        block = decode_block(stored.block)
        validators = _validators_at(self.ledger.state, height)
        ids = [tx_id(raw) for raw in block.txs]
        return render_block(block.header, ids, decode_certificate(stored.certificate), validators)

    async def tx(self, tx: bytes) -> dict[str, Any] | None:
        await self._settled()
        found = await asyncio.to_thread(self._store.tx, tx)
        if found is None:
            return None
        receipt = decode(Receipt, found.receipt, MAX_RECEIPT)
        return render_tx(found.raw, height=found.height, index=found.index, receipt=receipt)

    async def receipt(self, height: int, index: int) -> dict[str, Any] | None:
        await self._settled()
        return await asyncio.to_thread(self._receipt, height, index)

    def _receipt(self, height: int, index: int) -> dict[str, Any] | None:
        stored = self._store.block(height)
        if stored is None or not stored.block:
            return None
        return proofs.receipt_proof(stored.block, stored.certificate, self._store.receipts(height), index)

    async def prove(self, key: bytes) -> dict[str, Any] | None:
        height, proof = self.ledger.height, proofs.state_proof(self.ledger.state, key)
        await self._settled()
        header = await asyncio.to_thread(self._store.header, height)
        certificate = await asyncio.to_thread(self._store.certificate, height)
        return None if header is None or certificate is None else proofs.certified(proof, header, certificate)

    async def validator_changes(self, start: int, limit: int) -> dict[str, Any]:
        await self._settled()
        return proofs.validator_changes(await asyncio.to_thread(validator_changes.read, self._store, start, limit))

    async def history(self, account: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        await self._settled()
        rows = await asyncio.to_thread(lambda: self._store.history(account, before=before, limit=limit))
        lines = []
        for row in rows:
            tx = row.line.tx if any(row.line.tx) else None
            lines.append(render_history(account, cursor=row.cursor, height=row.height, time=row.time, event=row.line.event, tx=tx))
        return lines

    async def events(self, subject: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        await self._settled()
        rows = await asyncio.to_thread(lambda: self._store.history(subject, before=before, limit=limit))
        return [
            render_noted(row.line.event, cursor=row.cursor, height=row.height, time=row.time, tx=row.line.tx)
            for row in rows
            if isinstance(row.line.event, LogEvent)
        ]

    async def archived(self, refs: Sequence[bytes]) -> dict[bytes, Past]:
        await self._settled()
        found = await asyncio.to_thread(archive.read, self._store, refs)
        return {ref: past_of(one, self.ledger.state) for ref, one in found.items()}

    async def archived_below(self, prefix: bytes, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        await self._settled()
        return await asyncio.to_thread(archive.below, self._store, prefix, before, limit)

    async def archived_within(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        await self._settled()
        return await asyncio.to_thread(archive.within, self._store, first, last, limit)

    async def sandbox_ready(self) -> dict[str, Any] | None:
        return self._work.report if self._work else None


def past_of(found: archive.Archived, state: Reader) -> Past:
    return Past(found.height, PastReader(found.records, _record, state))


def _record(key: bytes, raw: bytes) -> Any:
    return decode(type_of(key), raw, MAX_RECORD)


def _validators_at(state: Reader, height: int) -> Any:
    """The set that signed a height, as far back as changes are kept."""
    history: Any = state.get(K_HISTORY)
    found = [record.members for record in history.sets if record.since <= height] if history else []
    return found[-1] if found else None
