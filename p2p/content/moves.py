"""Leaves by data connections (LC-CONTENT-16 to 20): which connection is opened, and which leaves it is asked for. Part of the
exchange machine, without I/O; `p2p.mover` carries the bytes.

    HasBulk -> an offer of the peer -> OpenMove -> MoveOpened -> TakeLeaves, LeavesMoved, TakeLeaves, ... -> EndMove or MoveEnded

Messages go on until leaves come, and begin again where none came for REST_MS, so a connection that does not work costs no time.
What it still owes when it ends is asked for again, by whichever way there is.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import CHUNK
from learningchain.p2p.content.events import Effect, EndMove, OpenMove, TakeLeaves
from learningchain.p2p.content.session import Phase, Session

MIN_MOVED: Final = 4 * 2**20
"""Bytes of a content, and bytes that are still to come, from which on a data connection is worth its handshake."""
RUN: Final = 256
"""Leaves that a connection is asked for at a time: 64 MiB."""
RUNS_AHEAD: Final = 2
MAX_MOVES: Final = 16
MAX_OF_FETCH, MAX_OF_PEER = 4, 4
TICKET_MS: Final = 60_000
"""A ticket is good for what is asked for within this time of its making."""
SPARE_MS: Final = 10_000
"""How long before its end a ticket is no longer used: the way here took a part of its time."""
REST_MS: Final = 2_000
"""Leaves are not asked for by messages while a connection brought some within this time; later, others may have what it owes."""
MOVE_STALL_MS: Final = 8_000
MAX_FAULTS: Final = 2
"""Faults without a whole run between them, after which a peer is asked for nothing by data connections for FORGIVE_MS."""
FORGIVE_MS: Final = 30_000
"""Who has no place for us now may have one then: as long as it lets others keep theirs."""


NEVER: Final = 2**63
"""A time that does not come."""


class BulkOffer(NamedTuple):
    """What HasBulk told."""

    port: int
    ticket: bytes
    good_until: int


class _Move:
    __slots__ = ("brought", "good_until", "heard", "owed", "owing_since", "peer", "ready", "session", "since_run")

    def __init__(self, session: Session, peer: bytes, good_until: int, now: int) -> None:
        self.session, self.peer, self.good_until = session, peer, good_until
        self.ready = False
        self.heard = now
        """When it last brought a leaf, or was asked after having owed nothing."""
        self.owed: deque[Cid] = deque()
        self.owing_since, self.brought = now, 0
        """Since when it owes leaves without a break, and how many it brought since then."""
        self.since_run = 0
        """Leaves that came since it was last forgiven its faults."""

    def takes_long(self, now: int) -> bool:
        """What it owes takes more than REST_MS, as far as it was seen for so long."""
        passed = now - self.owing_since
        return bool(self.owed) and passed >= REST_MS and len(self.owed) * passed > REST_MS * self.brought


class Moves:
    """The data connections of all fetches. `able`: this node can open some."""

    def __init__(self, able: bool) -> None:
        self.able = able
        self._moves: dict[int, _Move] = {}
        self._offers: dict[tuple[Cid, bytes], BulkOffer] = {}
        self._faults: dict[tuple[Cid, bytes], tuple[int, int]] = {}
        """How many, and when the last one was; NEVER after wrong bytes."""
        self._brought: dict[Cid, int] = {}
        """When a connection last brought leaves of a fetch."""
        self._count = 0

    def __len__(self) -> int:
        return len(self._moves)

    def told(self, session: Session, peer: bytes, port: int, ticket: bytes, now: int) -> None:
        if self.able:
            self._offers[session.root, peer] = BulkOffer(port, ticket, now + TICKET_MS - SPARE_MS)

    def lacks_offer(self, session: Session, peer: bytes, now: int) -> bool:
        """Whether it is worth asking a provider again: it may have a data connection to offer."""
        if not self.able or session.size < MIN_MOVED or self._failed(session, peer, now) or self._of(session, peer):
            return False
        offer = self._offers.get((session.root, peer))
        return offer is None or now >= offer.good_until

    def resting(self, session: Session, now: int) -> bool:
        """Whether leaves come by data connections, so that none need be asked for by messages."""
        brought = self._brought.get(session.root)
        return brought is not None and now - brought < REST_MS and any(m.session is session for m in self._moves.values())

    def plan(self, session: Session, now: int) -> list[Effect]:
        """Open what may be opened, and ask ready connections for more."""
        if not self.able or session.phase != Phase.LOADING or not session.tree.whole or not session.room:
            return []
        effects = self._open_more(session, now)
        for number, move in list(self._moves.items()):
            while move.session is session and move.ready and now < move.good_until and len(move.owed) <= (RUNS_AHEAD - 1) * RUN:
                first, run = session.take_run(RUN)
                if not run:
                    break
                if not move.owed:
                    move.heard = move.owing_since = now
                    move.brought = 0
                move.owed.extend(run)
                effects.append(TakeLeaves(number, first, [cid.digest for cid in run]))
            if move.session is session and not move.owed and now >= move.good_until:
                effects += self._end(number)
        return effects

    def _open_more(self, session: Session, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for peer in session.providers:
            offer = self._offers.get((session.root, peer))
            busy = len(self._moves) >= MAX_MOVES or sum(m.session is session for m in self._moves.values()) >= MAX_OF_FETCH
            if busy or len(session.todo) * CHUNK < MIN_MOVED:
                break
            if offer is None or now >= offer.good_until or self._of(session, peer):
                continue
            if self._failed(session, peer, now) or sum(m.peer == peer for m in self._moves.values()) >= MAX_OF_PEER:
                continue
            self._count += 1
            self._moves[self._count] = _Move(session, peer, offer.good_until, now)
            effects.append(OpenMove(self._count, session.root, peer, offer.port, offer.ticket, session.size))
        return effects

    def _failed(self, session: Session, peer: bytes, now: int) -> bool:
        count, last = self._faults.get((session.root, peer), (0, 0))
        return count >= MAX_FAULTS and now - last < FORGIVE_MS

    def _fault(self, move: _Move, when: int) -> None:
        count, _ = self._faults.get(key := (move.session.root, move.peer), (0, 0))
        self._faults[key] = count + 1, when

    def _of(self, session: Session, peer: bytes) -> bool:
        return any(move.session is session and move.peer == peer for move in self._moves.values())

    # --- what the connections tell --------------------------------------------------------------------------------------------

    def opened(self, number: int, now: int) -> None:
        move = self._moves.get(number)
        if move is not None:
            move.ready, move.heard = True, now

    def came(self, number: int, count: int, now: int) -> Session | None:
        """The fetch that leaves came of; None where it is over."""
        move = self._moves.get(number)
        if move is None:
            return None
        for _ in range(min(count, len(move.owed))):
            move.session.moved(move.owed.popleft())
        move.heard = self._brought[move.session.root] = now
        move.brought += count
        move.since_run += count
        if move.since_run >= RUN:
            move.since_run = 0
            self._faults.pop((move.session.root, move.peer), None)
        return move.session

    def failed(self, number: int, wrong: bool, now: int) -> tuple[Session, bytes] | None:
        """A connection ended by itself: the fetch and the peer. After wrong bytes that gives no more this way in this fetch."""
        move = self._moves.get(number)
        if move is None:
            return None
        self._fault(move, now)
        if wrong:
            self._faults[move.session.root, move.peer] = MAX_FAULTS, NEVER
        self._end(number)
        return move.session, move.peer

    def tick(self, now: int) -> list[Effect]:
        """End what brings nothing, and what is slow while another connection of the fetch has nothing to do: that takes over."""
        effects: list[Effect] = []
        for number, move in list(self._moves.items()):
            idle = any(m.session is move.session and m.ready and not m.owed and now < m.good_until for m in self._moves.values())
            if (move.owed or not move.ready) and now - move.heard >= MOVE_STALL_MS:
                self._fault(move, now)
                effects += self._end(number)
            elif idle and move.takes_long(now):
                effects += self._end(number)
        return effects

    def _end(self, number: int) -> list[Effect]:
        move = self._moves.pop(number)
        move.session.give_back(list(move.owed))
        self._offers.pop((move.session.root, move.peer), None)
        return [EndMove(number)]

    def drop(self, root: Cid, peer: bytes) -> list[Effect]:
        """The peer is gone, or does not give this content any more."""
        self._offers.pop((root, peer), None)
        found = [number for number, move in self._moves.items() if move.session.root == root and move.peer == peer]
        return [effect for number in found for effect in self._end(number)]

    def end(self, session: Session) -> list[Effect]:
        """The fetch is over."""
        root = session.root
        effects = [effect for number, move in list(self._moves.items()) if move.session is session for effect in self._end(number)]
        for table in (self._offers, self._faults):
            for key in [key for key in table if key[0] == root]:
                del table[key]
        self._brought.pop(root, None)
        return effects
