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
import ipaddress
import os
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from learningchain.chain.contracts import CONTRACTS, REGISTRY
from learningchain.chain.crypto import SigningKey, address
from learningchain.chain.errors import OWN_FAULTS, BrokenInvariant, Malformed
from learningchain.chain.host import BANNED, K_HISTORY, Account, BeaconCommitment, History, account_key, fault_of, key_owner_key
from learningchain.chain.ledger.genesis import Genesis, OtherRules, first_state, from_json, to_json
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import BeaconKey, can_reveal, chain_record, validators_of, version_of
from learningchain.chain.node import events as e
from learningchain.chain.node.batches import TRUST_FROM
from learningchain.chain.node.double_sign_check import Place
from learningchain.chain.node.messages import decode_certificate
from learningchain.chain.node.node import Node
from learningchain.chain.node.recovery import read_log
from learningchain.chain.params import PROTOCOL_VERSION
from learningchain.chain.storage import private, staging
from learningchain.chain.storage.blockstore import BlockStore, CommitBatch, Head
from learningchain.chain.storage.datadir import DataDir
from learningchain.chain.storage.errors import ServerUnreachable, StorageDamaged, StorageError
from learningchain.chain.storage.guard import ALL_ROUNDS, Guard, Kind
from learningchain.chain.storage.wal import Wal
from learningchain.chain.types import Checkpoint, Evidence, LogEvent, Validator, block_id, parse_checkpoint, quorum
from learningchain.client import config as configuration
from learningchain.client import contracts, reading
from learningchain.client.api.route import ServerLimits
from learningchain.client.api.server import MIN_TOKEN, ApiServer
from learningchain.client.daemon.reports import Reports
from learningchain.client.daemon.restart import LEAVE, NotReplaced, replace_running
from learningchain.client.daemon.service import RunningNode
from learningchain.client.daemon.settings_watch import SettingsWatch
from learningchain.client.keys import keyring
from learningchain.client.keys.keyring import Keyring
from learningchain.client.keys.keystore import Identity, KeystoreError, derived
from learningchain.client.keys.signing import LocalSigner, Signer, SignerUnavailable
from learningchain.client.keys.tokens import FILE as TOKENS
from learningchain.client.keys.tokens import TokenFile
from learningchain.client.node import logs, process
from learningchain.client.node.disk_use import DiskUse
from learningchain.client.node.driver import Driver, now_ms
from learningchain.client.node.ledger import NodeLedger
from learningchain.client.node.pruning import Pruner
from learningchain.client.node.screen import Screen
from learningchain.client.node.snapshots import SnapshotService
from learningchain.client.schema.render import render_event
from learningchain.client.signer.certificate import certificate
from learningchain.client.signer.pairing import Pairing, PairingError
from learningchain.client.signer.remote import AHEAD, RemoteSigner
from learningchain.p2p.address_book import AddressBook, parse_endpoint
from learningchain.p2p.config import TransportConfig
from learningchain.p2p.content.service import Content
from learningchain.p2p.content.store import ContentStore
from learningchain.p2p.gossip import GossipTargets
from learningchain.p2p.half_open import MAX_HALF_OPEN
from learningchain.p2p.lan import LanDiscovery
from learningchain.p2p.mdns import Announcement
from learningchain.p2p.mover.mover import Mover
from learningchain.p2p.outsiders import Door
from learningchain.p2p.tls import CA, Leaf
from learningchain.p2p.transport import Network
from learningchain.p2p.wire import CONTENT, NODE, QUEUE_CONTENT, QUEUE_REQUESTS

if TYPE_CHECKING:
    from learningchain.client.work import WorkDriver
    from learningchain.sandbox import AsyncBackend

log: Any = structlog.get_logger("daemon")

MESH = 8
REFRESH_S = 30.0
ALONE_S = 5.0
"""Without a peer for so long, a node with two keys shows the other one."""
PART_S = 5.0
"""For how long who left stays connected, to hear of it."""
MAX_TOKEN = 1_024
GC_AFTER = 50_000
"""Objects that appear between two looks of the garbage collector."""
VALIDATORS_RATE = 100
"""Megabytes a second by data connections, where the owner set nothing."""
_TODO_STATE = "Move the file `db` of the data folder away and start again: the node fetches the chain from its peers"


SIGNER_PATIENCE_S = 5.0
"""How long a start waits for the signer before the node goes on without."""
SignedUpTo = tuple[Signer, BeaconKey, Place]
"""What signs, what makes the beacon's secrets, and the highest place that was signed."""


