"""The content exchange as a machine: `handle(now, input) -> effects`. No I/O, no clock, no randomness.

The life of a download (LC-CONTENT-10):

    Fetch -> OPENING   ask the disk what it has (Open -> Opened); ask every peer WhoHas
          -> LOADING   root first; once the disk made room for the size that the root declares: nodes, then leaves, from all who
                       have it at once, each within its window; every block's hash is checked before it counts
          -> COMPLETING all stored: the disk makes the file durable (Complete -> Completed)
          -> Finished  or, from any phase, Failed with a reason; what arrived stays on disk for a later Fetch

LC-CONTENT-11: a peer's window starts small, grows with each block that it delivers, falls to one when it lets a request lie. A
block that is late is asked of others; near the end idle peers are asked for what slow ones still owe. LC-CONTENT-12: a wrong block
costs its sender the session and a Penalize; blocks that nobody asked for are never stored and cost a Penalize. `moves` has the
leaves that come by data connections. `serving` is the other half: what we send.
"""

from __future__ import annotations

from collections.abc import Callable

from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.p2p.content.cid import Cid, from_bytes
from learningchain.p2p.content.dag import TooLarge
from learningchain.p2p.content.day import DAY_MS
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
    Fetch,
    Input,
    LeavesMoved,
    MessageReceived,
    MoveEnded,
    MoveOpened,
    Offered,
    Open,
    PeerConnected,
    PeerDisconnected,
    PenalizePeer,
    SendMessage,
    Served,
    StoreLeaf,
    StoreNode,
    TimerTick,
)
from learningchain.p2p.content.faults import Reason
from learningchain.p2p.content.messages import (
    ContentBlock,
    DontHave,
    Has,
    HasBulk,
    Later,
    Message,
    WantBlocks,
    WhoHas,
    decode_message,
)
from learningchain.p2p.content.moves import Moves
from learningchain.p2p.content.questions import OpenQuestions
from learningchain.p2p.content.serving import Serving
from learningchain.p2p.content.session import Phase, Session

MAX_SESSIONS = 64
MAX_UNDER_WAY = 64
"""Blocks of one session asked for or being written: bounds its memory to 16 MiB."""
MAX_UNWRITTEN = 16
"""Blocks of all sessions that wait for the disk, from which on nobody is asked for more: what was asked for still comes, and lies
in memory. A disk that makes room for a large file writes nothing meanwhile."""
WINDOW_START, WINDOW_MAX = 2, 16
"""Blocks asked of one peer at a time, over all sessions: no more than one message may want."""
STALL_MS = 8_000
"""A peer that was asked and delivers nothing for so long lets its requests lie."""
MAX_OWED = 64
"""Late blocks that may still come from a peer are counted up to here."""
MAX_STALLS = 3
ENDGAME_MS = 1_000
ASK_AGAIN_MS = 1_000
NOBODY_MS = 20_000
"""A session with no peer that has the content gives up after this time, or at its deadline if that is sooner."""


class _Peer:
    """What we know of one connected peer."""

    __slots__ = ("heard", "in_flight", "owed", "window")

    def __init__(self) -> None:
        self.window = WINDOW_START
        self.in_flight: set[tuple[Cid, Cid]] = set()
        self.owed = 0
        """Blocks asked for and not delivered, late ones included: below zero it sends what nobody asked for."""
        self.heard = 0
        """When it last delivered, or was asked after having owed nothing."""


