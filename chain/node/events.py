"""What goes into a node and what comes out. Frozen records; whoever drives the node runs the effects in the order given.

* `Log` is appended; with `sync` the log is on disk before the next effect runs. What was logged without it is covered by the next.
* `SignRequest` is answered with the input `SignedMessage`, or with nothing where the last-signed guard keeps silence.
* `Commit` is one height; heights may share a database transaction. With `durable` it and all before it are done before the next
  effect; without, it may be written behind the log, which holds the block and its certificate, or behind a durable one that follows
  before anything else does. `TruncateLog` may only empty the log once every commit is done.
* `CheckSignatures` is answered with the input `SignaturesChecked`, `HashBlocks` with `BlocksHashed`, at any time: it is work of
  `chain.node.checks`.
* `ReadBlocks` and `ReadSnapshot` are answered with the input `Answered`.
* `StageSnapshot` is answered with the input `SnapshotStaged`, `TakeBuckets` with `BucketsTaken`
  once the buckets that fit are on disk. After `Switch` nothing of the node is run any more: what was staged becomes the state, and
  a new node starts from it.
* `SetTimer` comes back as the input `Fired` after `ms` milliseconds.
* `flush` of the node is called whenever no input waits: batches form by themselves under load and nothing waits without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from learningchain.chain.consensus.messages import SignProposal, SignVote, Timeout
from learningchain.chain.errors import InvalidTx
from learningchain.chain.ledger.snapshot import Offer, ValidatorSetChange
from learningchain.chain.node.checks import Check, Hashed, Sent, Unhashed
from learningchain.chain.node.history import AccountIndex
from learningchain.chain.node.messages import SnapshotQuestion
from learningchain.chain.types import Evidence, Header, Proposal, Receipt, Validator, Vote

# the transport's send queues, by urgency
VOTES, PROPOSALS, REQUESTS, TRANSACTIONS = 0, 1, 2, 3


class Scope(IntEnum):
    """Whom a message is for."""

    CONSENSUS = 0
    """Connected validators."""
    MESH = 1
    """A bounded number of peers that are no validators."""
    ALL = 2


class Item(msgspec.Struct, frozen=True, gc=False):
    """What the node takes in or gives out. A struct, since a thousand of them pass in a second and each is defined at every start:
    a data class takes several times as long. The garbage collector need not look: nothing in them leads back."""


class Tick(Item, frozen=True):
    """The node's own timer, every TICK_MS: deadlines, heartbeat, asking again."""


TICK_MS = 100


class Late(Item, frozen=True):
    """What a block lacked when it was proposed should be here by now: LATE_MS after the proposal it is asked for."""

    block_id: bytes


LATE_MS = 20


# --- inputs -------------------------------------------------------------------------------------------------------------------


class PeerUp(Item, frozen=True):
    peer: bytes


class PeerDown(Item, frozen=True):
    peer: bytes


class Received(Item, frozen=True):
    """A NODE message from a peer that the transport authenticated."""

    peer: bytes
    payload: bytes


class SignedMessage(Item, frozen=True):
    message: Vote | Proposal


class Fired(Item, frozen=True):
    timer: Tick | Late | Timeout


class Answered(Item, frozen=True):
    """Answer to `ReadBlocks` and `ReadSnapshot`: the message for the peer, encoded where it was read. None: the disk failed."""

    peer: bytes
    answer: bytes | None


class SignaturesChecked(Item, frozen=True):
    """Answer to `CheckSignatures`, with its ticket and checks: one byte for each, 1 for a good signature; less where some were not
    checked."""

    ticket: int
    checks: list[Check]
    good: bytes


class BlocksHashed(Item, frozen=True):
    """Answer to `HashBlocks`, in the order of its blocks; less where some were not hashed."""

    ticket: int
    hashed: list[Hashed]


class SnapshotStaged(Item, frozen=True):
    """Answer to `StageSnapshot`: the buckets that are here already, as its subroots say."""

    held: list[int]


class BucketsTaken(Item, frozen=True):
    """Answer to `TakeBuckets`: the buckets that were not what their subroots say. The others are here for good."""

    ticket: int
    wrong: list[int]


