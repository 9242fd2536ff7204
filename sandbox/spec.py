"""What goes into a run and what comes out of it. Frozen data, shared by every module of the sandbox and its users."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from learningchain.sandbox.data import DataSet, KnownSet, KnownSets, OwnData
from learningchain.sandbox.phases import LONGEST_S, PHASES, SETS, PhaseRow
from learningchain.sandbox.results import Evaluated

MIB = 1 << 20
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*=[A-Za-z0-9][A-Za-z0-9._:-]*")
MAX_DEVICES, _DEVICE_CAP = 8, 255
"""Devices of one run, and characters of a name."""
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


def is_image_id(text: str) -> bool:
    """True for "sha256:" and 64 lower-case hex digits."""
    return _IMAGE_ID.fullmatch(text) is not None


def is_device(text: str) -> bool:
    """True for the name of one device as the Container Device Interface has it: VENDOR/CLASS=NAME, and not all of a class."""
    return len(text) <= _DEVICE_CAP and _DEVICE.fullmatch(text) is not None and not text.endswith("=all")


def _require(ok: bool, text: str) -> None:
    if not ok:
        raise ValueError(text)


class ContainerLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one container may use. Raises ValueError for a limit that no engine could keep."""

    cpus: float = 1.0
    mem_mb: int = 512
    """Memory in MiB, swap included; /tmp and /lc/out lie in memory and count."""
    pids: int = 128
    model_cap: int = 16 * MIB
    """Largest model in bytes."""
    tmp_mb: int = 64
    tmp_inodes: int = 16384
    log_cap: int = 4 * MIB
    """Bytes of output after which the run is killed."""
    file_cap: int = 256 * MIB
    """Largest single file in bytes (RLIMIT_FSIZE)."""
    nofile: int = 1024
    wall_s: float = 600.0
    processors: int = 0
    """How many of the machine's processors the container may run on, the first ones; 0, as in every job: on all of them, `cpus` of
    their time. For whoever tries out an image: its program sees and counts these alone."""

    def __post_init__(self) -> None:
        _require(0.01 <= self.cpus <= 1024, f"cpus must lie between 0.01 and 1024, not {self.cpus}")
        _require(16 <= self.mem_mb <= 1 << 24, f"mem_mb must be at least 16, not {self.mem_mb}")
        _require(8 <= self.pids <= 1 << 20, f"pids must be at least 8, not {self.pids}")
        _require(1 <= self.model_cap <= 1 << 40, f"model_cap must be at least 1 byte, not {self.model_cap}")
        _require(1 <= self.tmp_mb <= 1 << 24, f"tmp_mb must be at least 1, not {self.tmp_mb}")
        _require(16 <= self.tmp_inodes <= 1 << 24, f"tmp_inodes must be at least 16, not {self.tmp_inodes}")
        _require(1024 <= self.log_cap <= 1 << 30, f"log_cap must be at least 1024 bytes, not {self.log_cap}")
        _require(self.model_cap <= self.file_cap <= 1 << 41, "file_cap must be at least model_cap")
        _require(16 <= self.nofile <= 1 << 20, f"nofile must be at least 16, not {self.nofile}")
        _require(0 <= self.processors <= 1024, f"processors must be at most 1024, not {self.processors}")
        _require(0 < self.wall_s <= LONGEST_S, f"wall_s must lie between 0 and 30 days, not {self.wall_s}")


class ImageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an image may weigh before it is loaded; if nothing is said, as much as a node takes whose owner said nothing else."""

    archive_bytes: int = 4096 * MIB
    """The docker-archive, or what a registry sends."""
    unpacked_bytes: int = 12_288 * MIB
    files: int = 200_000
    layers: int = 64


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of one image. Raises ValueError where a field is out of its range."""

    run_id: str
    image_id: str
    phase: str
    """A row of `PHASES`."""
    budget_s: int
    seed: int | None = None
    """64 bits, unsigned; for a phase with seeds (`PhaseRow.seeded`), and for no other."""
    threads: int = 1
    params: str = "{}"
    """The job's parameters as posted: the text of one JSON object."""
    limits: ContainerLimits = ContainerLimits()
    inputs: Mapping[str, Path | DataSet | OwnData | KnownSets] = msgspec.field(default_factory=dict)
    """What the job finds in /lc/in beside job.json, by name, as the phase's row has them."""
    devices: tuple[str, ...] = ()
    """Devices of the machine that the container gets and others do not, by their names (`is_device`), in order."""
    stays: bool = False
    """Whether it may outlive its node: one that comes back in time goes on with it. For a run that `may_stay`."""

    def __post_init__(self) -> None:
        _require(_RUN_ID.fullmatch(self.run_id) is not None, f"run_id {self.run_id!r} is not of the form [a-z0-9-]+")
        _require(is_image_id(self.image_id), f"image_id {self.image_id!r} is not sha256:<64 hex digits>")
        _require(self.phase in PHASES, f"unknown phase {self.phase!r}")
        folders = {name: isinstance(given, DataSet | OwnData | KnownSets) for name, given in self.inputs.items()}
        self.row.check_inputs(folders, {name for name, given in self.inputs.items() if isinstance(given, OwnData)})
        _require(self.limits.wall_s <= self.row.longest_s, f"wall_s must lie within {self.row.longest_s:g} s in this phase")
        _require(not self.stays or self.may_stay, "a run with devices, or inputs but data sets, does not outlive its node")
        _require(not self.devices or self.row.devices, f"phase {self.phase!r} has no devices")
        distinct = sorted(set(self.devices)) == list(self.devices) and len(self.devices) <= MAX_DEVICES
        _require(distinct and all(map(is_device, self.devices)), f"no run can have the devices {list(self.devices)}")
        _require((self.seed is not None) == self.row.seeded, f"phase {self.phase!r} has {'a' if self.row.seeded else 'no'} seed")
        _require(0 <= (self.seed or 0) < 1 << 64, "seed must be an unsigned number of 64 bits")
        _require(0 < self.budget_s <= 30 * 86400, "budget_s must lie between 1 second and 30 days")
        _require(1 <= self.threads <= 1024, "threads must lie between 1 and 1024")
        _require(len(self.params) <= 64 * 1024, "params must not exceed 64 KiB")

    @property
    def row(self) -> PhaseRow:
        return PHASES[self.phase]

    @property
    def may_stay(self) -> bool:
        """Nothing but data sets, which the engine keeps on its disk, and nobody can change there; and no devices."""
        return not (self.row.waits or self.devices) and all(
            isinstance(given, DataSet | KnownSets) for given in self.inputs.values()
        )


def on_disk(name: str, data: DataSet) -> list[DataSet]:
    """A run's data set of this name as it lies on the engine: a published one for itself, which other jobs with it use too."""
    return [part.below(name) for part in (data.parts() if name == SETS else [data])]


def known(spec: RunSpec) -> RunSpec:
    """A run, with its data sets by their hashes alone."""

    def sets(name: str, given: Any) -> KnownSets:
        if isinstance(given, DataSet):
            return KnownSets(tuple(KnownSet(part.digest, part.size) for part in on_disk(name, given)))
        return msgspec.convert(given, KnownSets)

    inputs = {name: given if isinstance(given, Path) else sets(name, given) for name, given in spec.inputs.items()}
    return msgspec.structs.replace(spec, inputs=inputs)


def dump_run(spec: RunSpec) -> bytes:
    """A run as text that `load_run` reads, without its files: the same from a newer program that knows more fields, at their
    defaults."""
    fields = msgspec.to_builtins(known(spec), enc_hook=lambda path: None)
    if inputs := {name: given for name, given in fields.pop("inputs", {}).items() if given is not None}:
        fields["inputs"] = inputs
    return msgspec.json.encode(fields)


def load_run(text: bytes, files: Mapping[str, Path] | None = None) -> RunSpec:
    """The run, with its data sets by their hashes, and these files. Raises ValueError."""
    fields = msgspec.json.decode(text, type=dict[str, Any])
    inputs = {**msgspec.convert(fields.get("inputs", {}), dict[str, KnownSets]), **(files or {})}
    return RunSpec(**fields | {"limits": msgspec.convert(fields.get("limits", {}), ContainerLimits), "inputs": inputs})


class Outcome(Enum):
    """What the end of an evaluation says, as a vote has it (LC-LOSS-17, 18 for the file of losses)."""

    MEASURED = "measured"
    INVALID = "invalid"
    """The model cannot be evaluated."""
    BROKEN = "broken"
    """The container did not end as the contract says. Whoever runs it anew sees the same, so far as the program repeats itself."""
    TROUBLE = "trouble"
    """This machine's own trouble: it says nothing of the model."""


class AnswerOutcome(Enum):
    """What the end of a prediction says, as an answer has it (LC-ANS-7)."""

    OK = "ok"
    BAD_INPUT = "bad-input"
    """The image says that the input does not fit."""
    FAULT = "fault"
    """The image says that its model is of no use, or did not end as the contract says."""
    OVERRUN = "overrun"
    """Memory or time did not suffice."""
    ABSTAIN = "abstain"
    """It cannot be run here, or it is this machine's own trouble: it says nothing of the model."""


