"""The composition root: puts a node together over a data folder, runs it, and closes it in order.

Start: lock the folder (`main`) -> config, keystore, genesis -> check the database, load the state, compare its root (`opening`) ->
log and guard -> network, content, worker, HTTP API. Whatever does not fit stops the start with what is wrong, why, and what to do.
While it runs, a storage fault or a broken invariant ends the process with exit code 1 and the evidence in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from learningchain.chain.contracts import CONTRACTS, REGISTRY
from learningchain.chain.crypto import address
from learningchain.chain.host import BANNED, K_HISTORY, Account, History, account_key, fault_of, key_owner_key
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BeaconKey, can_reveal, chain_record, validators_of, version_of
from learningchain.chain.node import events as e
from learningchain.chain.node.batches import TRUST_FROM
from learningchain.chain.node.double_sign_check import Place
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.node.node import Node
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.storage.blockstore import BlockStore
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.guard import Guard
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Evidence, LogEvent
from learningchain.client import config as configuration
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.server import ApiServer
from learningchain.client.daemon import services
from learningchain.client.daemon.faults import StartError, UnknownProtocol, exit_code
from learningchain.client.daemon.identity import OwnKeys, peer_key, present, use_key
from learningchain.client.daemon.opening import (
    api_token,
    last_own_block,
    listening,
    newer_protocol,
    open_guard,
    open_state,
    open_store,
    take_at_word,
    trusted_block,
    version,
)
from learningchain.client.daemon.reports import Reports
from learningchain.client.daemon.service import RunningNode
from learningchain.client.daemon.settings_watch import SettingsWatch
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import Identity
from learningchain.client.keys.signing import LocalSigner, Signer, SignerUnavailable
from learningchain.client.keys.tokens import FILE as TOKENS
from learningchain.client.node import process
from learningchain.client.node.disk_use import DiskUse
from learningchain.client.node.driver import Driver, now_ms
from learningchain.client.node.ledger import NodeLedger
from learningchain.client.node.pruning import Pruner
from learningchain.client.node.snapshots import SnapshotService
from learningchain.client.schema.render import render_event
from learningchain.client.signer.pairing import Pairing
from learningchain.client.signer.remote import AHEAD, RemoteSigner
from learningchain.p2p.address_book import AddressBook, parse_endpoint
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.content.service import Content
from learningchain.p2p.content.store import ContentStore
from learningchain.p2p.gossip import GossipTargets
from learningchain.p2p.half_open import MAX_HALF_OPEN
from learningchain.p2p.mover.mover import Mover
from learningchain.p2p.tls import CA
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import CONTENT, NODE, QUEUE_CONTENT, QUEUE_REQUESTS

if TYPE_CHECKING:
    from learningchain.client.work import WorkDriver

log: Any = structlog.get_logger("daemon")

MESH = 8
REFRESH_S = 30.0
PART_S = 5.0
"""For how long who left stays connected, to hear of it."""
GC_AFTER = 50_000
"""Objects that appear between two looks of the garbage collector."""
SIGNER_PATIENCE_S = 5.0
"""How long a start waits for the signer before the node goes on without."""
SignedUpTo = tuple[Signer, BeaconKey, Place]
"""What signs, what makes the beacon's secrets, and the highest place that was signed."""


def has_left(state: State, identity: bytes) -> bool:
    return any(contract.gone(state, identity) for contract in CONTRACTS if contract.gone is not None)


def api_limits(files: int) -> ServerLimits:
    """Return as many connections as leave files for peers."""
    most = process.share_of_files(files, ServerLimits.connections)
    return ServerLimits(connections=most, connections_per_address=min(most, ServerLimits.connections_per_address))


