"""The network of one node: listens, dials, keeps one connection per member, carries messages by urgency.

Rules kept here
- Nobody is heard before it proved to be an active member under its current key (LC-P2P-6), whichever side dialled.
- One connection per member (LC-P2P-17): of two that cross, the one dialled by the lower id stays; otherwise the newer one.
- `on_message` and `on_peer` are called on the event loop; a peer's messages in order of arrival, between its up and its down.
- Whatever a peer does costs that peer: queues, rates, times and scores are per peer; what is not admitted is bounded as a whole.

Time and randomness come in: `clock` is monotonic seconds, `wall` Unix seconds.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

import structlog
from aiohttp import web

from learningchain.chain.crypto import SigningKey, account_id, address
from learningchain.chain.errors import Malformed
from learningchain.p2p import wire
from learningchain.p2p.address_book import LAN, AddressBook, endpoint, parse_endpoint
from learningchain.p2p.config import PeerEvent, PeerInfo, TransportConfig
from learningchain.p2p.connection import Connection, Intake, Link, Refused, Times, cut, exchange_hello, say_goodbye, tune
from learningchain.p2p.dialler import Dialler
from learningchain.p2p.discovery import Dial, Wanted, absorb, choose_dials
from learningchain.p2p.hosts import Reach, is_told, reach_of
from learningchain.p2p.limits import Meter, PeerScores, TokenBucket
from learningchain.p2p.listener import Listener, host_of, remote_address
from learningchain.p2p.outsiders import JOIN_PATH, Door, Outsiders
from learningchain.p2p.tls import (
    CA,
    Contexts,
    Leaf,
    NotAuthenticated,
    OtherKey,
    OwnAddress,
    PeerIdentity,
    WrongPeer,
    check_member,
    issue_leaf,
    make_contexts,
    peer_identity,
)

log: Any = structlog.get_logger("p2p")
MAX_EVENTS: Final = 128
MAX_OUTSIDERS: Final = 32
"""Events that the operator is shown; of who was refused before it proved to be a member, no more than these."""
EXPIRE_S: Final = 60.0
"""How often former addresses are looked through."""
SEEK_S: Final = 120.0
"""For how long a member is sought; whoever still needs it says so again."""
MAX_SOUGHT: Final = 16
MAX_METERS: Final = 4_096
"""Members whose rates are remembered."""


class Network:
    """See the module's text. `membership(id)` is the member's current public key on the ledger, or None; `known_key(key)` whether
    the ledger has it as anybody's later key, now or before.

    `key`: the identity's own, or the certificate that it signed, where it lies elsewhere.
    """

    def __init__(
        self,
        *,
        key: SigningKey | Leaf,
        own_id: bytes,
        chain_id: bytes,
        ca: CA,
        membership: Callable[[bytes], bytes | None],
        on_message: Callable[[bytes, int, bytes], None],
        on_peer: Callable[[bytes, bool], None],
        address_book: AddressBook,
        listen: tuple[str, int] | None,
        advertise: list[str],
        config: TransportConfig | None = None,
        height: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        door: Door | None = None,
        known_key: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._key, self.own_id, self._chain_id, self._ca = key, own_id, chain_id, ca
        self._membership, self._on_message, self._on_peer = membership, on_message, on_peer
        self._address_book, self._listen = address_book, listen
        self._advertise = [a for a in advertise if reach_of(parse_endpoint(a)[0]) > Reach.NONE][: wire.MAX_ADDRESSES]
        self._config = config or TransportConfig()
        self._height, self._clock, self._wall = height, clock, wall
        self._known_key = known_key
        self._rng = rng or random.Random()
        self._outside = None if door is None else Outsiders(door, clock, self._config.hello_timeout)
        self._validators: frozenset[bytes] = frozenset()
        self._peers: dict[bytes, Connection] = {}
        self._live: set[Connection] = set()
        self._dialling: set[Dial] = set()
        self._sought: dict[bytes, float] = {}
        """Members to be connected with, each until when."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._dialler: Dialler | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._ask_at = self._save_at = self._expire_at = clock()
        self._ask_every = self._config.ask_often
        self._log_budget = TokenBucket(5.0, 100.0, clock())
        c = self._config
        self._standing = PeerScores(limit=c.score_limit, half_life=c.score_half_life, block=c.block, longest=c.longest_block)
        self._times = Times(c.drain_timeout, c.silence_timeout, c.ping_interval, c.close_timeout)
        self._meters: OrderedDict[bytes, Meter] = OrderedDict()
        """Of members, the one that connected longest ago first."""
        self._events: deque[PeerEvent] = deque(maxlen=MAX_EVENTS - MAX_OUTSIDERS)
        self._outsiders: deque[PeerEvent] = deque(maxlen=MAX_OUTSIDERS)
        self._grown_to = 0
        """The ledger's height when the peers on trial were looked at."""
        self.leaf: Leaf | None = None
        """What new connections show; made at the start."""
        self._left_out = 0
        """Refusals of outsiders that were not noted since the last one that was."""

    # --- life -----------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listens and begins to dial. Raises OSError when the address cannot be had, ValueError for a damaged authority."""
        contexts = self._contexts()
        if self._listen is not None:
            self._listener = Listener(
                contexts.server,
                self._accept,
                self._refused_outsider,
                self._config.hello_timeout,
                self._address_book.hosts,
                self._config.half_open,
            )
            self._listener.start(*self._listen)
        self._dialler = Dialler(contexts.client, self._config.dial_timeout)
        self._spawn(self._keep_up())

    def _contexts(self) -> Contexts:
        leaf = self._key
        if isinstance(leaf, SigningKey):
            leaf = issue_leaf(leaf, self.own_id, self._chain_id, self._ca, self._wall())
        self.leaf = leaf
        return make_contexts(leaf, self._ca)

    @property
    def shown_key(self) -> bytes:
        """The public key under which new connections are made; empty where it lies elsewhere."""
        return self._key.public if isinstance(self._key, SigningKey) else b""

    def use_key(self, key: SigningKey) -> None:
        """LC-P2P-2, for an identity whose key was replaced: new connections are made under this one. Peers drop the others."""
        self._key = key
        if self._dialler is None:
            return
        contexts = self._contexts()
        self._dialler.context = contexts.client
        if self._listener is not None:
            self._listener.context = contexts.server
        self._wake.set()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Says goodbye to every peer, saves the address book, leaves no task and no socket."""
        self._stopping = True
        live = list(self._live)
        for connection in live:
            connection.close(wire.CLOSE_GOING, "the node is stopping")
        await asyncio.gather(*(connection.ended.wait() for connection in live))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.stop()
        if self._dialler is not None:
            await self._dialler.close()
        await self._save_address_book()

    def port(self) -> int:
        """The port it listens on, 0 when it does not."""
        return 0 if self._listener is None else self._listener.port

    def contacts(self) -> list[tuple[bytes, str]]:
        """The own addresses, then those of members that this node is connected with."""
        found = [(self.own_id, address_) for address_ in self._advertise]
        for member in self._address_book.share(self._rng, self.own_id, set(self._peers)):
            found += [(member.id, address_) for address_ in member.addresses[:1] if member.id in self._peers]
        return found

    def is_news(self, peer: bytes, address_: str) -> bool:
        """Whether an address of a member, told by who knows whom, is worth a place in the address book."""
        if peer == self.own_id or peer in self._peers or self._membership(peer) is None:
            return False
        return all(place.address != address_ for place in self._address_book.places(peer))

    def add_candidate(self, peer: bytes, address_: str) -> None:
        """LC-P2P-45: an address of a member that was heard on the local network. Who is there is proven when it is dialled."""
        if self.is_news(peer, address_) and self._address_book.learn(peer, [address_], LAN, self._wall()):
            self._found_something()

    def set_validators(self, validators: Collection[bytes]) -> None:
        """Whom to stay connected with and always admit."""
        self._validators = frozenset(validators)
        self._wake.set()

    def seek(self, peer: bytes) -> None:
        """LC-P2P-33: for a while be connected with this member, too, where an address of it is known or found."""
        if peer == self.own_id or peer in self._peers:
            return
        self._sought.pop(peer, None)
        self._sought[peer] = self._clock() + SEEK_S
        if len(self._sought) > MAX_SOUGHT:
            del self._sought[next(iter(self._sought))]
        if not self._address_book.places(peer):
            self._ask_at = min(self._ask_at, self._clock() + self._config.ask_often)
        self._wake.set()

    # --- messages -------------------------------------------------------------------------------------------------------------

    def send(self, peer: bytes, channel: int, payload: bytes, queue: int) -> bool:
        """Queues a message; False when the peer is not connected or its queue is full. Raises ValueError for our own mistakes."""
        item = wire.message(channel, payload)
        connection = self._peers.get(peer)
        return connection is not None and connection.send(queue, item)

    def broadcast(
        self, channel: int, payload: bytes, queue: int, exclude: Collection[bytes] = (), to: Collection[bytes] | None = None
    ) -> int:
        """Queues one message for all connected peers, or those of `to`. For how many it was queued."""
        item = wire.message(channel, payload)
        targets = list(self._peers) if to is None else to
        connections = [self._peers[p] for p in targets if p not in exclude and p in self._peers]
        return sum(connection.send(queue, item) for connection in connections)

    def whereabouts(self, peer: bytes) -> tuple[str, bytes] | None:
        """The host at which a connected peer is met, and the key that it has there and on the ledger."""
        connection = self._peers.get(peer)
        if connection is None or connection.trial is not None:
            return None
        return host_of(connection.link.address), connection.key

    def queued(self, peer: bytes, queue: int) -> int:
        """Bytes that wait to be sent to a peer on a queue; 0 where it is not connected."""
        connection = self._peers.get(peer)
        return 0 if connection is None else connection.queues.waiting(queue)

    def _deliver(self, connection: Connection, channel: int, payload: bytes) -> None:
        if self._peers.get(connection.id) is not connection:
            return
        if channel == wire.PEERS:
            self._peers_message(connection, payload)
            return
        try:
            self._on_message(connection.id, channel, payload)
        except Exception:
            # The node's own mistake, provoked by this peer: keep the others, and the evidence.
            log.exception("a message could not be handled", peer=address(connection.id), channel=channel, size=len(payload))
            connection.close(wire.CLOSE_REFUSED, "a message could not be handled here")

    def _peers_message(self, connection: Connection, payload: bytes) -> None:
        try:
            m = wire.parse_peers(payload)
        except Malformed as e:
            self.penalize(connection.id, f"PEERS message: {e}")
            return
        now = self._clock()
        if isinstance(m, wire.Ping):
            if now >= connection.pong_due:
                connection.pong_due = now + self._config.answer_interval
                connection.send(wire.QUEUE_VOTES, wire.peers_message(wire.Pong(m.nonce)))
        elif isinstance(m, wire.Pong):
            connection.pong(m.nonce)
        elif isinstance(m, wire.GetPeers):
            if now >= connection.answer_due:
                connection.answer_due = now + self._config.answer_interval
                known = wire.Peers(self._address_book.share(self._rng, connection.id, set(self._peers), _told(connection.link)))
                connection.send(wire.QUEUE_REQUESTS, wire.peers_message(known))
        elif isinstance(m, wire.Peers):
            # An answer that nobody asked for is ignored: it may be a late one.
            if connection.asked_peers and absorb(
                self._address_book,
                m,
                connection.id,
                self.own_id,
                lambda p: self._membership(p) is not None,
                self._wall(),
                _told(connection.link),
            ):
                self._found_something()
            connection.asked_peers = False
        else:
            self.penalize(connection.id, "a second hello")

    # --- standing -------------------------------------------------------------------------------------------------------------

    def penalize(self, peer: bytes, reason: str) -> None:
        """A REJECT verdict. Enough of them in a short time block the peer for a while, longer each time."""
        self._penalize(peer, reason, self._config.penalty)

    def _penalize(self, peer: bytes, reason: str, amount: float) -> None:
        log.debug("message refused", peer=address(peer), reason=reason)
        if (connection := self._peers.get(peer)) is not None and connection.trial is not None:
            connection.close(wire.CLOSE_MISBEHAVED, reason)  # whoever it is: the member of this name may be another one
            return
        if not self._standing.penalize(peer, self._clock(), amount):
            return
        seconds = self._standing.blocked_for(peer, self._clock())
        self._note("blocked", "", peer, f"for {seconds:.0f} s: {reason}")
        self.disconnect(peer, f"blocked: {reason}", wire.CLOSE_MISBEHAVED)

    def disconnect(self, peer: bytes, reason: str, code: int = wire.CLOSE_REFUSED) -> None:
        connection = self._peers.get(peer)
        if connection is not None:
            connection.close(code, reason)

    def recheck_membership(self, spared: Collection[bytes] = ()) -> None:
        """Drops peers that were banned or removed since, or whose key was replaced on the ledger, but none of those `spared`.

        Nobody who is no member stays in the address book, connected or not: it would be dialled, and told to others (LC-P2P-32).
        """
        for peer, connection in list(self._peers.items()):
            current = self._membership(peer)
            if peer in spared:
                continue
            if current is None:
                self.disconnect(peer, "no longer an active member of this network")
            elif current != connection.key and connection.trial is None:
                self.disconnect(peer, "this key was replaced on the ledger")
        for peer in self._address_book.members():
            if self._membership(peer) is None:
                self._address_book.forget(peer)

    def peers(self) -> list[PeerInfo]:
        return [self._info(self._peers[p]) for p in sorted(self._peers)]

    def _info(self, c: Connection) -> PeerInfo:
        return PeerInfo(
            id=c.id,
            address=c.link.address,
            direction="out" if c.link.outbound else "in",
            rtt=c.rtt,
            bytes_in=c.bytes_in,
            bytes_out=c.bytes_out,
            messages_in=c.messages_in,
            queued=c.queues.count,
            queued_bytes=c.queues.size,
            dropped=sum(c.queues.dropped),
            score=self._standing.score(c.id, self._clock()),
            height=c.hello.height,
            since=c.since,
        )

    @property
    def events(self) -> list[PeerEvent]:
        """What happened to connections lately, the oldest first."""
        return sorted([*self._events, *self._outsiders], key=lambda e: e.time)

    def _note(self, event: str, where: str, peer: bytes | None, reason: str) -> None:
        self._events.append(PeerEvent(self._wall(), event, where, peer, reason))
        log.info(event, address=where, peer=None if peer is None else address(peer), reason=reason)

    def _refused_outsider(self, where: str, reason: str) -> None:
        """Outsiders can neither fill the log nor push what happened to members out of the list, nor silence either."""
        if not self._log_budget.spend(self._clock(), 1.0):
            self._left_out += 1
            return
        self._outsiders.append(PeerEvent(self._wall(), "connection refused", where, None, reason))
        log.info("connection refused", address=where, peer=None, reason=reason, left_out=self._left_out)
        self._left_out = 0

    # --- connections ----------------------------------------------------------------------------------------------------------

    def _proven(self, transport: asyncio.BaseTransport | None) -> PeerIdentity:
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
            raise NotAuthenticated("connection lost")
        return peer_identity(tls, self._chain_id, self._wall())

    def _check_key(self, identity: PeerIdentity, expected: bytes | None, *, dialled: bool) -> None:
        """LC-P2P-42: without a peer, a node takes a member under another key where it dialled: its ledger may be old."""
        try:
            check_member(identity, self._membership(identity.id), expected)
        except OtherKey:
            former = identity.id == account_id(identity.key) or self._known_key(identity.key)
            if not dialled or self._peers or former:
                raise

    def _check_room(self, peer: bytes) -> None:
        blocked = self._standing.blocked_for(peer, self._clock())
        if blocked > 0:
            raise Refused(f"blocked for {blocked:.0f} s more after refused messages")
        if self._stopping:
            raise Refused("the node is stopping")
        if len(self._peers) >= self._config.max_peers and peer not in self._peers and peer not in self._validators:
            raise Refused(f"no room: {len(self._peers)} peers are connected")

    def _meter(self, peer: bytes) -> Meter:
        """LC-P2P-22, 27: it outlives the connection."""
        c = self._config
        if peer not in self._meters:
            self._meters[peer] = Meter(c.bytes_per_s, c.messages_per_s, c.burst_s, c.connections, self._clock())
        self._meters.move_to_end(peer)
        while len(self._meters) > MAX_METERS:
            self._meters.popitem(last=False)
        return self._meters[peer]

    async def _accept(self, request: web.BaseRequest) -> web.StreamResponse:
        """The server side of a new connection, until its end."""
        transport, protocol = request.transport, request.protocol
        where = remote_address(transport)
        try:
            if request.path == JOIN_PATH and request.method == "POST" and self._outside is not None:
                return await self._answer_outsider(request, self._outside)
            identity = self._proven(transport)
            self._check_key(identity, None, dialled=False)
            self._check_room(identity.id)
            if not self._meter(identity.id).connects(self._clock()):
                raise Refused("this member connects too often: one connection in a second is enough")
            if request.path != wire.PATH or request.method != "GET":
                raise Refused(f"{request.method} {request.path[:32]!r}: peers speak at {wire.PATH}")
            ws = web.WebSocketResponse(
                autoping=False, compress=False, max_msg_size=wire.MAX_FRAME, timeout=self._config.close_timeout
            )
            await ws.prepare(request)
        except (NotAuthenticated, Refused, web.HTTPException) as e:
            reason = str(e)
            self._refused_outsider(where, reason)
            response = web.Response(status=403, text=reason)
            response.force_close()
            return response
        if transport is not None:
            await self._converse(Link(ws, transport, where, outbound=False), identity, None, protocol)
        return ws

    async def _answer_outsider(self, request: web.BaseRequest, outside: Outsiders) -> web.StreamResponse:
        """LC-P2P-36: who asks to join proves a key as members do, and that it is its own; nothing is asked of the ledger here."""
        identity = self._proven(request.transport)
        if identity.id != account_id(identity.key):
            raise NotAuthenticated("who asks to join names the id of its own key")
        protocol, listener = request.protocol, self._listener
        try:
            return await outside.answer(request, identity.key, lambda: listener and listener.admit(protocol))
        except (Refused, OSError):
            raise
        except Exception:
            log.exception("a question of an outsider could not be handled")
            raise Refused("this question could not be handled here") from None

    async def _dial(self, dial: Dial) -> None:
        """The client side of a new connection, until its end."""
        try:
            link = await self._open(dial)
        except (NotAuthenticated, Refused) as e:
            self._dial_failed(dial, e)
        except Exception as e:
            log.exception("a dial failed by a mistake of this node", address=dial.address)
            self._dial_failed(dial, e)
        else:
            await self._converse(*link, dial, None)
        finally:
            self._dialling.discard(dial)

    async def _open(self, dial: Dial) -> tuple[Link, PeerIdentity]:
        if self._dialler is None:
            raise Refused("the node is not started")
        link = await self._dialler.dial(dial.address)
        try:
            identity = self._proven(link.transport)
            self._check_key(identity, dial.peer, dialled=True)
            if identity.id == self.own_id:
                raise OwnAddress("this is the node itself")
            self._check_room(identity.id)
        except (NotAuthenticated, Refused) as e:
            await say_goodbye(link, wire.CLOSE_REFUSED, str(e), self._config.close_timeout)
            raise
        return link, identity

    def _dial_failed(self, dial: Dial, error: Exception) -> None:
        """Notes why, and when to try again."""
        if isinstance(error, WrongPeer):
            self._address_book.mistaken(dial.peer, dial.address)
        if isinstance(error, OwnAddress):
            self._address_book.remove_seed(dial.address)
        self._address_book.failed(dial.peer, dial.address, self._wall(), self._rng)
        by_peer = isinstance(error, Refused) and error.by_peer
        self._note("refused by peer" if by_peer else "dial failed", dial.address, dial.peer, str(error))

    async def _converse(self, link: Link, identity: PeerIdentity, dial: Dial | None, protocol: asyncio.BaseProtocol | None) -> None:
        """Hello, then messages until the end. `dial` on our own connections, `protocol` on accepted ones."""
        tune(link.transport)
        intake = Intake(link.transport, lambda: self._overfed(link, identity))
        told = [a for a in self._advertise if _told(link)(a)]
        hello = wire.Hello(wire.WIRE_VERSION, self._chain_id, self.port(), told, self._height())
        try:
            theirs = await exchange_hello(link, hello, self._config.hello_timeout)
            await self._check_again(link, identity, dial)
        except Refused as e:
            cut(link.transport)
            if dial is not None:
                self._dial_failed(dial, e)
            else:
                self._note("refused by peer" if e.by_peer else "connection refused", link.address, identity.id, str(e))
            return
        finally:
            if self._listener is not None and protocol is not None:
                self._listener.admit(protocol)
        connection = Connection(link, identity, theirs, self._times, self._meter(identity.id), self._clock, intake)
        if self._membership(identity.id) == identity.key:
            self._learn(link, identity.id, theirs)
        else:
            connection.trial = self._clock() + self._config.trial
        self._live.add(connection)
        if dial is not None:
            self._dialling.discard(dial)
        try:
            if self._up(connection):
                await connection.run(self._deliver)
            else:
                await say_goodbye(link, wire.CLOSE_DUPLICATE, "another connection of ours stays", self._config.close_timeout)
        except Exception:
            log.exception("a connection failed by a mistake of this node", peer=address(identity.id))
            cut(link.transport)
        finally:
            connection.ended.set()
            self._live.discard(connection)
            self._lasted(connection)
            self._down(connection)

    def _overfed(self, link: Link, identity: PeerIdentity) -> None:
        """LC-P2P-28, before the hello."""
        if self._membership(identity.id) == identity.key:
            self._penalize(identity.id, "bytes that make up no frame", self._config.score_limit * 0.6)
        cut(link.transport)

    async def _check_again(self, link: Link, identity: PeerIdentity, dial: Dial | None) -> None:
        """What may have changed since the connection was authenticated. Raises `Refused`, and the other side is told."""
        try:
            if identity.id == self.own_id:
                raise Refused("this is the node itself, or somebody else who uses its key: then stop one of the two")
            try:
                self._check_key(identity, None, dialled=dial is not None)
            except NotAuthenticated:
                raise Refused(f"{address(identity.id)} is no longer an active member with this key") from None
            self._check_room(identity.id)
        except Refused as e:
            await say_goodbye(link, wire.CLOSE_REFUSED, str(e), self._config.close_timeout)
            raise

    def _lasted(self, connection: Connection) -> None:
        """A connection that ends soon after it began backs off like a failed dial, so nobody dials in circles."""
        if not connection.link.outbound or self._stopping:
            return
        if connection.trial is None and self._clock() - connection.since >= self._config.settled_after:
            self._address_book.settled(connection.id, connection.link.address)
        else:
            self._address_book.failed(connection.id, connection.link.address, self._wall(), self._rng)

    def _learn(self, link: Link, peer: bytes, hello: wire.Hello) -> None:
        now, told = self._wall(), _told(link)
        if link.outbound:
            self._address_book.succeeded(peer, link.address, now)
        named = [a for a in hello.addresses if told(a)]
        hints = list(named)
        if hello.port and not link.outbound:
            hints.append(endpoint(host_of(link.address), hello.port))
        self._address_book.learn(peer, hints[: wire.MAX_ADDRESSES], peer, now)
        if named:
            self._address_book.named(peer, [*hints, link.address], now, told)

    def _up(self, new: Connection) -> bool:
        """LC-P2P-17. False when the connection that is there stays."""
        self._end_trials()
        old = self._peers.get(new.id)
        if old is not None:
            crossed = old.link.outbound != new.link.outbound and self._clock() - old.since < self._config.cross_window
            if crossed and old.link.outbound == (self.own_id < new.id):
                return False
            old.close(wire.CLOSE_DUPLICATE, "a newer connection replaces this one")
            self._down(old)
        self._peers[new.id] = new
        self._note("peer connected", new.link.address, new.id, "dialled" if new.link.outbound else "accepted")
        self._on_peer(new.id, True)
        if self._wanted().lacks(self.own_id, self._peers):
            new.asked_peers = new.send(wire.QUEUE_REQUESTS, wire.peers_message(wire.GetPeers()))
        self._found_something()
        return True

    def _down(self, connection: Connection) -> None:
        if self._peers.get(connection.id) is not connection:
            return
        del self._peers[connection.id]
        who = " (its word)" if connection.closed_by_peer else ""
        self._note("peer gone", connection.link.address, connection.id, f"{connection.closed_because}{who}")
        if connection.violated and connection.trial is None:
            self._penalize(connection.id, connection.closed_because or "", self._config.score_limit * 0.6)
        self._found_something()
        try:
            self._on_peer(connection.id, False)
        except Exception:
            log.exception("the end of a connection could not be handled", peer=address(connection.id))

    # --- upkeep ---------------------------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        while True:
            try:
                self._check_connections()
                self._dial_more()
                self._ask_for_peers()
                if self._clock() >= self._expire_at:
                    self._expire_at = self._clock() + EXPIRE_S
                    self._address_book.expire(self._wall())
                if self._address_book.changed and self._clock() >= self._save_at:
                    self._save_at = self._clock() + self._config.save_interval
                    await self._save_address_book()
            except Exception:
                log.exception("the upkeep of connections failed; it goes on")
            self._wake.clear()
            try:
                async with asyncio.timeout(self._config.tick):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _check_connections(self) -> None:
        now = self._clock()
        for connection in list(self._live):
            if (problem := connection.tick(now, self._rng.getrandbits(62))) is not None:
                connection.close(wire.CLOSE_SILENT, problem)
        self._judge_trials(now)

    def _judge_trials(self, now: float) -> None:
        """LC-P2P-42: as the ledger grows, its word on the key is waited for; it is the last one."""
        grew, self._grown_to = self._height() > self._grown_to, self._height()
        for connection in list(self._peers.values()):
            if connection.trial is None:
                continue
            if self._membership(connection.id) == connection.key:
                connection.trial = None
                self._note("peer proven", connection.link.address, connection.id, "the ledger has its key now")
            elif grew:
                connection.trial = now + self._config.trial
            elif now >= connection.trial:
                connection.close(wire.CLOSE_REFUSED, "another key than on the ledger, which did not grow")

    def _end_trials(self) -> None:
        """A peer that proved itself is here."""
        for connection in list(self._peers.values()):
            if connection.trial is not None:
                connection.close(wire.CLOSE_REFUSED, "another key than on the ledger, and others have theirs")
                self._down(connection)

    def _wanted(self) -> Wanted:
        return Wanted(self._validators, self._config.other_peers, self._config.max_dials)

    def _dial_more(self) -> None:
        if self._stopping:
            return
        now = self._clock()
        self._sought = {peer: until for peer, until in self._sought.items() if until > now}
        full = len(self._peers) + len(self._dialling) >= self._config.max_peers
        dials = choose_dials(
            self._address_book,
            self._wall(),
            self._wanted(),
            own_id=self.own_id,
            connected=self._peers,
            dialling=self._dialling,
            rng=self._rng,
            blocked=self._standing.blocked(now),
            sought=() if full else self._sought,
        )
        for dial in dials:
            self._dialling.add(dial)
            self._spawn(self._dial(dial))

    def _found_something(self) -> None:
        """New peers or addresses, or a peer that is gone: asking for more is worth while again, unless there are enough."""
        if self._wanted().lacks(self.own_id, self._peers):
            self._ask_every = self._config.ask_often
            self._ask_at = min(self._ask_at, self._clock() + self._ask_every)
        self._wake.set()

    def _ask_for_peers(self) -> None:
        now = self._clock()
        if now < self._ask_at or not self._peers:
            return
        self._ask_at = now + self._ask_every
        self._ask_every = min(self._ask_every * 1.5, self._config.ask_rarely)
        connection = self._peers[self._rng.choice(sorted(self._peers))]
        connection.asked_peers = connection.send(wire.QUEUE_REQUESTS, wire.peers_message(wire.GetPeers()))

    async def _save_address_book(self) -> None:
        content = self._address_book.snapshot()
        try:
            await asyncio.to_thread(self._address_book.write, content)
        except OSError as e:
            self._address_book.changed = True
            log.warning("the peer book cannot be saved; check the disk", path=str(self._address_book.path), error=str(e))


def _told(link: Link) -> Callable[[str], bool]:
    """LC-P2P-40: which addresses are told and believed on a connection."""
    where = remote_address(link.transport)  # what was dialled may be a name
    over = host_of(link.address if where == "?" else where)

    def told(text: str) -> bool:
        try:
            return is_told(parse_endpoint(text)[0], over)
        except ValueError:
            return False

    return told
