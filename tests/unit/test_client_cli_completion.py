"""`completion`: the scripts know the words of every command, and land where the shell looks."""

from __future__ import annotations

import subprocess
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.cli import commands
from learningchain.client.cli.app import main

pytest_plugins = ["tests.unit.client_cli_kit"]

TYPED = [("la", "lab"), ("job su", "submit"), ("job submit --boun", "--bounty"), ("genesis ins", "install"), ("fed wa", "watch")]


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = tmp_path_factory.mktemp("completion") / "script"
    with script.open("w") as file, redirect_stdout(file):
        assert main(["completion", "bash"]) == 0
    return script


@pytest.mark.parametrize(("typed", "found"), TYPED)
def test_bash_completes(bash: Path, typed: str, found: str) -> None:
    words = typed.split()
    line = (
        f'. "$1"; COMP_WORDS=(learningchain {typed}); COMP_CWORD={len(words)}; _learningchain; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", line, "-", bash], capture_output=True, text=True, timeout=60, check=True)
    assert found in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_has_every_command(run: Any, shell: str) -> None:
    script = run("completion", shell).out
    words = {c.name for family in commands.families() for c in family.commands} | {f.name for f in commands.families()}
    assert [word for word in sorted(words) if word not in script] == []
    assert "--image-archive" in script, "an option of job submit, whose module nothing else loads"


@pytest.mark.parametrize(
    ("shell", "file", "startup"),
    [
        ("bash", ".local/share/bash-completion/completions/learningchain", ".bashrc"),
        ("zsh", ".zsh/completions/_cyclopts_learningchain", ".zshrc"),
        ("fish", ".config/fish/completions/learningchain.fish", None),
    ],
)
def test_installed_where_the_shell_looks(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, file: str, startup: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    found = run("completion", shell, "--install", "--json").json
    assert found == {"shell": shell, "file": str(tmp_path / file), "startup": startup and str(tmp_path / startup)}
    assert "learningchain" in (tmp_path / file).read_text()


def test_a_shell_that_cannot_be_told_is_asked_for(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyclopts.completion.detect.detect_shell", lambda: "powershell")
    ran = run("completion")
    assert ran.code == 2 and "learningchain completion bash" in ran.err
    assert run("completion", "tcsh").code == 2
