"""What the parts of a node may ask of it: the interface between the daemon and its HTTP API, worker and verifier.

Everything runs on one event loop. Reads of `state` are consistent between two awaits: a block is applied in one step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from chain.host import Reader
from chain.ledger.state import State
from chain.node.events import Decided
from chain.params import Params


@dataclass(frozen=True)
class TxResult:
    """A transaction that stands in a final block. `code` 0: applied; otherwise refused by the rules."""

    tx: bytes
    height: int
    index: int
    code: int
    events: list[Any] = field(default_factory=list)


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

    async def submit(self, ops: list[Any], *, urgent: bool = False) -> bytes:
        """Sign contract messages with this node's key and offer them; the transaction's id. Raises `InvalidTx`.

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

    def has(self, cid: str) -> bool:
        """True where all of it is on this disk."""
        ...

    async def fetch(
        self, cid: str, *, max_size: int, timeout_s: float, on_progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """A local path with the verified content, from this node's store or from peers. Do not modify or delete the file."""
        ...

    def pin(self, cid: str, reason: str) -> None: ...

    def unpin(self, cid: str, reason: str) -> None: ...


class Runs(Protocol):
    """The runs of the worker and the verifier, for the API. `Run` dictionaries: id, job, phase, state, attempt, seed, progress
    ([{"step", "of", "loss"}…], bounded), loss (text or null), reason, log (tail), started, ended (wall-clock milliseconds)."""

    def list_runs(self) -> list[dict[str, Any]]: ...

    def get_run(self, run_id: str) -> dict[str, Any] | None: ...

    def cancel_run(self, run_id: str) -> bool:
        """Kill a run; false when there is no such run or it has ended."""
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
    def runs(self) -> Runs | None:
        """None where this node runs no jobs."""
        ...

    def status(self) -> dict[str, Any]: ...

    def peers(self) -> list[dict[str, Any]]: ...

    def connections(self) -> list[dict[str, Any]]:
        """What happened to connections lately, newest first: time (ms), event, address, id (or null), reason."""
        ...

    def config(self) -> dict[str, Any]: ...

    async def block(self, height: int) -> dict[str, Any] | None: ...

    async def tx(self, tx: bytes) -> dict[str, Any] | None: ...

    async def receipt(self, height: int, index: int) -> dict[str, Any] | None:
        """A receipt of a block with its proof (`client.proofs`); 0 is the block's own. None where there is none."""
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

    async def archived(self, refs: Sequence[bytes]) -> dict[bytes, Past]:
        """What left the state of some references (`Contract.archive`), within this node's history."""
        ...

    async def archived_below(self, prefix: bytes, before: int | None, limit: int) -> list[tuple[int, bytes]]:
        """References that left and had a number under a prefix, with these in descending order, below `before`."""
        ...

    async def archived_within(self, first: bytes, last: bytes, limit: int) -> list[bytes]:
        """References that left, from `first` to `last`, ascending."""
        ...

    async def sandbox_ready(self) -> dict[str, Any] | None:
        """Result of the sandbox's self-test, or None when this node runs no jobs."""
        ...
