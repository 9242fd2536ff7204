"""What goes into a work machine and what comes out of it: the same data for the machines of every contract. Frozen.

A `ref` is whatever the contract works on: the id of a job, a request, a federation. What belongs to a ref (images, pins, secrets,
attempts) goes when a machine says `Forget`. Answers go to the machine that asked, those about images and intents to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from learningchain.chain.host import Reader
from learningchain.chain.host.terms import Arch
from learningchain.chain.losses import Measurement, Opening, Probe
from learningchain.client.work.slots import MachineShare
from learningchain.sandbox import AnswerForm, DataSet, OwnData, RunSpec, RunStatus


@dataclass(frozen=True)
class Model:
    """A model file of this node: `cid` is its binary name in the content store, also before it is published."""

    path: Path
    cid: bytes
    size: int


@dataclass(frozen=True)
class Secret:
    """What this node must not forget, and nobody else may know yet: a record in the work database.

    `kind` begins with the contract's name. `path`: a file of this node that lives as long as the record. `keep_ms`: how long the
    record is kept though its ref is forgotten; 0: it goes with its ref, and one without a ref stays.
    """

    kind: str
    key: bytes
    ref: bytes
    blob: bytes
    path: Path | None = None
    keep_ms: int = 0


@dataclass(frozen=True)
class Notice:
    """What the operator of this node should know now: it stands in the status as long as the machine says it, and in the log when
    it comes. `topic` names its kind, `ref` what it is about, `text` says what, why and what to do."""

    topic: str
    ref: bytes
    text: str


RECENT_MS = 120_000
"""Wall clock: how old the last block of a node may be that is not behind."""

# --- inputs --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """The committed state now. `clock`: the chain clock; `busy`: another machine has a duty that waits for a run or runs."""

    reader: Reader
    clock: int
    busy: bool = False
    complete: bool = True
    """Everything that lives was told (`Changed`)."""
    held: frozenset[bytes] = frozenset()
    """Refs for which this node holds an image, pins or losses, and which are not being forgotten."""
    recent: bool = True
    """The last block is not older than `RECENT_MS` and a few heartbeats: this node is not behind."""
    room: MachineShare | None = None
    """What trainings that start now may take together, beside the models that this node serves; None: whatever they ask for."""
    elsewhere: int = 0
    """Trainings that would begin now on other computers of the owner's: what keeps this one busy holds up none of them."""
    evaluators: int = 1
    """Computers that may evaluate, this one and others that the owner trusts with it."""
    used: Callable[[int], str] = lambda _: ""
    """Why this machine is in use, to those whose owner wants it left alone for so many minutes after; empty where it is not."""


@dataclass(frozen=True)
class Changed:
    """Keys of the state that blocks changed, of those that the contract watches. `anew`: what was told before counts no more."""

    reader: Reader
    keys: tuple[bytes, ...]
    anew: bool = False

    def under(self, prefix: bytes) -> tuple[bytes, ...]:
        """What follows the prefix, of each key that begins with it."""
        return tuple(key[len(prefix) :] for key in self.keys if key.startswith(prefix))


@dataclass(frozen=True)
class ImageReady:
    """The image is on the engine, and on this disk what belongs to it: encrypted files, the sets by their names, and the model that
    trainings begin with."""

    ref: bytes
    image_id: str
    sets: Mapping[str, DataSet] = field(default_factory=dict)
    model: Path | None = None


@dataclass(frozen=True)
class ImageFailed:
    """`lasting`: the image breaks a rule, another try would end the same way."""

    ref: bytes
    reason: str
    lasting: bool


@dataclass(frozen=True)
class RunEnded:
    """A run is over; `status.outcome` says what the end of an evaluation means for a vote. `result`: what its phase's row makes of
    what it left, where it succeeded: of an evaluation the `Measurement` (`result.mean` is the loss), of several models at once a
    tuple of them, None of one that cannot be evaluated; never the losses themselves.

    With `StartRun.keep` a training's `model` is set, and an evaluation's losses are on this disk under the run's name, for
    `OpenLosses`. `excused`: where it is an ENGINE_ERROR, that says nothing of the job: its machine went away, or it had left a
    checkpoint, from which the next one goes on.
    """

    run: str
    status: RunStatus
    reason: str
    result: object = None
    model: Model | None = None
    excused: bool = False


def one_of_run(run: str, place: int) -> str:
    """The name under which the losses of one of the models are kept that a run of `evaluates` measured."""
    return f"{run}-{place}"


