"""The content service: runs the exchange machine in an asyncio loop, on a store and a way to send.

The loop does only what takes well under a millisecond. Hashing and disk work run in threads of this service's own, one for writing,
a few for the rest, so votes in the same loop never wait for a disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

import structlog

from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.day import DaysOfPeers
from learningchain.p2p.content.events import (
    Arrived,
    BlockStored,
    Cancel,
    CloseDownload,
    Complete,
    Completed,
    DiskFailed,
    DownloadFailed,
    DownloadFinished,
    DownloadOpened,
    DownloadProgress,
    Effect,
    EndMove,
    Fetch,
    Input,
    LeavesMoved,
    MessageReceived,
    MoveEnded,
    MoveOpened,
    Offered,
    Open,
    OpenMove,
    PeerConnected,
    PeerDisconnected,
    PenalizePeer,
    SendMessage,
    Served,
    StoreLeaf,
    StoreNode,
    TakeLeaves,
    TimerTick,
)
from learningchain.p2p.content.exchange import Exchange
from learningchain.p2p.content.faults import Damaged, FetchFailed, Missing, Reason, StoreError
from learningchain.p2p.content.messages import MAX_FRAME, ContentBlock, DontHave, WhoHas, decode_message
from learningchain.p2p.content.moves import MIN_MOVED
from learningchain.p2p.content.partial import Downloads
from learningchain.p2p.content.rates import DownloadRate, UnderWay
from learningchain.p2p.content.serving import Serve
from learningchain.p2p.content.store import ContentStore

log = structlog.get_logger(__name__)

TICK_S = 0.25
RETRY_S = 0.02
"""How soon a frame that the link refused is offered again."""
SEND_FOR_S = 30
MAX_WAITING = 16
"""Frames that wait for the full link of one peer. More are dropped: the machine asks again."""
MAX_UNOFFERED = 256
READERS = 4
HASH_APART = 16_384
"""Frames above this size are decoded and hashed in a thread."""

T = TypeVar("T")
OnProgress = Callable[[int, int], None]
Disk = Open | StoreNode | StoreLeaf | Complete | CloseDownload
MoveReport = MoveOpened | LeavesMoved | MoveEnded


class DataConnections(Protocol):
    """What carries leaves beside the messages: `p2p.mover`, or a simulator. Nothing here waits; what happens is reported later."""

    report: Callable[[MoveReport], None]
    sent: int
    received: int
    """Bytes of leaves."""

    ready: Callable[[], None]
    """Called when there is a port to offer."""

    served: Callable[[bytes, int], None]
    """Called with what a peer was sent."""

    def begin(self) -> bool:
        """Something large is fetched, or may be asked for: get ready. Whether there is a port to offer."""

    def offer(self, peer: bytes, root: Cid, path: Path, size: int) -> tuple[int, bytes] | None:
        """The port and a new ticket, with which this peer may have this file for a minute; None while there is none."""

    def open(self, wanted: OpenMove, path: Path) -> None:
        """Connect; leaves go to their places in the file at `path`, which is there at full length."""

    def order(self, order: TakeLeaves | EndMove) -> None: ...

    def forget(self, peer: bytes) -> None:
        """The peer is gone: its tickets and the connections made with them end."""


class _Waiter:
    """One call of `fetch`."""

    def __init__(self, max_size: int, on_progress: OnProgress | None, done: asyncio.Future[None]) -> None:
        self.max_size, self.on_progress, self.done = max_size, on_progress, done


class Content:
    """Content for one node. Create it in a running loop; `close` it before the store.

    `send(peer, payload)` takes a frame or returns False when the peer's queue is full or the peer is gone. `now()` is milliseconds
    of any monotonic clock. `allow(peer, root)` is the policy on whom to serve what; by default, everybody what is pinned here.
    `penalize(peer, text)` is told who broke the protocol. `queued(peer)`: bytes of content that wait to be sent to it.
    `has_room()`: whether a block may be served now, by what all peers were sent; `served(size)` is told the bytes of each answer.
    `mover`: data connections, where this node has them. `most_a_day`: bytes that a peer is sent in a day, 0: no bound.
    """

    def __init__(
        self,
        store: ContentStore,
        send: Callable[[bytes, bytes], bool],
        now: Callable[[], int],
        *,
        allow: Callable[[bytes, Cid], bool] | None = None,
        penalize: Callable[[bytes, str], None] | None = None,
        queued: Callable[[bytes], int] = lambda peer: 0,
        has_room: Callable[[], bool] = lambda: True,
        served: Callable[[int], None] = lambda size: None,
        mover: DataConnections | None = None,
        most_a_day: int = 0,
    ) -> None:
        self.store, self._mover = store, mover
        self.sent = self.received = 0
        """Bytes of content by messages."""
        self._send, self._now, self._penalize, self._served = send, now, penalize, served
        self.allow = allow or (lambda _peer, root: store.pinned(root))
        self._days = DaysOfPeers(most_a_day)
        self.refused = 0
        """Questions of peers that had all of their day."""
        self._machine = Exchange(
            lambda peer, root: store.has(root) and self.allow(peer, root),
            queued,
            has_room,
            self._offer_of,
            moves=mover is not None,
            wait_ms=self._wait_of,
        )
        if mover is not None:
            mover.report, mover.ready, mover.served = self._feed_open, self._ask_again, self._count
        self._unoffered: dict[tuple[bytes, Cid], None] = {}
        """Who asked for what before there was a port to offer, the oldest first."""
        self._downloads = Downloads(store)
        self._waiters: dict[Cid, list[_Waiter]] = {}
        self._rates: dict[Cid, DownloadRate] = {}
        """Of what anybody waits for."""
        self._peers: dict[bytes, int] = {}
        """The connected peers, each with the number of its connection."""
        self._connections = 0
        self._checking: dict[bytes, int] = {}
        self._inputs: deque[Input] = deque()
        self._feeding = False
        self._disk: asyncio.Queue[Disk] = asyncio.Queue()
        self._busy = asyncio.Event()
        self._waiting: Counter[bytes] = Counter()
        """Frames that wait for a full link, by peer."""
        self._writer = ThreadPoolExecutor(1, "content-write")
        self._readers = ThreadPoolExecutor(READERS, "content-read")
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._spawn(self._run_disk())
        self._spawn(self._run_ticks())

    async def close(self) -> None:
        """Fail what is under way (it can be resumed) and end every task and thread."""
        if self._closed:
            return
        self._closed = True
        for root in list(self._waiters):
            self._fail(root, Reason.CANCELLED, "this node is shutting down")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._shut_threads)

    def _shut_threads(self) -> None:
        self._writer.submit(self._downloads.close)
        self._writer.shutdown()
        self._readers.shutdown()

    # --- the network's side ---------------------------------------------------------------------------------------------------

    def on_peer(self, peer: bytes, up: bool) -> None:
        """A peer connected or is gone. What was meant for, or came from, a connection that ended is not mixed with the next one: a
        block that the new one did not ask for would look like a flood (LC-CONTENT-12)."""
        self._connections += 1
        if up:
            self._peers[peer] = self._connections
        else:
            self._peers.pop(peer, None)
            if self._mover is not None:
                self._mover.forget(peer)
        self._feed(PeerConnected(peer) if up else PeerDisconnected(peer))

    def on_message(self, peer: bytes, payload: bytes) -> None:
        """A content frame arrived. Never raises on what a peer sent."""
        self.received += len(payload)
        if not HASH_APART < len(payload) <= MAX_FRAME or self._checking.get(peer, 0) >= self._machine.owed(peer):
            self._feed(MessageReceived(peer, payload))
            return
        self._checking[peer] = self._checking.get(peer, 0) + 1
        self._spawn(self._check(peer, payload, self._peers.get(peer)))

    async def _check(self, peer: bytes, payload: bytes, connection: int | None) -> None:
        """Decode and hash a large frame in a thread. As many wait here as the peer owes blocks, no more."""
        try:
            given = await self._read(lambda: _checked(peer, payload))
        finally:
            left = self._checking[peer] - 1
            if left:
                self._checking[peer] = left
            else:
                del self._checking[peer]
        if self._peers.get(peer) == connection:
            self._feed(given)

    def carried(self) -> dict[tuple[str, ...], float]:
        """Bytes by way and direction since the start."""
        ways = [("messages", self.sent, self.received)]
        if self._mover is not None:
            ways.append(("connections", self._mover.sent, self._mover.received))
        return {(way, direction): size for way, *sizes in ways for direction, size in zip(("out", "in"), sizes, strict=True)}

    def under_way(self) -> dict[Cid, UnderWay]:
        """The downloads that somebody waits for."""
        now = self._now()
        return {root: rate.at(now) for root, rate in self._rates.items()}

    # --- the node's side ------------------------------------------------------------------------------------------------------

    async def add(self, source: Path | bytes | BinaryIO, *, pin: str | None = None) -> Cid:
        """Take a file into the store; see `ContentStore.add`. Who asked for it in vain is told, as far as the policy allows."""
        root = await self._read(lambda: self.store.add(source, pin=pin))
        self.offer(root)
        return root

    def offer(self, root: Cid) -> None:
        """The policy on whom to serve this has changed: who asked for it in vain, and may have it now, is told."""
        if not self._closed:
            self._feed(Offered(root))

    async def fetch(
        self, root: Cid, *, max_size: int, timeout_s: float, on_progress: OnProgress | None = None, pin: str | None = None
    ) -> Path:
        """The checked file behind `root`, from the store or from peers. `on_progress(bytes, of)`; `pin` keeps it from collection.

        Raises `FetchFailed` with a reason. Calls for one root share a download, which goes on while anybody waits for it. A call
        that is cancelled leaves what arrived on disk; the next one goes on from there.
        """
        if pin is not None:
            await self._read(lambda: self.store.pin(root, pin))
        if self.store.has(root):
            try:
                self._check_size(root, max_size)
                return await self._read(lambda: self.store.open(root))
            except (Missing, Damaged) as e:
                log.warning("fetching content again", cid=str(root), why=str(e))
        await self._download(root, max_size, timeout_s, on_progress)
        return self.store.path(root)

    def _check_size(self, root: Cid, max_size: int) -> None:
        size = self.store.size(root)
        if size > max_size:
            raise FetchFailed(root, Reason.TOO_LARGE, f"the content has {size} bytes, at most {max_size} are wanted")

    async def _download(self, root: Cid, max_size: int, timeout_s: float, on_progress: OnProgress | None) -> None:
        if self._closed:
            raise FetchFailed(root, Reason.CANCELLED, "this node is shutting down")
        waiter = _Waiter(max_size, on_progress, asyncio.get_running_loop().create_future())
        self._waiters.setdefault(root, []).append(waiter)
        self._rates.setdefault(root, DownloadRate(self._now()))
        try:
            self._feed(Fetch(root, max_size, self._now() + int(timeout_s * 1000)))
            async with asyncio.timeout(timeout_s + 2 * TICK_S):  # the machine is first, and knows more
                await waiter.done
        except TimeoutError:
            raise FetchFailed(root, Reason.TIMEOUT, f"not done after {timeout_s} s; what arrived is kept: try again") from None
        finally:
            waiters = self._waiters.get(root, [])
            if waiter in waiters:
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[root]
                    self._feed(Cancel(root))
            if root not in self._waiters:
                self._rates.pop(root, None)

    def _offer_of(self, peer: bytes, root: Cid) -> tuple[int, bytes] | None:
        """The policy allowed it just now. Small files are not worth a connection."""
        if self._mover is None or (size := self.store.size(root)) < MIN_MOVED:
            return None
        if not self._mover.begin():
            self._unoffered[peer, root] = None
            if len(self._unoffered) > MAX_UNOFFERED:
                del self._unoffered[next(iter(self._unoffered))]
        return self._mover.offer(peer, root, self.store.path(root), size)

    def _wait_of(self, peer: bytes) -> int:
        wait = self._days.wait_ms(peer, self._now())
        self.refused += wait > 0
        return wait

    def _count(self, peer: bytes, size: int) -> None:
        """LC-CONTENT-21. What was asked for before still goes by messages; data connections end."""
        if self._days.add(peer, size, self._now()):
            log.warning(
                "a peer had all the bytes of files that it is sent in a day; it is told when there is more", peer=peer.hex()
            )
            if self._mover is not None:
                self._mover.forget(peer)

    def _ask_again(self) -> None:
        """As if each had asked now: it asks for nothing else until its next tick."""
        asked, self._unoffered = self._unoffered, {}
        for peer, root in asked:
            self._feed_open(MessageReceived(peer, encode(WhoHas(root.to_bytes()))))

    def _feed_open(self, given: MoveReport | MessageReceived) -> None:
        if not self._closed:
            self._feed(given)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    # --- running the machine --------------------------------------------------------------------------------------------------

    def _feed(self, given: Input) -> None:
        """Inputs are handled one after the other, also when running an effect makes a new one at once."""
        self._inputs.append(given)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._inputs:
                for effect in self._machine.handle(self._now(), self._inputs.popleft()):
                    self._run(effect)
        finally:
            self._feeding = False
        if self._machine.busy:
            self._busy.set()

    def _run(self, effect: Effect) -> None:
        match effect:
            case SendMessage():
                if not self._send(effect.peer, effect.payload):
                    self._insist_later(effect.peer, effect.payload, self._peers.get(effect.peer))
            case Serve():
                self._spawn(self._serve(effect, self._peers.get(effect.peer)))
            case Open() | StoreNode() | StoreLeaf() | Complete() | CloseDownload():
                self._disk.put_nowait(effect)
                if isinstance(effect, StoreNode) and effect.size >= MIN_MOVED and self._mover is not None:
                    self._mover.begin()
            case OpenMove() if self._mover is not None:
                self._mover.open(effect, self.store.partial_path(effect.root))
            case TakeLeaves() | EndMove() if self._mover is not None:
                self._mover.order(effect)
            case DownloadProgress():
                self._progress(effect)
            case DownloadFinished():
                for waiter in self._waiters.pop(effect.root, []):
                    _settle(waiter, None)
            case DownloadFailed():
                self._fail(effect.root, effect.reason, effect.text)
            case PenalizePeer():
                log.warning("peer broke the content protocol", peer=effect.peer.hex(), why=effect.text)
                if self._penalize is not None:
                    self._penalize(effect.peer, effect.text)

    def _fail(self, root: Cid, reason: Reason, text: str) -> None:
        for waiter in self._waiters.pop(root, []):
            _settle(waiter, FetchFailed(root, reason, text))

    def _progress(self, effect: DownloadProgress) -> None:
        if (rate := self._rates.get(effect.root)) is not None:
            rate.progress(self._now(), effect.done, effect.size)
        for waiter in list(self._waiters.get(effect.root, ())):
            if effect.size > waiter.max_size:
                text = f"the content has {effect.size} bytes, at most {waiter.max_size} are wanted"
                _settle(waiter, FetchFailed(effect.root, Reason.TOO_LARGE, text))
            elif waiter.on_progress is not None:
                try:
                    waiter.on_progress(effect.done, effect.size)
                except Exception as e:  # a caller's mistake ends its own fetch, not the others'
                    _settle(waiter, e)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task of the content service ended by a fault", exc_info=task.exception())

    async def _run_ticks(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep(TICK_S)
            self._feed(TimerTick())
            if not self._machine.busy:
                self._busy.clear()

    # --- disk -----------------------------------------------------------------------------------------------------------------

    async def _run_disk(self) -> None:
        """Disk effects one after the other, each answered by an input."""
        loop = asyncio.get_running_loop()
        while True:
            effect = await self._disk.get()
            answer = await loop.run_in_executor(self._writer, self._do, effect)
            try:
                if answer is not None:
                    self._feed(answer)
            except Exception as e:
                # Our own mistake ends this download, and no other one.
                log.exception("a download failed by a mistake of this node", cid=str(effect.root))
                self._fail(effect.root, Reason.STORAGE, f"a mistake of this node ({e!r}): see its log")

    def _do(self, effect: Disk) -> Input | None:
        root = effect.root
        try:
            match effect:
                case Open():
                    found = self._downloads.resume(root)
                    return DownloadOpened(root, found.complete, found.nodes, found.leaves, found.size)
                case StoreNode():
                    self._downloads.put_node(root, effect.cid, effect.block, effect.size)
                    return BlockStored(root, effect.cid)
                case StoreLeaf():
                    self._downloads.put_leaf(root, effect.data, effect.offsets, effect.size)
                    return BlockStored(root, effect.cid)
                case Complete():
                    self._downloads.complete(root)
                    return Completed(root)
                case CloseDownload():
                    self._downloads.release(root)
        except StoreError as e:
            return DiskFailed(root, str(e))
        except Exception as e:
            log.exception("a download met a fault of the store", cid=str(root))
            return DiskFailed(root, f"the content store failed ({e!r}): see this node's log")
        return None

    async def _serve(self, effect: Serve, connection: int | None) -> None:
        try:
            try:
                payload = await self._read(lambda: self._block(effect.root, effect.cid))
            except (StoreError, OSError) as e:
                log.warning("content cannot be served", cid=str(effect.root), why=str(e))
                payload = encode(DontHave(effect.root.to_bytes()))
            self._served(len(payload))
            self.sent += len(payload)
            self._count(effect.peer, len(payload))
            if self._peers.get(effect.peer) == connection and not self._send(effect.peer, payload):
                self._insist_later(effect.peer, payload, connection)
        finally:
            if not self._closed:
                self._feed(Served(effect.peer))

    def _block(self, root: Cid, cid: Cid) -> bytes:
        """Read, checked and encoded, in a thread."""
        return encode(ContentBlock(root.to_bytes(), cid.to_bytes(), self.store.read_block(root, cid)))

    def _insist_later(self, peer: bytes, payload: bytes, connection: int | None) -> None:
        """Whoever does not read has few frames wait for it, and holds up nobody's turn."""
        if self._waiting[peer] < MAX_WAITING and not self._closed:
            self._waiting[peer] += 1
            self._spawn(self._insist(peer, payload, connection))

    async def _insist(self, peer: bytes, payload: bytes, connection: int | None) -> None:
        """Offer a frame to a full link until it is taken, the connection has ended, or it is too old to matter."""
        try:
            for _ in range(int(SEND_FOR_S / RETRY_S)):
                await asyncio.sleep(RETRY_S)
                if connection is None or self._peers.get(peer) != connection or self._send(peer, payload):
                    return
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]


def _checked(peer: bytes, payload: bytes) -> Input:
    try:
        message = decode_message(payload)
    except Malformed:
        return MessageReceived(peer, payload)
    return Arrived(peer, message, sha256(message.data)) if isinstance(message, ContentBlock) else MessageReceived(peer, payload)


def _settle(waiter: _Waiter, fault: Exception | None) -> None:
    if waiter.done.done():
        return
    if fault is None:
        waiter.done.set_result(None)
    else:
        waiter.done.set_exception(fault)
