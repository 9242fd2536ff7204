"""The composition root: opens a data folder, puts a node together, runs it until a signal, and closes it in order.

Start: lock the folder -> config, keystore, genesis -> check the database, load the state, compare its root -> log and guard ->
network, content, worker, HTTP API. Whatever does not fit stops the start with what is wrong, why, and what to do. While it runs, a
storage fault or a broken invariant ends the process with exit code 1 and the evidence in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import importlib.metadata
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog
import uvloop

from chain.contracts import CONTRACTS, REGISTRY
from chain.crypto import address
from chain.errors import OWN_FAULTS, BrokenInvariant, Malformed
from chain.host import BANNED, K_HISTORY, Account, History, account_key, fault_of
from chain.ledger.genesis import Genesis, first_state, from_json
from chain.ledger.state import State
from chain.ledger.transition import validators_of
from chain.node import events as e
from chain.node.batches import TRUST_FROM
from chain.node.messages import decode_certificate
from chain.node.node import Node
from chain.node.recovery import read_log
from chain.storage import private, staging
from chain.storage.blockstore import BlockStore, CommitBatch, Head
from chain.storage.datadir import DataDir
from chain.storage.errors import StorageDamaged, StorageError
from chain.storage.guard import Guard
from chain.storage.wal import Wal
from chain.types import Evidence, LogEvent, Validator, quorum
from client import config as configuration
from client import logs, process
from client.api.render import render_event
from client.api.route import ServerLimits
from client.api.server import MIN_TOKEN, ApiServer
from client.driver import Driver
from client.keystore import Identity, KeystoreError
from client.ledger import NodeLedger
from client.node import RunningNode
from client.reports import Reports
from client.snapshots import SnapshotService
from p2p.address_book import AddressBook, parse_endpoint
from p2p.config import TransportConfig
from p2p.content.service import Content
from p2p.content.store import ContentStore
from p2p.gossip import GossipTargets
from p2p.half_open import MAX_HALF_OPEN
from p2p.tls import CA
from p2p.transport import Network
from p2p.wire import CONTENT, NODE, QUEUE_CONTENT

log: Any = structlog.get_logger("daemon")

MESH = 8
REFRESH_S = 30.0
MAX_TOKEN = 1_024
GC_AFTER = 50_000
"""Objects that appear between two looks of the garbage collector."""
_TODO_STATE = "Move the file `db` of the data folder away and start again: the node fetches the chain from its peers"


class StartError(Exception):
    """The node cannot start. The text says what, why and what to do."""


@functools.cache
def version() -> str:
    try:
        return importlib.metadata.version("learningchain")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


# --- opening ------------------------------------------------------------------------------------------------------------------


def load_genesis(data: Path) -> Genesis:
    path = data / "genesis.json"
    try:
        with private.reading(path) as file:
            return from_json(file.read())
    except FileNotFoundError:
        raise StartError(
            f"There is no network in {data}: genesis.json is missing. Get the file from whoever runs the network, then: "
            "learningchain genesis install FILE"
        ) from None
    except OSError as fault:
        raise StartError(f"{path} cannot be read: {fault.strerror}. Check its owner and mode") from None
    except Malformed as fault:
        raise StartError(f"{path} cannot be used: {fault}. Get the file again, then: learningchain genesis install FILE") from None


def api_token(data: Path) -> str:
    """The token that protects the HTTP API; made at the first start, readable by the owner only."""
    path = data / "api.token"
    try:
        with private.reading(path) as file:
            token = file.read(MAX_TOKEN).decode("ascii", "replace").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        private.replace(path, token.encode() + b"\n")
    except OSError as fault:
        raise StartError(f"{path} cannot be read: {fault.strerror}. Remove it, and the node makes a new one") from None
    if len(token) < MIN_TOKEN:
        raise StartError(f"{path} holds no token: it has {len(token)} characters. Remove the file, and the node makes a new one")
    return token


def open_store(where: str, chain_id: bytes, *, keep: bool = True) -> BlockStore:
    """The node's database. Where a snapshot is ready to be used, it is the state from here on; a part of one goes, unless it is to
    be kept. Raises `StorageError`."""
    store = BlockStore.open(where, chain_id=chain_id, create=True)
    try:
        height = staging.switch(store, keep=keep)
    except BaseException:
        store.close()
        raise
    if height is None:
        return store
    store.close()
    log.info("began from a snapshot", height=height)
    return BlockStore.open(where, chain_id=chain_id, create=False)


def open_state(store: BlockStore, genesis: Genesis) -> tuple[State, Head]:
    """The state after the stored head; on an empty store, genesis. Raises `StorageDamaged` where it is not what was decided."""
    head = store.head()
    if head is None:
        store.commit(CommitBatch(0, genesis.chain_id, b"", b"", [], [], [], first_state(genesis)[1]))
        return store.open_state(), Head(0, genesis.chain_id, None)
    store.check(False)
    state = store.open_state()
    expected = head.header.state_root if head.header else first_state(genesis)[0].root
    if state.root != expected:
        why = f"its root is {state.root.hex()[:16]}, block {head.height} says {expected.hex()[:16]}"
        raise StorageDamaged(f"The state in {store.where} is not the one that was decided", why, _TODO_STATE)
    return state, head


def open_guard(folder: DataDir, wal: Wal, head: Head, validators: list[Validator], *, accept_new: bool) -> Guard:
    """The guard of a chain that has begun must be there; a new one takes the operator's word.

    A new guard leaves the height that may be half signed to the others. Where they cannot decide without this node (a quorum is
    everybody), that would end the chain: there the operator's word, that nothing else uses this key, has to do.
    """
    chain_id = wal.chain_id
    if accept_new:
        last = max([head.height, *read_log(wal.records()).certificates])
        spare = quorum(len(validators)) < len(validators)
        return Guard.create(folder.guard, chain_id=chain_id, after_height=last + 1 if spare else last)
    if head.height == 0 and not wal.records() and not os.path.exists(folder.guard):
        return Guard.create(folder.guard, chain_id=chain_id)
    return Guard.open(folder.guard, chain_id=chain_id)


@contextlib.contextmanager
def listening(setting: str, where: str) -> Iterator[None]:
    """An address that cannot be had stops the start with the setting that names it."""
    try:
        yield
    except OSError as fault:
        why = "it is in use by another program" if fault.errno == errno.EADDRINUSE else fault.strerror or str(fault)
        raise StartError(
            f"The node cannot listen on {where}: {why}. Stop that program, or choose another address: "
            f"learningchain config set {setting} HOST:PORT"
        ) from None


# --- the running node ---------------------------------------------------------------------------------------------------------


class Daemon:
    """All parts of one node. `run` returns the exit code."""

    def __init__(
        self, data: Path, identity: Callable[[], Identity], genesis: Genesis, settings: configuration.Loaded, *, work: bool
    ) -> None:
        self.data, self.genesis, self.settings = data, genesis, settings
        self._unlock = identity
        self._work_wanted = work
        self._files = process.raise_file_limit()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, folder: DataDir, *, accept_new_guard: bool) -> int:
        """One node after the other: one that took a snapshot makes room for one that begins from it."""
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
            ends: set[asyncio.Future[Any]] = {stop, self.driver.failed, self.driver.switched}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if self.driver.failed.done():
                fault = self.driver.failed.exception()
                log.error("the node halts", why=str(fault), kind=type(fault).__name__, faults=list(self.node.faults))
                return 1
            if self.driver.switched.done() and not self._stop.is_set():
                log.info("the snapshot is here: the node goes on from it", height=self.driver.switched.result())
                return None
            log.info("node stopping")
        return 0

    def stop(self) -> None:
        self._stop.set()

    async def _open(self, folder: DataDir, stack: contextlib.AsyncExitStack, accept_new_guard: bool) -> None:
        config, chain_id = self.settings.config, self.genesis.chain_id
        where = config.storage.url or folder.db
        store = open_store(where, chain_id, keep=config.sync.mode == "snapshot")
        stack.callback(store.close)
        state, head = open_state(store, self.genesis)
        wal = Wal.open(folder.wal, chain_id=chain_id, create=head.height == 0)
        stack.callback(wal.close)
        self.identity = self._unlock()  # the keystore is still being opened while the state is read
        guard = open_guard(folder, wal, head, validators_of(state), accept_new=accept_new_guard)
        stack.callback(guard.close)
        snapshots = SnapshotService(store, where, self.data, self._sets)
        stack.callback(snapshots.close)
        self.node = Node(
            self.identity.id,
            self.identity.beacon_key,
            state,
            head.block_id,
            signed=guard.signed,
            # Nobody could audit what it takes over without the state that this rests on: it executes what comes after a snapshot.
            trusting=TRUST_FROM if config.sync.mode != "full" and not store.base else 0,
            snapshot_after=config.sync.snapshot_after if config.sync.mode == "snapshot" else 0,
            base=decode_certificate(store.certificate(store.base) or b"") if store.base else None,
        )
        self.ledger = NodeLedger(self.node, self.identity.key, store)
        self._gossip = GossipTargets(MESH, random.Random(secrets.randbits(64)))
        self.driver = Driver(
            self.node,
            key=self.identity.key,
            store=store,
            wal=wal,
            guard=guard,
            gossip=self._gossip,
            on_decided=self._decided,
            on_dropped=self.ledger.on_dropped,
            on_evidence=self._report,
            snapshots=snapshots,
        )
        self.ledger.attach(self.driver)
        await self._open_network(folder, stack)
        stack.callback(self.driver.stop)
        self._open_node(store)
        self._reports = Reports(self.data / "reports.db", self.ledger)
        stack.push_async_callback(self._reports.stop)
        self.driver.start(self.network)
        self._reports.start()
        self._spawn(self._refresh_mesh())
        stack.push_async_callback(self._end_tasks)
        await self._open_work(stack)
        server = ApiServer(
            self.view,
            listen=parse_endpoint(config.api.listen),
            token=api_token(self.data),
            version=version(),
            spool=self.data / "spool",
            limits=self._api_limits(),
        )
        with listening("api.listen", config.api.listen):
            self.api_port = await server.start()
        stack.push_async_callback(server.stop)

    def _api_limits(self) -> ServerLimits:
        """As many connections as leave files for peers."""
        most = process.share_of_files(self._files, ServerLimits.connections)
        return ServerLimits(connections=most, connections_per_address=min(most, ServerLimits.connections_per_address))

    async def _open_network(self, folder: DataDir, stack: contextlib.AsyncExitStack) -> None:
        config = self.settings.config
        address_book = AddressBook(self.data / "peers.book")
        address_book.load()
        for peer in config.network.peers:
            address_book.add_seed(peer)
        self.network = Network(
            key=self.identity.key,
            own_id=self.identity.id,
            chain_id=self.genesis.chain_id,
            ca=CA(self.genesis.ca_cert, self.genesis.ca_key),
            membership=self._current_key,
            on_message=self._message,
            on_peer=self._peer,
            address_book=address_book,
            listen=parse_endpoint(config.network.listen),
            advertise=list(config.network.advertise) or [config.network.listen],
            config=TransportConfig(half_open=process.share_of_files(self._files, MAX_HALF_OPEN)),
            height=lambda: self.node.height,
        )
        self._set_validators()
        files = await asyncio.to_thread(ContentStore, Path(folder.blobs), quota=config.storage.quota_mb * 2**20)
        stack.callback(files.close)
        self.content = Content(
            files,
            lambda peer, payload: self.network.send(peer, CONTENT, payload, QUEUE_CONTENT),
            lambda: int(time.monotonic() * 1000),
            penalize=self.network.penalize,
            queued=lambda peer: self.network.queued(peer, QUEUE_CONTENT),
        )
        stack.push_async_callback(self.content.close)
        with listening("network.listen", config.network.listen):
            await self.network.start()
        stack.push_async_callback(self.network.stop)

    def _open_node(self, store: BlockStore) -> None:
        parts = self.driver, self.ledger, store, self.network, self.content
        self.view = RunningNode(*parts, self.settings, name=self.genesis.name, version=version())

    async def _open_work(self, stack: contextlib.AsyncExitStack) -> None:
        called = (contract.drawn for contract in CONTRACTS if contract.drawn is not None)
        if not self._work_wanted and not any(drawn(self.node.state, self.identity.id) for drawn in called):
            return
        from client.work.database import WorkDatabaseError
        from client.work_service import WorkService
        from sandbox import UnknownBackend

        service = WorkService(self.data, self.settings.config, self.ledger, self.view.files, train=self._work_wanted)
        stack.push_async_callback(service.stop)
        try:
            await service.start()
        except (WorkDatabaseError, UnknownBackend) as fault:
            raise StartError(str(fault)) from None
        self.view.employ(service, train=self._work_wanted)

    # callbacks

    def _message(self, peer: bytes, channel: int, payload: bytes) -> None:
        if channel == NODE:
            self.driver.feed(e.Received(peer, payload))
        elif channel == CONTENT:
            self.content.on_message(peer, payload)

    def _peer(self, peer: bytes, up: bool) -> None:
        self._gossip.peer(peer, up)
        self.content.on_peer(peer, up)
        self.driver.feed(e.PeerUp(peer) if up else e.PeerDown(peer))

    def _current_key(self, identity: bytes) -> bytes | None:
        """The key that a peer must prove. Banned members are outsiders, but for those who still vote in the consensus."""
        account = self.node.state.get(account_key(identity))
        if not isinstance(account, Account):
            return None
        if account.status == BANNED and all(v.id != identity for v in validators_of(self.node.state)):
            return None
        return account.key

    def _sets(self) -> History | None:
        found: Any = self.node.state.get(K_HISTORY)
        return found  # type: ignore[no-any-return]

    def _set_validators(self) -> None:
        ids = [v.id for v in validators_of(self.node.state)]
        self._gossip.set_validators(ids)
        self.network.set_validators(ids)

    def _decided(self, d: e.Decided) -> None:
        self.ledger.on_decided(d)
        changed = {x.topic for r in d.receipts for x in r.events if isinstance(x, LogEvent)} & REGISTRY.admission
        if changed:
            self._set_validators()
            self.network.recheck_membership()
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


# --- the process --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _signals(daemon: Daemon) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, daemon.stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _run(data: Path, identity: Callable[[], Identity], *, work: bool | None, accept_new_guard: bool) -> int:
    settings = configuration.load(data)
    logs.configure(settings.config.log.level, settings.config.log.format)
    folder = DataDir.open(str(data), create=False)
    try:
        folder.check_free()
        genesis = load_genesis(data)
        wanted = settings.config.work.enabled if work is None else work
        daemon = Daemon(data, identity, genesis, settings, work=wanted)
        async with _signals(daemon):
            return await daemon.run(folder, accept_new_guard=accept_new_guard)
    finally:
        folder.close()


def run(data: Path, identity: Callable[[], Identity], *, work: bool | None = None, accept_new_guard: bool = False) -> int:
    """Run a node until SIGINT or SIGTERM. The exit code: 0 stopped, 1 refused to start or halted (stderr says why).

    `identity` gives the node's own, or raises `KeystoreError`.
    """
    try:
        # uvloop costs a validator a tenth less processor time than Python's own loop.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(data, identity, work=work, accept_new_guard=accept_new_guard))
    except (StartError, StorageError, KeystoreError, configuration.ConfigError, BrokenInvariant, Malformed, *OWN_FAULTS) as fault:
        print(f"The node does not start: {fault}", file=sys.stderr)  # noqa: T201
        return 1
