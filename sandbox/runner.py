"""One run of one image, from its inputs to its collected outputs.

    keeper -> inputs -> container created -> output attached -> started -> watched -> dead -> outputs collected

Whatever happens on the way, `execute` returns an outcome. Removing container and keeper is its caller's part. The clock
is the host's: a job cannot slow it down.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from sandbox.attached import Attached
from sandbox.engine import Engine
from sandbox.errors import EngineError
from sandbox.isolation import job_config
from sandbox.keeper import Keeper, create_container, wait_dead
from sandbox.output import OutputReader
from sandbox.results import BadResult, Result, parse_result
from sandbox.spec import RESULT_CAP, Progress, RunOutcome, RunSpec, Status

_POLL_S = 0.1
"""How late a cancellation or the end of the wall clock may be noticed."""
_PROGRESS_EVERY_S = 0.1
_KILL_WAIT_S = 20.0
_OOM_WAIT_S = 2.0
_KILLED = 137

_BY_EXIT = {
    64: (Status.UNSUPPORTED, "the image does not support this phase or these parameters (exit 64)"),
    65: (Status.MODEL_INVALID, "the image calls the model invalid (exit 65)"),
    75: (Status.OUT_OF_RESOURCES, "the job reports that its resources do not suffice (exit 75)"),
    126: (Status.FAILED, "/lc/job cannot be executed in this image (exit 126)"),
    127: (Status.FAILED, "the image provides no /lc/job, or its interpreter is missing (exit 127)"),
}


class Ended(msgspec.Struct, frozen=True):
    """How the container came to its end: by itself with a code, or killed by us for a reason."""

    code: int | None
    killed: Status | None = None
    why: str = ""


def job_json(spec: RunSpec) -> bytes:
    """/lc/in/job.json: the same bytes for every verifier of a round. Raises ValueError for params that are no object."""
    try:
        params = json.loads(spec.params)
    except (ValueError, RecursionError):
        params = None
    if not isinstance(params, dict):
        raise ValueError("params is not a JSON object")
    head = {
        "v": 1,
        "phase": spec.phase,
        "seed": spec.seed,
        "probe": spec.probe,
        "budget_s": spec.budget_s,
        "threads": spec.threads,
        "mem_mb": spec.limits.mem_mb,
    }
    # The parameters go in as posted, not as our parser would print them.
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},"params":{spec.params}}}'.encode()


def inputs(spec: RunSpec) -> dict[str, bytes | Path]:
    """The files of /lc/in."""
    files: dict[str, bytes | Path] = {"job.json": job_json(spec)}
    if spec.model is not None:
        files["model"] = spec.model
    if spec.eval_file is not None:
        files["eval"] = spec.eval_file
    return files


class Run:
    """One run; `execute` may be called once."""

    def __init__(
        self,
        engine: Engine,
        spec: RunSpec,
        *,
        name: str,
        runtime: str,
        labels: dict[str, str],
        out_dir: Path,
        on_progress: Callable[[Progress], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._name = name
        self._runtime = runtime
        self._labels = labels
        self._out_dir = out_dir
        self._on_progress = on_progress
        self._cancel = cancel or threading.Event()
        self._reader = OutputReader()
        self._shown_at = 0.0
        self._newest: Progress | None = None

    def execute(self, keeper: Keeper) -> RunOutcome:
        """Runs the job with the inputs that the keeper gets, and collects from it."""
        started = time.monotonic()
        try:
            files = inputs(self._spec)
        except ValueError as problem:
            return RunOutcome(status=Status.FAILED, reason=f"the posting cannot be run: {problem}")
        try:
            keeper.put(files)
            ended = self._run_container(keeper)
            outcome = self._judge(ended, keeper)
        except EngineError as problem:
            outcome = RunOutcome(status=Status.ENGINE_ERROR, reason=str(problem))
        except OSError as problem:
            outcome = RunOutcome(status=Status.ENGINE_ERROR, reason=f"this machine: {problem}")
        wall = time.monotonic() - started
        return msgspec.structs.replace(outcome, wall_s=wall, log_tail=self._reader.tail())

    def _run_container(self, keeper: Keeper) -> Ended:
        mounts = keeper.job_mounts(self._labels)
        config = job_config(self._spec, runtime=self._runtime, uid=keeper.uid, labels=self._labels, mounts=mounts)
        create_container(self._engine, self._name, config)
        # Attached before the start, so that no line is lost; the engine itself keeps no log.
        stream = Attached(self._engine, self._name, timeout_s=_POLL_S)
        try:
            self._engine.call("starting a run", lambda api: api.start(self._name))
            ended = self._watch(stream)
            self._show_progress()
            return ended
        finally:
            stream.close()

    def _watch(self, stream: Attached) -> Ended:
        """Reads the output until the container is dead, by itself or because a limit is reached."""
        deadline = time.monotonic() + self._spec.limits.wall_s
        attached = True
        while True:
            if self._cancel.is_set():
                return self._kill(stream, Status.CANCELLED, "cancelled")
            left = deadline - time.monotonic()
            if left <= 0:
                return self._kill(stream, Status.TIMEOUT, f"still running after {self._spec.limits.wall_s:g} s of wall clock")
            if attached:
                attached = self._read(stream)
                if self._reader.total > self._spec.limits.log_cap:
                    return self._kill(stream, Status.FAILED, f"wrote more than {self._spec.limits.log_cap} bytes of output")
                continue
            # All ends of its output are closed: nearly always it is dead.
            code = wait_dead(self._engine, self._name, min(left, _POLL_S))
            if code is not None:
                return Ended(code)

    def _read(self, stream: Attached) -> bool:
        """One read of at most _POLL_S. False when the output is at its end."""
        data = stream.receive()
        if data is None:
            return True
        if not data:
            return False
        self._newest = self._reader.feed(data) or self._newest
        if time.monotonic() - self._shown_at >= _PROGRESS_EVERY_S:
            self._show_progress()
        return True

    def _show_progress(self) -> None:
        """Passes the newest progress on, so that a job that prints it too often costs its watcher nothing."""
        newest, self._newest = self._newest, None
        if newest is not None and self._on_progress is not None:
            self._shown_at = time.monotonic()
            self._on_progress(newest)

    def _kill(self, stream: Attached, status: Status, why: str) -> Ended:
        # First of all nobody listens any more: an engine whose listener stopped reading cannot end a container that
        # is still printing.
        stream.close()

        def kill(api: Any) -> None:
            api.kill(self._name)

        try:
            self._engine.call("killing a run", kill)
        except EngineError as problem:
            if problem.status not in (404, 409):  # gone or dead by itself in this moment
                raise
        if wait_dead(self._engine, self._name, _KILL_WAIT_S) is None:
            raise EngineError("killing a run", f"the container still runs {_KILL_WAIT_S:g} s later")
        return Ended(None, status, why)

    def _judge(self, ended: Ended, keeper: Keeper) -> RunOutcome:
        if ended.killed is not None:
            return RunOutcome(status=ended.killed, reason=ended.why)
        code = ended.code
        if code == 0:
            return self._collect(keeper)
        if code in _BY_EXIT:
            status, why = _BY_EXIT[code]
            return RunOutcome(status=status, reason=why, exit_code=code)
        if code == _KILLED and self._out_of_memory():
            why = f"killed for using more than {self._spec.limits.mem_mb} MiB of memory"
            return RunOutcome(status=Status.OUT_OF_RESOURCES, reason=why, exit_code=code)
        return RunOutcome(status=Status.FAILED, reason=f"the job failed (exit {code})", exit_code=code)

    def _out_of_memory(self) -> bool:
        """Whether memory was what it was killed for. The engine learns of it beside the end itself, and sometimes after it."""
        until = time.monotonic() + _OOM_WAIT_S
        while True:
            facts = self._engine.call("asking how a run ended", lambda api: api.inspect_container(self._name))
            if facts["State"].get("OOMKilled"):
                return True
            if self._cancel.wait(_POLL_S) or time.monotonic() > until:
                return False

    def _collect(self, keeper: Keeper) -> RunOutcome:
        """Takes result.json and, in training, the model. The container is dead: nothing changes under our hands."""
        spec = self._spec
        try:
            raw = b"".join(keeper.read_output("result.json", RESULT_CAP))
            result = parse_result(raw, need_probe=spec.phase == "evaluate")
            if spec.phase == "evaluate":
                return _ok(result)
            path, size, digest = self._save_model(keeper)
        except BadResult as problem:
            return RunOutcome(status=Status.BAD_RESULT, reason=f"exit 0, but {problem}", exit_code=0)
        return msgspec.structs.replace(_ok(result), model_path=path, model_size=size, model_sha256=digest)

    def _save_model(self, keeper: Keeper) -> tuple[Path, int, bytes]:
        """Writes the model to a new file of ours while hashing it. Leaves no file behind where that fails."""
        self._out_dir.mkdir(parents=True, exist_ok=True)
        path = self._out_dir / f"{self._spec.run_id}.model"
        path.unlink(missing_ok=True)
        digest, size = hashlib.sha256(), 0
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in keeper.read_output("model", self._spec.limits.model_cap):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
            if size == 0:
                raise BadResult("model is empty")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path, size, digest.digest()


def _ok(result: Result) -> RunOutcome:
    return RunOutcome(status=Status.OK, reason="done", loss=result.loss, n=result.n, probe_loss=result.probe_loss, exit_code=0)
