"""What runs on which operating system: a node on Linux alone, commands on macOS too, on Windows what programs import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import learningchain
from learningchain.client.cli.app import main
from learningchain.client.node import process

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = ("fcntl", "grp", "pwd", "resource", "termios", "uvloop")
"""Modules that a Python on Windows has not."""
FACE = f"""
import asyncio, sys
for name in {HIDDEN!r}:
    sys.modules[name] = None
import learningchain
print(sum(getattr(learningchain, name) is not None for name in dir(learningchain)))
"""


def test_a_node_runs_on_linux_alone() -> None:
    assert process.why_no_node("linux") is None
    for system in ("darwin", "freebsd14"):
        why = process.why_no_node(system)
        assert why is not None and system in why and "Run it on a Linux machine" in why


@pytest.mark.parametrize("words", [["node"], ["demo"], ["signer", "run"], ["join", "lcj1whatever"]])
def test_elsewhere_what_would_run_one_is_refused_before_it_asks_for_anything(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "why_no_node", lambda: "it runs on Linux alone")
    assert main([*words, "--data", str(tmp_path / "data")]) == 1
    said = capsys.readouterr()
    assert "it runs on Linux alone" in said.err and said.out == ""
    assert not (tmp_path / "data").exists()


def test_elsewhere_an_identity_is_made_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "why_no_node", lambda: "it runs on Linux alone")
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "a passphrase for tests")
    assert main(["init", "--data", str(tmp_path / "data")]) == 0
    assert main(["id", "--address", "--data", str(tmp_path / "data")]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("lc1")


def test_the_command_says_on_windows_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert learningchain.main() == 2
    said = capsys.readouterr()
    assert "WSL 2" in said.err and "import learningchain" in said.err and said.out == ""


def test_programs_import_everything_public_without_what_windows_has_not() -> None:
    done = subprocess.run([sys.executable, "-c", FACE], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(dir(learningchain))


def test_type_checkers_and_running_programs_find_the_same_names() -> None:
    block = next(node for node in ast.parse((ROOT / "learningchain/__init__.py").read_text()).body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == learningchain._where()