Input = (
    PeerUp
    | PeerDown
    | Received
    | SignedMessage
    | Fired
    | Answered
    | SignaturesChecked
    | BlocksHashed
    | SnapshotStaged
    | BucketsTaken
)

# --- effects ------------------------------------------------------------------------------------------------------------------


class Log(Item, frozen=True):
    record: bytes
    sync: bool


class SignRequest(Item, frozen=True):
    request: SignVote | SignProposal


class Send(Item, frozen=True):
    peer: bytes
    payload: bytes
    queue: int


class Gossip(Item, frozen=True):
    payload: bytes
    queue: int
    scope: Scope
    exclude: frozenset[bytes] = frozenset()


class SetTimer(Item, frozen=True):
    timer: Tick | Late | Timeout
    ms: int


class ReadBlocks(Item, frozen=True):
    """With `executed_blocks`, what the blocks did is wanted too: answered with `ExecutedBlocks` where the store has it of the
    first."""

    peer: bytes
    start: int
    count: int
    size: int
    executed_blocks: bool = False


class CheckSignatures(Item, frozen=True):
    """Work that other processors can do while the node goes on."""

    ticket: int
    checks: list[Check]


class HashBlocks(Item, frozen=True):
    """Work that other processors can do while the node goes on."""

    ticket: int
    blocks: list[Unhashed]


class Commit(Item, frozen=True):
    """All that a decided height changes, for one database transaction."""

    height: int
    block_id: bytes
    block: bytes
    certificate: bytes
    tx_ids: list[bytes]
    receipts: list[bytes]
    account_index: AccountIndex
    state: list[tuple[bytes, bytes | None]]
    durable: bool
    executed: bool = True
    """Otherwise it was taken over as an executed block, and an audit has to look at it."""
    archived: list[tuple[bytes, bytes]] = []
    """Records that left the state and are to be kept (`Contract.archive`)."""


class TruncateLog(Item, frozen=True):
    pass


class Decided(Item, frozen=True):
    """The block is final and applied."""

    height: int
    block_id: bytes
    header: Header
    tx_ids: list[bytes]
    receipts: list[Receipt]
    """`receipts[0]` is the block's own, `receipts[i + 1]` that of `tx_ids[i]`."""
    validators: list[Validator]
    """The set from the next height on."""

    def executed_blocks(self) -> Iterator[tuple[bytes | None, Receipt]]:
        """Each receipt in order, with the transaction that it belongs to; None for the block's own."""
        return zip((None, *self.tx_ids), self.receipts, strict=True)


class TxDropped(Item, frozen=True):
    tx: bytes
    error: InvalidTx


class Penalize(Item, frozen=True):
    """A REJECT verdict on a message."""

    peer: bytes
    reason: str


class Evidenced(Item, frozen=True):
    """Somebody signed twice; report it to the ledger."""

    evidence: Evidence


class Abstain(Item, frozen=True):
    """This key signed more than its guard knows: from now on nothing up to this height may be signed, durably (LC-NODE-31)."""

    until: int


class Outdated(Item, frozen=True):
    """Block `height` is of a version of the protocol that this program does not know: the node has ended before it (LC-NODE-68)."""

    height: int
    version: int


class ReadHeaders(Item, frozen=True):
    """A peer asks for headers, from `height` downwards. Answer with `Answered`."""

    peer: bytes
    height: int
    count: int


class ReadSnapshot(Item, frozen=True):
    """A peer asks for a snapshot, or for a part of it."""

    peer: bytes
    question: SnapshotQuestion


class StageSnapshot(Item, frozen=True):
    """A certified snapshot is to be taken. Buckets that an earlier attempt left stay where they are the same."""

    offer: Offer
    validator_changes: list[ValidatorSetChange]


class TakeBuckets(Item, frozen=True):
    ticket: int
    buckets: list[Sent]


class Switch(Item, frozen=True):
    """All of the staged snapshot is here."""

    height: int


Effect = (
    Log
    | SignRequest
    | Send
    | Gossip
    | SetTimer
    | ReadBlocks
    | CheckSignatures
    | HashBlocks
    | Commit
    | TruncateLog
    | Decided
    | TxDropped
    | Penalize
    | Evidenced
    | Abstain
    | Outdated
    | ReadHeaders
    | ReadSnapshot
    | StageSnapshot
    | TakeBuckets
    | Switch
)