class RunStatus(Enum):
    """How a run ended."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    """Exit 64: the image does not know this phase or these parameters."""
    MODEL_INVALID = "model-invalid"
    """Exit 65, or losses that no vote can say: the model cannot be evaluated; the claim fails."""
    OUT_OF_RESOURCES = "out-of-resources"
    """Exit 75, or killed for memory."""
    FAILED = "failed"
    """Any other exit, or killed for flooding the log."""
    INPUT_REFUSED = "input-refused"
    """They do not fit: exit 66 in a phase with late inputs, or an answer that names a row."""
    BAD_RESULT = "bad-result"
    """Exit 0, but what it left breaks the contract."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ENGINE_ERROR = "engine-error"
    NOT_STARTED = "not-started"
    """No container can be started for this posting, here at least."""

    @property
    def outcome(self) -> Outcome:
        """Of an evaluation that ended so."""
        return _OUTCOMES.get(self, Outcome.BROKEN)

    @property
    def answer(self) -> AnswerOutcome:
        """Of a prediction that ended so."""
        return _ANSWERS.get(self, AnswerOutcome.FAULT)


_OUTCOMES = {
    RunStatus.OK: Outcome.MEASURED,
    RunStatus.MODEL_INVALID: Outcome.INVALID,
    RunStatus.CANCELLED: Outcome.TROUBLE,
    RunStatus.ENGINE_ERROR: Outcome.TROUBLE,
    RunStatus.NOT_STARTED: Outcome.TROUBLE,
}
"""The container's other ends, whatever they are, are BROKEN."""
_ANSWERS = {
    RunStatus.OK: AnswerOutcome.OK,
    RunStatus.INPUT_REFUSED: AnswerOutcome.BAD_INPUT,
    RunStatus.OUT_OF_RESOURCES: AnswerOutcome.OVERRUN,
    RunStatus.TIMEOUT: AnswerOutcome.OVERRUN,
    RunStatus.UNSUPPORTED: AnswerOutcome.ABSTAIN,
    RunStatus.CANCELLED: AnswerOutcome.ABSTAIN,
    RunStatus.ENGINE_ERROR: AnswerOutcome.ABSTAIN,
    RunStatus.NOT_STARTED: AnswerOutcome.ABSTAIN,
}
"""The container's other ends, whatever they are, are FAULT."""


class OutputFile(msgspec.Struct, frozen=True):
    """A file that a job left, which now belongs to the caller."""

    path: Path
    size: int
    sha256: bytes


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    status: RunStatus
    reason: str
    """For people: what happened and why. Contains no output of the job."""
    result: object = None
    """What the row's reader made of the output that is read; `Evaluated` in `evaluate` and `local`, `ParsedAnswer` in `predict`,
    or the `UnfitRow` for which it refused its input."""
    outputs: Mapping[str, OutputFile] = msgspec.field(default_factory=dict)
    """The outputs that the row says are kept, by name; all of them where the status is OK, else none."""
    exit_code: int | None = None
    wall_s: float = 0.0
    log_tail: str = ""
    """The last few KiB of the job's output, control characters replaced."""
    left: bool = False
    """Whether it goes on, without this node: `Backend.leave`."""
    lost: bool = False
    """Whether its machine went away with it: how it ended says nothing of the job."""

    @property
    def loss(self) -> int | None:
        """The mean of the losses in units of 1e-9, rounded up, where the run measured them."""
        return self.result.measurement.mean if isinstance(self.result, Evaluated) else None


class Check(msgspec.Struct, frozen=True):
    """What was tried, such as a limit, and whether it was as it must be."""

    name: str
    ok: bool
    detail: str


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine that answered."""

    version: str
    api_version: str
    architecture: str
    runtimes: tuple[str, ...]
    cpus: int
    mem_mb: int
    rootless: bool
    folder: str = ""
    """Where on its machine it keeps images."""
    device_folders: tuple[str, ...] = ()
    """Where on its machine it looks for what devices are (CDI); none: it gives none by name."""
    devices: tuple[Check, ...] = ()
    """Of each device that the owner offers, by its name: whether all that it brings into a container is known. No run tried it."""
    context: str = ""
    """The context of the command `docker` that led to it; empty where it was named, or is at its usual place."""
    whole_processors: bool = False
    """Whether it keeps its containers to its own processors, all of them, and none to a share of these."""


class SelfTestReport(msgspec.Struct, frozen=True):
    """What the self-test proved on this engine with this runtime."""

    runtime: str
    checks: tuple[Check, ...]
    devices: tuple[Check, ...] = ()
    """Of each device that the owner offers, by its name: whether a run that asked for it got it, and nothing else. One that failed
    is given to no run, and takes nothing from the others."""

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)


class CleanupReport(msgspec.Struct, frozen=True):
    """How many objects a clean-up removed, what it could not remove, and the ids of the images that stay because they were asked
    to."""

    containers: int
    volumes: int
    images: int
    problems: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    """Of the runs that were to be kept, those that are: `Backend.run` goes on with them."""
    lost_runs: tuple[str, ...] = ()
    """Those that ended while nobody was there to take what they left."""
