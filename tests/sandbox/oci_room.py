"""The backend without Docker as tests have it: its engine runs as the user nobody, below control groups that were delegated to it.

Needs root, crun and control groups of version 1 or a delegated one of version 2: no crun is a failure, never a skip.
"""

from __future__ import annotations

import os
import shutil
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
from learningchain.sandbox.oci.groups import ROOT, WANTED
from learningchain.sandbox.oci.service import OciSandbox

PROGRAM = Path(__file__).resolve().parents[2]
NOBODY = 65534
_GONE_S = 10.0
UNSHARE = shutil.which("unshare") or "/usr/bin/unshare"
AS_NOBODY = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {UNSHARE} "
ON_ONE = AS_NOBODY.replace("exec ", "exec taskset -c 0 ", 1)
DELEGATED = dict.fromkeys(WANTED, "")


@contextmanager
def groups(limits: Mapping[str, str], owner: int) -> Iterator[str]:
    """A group in each of these controllers; gives what a shell runs to enter them. A limit is "file=value", or empty."""
    name, made, enter = f"lc-test-{os.getpid()}-{time.monotonic_ns()}", list[Path](), ""
    try:
        for controller, limit in limits.items():
            place = ROOT / controller / name
            place.mkdir()
            made.append(place)
            for path in (place, place / "cgroup.procs", place / "tasks"):
                os.chown(path, owner, owner)
            if limit:
                file, _, value = limit.partition("=")
                (place / file).write_text(value)
            enter += f"echo $$ > {place}/cgroup.procs\n"
        yield enter
    finally:
        for place in made:
            _remove(place)


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
