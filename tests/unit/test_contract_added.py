"""A contract of another installed distribution joins the program from its own folder alone.

On real nodes: tests/processes/test_contract_added.py; in the simulator: tests/sim/test_contract_added.py.
"""

from __future__ import annotations

from pathlib import Path

from tests.toy.installed import installed, run


def test_a_contract_is_added_from_its_own_folder_alone(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site"), "-m", "tests.toy.run")
    assert (done.returncode, done.stdout) == (0, "the weather is fine\n"), done.stderr


def test_what_is_installed_under_the_group_and_is_no_contract_ends_the_program_at_its_start(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site", "json"), "-c", "import learningchain.chain.contracts")
    assert done.returncode == 1
    assert "InvalidContract: weather (json) has no CONTRACT" in done.stderr
