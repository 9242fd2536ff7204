"""docs/start-data.md goes through a federation on one machine, and an example's folder says what to type with its files: both are
typed as they stand, in one shell, on real nodes.

Its ports are those of the page: the tests have a network of their own (scripts/room.sh).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from learningchain.examples.federation import build
from tests.processes.test_readme import tools, typed
from tests.slow import SLOW
from tests.unit.readme_kit import ROOT, Block, blocks

LIMIT_S = 300.0 * SLOW
pytestmark = [
    pytest.mark.full("four nodes with containers and a federation of theirs take two minutes; test_fed_typed types its commands"),
    pytest.mark.timeout(LIMIT_S + 60),
]
OWNERS = (0, 1, 2)


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


def test_a_small_model_is_trained_and_asked_as_its_folder_s_readme_has_it(tmp_path: Path) -> None:
    """At a terminal, where each question is answered with yes; who types on which node the page says in words."""
    build.main(["credit-numbers", str(tmp_path / "FOLDER")])
    page = (tmp_path / "FOLDER" / "README.md").read_text()
    serve, sponsor, owner, offer, answer, ask = re.findall(r"^((?:    .+\n)+)", page, re.MULTILINE)
    join, watch = owner.split("    learningchain fed watch")
    lines = ["set -euo pipefail", "learningchain lab up", "trap 'learningchain lab down --remove' EXIT"]

    def at(node: int, text: str) -> None:
        lines.extend((f"export LEARNINGCHAIN_DATA=$PWD/lab/node{node}", text))

    for node in OWNERS:
        at(node, f"learningchain status --wait 180\n{serve}")
    at(3, sponsor)
    for node in OWNERS:
        at(node, join.replace("owner1", f"owner{node + 1}"))
    at(0, f"learningchain fed watch{watch}")
    at(3, offer)
    for node in OWNERS:
        at(node, answer.replace("SPONSOR", "$(learningchain id --address --data lab/node3)"))
    at(3, ask)
    code, out = typed("\n".join(lines), tmp_path, tmp_path)
    assert code == 0 and "it is over, REACHED" in out, out
    print(out[out.index("it is over") :])
