"""The scripts around the engine: they touch only what is theirs, and say what is missing.

Each test works on a copy of the scripts in its own folder, with stand-ins for the programs that they call.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.hostile.engine import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]
ANSWERING = "#!/bin/sh\necho 20.10\n"
SILENT = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / ".run").mkdir()
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that must not be harmed, or that stands for an engine."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def call(tree: Path, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": f"{tree / 'bin'}:{os.environ['PATH']}", "HOME": str(tree), **environment}
    command = [str(tree / "scripts" / script), *words]
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


def ticks_at_start(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize("code", [0, 7])
def test_run_passes_the_exit_code_on_and_owns_no_engine_that_was_there_before(tree: Path, code: int) -> None:
    program(tree / "bin/docker", ANSWERING)
    done = call(tree, "engine.sh", "run", "sh", "-c", f"echo worked; exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "worked\n", "")
    assert not (tree / ".run/engine.pid").exists()
    assert "was not started by this script" in call(tree, "engine.sh", "status").stdout


def test_a_client_without_an_engine_is_no_engine(tree: Path) -> None:
    program(tree / "bin/docker", "#!/bin/sh\nexit 0\n")  # old clients end well and print nothing
    done = call(tree, "engine.sh", "status")
    assert (done.returncode, done.stdout) == (1, "no Docker Engine answers\n")


def test_an_unreachable_remote_engine_is_named_and_the_command_does_not_run(tree: Path) -> None:
    program(tree / "bin/docker", SILENT)
    done = call(tree, "engine.sh", "run", "echo", "ran", DOCKER_HOST="tcp://192.0.2.1:2375")
    assert (done.returncode, done.stdout) == (1, "")
    assert "DOCKER_HOST=tcp://192.0.2.1:2375" in done.stderr
    assert "unset DOCKER_HOST" in done.stderr


def test_stop_ends_the_engine_that_start_recorded(tree: Path, bystander: subprocess.Popen[bytes]) -> None:
    (tree / ".run/engine.pid").write_text(f"{bystander.pid} {ticks_at_start(bystander.pid)}\n")
    program(tree / "bin/docker", ANSWERING)
    assert "was started by this script" in call(tree, "engine.sh", "status").stdout
    assert call(tree, "engine.sh", "stop").returncode == 0
    assert bystander.wait(10) == -15
    assert not (tree / ".run/engine.pid").exists()


@pytest.mark.parametrize("record", ["{pid} 1", "{pid}", "", "-1 5", "{pid} ; true", "x y z"])
def test_a_stale_record_harms_nobody(tree: Path, bystander: subprocess.Popen[bytes], record: str) -> None:
    (tree / ".run/engine.pid").write_text(record.format(pid=bystander.pid) + "\n")
    assert call(tree, "engine.sh", "stop").returncode == 0
    assert bystander.poll() is None
    assert not (tree / ".run/engine.pid").exists()


TOOLS = ("bash", "cat", "dirname", "env", "id", "mkdir", "sh", "tail", "timeout")


def gvisor(tree: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """gvisor.sh where nothing is installed but what it needs, and these stand-ins."""
    for name in TOOLS:
        (tree / "bin" / name).symlink_to(str(shutil.which(name)))
    for name, text in programs.items():
        (tree / "bin" / name.replace("_", "-")).unlink(missing_ok=True)
        program(tree / "bin" / name.replace("_", "-"), text)
    return call(tree, "gvisor.sh", ".run/settings.json", PATH=str(tree / "bin"), DOCKER_SETTINGS=str(tree / "daemon.json"))


def test_an_engine_gets_gvisor_with_its_filter_of_system_calls(tree: Path) -> None:
    done = gvisor(tree, runsc="#!/bin/sh\n")
    assert (done.returncode, done.stderr) == (0, "")
    runtime = json.loads((tree / ".run/settings.json").read_text())["runtimes"]["runsc"]
    assert runtime["path"] == str(tree / "bin/runsc")
    assert runtime["runtimeArgs"] == RUNTIMES["runsc"], "as the tests of the sandbox run it"