@dataclass(frozen=True)
class ContentReady:
    scope: str
    tag: str
    path: Path


@dataclass(frozen=True)
class ContentMissing:
    """It is not here in time. `local`: it was this node's own fault; `bad`: it is here, and what was promised of it is not so."""

    scope: str
    tag: str
    local: bool
    reason: str
    bad: bool = False


@dataclass(frozen=True)
class LossesOpened:
    """The answer to `OpenLosses`. `opening` is None where the losses are not on this disk, or are not those of the measurement;
    `reason` says which."""

    scope: str
    tag: str
    opening: Opening | None
    reason: str = ""


@dataclass(frozen=True)
class SecretStored:
    """A submitted message and its secret are on this disk. `secret` is the one that counts: the first of its kind and key stays."""

    secret: Secret


@dataclass(frozen=True)
class SecretRefused:
    """The disk refused: neither the message nor the secret counts. Told a little later, so that another try may follow at once."""

    secret: Secret


@dataclass(frozen=True)
class Settled:
    """A submitted message stands on the ledger, or never will."""

    kind: str
    key: str
    ref: bytes


@dataclass(frozen=True)
class EngineReady:
    """The sandbox proved its limits: what its machine has. `arch` None: another one than jobs can ask for."""

    arch: Arch | None
    cpus_milli: int
    mem_mb: int
    devices: frozenset[str] = frozenset()
    """Those that the owner offers and that runs got when it was tried."""


@dataclass(frozen=True)
class Kept:
    """A secret that a user handed to this node is in the database."""

    secret: Secret


@dataclass(frozen=True)
class NotPublished:
    """The file could not be put into the content store. Told a little later, so that another try may follow at once."""

    ref: bytes
    cid: str


@dataclass(frozen=True)
class ModelWarm:
    """A container of the model waits for a request: for the first time, or again after `ModelFailed`; or what kept one from it was
    this machine's trouble, which is over."""

    model: bytes


@dataclass(frozen=True)
class ModelFailed:
    """No container of the model gets ready. `lasting`: none ever will with these terms and settings, and it is not served; else it
    is tried again, ever more rarely, and for each request."""

    model: bytes
    reason: str
    lasting: bool


@dataclass(frozen=True)
class Computed:
    """A task is done. `result`: as the task's own docstring says."""

    scope: str
    tag: str
    result: Any


@dataclass(frozen=True)
class ComputeFailed:
    """It cannot be done with these files; `reason` for people."""

    scope: str
    tag: str
    reason: str


@dataclass(frozen=True)
class PeerSaid:
    """What an account told this node on a slice's channel, as the slice reads it (`WorkPart.hears`). The connection proves who."""

    sender: bytes
    message: Any


Input = (
    Chain
    | Changed
    | ImageReady
    | ImageFailed
    | RunEnded
    | ContentReady
    | ContentMissing
    | LossesOpened
    | SecretStored
    | SecretRefused
    | Settled
    | EngineReady
    | Kept
    | NotPublished
    | ModelWarm
    | ModelFailed
    | Computed
    | ComputeFailed
    | PeerSaid
)


# --- effects -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WantedSet:
    """A published data set as the ledger names it: the name of its folder, the CID of its manifest, bytes and number of files."""

    name: str
    cid: str
    size: int
    files: int


@dataclass(frozen=True)
class WantedImage:
    """An image as the ledger names it, and the encrypted files, data sets and model that its runs may need.

    `cid` (text) of an archive, empty for an image of a registry; `image_id` as the engine names it, empty where none was promised.
    Sizes in bytes: `size` as posted, `packed` and `unpacked` what this node allows.
    """

    reference: str
    cid: str
    image_id: str
    size: int
    packed: int
    unpacked: int
    files: tuple[tuple[str, int], ...] = ()
    """(CID, size)."""
    sets: tuple[WantedSet, ...] = ()
    model: tuple[str, int] | None = None
    """(CID, size) of the model that trainings begin with."""

    @property
    def contents(self) -> list[str]:
        """The CIDs of all that is fetched for it; of a data set that of its list, which comes first."""
        named = [cid for cid, _ in self.files] + [one.cid for one in self.sets] + [self.model[0] if self.model else ""]
        return [cid for cid in (self.cid, *named) if cid]


