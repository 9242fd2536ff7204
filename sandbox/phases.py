"""What a job image may be called for: one row of `PHASES` for each phase of the container contract.

The runner, the sidecar and the results follow the row: which files a run must have in /lc/in and which it may have, which files are
taken out of /lc/out and up to what size, how long a run may last, and what the host reads of it. A new phase is a new row and
nothing else. What the row does not name is not put in, and never leaves the container.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from sandbox.results import RESULT_CAP, parse_result

_MIB = 1 << 20
LONGEST_S = 30 * 86400.0
"""Seconds of wall clock beyond which no run of any phase goes."""
JOB_FILE = "job.json"
"""What the host itself puts beside the inputs."""
_FILE = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_MAX_FILES = 8


class InputRow(msgspec.Struct, frozen=True):
    """A file, or a folder, of /lc/in."""

    name: str
    needed: bool = True
    folder: bool = False
    """A data set: many files below /lc/in/<name>, always on the engine's disk."""
    late: bool = False
    """It comes when the job has said that it is ready: until then the run is warm, and waits."""
    cap: int = 0
    """Most bytes of a late one, for which room is kept."""


class OutputRow(msgspec.Struct, frozen=True):
    """A file of /lc/out: handed to the caller as it is, or read here by the row's `parse`."""

    name: str
    cap: int | None = None
    """Most bytes; None: as many as the run's limits allow a model."""
    kept: bool = False
    """The caller gets the file, hashed and unread; it must not be empty. Else `parse` gets its bytes."""


class PhaseRow(msgspec.Struct, frozen=True):
    """One row. Raises ValueError for names that may mean anything but one file of their folder, and for no output."""

    inputs: tuple[InputRow, ...]
    outputs: tuple[OutputRow, ...]
    parse: Callable[[Mapping[str, bytes]], object]
    """Makes of the outputs that are not kept what the caller gets; raises `BadResult`. Pure, and ready for a stranger's bytes."""
    longest_s: float = LONGEST_S

    def __post_init__(self) -> None:
        for files in (self.inputs, self.outputs):
            names = [file.name for file in files]
            plain = all(map(_FILE.fullmatch, names)) and JOB_FILE not in names
            if not plain or len(set(names)) != len(names) or len(names) > _MAX_FILES:
                raise ValueError(f"a phase cannot have the files {names}")
        if not self.outputs or not 0 < self.longest_s <= LONGEST_S:
            raise ValueError("a phase needs an output, and an end within 30 days")

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
        """The size of /lc/out: all outputs, and never less than a model and its successor beside it, as programs write that replace
        a file atomically."""
        return max(2 * model_cap, sum(self.cap(output, model_cap) for output in self.outputs)) + _MIB

    def check_inputs(self, given: Mapping[str, bool]) -> None:
        """`given`: the names of a run's inputs, and whether each is a folder. Raises ValueError for one too many or too few."""
        rows = {file.name: file for file in self.inputs}
        for name in given.keys() - rows.keys():
            raise ValueError(f"{name[:40]!r} is none of this phase's inputs ({', '.join(rows) or 'it has none'})")
        for name, row in rows.items():
            if row.needed and not row.late and name not in given:
                raise ValueError(f"this phase needs the input {name!r}")
            if name in given and given[name] != row.folder:
                raise ValueError(f"the input {name!r} must be a {'folder' if row.folder else 'file'}")


def _result(*, need_probe: bool) -> Callable[[Mapping[str, bytes]], object]:
    return lambda outputs: parse_result(outputs["result.json"], need_probe=need_probe)


_RESULT = OutputRow("result.json", RESULT_CAP)

PHASES: dict[str, PhaseRow] = {
    "train": PhaseRow((), (_RESULT, OutputRow("model", kept=True)), _result(need_probe=False)),
    "evaluate": PhaseRow((InputRow("model"), InputRow("eval", needed=False)), (_RESULT,), _result(need_probe=True)),
    "selftest": PhaseRow((InputRow("data", folder=True),), (_RESULT, OutputRow("model", kept=True)), _result(need_probe=False)),
}
"""The container contract (docs/sandbox.md), version 1, and the self-test's own image with a data set; no job is posted for that."""
