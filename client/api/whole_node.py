"""What the HTTP API, and the dashboard behind it, ask of a node: all of it.

Everything runs on one event loop. Reads of `state` are consistent between two awaits: a block is applied in one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from learningchain.chain.ledger.genesis import Genesis
from learningchain.client.node.interface import ComingContent, Files, KeptContent, KeptFor, KeptRoom, Ledger, Past

if TYPE_CHECKING:
    from learningchain.client.callbacks.service import CallbackService
    from learningchain.client.machines.hub import MachineHub
    from learningchain.client.node.block_figures import AnyFigure, BlockFigures
    from learningchain.client.node.disk_use import DiskRoom
    from learningchain.client.notify.service import NotifyService
    from learningchain.client.work.events import Secret
    from learningchain.client.work.trials import Trials
    from learningchain.sandbox import OwnData


class Runs(Protocol):
    """The runs of the worker and the verifier. A run: id, job, phase, state, attempt, seed, progress ([{"step", "of", "loss"}…],
    bounded), loss (text or null), reason, log (tail), started, ended (wall-clock milliseconds)."""

    @property
    def ended(self) -> Mapping[tuple[str, str], int]:
        """How many runs ended since the start, by phase and state."""
        ...

    def get(self, run_id: str) -> dict[str, Any] | None: ...

    def cancel(self, run_id: str, reason: str) -> bool:
        """Kill a run; false when there is no such run or it has ended."""
        ...

    def list(self) -> list[dict[str, Any]]:
        """Newest first, without their logs."""
        ...


class UserSecrets(Protocol):
    """What users hand to the work, such as keys."""

    async def keep(self, secret: Secret) -> None:
        """On the disk when this returns."""
        ...

    async def of(self, kind: str, beginning: bytes = b"") -> list[Secret]:
        """What is kept of a kind, under keys that begin so."""
        ...

    async def room(self, kind: str, beginning: bytes, most: int) -> KeptRoom:
        """For one more of a kind whose key begins so, where `most` are kept in all, without those whose time is over."""
        ...


class WorkStores(Protocol):
    """What the work keeps on this disk."""

    @property
    def secrets(self) -> UserSecrets: ...

    def kept_for(self, cid: str, why: str) -> KeptFor:
        """What content is held for, by one of the reasons for which it is pinned."""
        ...


class OwnDataStore(Protocol):
    """The owner's own data on this node's engine (`learningchain data`)."""

    async def own_data(self) -> list[OwnData]:
        """Raises OSError."""
        ...

    async def remove_data(self, name: str) -> None:
        """Raises ValueError for the name, `SandboxError` where a run uses them or the engine fails, OSError."""
        ...


class Work(Protocol):
    """The work of a node, for the API."""

    @property
    def report(self) -> dict[str, Any] | None:
        """What the sandbox's self-test said; None before it is over, and where this node runs nothing."""
        ...

    def figures(self) -> Sequence[AnyFigure]:
        """Gauges of what is under way."""
        ...

    def explain(self, ref: bytes) -> str | None:
        """Why this node leaves the work of a ref (a job) alone, in words; None where it does it."""
        ...

    @property
    def books(self) -> Mapping[str, bytes]:
        """What machines keep, by name."""
        ...

    @property
    def engine(self) -> OwnDataStore: ...

    @property
    def stores(self) -> WorkStores: ...


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
        """A receipt of a block with its proof (`client.node.proofs`); 0 is the block's own. None where there is none."""
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
