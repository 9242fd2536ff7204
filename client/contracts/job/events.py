"""What goes into the worker's and the verifier's machines and what comes out of them, where it is of the job contract. Frozen data.

`work` beside this says it in the effects that every contract has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chain.contracts.job.messages import Ballot
from chain.host import Reader
from client.work.events import Chain, ImageFailed, ImageReady, JobFaulted, Kill, Model, ReleaseJob, RunEnded

# --- inputs --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobsChanged:
    """Jobs whose record blocks changed, and contractors whose past they changed. `anew`: what was told before counts no more."""

    reader: Reader
    jobs: tuple[bytes, ...]
    contractors: tuple[bytes, ...] = ()
    anew: bool = False


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


JobInput = (
    Chain
    | JobsChanged
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
class RevealClaim:
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
class RevealHiddenKey:
    job: bytes
    key_hash: bytes


@dataclass(frozen=True)
class Cleanup:
    """The job is over: give up image, pins and files. `won`: this node's model was bought and stays available."""

    job: bytes
    won: bool


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


JobEffect = (
    FetchImage
    | StartTrain
    | StartSelfCheck
    | SubmitClaim
    | RevealClaim
    | Publish
    | DropModel
    | RevealHiddenKey
    | Kill
    | Cleanup
    | ReleaseJob
    | FetchModel
    | OpenHidden
    | StartEvaluate
    | CommitBallots
    | OpenBallots
    | SeatDone
    | Judge
    | JobFaulted
)