class StartError(Exception):
    """The node cannot start. The text says what, why and what to do."""


class OfAnotherVersion(StartError):
    """The data folder is of a network whose rules this version does not know."""


class UnknownProtocol(Exception):
    """The next block is of a protocol that only a newer program knows. The text says what to install."""


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
    except OtherRules as fault:
        raise OfAnotherVersion(
            f"{path} is of a network with other rules: {fault}. Another version of LearningChain made it, and nothing of the "
            "folder was changed. Go on with that version, or join a network of this one with a new folder: the keystore and its "
            "passphrase are good for both (docs/operating.md, Another version)"
        ) from None
    except Malformed as fault:
        raise StartError(f"{path} cannot be used: {fault}. Get the file again, then: learningchain genesis install FILE") from None


def api_token(data: Path) -> str:
    """The token that protects the HTTP API; made at the first start, readable by the owner only."""
    path = data / "api.token"
    try:
        token = reading.file(path, MAX_TOKEN, own=True).decode("ascii", "replace").strip()
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
    return BlockStore.open(where, chain_id=chain_id, create=False, hold=True)


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


def newer_protocol(height: int, version_: int) -> str:
    """What to do where the validators decided on a protocol that this program does not know."""
    return (
        f"Block {height} begins version {version_} of the protocol, and this program ({version()}) knows the versions 1 to "
        f"{PROTOCOL_VERSION}. The node has stopped before it, and nothing is lost. Install a LearningChain that knows version "
        f"{version_}, then start the node again"
    )


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


def take_at_word(signer: Signer, signed: Place, height: int) -> Place:
    """The operator says that the key signed nothing above `height`: nothing up to there is signed, and nothing else is doubted."""
    signer.abstain(height)
    return max(signed, (height, ALL_ROUNDS, Kind.PRECOMMIT))


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


def last_own_block(state: State, own: bytes) -> int | None:
    """The height of the block that this identity made last."""
    found = state.get(b"gb/" + own)
    return found.height if isinstance(found, BeaconCommitment) else None


# --- the running node ---------------------------------------------------------------------------------------------------------


def trusted_block(store: BlockStore, setting: str) -> Checkpoint | None:
    """What `sync.trusted` says. Raises `StartError` where this node has another block there."""
    wanted = parse_checkpoint(setting)
    header = store.header(wanted.height) if wanted else None
    if wanted and header is not None and block_id(header) != wanted.block_id:
        raise StartError(
            f"block {wanted.height} of this node is {block_id(header).hex()}, and sync.trusted names {wanted.block_id.hex()}. One "
            "of both is another history, which former validators can make. Ask a member you know for a block of now "
            "(learningchain status) and set sync.trusted to it; where this stays, begin again in a new data folder"
        )
    return wanted