class Exchange:
    """`allowed(peer, root)` says whether that peer may be served that content now (it is complete here, and the policy agrees),
    `queued(peer)` how many bytes of content wait to be sent to it, `has_room()` whether another block may be served now,
    `offer(peer, root)` the port and the ticket of a data connection for it, `wait_ms(peer)` how long it has to wait for more of
    anything. `moves`: this node can open such connections."""

    def __init__(
        self,
        allowed: Callable[[bytes, Cid], bool],
        queued: Callable[[bytes], int] = lambda peer: 0,
        has_room: Callable[[], bool] = lambda: True,
        offer: Callable[[bytes, Cid], tuple[int, bytes] | None] = lambda peer, root: None,
        moves: bool = False,
        wait_ms: Callable[[bytes], int] = lambda peer: 0,
    ) -> None:
        self._allowed, self._offer, self._wait_ms = allowed, offer, wait_ms
        self._moves = Moves(moves)
        self._peers: dict[bytes, _Peer] = {}
        self._sessions: dict[Cid, Session] = {}
        self._serving = Serving(allowed, queued, has_room)
        self._questions = OpenQuestions()
        self._out: list[Effect] = []
        self._now = 0

    @property
    def busy(self) -> bool:
        """Ticks are needed."""
        return bool(self._sessions) or self._serving.waiting

    def handle(self, now: int, given: Input) -> list[Effect]:
        """One input in (`now` in ms, any monotonic clock), its effects out, to be run in order."""
        self._now = now
        match given:
            case PeerConnected():
                self._peer_up(given.peer)
            case PeerDisconnected():
                self._peer_down(given.peer)
            case MessageReceived():
                self._received(given.peer, given.payload)
            case Arrived():
                self._received(given.peer, given.block, given.digest)
            case Fetch():
                self._fetch(given)
            case Offered():
                self._offered(given.root)
            case Cancel():
                self._fail(given.root, Reason.CANCELLED, "cancelled")
            case TimerTick():
                self._tick()
            case DownloadOpened():
                self._opened(given)
            case BlockStored():
                self._stored(given.root, given.cid)
            case Completed():
                self._completed(given.root)
            case DiskFailed():
                self._fail(given.root, Reason.STORAGE, given.text)
            case Served():
                self._out += self._serving.served(given.peer)
            case MoveOpened():
                self._moves.opened(given.move, now)
            case LeavesMoved():
                self._moved(given)
            case MoveEnded():
                self._move_ended(given)
        self._pump()
        out, self._out = self._out, []
        return out

    # --- peers ----------------------------------------------------------------------------------------------------------------

    def _peer_up(self, peer: bytes) -> None:
        if peer not in self._peers:
            self._peers[peer] = _Peer()
            for root, session in self._sessions.items():
                if peer not in session.denied:
                    self._send(peer, WhoHas(root.to_bytes()))

    def _peer_down(self, peer: bytes) -> None:
        for root in self._sessions:
            self._drop_provider(root, peer)
        self._peers.pop(peer, None)
        self._serving.down(peer)
        self._questions.down(peer)

    def _drop_provider(self, root: Cid, peer: bytes) -> None:
        """The peer does not have it any more, or may not be asked."""
        session = self._sessions[root]
        if session.providers.pop(peer, None) is not None and not session.providers:
            session.alone_since = self._now
        self._out += self._moves.drop(root, peer)
        self._take_back(root, peer)

    def _take_back(self, root: Cid, peer: bytes) -> None:
        known = self._peers.get(peer)
        if known is None:
            return
        for key in sorted(known.in_flight):
            if key[0] == root:
                known.in_flight.discard(key)
                self._sessions[root].lost(key[1], peer)

    # --- messages -------------------------------------------------------------------------------------------------------------

    def _received(self, peer: bytes, given: bytes | Message, digest: bytes = b"") -> None:
        """`digest`: of a block's data, where it was hashed elsewhere."""
        if peer not in self._peers:
            return
        try:
            message = decode_message(given) if isinstance(given, bytes) else given
            root = from_bytes(message.root)
            match message:
                case WhoHas():
                    if self._allowed(peer, root):
                        self._send(peer, self._later(peer, root) or self._yes(peer, root))
                    else:
                        self._questions.add(peer, root)
                case Has():
                    self._has(peer, root)
                case HasBulk():
                    self._has(peer, root, message)
                case DontHave():
                    if root in self._sessions:
                        self._drop_provider(root, peer)
                case Later() if (session := self._sessions.get(root)) is not None:
                    session.later = min(session.later or DAY_MS, message.after_s * 1_000)
                    self._drop_provider(root, peer)
                case WantBlocks():
                    self._wanted(peer, root, [from_bytes(cid) for cid in message.blocks])
                case ContentBlock():
                    self._block(peer, root, from_bytes(message.cid), message.data, digest or sha256(message.data))
        except Malformed as e:
            self._out.append(PenalizePeer(peer, f"a content message that cannot be read: {e}"))

    def _offered(self, root: Cid) -> None:
        """LC-CONTENT-15"""
        for peer in self._questions.who(root):
            if self._allowed(peer, root):
                self._questions.drop(peer, root)
                self._send(peer, self._later(peer, root) or self._yes(peer, root))

    def _yes(self, peer: bytes, root: Cid) -> Has | HasBulk:
        offer = self._offer(peer, root)
        return Has(root.to_bytes()) if offer is None else HasBulk(root.to_bytes(), *offer)

    def _later(self, peer: bytes, root: Cid) -> Later | None:
        """LC-CONTENT-21"""
        wait = self._wait_ms(peer)
        return Later(root.to_bytes(), -(-wait // 1_000)) if wait else None

    def _has(self, peer: bytes, root: Cid, bulk: HasBulk | None = None) -> None:
        session = self._sessions.get(root)
        if session is not None and peer not in session.denied:
            session.providers.setdefault(peer, 0)
            session.ever_found = True
            if bulk is not None:
                self._moves.told(session, peer, bulk.port, bulk.ticket, self._now)

    def _wanted(self, peer: bytes, root: Cid, cids: list[Cid]) -> None:
        if not self._allowed(peer, root):
            self._send(peer, DontHave(root.to_bytes()))
        elif (later := self._later(peer, root)) is not None:
            self._send(peer, later)
        else:
            self._out += self._serving.want(peer, root, cids)

    def owed(self, peer: bytes) -> int:
        """How many blocks the peer may still send."""
        known = self._peers.get(peer)
        return 0 if known is None else known.owed

    def _block(self, peer: bytes, root: Cid, cid: Cid, data: bytes, digest: bytes) -> None:
        known = self._peers[peer]
        if known.owed <= 0:
            self._out.append(PenalizePeer(peer, "sends blocks that nobody asked for"))
            return
        known.owed -= 1
        known.in_flight.discard((root, cid))
        session = self._sessions.get(root)
        if session is None or peer in session.denied or not session.needs(cid):
            return  # late: another peer was faster, or the session ended
        if digest != cid.digest:
            self._out.append(PenalizePeer(peer, f"sent wrong bytes for block {cid}"))
            session.lost(cid, peer)
            session.denied.add(peer)
            self._drop_provider(root, peer)
            return
        known.heard, known.window = self._now, min(known.window + 1, WINDOW_MAX)
        if peer in session.providers:
            session.providers[peer] = 0
        self._place(session, cid, data)

    def _place(self, session: Session, cid: Cid, data: bytes) -> None:
        """Checked bytes of a needed block: place them in the tree and give them to the disk."""
        root = session.root
        for asked in session.flying.get(cid, ()):
            self._peers[asked].in_flight.discard((root, cid))
        try:
            if cid.raw:
                session.tree.check_leaf(cid, data)
                session.landed(cid)
                self._out.append(StoreLeaf(root, cid, data, tuple(session.tree.leaves[cid]), session.size))
            else:
                session.landed(cid)
                session.take(cid, data)
                self._out.append(StoreNode(root, cid, data, session.size))
        except TooLarge as e:
            self._fail(root, Reason.TOO_LARGE, str(e))
        except Malformed as e:
            self._fail(root, Reason.MALFORMED, f"it is no file of this network's layout: {e}")

    # --- sessions -------------------------------------------------------------------------------------------------------------

    def _fetch(self, given: Fetch) -> None:
        root = given.root
        session = self._sessions.get(root)
        if session is not None:
            session.deadline = max(session.deadline, given.deadline)
            session.tree.max_size = max(session.tree.max_size, given.max_size)
            return
        if len(self._sessions) >= MAX_SESSIONS:
            text = f"{MAX_SESSIONS} downloads are under way already: try again when one of them ended"
            self._out.append(DownloadFailed(root, Reason.BUSY, text))
            return
        self._sessions[root] = Session(root, given.max_size, given.deadline, self._now)
        self._out.append(Open(root))
        for peer in self._peers:
            self._send(peer, WhoHas(root.to_bytes()))

    def _opened(self, given: DownloadOpened) -> None:
        session = self._sessions.get(given.root)
        if session is None or session.phase != Phase.OPENING:
            return
        if given.complete:
            self._end(given.root, DownloadFinished(given.root))
            return
        session.phase = Phase.LOADING
        try:
            session.resume(given.nodes, given.leaves, given.size)
        except TooLarge as e:
            self._fail(given.root, Reason.TOO_LARGE, str(e))
            return
        if session.bytes_done:
            self._out.append(DownloadProgress(given.root, session.bytes_done, session.size))
        self._complete_if_whole(session)

    def _stored(self, root: Cid, cid: Cid) -> None:
        session = self._sessions.get(root)
        if session is None or cid not in session.storing:
            return
        session.storing.discard(cid)
        session.room = True
        if cid.raw:
            session.leaf_done(cid)
        session.done.add(cid)
        self._out.append(DownloadProgress(root, session.bytes_done, session.size))
        self._complete_if_whole(session)

    def _moved(self, given: LeavesMoved) -> None:
        session = self._moves.came(given.move, given.count, self._now)
        if session is not None:
            self._out.append(DownloadProgress(session.root, session.bytes_done, session.size))
            self._complete_if_whole(session)

    def _move_ended(self, given: MoveEnded) -> None:
        found = self._moves.failed(given.move, given.wrong, self._now)
        if found is None:
            return
        session, peer = found
        if given.disk:
            self._fail(session.root, Reason.STORAGE, given.disk)
        elif given.wrong and session.providers.keys() - {peer}:
            # Its disk may be at fault: the only one that has it is asked by messages, which it hashes before it sends them.
            session.denied.add(peer)
            self._drop_provider(session.root, peer)

    def _complete_if_whole(self, session: Session) -> None:
        if session.phase == Phase.LOADING and session.whole:
            session.phase = Phase.COMPLETING
            self._out.append(Complete(session.root))

    def _completed(self, root: Cid) -> None:
        if root in self._sessions:
            self._end(root, DownloadFinished(root))
        self._offered(root)

    def _fail(self, root: Cid, reason: Reason, text: str) -> None:
        if root in self._sessions:
            self._end(root, DownloadFailed(root, reason, text))

    def _end(self, root: Cid, last: Effect) -> None:
        for peer in self._peers:
            self._take_back(root, peer)
        self._out += self._moves.end(self._sessions.pop(root))
        self._out += [CloseDownload(root), last]

    # --- time -----------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._out += self._serving.next()
        for peer, known in self._peers.items():
            if known.in_flight and self._now - known.heard >= STALL_MS:
                self._stalled(peer, known)
        self._out += self._moves.tick(self._now)
        for session in list(self._sessions.values()):
            self._tick_session(session)

    def _stalled(self, peer: bytes, known: _Peer) -> None:
        known.window, known.heard = 1, self._now
        for root in sorted({root for root, _ in known.in_flight}):
            self._take_back(root, peer)
            session = self._sessions[root]
            if peer in session.providers:
                session.providers[peer] += 1
                if session.providers[peer] >= MAX_STALLS:  # until it says again that it has it
                    self._drop_provider(root, peer)

    def _tick_session(self, session: Session) -> None:
        if session.phase == Phase.COMPLETING:
            return
        got = f"{session.bytes_done} of {session.size or 'an unknown number of'} bytes arrived and are kept"
        if self._now >= session.deadline:
            reason = Reason.TIMEOUT if session.ever_found else Reason.NOBODY
            why = session.later_text or ("the time is up" if session.ever_found else "no connected peer offers it")
            self._fail(session.root, reason, f"{why}; {got}; try again, or with a longer timeout")
        elif not session.providers and self._now - session.alone_since >= NOBODY_MS:
            why = session.later_text or (
                "every peer that had it went away, sent wrong data or stopped answering"
                if session.ever_found
                else "no connected peer offers it"
            )
            self._fail(session.root, Reason.NOBODY, f"{why}; {got}; try again when a node that holds it is connected")
        elif self._now - session.asked_at >= ASK_AGAIN_MS:
            session.asked_at = self._now
            for peer in self._peers:
                unheard = peer not in session.providers or self._moves.lacks_offer(session, peer, self._now)
                if unheard and peer not in session.denied:
                    self._send(peer, WhoHas(session.root.to_bytes()))

    # --- asking ---------------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Fill the windows: sessions take turns, block by block."""
        wants: dict[tuple[bytes, Cid], list[Cid]] = {}
        for session in self._sessions.values():
            self._out += self._moves.plan(session, self._now)
        if sum(len(session.storing) for session in self._sessions.values()) >= MAX_UNWRITTEN:
            return
        ready = [s for s in self._sessions.values() if s.phase == Phase.LOADING and s.providers]
        while ready:
            ready = [session for session in ready if self._ask_one(session, wants)]
        for (peer, root), cids in wants.items():
            self._send(peer, WantBlocks(root.to_bytes(), [cid.to_bytes() for cid in cids]))

    def _ask_one(self, session: Session, wants: dict[tuple[bytes, Cid], list[Cid]]) -> bool:
        """Ask somebody for one more block of a session; False when there is nothing to ask or nobody with room."""
        if len(session.flying) + len(session.storing) >= MAX_UNDER_WAY:
            return False
        if not session.todo:
            return self._endgame(session, wants)
        cid = session.todo[0]
        if not session.room and cid != session.root:
            return False
        if session.has_one_place(cid) and self._moves.resting(session, self._now):
            return False
        peer = max(session.providers, key=self._room)  # the first of equals
        if self._room(peer) <= 0:
            return False
        session.todo.popleft()
        self._ask(session, cid, peer, wants)
        return True

    def _room(self, peer: bytes) -> int:
        known = self._peers[peer]
        return known.window - len(known.in_flight)

    def _endgame(self, session: Session, wants: dict[tuple[bytes, Cid], list[Cid]]) -> bool:
        """Nothing is left to ask for: let an idle peer try what another has owed for a while."""
        idle = next((p for p in session.providers if not self._peers[p].in_flight), None)
        if idle is None:
            return False
        for cid, askers in session.flying.items():
            if len(askers) == 1 and idle not in askers and self._now - min(askers.values()) >= ENDGAME_MS:
                self._ask(session, cid, idle, wants)
                return True
        return False

    def _ask(self, session: Session, cid: Cid, peer: bytes, wants: dict[tuple[bytes, Cid], list[Cid]]) -> None:
        known = self._peers[peer]
        if not known.in_flight:
            known.heard = self._now
        known.in_flight.add((session.root, cid))
        known.owed = min(known.owed + 1, MAX_OWED)
        session.flying.setdefault(cid, {})[peer] = self._now
        wants.setdefault((peer, session.root), []).append(cid)

    def _send(self, peer: bytes, message: Message) -> None:
        self._out.append(SendMessage(peer, encode(message)))
