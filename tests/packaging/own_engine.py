"""A Docker Engine of the tests' own, with bridges: in namespaces of network, mounts and processes that nothing else is in.

    with OwnEngine() as engine:
        engine.docker("network", "create", "a")

Its bridges, firewall rules and addresses are in its own network namespace, which has no way out: the machine's network and the
engine that runs beside it are left as they are, and published ports are reached through `inside`. When it is left, or the test
process ends in whatever way, the kernel takes every process and mount of it away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_S: Final = 120.0
STOP_S: Final = 60.0
COMMAND_S: Final = 240.0
_NAMESPACES: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--cgroup")
_OWN: Final = """
set -e
ip link set lo up
kept="$(mktemp -d /dev/shm/lc-engine-XXXXXX)"
mount --rbind "$2" "$kept"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/engine "$2"
mount --move "$kept" "$2"
rmdir "$kept"
exec dockerd --bridge=none --data-root "$1/data" --exec-root /run/engine --pidfile /run/pid --host "unix://$1/socket" --group root
"""
"""Its own /run, in which the folder for temporary files stays, which is below /run in a room (scripts/room.sh): the engine's own
folder is in it, and what a test gives a container to mount."""
_libc = ctypes.CDLL(None)


class Refused(Exception):
    """This machine lets nobody have an engine of their own. The text says why."""


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)


class OwnEngine:
    """See the module. Raises `Refused` when it is entered on a machine that cannot."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.gettempdir())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "socket"

    @property
    def environment(self) -> dict[str, str]:
        """Of programs that are to use this engine and no other."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEARNINGCHAIN_", "COMPOSE_", "DOCKER_"))}
        return kept | {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_SOCKET": str(self.socket)}

    def __enter__(self) -> Self:
        self._look()
        # Short: a socket's path has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="lc-engine-"))
        try:
            with (self.folder / "log").open("wb") as log:
                own = ("bash", "-c", _OWN, "engine", str(self.folder), str(self.folder.parent))
                command = [*_NAMESPACES, "--propagation", "private", "--mount-proc", *own]
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent
                )
            self._wait()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _look(self) -> None:
        if os.geteuid() != 0:
            raise Refused("only root can start an engine of its own")
        for program, package in (("dockerd", "docker.io"), ("ip", "iproute2"), ("iptables", "iptables"), ("nsenter", "util-linux")):
            if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
                raise Refused(f"there is no `{program}` here: install the package {package}")
        done = subprocess.run(
            [*_NAMESPACES, "iptables", "-t", "nat", "-S"], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise Refused(f"this machine gives no network namespace with a firewall of its own: {done.stderr.strip()[:300]}")

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            with contextlib.suppress(subprocess.SubprocessError):
                self.docker("info", within=20)
                return
            time.sleep(0.2)
        raise AssertionError(f"the engine does not answer:\n{(self.folder / 'log').read_text('utf-8', 'replace')[-3_000:]}")

    def _first(self) -> int:
        """The process id of the engine, which is the first process of its namespace."""
        assert self._process is not None
        return int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0])

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError, IndexError):
                os.kill(self._first(), signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    # what tests do with it

    def run(
        self,
        *command: str,
        cwd: Path | None = None,
        within: float = COMMAND_S,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What a program says that uses this engine. Raises `subprocess.CalledProcessError`, with its standard error."""
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if done.returncode:
            fault = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            fault.add_note(done.stderr[-3_000:])
            raise fault
        return done.stdout

    def docker(self, *words: str, within: float = COMMAND_S) -> str:
        return self.run("docker", *words, within=within)

    def inside(self, command: Sequence[str]) -> str:
        """What a program of this machine says that stands in the engine's network."""
        return self.run("nsenter", f"--net=/proc/{self._first()}/ns/net", *command)
