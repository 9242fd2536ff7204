"""A contract of another distribution in the simulator: nothing here knows it but its own folder and the program beside that."""

from __future__ import annotations

import json
from pathlib import Path

from tests.reached import reached
from tests.toy.installed import installed, run


def test_members_send_its_messages_whatever_goes_wrong(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site"), "-m", "tests.toy.sim", "0..8")
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)["seen"]
    ends = ("returned early", "burned", "returned at the deadline")
    reached(
        not [end for end in ends if seen.get(end, 0) < 3],
        "each end three times: of several messages for one place not all are taken",
    )
    reached(seen["killed"] and seen["lost"] and seen["partition"], "kills, losses and a partition")


def test_one_that_breaks_its_own_rules_is_caught(tmp_path: Path) -> None:
    done = run(installed(tmp_path / "site"), "-m", "tests.toy.sim", "0..3", "mutant")
    assert done.returncode == 1, done.stderr
    assert any("the record " in fault for fault in json.loads(done.stdout)["failed"].values())
