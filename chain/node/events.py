"""What goes into a node and what comes out. Frozen records; whoever drives the node runs the effects in the order given.

* `Log` is appended; with `sync` the log is on disk before the next effect runs. What was logged without it is covered by the next.
* `SignRequest` is answered with the input `SignedMessage`, or with nothing where the last-signed guard keeps silence.
* `Commit` is one height; heights may share a database transaction. With `durable` it and all before it are done before the next
  effect; without, it may be written behind the log, which holds the block and its certificate, or behind a durable one that follows
  before anything else does. `TruncateLog` may only empty the log once every commit is done.
* `CheckSignatures` is answered with the input `SignaturesChecked`, `HashBlocks` with `BlocksHashed`, at any time: it is work of
  `chain.node.checks`.
* `SetTimer` comes back as the input `Fired` after `ms` milliseconds.
* `flush` of the node is called whenever no input waits: batches form by themselves under load and nothing waits without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from chain.consensus.messages import SignProposal, SignVote, Timeout
from chain.errors import InvalidTx
from chain.node.checks import Check, Hashed, Unhashed
from chain.node.history import Mentions
from chain.types import Evidence, Header, Proposal, Receipt, Validator, Vote

# lanes of the transport, by urgency
VOTES, PROPOSALS, REQUESTS, TRANSACTIONS = 0, 1, 2, 3


class Scope(IntEnum):
    """Whom a message is for."""

    CONSENSUS = 0
    """Connected validators."""
    MESH = 1
    """A bounded number of peers that are no validators."""
    ALL = 2


@dataclass(frozen=True)
class Tick:
    """The node's own timer, every TICK_MS: deadlines, heartbeat, asking again."""


TICK_MS = 100


@dataclass(frozen=True)
class Late:
    """What a block lacked when it was proposed should be here by now: LATE_MS after the proposal it is asked for."""

    block_id: bytes


LATE_MS = 20


# --- inputs -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PeerUp:
    peer: bytes


@dataclass(frozen=True)
class PeerDown:
    peer: bytes


@dataclass(frozen=True)
class Received:
    """A NODE message from a peer that the transport authenticated."""

    peer: bytes
    payload: bytes


@dataclass(frozen=True)
class SignedMessage:
    message: Vote | Proposal


@dataclass(frozen=True)
class Fired:
    timer: Tick | Late | Timeout


@dataclass(frozen=True)
class BlocksRead:
    """Answer to `ReadBlocks`: (block, certificate) bytes of consecutive heights."""

    peer: bytes
    blocks: list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class OutcomesRead:
    """Another answer to `ReadBlocks`: (block, certificate, receipts, changes) of consecutive heights."""

    peer: bytes
    blocks: list[tuple[bytes, bytes, list[bytes], bytes]]


@dataclass(frozen=True)
class SignaturesChecked:
    """Answer to `CheckSignatures`, with its ticket and checks: one byte for each, 1 for a good signature; less where some were not
    checked."""

    ticket: int
    checks: list[Check]
    good: bytes


@dataclass(frozen=True)
class BlocksHashed:
    """Answer to `HashBlocks`, in the order of its blocks; less where some were not hashed."""

    ticket: int
    hashed: list[Hashed]


Input = PeerUp | PeerDown | Received | SignedMessage | Fired | BlocksRead | OutcomesRead | SignaturesChecked | BlocksHashed

# --- effects ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Log:
    record: bytes
    sync: bool


@dataclass(frozen=True)
class SignRequest:
    request: SignVote | SignProposal


@dataclass(frozen=True)
class Send:
    peer: bytes
    payload: bytes
    lane: int


@dataclass(frozen=True)
class Gossip:
    payload: bytes
    lane: int
    scope: Scope
    exclude: frozenset[bytes] = frozenset()


@dataclass(frozen=True)
class SetTimer:
    timer: Tick | Late | Timeout
    ms: int


@dataclass(frozen=True)
class ReadBlocks:
    """With `outcomes`, what the blocks did is wanted too: answered with `OutcomesRead` where the store has it of the first."""

    peer: bytes
    start: int
    count: int
    size: int
    outcomes: bool = False


@dataclass(frozen=True)
class CheckSignatures:
    """Work that other processors can do while the node goes on."""

    ticket: int
    checks: list[Check]


@dataclass(frozen=True)
class HashBlocks:
    """Work that other processors can do while the node goes on."""

    ticket: int
    blocks: list[Unhashed]


@dataclass(frozen=True)
class Commit:
    """All that a decided height changes, for one database transaction."""

    height: int
    block_id: bytes
    block: bytes
    certificate: bytes
    tx_ids: list[bytes]
    receipts: list[bytes]
    mentions: Mentions
    state: list[tuple[bytes, bytes | None]]
    durable: bool
    executed: bool = True
    """Otherwise its outcome was taken over, and `learningchain audit` has to look at it."""


@dataclass(frozen=True)
class TruncateLog:
    pass


@dataclass(frozen=True)
class Decided:
    """The block is final and applied."""

    height: int
    block_id: bytes
    header: Header
    tx_ids: list[bytes]
    receipts: list[Receipt]
    validators: list[Validator]
    """The set from the next height on."""


@dataclass(frozen=True)
class TxDropped:
    tx: bytes
    error: InvalidTx


@dataclass(frozen=True)
class Penalize:
    """A REJECT verdict on a message."""

    peer: bytes
    reason: str


@dataclass(frozen=True)
class Evidenced:
    """Somebody signed twice; report it to the ledger."""

    evidence: Evidence


@dataclass(frozen=True)
class Abstain:
    """This key signed more than its guard knows: from now on nothing up to this height may be signed, durably (LC-NODE-31)."""

    until: int


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
)
