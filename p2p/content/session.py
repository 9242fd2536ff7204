"""One download: which blocks are still needed, who was asked for what, what arrived. State of `exchange`, which decides.

A block is in exactly one of: `todo` (to be asked for), `flying` (asked of one or more peers), `moving` (asked for by a data
connection), `storing` (arrived and checked, on its way to the disk), `done`; a late one may come to `storing` or `done` from
`moving`, too. Nodes come before leaves; nothing but the root is asked for before the disk made room for the whole
file.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from learningchain.p2p.content.cid import Cid
from learningchain.p2p.content.dag import CHUNK, Assembly


class Phase(IntEnum):
    OPENING = 0
    """The disk looks what it has."""
    LOADING = 1
    COMPLETING = 2
    """Everything is written; the disk makes it durable."""


class Session:
    def __init__(self, root: Cid, max_size: int, deadline: int, now: int) -> None:
        self.root, self.deadline = root, deadline
        self.tree = Assembly(root, max_size)
        self.phase = Phase.OPENING
        self.room = False
        """The disk took the root, hence made room."""
        self.todo: deque[Cid] = deque()
        self.flying: dict[Cid, dict[bytes, int]] = {}
        """Block -> who was asked, when."""
        self.moving: set[Cid] = set()
        self.storing: set[Cid] = set()
        self.done: set[Cid] = set()
        self.bytes_done = 0
        self.providers: dict[bytes, int] = {}
        """Peers that have it -> how often in a row they let a request lie."""
        self.denied: set[bytes] = set()
        """They sent wrong bytes: never asked again in this session."""
        self.alone_since = now
        self.asked_at = now
        self.ever_found = False
        self.later = 0
        """Milliseconds until the first peer sends more of what it has, of those that said so; 0: none did."""

    @property
    def later_text(self) -> str:
        """Why nobody sends it, where the nodes that have it sent this one all that they send a peer in a day; else empty."""
        if not self.later or self.providers:
            return ""
        minutes = -(-self.later // 60_000)
        return (
            "whoever has it sent this node all the bytes of files that it sends one peer in a day (network.peer_gb_a_day there), "
            f"and sends more in {minutes // 60} h {minutes % 60} min at the earliest"
        )

    def take(self, cid: Cid, block: bytes) -> None:
        """Place a node and queue what it makes wanted. Raises `Malformed`, `TooLarge`."""
        fresh = self.tree.add_node(cid, block)
        self.todo.extendleft(child for child in reversed(fresh) if not child.raw)
        self.todo.extend(child for child in fresh if child.raw)

    def resume(self, nodes: tuple[tuple[Cid, bytes], ...], leaves: frozenset[Cid], size: int) -> None:
        """Start with what the disk has of a file of `size` bytes. Raises `Malformed`, `TooLarge`."""
        if self.root in leaves:
            self.tree.is_leaf(size)
        self.todo.append(self.root)
        held = dict(nodes)
        pending = [self.root]
        while pending:
            cid = pending.pop()
            if cid not in self.tree.wanted or cid not in held:
                continue
            self.todo.remove(cid)
            before = set(self.tree.wanted)
            self.take(cid, held[cid])
            self.done.add(cid)
            pending += [child for child in self.tree.wanted if child not in before]
        for leaf in leaves & self.tree.leaves.keys():
            self.leaf_done(leaf)
        self.todo = deque(cid for cid in self.todo if cid not in self.done)
        self.room = self.root in self.done

    def leaf_done(self, leaf: Cid) -> None:
        if leaf not in self.done:
            self.done.add(leaf)
            self.bytes_done += sum(self.tree.leaf_size(offset) for offset in self.tree.leaves[leaf])

    def has_one_place(self, cid: Cid) -> bool:
        """It is a leaf that stands once in the file: what a data connection brings."""
        return len(self.tree.leaves.get(cid, ())) == 1

    def take_run(self, most: int) -> tuple[int, list[Cid]]:
        """The next leaves of `todo` that follow each other in the file, and the number of the first. They are moving from now on.

        Leaves that stand in many places stay: they are asked for by messages, once for all places.
        """
        first, run, aside = 0, list[Cid](), list[Cid]()
        while self.todo and len(run) < most and len(aside) < most:
            cid = self.todo[0]
            if not self.has_one_place(cid):
                aside.append(self.todo.popleft())
                continue
            at = self.tree.leaves[cid][0] // CHUNK
            if run and at != first + len(run):
                break
            first = first if run else at
            run.append(self.todo.popleft())
        self.todo.extendleft(reversed(aside))
        self.moving.update(run)
        return first, run

    def give_back(self, run: list[Cid]) -> None:
        """A data connection will not bring these: they are to be asked for again, first of all."""
        again = [cid for cid in run if cid in self.moving]
        self.moving.difference_update(again)
        self.todo.extendleft(reversed([cid for cid in again if self.needs(cid)]))

    def moved(self, cid: Cid) -> None:
        """A data connection brought a leaf, which is checked and on the disk."""
        self.moving.discard(cid)
        self.leaf_done(cid)
        self.done.add(cid)

    def needs(self, cid: Cid) -> bool:
        """Wanted by the tree and neither here nor on its way to the disk."""
        known = cid in self.tree.wanted or cid in self.tree.leaves
        return known and cid not in self.done and cid not in self.storing

    def landed(self, cid: Cid) -> None:
        """A block arrived: nobody needs to be asked for it any more."""
        self.moving.discard(cid)
        if self.flying.pop(cid, None) is None and cid in self.todo:
            self.todo.remove(cid)
        self.storing.add(cid)

    def lost(self, cid: Cid, peer: bytes) -> None:
        """A peer will not deliver: ask again unless somebody else still may."""
        askers = self.flying.get(cid)
        if askers is None:
            return
        askers.pop(peer, None)
        if not askers:
            del self.flying[cid]
            self.todo.appendleft(cid)

    @property
    def whole(self) -> bool:
        return self.tree.whole and not self.todo and not self.flying and not self.moving and not self.storing

    @property
    def size(self) -> int:
        """0 while it is unknown."""
        return self.tree.size or 0