@dataclass(frozen=True)
class BringImage:
    """Bring an image onto the engine and what belongs to it onto the disk; answered by ImageReady or ImageFailed. `urgent`: a duty
    waits. `holder`: the account that has it first of all."""

    ref: bytes
    image: WantedImage
    urgent: bool = False
    holder: bytes = b""


@dataclass(frozen=True)
class ReleaseImage:
    """This machine needs the ref's image no more though the ref goes on: it makes room, where no other machine needs it."""

    ref: bytes


@dataclass(frozen=True)
class Attempt:
    """A numbered try that is used up by every end of its run but a fault of the engine. `first`: this run begins it."""

    kind: str
    number: int
    first: bool


class LateInputRefused(Exception):
    """What a run was to get is not what was promised: the run ends with this as its result, and no container sees it."""


class LateInputs(Protocol):
    """What a run of a phase with late inputs gets when it is ready."""

    @property
    def form(self) -> AnswerForm:
        """What its answer must look like."""
        ...

    @property
    def wall_s(self) -> float:
        """How long it may take from then on, in seconds."""
        ...

    def given(self) -> Mapping[str, bytes]:
        """Each of them, by name; reads files, so it is called in a thread. Raises LateInputRefused, OSError."""
        ...


OnOwnData = Callable[[Mapping[str, OwnData]], RunSpec | str]


@dataclass(frozen=True)
class StartRun:
    """Answered by RunEnded. `spec`: a text where no container can be started, and why; or what makes either of the owner's own data
    by their names, which are looked up when it starts. `shown` is how people see the run: its phase
    and a number. `keep`: a training's output becomes a model of this node; an evaluation's losses are on this disk, 8 bytes each,
    before RunEnded comes, and stay until the ref is forgotten or `DropLosses` names the run, also over a restart.

    `late`: what a run of a phase with late inputs gets; its spec names none of them. `warm`: the model of which a container is to
    answer that waits for a request (`KeepWarm`), and `wait_s` how many seconds to wait for one; for a model that is not kept warm a
    container of `spec` is started."""

    run: str
    ref: bytes
    spec: RunSpec | str | OnOwnData
    shown: tuple[str, int]
    attempt: Attempt | None = None
    keep: bool = False
    late: LateInputs | None = None
    warm: bytes = b""
    wait_s: float = 60.0


@dataclass(frozen=True)
class Kill:
    run: str
    reason: str


@dataclass(frozen=True)
class FetchContent:
    """Fetch content until `until` on the chain clock, and pin it for the ref; answered by ContentReady or ContentMissing. `pin`:
    the first word of the reason. Where that is private, the contract says who may have it (`WorkPart.may_have`). `holder`:
    the account that has it first of all."""

    scope: str
    tag: str
    ref: bytes
    cid: str
    max_size: int
    until: int
    pin: str
    holder: bytes = b""


@dataclass(frozen=True)
class Decrypt:
    """Fetch an encrypted file and decrypt it to a file that lives as long as the scope; answered by ContentReady or ContentMissing
    (`bad`: the key opens junk). `holder`: the account that has it first of all."""

    scope: str
    tag: str
    cid: str
    size: int
    plain_hash: bytes
    key: bytes
    until: int
    holder: bytes = b""


@dataclass(frozen=True)
class EndScope:
    """Nothing of this scope is needed any more: its fetches stop and what was decrypted for it goes."""

    scope: str


@dataclass(frozen=True)
class OpenLosses:
    """Build the tree over the kept losses of a run and open what the probe asks for; answered by LossesOpened. 2^20 losses take
    2 s, in a thread of their own. `measured`: what the run measured (`RunEnded.result`): losses that give another are not opened.

    Ref and run name the file, so whoever remembers them can open it after a restart.
    """

    scope: str
    tag: str
    ref: bytes
    run: str
    measured: Measurement
    probe: Probe


@dataclass(frozen=True)
class DropLosses:
    """Nobody opens the losses of this run any more."""

    ref: bytes
    run: str


@dataclass(frozen=True)
class Submit:
    """Have a message on the ledger, once, whatever happens to this node. A key of the kind that is known already changes nothing.

    What becomes of it, and until when it makes sense, says the contract (`WorkPart.ledger_statuses`). `secret` is in the database
    with it or neither is, before the message leaves the node: answered by SecretStored or SecretRefused. `needs`: not sent where
    this file is gone.
    """

    kind: str
    key: str
    ref: bytes
    op: Any
    secret: Secret | None = None
    needs: Path | None = None


@dataclass(frozen=True)
class KeepSecret:
    """Have a secret in the database without a message; answered by SecretStored (the first of its key) or SecretRefused."""

    secret: Secret


