"""What goes into the worker's and the verifier's machines and what comes out of them. Frozen data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.contracts.job.messages import Ballot
from chain.host import Reader
from sandbox import Status


@dataclass(frozen=True)
class Model:
    """A model file of this node: `cid` is its binary name in the content store, also before it is published."""

    path: Path
    cid: bytes
    size: int


# --- inputs --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """The committed state now. `clock`: the chain clock; `busy`: an evaluation for a committee waits or runs."""

    reader: Reader
    clock: int
    busy: bool = False
    complete: bool = True
    """Every live job was told (`Moved`): only then is the best-paying one known."""


@dataclass(frozen=True)
class Moved:
    """Jobs whose record blocks changed, and contractors whose past they changed. `anew`: what was told before counts no more."""

    reader: Reader
    jobs: tuple[bytes, ...]
    contractors: tuple[bytes, ...] = ()
    anew: bool = False


@dataclass(frozen=True)
class ImageReady:
    """The job's image is on the engine, and its encrypted hidden data, where it has any, on this disk."""

    job: bytes
    image_id: str


@dataclass(frozen=True)
class ImageFailed:
    """`lasting`: the image breaks a rule, another try would end the same way."""

    job: bytes
    reason: str
    lasting: bool


@dataclass(frozen=True)
class RunEnded:
    """A run is over. `model` is set after a training that succeeded."""

    run: str
    status: Status
    reason: str
    loss: int | None = None
    probe_loss: int | None = None
    model: Model | None = None


@dataclass(frozen=True)
class ClaimStored:
    """A claim is on this disk: from now on its model can be revealed."""

    job: bytes
    commitment: bytes


@dataclass(frozen=True)
class ClaimSettled:
    """A claim stands on the ledger, or never will."""

    job: bytes


@dataclass(frozen=True)
class PublishFailed:
    """The model could not be put into the content store; it is tried again."""

    job: bytes


Seat = tuple[bytes, int, int]
"""(job, audit, round): one duty of a verifier."""


@dataclass(frozen=True)
class ModelReady:
    seat: Seat
    index: int
    path: Path


@dataclass(frozen=True)
class ModelMissing:
    """Nobody served the candidate's model in time; `local`: it was this node's own fault."""

    seat: Seat
    index: int
    local: bool
    reason: str


@dataclass(frozen=True)
class HiddenReady:
    """The hidden data were decrypted to `path`; `bad`: the key opens junk; neither: this node does not have the file."""

    seat: Seat
    path: Path | None
    bad: bool
    reason: str = ""


Input = (
    Chain
    | Moved
    | ImageReady
    | ImageFailed
    | RunEnded
    | ClaimStored
    | ClaimSettled
    | PublishFailed
    | ModelReady
    | ModelMissing
    | HiddenReady
)


# --- effects -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FetchImage:
    """Bring the job's image onto the engine and its hidden data onto the disk; answered by ImageReady or ImageFailed. `urgent`: a
    seat needs it."""

    job: bytes
    urgent: bool = False


@dataclass(frozen=True)
class StartTrain:
    run: str
    job: bytes
    attempt: int
    seed: int
    image_id: str
    wall_s: float


@dataclass(frozen=True)
class StartSelfCheck:
    """Evaluate this node's own model, with a probe of its choice, before anything is claimed."""

    run: str
    job: bytes
    attempt: int
    model: Model
    probe: int
    image_id: str
    wall_s: float


@dataclass(frozen=True)
class SubmitClaim:
    """Store model, salt and commitment durably, then claim."""

    job: bytes
    attempt: int
    loss: int
    model: Model


@dataclass(frozen=True)
class Reveal:
    """Open the standing claim; `claim` is its number on the ledger."""

    job: bytes
    claim: int
    commitment: bytes


@dataclass(frozen=True)
class Publish:
    """Serve the model of the standing claim: it is under audit."""

    job: bytes
    commitment: bytes


@dataclass(frozen=True)
class DropModel:
    """A model that will not be claimed, or whose claim was replaced (`commitment`)."""

    model: Model | None
    commitment: bytes = b""


@dataclass(frozen=True)
class RevealKey:
    job: bytes
    key_hash: bytes


@dataclass(frozen=True)
class Kill:
    run: str
    reason: str


@dataclass(frozen=True)
class Cleanup:
    """The job is over: give up image, pins and files. `won`: this node's model was bought and stays available."""

    job: bytes
    won: bool


@dataclass(frozen=True)
class LetGo:
    """Nothing more is trained for a job that goes on: its image and hidden data make room, where no seat needs them."""

    job: bytes


@dataclass(frozen=True)
class FetchModel:
    """Fetch a candidate's model until `until` on the chain clock; answered by ModelReady or ModelMissing."""

    seat: Seat
    index: int
    cid: str
    max_size: int
    until: int


@dataclass(frozen=True)
class OpenHidden:
    """Decrypt the hidden data with the revealed key; answered by HiddenReady."""

    seat: Seat
    cid: str
    size: int
    plain_hash: bytes
    key: bytes
    until: int


@dataclass(frozen=True)
class StartEvaluate:
    run: str
    seat: Seat
    index: int
    model: Path
    eval_file: Path | None
    seed: int
    probe: int
    image_id: str
    wall_s: float


@dataclass(frozen=True)
class CommitBallots:
    """Store the ballots with a fresh salt durably, then commit them. `claimants` in the order of the ballots."""

    seat: Seat
    ballots: tuple[Ballot, ...]
    claimants: tuple[bytes, ...]


@dataclass(frozen=True)
class OpenBallots:
    seat: Seat
    commitment: bytes


@dataclass(frozen=True)
class SeatDone:
    """The duty is over: models and decrypted data of this seat are no longer needed."""

    seat: Seat


@dataclass(frozen=True)
class Judge:
    """Confirm the ban of somebody whose model this node measured as false."""

    account: bytes
    job: bytes


@dataclass(frozen=True)
class Stumbled:
    """A part failed at a job (empty: at none in particular). What it said before, and of the others, stands."""

    job: bytes
    fault: Exception


Effect = (
    FetchImage
    | StartTrain
    | StartSelfCheck
    | SubmitClaim
    | Reveal
    | Publish
    | DropModel
    | RevealKey
    | Kill
    | Cleanup
    | LetGo
    | FetchModel
    | OpenHidden
    | StartEvaluate
    | CommitBallots
    | OpenBallots
    | SeatDone
    | Judge
    | Stumbled
)


def take(effects: list[Effect], job: bytes, said: Iterable[Effect]) -> bool:
    """Add what a part says of one job; false where it fails at that. It notes what it says, so that what came before counts."""
    try:
        for effect in said:
            effects.append(effect)
    except Exception as fault:
        effects.append(Stumbled(job, fault))
        return False
    return True


def lazily(say: Callable[..., Iterable[Effect]], *given: Any) -> Iterator[Effect]:
    """What a part says, asked for only when it is taken."""
    yield from say(*given)
