"""One run of one image, from its inputs to its collected outputs.

    sidecar -> inputs -> container created -> output attached -> started -> watched -> dead -> outputs collected
                                                                   |
                                       (ready -> late inputs -> "go" -> done -> outputs taken)   in phases with late inputs

A job that says that it is done is not waited for: what it left is taken as it is in that moment, and whoever ends the run kills it.
Whatever happens on the way, `execute` and `finish` return a result. Removing container and sidecar is its caller's part. The
clock is the host's: a job cannot slow it down. The container carries its deadline as a label, for the reaper: a node that hangs or
is gone ends nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

import msgspec

from learningchain.sandbox.docker.attached import Attached, FramedOutput
from learningchain.sandbox.docker.checkpoints import CheckpointCopier
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import device_variables, job_config
from learningchain.sandbox.docker.reaper_program import UNTIL_LABEL, until_label
from learningchain.sandbox.docker.sidecar import Sidecar, create_container, wait_dead
from learningchain.sandbox.errors import EngineError
from learningchain.sandbox.phases import CONTRACT_VERSION, JOB_FILE, OutputRow, PhaseRow
from learningchain.sandbox.progress import Progress
from learningchain.sandbox.results import BadResult, InputRefused, InvalidModel, ResultReader, UnfitRow
from learningchain.sandbox.spec import OutputFile, RunResult, RunSpec, RunStatus

_POLL_S = 0.1
"""How late a cancellation or the end of the wall clock may be noticed."""
_PROGRESS_EVERY_S = 0.1
_KILL_WAIT_S = 20.0
_OOM_WAIT_S = 2.0
_KILLED = 137
START_S = 5.0
"""What an engine may take to start a container: the deadline that the container carries is so much later than the wall clock."""
_LATE_S = 34_200.0
"""What a run with late inputs may last beyond its start: it waits for them, and then has twice the time of the most and slowest
rows that a request may have."""

_BAD_INPUT = 66
_BY_EXIT = {
    64: (RunStatus.UNSUPPORTED, "the image does not support this phase or these parameters (exit 64)"),
    65: (RunStatus.MODEL_INVALID, "the image calls the model invalid (exit 65)"),
    75: (RunStatus.OUT_OF_RESOURCES, "the job reports that its resources do not suffice (exit 75)"),
    126: (RunStatus.FAILED, "/lc/job cannot be executed in this image (exit 126)"),
    127: (RunStatus.FAILED, "the image provides no /lc/job, or its interpreter is missing (exit 127)"),
}


class Ended(msgspec.Struct, frozen=True):
    """How the container came to its end: by itself with a code, or killed by us for a reason. One that said that it is done has
    code 0, and may still run."""

    code: int | None
    killed: RunStatus | None = None
    why: str = ""
    left: bool = False
    """It was not killed: it goes on, without this node."""


def job_json(spec: RunSpec) -> bytes:
    """/lc/in/job.json. Without a seed it holds what was posted and nothing else: the same bytes for the worker that claims and for
    everybody who judges. Raises ValueError for params that are no object."""
    try:
        params = json.loads(spec.params)
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, dict):
        raise ValueError("params is not a JSON object")
    head = {
        "v": CONTRACT_VERSION,
        "phase": spec.phase,
        **({} if spec.seed is None else {"seed": spec.seed}),
        "budget_s": spec.budget_s,
        "threads": spec.threads,
        "mem_mb": spec.limits.mem_mb,
    }
    # The parameters go in as posted, not as our parser would print them.
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"params":{spec.params}}}'.encode()


class ContainerRun:
    """One run: `execute` once; or `warm_up` and, where that gave no result, `finish`, each once."""

    def __init__(
        self,
        engine: Engine,
        spec: RunSpec,
        *,
        name: str,
        runtime: str,
        labels: dict[str, str],
        out_dir: Path,
        files: Mapping[str, Path],
        on_progress: Callable[[Progress], None] | None,
        cancel: threading.Event,
        leave: threading.Event | None = None,
        stay_s: float = 0.0,
        copier: CheckpointCopier | None = None,
    ) -> None:
        """`files`: those of the spec's inputs that go in through the sidecar's memory. `leave`: set when this node goes away, of a
        run that stays; what it left then waits for `stay_s` seconds. `copier`: of the run's checkpoints, where anybody keeps them.
        """
        self._engine = engine
        self._spec = spec
        self.name = name
        self._runtime = runtime
        self._labels = labels
        self._out_dir = out_dir
        self._on_progress = on_progress
        self._files = files
        self._cancel = cancel
        self._leave, self._stay_s, self._copier = leave, stay_s, copier
        self._also: threading.Event | None = None
        """What else kills it: whoever gave a warm run its inputs may call it off too."""
        self._made: Callable[[], ResultReader] | None = None
        """Makes the reader of whoever gave them; None: the row's own."""
        # As they are before the job runs: what it leaves is held against that.
        likes = {output.like for output in spec.row.outputs}
        given = {name: path for name, path in spec.inputs.items() if name in likes and isinstance(path, Path)}
        self._sizes = {name: path.stat().st_size for name, path in given.items()}
        self._wall_s = spec.limits.wall_s
        self._reader = FramedOutput()
        self._stream: Attached | None = None
        self._deadline = 0.0
        self._shown_at = 0.0
        self._newest: Progress | None = None

    def execute(self, sidecar: Sidecar) -> RunResult:
        """Runs the job with the inputs that the sidecar gets, and collects from it."""

        def whole() -> RunResult:
            self._start(sidecar)
            return self._end(sidecar)

        try:
            return self._timed(whole)
        finally:
            self._close()

    def resume(self, sidecar: Sidecar, until: float) -> RunResult:
        """Goes on with a run that an earlier process of this node began, to its deadline, and collects from it. What it printed
        meanwhile is lost, and its output counts anew."""

        def rest() -> RunResult:
            self._stream = Attached(self._engine, self.name, timeout_s=_POLL_S)
            self._deadline = until
            # Streams of a container that is dead already never end.
            code = wait_dead(self._engine, self.name, _POLL_S)
            if code is None:
                return self._end(sidecar)
            self.let_go()
            late = code == _KILLED and time.monotonic() > until
            return self._judge(self._too_late() if late else Ended(code), sidecar)

        try:
            return self._timed(rest)
        finally:
            self._close()

    def warm_up(self, sidecar: Sidecar) -> RunResult | None:
        """Starts the job and waits until it is ready for its late inputs; a result where it ended before that."""
        ready = False

        def so_far() -> RunResult:
            nonlocal ready
            self._start(sidecar)
            ended = self._watch(until_ready=True)
            ready = ended is None
            if ended is None or ended.code == 0:
                return RunResult(status=RunStatus.FAILED, reason="the job ended before it was ready for its inputs", exit_code=0)
            return self._judge(ended, sidecar)

        result = self._timed(so_far)
        if ready:
            return None
        self.let_go()
        return result

    def alive(self) -> bool:
        """Whether a warm run still waits. Takes in what it printed meanwhile; never waits itself."""
        stream = self._stream
        if stream is None:
            return False
        while (data := stream.receive_now()) is not None:
            self._newest = self._reader.feed(data) or self._newest
            if not data or self._reader.total > self._spec.limits.log_cap:
                return False
        return True

    def finish(
        self,
        sidecar: Sidecar,
        late: Mapping[str, Path | bytes],
        *,
        wall_s: float | None,
        read: Callable[[], ResultReader] | None,
        cancel: threading.Event | None,
    ) -> RunResult:
        """Gives a warm run its late inputs, and a wall clock for them: of the run's limits, where none is given."""

        def rest() -> RunResult:
            self._also, self._made = cancel, read
            self._wall_s = self._wall_s if wall_s is None else wall_s
            sidecar.put(late)
            stream = self._stream
            if stream is None:
                raise EngineError("giving a run its inputs", "it was let go")
            with contextlib.suppress(OSError):  # it is dead already: its end says how
                stream.send(b"go\n")
            self._deadline = time.monotonic() + self._wall_s
            return self._end(sidecar)

        return self._timed(rest)

    def printed(self) -> str:
        """The end of what it has printed so far, for any thread."""
        return self._reader.tail()

    def let_go(self) -> None:
        """Nobody listens any more."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _close(self) -> None:
        self.let_go()
        if self._copier is not None:
            self._copier.close()

    def _timed(self, work: Callable[[], RunResult]) -> RunResult:
        started = time.monotonic()
        try:
            result = work()
        except EngineError as problem:
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=str(problem))
        except ValueError as problem:
            result = RunResult(status=RunStatus.NOT_STARTED, reason=f"the posting cannot be run: {problem}")
        except OSError as problem:
            result = RunResult(status=RunStatus.ENGINE_ERROR, reason=f"this machine: {problem}")
        wall = time.monotonic() - started
        return msgspec.structs.replace(result, wall_s=wall, log_tail=self._reader.tail())

    def _start(self, sidecar: Sidecar) -> None:
        spec = self._spec
        sidecar.put({JOB_FILE: job_json(spec), **self._files})
        if spec.stays:
            sidecar.stay(self._stay_s)
        mounts = sidecar.job_mounts(self._labels)
        lasts = self._wall_s + START_S + (_LATE_S if spec.row.waits else 0.0)
        labels = self._labels | {UNTIL_LABEL: until_label(time.monotonic() + lasts)}
        without = device_variables(self._image_environment()) if spec.devices else []
        config = job_config(spec, runtime=self._runtime, uid=sidecar.uid, labels=labels, mounts=mounts, without=without)
        create_container(self._engine, self.name, config)
        # Attached before the start, so that no line is lost; the engine itself keeps no log.
        self._stream = Attached(self._engine, self.name, stdin=spec.row.waits, timeout_s=_POLL_S)
        self._engine.call("starting a run", lambda api: api.start(self.name))
        self._deadline = time.monotonic() + self._wall_s

    def _image_environment(self) -> list[str]:
        facts = self._engine.call("looking up an image", lambda api: api.inspect_image(self._spec.image_id))
        return list((facts.get("Config") or {}).get("Env") or [])

    def _end(self, sidecar: Sidecar) -> RunResult:
        ended = self._watch(until_done=self._spec.row.waits and all(file.read for file in self._spec.row.outputs))
        self._show_progress()
        self.let_go()
        return self._judge(ended, sidecar)

    @overload
    def _watch(self, *, until_done: bool = False) -> Ended: ...

    @overload
    def _watch(self, *, until_ready: bool) -> Ended | None: ...

    def _watch(self, *, until_ready: bool = False, until_done: bool = False) -> Ended | None:
        """Reads the output until the container is dead, by itself or because a limit is reached, or until it is done; None where it
        is ready first."""
        stream = self._stream
        if stream is None:
            raise EngineError("watching a run", "it was let go")
        attached = True
        while True:
            if until_ready and self._reader.ready:
                return None
            if until_done and self._reader.done:
                return Ended(0)
            if self._leave is not None and self._leave.is_set():
                return Ended(None, RunStatus.CANCELLED, "it goes on, for the node to come back to", left=True)
            if self._cancel.is_set() or (self._also is not None and self._also.is_set()):
                return self._kill(stream, RunStatus.CANCELLED, "cancelled")
            left = self._deadline - time.monotonic()
            if left <= 0:
                late = self._too_late()
                return self._kill(stream, RunStatus.TIMEOUT, late.why)
            copying = self._copier is not None and self._copier.step()
            if attached:
                attached = self._read(stream, wait=not copying)
                if self._reader.total > self._spec.limits.log_cap:
                    return self._kill(stream, RunStatus.FAILED, f"wrote more than {self._spec.limits.log_cap} bytes of output")
                continue
            # All ends of its output are closed: nearly always it is dead.
            code = wait_dead(self._engine, self.name, min(left, _POLL_S))
            if code is not None:
                return Ended(code)

    def _too_late(self) -> Ended:
        return Ended(None, RunStatus.TIMEOUT, f"still running after {self._wall_s:g} s of wall clock")

    def _read(self, stream: Attached, *, wait: bool) -> bool:
        """One read of at most _POLL_S. False when the output is at its end."""
        data = stream.receive() if wait else stream.receive_now()
        if data == b"":
            return False
        if data:
            self._newest = self._reader.feed(data) or self._newest
        # Also where nothing came: the last step before a silence is told, too.
        if time.monotonic() - self._shown_at >= _PROGRESS_EVERY_S:
            self._show_progress()
        return True

    def _show_progress(self) -> None:
        """Passes the newest progress on, so that a job that prints it too often costs its watcher nothing."""
        newest, self._newest = self._newest, None
        if newest is not None and self._on_progress is not None:
            self._shown_at = time.monotonic()
            self._on_progress(newest)

    def _kill(self, stream: Attached, status: RunStatus, why: str) -> Ended:
        # First of all nobody listens any more: an engine whose listener stopped reading cannot end a container that
        # is still printing.
        stream.close()

        def kill(api: Any) -> None:
            api.kill(self.name)

        try:
            self._engine.call("killing a run", kill)
        except EngineError as problem:
            if problem.status not in (404, 409):  # gone or dead by itself in this moment
                raise
        if wait_dead(self._engine, self.name, _KILL_WAIT_S) is None:
            raise EngineError("killing a run", f"the container still runs {_KILL_WAIT_S:g} s later")
        return Ended(None, status, why)

    def _judge(self, ended: Ended, sidecar: Sidecar) -> RunResult:
        if ended.killed is not None:
            if ended.killed is RunStatus.CANCELLED and not ended.left and self._copier is not None:
                self._copier.take_last()  # perhaps this node stops, and the next start goes on from it
            return RunResult(status=ended.killed, reason=ended.why, left=ended.left)
        code = ended.code
        if code == 0:
            if self._copier is not None:
                self._copier.finish()
            return self._collect(sidecar)
        if code == _BAD_INPUT and self._spec.row.waits:
            why = "the image says that the input does not fit (exit 66)"
            return RunResult(status=RunStatus.INPUT_REFUSED, reason=why, exit_code=code)
        if code in _BY_EXIT:
            status, why = _BY_EXIT[code]
            return RunResult(status=status, reason=why, exit_code=code)
        if code == _KILLED and self._out_of_memory():
            why = f"killed for using more than {self._spec.limits.mem_mb} MiB of memory"
            return RunResult(status=RunStatus.OUT_OF_RESOURCES, reason=why, exit_code=code)
        if code == _KILLED and self._copier is not None and self._copier.take_last():
            why = "killed, by nobody in its container it seems (exit 137); its next start goes on from its checkpoint"
            return RunResult(status=RunStatus.ENGINE_ERROR, reason=why, exit_code=code)
        return RunResult(status=RunStatus.FAILED, reason=f"the job failed (exit {code})", exit_code=code)

    def _out_of_memory(self) -> bool:
        """Whether memory was what it was killed for. The engine learns of it beside the end itself, and sometimes after it."""
        until = time.monotonic() + _OOM_WAIT_S
        while True:
            facts = self._engine.call("asking how a run ended", lambda api: api.inspect_container(self.name))
            if facts["State"].get("OOMKilled"):
                return True
            if self._cancel.wait(_POLL_S) or time.monotonic() > until:
                return False

    def _collect(self, sidecar: Sidecar) -> RunResult:
        """Takes the outputs that the row names. The container is dead, and nothing changes under our hands; or it has said that it
        is done, and what is read of it is taken at once."""
        row, model_cap = self._spec.row, self._spec.limits.model_cap
        kept: dict[str, OutputFile] = {}
        try:
            # What is read comes first: a result that breaks the contract costs no copy of a model.
            result = self._read_result(sidecar, row, model_cap)
            for output in row.outputs:
                if output.read is None:
                    kept[output.name] = self._save(sidecar, output, self._sizes.get(output.like, row.cap(output, model_cap)))
        except BaseException as problem:
            for file in kept.values():
                file.path.unlink(missing_ok=True)
            if isinstance(problem, InvalidModel):
                return RunResult(status=RunStatus.MODEL_INVALID, reason=f"exit 0, but {problem}", exit_code=0)
            if isinstance(problem, InputRefused):
                told = UnfitRow(problem.row)
                return RunResult(status=RunStatus.INPUT_REFUSED, reason=str(problem), result=told, exit_code=0)
            if isinstance(problem, BadResult):
                return RunResult(status=RunStatus.BAD_RESULT, reason=f"exit 0, but {problem}", exit_code=0)
            raise
        return RunResult(status=RunStatus.OK, reason="done", result=result, outputs=kept, exit_code=0)

    def _read_result(self, sidecar: Sidecar, row: PhaseRow, model_cap: int) -> object:
        """What a reader makes of the output that is read; None where none is. Raises BadResult, EngineError."""
        for output in row.outputs:
            if output.read is not None:
                reader = (self._made or output.read)()
                read = sidecar.read_now if row.waits else sidecar.read_start
                for piece in read(output.name, row.cap(output, model_cap) + 1):
                    reader.take(piece)
                return reader.finish()
        return None

    def _save(self, sidecar: Sidecar, output: OutputRow, cap: int) -> OutputFile:
        """Writes an output to a new file of ours while hashing it. Leaves no file behind where that fails."""
        self._out_dir.mkdir(parents=True, exist_ok=True)
        path = self._out_dir / f"{self._spec.run_id}.{output.name}"
        path.unlink(missing_ok=True)
        digest, size = hashlib.sha256(), 0
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in sidecar.read_output(output.name, cap):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
            if size == 0:
                raise BadResult(f"{output.name} is empty")
            if size != self._sizes.get(output.like, size):
                raise BadResult(f"{output.name} has {size} bytes, and not {self._sizes[output.like]} as the one that it came from")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return OutputFile(path, size, digest.digest())
