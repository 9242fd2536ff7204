"""A node as its HTTP API sees it: status, blocks, transactions, history, files (`client.node.interface.Node` and `Files`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.chain.codec import decode
from learningchain.chain.crypto import address
from learningchain.chain.host import K_HISTORY, PastReader, Reader, read_parked
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.listings import MAX_RECORD, type_of
from learningchain.chain.ledger.receipt_file import ProvenRecord
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.storage import archive, state_diffs, validator_changes
from learningchain.chain.storage.blockstore import MAX_RECEIPT, BlockStore, StoredBlock
from learningchain.chain.types import LogEvent, Receipt, Validator, decode_block, tx_id
from learningchain.client import config_change
from learningchain.client.config import Loaded, shown
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import KeystoreError
from learningchain.client.keys.signing import Signer, SignerUnavailable
from learningchain.client.node import proofs
from learningchain.client.node.driver import Driver, now_ms
from learningchain.client.node.interface import PRIVATE, ComingContent, KeptContent, MayHave, Past
from learningchain.client.node.ledger import NodeLedger
from learningchain.client.node.sharing import CLOSED, Sharing
from learningchain.client.schema.render import render_block, render_history, render_noted, render_parked, render_supply, render_tx
from learningchain.p2p.content.cid import Cid, parse
from learningchain.p2p.content.service import Content
from learningchain.p2p.transport import Network

if TYPE_CHECKING:
    from learningchain.client.callbacks.service import CallbackService
    from learningchain.client.machines.hub import MachineHub
    from learningchain.client.node.block_figures import BlockFigures
    from learningchain.client.node.disk_use import DiskRoom, DiskUse
    from learningchain.client.notify.service import NotifyService
    from learningchain.client.work import WorkDriver
    from learningchain.client.work.engine import RunLog
    from learningchain.client.work.trials import Trials

MAX_PARKED = 16
"""Parked references that the status lists."""


class NodeFiles:
    """Files by CID text over the content service."""

    def __init__(self, content: Content) -> None:
        self._content, self._sharing = content, Sharing()
        content.allow = self.may_have
        for row in content.store.contents():
            self._remove_closed(row.root)

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        cid = await self._content.add(path, pin=pin)
        if not pin.startswith(PRIVATE):
            self._sharing.publish(str(cid), pin)
            self._content.offer(cid)
        return str(cid), self._content.store.size(cid)

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        return [(str(row.root), row.size, why) for row, why in self._content.store.pinned_for(reason)]

    def room(self) -> tuple[int, int]:
        store = self._content.store
        return store.room(), store.quota

    def has(self, cid: str) -> bool:
        return self._content.store.has(parse(cid))

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [self._content.store.here(parse(cid)) for cid in cids]

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        return await self._content.fetch(parse(cid), max_size=max_size, timeout_s=timeout_s, on_progress=on_progress)

    def pin(self, cid: str, reason: str) -> None:
        self.pin_all([cid], reason)

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        roots, store = [parse(cid) for cid in cids], self._content.store
        for root in roots if reason.startswith(PRIVATE) else ():
            if store.has(root):
                self._sharing.begin_private(str(root), store.reasons(root))
        store.pin_all(roots, reason)

    def unpin(self, cid: str, reason: str) -> None:
        self.unpin_all([cid], reason)

    def unpin_all(self, cids: Collection[str], reason: str) -> None:
        roots, store = [parse(cid) for cid in cids], self._content.store
        for root in roots:
            left = set(store.reasons(root)) - {reason}
            if self._sharing.take_back(str(root), reason, left):
                store.pin(root, CLOSED)
        store.unpin_all(roots, reason)
        for root in roots:
            self._remove_closed(root)
            if reason.startswith(PRIVATE):
                store.remove(root)

    def _remove_closed(self, root: Cid) -> None:
        """Delete what nothing but its having been private keeps here."""
        if self._content.store.reasons(root) == [CLOSED]:
            self._content.store.unpin(root, CLOSED)
            self._content.store.remove(root)

    def allow(self, cid: str, peers: Collection[bytes]) -> None:
        self._sharing.name(cid, peers)
        if peers:
            self._content.offer(parse(cid))

    def share_by(self, may_have: MayHave) -> None:
        self._sharing.may_have_by_contract = may_have

    def may_have(self, peer: bytes, root: Cid) -> bool:
        return self._sharing.may_have(peer, str(root), self._content.store.reasons(root))


async def _nothing_to_see() -> None: ...


class RunningNode:
    """`client.node.interface.Node` over a running daemon's parts."""

    def __init__(
        self,
        driver: Driver,
        ledger: NodeLedger,
        store: BlockStore,
        network: Network,
        content: Content,
        settings: Loaded,
        *,
        signer: Signer | None = None,
        name: str,
        version: str,
        first_validators: list[Validator],
        genesis: Genesis | None = None,
        keys: Keyring | None = None,
    ) -> None:
        """`first_validators`: those of genesis."""
        self._genesis = genesis
        self.ledger = ledger
        self.files = NodeFiles(content)
        self._driver, self._node = driver, driver.node
        self._work: WorkDriver | None = None
        self._working = False
        self.machines: MachineHub | None = None
        self.callbacks: CallbackService | None = None
        self.figures: BlockFigures | None = None
        self.disk_use: DiskUse | None = None
        self.notify: NotifyService | None = None
        self.data: Path | None = None
        """Where the file of its settings lies."""
        self._changing = asyncio.Lock()
        self.look_at_settings: Callable[[], Awaitable[None]] = _nothing_to_see
        """Take up what was written, where that needs no restart."""
        self.faults: dict[str, str] = {}
        """Parts that could not start, and why."""
        self.callback_fault = ""
        """Why there are no callbacks."""
        self._store, self._network, self._content, self._settings = store, network, content, settings
        self._name, self._version, self._first_validators = name, version, first_validators
        self._signer, self._keys = signer, keys
        self._since = time.time_ns() // 1_000_000

    def employ(self, work: WorkDriver, *, train: bool) -> None:
        """From now on this node does its duties: it evaluates where it is drawn, and trains where it wants to."""
        self._work, self._working = work, train

    @property
    def disk(self) -> DiskRoom | None:
        return None if self.disk_use is None else self.disk_use.now

    @property
    def work(self) -> WorkDriver:
        """The API opens after the work began."""
        if self._work is None:
            raise RuntimeError("this node's work has not begun")
        return self._work

    @property
    def runs(self) -> RunLog | None:
        return self.work.run_log if self.work.runs else None

    def carried(self) -> dict[tuple[str, ...], float]:
        return self._content.carried()

    def refused_files(self) -> int:
        return self._content.refused

    def contents(self) -> list[KeptContent]:
        store = self._content.store
        goes = {row.root: place for place, row in enumerate(store.loose(), 1)}
        rows = sorted(store.contents(), key=lambda row: (-row.size, str(row.root)))
        return [
            KeptContent(str(r.root), r.size, r.complete, store.since(r.root), goes.get(r.root), store.reasons(r.root)) for r in rows
        ]

    def transfers(self) -> list[ComingContent]:
        now, reasons = now_ms(), self._content.store.reasons
        found = sorted(self._content.under_way().items(), key=lambda one: -one[1].since_ms)
        return [ComingContent(str(root), one.done, one.size, one.rate, now - one.since_ms, reasons(root)) for root, one in found]

    @property
    def trials(self) -> Trials | None:
        return self.work.trials if self.work.runs else None

    async def _settled(self) -> None:
        """The database runs a little behind the ledger: reads of it wait for what is decided already."""
        await self._driver.settled()

    def status(self) -> dict[str, Any]:
        state = self.ledger.state
        record, validators = chain_record(state), validators_of(state)
        own, clock = self.ledger.own_id, self.ledger.peer_clock.seen(now_ms())
        return {
            "network": self._name,
            "chain_id": self.ledger.chain_id.hex(),
            "height": self.ledger.height,
            "block_id": self._node.head_id.hex(),
            "state_root": state.root.hex(),
            "time": record.time,
            "clock": record.clock,
            "clock_now": self.ledger.clock,
            "clock_offset_ms": None if clock is None else clock.offset_ms,
            "clock_drift_ms": self.ledger.params.drift,
            "clock_peers": 0 if clock is None else clock.proposers,
            "id": address(own),
            "validator": any(v.id == own for v in validators),
            "validators": [address(v.id) for v in validators],
            "peers": len(self._network.peers()),
            "round": self._node.consensus.round,
            "syncing": self._node.sync.best > self._node.height + 1 or self._node.ancestry.below(self._node.height),
            "audited": state_diffs.audited(self._store),
            "first_block": self._store.base + 1,
            "working": self._working,
            "mempool": len(self._node.pool),
            "mempool_room": self._node.pool.fill(),
            "parked": [render_parked(*one) for one in read_parked(state, MAX_PARKED)],
            "failing": [
                *self._silence(),
                *self._stranded(),
                *self._unproven(),
                *([{"part": "callbacks", "since": self._since, "why": self.callback_fault}] if self.callback_fault else []),
                *({"part": part, "since": self._since, "why": why} for part, why in self.faults.items()),
                *(self._signer.failing() if self._signer else []),
                *self.work.failing(),
            ],
            "notices": self.work.notices(),
            "serving": self.work.served(),
            "supply": render_supply(state),
            "version": self._version,
        }

    def _silence(self) -> list[dict[str, Any]]:
        """LC-NODE-30: a validator that came back from a backup, and does not hear enough of the others."""
        if self._node.unheard is None or not any(v.id == self.ledger.own_id for v in validators_of(self.ledger.state)):
            return []
        wanted, heard = self._node.unheard
        why = (
            f"what this key signed is not known here (it came back from a backup), and {heard} of the {wanted} other validators "
            "that must be heard directly are connected: nothing is signed until they are. Check network.peers; where these "
            "validators cannot be reached from here, see node --signed-up-to"
        )
        return [{"part": "signing", "since": self._since, "why": why}]

    def _stranded(self) -> list[dict[str, Any]]:
        """LC-NODE-71: no peer that is ahead keeps the next block."""
        if not self._node.sync.next_is_pruned:
            return []
        why = (
            f"no connected peer keeps block {self._node.height + 1}: the node goes on when an archive node is in reach, or "
            "begins from a snapshot of its peers with sync.mode snapshot (then it keeps no older blocks itself)"
        )
        return [{"part": "sync", "since": self._since, "why": why}]

    def _unproven(self) -> list[dict[str, Any]]:
        """LC-NODE-75: peers are there, and none of them shows the block that this node trusts."""
        ancestry = self._node.ancestry
        if not ancestry.below(self._node.height) or not (ancestry.denied or ancestry.lacking):
            return []
        why = (
            f"no connected peer shows the block {ancestry.checkpoint} that sync.trusted names, so nothing of them is believed"
            f"{' (one showed another block there)' if ancestry.denied else ''}. It may be older than what they keep: ask a member "
            "you know for a block of now (learningchain status) and set sync.trusted to it"
        )
        return [{"part": "sync", "since": self._since, "why": why}]

    def genesis(self) -> Genesis:
        if self._genesis is None:
            raise RuntimeError("this node was made without its network's genesis")
        return self._genesis

    def contacts(self) -> list[tuple[bytes, str]]:
        return self._network.contacts()

    async def statement(self, domain: str, body: bytes) -> bytes:
        if self._signer is None:
            raise SignerUnavailable("this node was made without a signer")
        return await self._signer.statement(domain, body)

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

    def take_settings(self, settings: Loaded) -> None:
        """Run with these from now on; they differ from those before in what needs no restart alone."""
        self._settings = settings

    def config(self) -> dict[str, Any]:
        values = shown(self._settings.config)
        return {name: {"value": value, "source": self._settings.sources[name]} for name, value in values.items()}

    async def settings_after_restart(self) -> dict[str, Any]:
        if self.data is None:
            return {}
        return await asyncio.to_thread(config_change.after_restart, self._settings, self.data)

    async def change_setting(self, name: str, text: str) -> Any:
        if self.data is None:
            raise config_change.NotChangeable("This node was made without a folder for its settings")
        async with self._changing:
            value = await asyncio.to_thread(config_change.change, self.data, name, text)
        await self.look_at_settings()
        return value

    async def block(self, height: int) -> dict[str, Any] | None:
        await self._settled()
        stored = await asyncio.to_thread(self._store.block, height)
        if stored is None or not stored.block:
            return None
        # A block may have four million bytes, and a page shows twenty: the loop that votes decodes none of them.
        return await asyncio.to_thread(_rendered, stored, _validators_at(self.ledger.state, height))

    async def raw_block(self, height: int) -> dict[str, Any] | None:
        await self._settled()
        stored = await asyncio.to_thread(self._store.block, height)
        return None if stored is None or not stored.block else proofs.raw_block(height, stored.block, stored.certificate)

    async def noted(self, height: int) -> tuple[int, list[Any]] | None:
        """The time of a block and its events in order; None where it is not kept."""
        await self._settled()
        return await asyncio.to_thread(self._noted, height)

    def _noted(self, height: int) -> tuple[int, list[Any]] | None:
        header, stored = self._store.header(height), self._store.receipts(height)
        if header is None or not stored:
            return None
        return header.time, [event for raw in stored for event in decode(Receipt, raw, MAX_RECEIPT).events]

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

    async def receipt_file(self, height: int, index: int, trusted: int | None) -> dict[str, Any] | None:
        await self._settled()
        return await asyncio.to_thread(self._receipt_file, height, index, trusted)

    def _receipt_file(self, height: int, index: int, trusted: int | None) -> dict[str, Any] | None:
        stored = self._store.block(height)
        if stored is None or not stored.block:
            return None
        way = proofs.way_to(self._store, self._first_validators, height, trusted)
        return proofs.receipt_file(way, stored.block, stored.certificate, self._store.receipts(height), index)

    async def records_file(self, keys: Sequence[bytes], trusted: int | None) -> dict[str, Any] | None:
        height, records = self.ledger.height, proofs.proven_records(self.ledger.state, list(keys))
        await self._settled()
        return await asyncio.to_thread(self._records_file, height, records, trusted)

    def _records_file(self, height: int, records: list[ProvenRecord], trusted: int | None) -> dict[str, Any] | None:
        header, certificate = self._store.header(height), self._store.certificate(height)
        if header is None or certificate is None:
            return None
        way = proofs.way_to(self._store, self._first_validators, height, trusted)
        return proofs.records_file(way, header, certificate, records)

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

    def take_key(self, public: bytes, sealed: bytes) -> None:
        if self._keys is None:
            raise KeystoreError("This node's key lies with a signer, which keeps one key: run the node without it to rotate")
        self._keys.take(public, sealed)


def past_of(found: archive.Archived, state: Reader) -> Past:
    return Past(found.height, PastReader(found.records, _record, state))


def _record(key: bytes, raw: bytes) -> Any:
    return decode(type_of(key), raw, MAX_RECORD)


def _rendered(stored: StoredBlock, validators: Any) -> dict[str, Any]:
    block = decode_block(stored.block)
    return render_block(block.header, [tx_id(raw) for raw in block.txs], decode_certificate(stored.certificate), validators)


def _validators_at(state: Reader, height: int) -> Any:
    """The set that signed a height, as far back as changes are kept."""
    history: Any = state.get(K_HISTORY)
    found = [record.members for record in history.sets if record.since <= height] if history else []
    return found[-1] if found else None
