"""What peers ask of a node: which question is answered next, and which ones are not answered. Pure and bounded; the time comes in.

    from disk     --ask--> waits (MAX_OPEN of a peer) --next--> is read (MAX_READS over all, one of a peer) --done--> the next one
    from memory   --allows--> answered at once, or not at all
    transactions  --offers--> looked at, or not: what was `refused` of a member's counts

A peer's turn comes when none of its questions is being read, its rate and the rate over all allow one, and what it was sent before
has nearly left the queue. Of the peers whose turn may come, the one that was served longest ago is next; validators that have
something left of their share come before all others. So who asks one question at a time is served whatever the others ask, and a
peer that asks for much, or reads slowly, delays itself alone. The bytes of all answers are bounded besides (`answer_budget`).
LC-NODE-50, 51, 65, 72, 73.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

from learningchain.chain.node.answer_budget import AnswerBudget, AnswerKind
from learningchain.chain.node.events import PROPOSALS, REQUESTS, TRANSACTIONS
from learningchain.chain.node.messages import GetBlocks, GetExecutedBlocks, GetHeaders, SnapshotQuestion
from learningchain.chain.node.token_bucket import IntegerBucket, Rate

MAX_OPEN = 4
"""Questions of one peer that wait for their turn, or are being read. Who follows the protocol has three out: see `MAX_ASKED`."""
MAX_READS = 2
"""Questions of all peers that are being read."""
MAX_KNOWN = 4_096
"""Rates that are remembered; the one that was looked at longest ago goes first."""

Question = GetBlocks | GetExecutedBlocks | GetHeaders | SnapshotQuestion


class AnswerLimit(NamedTuple):
    """What one peer gets of one kind of answer, while less than `max_queued` bytes wait for it in that queue."""

    rate: Rate
    queue: int
    max_queued: int
    kind: AnswerKind | None = None
    """What it is for the bound over all peers; None where answers are small, or there is none."""


READS = AnswerLimit(Rate(32, 40), REQUESTS, 2_000_000, AnswerKind.DISK)
"""Decided blocks and parts of a snapshot: 2,048 blocks, or 32 MB of state, where a node that catches up on loopback takes 20 MB."""
ALL_READS = Rate(40, 80)
"""The same over all peers."""
BODIES = AnswerLimit(Rate(20, 40), PROPOSALS, 4_000_000, AnswerKind.MEMORY)
"""Bodies of undecided blocks: a node asks one peer for a block once in a tick at most."""
POOL = AnswerLimit(Rate(10, 16), TRANSACTIONS, 1_000_000, AnswerKind.MEMORY)
"""Transactions that wait here: a node may ask one peer for all that it announced at once, in 8 messages."""
HEIGHTS = AnswerLimit(Rate(10, 10), REQUESTS, 2_000_000)
"""The own height, told to who is behind."""

QUESTIONS = AnswerLimit(Rate(64, 96), REQUESTS, 0)
"""LC-NODE-73: questions that are looked at, of who is no validator: as many as READS, BODIES and POOL together answer."""
OFFERS = AnswerLimit(Rate(2_000, 16_384), TRANSACTIONS, 0)
"""Transactions that were refused: each costs a hash and a look at its account. Nothing is answered, so there is no room."""

FORGERIES = AnswerLimit(Rate(50, 1_024), TRANSACTIONS, 0)
"""LC-NODE-70: transactions whose signature is not of the sender's key here: an honest peer may know of another one, or not yet."""


class PeerService:
    """`queued(peer, queue)`: bytes that wait to be sent to it. The transport knows; whoever drives the node sets it."""

    def __init__(self) -> None:
        self.queued: Callable[[bytes, int], int] = lambda peer, queue: 0
        self._waiting: dict[bytes, deque[Question]] = {}
        """The peer that was served longest ago is first."""
        self._reading: set[bytes] = set()
        self._tokens: dict[tuple[bytes, AnswerLimit], IntegerBucket] = {}
        self._all = IntegerBucket(ALL_READS, 0)
        self.budget = AnswerBudget()

    # --- from disk ------------------------------------------------------------------------------------------------------------

    def ask(self, peer: bytes, question: Question) -> bool:
        """A question for the disk. False where it is dropped: too many of its peer are open."""
        if self.open(peer) >= MAX_OPEN:
            return False
        self._waiting.setdefault(peer, deque()).append(question)
        return True

    def next(self, now: int, besides: Collection[bytes] = ()) -> tuple[bytes, Question] | None:
        """Whose question is read now, if anybody's. It is open until `done`. `besides`: who was answered a moment ago."""
        if len(self._reading) >= MAX_READS or not self._all.ready(now):
            return None
        able = [p for p in self._waiting if p not in self._reading and p not in besides and self._may(p, READS, now)]
        if not able:
            return None
        peer = next((p for p in able if self.budget.goes_first(p, now)), able[0])
        self._all.take()
        self._bucket(peer, READS, now).take()
        questions = self._waiting.pop(peer)
        question = questions.popleft()
        if questions:
            self._waiting[peer] = questions
        self._reading.add(peer)
        return peer, question

    def done(self, peer: bytes, *, unread: bool = False) -> None:
        """The peer's question was answered, well or not. `unread`: from memory, so that it does not count over all."""
        self._reading.discard(peer)
        if unread:
            self._all.take(-1)

    def down(self, peer: bytes) -> None:
        """Forget what waits; what is being read still ends with `done`. The rates stay: connecting again buys nothing."""
        self._waiting.pop(peer, None)

    def open(self, peer: bytes) -> int:
        return len(self._waiting.get(peer, ())) + (peer in self._reading)

    @property
    def reading(self) -> int:
        return len(self._reading)

    # --- from memory ----------------------------------------------------------------------------------------------------------

    def allows(self, peer: bytes, what: AnswerLimit, now: int) -> bool:
        """Whether a question is answered; it counts if so."""
        allowed = self._may(peer, what, now)
        if allowed:
            self._bucket(peer, what, now).take()
        return allowed

    def offers(self, peer: bytes, now: int) -> bool:
        """Whether its transactions are looked at: not while too many of them were refused lately."""
        return self._bucket(peer, OFFERS, now).ready(now)

    def refused(self, peer: bytes, count: int, now: int) -> None:
        """So many of its transactions were looked at in vain."""
        self._bucket(peer, OFFERS, now).take(count)

    def hears(self, peer: bytes, now: int) -> bool:
        """Whether a question is looked at; it counts if so. More could not be answered, and reading them costs, too."""
        bucket = self._bucket(peer, QUESTIONS, now)
        heard = bucket.ready(now)
        bucket.take(int(heard))
        return heard

    def excuses(self, peer: bytes, now: int) -> bool:
        """LC-NODE-70: whether a transaction of its with a bad signature may be for a key that was replaced in the meantime."""
        bucket = self._bucket(peer, FORGERIES, now)
        excused = bucket.ready(now)
        bucket.take(int(excused))
        return excused

    def _may(self, peer: bytes, what: AnswerLimit, now: int) -> bool:
        if what.kind is not None and not self.budget.allows(peer, what.kind, now):
            return False
        return self.queued(peer, what.queue) < what.max_queued and self._bucket(peer, what, now).ready(now)

    def _bucket(self, peer: bytes, what: AnswerLimit, now: int) -> IntegerBucket:
        key = (peer, what)
        tokens = self._tokens.pop(key) if key in self._tokens else IntegerBucket(what.rate, now)
        self._tokens[key] = tokens
        while len(self._tokens) > MAX_KNOWN:
            del self._tokens[next(iter(self._tokens))]
        return tokens
