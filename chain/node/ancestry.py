"""The history that a trusted block names: the ids of the blocks below it, read backwards, so that no block of another one is taken.

    trusted block --parent--> header --parent--> ... --parent--> the first block after this node's last one

A certificate says what more than two thirds of a set signed; it does not say when. Who once was a validator keeps its old key, and
can sign another past with it at any time (a *long-range attack*). Against this a node's owner names a block that a member has now,
its *checkpoint*: an invitation carries one. Every header holds the id of the one before it, so the checkpoint names all blocks
below it. Their headers are fetched first, from anybody, each proven by the one above; then blocks are taken whose ids are these.

Pure and bounded: of a long way only every `SEGMENT`th id is kept, with those of the segment whose blocks come next. When these are
executed, the headers of the next segment are read again. LC-NODE-74, 75.
"""

from __future__ import annotations

from typing import NamedTuple

from learningchain.chain.codec import encode
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.sync import DEADLINE, MAX_PEERS, Sync
from learningchain.chain.types import Checkpoint, Header, block_id

SEGMENT = 16_384
"""Heights whose ids are kept at a time: half a megabyte."""
REST = 10_000
"""Milliseconds for which a peer that did not help is not asked again."""


class ForeignHistory(Exception):
    """What this node holds is not in the history of its checkpoint: only its owner knows which of both is wrong."""


class _AskedHeaders(NamedTuple):
    peer: bytes
    headers: int
    since: int


class Ancestry:
    """`sync` knows the peers. Without a checkpoint, and from its height on, everything is let through."""

    def __init__(self, sync: Sync, checkpoint: Checkpoint | None) -> None:
        self._sync, self.checkpoint = sync, checkpoint
        self.header: Header | None = None
        """Of the checkpoint, once a peer told it."""
        self.denied = False
        """Whether a peer told another block at the checkpoint's height."""
        self.lacking = False
        """Whether a peer that tells a height above the checkpoint does not have it."""
        self._marks = dict([checkpoint] if checkpoint else [])
        """Ids at the ends of segments, by height."""
        self._ids: dict[int, bytes] = {}
        """Of the segment that begins at the next height; of its upper part while it is being read."""
        self._wanted: Checkpoint | None = checkpoint
        """The header that is read next; None where the segment is complete."""
        self._asked: _AskedHeaders | None = None
        self._resting: dict[bytes, int] = {}
        self._waited: dict[bytes, int] = {}
        """Milliseconds for which each peer was waited for: who is slow delays by its own part of the time."""

    def below(self, height: int) -> bool:
        """Whether the checkpoint is above this height: what is decided there is for the checkpoint to say, not for signatures."""
        return self.checkpoint is not None and height < self.checkpoint.height

    def ceiling(self, height: int) -> int | None:
        """The highest block that may be asked for by a node at this height; None: there is no limit."""
        if not self.below(height):
            return None
        return max(self._ids, default=height) if self._wanted is None else height

    def allows(self, height: int, key: bytes) -> bool:
        """Whether the block of this height may be this one."""
        return self._ids.get(height) == key if self.below(height - 1) else True

    def tick(self, height: int, now: int, *, first_alone: bool = False) -> list[e.Effect]:
        """What to ask a peer for. `first_alone`: the checkpoint's own header is all that is needed."""
        if self.checkpoint is None or not self.below(height) or (first_alone and self.header is not None):
            return []
        if self._wanted is None and height >= max(self._ids, default=0):
            self._begin_segment(height)
        if self._asked is not None and now >= self._asked.since + DEADLINE:
            self._close(now, useful=False)
        if self._wanted is None or self._asked is not None:
            return []
        able = [p for p in self._sync.reported(self.checkpoint.height) if self._resting.get(p, 0) <= now]
        if not able:
            return []
        peer = min(able, key=lambda p: (self._waited.get(p, 0), p))
        question = m.GetHeaders(self._wanted.height, min(m.MAX_HEADERS, self._wanted.height - height))
        self._asked = _AskedHeaders(peer, question.count, now)
        return [e.Send(peer, encode(question), e.REQUESTS)]

    def take(self, peer: bytes, headers: list[Header], head: Checkpoint, now: int) -> list[e.Effect]:
        """An answer; `head` is this node's last block. Raises `ForeignHistory`."""
        if self._asked is None or self._asked.peer != peer:
            return []
        self._close(now, useful=len(headers) >= self._asked.headers)
        self.lacking = not headers and self.header is None
        for header in headers:
            if self._wanted is None:
                break  # more than was asked for
            if header.height != self._wanted.height or block_id(header) != self._wanted.block_id:
                return self._refuse(peer, header, now)
            self._keep(header, head)
        return []

    def _refuse(self, peer: bytes, header: Header, now: int) -> list[e.Effect]:
        """Below the checkpoint a wrong header is a lie. At it, it may be the owner who is wrong: that costs nobody anything."""
        self._resting[peer] = now + REST
        if self.header is None:
            self.denied = self.denied or header.height == (self.checkpoint or header).height
            return []
        return [e.Penalize(peer, f"headers: not the block {header.height} that the one after it names")]

    def _keep(self, header: Header, head: Checkpoint) -> None:
        height, key = header.height, block_id(header)
        self.header = self.header or header
        if height % SEGMENT == 0:
            self._marks[height] = key
            self._ids = {}
        self._ids[height] = key
        self._wanted = Checkpoint(height - 1, header.parent) if height - 1 > head.height else None
        if self._wanted is None and header.parent != head.block_id:
            raise ForeignHistory(
                f"block {head.height} here is {head.block_id.hex()}, and the trusted block {self.checkpoint} rests on "
                f"{header.parent.hex()} at that height. Either it is not of this network, or what this node holds is another "
                "history, which former validators can make. Ask a member you know for a block of now (its status says one), set "
                "sync.trusted to it, and where this stays, begin again in a new data folder"
            )

    def _begin_segment(self, height: int) -> None:
        """Read the headers of the next one: from the lowest mark above this height down."""
        self._marks = {at: key for at, key in self._marks.items() if at > height}
        lowest = min(self._marks)
        self._ids, self._wanted = {}, Checkpoint(lowest, self._marks[lowest])

    def _close(self, now: int, *, useful: bool) -> None:
        """The question is answered, or given up: who brings less than was asked for is not asked again for a while."""
        if self._asked is None:
            return
        peer, self._waited[self._asked.peer] = self._asked.peer, self._waited.get(self._asked.peer, 0) + now - self._asked.since
        while len(self._waited) > MAX_PEERS:
            del self._waited[next(iter(self._waited))]
        self._asked = None
        self._resting = {p: until for p, until in self._resting.items() if until > now}
        if not useful:
            self._resting[peer] = now + REST
