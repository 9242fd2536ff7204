"""What a contract gives to a node's work: machines and what the driver must know to run them. No I/O.

    state, answers --> Machine.handle (pure) --> effects, the same for every contract --> the driver (`Work`)

A contract's is the `WorkPart` in the module `work` of its slice (`find_slices`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

from learningchain.chain.host import Reader
from learningchain.client import contracts
from learningchain.client.config import WorkConfig
from learningchain.client.contracts import PartKind
from learningchain.client.node.block_figures import AnyFigure
from learningchain.client.work.events import Effect, Input, Notice, Secret


class Machine:
    """One part of a node's work. It is asked by one caller at a time; what it says is done, and said once."""

    name = ""
    """How the node's status calls it."""
    prompt = False
    """It looks at the state as soon as something is done that it asked for, without waiting for the others' next look. For machines
    whose look takes well under a millisecond and whose work is a chain of short tasks."""

    @property
    def runs(self) -> bool:
        """Whether it starts runs whatever the settings say (`WorkPart.runs`): because a user of this node asked for it."""
        return False

    @property
    def busy(self) -> bool:
        """A duty with a deadline waits for a run or has one: others should not start long runs now."""
        return False

    def gives_up(self, ref: bytes) -> bool:
        """Whether this needs no image of the ref, now or soon. A question: nothing follows from it alone."""
        return True

    def image_goes(self, ref: bytes) -> None:
        """The ref's image leaves, as no machine needs it: whoever wants it later asks for it again."""

    def reconfigure(self, config: WorkConfig) -> None:
        """Take up the owner's settings as they are from now on. What was begun by the old ones goes on; everything that lives is
        told anew afterwards (`Changed.anew`)."""

    def notices(self) -> Sequence[Notice]:
        """What the operator should know, after the last look. Bounded, and cheap to ask for."""
        return ()

    def explain(self, reader: Reader, ref: bytes, clock: int) -> str | None:
        """Why this leaves the work of a ref alone, in words for the owner; None where it does it, or it is none of its work."""
        return None

    def figures(self) -> Sequence[AnyFigure]:
        """Gauges of what it has under way. Bounded, and cheap to ask for."""
        return ()

    def handle(self, given: Input) -> Sequence[Effect]:
        """The effects of one input. After every input but `Chain` and `Changed` the driver gives `Chain` again."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recalled:
    """What this node knows when its machines are made: who it is, what it wants, and what its database says."""

    me: bytes
    chain_id: bytes
    config: WorkConfig
    rng: Callable[[int], bytes]
    secrets: Sequence[Secret] = ()
    """Of this contract, and those of others that it reads."""
    attempts: Mapping[str, Mapping[bytes, set[int]]] = field(default_factory=dict)
    """By kind and ref: the numbers that are used up."""
    under_way: Mapping[str, Mapping[bytes, set[int]]] = field(default_factory=dict)
    """By kind and ref: attempts whose run had not ended when this node did, and may still go on: it does so as the attempt's next
    run, if that is started within minutes."""
    pending: Sequence[tuple[str, str, bytes]] = ()
    """(kind, key, ref) of each message that is on its way."""
    books: Mapping[str, bytes] = field(default_factory=dict)
    """What machines of this contract kept (`KeepBook`), by name."""
    sign: Callable[[bytes], bytes] | None = None
    """The account's signature of 32 bytes; None where its key is not on this machine."""
    derive: Callable[[bytes, bytes], Sequence[bytes]] | None = None
    """(salt, info) -> HKDF-SHA256 of each of the account's secrets, 32 bytes each, that of the present key first; None where they
    are not on this machine."""


class LedgerStatus(Enum):
    """What the state says about a message of ours."""

    STANDS = "it stands on the ledger"
    OPEN = "it can still take effect"
    TOO_LATE = "its time is over"
    DISPLACED = "another one of this node stands in its place"


