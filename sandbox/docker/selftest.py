"""Proves on this engine, with this runtime, that every limit holds, before the first stranger's program runs.

An engine accepts limits that it does not keep: a runtime that ignores control groups, a kernel without a controller, a
filter that was compiled out. So our own image (the running interpreter and `probe_job.py`) tries to break each of them:
one container looks around and pushes, others must be killed for memory, for time and for output. Two more train on data that are
kept for a moment as the owner's are, one after the other, beside data that are not theirs. And one is given each device that the
owner offers.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import msgspec

from learningchain.sandbox.data import TRIAL, DataSet, OwnData, scan_folder
from learningchain.sandbox.docker.devices import DeviceEdits
from learningchain.sandbox.docker.isolation import CORE, MASKED_PATHS, MEMLOCK, OUT_INODES, SHM_INODES, is_gvisor
from learningchain.sandbox.errors import BadImage, DataRefused, DeviceRefused, EngineError, SandboxUnavailable
from learningchain.sandbox.image_writer import ENVIRONMENT, ImageBuildError, own_text
from learningchain.sandbox.images import build_python_image, cached_image
from learningchain.sandbox.phases import PHASES
from learningchain.sandbox.spec import MIB, Check, ContainerLimits, ImageLimits, RunResult, RunSpec, RunStatus, SelfTestReport

_LIMITS = ContainerLimits(
    cpus=0.5, mem_mb=128, pids=64, model_cap=MIB, tmp_mb=8, tmp_inodes=256, file_cap=2 * MIB, nofile=128, wall_s=60
)
_EXPECTED = (
    *("network", "sockets", "system_calls", "namespaces", "host", "root_read_only", "other_mounts", "mounts", "capabilities"),
    *("no_new_privileges", "uid", "user_limits", "first_to_go", "file_size", "space", "inodes", "pids", "cpu"),
    *("no_data", "no_devices", "environment"),
)
_EXPECTED_OF_DATA = ("data_mount", "data_read_only", "data_no_programs", "data_alone", "data_nothing_kept")
_EXPECTED_OF_DEVICES = ("device_nodes", "device_mounts", "device_environment")
_SET_BY_IMAGE = {
    "NVIDIA_VISIBLE_DEVICES": "all",
    "NVIDIA_DRIVER_CAPABILITIES": "all",
    "LD_AUDIT": "/lc/none.so",
    "TINI_VERBOSITY": "3",
}
"""What the probe's image asks for, and no container may get."""
_NOT_WITH_DEVICES = {"LD_LIBRARY_PATH": "/lc/none", "CUDA_VISIBLE_DEVICES": "0"}
"""What only runs without devices get of it."""
_NO_INPUTS: Mapping[str, Path | OwnData] = MappingProxyType({})
_Ends = tuple[tuple[RunStatus, str], ...]
_ABSENT: dict[str, _Ends] = dict.fromkeys(("evaluate", "predict"), ((RunStatus.FAILED, "(exit 9)"),))
"""Phases without a report of their own, and the exit by which the probe says that it saw no data."""
_SCRATCH = "learningchain-selftest-"
_LEFT_S = 3_600
"""No self-test takes an hour: a folder that is older was left by one that was killed."""
_MODEL_SIZE = 64 * 1024
"""Bytes of the model that a probe on data gets, and of its report."""
_CANARY = b"data of somebody else"
# Its exit code alone says that it was killed: beyond four times the limit it would have ended by itself with another.
_MEMORY: _Ends = ((RunStatus.OUT_OF_RESOURCES, "killed for using more than"), (RunStatus.FAILED, "(exit 137)"))
_KILLS: dict[str, tuple[ContainerLimits, _Ends]] = {
    "memory": (_LIMITS, _MEMORY),
    "clock": (msgspec.structs.replace(_LIMITS, wall_s=1.0), ((RunStatus.TIMEOUT, "wall clock"),)),
    "log": (msgspec.structs.replace(_LIMITS, log_cap=256 * 1024), ((RunStatus.FAILED, "bytes of output"),)),
}
# What a job under gVisor starts counts together with gVisor's own threads: beyond the limit the whole container ends.
_GVISOR_KILLS: dict[str, tuple[ContainerLimits, _Ends]] = {"processes": (_LIMITS, ((RunStatus.FAILED, "the job failed"), *_MEMORY))}