class Daemon:
    """All parts of one node. `run` returns the exit code."""

    keys: Keyring | None = None
    """Those of this node, where they are here."""
    _own_keys: OwnKeys | None = None
    """What follows the ledger's word for them, once the network is open."""
    _remote: RemoteSigner | None = None
    """Where the key lies elsewhere."""
    _mover: Mover | None = None
    _work: WorkDriver | None = None
    """What has the channels of contracts, once the node works."""
    _signed_up_to: int | None = None
    """The operator's word: this key signed nothing above this height."""

    def __init__(
        self,
        data: Path,
        keys: Callable[[], Keyring | Pairing],
        genesis: Genesis,
        settings: configuration.Loaded,
        *,
        work: bool,
    ) -> None:
        self.data, self.genesis, self.settings = data, genesis, settings
        self._unlock = keys
        self._work_wanted = work
        self._files = process.raise_file_limit()
        self._stop, self._leave = asyncio.Event(), True
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, folder: DataDir, *, accept_new_guard: bool, signed_up_to: int | None = None) -> int:
        """One node after the other: one that took a snapshot makes room for one that begins from it."""
        self._signed_up_to = signed_up_to
        while (code := await self._live(folder, accept_new_guard)) is None:
            accept_new_guard = False
        return code

    async def _live(self, folder: DataDir, accept_new_guard: bool) -> int | None:
        """Run a node to its end. The exit code, None where another one is to follow."""
        async with contextlib.AsyncExitStack() as stack:
            await self._open(folder, stack, accept_new_guard)
            # What the start made stays: full collections that look through it would stop the loop for tens of milliseconds.
            # What comes later is freed by its reference counts: a block alone makes some thousand objects, so look less often.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_AFTER)
            log.info(
                "node started",
                address=self.identity.address,
                network=self.genesis.name,
                height=self.node.height,
                p2p=self.network.port(),
                api=self.api_port,
            )
            stop = asyncio.create_task(self._stop.wait())
            ends: set[asyncio.Future[Any]] = {stop, self.driver.failed, self.driver.switched, self.driver.outdated}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if self.driver.failed.done():
                fault = self.driver.failed.exception()
                log.error("the node halts", why=str(fault), kind=type(fault).__name__, faults=list(self.node.faults))
                return exit_code(fault)
            if self.driver.outdated.done():
                raise UnknownProtocol(newer_protocol(*self.driver.outdated.result()))
            if self.driver.switched.done() and not self._stop.is_set():
                log.info("the snapshot is here: the node goes on from it", height=self.driver.switched.result())
                return None
            log.info("node stopping")
        return 0

    def stop(self, *, leave: bool = False) -> None:
        """`leave`: trainings go on, for the next start. So they do where it is not the owner who ends this node: a fault, or a
        snapshot that another node begins from."""
        self._leave = leave
        self._stop.set()

    async def _open(self, folder: DataDir, stack: contextlib.AsyncExitStack, accept_new_guard: bool) -> None:
        config, chain_id = self.settings.config, self.genesis.chain_id
        where = config.storage.url or folder.db
        store = open_store(where, chain_id, keep=config.sync.mode != "full")
        stack.callback(store.close)
        state, head = open_state(store, self.genesis)
        if version_of(state) > PROTOCOL_VERSION:
            raise UnknownProtocol(newer_protocol(head.height + 1, version_of(state)))
        wal = Wal.open(folder.wal, chain_id=chain_id, create=head.height == 0)
        stack.callback(wal.close)
        opened_keys = self._unlock()  # the keystore is still being opened while the state is read
        if isinstance(opened_keys, Pairing):
            self.identity: Identity | Pairing = opened_keys
            opened = await self._open_remote(opened_keys, state, stack)
        else:
            self.keys = opened_keys
            self.identity = own = present(opened_keys, state)
            guard = open_guard(folder, wal, head, validators_of(state), accept_new=accept_new_guard)
            opened = self._open_local(own, guard, stack)
        self.signer, beacon_key, signed = opened
        if self._signed_up_to is not None:
            signed = take_at_word(self.signer, signed, self._signed_up_to)
        snapshots = SnapshotService(store, where, self.data, self._sets)
        stack.callback(snapshots.close)
        self.node = Node(
            self.identity.id,
            beacon_key,
            state,
            head.block_id,
            signed=signed,
            # Nobody could audit what it takes over without the state that this rests on: it executes what comes after a snapshot.
            trusting=TRUST_FROM if config.sync.mode != "full" and not store.base else 0,
            snapshot_after=config.sync.snapshot_after if config.sync.mode == "snapshot" else 0,
            snapshot_if_pruned=config.sync.mode == "snapshot" or (config.sync.mode == "certificates" and head.height == 0),
            first_block=store.base + 1,
            base=decode_certificate(store.certificate(store.base) or b"") if store.base else None,
            checkpoint=trusted_block(store, config.sync.trusted),
            old_beacon_keys=[]
            if self.keys is None
            else self.keys.beacon_keys(functools.partial(can_reveal, state, self.identity.id)),
        )
        self.ledger = NodeLedger(self.node, self.signer, store, services.make_figures(self.node.own_id))
        self._gossip = GossipTargets(MESH, random.Random(secrets.randbits(64)))
        self.driver = Driver(
            self.node,
            signer=self.signer,
            store=store,
            wal=wal,
            gossip=self._gossip,
            on_decided=self._decided,
            on_dropped=self.ledger.on_dropped,
            on_evidence=self._report,
            snapshots=snapshots,
        )
        self._pruner = Pruner(
            store, config.storage.keep_blocks, lambda: self.node.state, lambda: snapshots.served, self._keeps_from
        )
        self.ledger.attach(self.driver)
        if self.keys is not None:
            use_key(self.signer, self.keys, state)
        await self._open_network(folder, stack)
        if self.keys is not None and isinstance(self.identity, Identity):
            parts = self.signer, self.node, self.network, self.driver
            self._own_keys = OwnKeys(self.data, self.keys, self.identity, *parts, self._spawn)
        stack.callback(self.driver.stop)
        self._open_node(store)
        services.watch_database(config.storage.url, functools.partial(self._tell, "database"), stack)
        self._reports = Reports(self.data / "reports.db", self.ledger, tell=functools.partial(self._tell, "reports"))
        stack.push_async_callback(self._reports.stop)
        self.driver.start(self.network)
        self._reports.start()
        self._spawn(self._refresh_mesh())
        self._spawn(self._pruner.run())
        if self._own_keys is not None:
            self._own_keys.start()
        stack.push_async_callback(self._end_tasks)
        await self._open_work(stack)
        watch = SettingsWatch(self.data, self.settings, self._take_settings)
        self.view.look_at_settings = watch.look
        self._spawn(watch.run())
        await services.open_callbacks(self.view, config, self.data, stack)
        services.open_notify(self.view, config, self.data, stack)
        server = ApiServer(
            self.view,
            listen=parse_endpoint(config.api.listen),
            token=api_token(self.data),
            version=version(),
            spool=self.data / "spool",
            tokens=self.data / TOKENS,
            kept=self.data,
            names=self.data,
            dashboard=config.api.dashboard,
            limits=api_limits(self._files),
        )
        with listening("api.listen", config.api.listen):
            self.api_port = await server.start()
        stack.push_async_callback(server.stop)

    def _open_local(self, identity: Identity, guard: Guard, stack: contextlib.AsyncExitStack) -> SignedUpTo:
        stack.callback(guard.close)
        return LocalSigner(identity.key, guard, self.genesis.chain_id, identity.id), identity.beacon_key, guard.signed

    async def _open_remote(self, pairing: Pairing, state: State, stack: contextlib.AsyncExitStack) -> SignedUpTo:
        """A node whose signer is away starts as well: it follows the graph."""
        signer = self._remote = RemoteSigner(pairing, self.genesis.chain_id)
        stack.push_async_callback(signer.stop)
        if await signer.start(SIGNER_PATIENCE_S):
            with contextlib.suppress(SignerUnavailable):
                await signer.fetch_secrets(chain_record(state).height + 1, AHEAD)
                if (last := last_own_block(state, pairing.id)) is not None:
                    await signer.fetch_secrets(last, 1)
        return signer, signer.secret, signer.signed

    async def _open_network(self, folder: DataDir, stack: contextlib.AsyncExitStack) -> None:
        config = self.settings.config
        address_book = AddressBook(self.data / "peers.book")
        address_book.load()
        for peer in config.network.peers:
            address_book.add_seed(peer)
        self.network = Network(
            key=await peer_key(self.identity, self._remote, self.genesis, self.data),
            own_id=self.identity.id,
            chain_id=self.genesis.chain_id,
            ca=CA(self.genesis.ca_cert, self.genesis.ca_key),
            membership=self._current_key,
            known_key=lambda key: self.node.state.get(key_owner_key(key)) is not None,
            on_message=self._message,
            on_peer=self._peer,
            address_book=address_book,
            listen=parse_endpoint(config.network.listen),
            advertise=list(config.network.advertise) or [config.network.listen],
            config=TransportConfig(half_open=process.share_of_files(self._files, MAX_HALF_OPEN)),
            height=lambda: self.node.height,
            door=services.make_door(self.ledger, self.genesis),
        )
        files = await asyncio.to_thread(ContentStore, Path(folder.blobs), quota=config.storage.quota_mb * 2**20)
        stack.callback(files.close)
        if config.network.bulk:
            tell = functools.partial(self._tell, "data connections")
            self._mover = services.make_mover(self.network, self.genesis, config, tell, stack)
        self._set_validators()
        self.content = Content(
            files,
            lambda peer, payload: self.network.send(peer, CONTENT, payload, QUEUE_CONTENT),
            lambda: int(time.monotonic() * 1000),
            penalize=self.network.penalize,
            queued=lambda peer: self.network.queued(peer, QUEUE_CONTENT),
            has_room=lambda: self.node.has_room_for_content,
            served=lambda size: self.node.served_content(size),
            mover=self._mover,
            most_a_day=config.network.peer_gb_a_day * 10**9,
        )
        stack.push_async_callback(self.content.close)
        with listening("network.listen", config.network.listen):
            await self.network.start()
        stack.push_async_callback(self.network.stop)
        if config.network.mdns:
            lan = services.make_lan(self.genesis.chain_id, self.identity.id, self.network, config.network.listen)
            lan.start()
            stack.push_async_callback(lan.stop)

    def _open_node(self, store: BlockStore) -> None:
        parts = self.driver, self.ledger, store, self.network, self.content
        self.view = RunningNode(
            *parts,
            self.settings,
            signer=self.signer,
            name=self.genesis.name,
            version=version(),
            first_validators=self.genesis.validators,
            genesis=self.genesis,
            keys=self.keys,
        )
        self.view.data = self.data
        self.view.figures = self.ledger.figures
        self.view.disk_use = DiskUse(self.data)
        self._spawn(self.view.disk_use.run())

    def _tell(self, part: str, why: str) -> None:
        """What the status has under `failing`; an empty text takes it back."""
        if why:
            self.view.faults[part] = why
        else:
            self.view.faults.pop(part, None)

    async def _open_work(self, stack: contextlib.AsyncExitStack) -> None:
        """Every node has duties of its own: to open the key of its jobs' hidden data, to judge, to tell of cases. Only one that
        trains, or may be drawn into committees, needs an engine for them."""
        from learningchain.client.machines.book import MachineError
        from learningchain.client.work import WorkDatabaseError, WorkDriver
        from learningchain.sandbox import UnknownBackend

        settings, keys = self._work_settings(), self._own_keys
        try:
            work = self._work = WorkDriver(
                settings,
                self.ledger,
                self.view.files,
                self.data,
                services.make_engine(self.view, self.settings.config, self.data, self.ledger.own_id),
                now=now_ms,
                rng=secrets.token_bytes,
                sign=keys.sign if keys is not None else None,
                derive=keys.derive if keys is not None else None,
                send=lambda to, channel, payload: self.network.send(to, channel, payload, QUEUE_REQUESTS),
                penalize=self.network.penalize,
                seek=self.network.seek,
            )
            stack.push_async_callback(lambda: work.stop(leave=self._leave))
            await work.start()
        except (WorkDatabaseError, UnknownBackend, MachineError) as fault:
            raise StartError(str(fault)) from None
        log.info("looking for work", train=settings.enabled, verify=settings.verify and work.drawn())
        self.view.employ(work, train=self._work_wanted)

    def _work_settings(self) -> configuration.WorkConfig:
        from learningchain.client.work import work_settings

        return work_settings(self.settings.config, train=self._work_wanted)

    def _take_settings(self, settings: configuration.Loaded) -> None:
        self.settings = settings
        self.view.take_settings(settings)
        if self._work is not None:
            self._work.reconfigure(self._work_settings())

    # what the driver and the network tell

    def _keeps_from(self, first: int) -> None:
        self.node.first_block = first

    def _message(self, peer: bytes, channel: int, payload: bytes) -> None:
        if channel == NODE:
            self.driver.feed(e.Received(peer, payload))
        elif channel == CONTENT:
            self.content.on_message(peer, payload)
        elif self._work is not None:
            self._work.on_message(peer, channel, payload)

    def _peer(self, peer: bytes, up: bool) -> None:
        self._gossip.peer(peer, up)
        self.content.on_peer(peer, up)
        self.driver.feed(e.PeerUp(peer) if up else e.PeerDown(peer))

    def _current_key(self, identity: bytes) -> bytes | None:
        """The key that a peer must prove. Who is banned or left is an outsider, but for those who still vote in the consensus."""
        account = self.node.state.get(account_key(identity))
        if not isinstance(account, Account):
            return None
        outside = account.status == BANNED or has_left(self.node.state, identity)
        if outside and all(v.id != identity for v in validators_of(self.node.state)):
            return None
        return account.key

    async def _part(self) -> None:
        """Who just left, or was voted out, has the block that says so before it is cut off: nobody would tell it later."""
        await asyncio.sleep(PART_S)
        self.network.recheck_membership()

    def _sets(self) -> History | None:
        found: Any = self.node.state.get(K_HISTORY)
        return found  # type: ignore[no-any-return]

    def _set_validators(self) -> None:
        ids = [v.id for v in validators_of(self.node.state)]
        self._gossip.set_validators(ids)
        self.network.set_validators(ids)
        if self._mover is not None:
            self._mover.bound(services.moving_rate(self.settings.config, votes=self.identity.id in ids))

    def _decided(self, d: e.Decided) -> None:
        self.ledger.on_decided(d)
        self._pruner.decided()
        if self._remote is not None and any(v.id == self.identity.id for v in validators_of(self.node.state)):
            self._remote.prepare(d.height, last_own_block(self.node.state, self.identity.id))
        changed = {x.topic for r in d.receipts for x in r.events if isinstance(x, LogEvent)} & REGISTRY.admission
        if changed:
            self._set_validators()
            if self._own_keys is not None:
                self._own_keys.look()
            gone = {x for p in self.network.peers() if has_left(self.node.state, x := p.id)}
            self.network.recheck_membership(gone)
            if gone:
                self._spawn(self._part())
        for event in d.receipts[0].events:
            if isinstance(event, LogEvent) and event.topic == "parked":
                shown, begins = render_event(event), fault_of(event.ref, d.height)
                # None where the block was taken over without being executed here.
                where = next((fault.removeprefix(begins) for fault in self.node.parked if fault.startswith(begins)), None)
                ref, data = shown["ref"], shown["data"]
                log.error("a deadline failed and its reference is parked", height=d.height, ref=ref, **data, traceback=where)
        log.debug("block decided", height=d.height, txs=len(d.tx_ids), proposer=address(d.header.proposer))

    def _report(self, evidence: Evidence) -> None:
        log.warning("a validator signed twice", evidence=type(evidence).__name__, height=evidence.a.height)
        self._reports.report(evidence)

    # tasks

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a background task failed", why=repr(task.exception()))

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _refresh_mesh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self._gossip.refresh()