LedgerStatusOf = Callable[[Reader, bytes, int, Any], tuple[LedgerStatus, int | None]]
"""(state, own identity, chain clock, message) -> its ledger status, and the chain clock until which it can take effect, if any."""


@dataclass(frozen=True)
class Watch:
    """Which keys of the state a contract's machines are told of: those under `follow` that blocks change; at the start, and after
    the feed was lost, one for each key under `live`, with `told_as` for its prefix."""

    follow: tuple[bytes, ...]
    live: bytes
    told_as: bytes


@dataclass(frozen=True)
class Hearing:
    """What peers may tell a contract's machines, on a channel of their own. `take(reader, own identity, sender, payload)`: the
    message (`PeerSaid`), None for what this sender has no say in. Raises Malformed, which counts against the sender. Costs a few
    look-ups."""

    channel: int
    take: Callable[[Reader, bytes, bytes, bytes], Any]


def knows_no_ref(reader: Reader, ref: bytes) -> bool:
    """`WorkPart.knows` of a contract whose machines hold nothing for a ref: no image, no pin, no losses."""
    return False


@dataclass(frozen=True, kw_only=True)
class WorkPart:
    """The work of one contract. `name` begins the kinds of its secrets (`name.` and more)."""

    name: str
    knows: Callable[[Reader, bytes], bool]
    """Whether the state has this ref as one of this contract's. What is held for it is told to this contract's machines alone
    (`Chain.held`), and no other contract's machine can release it. It has no default: a contract that forgot it would have its
    live refs cleaned up by others as if they had left the state."""
    machines: Callable[[Recalled], Sequence[Machine]] = lambda _: ()
    ledger_statuses: Mapping[type, LedgerStatusOf] = field(default_factory=dict)
    """Of every message that its machines submit."""
    watch: Watch | None = None
    runs: Callable[[WorkConfig, bool], bool] = lambda _, __: False
    """(settings, whether this account may be called to duties) -> whether its machines start runs: where none do, no engine is
    needed."""
    images: Callable[[Reader], Iterator[tuple[bytes, str]]] = lambda _: iter(())
    """(ref, image id) of all that lives: images that an earlier start left on the engine stay for these."""
    reads: frozenset[str] = frozenset()
    """Kinds of other contracts' secrets that its machines are told of at the start (`Recalled`) and as they come (`Kept`)."""

    tasks: str = ""
    """The module that does its tasks (`Compute`) in another process: `perform_in(task, folder)`."""
    files: Callable[[Mapping[str, bytes]], set[Path]] = lambda _: set()
    """Of its books: the files that they name. Others that its machines made go at a start."""
    hears: Hearing | None = None
    keeps: Mapping[str, str] = field(default_factory=dict)
    """What content is that this contract's machines pin, for people: by the first word of the reason, or the beginning of that."""
    may_have: Callable[[Reader, Sequence[tuple[str, bytes]], bytes, bytes], bool] = lambda _, __, ___, ____: False
    """(state, reasons, content, account) -> whether an account may have content (binary CID) that is pinned privately here. The
    reasons are the private ones, each with its first word and its ref. Asked for each block that a peer wants: a few look-ups."""

    def owns(self, kind: str) -> bool:
        return kind == self.name or kind.startswith(f"{self.name}.")


WORK: Final = PartKind("work", WorkPart)


def find_slices() -> list[WorkPart]:
    """Of every contract that has work for a node. Raises ValueError where two of them want the same."""
    found = list(contracts.parts(WORK).values())
    ledger_statuses_of(found)
    return found


def ledger_statuses_of(found: Sequence[WorkPart]) -> dict[type, LedgerStatusOf]:
    together: dict[type, LedgerStatusOf] = {}
    for part in found:
        for message, status in part.ledger_statuses.items():
            if message in together:
                raise ValueError(f"the work of {part.name} and of another contract both say what becomes of {message.__name__}")
            together[message] = status
    return together
