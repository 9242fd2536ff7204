"""A second machine for a test: an engine of its own, and the program that joins a node and runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.processes.harness import ROOT, NodeProcess, _die_with_parent, eventually
from tests.processes.netns import PREFIX, ip, sweep

ENGINE_S = 60.0


@contextlib.asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[str]:
    """A Docker Engine with data, processes and a socket of its own: its address."""
    folder.mkdir()
    (folder / "daemon.json").write_text("{}")
    host = f"unix://{folder / 'engine.sock'}"
    own = [f"--data-root={folder / 'data'}", f"--exec-root={folder / 'run'}", f"--pidfile={folder / 'pid'}", f"--host={host}"]
    quiet = [
        "--bridge=none",
        "--iptables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--config-file={folder / 'daemon.json'}",
    ]
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", *own, *quiet], stdout=log, stderr=log, preexec_fn=_die_with_parent)
    try:

        async def answers() -> bool:
            assert daemon.poll() is None, (folder / "log").read_text()[-2_000:]
            return bool(await asyncio.to_thread(docker, host, "info", "--format", "{{.ServerVersion}}"))

        await eventually("the second engine answers", answers, ENGINE_S)
        yield host
    finally:
        daemon.terminate()
        await asyncio.to_thread(daemon.wait)


class Cable:
    """Between this host and a machine with a network of its own: nothing else is there. Raises `netns.Refused`.

    A cut is noticed by nobody: what is sent goes nowhere.
    """

    NODE, MACHINE = "198.18.254.1", "198.18.254.2"

    def __init__(self) -> None:
        self.place = f"{PREFIX}{os.getpid()}-m"
        self._end = f"{PREFIX}m{os.getpid() % 10**6}"

    def __enter__(self) -> Cable:
        sweep()
        ip("netns", "add", self.place)
        try:
            ip("link", "add", self._end, "type", "veth", "peer", "name", "node", "netns", self.place)
            ip("addr", "add", f"{self.NODE}/30", "dev", self._end)
            ip("-n", self.place, "addr", "add", f"{self.MACHINE}/30", "dev", "node")
            ip("-n", self.place, "link", "set", "node", "up")
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):
            ip("link", "del", self._end)  # the kernel takes its time with a namespace, and the next cable has the same name
        ip("netns", "del", self.place)

    def cut(self) -> None:
        ip("link", "set", self._end, "down")

    def mend(self) -> None:
        ip("link", "set", self._end, "up")


def docker(host: str, *words: str) -> str:
    done = subprocess.run(["docker", "--host", host, *words], capture_output=True, text=True, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""


class Machine:
    """A machine of a node: joins it with a token, then runs. `program` stands in for `learningchain`; `place`: the network
    namespace that it is in, if it has one of its own."""

    def __init__(
        self, name: str, folder: Path, host: str, program: Sequence[str] = ("-m", "tests.processes.hasty"), place: str = ""
    ) -> None:
        self.name, self.data, self.host, self.log = name, folder / name, host, folder / f"{name}.log"
        self._inside = ["ip", "netns", "exec", place] if place else []
        self._program = [*self._inside, sys.executable, *program]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
        return kept | {"DOCKER_HOST": self.host, "PYTHONUNBUFFERED": "1"}

    async def join(self, token: str) -> None:
        command = [*self._inside, sys.executable, "-m", "learningchain", "machine", "join", token, "--data", str(self.data)]
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def run(self) -> None:
        command = [*self._program, "machine", "run", "--data", str(self.data)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=ROOT, env=self._environment, preexec_fn=_die_with_parent
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def ready(self, node: NodeProcess, within: float) -> None:
        async def there() -> bool:
            assert self._process is not None and self._process.poll() is None, self.said()
            return any(one["name"] == self.name and one["state"] == "ready" for one in await node.api.machines())

        await eventually(f"the machine {self.name} is ready", there, within)

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def containers(self, *words: str) -> list[str]:
        """Names on its engine."""
        return docker(self.host, "ps", "--all", "--format", "{{.Names}}", *words).splitlines()

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
