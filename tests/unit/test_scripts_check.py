"""The parts of the checks: what fails is named, time is told and bounded, and no part is left out for ever."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", ROOT / "scripts/check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check"] = module
    spec.loader.exec_module(module)
    return module


check = load()
Part = check.Part


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def program(tree: Path, name: str, text: str) -> None:
    path = tree / ".venv/bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def call(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / "scripts/check.py"), *words]
    clean = os.environ | {"HOME": str(tree), "XDG_CACHE_HOME": str(tree / "cache")}
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("failing", "headline"),
    [("ruff", "lint"), ("lint-imports", "import rule"), ("mypy", "types"), ("python", "tests of the code")],
)
def test_the_first_failing_part_is_named_and_ends_it(tree: Path, failing: str, headline: str) -> None:
    for name in ("ruff", "lint-imports", "mypy", "python"):
        program(tree, name, f"echo ran {name}\nexit {3 if name == failing else 0}")
    done = call(tree, "test")
    assert done.returncode == 3
    assert done.stderr.startswith(f"== FAILED: {headline} (exit 3")
    told = done.stdout.splitlines()
    assert [line for line in told if line.startswith("ran ")][-1] == f"ran {failing}"
    assert told[-2].endswith(f" s  {headline}")


def test_words_go_to_pytest_and_every_part_has_its_time(tree: Path) -> None:
    for name in ("ruff", "lint-imports", "mypy"):
        program(tree, name, "true")
    program(tree, "python", 'echo "$@"; echo 5 passed in 1.00s')
    done = call(tree, "test", "-k", "two words")
    assert done.returncode == 0
    assert "-m pytest -k two words\n5 passed in 1.00s\n" in done.stdout
    times = done.stdout.partition("== time of each part\n")[2].splitlines()
    assert [line.split("s  ")[1] for line in times] == ["lint", "format", "import rule", "types", "tests", "together"]


def test_a_run_ends_when_its_time_is_over_and_what_it_started_with_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    child = tmp_path / "child"
    endless = Part("endless", ("sh", "-c", f"sleep 600 & echo $! > {child}; wait"), 1.0)
    never = Part("never", ("touch", str(tmp_path / "never")), 1.0)
    assert check.Run(0.01).all([endless, never]) == 124
    assert "FAILED: endless (the 0 minutes of this run are over)" in capsys.readouterr().err
    assert not (tmp_path / "never").exists()
    pid = int(child.read_text())
    deadline = time.monotonic() + 30
    while (status := Path(f"/proc/{pid}/stat")).exists() and ") Z " not in status.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not status.exists() or ") Z " in status.read_text()


def failing(monkeypatch: pytest.MonkeyPatch, tree: Path, failed: int, times: int) -> Any:
    """A part with real programs of which `failed` tests fail the first `times` times."""
    count, cache = tree / "count", tree / "lastfailed"
    monkeypatch.setattr(check, "FAILED", cache)
    script = (
        f'echo "$0 $@" >> {count}; if [ $(wc -l < {count}) -gt {times} ]; then exit 0; fi; '
        f"echo '{json.dumps({f'tests/a.py::test_{i}': True for i in range(failed)})}' > {cache}; exit 1"
    )
    monkeypatch.setattr(check, "PYTEST", ("sh", "-c", script, "alone"))
    return Part("real", ("sh", "-c", script, "all"), 1.0, again=True)


@pytest.mark.parametrize(("failed", "times", "code", "ran"), [(1, 1, 0, 2), (3, 1, 0, 2), (3, 2, 1, 2), (4, 1, 1, 1), (0, 1, 1, 1)])
def test_few_failures_of_real_programs_are_looked_at_once_more_and_named(
    failed: int,
    times: int,
    code: int,
    ran: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check.Run(1.0).all([failing(monkeypatch, tmp_path, failed, times)]) == code
    lines = (tmp_path / "count").read_text().splitlines()
    assert len(lines) == ran
    names = [f"tests/a.py::test_{i}" for i in range(failed)]
    if ran == 2:
        assert lines[1].split() == ["alone", *names]
    told = f"== UNSTABLE: failed among others and passed alone: {', '.join(names)}"
    assert (told in capsys.readouterr().err) is (code == 0)


def test_no_other_part_is_looked_at_twice_and_what_failed_long_ago_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = failing(monkeypatch, tmp_path, 1, 1)
    assert check.Run(1.0).all([Part("code", real.command, 1.0)]) == 1
    assert check.Run(1.0).all([Part("broken", ("sh", "-c", "exit 1"), 1.0, again=True)]) == 1


@pytest.mark.parametrize("words", [(), ("lint", "types"), ("rest",), ("rest", "soon"), ("everything",)])
def test_wrong_words_are_refused(tree: Path, words: tuple[str, ...]) -> None:
    done = call(tree, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: Runs the checks in parts")


# --- what is left out -------------------------------------------------------------------------------------------------------------

PARTS = tuple(Part(name, ("true",), 1.0, (f"{name}/",)) for name in "abcd")


def test_what_the_change_touches_comes_first_and_then_what_was_left_out_longest() -> None:
    def names(paths: list[str], missed: dict[str, int], turn: int = 0) -> str:
        return "".join(part.name for part in check.ordered(PARTS, paths, missed, turn))

    assert names([], {}) == "abcd"
    assert names([], {}, 6) == "cdab"
    assert names(["c/file.py", "other"], {"b": 1, "d": 2}) == "cdba"
    assert names(["c/file.py"], {"b": 3}) == "bcad"


@pytest.mark.parametrize("room", [2, 3])
def test_every_part_runs_at_least_every_fourth_time_where_half_of_them_fit(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever changes touch: here always the same part, and the run has time for `room` of four parts."""
    memory = tmp_path / "cache/parts.json"
    monkeypatch.setattr(check, "changed", lambda: ["a/file.py"])
    ran: list[set[str]] = []
    parts = tuple(Part(name, ("true",), 1.0, (f"{name}/",)) for name in "abcd")
    for _ in range(16):
        monkeypatch.setattr(check.Run, "part", lambda self, part: (ran[-1].add(part.name), 0)[1])
        monkeypatch.setattr(check, "left_minutes", lambda run: float(room - len(ran[-1])))
        ran.append(set())
        assert check.rest(60.0, parts, memory) == 0
        out = capsys.readouterr().out
        for name in set("abcd") - ran[-1]:
            assert f"== left out, no time: {name} (" in out
        assert f"parts: {room} passed, 0 failed, {4 - room} skipped" in out
    for name in "abcd":
        for start in range(len(ran) - 3):
            assert any(name in run for run in ran[start : start + 4]), (name, start)