class Daemon:
    """All parts of one node. `run` returns the exit code."""

    keys: Keyring | None = None
    """Those of this node, where they are here."""
    _remote: RemoteSigner | None = None
    _mover: Mover | None = None
    """Where the key lies elsewhere."""
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
            self.identity = own = self._present(opened_keys, state)
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
        self.ledger = NodeLedger(self.node, self.signer, store)
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
            self._use_key(self.keys, state)
        await self._open_network(folder, stack)
        stack.callback(self.driver.stop)
        self._open_node(store)
        self._watch_database(stack)
        self._reports = Reports(self.data / "reports.db", self.ledger, tell=functools.partial(self._tell, "reports"))
        stack.push_async_callback(self._reports.stop)
        self.driver.start(self.network)
        self._reports.start()
        self._spawn(self._refresh_mesh())
        self._spawn(self._pruner.run())
        if self.keys is not None:
            self._spawn(self._find_identity(self.keys))
            self._spawn(self._settle_keys(self._present(self.keys, state).key.public))
        stack.push_async_callback(self._end_tasks)
        await self._open_work(stack)
        watch = SettingsWatch(self.data, self.settings, self._take_settings)
        self.view.look_at_settings = watch.look
        self._spawn(watch.run())
        await self._open_callbacks(stack)
        await self._open_notify(stack)
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
            limits=self._api_limits(),
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
            key=await self._peer_key(),
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
            door=self._door(),
        )
        self._set_validators()
        files = await asyncio.to_thread(ContentStore, Path(folder.blobs), quota=config.storage.quota_mb * 2**20)
        stack.callback(files.close)
        self._mover = self._make_mover(stack) if config.network.bulk else None
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
            lan = self._lan(config.network.listen)
            lan.start()
            stack.push_async_callback(lan.stop)

    def _make_mover(self, stack: contextlib.AsyncExitStack) -> Mover:
        network, config = self.network, self.settings.config.network
        mover = Mover(
            listen=(parse_endpoint(config.listen)[0], config.bulk_port),
            chain_id=self.genesis.chain_id,
            ca=CA(self.genesis.ca_cert, self.genesis.ca_key),
            leaf=lambda: network.leaf,
            find=network.whereabouts,
            mb_s=self._mb_s(),
            prepare=process.guard,
            tell=functools.partial(self._tell, "data connections"),
        )
        stack.callback(mover.close)
        return mover

    def _mb_s(self) -> int:
        """What the owner says; without a word of theirs a validator's votes go first, which wait for the same disk."""
        votes = any(v.id == self.identity.id for v in validators_of(self.node.state))
        return self.settings.config.network.bulk_mb_s or (VALIDATORS_RATE if votes else 0)

    def _lan(self, listen: str) -> LanDiscovery:
        host = parse_endpoint(listen)[0]
        own = Announcement(self.genesis.chain_id, self.identity.id, self.network.port())
        where = ipaddress.IPv4Address("127.0.0.1" if host == "localhost" or ":" in host else host)
        if where.is_loopback:
            raise StartError(
                f"network.mdns is on, and network.listen = {listen} is no address at which others on the local network reach this "
                "node. Set network.listen to this machine's IPv4 address there, or to 0.0.0.0, or network.mdns to false"
            )
        return LanDiscovery(own, where, self.network.is_news, self.network.add_candidate)

    def _door(self) -> Door | None:
        """Which contract answers those that ask to join, where one does."""
        genesis = functools.cache(lambda: to_json(self.genesis))
        for part in contracts.parts("outsiders").values():
            made: Door = part.door(self.ledger, genesis, lambda: int(time.monotonic() * 1_000))
            return made
        return None

    async def _peer_key(self) -> SigningKey | Leaf:
        """What proves to peers who this node is."""
        if isinstance(self.identity, Identity):
            return self.identity.key
        if self._remote is None:
            raise StartError("a pairing stands for a key, and its signer was not opened")
        ca = CA(self.genesis.ca_cert, self.genesis.ca_key)
        try:
            return await certificate(self.data, self._remote, self.genesis.chain_id, ca, time.time())
        except SignerUnavailable as why:
            raise StartError(
                f"{why}. The first start of a node needs its signer once, so that peers know who it is. Start that "
                "(learningchain signer run), then this node again"
            ) from None

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

    def _watch_database(self, stack: contextlib.AsyncExitStack) -> None:
        url, loop = self.settings.config.storage.url, asyncio.get_running_loop()
        if "://" not in url:
            return
        from learningchain.chain.storage.server_look import probe
        from learningchain.client.node.database_watch import DatabaseWatch

        def tell_later(why: str) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._tell, "database", why)

        watch = DatabaseWatch(probe(url), tell_later)
        stack.callback(watch.stop)
        watch.start()

    async def _open_work(self, stack: contextlib.AsyncExitStack) -> None:
        """Every node has duties of its own: to open the key of its jobs' hidden data, to judge, to tell of cases. Only one that
        trains, or may be drawn into committees, needs an engine for them."""
        from learningchain.client.machines.book import MachineError
        from learningchain.client.work import WorkDatabaseError, compose
        from learningchain.sandbox import UnknownBackend

        settings = self._work_settings()
        try:
            work = self._work = compose(
                settings,
                self.ledger,
                self.view.files,
                self.data,
                self._make_engine(),
                now=now_ms,
                rng=secrets.token_bytes,
                sign=self._sign_own if self.keys is not None else None,
                derive=self._derive_own if self.keys is not None else None,
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

    def _make_engine(self) -> AsyncBackend:
        """The engine here, with the owner's other machines where it has some. Raises `UnknownBackend`, `MachineError`."""
        from learningchain.client.work import make_engine

        config = self.settings.config
        own = make_engine(config, self.data, self.ledger.own_id)
        if config.cluster.kind == "none":
            return own
        from learningchain.client.machines.backend import MachinesBackend, make_leases

        engine = MachinesBackend(own, self.data, config.cluster.listen, now_ms, version(), config.cluster.trusted)
        if config.cluster.kind == "slurm":
            engine.leases = make_leases(config, self.data, engine.hub)
        self.view.machines = engine.hub
        engine.hub.start()
        return engine

    def _work_settings(self) -> configuration.WorkConfig:
        from learningchain.client.work import work_settings

        return work_settings(self.settings.config, train=self._work_wanted)

    def _take_settings(self, settings: configuration.Loaded) -> None:
        self.settings = settings
        self.view.take_settings(settings)
        if self._work is not None:
            self._work.reconfigure(self._work_settings())

    async def _open_notify(self, stack: contextlib.AsyncExitStack) -> None:
        """Where nothing is set, nothing follows."""
        from learningchain.client.notify.service import NotifyService

        config = self.settings.config
        if not (config.notify.url or config.notify.command):
            return
        try:
            self.view.notify = NotifyService.of(config, self.data, self.ledger, self.view.work.notices, version())
        except (OSError, ValueError) as fault:
            log.error("nobody is told: notify.secret cannot be used", why=str(fault))
            self.view.faults["notify"] = (
                f"notify.secret of the data folder cannot be used: {fault}. Remove it, and start the node again"
            )
            return
        self.view.notify.start()
        stack.push_async_callback(self.view.notify.stop)

    async def _open_callbacks(self, stack: contextlib.AsyncExitStack) -> None:
        """A node whose database of them cannot be used does everything else, and says so."""
        from learningchain.client.addresses import AllowedAddresses
        from learningchain.client.callbacks.database import CallbackDatabaseError
        from learningchain.client.callbacks.following import find_sources
        from learningchain.client.callbacks.posting import Caller
        from learningchain.client.callbacks.service import CallbackService

        caller = Caller(AllowedAddresses.of(self.settings.config.callback.allow), version())
        tokens = TokenFile(self.data / TOKENS)
        stack.callback(tokens.close)
        path = self.data / "callbacks.db"
        kept = self.view.work.kept
        service = CallbackService(path, self.ledger, self.view, find_sources(), caller, why_not=tokens.why_not, kept=kept)
        stack.push_async_callback(service.stop)
        try:
            await service.start()
        except CallbackDatabaseError as fault:
            log.error("callbacks are off", why=str(fault))
            self.view.callback_fault = str(fault)
        else:
            self.view.callbacks = service

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
        outside = account.status == BANNED or self._has_left(identity)
        if outside and all(v.id != identity for v in validators_of(self.node.state)):
            return None
        return account.key

    def _has_left(self, identity: bytes) -> bool:
        gone = (contract.gone for contract in CONTRACTS if contract.gone is not None)
        return any(has_left(self.node.state, identity) for has_left in gone)

    async def _part(self) -> None:
        """Who just left, or was voted out, has the block that says so before it is cut off: nobody would tell it later."""
        await asyncio.sleep(PART_S)
        self.network.recheck_membership()

    # this node's own key

    @staticmethod
    def _present(keys: Keyring, state: State) -> Identity:
        """The identity with the key that the ledger names; where that is not here, with the newest one: it may come."""
        account = state.get(account_key(keys.id))
        found = keys.of(account.key) if isinstance(account, Account) else None
        return found or keys.newest

    def _use_key(self, keys: Keyring, state: State) -> None:
        """A validator signs with the key that its set has, and with no other."""
        account = state.get(account_key(keys.id))
        here = not isinstance(account, Account) or account.key in keys
        if isinstance(self.signer, LocalSigner):
            self.signer.use_key(self._present(keys, state).key, votes=here)

    def _sign_own(self, digest: bytes) -> bytes:
        """By the account's present key. Digests of machines have tags of their own, which no vote, transaction or statement has."""
        if not isinstance(self.identity, Identity):
            raise StartError("this node's key is not on this machine")
        return self.identity.key.sign(digest)

    def _derive_own(self, salt: bytes, info: bytes) -> list[bytes]:
        """HKDF-SHA256 of this account's secrets, the present key's first: no machine is told a secret."""
        if self.keys is None:
            raise StartError("this node's key is not on this machine")
        present = self._present(self.keys, self.node.state)
        others = [one for one in self.keys.all if one.key.public != present.key.public]
        return [derived(one.key.secret, salt, info) for one in (present, *others)]

    def _look_at_key(self) -> None:
        """LC-KEY-3: the ledger may name another key for this node since the last block."""
        if self.keys is None:
            return
        present = self._present(self.keys, self.node.state)
        if isinstance(self.identity, Identity) and present.key.public != self.identity.key.public:
            self.identity = present
            self.node.use_beacon_key(present.beacon_key)
            self.network.use_key(present.key)
            self._spawn(self._settle_keys(present.key.public))
            log.info("this node has another key", key=present.key.public.hex(), height=self.node.height)
        self._use_key(self.keys, self.node.state)

    async def _settle_keys(self, public: bytes) -> None:
        """What the ledger names takes its place on the disk, once the block is there."""
        await self.driver.settled()
        try:
            await asyncio.to_thread(keyring.settle, self.data, public)
        except (OSError, KeystoreError) as fault:
            log.error("the new key's file could not be put in its place; it is tried again at the next start", why=str(fault))

    async def _find_identity(self, own: Keyring) -> None:
        """A node that was away does not know which of its keys the others know: where nobody talks to it, it shows another one."""
        while True:
            await asyncio.sleep(ALONE_S)
            keys = [identity.key for identity in own.all]
            if len(keys) > 1 and not self.network.peers():
                shown = next((at for at, key in enumerate(keys) if key.public == self.network.shown_key), 0)
                self.network.use_key(keys[(shown + 1) % len(keys)])

    def _sets(self) -> History | None:
        found: Any = self.node.state.get(K_HISTORY)
        return found  # type: ignore[no-any-return]

    def _set_validators(self) -> None:
        ids = [v.id for v in validators_of(self.node.state)]
        self._gossip.set_validators(ids)
        self.network.set_validators(ids)
        if self._mover is not None:
            self._mover.bound(self._mb_s())

    def _decided(self, d: e.Decided) -> None:
        self.ledger.on_decided(d)
        self._pruner.decided()
        if self._remote is not None and any(v.id == self.identity.id for v in validators_of(self.node.state)):
            self._remote.prepare(d.height, last_own_block(self.node.state, self.identity.id))
        changed = {x.topic for r in d.receipts for x in r.events if isinstance(x, LogEvent)} & REGISTRY.admission
        if changed:
            self._set_validators()
            self._look_at_key()
            gone = {x for p in self.network.peers() if self._has_left(x := p.id)}
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


AGAIN = 75
"""EX_TEMPFAIL: what ended the node may pass by itself, so a service manager starts it again; 1 would be the same once more."""


def exit_code(fault: BaseException | None) -> int:
    return AGAIN if isinstance(fault, ServerUnreachable) else 1


_NOT_STARTED = StartError, NotReplaced, StorageError, KeystoreError, PairingError, configuration.ConfigError

# --- the process --------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _signals(daemon: Daemon) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, LEAVE):
        loop.add_signal_handler(number, functools.partial(daemon.stop, leave=number == LEAVE))
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, LEAVE):
            loop.remove_signal_handler(number)


