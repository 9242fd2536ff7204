"""What a job image may be called for: one row of `PHASES` for each phase of the container contract.

The runner, the sidecar and the results follow the row: which files a run must have in /lc/in and which it may have, whether it has
a seed, which files are taken out of /lc/out and up to what size, how long a run may last, and what the host reads of it. A new
phase is a new row and nothing else. What the row does not name is not put in, and never leaves the container.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import msgspec

from learningchain.sandbox.answers import MAX_ANSWER_BYTES, AnswerReader
from learningchain.sandbox.losses import MAX_LOSSES_BYTES
from learningchain.sandbox.results import EvaluationReader, EvaluationsReader, ResultReader

_MIB = 1 << 20
LONGEST_S = 30 * 86400.0
"""Seconds of wall clock beyond which no run of any phase goes."""
CONTRACT_VERSION = 2
"""Of the container contract: `v` in job.json, LC_VERSION."""
JOB_FILE = "job.json"
"""What the host itself puts beside the inputs."""
SETS = "sets"
"""The folder of a job's published data sets: each in a folder of its own, which has its name."""
CHECKPOINT = "checkpoint"
"""What a training may leave in /lc/out while it goes on, and finds in /lc/in where it goes on after its container was lost."""
CHECKPOINT_FOLD = 3
"""Largest checkpoint, in largest models: the weights, and two numbers of an optimiser for each of them."""
MAX_INPUT_BYTES = 8 * _MIB
"""Largest input of a request."""
_FILE = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_MAX_FILES = 8


class InputRow(msgspec.Struct, frozen=True):
    """A file, or a folder, of /lc/in."""

    name: str
    needed: bool = True
    folder: bool = False
    """A data set: many files below /lc/in/<name>, always on the engine's disk."""
    own: bool = False
    """A folder that is the owner's own data (`sandbox.data.OwnData`), which no other input takes."""
    late: bool = False
    """It comes when the job has said that it is ready: until then the run is warm, and waits."""
    cap: int = 0
    """Most bytes of a late one, for which room is kept."""


class OutputRow(msgspec.Struct, frozen=True):
    """A file of /lc/out: handed to the caller as it is, or read here."""

    name: str
    cap: int | None = None
    """Most bytes; None: as many as the run's limits allow a model."""
    read: Callable[[], ResultReader] | None = None
    """Makes what reads it, piece by piece and a byte beyond `cap`: what is too long is the reader's to say. None: the caller gets
    the file, hashed and unread, which must not be empty nor beyond `cap`. Where what is right depends on the late inputs, whoever
    hands them over brings a reader of his own."""
    like: str = ""
    """The input, a file, whose size it has to the byte: a program that may choose a size can say something by it."""


class PhaseRow(msgspec.Struct, frozen=True):
    """One row. Raises ValueError for names that may mean anything but one file of their folder, for no output, and where more than
    one is read."""

    inputs: tuple[InputRow, ...]
    outputs: tuple[OutputRow, ...]
    seeded: bool = False
    """Whether a run has a seed. One without gets the same bytes from everybody who runs it."""
    longest_s: float = LONGEST_S
    devices: bool = False
    """Whether a run may be given devices of the machine. What is evaluated has to come out the same everywhere."""
    checkpoints: bool = False
    """Whether a run may leave a checkpoint on its way, and be given one."""

    def __post_init__(self) -> None:
        for files in (self.inputs, self.outputs):
            names = [file.name for file in files]
            plain = all(map(_FILE.fullmatch, names)) and JOB_FILE not in names
            if not plain or len(set(names)) != len(names) or len(names) > _MAX_FILES:
                raise ValueError(f"a phase cannot have the files {names}")
        if not self.outputs or not 0 < self.longest_s <= LONGEST_S:
            raise ValueError("a phase needs an output, and an end within 30 days")
        if sum(output.read is not None for output in self.outputs) > 1:
            raise ValueError("of a phase's outputs one at most is read here")
        files_in = {file.name for file in self.inputs if file.needed and not file.folder and not file.late}
        if any(output.like not in files_in for output in self.outputs if output.like):
            raise ValueError("an output can be as long as a file that is always there, and as nothing else")
        if any(file.own and not file.folder for file in self.inputs):
            raise ValueError("the owner's data are a folder")

    @property
    def waits(self) -> bool:
        """Whether a run of it is warm before it runs: started, and without some of its inputs."""
        return any(file.late for file in self.inputs)

    @property
    def late_bytes(self) -> int:
        return sum(file.cap for file in self.inputs if file.late)

    def cap(self, output: OutputRow, model_cap: int) -> int:
        return model_cap if output.cap is None else output.cap

    def out_bytes(self, model_cap: int) -> int:
        """The size of /lc/out: each output or checkpoint and its successor beside it, as programs write that replace a file
        atomically."""
        outputs = sum(self.cap(output, model_cap) for output in self.outputs)
        return 2 * (outputs + self.checkpoint_cap(model_cap)) + _MIB

    def checkpoint_cap(self, model_cap: int) -> int:
        """Most bytes of a checkpoint; 0 where a run leaves none."""
        return CHECKPOINT_FOLD * model_cap if self.checkpoints else 0

    def check_inputs(self, given: Mapping[str, bool], own: Collection[str] = ()) -> None:
        """`given`: the names of a run's inputs, and whether each is a folder; `own`: those that are the owner's data. Raises
        ValueError for one too many or too few."""
        rows = {file.name: file for file in self.inputs}
        for name in given.keys() - rows.keys():
            raise ValueError(f"{name[:40]!r} is none of this phase's inputs ({', '.join(rows) or 'it has none'})")
        for name, row in rows.items():
            if row.needed and not row.late and name not in given:
                raise ValueError(f"this phase needs the input {name!r}")
            if name in given and given[name] != row.folder:
                raise ValueError(f"the input {name!r} must be a {'folder' if row.folder else 'file'}")
            if name in given and (name in own) != row.own:
                raise ValueError(f"the input {name!r} {'must be' if row.own else 'may never be'} the owner's own data")


PHASES: dict[str, PhaseRow] = {
    "train": PhaseRow(
        (InputRow("model", needed=False), InputRow(CHECKPOINT, needed=False), InputRow(SETS, needed=False, folder=True)),
        (OutputRow("model"),),
        seeded=True,
        devices=True,
        checkpoints=True,
    ),
    "evaluate": PhaseRow(
        (InputRow("model"), InputRow("eval", needed=False), InputRow(SETS, needed=False, folder=True)),
        (OutputRow("losses", MAX_LOSSES_BYTES, EvaluationReader),),
    ),
    "evaluates": PhaseRow(
        (InputRow("models"), InputRow("eval", needed=False)),
        (OutputRow("losses", MAX_LOSSES_BYTES, EvaluationsReader),),
    ),
    "predict": PhaseRow(
        (InputRow("model"), InputRow("request.json", late=True, cap=4096), InputRow("input", late=True, cap=MAX_INPUT_BYTES)),
        (OutputRow("answer", MAX_ANSWER_BYTES, AnswerReader),),
        seeded=True,
    ),
    "local": PhaseRow(
        (InputRow("model"), InputRow("data", folder=True, own=True)),
        (OutputRow("model", like="model"), OutputRow("losses", MAX_LOSSES_BYTES, EvaluationReader)),
        seeded=True,
    ),
}
"""The container contract (docs/sandbox.md), version 2: the phases of jobs, that of several models at once, that of models which are
asked, and that of training on the owner's own data, the only one that ever sees them."""
