"""What the parts of a node may ask of it: the interface between the daemon and its HTTP API, worker and verifier.

Everything runs on one event loop. Reads of `state` are consistent between two awaits: a block is applied in one step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from learningchain.chain.host import Reader
from learningchain.chain.ledger.genesis import Genesis
from learningchain.chain.ledger.state import State
from learningchain.chain.node.events import Decided
from learningchain.chain.params import Params

if TYPE_CHECKING:
    from learningchain.client.callbacks.service import CallbackService
    from learningchain.client.machines.hub import MachineHub
    from learningchain.client.node.block_figures import AnyFigure, BlockFigures
    from learningchain.client.node.disk_use import DiskRoom
    from learningchain.client.notify.service import NotifyService
    from learningchain.client.work.events import Secret
    from learningchain.client.work.trials import Trials
    from learningchain.sandbox import OwnData


PRIVATE: Final = "private."
"""The first word of a pin that begins so is none for which content is served, and while there is one, no pin of what is fetched is:
others get it where they were named for it (`ServeFile`), or their contract says so (`Slice.may_have`)."""
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


class Runs(Protocol):
    """The runs of the worker and the verifier, for the API. `Run` dictionaries: id, job, phase, state, attempt, seed, progress
    ([{"step", "of", "loss"}…], bounded), loss (text or null), reason, log (tail), started, ended (wall-clock milliseconds)."""

    def list_runs(self) -> list[dict[str, Any]]: ...

    def get_run(self, run_id: str) -> dict[str, Any] | None: ...

    def cancel_run(self, run_id: str) -> bool:
        """Kill a run; false when there is no such run or it has ended."""
        ...

    def explain(self, ref: bytes) -> str | None:
        """Why this node leaves the work of a ref (a job) alone, in words; None where it does it."""
        ...

    def ended_runs(self) -> dict[tuple[str, str], int]:
        """How many runs ended since the start, by phase and state."""
        ...


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


class Work(Protocol):
    """The work of a node, for the API."""

    @property
    def report(self) -> dict[str, Any] | None:
        """What the sandbox's self-test said; None before it is over, and where this node runs nothing."""
        ...

    def figures(self) -> Sequence[AnyFigure]:
        """Gauges of what is under way."""
        ...

    async def keep(self, secret: Secret) -> None:
        """Keep what a user hands to the work, such as a key; on the disk when this returns."""
        ...

    async def kept(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        """What is kept of a kind, under keys that begin so."""
        ...

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        """For one more of a kind whose key begins so, where `most` are kept in all, without those whose time is over."""
        ...

    def kept_for(self, cid: str, why: str) -> KeptFor:
        """What content is held for, by one of the reasons for which it is pinned."""
        ...

    def book(self, name: str) -> bytes | None:
        """What a machine keeps under this name; None where it keeps nothing."""
        ...

    async def own_data(self) -> list[OwnData]:
        """The owner's own data on this node's engine (`learningchain data`). Raises OSError."""
        ...

    async def remove_data(self, name: str) -> None:
        """Remove own data. Raises ValueError for the name, `SandboxError` where a run uses them or the engine fails, OSError."""
        ...


@dataclass(frozen=True)
class Past:
    """A reference that left the state in the block of this height, and how views read it."""

    height: int
    reader: Reader


class NodeService(Protocol):
    """All of a node, for the HTTP API. The blocking reads of the block store run in threads."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def files(self) -> Files: ...

    @property
    def work(self) -> Work: ...

    @property
    def runs(self) -> Runs | None:
        """None where this node runs no jobs."""
        ...

    @property
    def trials(self) -> Trials | None:
        """Of what this node is to serve, before it says that it does. None where it runs nothing."""
        ...

    @property
    def callbacks(self) -> CallbackService | None:
        """None while the node starts, or where it cannot keep any."""
        ...

    @property
    def figures(self) -> BlockFigures | None:
        """What was counted of blocks since the start."""
        ...

    def carried(self) -> Mapping[tuple[str, ...], float]:
        """Bytes of files since the start, by way (messages, connections) and direction (in, out)."""
        ...

    def refused_files(self) -> int:
        """Questions for files of peers that had all the bytes of a day, since the start."""
        ...

    def contents(self) -> list[KeptContent]:
        """All content on this disk, the largest first. Not for the event loop."""
        ...

    def transfers(self) -> list[ComingContent]:
        """What is being fetched, the oldest first."""
        ...

    @property
    def disk(self) -> DiskRoom | None:
        """Of the data folder; None where nobody has looked yet."""
        ...

    @property
    def notify(self) -> NotifyService | None:
        """None where nobody is to be told."""
        ...

    def status(self) -> dict[str, Any]: ...

    def peers(self) -> list[dict[str, Any]]: ...

    def connections(self) -> list[dict[str, Any]]:
        """What happened to connections lately, newest first: time (ms), event, address, id (or null), reason."""
        ...

    def config(self) -> dict[str, Any]: ...

    async def settings_after_restart(self) -> dict[str, Any]:
        """Those that are written otherwise than they are in force, by dotted name. Raises `ConfigError`."""
        ...

    async def change_setting(self, name: str, text: str) -> Any:
        """Write one into the file; the value. Raises `ConfigError`."""
        ...

    async def block(self, height: int) -> dict[str, Any] | None: ...

    async def raw_block(self, height: int) -> dict[str, Any] | None:
        """A block and its certificate, encoded (LC-BLK-2, 6)."""
        ...

    async def tx(self, tx: bytes) -> dict[str, Any] | None: ...

    async def receipt(self, height: int, index: int) -> dict[str, Any] | None:
        """A receipt of a block with its proof (`client.receipts.proofs`); 0 is the block's own. None where there is none."""
        ...

    async def receipt_file(self, height: int, index: int, trusted: int | None) -> dict[str, Any] | None:
        """The same as a file (LC-LIGHT-1), from genesis or from the block of a trusted height. Raises `Malformed` where there is
        none."""
        ...

    async def records_file(self, keys: Sequence[bytes], trusted: int | None) -> dict[str, Any] | None:
        """What the newest state holds under some keys, as a file. None before the first block. Raises `Malformed`."""
        ...

    async def prove(self, key: bytes) -> dict[str, Any] | None:
        """What the state holds under a key, with its proof, and the block that it stands after. None before the first block."""
        ...

    async def validator_changes(self, start: int, limit: int) -> dict[str, Any]:
        """At most `limit` final headers from height `start` on that name another validator set, with that set."""
        ...

    async def history(self, account: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]: ...

    async def events(self, subject: bytes, *, before: int | None, limit: int) -> list[dict[str, Any]]:
        """What was noted under a 32-byte id, such as a job's, newest first; `before` is a `cursor`."""
        ...

    async def noted(self, height: int) -> tuple[int, list[Any]] | None:
        """The time of a block (milliseconds) and its events in order; None where it is not kept."""
        ...

    async def archived(self, refs: Sequence[bytes]) -> dict[bytes, Past]:
        """What left the state of some references (`Contract.archive`), within this node's history."""
        ...

    async def archived_below(self, prefix: bytes, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """References that left and had a number under a prefix, with these in descending order, below `before`."""
        ...

    async def archived_within(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        """References that left, from `first` to `last`, ascending."""
        ...

    @property
    def machines(self) -> MachineHub | None:
        """The owner's other machines; None where the node is to have none, and while it starts."""
        ...

    def genesis(self) -> Genesis:
        """What the network began with."""
        ...

    def contacts(self) -> list[tuple[bytes, str]]:
        """This node's addresses, then some of members that it is connected with: (id, host:port)."""
        ...

    async def statement(self, domain: str, body: bytes) -> bytes:
        """This node's identity signs a statement of its own under a domain (`client.keys.statements`).

        Raises `SignerUnavailable`, and `Malformed` where the body is none of that domain.
        """
        ...

    def take_key(self, public: bytes, sealed: bytes) -> None:
        """A key that this node's account is about to get, its secret sealed under the present one. Raises `KeystoreError`."""
        ...
