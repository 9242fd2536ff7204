"""A day of the lasting graph: who works honestly loses nothing because it takes long. A month: `python -m tests.sim.lasting`."""

from __future__ import annotations

from pathlib import Path

from tests.reached import reached
from tests.sim.lasting.program import DAY, play
from tests.unit.test_work_graph import tmp_path

__all__ = ["tmp_path"]


def test_a_day_of_long_work_pays_who_did_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    people = play(DAY, tmp_path)
    assert people.checks.faults == []
    posted = sum(len(hours) for _, hours in DAY.jobs)
    ended = people.checks.jobs
    assert sum(count for what, count in ended.items() if what.endswith("PAID")) == posted
    reached(ended["federation ROUNDS"] > 0 and ended["request FINAL"] > 1, "a federation and requests to their ends")
