"""docs/start-data.md goes through a federation on one machine: its blocks are typed as they stand, in one shell, on real nodes.

Its ports are those of the page: the tests have a network of their own (scripts/room.sh).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.processes.test_readme import tools
from tests.slow import SLOW
from tests.unit.readme_kit import ROOT, Block, blocks

LIMIT_S = 300.0 * SLOW
pytestmark = [
    pytest.mark.full("four nodes with containers and a federation of theirs take two minutes; test_fed_typed types its commands"),
    pytest.mark.timeout(LIMIT_S + 60),
]


def section() -> list[Block]:
    whole = [block for block in blocks("docs/start-data.md") if block.language == "text"]
    first = next(number for number, block in enumerate(whole) if "lab up" in block.text)
    last = next(number for number, block in enumerate(whole) if "lab down" in block.text)
    return whole[first : last + 1]


def test_three_hospitals_on_one_machine_train_as_the_page_has_it(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
    environment |= {"HOME": str(tmp_path), "PATH": tools(tmp_path / "bin"), "PYTHONPATH": str(ROOT)}
    *typed, end = [block.text for block in section()]
    before, down = end.split("learningchain lab down")
    looked = "learningchain fed show latest --json > shown.json\n"
    lines = ["set -euo pipefail", "trap 'learningchain lab down --remove' EXIT", *typed, looked, before, "trap - EXIT"]
    done = subprocess.run(
        ["bash", "-c", "\n".join([*lines, f"learningchain lab down{down}"])],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "--secrecy open is taken" in done.stdout and "better, and paid" in done.stdout
    shown = json.loads((tmp_path / "shown.json").read_text())
    assert (shown["end"], float(shown["best"]) <= 0.25, float(shown["paid"])) == ("REACHED", True, 30.0)
    assert not (tmp_path / "lab").exists()