@dataclass(frozen=True)
class DropSecret:
    """A secret that opens nothing any more; its file goes with it."""

    kind: str
    key: bytes


@dataclass(frozen=True)
class DropFile:
    """A file of this node that no secret names."""

    path: Path


@dataclass(frozen=True)
class PublishFile:
    """Serve a file of this node until the ref is forgotten: to everybody or, where `pin`, the first word of the reason for which it
    is pinned, is private, to whom the contract says (`WorkPart.may_have`). `cid` is its name; NotPublished if it fails."""

    ref: bytes
    cid: str
    path: Path
    pin: str


@dataclass(frozen=True)
class Pin:
    """Keep content for a ref: until it is forgotten, or for a time (wall clock) though it is."""

    ref: bytes
    cid: str
    reason: str
    ms: int = 0


@dataclass(frozen=True)
class Unpin:
    ref: bytes
    reason: str


@dataclass(frozen=True)
class Keep:
    """Content that stays for `ms` milliseconds (wall clock) though its ref is over, where it is pinned as `pinned` until then; from
    now on as `pin`. Without a CID, all that is pinned so for the ref: where nobody can tell any more which of it is owed."""

    cid: str
    ms: int
    pinned: str
    pin: str


@dataclass(frozen=True)
class Forget:
    """The ref is over: give up its image, pins, secrets, attempts, files. `keep`: what stays."""

    ref: bytes
    keep: tuple[Keep, ...] = ()


@dataclass(frozen=True)
class KeepWarm:
    """Have containers of a model wait for requests, until `LetCool`: runs of `spec`, of a phase with late inputs, whose name theirs
    begin with. `StartRun.warm` hands one of them a request. Its image must be on the engine, its files stay where they are. Told by
    ModelWarm and ModelFailed."""

    model: bytes
    spec: RunSpec


@dataclass(frozen=True)
class LetCool:
    """The model is served no more. Requests that wait for a container end with NOT_STARTED."""

    model: bytes


@dataclass(frozen=True)
class KeepBook:
    """Have this on the disk, in the place of what stood there (`Recalled.books`); what was said after it waits for that, so nothing
    leaves this node that it could forget."""

    name: str
    blob: bytes


@dataclass(frozen=True)
class Compute:
    """Do a task of the slice (`WorkPart.tasks`) in another process; answered by Computed or ComputeFailed. A file that it makes
    lies in a folder of this node until `StopServing`, `DropFile`, or a start at which no book names it."""

    scope: str
    tag: str
    ref: bytes
    task: Any


SERVED: Final = "fed-file"
"""Why a file that `ServeFile` names is pinned."""


@dataclass(frozen=True)
class ServeFile:
    """Serve a file to these accounts alone (none: to everybody) until `StopServing`, or until the ref is forgotten."""

    ref: bytes
    cid: bytes
    path: Path
    peers: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class StopServing:
    """Serve a file no more, and delete it. `path`: where one lies that may never have been served."""

    ref: bytes
    cid: bytes
    path: Path | None = None


@dataclass(frozen=True)
class SendPeer:
    """Tell an account something on the slice's channel, once, as far as it can be reached."""

    channel: int
    to: bytes
    payload: bytes


@dataclass(frozen=True)
class RefFaulted:
    """A part failed at a ref (empty: at none in particular). What it said before, and of the others, stands."""

    ref: bytes
    fault: Exception


Effect = (
    BringImage
    | ReleaseImage
    | StartRun
    | Kill
    | FetchContent
    | Decrypt
    | EndScope
    | OpenLosses
    | DropLosses
    | Submit
    | KeepSecret
    | DropSecret
    | DropFile
    | PublishFile
    | Pin
    | Unpin
    | Forget
    | KeepWarm
    | LetCool
    | KeepBook
    | Compute
    | ServeFile
    | StopServing
    | SendPeer
    | RefFaulted
)


def take(effects: list[Any], ref: bytes, said: Iterable[Any]) -> bool:
    """Add what a part says of one ref; false where it fails at that. It notes what it says, so that what came before counts."""
    try:
        for effect in said:
            effects.append(effect)
    except Exception as fault:
        effects.append(RefFaulted(ref, fault))
        return False
    return True


def lazily(say: Callable[..., Iterable[Any]], *given: Any) -> Iterator[Any]:
    """What a part says, asked for only when it is taken."""
    yield from say(*given)