def test_a_failing_part_fails_the_rest_and_damaged_notes_are_no_notes(tmp_path: Path) -> None:
    memory = tmp_path / "parts.json"
    for text in ("no json", "[1, 2]", json.dumps({"a": "often", "b": 2})):
        memory.write_text(text)
        assert check.recall(memory) == ({"b": 2} if "often" in text else {})
    assert check.rest(1.0, (Part("bad", ("false",), 0.0),), memory) == 1
    assert check.rest(1.0, (Part("good", ("true",), 0.0),), memory) == 0


def test_the_estimates_of_each_tier_fit_its_limit() -> None:
    test = sum(part.minutes for part in (*check.LINT, *check.TYPES, *check.TESTS))
    assert test < 30 < check.TEST_MINUTES
    assert test + sum(part.minutes for part in check.REST) <= check.FULL_MINUTES
    assert len({part.name for part in (*check.LINT, *check.TYPES, *check.TESTS, *check.REST)}) == len(check.REST) + 9


def test_every_beginning_of_a_path_that_a_part_names_is_there() -> None:
    for part in check.REST:
        for touched in part.touches:
            assert (ROOT / touched).exists(), (part.name, touched)


def test_every_test_that_make_test_leaves_out_is_in_a_part_of_the_rest() -> None:
    full = [word for part in check.REST if "full" in part.command for word in part.command if word.startswith("tests/")]
    seeds = ROOT / "tests/sim/test_sim.py"  # `python -m tests.sim` runs them
    torch = ROOT / "tests/sandbox/test_federation_rounds.py"  # by hand: its rounds take longer than a part may
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if ("pytest.mark.full(" in text or "tests.tiers import" in text) and path not in (seeds, torch, Path(__file__)):
            assert any(path.is_relative_to(ROOT / word) for word in full), f"{path.relative_to(ROOT)} runs in no part"