class SelfTestRunner(Protocol):
    """What the self-test needs of a sandbox."""

    def load_archive(self, path: Path, expect_image_id: str | None, limits: ImageLimits | None = None) -> str: ...

    def run(self, spec: RunSpec) -> RunResult: ...

    def add_data(self, name: str, data: DataSet) -> OwnData: ...

    def remove_data(self, name: str) -> OwnData: ...

    def edits_of(self, device: str) -> DeviceEdits:
        """Raises DeviceRefused."""
        ...


def self_test(
    sandbox: SelfTestRunner, cache: Path, scratch: Path, runtime: str, devices: Sequence[str] = (), whole: int = 0
) -> SelfTestReport:
    """Runs all probes and reports on every limit; its files lie below `scratch` meanwhile. `whole`: how many processors the engine
    has for its containers, where it keeps none to a share of them.

    Raises SandboxUnavailable where no probe image can be made.
    """
    try:
        image = sandbox.load_archive(*_probe_archive(cache))
    except (ImageBuildError, BadImage, OSError) as problem:
        raise SandboxUnavailable(f"the self-test's image cannot be made: {problem}") from problem
    stamp = os.urandom(4).hex()
    want = {
        "masked": MASKED_PATHS,
        "core": CORE,
        "msgqueue": 0,
        "memlock": MEMLOCK,
        "nofile": _LIMITS.nofile,
        "file_cap": _LIMITS.file_cap,
        "tmp": _LIMITS.tmp_mb * MIB,
        "shm": _LIMITS.tmp_mb * MIB,
        "out": PHASES["train"].out_bytes(_LIMITS.model_cap),
        "tmp_inodes": _LIMITS.tmp_inodes,
        "shm_inodes": SHM_INODES,
        "out_inodes": OUT_INODES,
        "pids": _LIMITS.pids,
        "millicpus": whole * 1000 or int(_LIMITS.cpus * 1000),
        "burners": min(whole + 2, _LIMITS.pids // 2) if whole else 4,
        "gvisor": is_gvisor(runtime),
        "canary": _CANARY.decode(),
        "unset": list(_SET_BY_IMAGE),
        "set": list(_NOT_WITH_DEVICES),
    }
    kills = _KILLS | (_GVISOR_KILLS if is_gvisor(runtime) else {})

    def probe(
        mode: str,
        limits: ContainerLimits,
        phase: str = "train",
        inputs: Mapping[str, Path | OwnData] = _NO_INPUTS,
        devices: tuple[str, ...] = (),
        **more: object,
    ) -> RunResult:
        params = json.dumps({"mode": mode, "want": want | more})
        spec = RunSpec(
            run_id=f"selftest-{phase}-{mode}-{os.urandom(2).hex()}-{stamp}",
            image_id=image,
            phase=phase,
            seed=1 if PHASES[phase].seeded else None,
            budget_s=60,
            params=params,
            limits=limits,
            inputs=inputs,
            devices=devices,
        )
        return sandbox.run(spec)

    def on_device(name: str) -> Check:
        """A run that asked for it."""
        try:
            edits = sandbox.edits_of(name)
        except DeviceRefused as refused:
            return Check(name, False, str(refused))
        ran = probe("device", _LIMITS, devices=(name,), nodes=edits.nodes, mounted=edits.mounts, variables=edits.variables)
        failed = [check for check in _judge_report(ran, _EXPECTED_OF_DEVICES) if not check.ok]
        told = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        return Check(name, not failed, told or f"{', '.join(edits.nodes)}, and nothing else")

    def on_data(folder: Path, model: Path) -> list[Check]:
        """Two runs on the same data, the second beside what the first may have left."""
        kept: list[OwnData] = []
        try:
            for which, data in _probe_data(folder).items():
                kept.append(sandbox.add_data(f"{TRIAL}selftest-{stamp}-{which}", data))
            inputs: dict[str, Path | OwnData] = {"model": model, "data": kept[0]}
            runs = [_judge_report(probe("data", _LIMITS, "local", inputs), _EXPECTED_OF_DATA) for _ in (1, 2)]
            while kept:
                sandbox.remove_data(kept.pop().name)
        except (DataRefused, EngineError) as problem:  # what stays goes with the next clean-up
            return [Check(name, False, f"data cannot be kept, or not be removed: {problem}") for name in _EXPECTED_OF_DATA]
        return [first if not first.ok else second for first, second in zip(*runs, strict=True)]

    scratch.mkdir(parents=True, exist_ok=True)
    _sweep(scratch)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=scratch) as folder, ThreadPoolExecutor(len(kills) + 4) as pool:
        model = Path(folder, "model")
        model.write_bytes(bytes(_MODEL_SIZE))
        looking = pool.submit(probe, "limits", _LIMITS)
        reading = pool.submit(on_data, Path(folder), model)
        killing = {mode: pool.submit(probe, mode, limits) for mode, (limits, _) in kills.items()}
        seeing = {phase: pool.submit(probe, "absent", _LIMITS, phase, {"model": model}) for phase in _ABSENT}
        checks = _judge_report(looking.result(), _EXPECTED) + reading.result()
        checks += [_judge_end(mode, kills[mode][1], future.result()) for mode, future in killing.items()]
        checks += [_judge_end(f"no_data_{phase}", _ABSENT[phase], future.result()) for phase, future in seeing.items()]
    # One after the other, when nothing else runs: a device that is stuck holds up no check of a limit.
    return SelfTestReport(runtime, tuple(checks), tuple(on_device(name) for name in devices))