async def _run(
    data: Path,
    keys: Callable[[], Keyring | Pairing],
    *,
    work: bool | None,
    accept_new_guard: bool,
    signed_up_to: int | None,
    restart: bool,
) -> int:
    settings = configuration.load(data)
    form = settings.config.log.format
    logs.configure(settings.config.log.level, form, Screen(data) if form == "console" and sys.stderr.isatty() else None)
    if restart and await asyncio.to_thread(replace_running, data):
        log.info("the node that ran here has stopped")
    folder = DataDir.open(str(data), create=False)
    try:
        folder.check_free()
        genesis = load_genesis(data)
        wanted = settings.config.work.enabled if work is None else work
        daemon = Daemon(data, keys, genesis, settings, work=wanted)
        async with _signals(daemon):
            return await daemon.run(folder, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to)
    finally:
        folder.close()


def run(
    data: Path,
    keys: Callable[[], Keyring | Pairing],
    *,
    work: bool | None = None,
    accept_new_guard: bool = False,
    signed_up_to: int | None = None,
    restart: bool = False,
) -> int:
    """Run a node until SIGINT or SIGTERM, or SIGUSR1, which leaves its trainings for the next start. The exit code: 0 stopped, 1
    refused to start or halted (stderr says why), `AGAIN` where that may pass by itself. `restart`: in the place of the one that
    runs in this folder.

    `keys` gives the node's own, or where its signer is; or raises `KeystoreError`, `PairingError`.
    """
    data = data.absolute()  # its databases note paths of models and secrets, and the next start may be typed elsewhere
    try:
        # uvloop costs a validator a tenth less processor time than Python's own loop.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            started = _run(data, keys, work=work, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to, restart=restart)
            return runner.run(started)
    except UnknownProtocol as fault:
        print(fault, file=sys.stderr)  # noqa: T201
        return 1
    except (*_NOT_STARTED, BrokenInvariant, Malformed, *OWN_FAULTS) as fault:
        print(f"The node does not start: {fault}", file=sys.stderr)  # noqa: T201
        return exit_code(fault)
