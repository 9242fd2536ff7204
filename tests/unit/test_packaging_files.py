"""The files of `packaging`, as far as they go without an engine: systemd's own opinion of the unit, what scripts refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.client.cli.common import PASSPHRASE_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "packaging"
MOST_EXPOSED = 1.5
"""Of 10, by `systemd-analyze security`."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze: package systemd")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: systemd looks for it."""
    text = (FILES / "learningchain.service").read_text()
    made = tmp_path / "learningchain.service"
    assert "/opt/learningchain/bin/learningchain" in text
    made.write_text(text.replace("/opt/learningchain/bin/learningchain", sys.executable))
    return made


def said(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
@pytest.mark.parametrize("beside", ["nothing", "learningchain-worker.conf", "learningchain-machine.conf"])
def test_systemd_finds_no_fault_in_the_unit_alone_as_a_worker_and_as_a_machine(unit: Path, beside: str) -> None:
    if beside != "nothing":
        folder = unit.parent / "learningchain.service.d"
        folder.mkdir()
        text = (FILES / beside).read_text()
        (folder / "beside.conf").write_text(text.replace("/opt/learningchain/bin/learningchain", sys.executable))
    done = said("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_leaves_little_exposed(unit: Path) -> None:
    done = said("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_the_passphrase_is_no_variable_anywhere() -> None:
    for path in [*FILES.rglob("*"), ROOT / "scripts/image.sh"]:
        if path.is_file():
            assert PASSPHRASE_VARIABLE not in path.read_text(), path


def test_what_scripts_are_told_wrongly_they_refuse(tmp_path: Path) -> None:
    for script, words, wanted in (
        (ROOT / "scripts/image.sh", ("one", "two"), "takes one word"),
        (ROOT / "scripts/compose.sh", ("three",), "knows no three"),
        (FILES / "compose/setup.sh", ("one", "two"), "takes one word"),
    ):
        done = said(script, *words)
        assert done.returncode == 1 and wanted in done.stderr, script


def test_only_the_profile_of_workers_mounts_the_engines_socket() -> None:
    """As text: the services before the first worker, and those that set the workers up, name no socket."""
    text = (FILES / "compose/compose.yaml").read_text().partition("services:")[2]
    validators, _, rest = text.partition("\n  w1: ")
    workers, _, after = rest.partition("\n  key-w1: ")
    assert "docker.sock" not in validators.partition("# THE PROFILE")[0] and "docker.sock" not in after
    assert "profiles: [workers]" in workers and workers.count("docker.sock}:/var/run/docker.sock") == 2