def _sweep(scratch: Path) -> None:
    """Removes what self-tests left that were killed."""
    for left in scratch.glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            found = left.lstat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _LEFT_S:
                shutil.rmtree(left)


def _judge_end(name: str, ends: _Ends, result: RunResult) -> Check:
    for file in result.outputs.values():
        file.path.unlink(missing_ok=True)
    ok = any(result.status is status and words in result.reason for status, words in ends)
    return Check(name, ok, result.reason if ok else f"the run did not end as it must: {result.reason}")


def _judge_report(result: RunResult, expected: tuple[str, ...]) -> list[Check]:
    """One check for each limit that the probe must report on; a report that lacks one has failed it."""
    found: dict[str, tuple[bool, str]] = {}
    missing = f"no report: {result.reason}; {result.log_tail.strip()[-300:]}"
    if "model" in result.outputs:
        report = result.outputs["model"].path
        found = msgspec.json.decode(report.read_bytes(), type=dict[str, tuple[bool, str]])
        report.unlink()
        missing = "the probe did not report on it"
    return [Check(name, *found.get(name, (False, missing))) for name in expected]


def _probe_data(folder: Path) -> dict[str, DataSet]:
    """A data set with a program that anybody may run as its owner, as far as the node's disk is concerned; and somebody else's."""
    for name in ("own", "other"):
        (folder / name).mkdir()
    program = folder / "own" / "program"
    program.write_bytes(b"#!/usr/local/bin/python3\n")
    program.chmod(0o4755)
    (folder / "other" / "other").write_bytes(_CANARY)
    return {name: scan_folder(folder / name) for name in ("own", "other")}


def _probe_archive(cache: Path) -> tuple[Path, str]:
    """The probe image's archive and id."""
    probe = own_text("learningchain.sandbox.docker.probe_job")
    config = {"Env": [*ENVIRONMENT, *(f"{name}={value}" for name, value in (_SET_BY_IMAGE | _NOT_WITH_DEVICES).items())]}
    made = probe + json.dumps(config).encode()
    return cached_image(
        cache, "selftest", made, lambda dest: build_python_image(dest, {"/lc/job": probe}, with_packages=(), config=config)
    )
