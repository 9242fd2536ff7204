"""The backend without Docker as tests have it: its engine runs as the user nobody, below control groups that were delegated to it.

Needs root and crun: no crun is a failure, never a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from learningchain.sandbox import BackendSettings
from learningchain.sandbox.oci.engine_program import SOCKET
from learningchain.sandbox.oci.groups import OWN, ROOT, WANTED
from learningchain.sandbox.oci.service import OciSandbox
from tests.processes.harness import NodeProcess

PROGRAM = Path(__file__).resolve().parents[2]
NOBODY = 65534
_GONE_S = 10.0
UNSHARE = shutil.which("unshare") or "/usr/bin/unshare"
AS_NOBODY = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {UNSHARE} "
ON_ONE = AS_NOBODY.replace("exec ", "exec taskset -c 0 ", 1)
DELEGATED = dict.fromkeys(WANTED, "")


UNIFIED = (ROOT / "cgroup.controllers").exists()
"""Whether this machine has control groups of version 2."""


@contextmanager
def groups(limits: Mapping[str, str], owner: int) -> Iterator[str]:
    """A group in each of these controllers, the same one in version 2; gives what a shell runs to enter them. A limit is
    "file=value", or empty."""
    name, made, enter = f"lc-test-{os.getpid()}-{time.monotonic_ns()}", list[Path](), ""
    try:
        for controller, limit in limits.items():
            place = (ROOT if UNIFIED else ROOT / controller) / name
            if place not in made:
                place.mkdir()
                made.append(place)
                for path in (place, *(place / file for file in ("cgroup.procs", "cgroup.subtree_control", "tasks"))):
                    with suppress(FileNotFoundError):  # each version has its own
                        os.chown(path, owner, owner)
                enter += f"echo $$ > {_begun(place, owner)}/cgroup.procs\n"
            if limit:
                file, _, value = limit.partition("=")
                (place / file).write_text(value)
        yield enter
    finally:
        for place in made:
            _remove(place)


def _begun(place: Path, owner: int) -> Path:
    """Where an engine's processes are: in version 2 below the groups that it makes others in, where it would have moved itself."""
    if not UNIFIED:
        return place
    (place / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in WANTED))
    own = place / OWN
    own.mkdir()
    for path in (own, own / "cgroup.procs"):
        os.chown(path, owner, owner)
    return own


@contextmanager
def nobodys_groups() -> Iterator[str]:
    """Those of a node that is nobody's. It was killed before they are left, and its engine would wait for the next one."""
    with groups(DELEGATED, NOBODY) as enter:
        try:
            yield enter
        finally:
            place = Path(enter.split()[3]).parent
            for listed in (place.parent if UNIFIED else place).rglob("cgroup.procs"):
                for process in listed.read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(process), signal.SIGKILL)


def make_nobodys(node: NodeProcess, enter: str, home: Path) -> None:
    """The node's process is nobody's, in these groups, and so are its files."""
    user = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --pdeathsig KILL"
    begin = f'{enter}cd {sys.path[0]}\nexport HOME={home} TMPDIR=/tmp\nexec {user} "$@"'
    node.program = ["/bin/sh", "-c", begin, "sh", *node.program]
    for path in (node.data, *node.data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def _remove(place: Path) -> None:
    """Processes of a killed engine end a moment after it."""
    until = time.monotonic() + _GONE_S
    while place.exists():
        for child in place.iterdir():
            if child.is_dir():
                with suppress(OSError):
                    child.rmdir()
        try:
            place.rmdir()
        except OSError:
            assert time.monotonic() < until, f"{place} still has processes: {(place / 'cgroup.procs').read_text().split()}"
            time.sleep(0.05)


@contextmanager
def readable(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """This program at a place that every user gets to: a checkout may lie in a folder of root's alone."""
    place = tempfile.mkdtemp(prefix="lc-oci-program-", dir="/tmp")
    subprocess.run(["mount", "--bind", str(PROGRAM), place], check=True)
    try:
        patch.setattr(sys, "executable", sys.executable.replace(str(PROGRAM), place, 1))
        patch.setattr(sys, "path", [place, *(path.replace(str(PROGRAM), place, 1) for path in sys.path)])
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        Path(place).rmdir()


@contextmanager
def cdi_folder() -> Iterator[Path]:
    """Where the engine looks for what devices are; only a test's own files are there, and only meanwhile."""
    folder = Path("/run/cdi")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def oci_room(
    patch: pytest.MonkeyPatch, *, limits: Mapping[str, str] = DELEGATED, owner: int = NOBODY, begin: str = "", **settings: object
) -> Iterator[OciSandbox]:
    """A sandbox whose engine is nobody's. `begin`: what its shell does before all else, in place of what makes it nobody."""
    folder = Path(tempfile.mkdtemp(prefix="lc-oci-test-", dir="/tmp"))
    folder.chmod(0o711)
    with groups(limits, owner) as enter, readable(patch):
        (folder / "bin").mkdir()
        (folder / "bin" / "unshare").write_text(f'#!/bin/sh\n{enter}{begin or AS_NOBODY}"$@"\n')
        (folder / "bin" / "unshare").chmod(0o755)
        patch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        patch.setenv("TMPDIR", "/tmp")
        made = OciSandbox(BackendSettings(data=folder / "data", node_tag=f"oci-{os.getpid()}", **settings))  # type: ignore[arg-type]
        run = made.host.folder
        (folder / "data" / "oci").mkdir(parents=True)
        for path in (folder / "data" / "oci", run):
            os.chown(path, NOBODY, NOBODY)
        (folder / "data").chmod(0o711)
        try:
            yield made
        finally:
            made.close()
            until = time.monotonic() + _GONE_S
            while (run / SOCKET).exists():
                assert time.monotonic() < until, "its engine goes on"
                time.sleep(0.05)
            shutil.rmtree(folder)
            shutil.rmtree(run)
