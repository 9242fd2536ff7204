"""Where hostile cases are run, and what must hold after each: a clear verdict, an unchanged host, a sandbox that answers."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from learningchain.sandbox import ContainerLimits, ImageLimits, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.answers import AnswerForm, AnswerReader
from learningchain.sandbox.data import DataSet, OwnData, scan_folder
from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.oci.service import OciSandbox
from learningchain.sandbox.phases import PHASES

from .host import SLACK, Host, HostState
from .programs.kit import Verdict

T = TypeVar("T")

HERE = Path(__file__).parent
MIB = 1 << 20
LIMITS = ContainerLimits(cpus=1.0, mem_mb=96, pids=64, model_cap=256 * 1024, tmp_mb=8, file_cap=4 * MIB, wall_s=30)
IMAGE_LIMITS = ImageLimits(archive_bytes=256 * MIB, unpacked_bytes=256 * MIB, files=20_000, layers=64)
PATIENCE_S = 20.0
POLL_S = 0.02
REASON_CAP = 400


def build_image(path: Path) -> str:
    """The one image of all programs: the interpreter and the folder `programs`."""
    files: dict[str, bytes | Path] = {"/lc/job": (HERE / "programs/job.py").read_bytes()}
    for source in sorted((HERE / "programs").glob("*.py")):
        if source.name != "job.py":
            files[f"/lc/programs/{source.name}"] = source
    return build_python_image(path, files, with_packages=())


OTHERS = os.urandom(16).hex().encode()
"""What nobody finds by looking for words."""


def _data(folder: Path) -> DataSet:
    """A data set whose files are, on the host, whatever they should not be in a container."""
    (folder / "deep").mkdir(parents=True)
    for name, mode in (("program", 0o6777), ("deep/numbers", 0o666)):
        (folder / name).write_bytes(b"#!/usr/local/bin/python3\n")
        (folder / name).chmod(mode)
    return scan_folder(folder)


class Stage:
    """One sandbox on one engine with one runtime, with things of the host beside it that no job may reach."""

    def __init__(
        self,
        folder: Path,
        *,
        url: str | None,
        runtime: str,
        archive: Path,
        image: str,
        data: Path | None = None,
        oci: OciSandbox | None = None,
    ) -> None:
        """`data` is the folder of an engine of the tests' own; `oci` a sandbox without Docker, in place of one at `url`."""
        self.runtime = runtime
        self.archive, self.image = archive, image
        self.tag = f"hostile-{os.getpid()}-{runtime}" if oci is None else oci.tag
        self.sandbox = oci or Sandbox(
            folder / "sandbox", base_url=url, runtime=runtime, node_tag=self.tag, cache_dir=folder / "cache"
        )
        self.sandbox.check_engine()
        canary = folder / "canary"
        canary.write_bytes(b"a file of the host")
        self.engine = Engine(url) if oci is None else oci.host
        self.host = Host(self.engine, self.tag, canary, data)
        self._listener = socket.socket(socket.AF_UNIX)
        self._abstract = f"learningchain-{self.tag}"
        self._listener.bind(f"\0{self._abstract}")
        self._listener.listen()
        self._listener.setblocking(False)
        self.params = {
            "canary": str(canary),
            "abstract": self._abstract,
            "engine": (url or "unix:///var/run/docker.sock").removeprefix("unix://"),
        }
        self.sandbox.load_archive(archive, image, IMAGE_LIMITS)
        (folder / "others").mkdir()
        (folder / "others" / "others").write_bytes(OTHERS)
        own = self.sandbox.add_data("own", _data(folder / "data"))
        self.sandbox.add_data("others", scan_folder(folder / "others"))
        self.inputs: dict[str, dict[str, Path | OwnData]] = {
            "train": {},
            "evaluate": {"model": canary},
            "local": {"model": canary, "data": own},
            "predict": {"model": canary},
        }
        self.params |= self._volumes()
        self.answers()
        self.sandbox.settle()

    def _volumes(self) -> dict[str, str]:
        """Where the engine keeps the other data, told to the job: it may know their place, and must not get there."""
        mine: Any = {"label": [f"learningchain.node={self.tag}", "learningchain.own=yes"]}
        found = self.engine.call("volumes", lambda api: api.volumes(filters=mine))["Volumes"]
        places = [facts["Mountpoint"] for facts in found]
        return {"others": OTHERS.decode(), "places": " ".join(places)}

    def run(self, mode: str, *, image: str | None = None, phase: str = "train", **limits: Any) -> RunResult:
        """One run of a program of the hostile image, or of another image."""
        wanted = msgspec.structs.replace(LIMITS, **limits)
        spec = RunSpec(
            run_id=f"{mode.replace('_', '-')[:60]}-{os.urandom(3).hex()}",
            image_id=image or self.image,
            phase=phase,
            seed=1 if PHASES[phase].seeded else None,
            budget_s=5,
            params=json.dumps({"mode": mode, **self.params}),
            limits=wanted,
            inputs=self.inputs[phase],
        )
        outcome = self._asked(spec) if phase == "predict" else self.sandbox.run(spec)
        for file in outcome.outputs.values():
            file.path.unlink()
        return outcome

    def _asked(self, spec: RunSpec) -> RunResult:
        """A model with the request for which it waits."""
        warm = self.sandbox.start(spec)
        if isinstance(warm, RunResult):
            return warm
        late = {"request.json": b'{"v":1,"rows":1,"seed":1,"challenge":1}', "input": b"[1]\n"}
        return warm.finish(late, read=lambda: AnswerReader(AnswerForm(rows=1, classes=3)))

    def answers(self) -> None:
        """The node can go on: a plain job runs to its end."""
        outcome = self.run("good")
        assert (outcome.status, outcome.reason) == (RunStatus.OK, "done"), outcome

    def unharmed(self, case: Callable[[], T]) -> T:
        """Runs a case and sees to it that the host is as before and that the sandbox answers."""
        self.sandbox.settle()
        began, used, before = time.time(), self.host.used_bytes(), self.host.state()
        result = case()
        self.sandbox.settle()
        self._compare(before)
        grown = self.host.used_bytes() - used
        assert grown < SLACK, f"{grown >> 20} MiB more of the disk are taken"
        assert not self.host.clock_moved(), "the machine's clock was set"
        self._nobody_called()
        self.answers()
        self.sandbox.settle()
        self.host.note_containers(began)
        self._no_strays()
        return result

    def _compare(self, before: HostState) -> None:
        after = self.host.state()
        for name in before.__struct_fields__:
            assert getattr(after, name) == getattr(before, name), f"the host's {name} changed"

    def _no_strays(self) -> None:
        """A runtime's own processes end a moment after the engine has removed their container."""
        deadline = time.monotonic() + PATIENCE_S
        while (strays := self.host.strays()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        assert strays == []

    def _nobody_called(self) -> None:
        try:
            self._listener.accept()
        except BlockingIOError:
            return
        raise AssertionError("a job reached a socket of the host")

    def close(self) -> None:
        self._listener.close()
        assert self.sandbox.cleanup().problems == ()
        self.sandbox.close()


def check_verdict(outcome: RunResult, *right: Verdict) -> None:
    """The run ended in one of the ways that the table names, with a reason that a person can read."""
    ended = outcome.status.value, outcome.reason
    assert any(ended[0] == status and words in ended[1] for status, words in right), f"{ended}\n{outcome.log_tail}"
    assert_readable(outcome.reason)
    assert outcome.result is None or outcome.status is RunStatus.OK
    assert all(char == "\n" or char.isprintable() for char in outcome.log_tail)


def assert_readable(reason: str) -> None:
    assert 0 < len(reason) <= REASON_CAP, reason
    assert reason.isprintable(), repr(reason)
    assert "Traceback" not in reason
