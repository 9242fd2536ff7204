"""What the parts of a node may ask of it: the interface between the daemon and its HTTP API, worker and verifier.

Everything runs on one event loop. Reads of `state` are consistent between two awaits: a block is applied in one step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from learningchain.chain.host import Reader
from learningchain.chain.ledger.state import State
from learningchain.chain.node.events import Decided
from learningchain.chain.params import Params

PRIVATE: Final = "private."
"""The first word of a pin that begins so is none for which content is served, and while there is one, no pin of what is fetched is:
others get it where they were named for it (`ServeFile`), or their contract says so (`WorkPart.may_have`)."""
PUBLIC: Final = "public."
"""A pin whose first word begins so is this node's own word that everybody may have the content, whatever else it is pinned for."""

MayHave = Callable[[bytes, str, Collection[str]], bool]
"""(peer, CID, the reasons for which it is pinned) -> whether the peer may have it."""


@dataclass(frozen=True)
class TxResult:
    """A transaction that stands in a final block. `code` 0: applied; otherwise refused by the rules."""

    tx: bytes
    height: int
    index: int
    code: int
    events: list[Any] = field(default_factory=list)


Before = Callable[[bytes], Awaitable[None]]
"""What has to be done, with the bytes of a transaction, before anybody has the transaction. What it raises stops it."""


class Ledger(Protocol):
    """The node's ledger, as its other parts see it."""

    @property
    def chain_id(self) -> bytes: ...

    @property
    def own_id(self) -> bytes: ...

    @property
    def params(self) -> Params: ...

    @property
    def state(self) -> State:
        """The committed state: a `Reader` for every contract's views."""
        ...

    @property
    def height(self) -> int: ...

    @property
    def clock(self) -> int:
        """The chain clock now, in milliseconds: the last block's, plus the time since it, at most max_step."""
        ...

    async def room(self, timeout_s: float) -> bool:
        """Wait until this node can take more from its users; False when it cannot within this time."""
        ...

    async def submit_raw(self, raw: bytes) -> bytes:
        """Offer a signed transaction to the graph; its id. Raises `InvalidTx`."""
        ...

    async def submit(self, ops: list[Any], *, urgent: bool = False, before: Before | None = None) -> bytes:
        """Sign contract messages with this node's key and offer them; the transaction's id.

        Raises `InvalidTx`, `SignerUnavailable`, and what `before` raises.

        Sequences are assigned here; `urgent` uses a lane of its own for messages with a deadline.
        """
        ...

    async def result(self, tx: bytes, timeout_s: float) -> TxResult:
        """Wait until the transaction is final. Raises `TimeoutError`, or `InvalidTx` when it was dropped for good."""
        ...

    def committed(self) -> AsyncIterator[Decided]:
        """Blocks from now on, as they become final. A reader that falls 1,000 blocks behind gets `LookupError`."""
        ...


class Files(Protocol):
    """Files by CID (text form `b…`), kept by this node and its peers."""

    async def add(self, path: Path, *, pin: str) -> tuple[str, int]:
        """Store a file and serve it to peers; (cid, size)."""
        ...

    def pinned(self, reason: str) -> list[tuple[str, int, str]]:
        """(cid, size, reason) of what is on this disk for this reason, or for one that goes on with a colon. Reads the list of all
        that is here: not for the event loop."""
        ...

    def room(self) -> tuple[int, int]:
        """Bytes that may still be pinned, of how many in all. As `pinned`, not for the event loop."""
        ...

    def has(self, cid: str) -> bool:
        """True where all of it is on this disk."""
        ...

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        """Where each lies, if all of it is on this disk, unread: whoever reads it compares it, and has `fetch` repair what is
        damaged. Counts as a use. Not for the event loop."""
        ...

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """A local path with the verified content, from this node's store or from peers. Do not modify or delete the file."""
        ...

    def pin(self, cid: str, reason: str) -> None:
        """While it is pinned it is served to everybody who asks, unless every reason begins with `PRIVATE`."""
        ...

    def pin_all(self, cids: Collection[str], reason: str) -> None:
        """As `pin`, all of them or none, with one write to the disk."""
        ...

    def allow(self, cid: str, peers: Collection[bytes]) -> None:
        """Who gets what is pinned privately: these identities, as long as this node runs or until it is said anew."""
        ...

    def share_by(self, may_have: MayHave) -> None:
        """Who gets what is pinned privately beside those that were named: this is asked at each question of a peer."""
        ...

    def unpin(self, cid: str, reason: str) -> None:
        """What was pinned privately is deleted with its last pin."""
        ...

    def unpin_all(self, cids: Collection[str], reason: str) -> None: ...


@dataclass(frozen=True)
class KeptRoom:
    """How many records of a kind are kept in all, how many of them are one holder's, and how many may be."""

    all: int
    own: int
    most: int

    @property
    def free(self) -> int:
        return max(0, self.most - self.all)

    @property
    def own_free(self) -> bool:
        """Whether the holder has fewer than places are free: whatever one takes, as many as it has are left to others."""
        return self.own < self.free


@dataclass(frozen=True)
class KeptFor:
    """One reason for which content is kept, for people. `of`: what `ref` is, such as job. `until`: the wall-clock time (ms) at
    which the reason ends by itself, None where another thing ends it."""

    what: str
    of: str | None = None
    ref: str | None = None
    until: int | None = None


@dataclass(frozen=True)
class KeptContent:
    """Content on this disk. `since`: when the last of its bytes came (wall clock, ms). `goes`: its place among what is removed when
    room is needed, the first is 1; None where it stays. A download counts with its whole size."""

    cid: str
    size: int
    complete: bool
    since: int | None
    goes: int | None
    reasons: Sequence[str]


@dataclass(frozen=True)
class ComingContent:
    """Content that this node fetches. `size` 0: not known yet; `rate`: bytes per second, None: not seen yet."""

    cid: str
    done: int
    size: int
    rate: int | None
    since: int
    reasons: Sequence[str]


@dataclass(frozen=True)
class Past:
    """A reference that left the state in the block of this height, and how views read it."""

    height: int
    reader: Reader
