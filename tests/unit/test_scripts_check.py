"""The checks run to the end, name everything that failed, and end with a code that says whose fault it was."""

from __future__ import annotations

import datetime
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import quarantined
from tests.slow import SLOW
from tests.tiers import SECOND, left

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


parts, check = load("parts"), load("check")
Part = parts.Part
PASSES = "def test_good(): pass\n"
FAILS = "import pytest\ndef test_good(): pass\n@pytest.mark.parametrize('x', [1, 2])\ndef test_bad(x): assert x == 1, 'no\\nmore'\n"
SKIPS = "import pytest\n@pytest.mark.skip(reason='none here')\ndef test_left(): pass\n"
ONCE = """
from pathlib import Path
def test_wavers():
    there = Path("seen").exists()
    Path("seen").touch()
    assert there
"""
ONCE_THEN_LEFT_OUT = """
from pathlib import Path
import pytest
def test_good(): pass
@pytest.mark.skipif(Path("seen").exists(), reason="left out")
def test_wavers():
    Path("seen").touch()
    assert False
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tests of its own, which pytest of this environment runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q\n")
    monkeypatch.setattr(check, "PYTEST", (sys.executable, "-m", "pytest"))
    monkeypatch.setattr(parts, "PYTEST", check.PYTEST)
    return tmp_path


def part_of(tree: Path, again: bool = False, **files: str) -> Any:
    """A part that runs these files."""
    for name, text in files.items():
        (tree / f"{name}.py").write_text(text)
    return Part(" ".join(files), (*check.PYTEST, *(f"{name}.py" for name in files)), 0.0, again=again)


def shell(name: str, command: str) -> Any:
    return Part(name, ("sh", "-c", command), 0.0)


def test_every_part_runs_and_every_failure_is_named_with_its_part_and_where_its_output_lies(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [shell("lint", "exit 3"), part_of(tree, test_a=FAILS, test_b=SKIPS), part_of(tree, test_c=PASSES)]
    assert check.Run(5.0).all(run) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "3 passed, 2 failed, 1 skipped"
    failed = [line for line in said if line.startswith("FAILED ") and ".run/checks" in line]
    assert [line.split()[1] for line in failed] == ["lint", "test_a.py::test_bad[2]"]
    assert "exit 3" in failed[0]
    assert "test_a test_b; AssertionError: no; .run/checks/test-a-test-b.log)" in failed[1]
    assert "def test_bad" in Path(".run/checks/test-a-test-b.log").read_text()
    assert [line for line in said if line.endswith("  test_c")], "with the time of each part"


def test_what_passes_is_green(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.Run(5.0).all([shell("lint", "true"), part_of(tree, test_c=PASSES)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_what_goes_beside_a_part_begins_with_it_and_is_told_like_any_other(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def meets(other: str, mine: str, code: int) -> str:
        return f"touch {mine}; until [ -e {other} ]; do sleep 0.05; done; exit {code}"

    pair = Part("first", ("sh", "-c", meets("b", "a", 0)), 0.0, beside=(shell("second", meets("a", "b", 3)),))
    assert check.Run(5.0).all([pair, shell("third", "true")]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said if line.startswith("FAILED ")] == ["second"]
    assert [line.split()[-1] for line in said if line.startswith("    ")] == ["first", "second", "third", "together"]


@pytest.mark.parametrize("text", ["import nothing_of_this_name\n", "import os\ndef test_dies(): os._exit(7)\n"])
def test_a_part_that_breaks_off_is_a_failure_though_it_names_no_test(
    tree: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.Run(5.0).all([part_of(tree, test_d=text)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_real_programs_that_fail_once_are_green_and_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.Run(5.0).all([part_of(tree, True, test_e=ONCE), part_of(tree, test_c=PASSES)]) == 0
    said = capsys.readouterr().out
    assert "unsteady: test_e.py::test_wavers (first time: " in said
    assert said.index("== test_c") < said.index("== again, alone test_e.py"), "after everything else"
    assert said.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_real_programs_that_fail_twice_are_red_and_no_other_test_has_a_second_try(tree: Path) -> None:
    assert check.Run(5.0).all([part_of(tree, True, test_a=FAILS)]) == 1
    assert check.Run(5.0).all([part_of(tree, test_e=ONCE)]) == 1


def test_real_programs_that_are_left_out_the_second_time_are_red(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.Run(5.0).all([part_of(tree, True, test_f=ONCE_THEN_LEFT_OUT)]) == 1
    assert "unsteady" not in capsys.readouterr().out


def test_real_programs_of_the_second_tier_are_tried_again_in_that_tier(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--full', action='store_true')\n")
    part = part_of(tree, True, test_g=f"def test_tier(request): assert request.config.getoption('--full')\n{ONCE}")
    assert check.Run(5.0).all([replace(part, command=(*part.command, "--full"))]) == 0
    assert "unsteady: test_g.py::test_wavers" in capsys.readouterr().out


def test_where_many_files_of_real_programs_fail_none_is_tried_again(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"test_{number}": FAILS for number in range(check.SECOND_LOOKS + 1)}
    assert check.Run(5.0).all([part_of(tree, True, **files)]) == 1
    assert "again, alone" not in capsys.readouterr().out


def test_a_run_ends_when_its_time_is_over_with_what_it_started_and_says_what_it_did_not_reach(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = shell("endless", "trap exit INT; sleep 600 & echo $! >child; wait")
    assert check.Run(0.02).all([endless, shell("never", "touch never")]) == 1
    said = capsys.readouterr().out
    assert "FAILED endless (" in said and "its time was over" in said
    assert "FAILED never (0.0 s, never; not reached in time;" in said
    assert not Path("never").exists()
    status = Path(f"/proc/{Path('child').read_text().strip()}/stat")
    deadline = time.monotonic() + 30 * SLOW
    while status.exists() and ") Z " not in status.read_text():
        assert time.monotonic() < deadline, "what it started lives on"
        time.sleep(0.01)


def test_what_cannot_be_set_up_has_a_code_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "scripts/setup.sh").write_text("#!/bin/sh\necho no index >&2\nexit 1\n")
    command = [str(tmp_path / "scripts/test.sh"), "test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 3
    assert "== NOT SET UP" in done.stderr


# --- the tiers --------------------------------------------------------------------------------------------------------------------


def files() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]


def parts_with(name: str, tier: Iterable[Any]) -> list[str]:
    """Of the parts of a tier, and what runs beside them, those that run this file."""
    every = [one for part in tier for one in (part, *part.beside) if one.tests]
    return [one.name for one in every if _runs(Path(name), one.command)]


def _runs(path: Path, command: Iterable[str]) -> bool:
    folders = [word for word in command if word.startswith("tests/")]
    left_out = [word.removeprefix("--ignore=") for word in command if word.startswith("--ignore=")]
    return any(map(path.is_relative_to, folders)) and not any(map(path.is_relative_to, left_out))


def test_every_file_is_in_a_part_of_its_tier_and_in_one_alone() -> None:
    for name in files():
        found = parts_with(name, parts.SECOND)
        assert len(found) == 1, f"{name}: parts of the second tier that run it: {found}"
        if left(name) is None:
            found = parts_with(name, parts.GATE)
            assert len(found) == 1, f"{name}: parts of the gate that run it: {found}"


def test_whatever_is_left_to_the_second_tier_is_there_and_has_its_reason() -> None:
    for name, why in SECOND.items():
        assert (ROOT / name).exists() and why, name


# --- the quarantine ---------------------------------------------------------------------------------------------------------------

TODAY = datetime.date(2030, 3, 22)
HERE = "tests/unit/test_scripts_check.py::test_what_passes_is_green"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([f"{HERE} | 2030-03-01 | its port; gets one from the kernel"], []),
        ([f"{HERE}[a case] | 2030-03-22 | its port"], []),
        ([f"{HERE} | 2030-02-28 | its port"], ["here for 22 days, 21 at most"]),
        ([f"{HERE} | 2030-03-22 |"], ["no reason"]),
        (["tests/unit/test_scripts_check.py::test_gone | 2030-03-22 | its port"], ["no such test"]),
        (["tests/unit/test_gone.py::test_gone | 2030-03-22 | its port"], ["no such test"]),
        ([f"{HERE} | 2030-03-22 | its port"] * 21, ["21 tests, 20 at most"]),
    ],
)
def test_the_quarantine_is_short_fresh_and_says_why(lines: list[str], said: list[str]) -> None:
    found = quarantined.faults(quarantined.read("\n".join(["# a head", "", *lines])), TODAY)
    assert len(found) == len(said)
    assert all(part in whole for part, whole in zip(said, found, strict=True))
