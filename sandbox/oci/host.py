"""Starts this user's engine where it does not run, and finds it where it does.

    lock -> a connection to its socket? -> else: unshare --user --mount --pid -> engine_program -> "ready"

The engine is no child that ends with this process: what goes on without a node, goes on in it (`docker.reaper` ends the rest).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from weakref import WeakSet

from learningchain.sandbox.docker.engine import Engine
from learningchain.sandbox.docker.isolation import CORE
from learningchain.sandbox.errors import SandboxUnavailable
from learningchain.sandbox.oci.engine_program import READY, SOCKET
from learningchain.sandbox.oci.groups import GIVEN, make_room
from learningchain.sandbox.programs import start_program
from learningchain.sandbox.spec import EngineInfo

START_S = 60.0
_TAIL = 600
_NEEDS = {
    "crun": "Debian: apt-get install crun; elsewhere one file from its releases, in a folder of PATH, or named by sandbox.engine",
    "unshare": "it is part of util-linux",
}
NO_NAMESPACES = (
    "this machine gives its users no user namespaces, and without them nothing separates a job from your account ({why}). Ask "
    "whoever administers it for: user.max_user_namespaces above 0; kernel.unprivileged_userns_clone=1 where there is such a "
    "setting; on Ubuntu 24.04 and later an AppArmor profile that lets {crun} and unshare make them "
    "(kernel.apparmor_restrict_unprivileged_userns)"
)
NO_CORE = (
    "this process may not set the limit of core files that every container has: its own (ulimit -H -c) is {hard}, and {core} is "
    "needed, for at 0 a crash starts a program of this machine's where it pipes core files to one. Raise it: LimitCORE={core} in a "
    "unit of systemd, hard core {core} in limits.conf"
)
NO_BOUND = (
    "{what}. No control group bounds what a job of this user holds and uses: run this program as a systemd unit with Delegate=yes, "
    "or in a job of a cluster that keeps jobs to their memory and processors (Slurm: TaskPlugin=task/cgroup, with "
    "ConstrainRAMSpace=yes and ConstrainCores=yes in cgroup.conf)"
)
_FORBIDDEN = ("unshare failed", "uid_map", "cannot open /proc/self", "operation not permitted", "no space left")
NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child=KILL")
_KEEP = ("HOME", "LANG", "PATH", "LD_LIBRARY_PATH", "TMPDIR", GIVEN)


def run_folder(data: Path) -> Path:
    """A short name: paths of sockets have at most 107 bytes. Raises SandboxUnavailable where it is not this user's alone."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    if not os.access(base, os.W_OK) or len(str(base)) > 60:
        base = Path("/tmp")
    tag = hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:12]
    folder = base / f"lc-oci-{os.geteuid()}-{tag}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError as problem:
        raise SandboxUnavailable(f"{folder} cannot be made: {problem}. Name another folder for it by XDG_RUNTIME_DIR") from problem
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise SandboxUnavailable(f"{folder} is not this user's alone: somebody put it there. Remove it, or have it removed")
    return folder


class OciEngine(Engine):
    """The engine of this user over one folder; started with the first call that needs it, and again where it is gone."""

    def __init__(self, data: Path, crun: str = "") -> None:
        self.data, self._crun = data.absolute() / "oci", crun
        self.folder = run_folder(self.data)
        self.url = f"unix://{self.folder / SOCKET}"
        super().__init__(self.url)
        self._mutex = threading.Lock()
        self._clients = WeakSet[Any]()
        self._line: socket.socket | None = None
        """An idle connection: it ends with the engine, and keeps the engine meanwhile."""

    def api(self, *, transfer: bool = False, pull: bool = False) -> Any:
        self._ensure()
        client = super().api(transfer=transfer, pull=pull)
        self._clients.add(client)
        return client

    def info(self) -> EngineInfo:
        try:
            return super().info()
        except SandboxUnavailable as problem:
            if "cannot limit" not in str(problem):
                raise
            raise SandboxUnavailable(NO_BOUND.format(what=problem)) from problem

    def _ensure(self) -> None:
        """Raises SandboxUnavailable naming what is missing."""
        with self._mutex:
            if self._line is not None and not select.select([self._line], [], [], 0)[0]:
                return
            self._let_go()
            with open(os.open(self.folder / "start.lock", os.O_RDWR | os.O_CREAT, 0o600), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._line = self._connected()
                if self._line is None:
                    self._start()
                    self._line = self._connected()
            if self._line is None:
                raise SandboxUnavailable("the engine for machines without Docker ended at once; its log is in " + str(self.folder))

    def _connected(self) -> socket.socket | None:
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(self.folder / SOCKET))
        except OSError:
            line.close()
            return None
        return line

    def _start(self) -> None:
        crun, unshare = self._program(self._crun or "crun", "crun"), self._program("unshare", "unshare")
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        if hard != resource.RLIM_INFINITY and hard < CORE:
            raise SandboxUnavailable(NO_CORE.format(hard=hard, core=CORE))
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_room()
        program = [sys.executable, "-P", "-m", "learningchain.sandbox.oci.engine_program", crun, str(self.data), str(self.folder)]
        log = self.folder / "engine.log"
        with log.open("wb") as said:
            process = start_program(
                [unshare, *NAMESPACES, "--", *program],
                ready=READY.encode(),
                within_s=START_S,
                said=said,
                stdin=subprocess.DEVNULL,
                keeps=_KEEP.__contains__,
            )
        if process is None:
            raise SandboxUnavailable(self._why(log.read_text(errors="replace"), crun))
        threading.Thread(target=process.wait, name="oci-engine", daemon=True).start()

    def _why(self, said: str, crun: str) -> str:
        last = " ".join(said.strip().splitlines()[-1:])[-_TAIL:]
        if any(words in said.lower() for words in _FORBIDDEN):
            return NO_NAMESPACES.format(why=last, crun=crun)
        return f"the engine for machines without Docker does not start: {last or 'it said nothing'}"

    def _program(self, name: str, what: str) -> str:
        path = shutil.which(name)
        if path is None:
            raise SandboxUnavailable(f"there is no {name} on this machine, which runs containers without Docker; {_NEEDS[what]}")
        return path

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def close(self) -> None:
        """It ends by itself where nothing is left in it, and nobody is connected."""
        with self._mutex:
            self._let_go()
            for client in self._clients:
                client.close()
