"""What goes into the machines of federated training and what comes out, beside what all machines share (`client.work.events`).

    ledger, files, ends of runs, results, messages --> machine --> effects

A machine is pure: its driver does what it says and tells it what came of it. Whatever must survive this process is in its *book*.
A machine that changed its book says `KeepBook` before anything else, and the driver does nothing of what follows until the disk has
it: so nothing leaves this node that it could forget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from learningchain.chain.codec import Wire, encode
from learningchain.chain.contracts.federation.messages import FederationTerms
from learningchain.client.contracts.federation.arithmetic.vault import Derive
from learningchain.client.contracts.federation.wishes import SponsorWish, StopWish, TrainWish, VaultWish
from learningchain.client.work.events import (
    Chain,
    Compute,
    Computed,
    ComputeFailed,
    ContentMissing,
    ContentReady,
    Decrypt,
    DropFile,
    EndScope,
    FetchContent,
    Forget,
    KeepBook,
    LossesOpened,
    Notice,
    OpenLosses,
    PeerSaid,
    RunEnded,
    SendPeer,
    ServeFile,
    Settled,
    StopServing,
    Submit,
    Unpin,
)

KIND = "federation"
"""Of the contract's messages; it begins the names of its books."""
MODEL_PIN = "fed-model"
"""Why a model of a federation is pinned that was measured, or is the final one."""

ONE_OF = "#"
"""Stands in a run's name before the place of one of its models."""

# --- inputs ----------------------------------------------------------------------------------------------------------------------


FedInput = (
    TrainWish
    | StopWish
    | VaultWish
    | SponsorWish
    | Chain
    | ContentReady
    | ContentMissing
    | RunEnded
    | LossesOpened
    | Settled
    | Computed
    | ComputeFailed
    | PeerSaid
)

# --- effects ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LocalRun:
    """Run `local` on own data; answered by RunEnded with the model that it left. `seed` is the same for all of an attempt.
    `published`: what the ledger has of the data (LC-FILE-48), which they have to be; empty: they are nobody's word.
    `sponsor` has the image first of all."""

    run: str
    ref: bytes
    terms: FederationTerms
    base: Path
    data: str
    seed: int
    published: bytes = b""
    sponsor: bytes = b""


@dataclass(frozen=True)
class EvaluateRun:
    """Run `evaluate`; answered by RunEnded, whose result is a `Measurement`. Losses are kept as `StartRun.keep` says.
    `sponsor` as above."""

    run: str
    ref: bytes
    terms: FederationTerms
    model: Path
    hidden: Path | None
    sponsor: bytes = b""


@dataclass(frozen=True)
class EvaluateAll(EvaluateRun):
    """Run `evaluates` on several models, which lie in the file one behind the other; answered by RunEnded, whose result has for
    each a `Measurement`, or None where it is not to be evaluated. Losses of each are kept under the name that `one_of` gives."""


def one_of(run: str, place: int) -> str:
    """The run of one of the models of an `EvaluateAll`."""
    return f"{run}{ONE_OF}{place}"


FedEffect = (
    KeepBook
    | LocalRun
    | EvaluateRun
    | EvaluateAll
    | Compute
    | ServeFile
    | StopServing
    | SendPeer
    | Submit
    | FetchContent
    | Decrypt
    | DropFile
    | EndScope
    | OpenLosses
    | Forget
    | Unpin
)


# --- machines --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NodeSelf:
    """Who this node is. `sign`: 32 bytes by its account's key, always the same of the same bytes, or None where that key is not on
    this machine; `privates`: those of its box keys, the newest first; `derive`: of its account's secrets, None where they are not
    on this machine."""

    me: bytes
    chain_id: bytes
    rng: Callable[[int], bytes]
    sign: Callable[[bytes], bytes] | None
    privates: Callable[[], Iterable[bytes]]
    derive: Derive | None = None


class FedMachine:
    """One of the parts that a node may have. After every input but `Chain` the driver gives `Chain` again."""

    name = ""

    def handle(self, given: FedInput) -> list[FedEffect]:
        before = self.book
        effects = list(self.respond(given))
        return effects if self.book == before else [KeepBook(self.name, encode(self.book)), *effects]

    @property
    def book(self) -> Wire:
        """What a new machine is made of that goes on where this one ended."""
        raise NotImplementedError

    def respond(self, given: FedInput) -> Iterable[FedEffect]:
        raise NotImplementedError

    def notices(self) -> list[Notice]:
        """What the operator should know."""
        return []
