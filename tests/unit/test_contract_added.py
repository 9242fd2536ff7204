"""A contract of another installed distribution joins the program from its own folder alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (site, TESTS / "toy", TESTS.parent)))}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=False
    )


def installed(folder: Path, module: str = "weather") -> Path:
    """As an installer leaves it: the distribution's record with its entry point."""
    record = folder / "toy_weather-0.1.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-weather\nVersion: 0.1\n")
    (record / "entry_points.txt").write_text(f"[learningchain.contracts]\nweather = {module}\n")
    return folder


def test_a_contract_is_added_from_its_own_folder_alone(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site"), "-m", "tests.toy.run")
    assert (done.returncode, done.stdout) == (0, "the weather is fine\n"), done.stderr


def test_what_is_installed_under_the_group_and_is_no_contract_ends_the_program_at_its_start(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site", "json"), "-c", "import chain.contracts")
    assert done.returncode == 1
    assert "InvalidContract: weather (json) has no CONTRACT" in done.stderr
