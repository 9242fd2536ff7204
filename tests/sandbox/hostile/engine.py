"""A Docker Engine of the tests' own, beside the machine's: nobody else's containers come and go on it, so that it must look the
same before and after every hostile case. It also has gVisor as its runtimes, well and badly configured.

Needs root and the programs dockerd (and runsc). Where they lack, the machine's engine serves, and what only this one can show is
skipped with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from learningchain.sandbox import SandboxUnavailable
from learningchain.sandbox.docker.engine import Engine

START_S = 60.0
STOP_S = 60.0
POLL_S = 0.1
GVISOR = ("--network=none", "--platform=ptrace")
RUNTIMES = {
    "runsc": [*GVISOR, "--oci-seccomp"],
    "runsc-without-filter": [*GVISOR],
    "runsc-without-cgroups": [*GVISOR, "--oci-seccomp", "--ignore-cgroups"],
}
"""Only the first keeps what the sandbox asks for."""


def lacking() -> str:
    """Why no engine can be started here; empty where one can."""
    if os.environ.get("DOCKER_HOST"):
        return "DOCKER_HOST names another machine's engine"
    if os.geteuid() != 0:
        return "only root can start an engine"
    return "" if shutil.which("dockerd") else "there is no dockerd"


def lacking_gvisor() -> str:
    return lacking() or ("" if shutil.which("runsc") else "there is no runsc (Debian package runsc)")


class OwnEngine:
    """A dockerd with a data folder of its own. Raises SandboxUnavailable where it does not come up. `settings`: more of its
    daemon.json; `programs`: the folder of another dockerd than the machine's."""

    def __init__(self, folder: Path, settings: Mapping[str, Any] = MappingProxyType({}), programs: Path | None = None) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/engine.sock"
        runsc = shutil.which("runsc")
        runtimes = {name: {"path": runsc, "runtimeArgs": words} for name, words in RUNTIMES.items()} if runsc else {}
        (folder / "daemon.json").write_text(json.dumps({"runtimes": runtimes, **settings}))
        command = ["dockerd", "--host", self.url, "--config-file", str(folder / "daemon.json")]
        command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
        command += ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        path = os.environ["PATH"] if programs is None else f"{programs}:{os.environ['PATH']}"
        command[0] = shutil.which("dockerd", path=path) or "dockerd"
        self._command, self._environment = command, os.environ | {"PATH": path}
        self._log = (folder / "log").open("wb")
        self.begin()

    def begin(self) -> None:
        """Starts it, or starts it again after `end`, on the same data."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=self._environment,
        )
        try:
            self._wait_for_answer()
        except SandboxUnavailable:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                Engine(self.url).info()
                return
            except SandboxUnavailable:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise SandboxUnavailable(f"a dockerd of the tests' own did not come up: {log}") from None
            time.sleep(POLL_S)

    def end(self) -> None:
        """Ends it; its data stay."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ends it and removes its data; what it mounted goes with its containers."""
        self.end()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
